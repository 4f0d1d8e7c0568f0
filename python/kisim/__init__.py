"""kisim: a deterministic simulator of Kubernetes inference clusters.

>>> result = kisim.run("scenarios/quickstart.yaml")
>>> result.summary["latency_s"]["ttft"]["p95"]

`run` and `run_many` simulate scenarios, `make` and `make_vec` make Gymnasium environments of them, `explain_pod` tells
why a pod is where it is. Times are seconds of simulated time from the start of the run, sizes are bytes.
"""

from ._core import __version__, env_names
from .errors import Diagnostic, HaltedRun, InputError, InvariantError, IoError, UsageError
from .policy import Policy
from .results import Result, World, run, run_many
from .scenario import Scenario, explain_pod

__all__ = [
    "Diagnostic",
    "HaltedRun",
    "InputError",
    "InvariantError",
    "IoError",
    "Policy",
    "Result",
    "Scenario",
    "UsageError",
    "World",
    "__version__",
    "env_names",
    "explain_pod",
    "make",
    "make_vec",
    "run",
    "run_many",
]


def __getattr__(name: str):
    # Gymnasium is wanted only by those who make environments.
    if name in ("make", "make_vec"):
        from . import envs

        return getattr(envs, name)
    raise AttributeError(f"module 'kisim' has no attribute {name!r}")
