"""Scenarios: what is simulated."""

from __future__ import annotations

import json
import os
from typing import Any, Iterable, Mapping, Optional, Union

from . import _core
from .errors import UsageError

PathLike = Union[str, "os.PathLike[str]"]


class Scenario:
    """A scenario that has been read and checked. It does not change.

    Args:
        paths: a file, or several files and folders that together hold one Scenario; the `run.h5` of a run, too.
        overrides: values by path relative to `spec`, as `--set`: `{"duration": "20m", "traffic.chat.timeout": 30}`.
            Texts are read as YAML; anything else stands for itself.
        seed: in place of the scenario's.
        strict: unknown fields and other warnings are errors.

    Raises:
        InputError: with every complaint. IoError: a file cannot be read.
    """

    def __init__(
        self,
        paths: Union[PathLike, Iterable[PathLike]],
        overrides: Optional[Mapping[str, Any]] = None,
        seed: Optional[int] = None,
        strict: bool = False,
    ):
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        self._core = _core.Scenario.read([os.fspath(path) for path in paths], _texts(overrides), seed, strict)

    @classmethod
    def from_text(
        cls,
        text: str,
        overrides: Optional[Mapping[str, Any]] = None,
        seed: Optional[int] = None,
        strict: bool = False,
        name: str = "scenario.yaml",
    ) -> "Scenario":
        """The same from YAML. `name` stands for the file in messages; files are looked for beside it."""
        self = cls.__new__(cls)
        self._core = _core.Scenario.read_text(text, name, _texts(overrides), seed, strict)
        return self

    @property
    def name(self) -> str:
        """metadata.name"""
        return self._core.name

    @property
    def seed(self) -> int:
        """Of its random streams, unless a run is given another one."""
        return self._core.seed

    @property
    def duration(self) -> float:
        """Seconds that a run simulates."""
        return self._core.duration

    @property
    def warmup(self) -> float:
        """Seconds that statistics leave out."""
        return self._core.warmup

    @property
    def text(self) -> str:
        """The whole document as YAML, with its overrides."""
        return self._core.text

    @property
    def warnings(self) -> "list[str]":
        """Complaints that are no errors, as text."""
        return self._core.warnings

    def __repr__(self) -> str:
        return f"Scenario({self.name!r}, seed={self.seed})"

    def __deepcopy__(self, memo: Any) -> "Scenario":
        return self


ScenarioLike = Union[Scenario, PathLike]


def as_scenario(scenario: ScenarioLike) -> Scenario:
    """A scenario as it is, or the one in a file."""
    return scenario if isinstance(scenario, Scenario) else Scenario(scenario)


def explain_pod(scenario: ScenarioLike, name: str, at: Union[float, str, None] = None, wide: bool = False) -> str:
    """Why a pod is where it is, or why it waits: the text of `kisim explain pod`.

    Args:
        scenario: a Scenario, or a file of one (or of a run, `run.h5`); it is replayed.
        name: of the pod, with or without its namespace.
        at: time of the run, in seconds or as "5m"; its end by default.
        wide: every node and every score.

    Raises:
        InputError: there is no such pod by then; it tells those that are.
    """
    if isinstance(at, str):
        seconds = _core.parse_duration(at)
        if seconds is None:
            raise UsageError(f"at: found '{at}', allowed: a time such as 90s or 1h30m")
        at = seconds
    return as_scenario(scenario)._core.explain_pod(name, at, wide)


def _texts(overrides: Optional[Mapping[str, Any]]) -> "list[tuple[str, str]]":
    # JSON is YAML; a text is left to YAML, so that "30s" and "[1, 2]" mean what they mean in a file.
    return [(path, v if isinstance(v, str) else json.dumps(v)) for path, v in (overrides or {}).items()]
