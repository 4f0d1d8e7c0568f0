"""Runs of scenarios and what they leave behind."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Union

import numpy as np

from . import _core
from ._optional import need
from .errors import HaltedRun
from .scenario import PathLike, Scenario, ScenarioLike, as_scenario

if TYPE_CHECKING:
    import pandas as pd

#: observation float32[n], mask bool[outputs] -> action: a number, or one for each component
Agent = Callable[[np.ndarray, np.ndarray], Any]

OUTCOMES = ("completed", "failed", "dropped", "timed_out")


class Result:
    """What a run leaves behind. Tables are pandas DataFrames with the columns that `run.h5` has."""

    def __init__(self, core: "_core.RunResult"):
        self._core = core

    @cached_property
    def summary(self) -> Dict[str, Any]:
        """The summary, as `kisim run -o json` prints it; None: not applicable."""
        return json.loads(self._core.summary_json())

    @property
    def seed(self) -> int:
        return self._core.seed

    def table(self, wide: bool = False) -> str:
        """The summary as text, as `kisim run` prints it."""
        return self._core.table(wide)

    @cached_property
    def columns(self) -> Dict[str, np.ndarray]:
        """The recorded requests without pandas: read-only arrays that share the run's memory, one element per request.
        `source` and `outcome` are indices into `sources` and OUTCOMES, `replica_pod` is one into `pods`."""
        return self._core.requests()

    @property
    def sources(self) -> List[str]:
        """Names of the traffic sources."""
        return self._core.sources()

    @cached_property
    def requests(self) -> "pd.DataFrame":
        """One row per recorded request: source, ordinal, outcome, attempts, replica_pod (row of `pods` with the last
        attempt), prompt_tokens, output_tokens and the times arrival_s, queue_s, ttft_s, tpot_s and e2e_s in seconds,
        NaN where it did not get that far."""
        pd = _pandas()
        columns = dict(self.columns)
        columns["source"] = pd.Categorical.from_codes(columns["source"], self.sources)
        columns["outcome"] = pd.Categorical.from_codes(columns["outcome"], OUTCOMES)
        return pd.DataFrame(columns)

    @cached_property
    def series(self) -> "pd.DataFrame":
        """Every time series: metric, labels ("source=chat"), unit, t in seconds, value."""
        pd = _pandas()
        all_series = self._core.series()
        if not all_series:
            return pd.DataFrame({name: [] for name in ("metric", "labels", "unit", "t", "value")})
        lengths = [len(t) for _, _, _, t, _ in all_series]

        def texts(values: Iterable[str]) -> "pd.Categorical":
            codes, names = pd.factorize(np.array(list(values), dtype=object))
            return pd.Categorical.from_codes(np.repeat(codes, lengths), names)

        return pd.DataFrame(
            {
                "metric": texts(s[0] for s in all_series),
                "labels": texts(_label_text(s[2]) for s in all_series),
                "unit": texts(s[1] for s in all_series),
                "t": np.concatenate([s[3] for s in all_series]),
                "value": np.concatenate([s[4] for s in all_series]),
            }
        )

    def metric(self, name: str, **labels: str) -> "pd.DataFrame":
        """The series of one metric with these labels, as columns named by their labels; index: t in seconds.

        Raises:
            KeyError: there is none.
        """
        pd = _pandas()
        found = {
            _label_text(s[2]): pd.Series(s[4], index=pd.Index(s[3], name="t"))
            for s in self._core.series()
            if s[0] == name and labels.items() <= s[2].items()
        }
        if not found:
            raise KeyError(f"no series of {name} {labels or ''}; there are {sorted({s[0] for s in self._core.series()})}")
        return pd.DataFrame(found)

    @cached_property
    def pods(self) -> "pd.DataFrame":
        """One row per pod: name, workload, node, phase, and when it was created, scheduled, started, ready (for the
        first time) and deleted, in seconds; NaN: it was not."""
        return _pandas().DataFrame(self._core.pods())

    @cached_property
    def scalings(self) -> "pd.DataFrame":
        """Each change of a workload's replicas: t in seconds, workload, from, to, reason."""
        return _pandas().DataFrame(self._core.scalings())

    @cached_property
    def gpus(self) -> "pd.DataFrame":
        """Each GPU after warm-up: node, model, index, hours_allocated, hours_busy, energy_kwh (NaN: not known)."""
        return _pandas().DataFrame(self._core.gpus())

    @cached_property
    def starts(self) -> "pd.DataFrame":
        """Each start of a pod's containers that became ready: pod, workload, weights_from, restarts before it, when it
        began, and the seconds of each phase."""
        return _pandas().DataFrame(self._core.starts())

    @cached_property
    def events(self) -> "pd.DataFrame":
        """What the API recorded, if the run was asked to: first and last in seconds, count, type, reason, kind,
        namespace, name, message, component."""
        return _pandas().DataFrame(self._core.events())

    def save(self, directory: PathLike) -> None:
        """Writes `run.h5` and `report.html`, as `kisim run --output-dir` does.

        Raises:
            IoError: they cannot be written.
        """
        self._core.save(os.fspath(directory))

    def __repr__(self) -> str:
        s = self.summary
        return f"Result({s['scenario']!r}, seed={s['seed']}, signature={s['signature']!r})"


def run(
    scenario: ScenarioLike,
    seed: Optional[int] = None,
    *,
    record: str = "sample",
    events: bool = False,
    agent: Union[Agent, Mapping[str, Agent], None] = None,
    autoscalers: Optional[Mapping[str, Callable[[], Any]]] = None,
) -> Result:
    """Simulates a scenario. Equal scenarios and seeds give equal results. Other Python threads go on meanwhile; Ctrl-C
    ends the run with KeyboardInterrupt.

    Args:
        scenario: a Scenario, or a file of one.
        seed: in place of the scenario's.
        record: requests to keep: "none", "sample" (at most 65,536) or "all".
        events: keep the API's events.
        agent: who acts for the agents (`policies.agents`) that have no policy: a callable for the only one, or
            callables by name. It gets the observation, float32[n], and the mask of allowed choices, bool[outputs], and
            returns the action.
        autoscalers: by workload, in place of its autoscaler: a class, or anything else that makes an object with
            `decide(observation: dict) -> int`, one for each run. A list `metrics` of names beside it says which metrics
            of the pods the observation holds ("vllm:num_requests_waiting", "cpu" …). The observation has now (seconds),
            replicas, min_replicas, max_replicas, pods (a dict each: phase, ready, deleting, start) and metrics (by
            name a list with one value, or None, for each of `pods`). What is returned is kept within the limits.

    Raises:
        InputError, UsageError, and what agents and autoscalers raise.
    """
    core = _core.run(as_scenario(scenario)._core, seed, record, events, _agents(agent), _items(autoscalers))
    return Result(core)


def run_many(
    scenarios: Union[ScenarioLike, Sequence[ScenarioLike]],
    seeds: Optional[Iterable[int]] = None,
    *,
    threads: int = 0,
    record: str = "none",
    events: bool = False,
    agent: Union[Agent, Mapping[str, Agent], None] = None,
    autoscalers: Optional[Mapping[str, Callable[[], Any]]] = None,
) -> List[Result]:
    """Simulates each of the scenarios with each of the seeds, several at a time.

    Args:
        scenarios: one, or several.
        seeds: in place of the scenarios' own.
        threads: 0: as many as there are cores. Results do not depend on it.
        record, events, agent, autoscalers: as in `run`. An agent is called by several runs in turn.

    Returns:
        The results, all seeds of the first scenario first.
    """
    if isinstance(scenarios, (Scenario, str, os.PathLike)):
        scenarios = [scenarios]
    wanted: List[Optional[int]] = [None] if seeds is None else list(seeds)
    jobs = [(as_scenario(scenario)._core, seed) for scenario in scenarios for seed in wanted]
    return [Result(r) for r in _core.run_many(jobs, record, events, _agents(agent), _items(autoscalers), threads)]


class World:
    """A run that halts where it is told to and can be forked there: what would happen if …?

    Args:
        scenario, seed, agent, autoscalers: as in `run`.
    """

    def __init__(
        self,
        scenario: ScenarioLike,
        seed: Optional[int] = None,
        *,
        agent: Union[Agent, Mapping[str, Agent], None] = None,
        autoscalers: Optional[Mapping[str, Callable[[], Any]]] = None,
    ):
        self._core = _core.World(as_scenario(scenario)._core, seed, _agents(agent), _items(autoscalers))
        self._failure: Optional[BaseException] = None

    @property
    def now(self) -> float:
        """Seconds from the start of the run."""
        return self._core.now

    @property
    def finished(self) -> bool:
        """The end of the scenario is reached."""
        return self._core.finished

    @property
    def summary(self) -> Dict[str, Any]:
        """Figures up to now, as Result.summary without what is measured on the wall clock.

        Raises:
            HaltedRun: as run_until.
        """
        self._look_whole()
        return json.loads(self._core.summary_json())

    def run_until(self, t: float) -> None:
        """Simulates up to t seconds, or the end of the scenario if that is earlier.

        Raises:
            HaltedRun: an earlier call raised, which may have been in the middle of an event.
            Whatever agents and autoscalers raise.
        """
        self._look_whole()
        try:
            self._core.run_until(t)
        except BaseException as error:
            self._failure = error
            raise

    def fork(self) -> "World":
        """An independent copy, which goes on as this one would. Agents are shared by both.

        Raises:
            UsageError: an autoscaler in Python has no __deepcopy__. HaltedRun: as run_until.
        """
        self._look_whole()
        copy = World.__new__(World)
        copy._core = self._core.fork()
        copy._failure = None
        return copy

    def _look_whole(self) -> None:
        if self._failure is not None:
            raise HaltedRun(f"the run halted at {self.now:g} s with an error, allowed: a new World") from self._failure


def _pandas() -> Any:
    return need("pandas", "pandas", "a table of results")


def _label_text(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _agents(agent: Union[Agent, Mapping[str, Agent], None]) -> "list[tuple[str, Agent]]":
    if agent is None:
        return []
    return list(agent.items()) if isinstance(agent, Mapping) else [("", agent)]


def _items(objects: Optional[Mapping[str, Any]]) -> "list[tuple[str, Any]]":
    return list((objects or {}).items())
