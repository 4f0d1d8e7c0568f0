"""Scenarios, runs and what they leave behind."""

import copy
import json
import os
import signal
import subprocess
import threading
import time

import h5py
import numpy as np
import pytest

import kisim
from conftest import autoscaling

MEASURED = ("wall_s", "events_per_s", "peak_rss_bytes")


def lasting(summary):
    return {name: value for name, value in summary.items() if name not in MEASURED}


def test_summary_is_that_of_the_program(program, root, quickstart):
    command = [program, "run", root / "scenarios/quickstart.yaml", "--set", "duration=10m", "-o", "json", "-q"]
    printed = subprocess.run([*command, "--no-files"], capture_output=True, check=True, text=True).stdout
    assert lasting(kisim.run(quickstart).summary) == lasting(json.loads(printed))


@pytest.mark.parametrize("record", ["sample", "all"])
def test_files_are_those_of_the_program(program, root, tmp_path, quickstart, record):
    command = [program, "run", root / "scenarios/quickstart.yaml", "--set", "duration=10m", "--seed", "7", "-q"]
    subprocess.run([*command, "--record", record, "--output-dir", tmp_path / "program"], capture_output=True, check=True)
    kisim.run(quickstart, seed=7, record=record).save(tmp_path / "python")
    for file in ("run.h5", "report.html"):
        assert (tmp_path / "program" / file).read_bytes() == (tmp_path / "python" / file).read_bytes(), file


def test_a_run_repeats_itself_and_seeds_differ(root, quickstart):
    first, again, other = kisim.run(quickstart), kisim.run(quickstart), kisim.run(quickstart, seed=7)
    assert lasting(first.summary) == lasting(again.summary)
    assert other.summary["signature"] != first.summary["signature"]
    assert other.seed == 7 and quickstart.seed == first.seed == 42
    read = kisim.Scenario(root / "scenarios/quickstart.yaml", overrides={"duration": "10m"}, seed=7)
    assert kisim.run(read).summary["signature"] == other.summary["signature"]


def test_a_scenario_tells_what_it_is(quickstart):
    assert quickstart.name == "quickstart"
    assert quickstart.duration == 600 and quickstart.warmup == 300
    assert copy.deepcopy(quickstart) is quickstart
    again = kisim.Scenario.from_text(quickstart.text, overrides={"duration": 300, "warmup": 60})
    assert again.duration == 300


def test_tables(tmp_path, quickstart):
    result = kisim.run(quickstart, record="all", events=True)
    requests = result.requests
    counted = result.summary["requests"]
    assert len(requests) == counted["arrived"] - counted["in_flight"]
    assert (requests["outcome"] == "completed").sum() == counted["completed"]
    assert set(requests["source"]) == {"chat"}

    result.save(tmp_path)
    with h5py.File(tmp_path / "run.h5") as file:
        for name, values in result.columns.items():
            np.testing.assert_array_equal(values, file["requests"][name][:])
        replicas = file["series/kisim_replicas/workload=default%2Fllama"]
        found = result.metric("kisim_replicas", workload="default/llama")
        np.testing.assert_array_equal(found.index, replicas["t"][:])
        np.testing.assert_array_equal(found.iloc[:, 0], replicas["value"][:])
        assert len(result.pods) == len(file["pods/name"])
        assert list(result.scalings["to"]) == list(file["scalings/to"])
        np.testing.assert_array_equal(result.gpus["hours_busy"], file["gpus/hours_busy"][:])
        assert len(result.starts) == len(file["starts/began"])
    assert len(result.series) == sum(len(s[3]) for s in result._core.series())
    assert "Scheduled" in set(result.events["reason"])
    with pytest.raises(KeyError, match="kisim_replicas"):
        result.metric("no_such_metric")


def test_columns_share_the_memory_of_the_run_and_outlive_it(quickstart):
    columns = kisim.run(quickstart, record="all").columns
    e2e = columns["e2e_s"]
    assert not e2e.flags.owndata and not e2e.flags.writeable
    del columns
    assert np.nanmin(e2e) > 0


def test_records_of_none(quickstart):
    result = kisim.run(quickstart, record="none")
    assert len(result.requests) == 0 and len(result.pods) > 0 and len(result.events) == 0


def test_many_runs_are_the_single_ones_whatever_the_threads(quickstart):
    seeds = [3, 1, 2]
    alone = [lasting(kisim.run(quickstart, seed=s).summary) for s in seeds]
    for threads in (1, 3, 0):
        together = kisim.run_many(quickstart, seeds, threads=threads)
        assert [lasting(r.summary) for r in together] == alone
    pairs = kisim.run_many([quickstart, quickstart], [5, 6])
    assert [r.seed for r in pairs] == [5, 6, 5, 6]
    assert [r.seed for r in kisim.run_many([quickstart])] == [42]


def test_errors_say_where_and_what(tmp_path, root):
    file = tmp_path / "bad.yaml"
    text = (root / "bench/autoscaling.yaml").read_text()
    file.write_text(text.replace("warmup: 5m", "warmup: soon").replace("fluidStep: 15s", "fluidStep: -1s"))
    with pytest.raises(kisim.InputError) as caught:
        kisim.Scenario(file)
    first, second = caught.value.diagnostics
    assert (first.field, first.severity, first.line) == ("spec.warmup", "error", 7)
    assert f"{file}:7:" in str(caught.value) and "soon" in first.message
    assert second.field == "spec.fluidStep"

    with pytest.raises(kisim.IoError, match="no-such-file"):
        kisim.Scenario("no-such-file.yaml")
    with pytest.raises(kisim.InputError, match="no-such-path"):
        kisim.Scenario(root / "scenarios/quickstart.yaml", overrides={"no-such-path.x": 1}, strict=True)
    # What only compiling finds is told when the scenario is made, too.
    with pytest.raises(kisim.InputError, match="nobody"):
        kisim.Scenario(root / "bench/autoscaling.yaml", overrides={"policies.agents.fleet.workloads": "nobody"})
    with pytest.raises(kisim.UsageError, match="record: found 'some', allowed: none, sample, all"):
        kisim.run(root / "scenarios/quickstart.yaml", record="some")
    with pytest.raises(kisim.IoError):
        kisim.run(root / "scenarios/quickstart.yaml", record="none").save("/proc/no-such-folder")


@pytest.mark.parametrize("many", [False, True])
def test_ctrl_c_ends_a_run_and_other_threads_go_on(root, many):
    endless = kisim.Scenario(root / "scenarios/quickstart.yaml", overrides={"duration": "8760h"})
    ticks = []

    def interrupt():
        for _ in range(20):
            time.sleep(0.01)
            ticks.append(1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        kisim.run_many(endless, [1, 2]) if many else kisim.run(endless)
    thread.join()
    assert len(ticks) == 20
    assert time.monotonic() - began < 20


def fixed(steps):
    """Moves by so many replicas at every decision."""
    return lambda observation, mask: [2 + steps]


def test_an_agent_in_python_drives_the_run():
    scenario = autoscaling()
    seen = []

    def agent(observation, mask):
        assert observation.dtype == np.float32 and mask.dtype == bool and len(mask) == 5
        seen.append(observation)
        return 2 + (mask[3] and len(seen) == 1)  # one replica more, once

    result = kisim.run(scenario, agent=agent)
    assert len(seen) == 20 * 4 - 1  # from the first interval on
    assert list(result.scalings["to"]) == [4]
    assert result.scalings["reason"][0] == "agent fleet"
    assert kisim.run(scenario, agent={"fleet": fixed(1)}).summary["replicas"]["default/llama"]["max"] == 8


def test_agents_that_fit_no_scenario():
    scenario = autoscaling()
    with pytest.raises(kisim.InputError, match="spec.policies.agents.fleet.policy"):
        kisim.run(scenario)
    with pytest.raises(kisim.UsageError, match="agent: found 'fleets', allowed: fleet"):
        kisim.run(scenario, agent={"fleets": fixed(0)})
    with pytest.raises(kisim.UsageError, match="action: found 5, allowed: integers from 0 to 4"):
        kisim.run(scenario, agent=fixed(3))
    with pytest.raises(kisim.UsageError, match="action: found 2 numbers, allowed: 1"):
        kisim.run(scenario, agent=lambda observation, mask: [1, 2])
    with pytest.raises(kisim.UsageError, match="action: found <class 'str'>, allowed: numbers"):
        kisim.run(scenario, agent=lambda observation, mask: "up")
    with pytest.raises(ZeroDivisionError):
        kisim.run(scenario, agent=lambda observation, mask: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        kisim.run_many(scenario, [1, 2], agent=lambda observation, mask: 1 // 0)


class ByQueue:
    """A replica more for every ten requests that wait."""

    metrics = ["vllm:num_requests_waiting"]

    def __init__(self):
        self.calls = 0

    def decide(self, observation):
        self.calls += 1
        assert observation["now"] == pytest.approx(15 * self.calls)
        (waiting,) = observation["metrics"].values()
        assert len(waiting) == len(observation["pods"])
        known = [w for w in waiting if w is not None]
        return observation["replicas"] + int(sum(known) / 10)


def test_an_autoscaler_in_python(quickstart):
    result = kisim.run(quickstart, autoscalers={"llama": ByQueue})
    assert result.summary["signature"] == kisim.run(quickstart, autoscalers={"default/llama": ByQueue}).summary["signature"]
    assert result.summary["signature"] != kisim.run(quickstart).summary["signature"]
    alone = [kisim.run(quickstart, seed=s, autoscalers={"llama": ByQueue}).summary["signature"] for s in (1, 2, 3)]
    together = kisim.run_many(quickstart, (1, 2, 3), autoscalers={"llama": ByQueue})
    assert [r.summary["signature"] for r in together] == alone

    class Constant:
        def decide(self, observation):
            return 3

    scaled = kisim.run(quickstart, autoscalers={"llama": Constant})
    assert list(scaled.scalings["to"]) == [3] and scaled.scalings["reason"][0] == "python"

    with pytest.raises(kisim.UsageError, match="autoscalers: found 'lama', allowed: default/llama"):
        kisim.run(quickstart, autoscalers={"lama": Constant})

    class Broken:
        def decide(self, observation):
            raise LookupError("no idea")

    with pytest.raises(LookupError, match="no idea"):
        kisim.run(quickstart, autoscalers={"llama": Broken})


class Forked(ByQueue):
    """May be forked."""

    def __deepcopy__(self, memo):
        other = Forked()
        other.calls = self.calls
        return other


def test_a_world_halts_and_forks(quickstart):
    world = kisim.World(quickstart, autoscalers={"llama": Forked})
    world.run_until(330)
    assert world.now == 330 and not world.finished
    halted = world.summary
    assert halted["simulated_s"] == 330 and halted["requests"]["in_flight"] > 0
    fork = world.fork()
    fork.run_until(3600)
    assert fork.finished and fork.now == 600 and world.summary == halted
    world.run_until(600)
    whole = kisim.run(quickstart, autoscalers={"llama": Forked}).summary
    assert world.summary == fork.summary == {key: whole[key] for key in fork.summary}

    with pytest.raises(kisim.UsageError, match="ByQueue.* has no __deepcopy__"):
        kisim.World(quickstart, autoscalers={"llama": ByQueue}).fork()
    scenario = autoscaling()
    acting = kisim.World(scenario, agent=fixed(0))
    acting.run_until(1200)
    assert acting.summary["signature"] == kisim.run(scenario, agent=fixed(0)).summary["signature"]
    with pytest.raises(kisim.UsageError, match="llama, which the agent fleet scales"):
        kisim.run(scenario, agent=fixed(0), autoscalers={"llama": ByQueue})


class Forgets(Forked):
    """Fails at its third decision."""

    def __deepcopy__(self, memo):
        return Forgets()

    def decide(self, observation):
        if self.calls == 2:
            raise LookupError("no idea")
        return super().decide(observation)


def test_a_world_in_which_something_was_raised_does_not_go_on(quickstart):
    world = kisim.World(quickstart, autoscalers={"llama": Forgets})
    world.run_until(40)
    healthy = world.fork()
    with pytest.raises(LookupError, match="no idea") as first:
        world.run_until(60)
    for step in (lambda: world.run_until(90), world.fork, lambda: world.summary):
        with pytest.raises(kisim.HaltedRun, match="halted at 45 s") as later:
            step()
        assert later.value.__cause__ is first.value
    assert not world.finished
    assert healthy.summary["simulated_s"] == 40  # what was copied before is none of its business
    acting = kisim.World(autoscaling(), agent=lambda observation, mask: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        acting.run_until(1200)
    with pytest.raises(kisim.HaltedRun):
        acting.run_until(1200)


def test_why_is_my_pod_pending(program, root):
    file = root / "scenarios/scheduling/mig.yaml"
    printed = subprocess.run([program, "explain", "pod", "sweep", file], capture_output=True, check=True, text=True).stdout
    assert kisim.explain_pod(file, "sweep") == printed
    early = subprocess.run(
        [program, "explain", "pod", "sweep", file, "--at", "5m"], capture_output=True, check=True, text=True
    ).stdout
    assert kisim.explain_pod(file, "sweep", at="5m") == kisim.explain_pod(file, "sweep", at=300) == early
    with pytest.raises(kisim.InputError, match="no pod is named 'swep'"):
        kisim.explain_pod(file, "swep")
    with pytest.raises(kisim.UsageError, match="at: found 'noon'"):
        kisim.explain_pod(file, "sweep", at="noon")
