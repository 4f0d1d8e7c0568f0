"""What kisim raises."""

from __future__ import annotations

from typing import NamedTuple, Sequence


class Diagnostic(NamedTuple):
    """One complaint about the input: where it is, which field, what was found and what is allowed."""

    severity: str  #: "note", "warning" or "error"
    file: str
    line: int  #: from 1; 0: unknown
    column: int  #: likewise
    field: str  #: "spec.traffic.chat.pattern"; may be empty
    message: str  #: "found 'x', allowed: a, b"


class InputError(ValueError):
    """Input that cannot be used. Its text has a line `file:line:col: field: message` for each complaint."""

    def __init__(self, message: str, diagnostics: Sequence[Diagnostic] = ()):
        super().__init__(message)
        self.diagnostics = list(diagnostics)


class UsageError(ValueError):
    """A call that makes no sense, such as an environment of an unknown name."""


class IoError(OSError):
    """A file that cannot be read or written."""


class InvariantError(RuntimeError):
    """A broken invariant: a defect of kisim, never of the input."""


class HaltedRun(RuntimeError):
    """A World in which an error has come up: it stands in the middle of an event. Its cause is that error."""
