import os
import pathlib

import pytest

import kisim

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def root():
    return ROOT


@pytest.fixture
def program():
    """The kisim program of the same build."""
    path = os.environ.get("KISIM")
    if not path:
        pytest.skip("skipped: KISIM does not name the program")
    return path


@pytest.fixture
def quickstart():
    return kisim.Scenario(ROOT / "scenarios/quickstart.yaml", overrides={"duration": "10m"})


def autoscaling(duration="20m", **overrides):
    """An LLM on up to eight GPUs at the fluid level under one agent: the scenario of the bench, cut short. A decision
    every 15 s, the first one after five minutes."""
    return kisim.Scenario(ROOT / "bench/autoscaling.yaml", overrides={"duration": duration, **overrides})
