"""Packages that only a part of kisim needs."""

from __future__ import annotations

import importlib
from types import ModuleType


def need(module: str, extra: str, what: str) -> ModuleType:
    """Imports the module, or raises ImportError telling who needs it and how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{what} needs {module}: pip install 'kisim[{extra}]'") from error
