"""Trained policies: a file made here, layer by layer, against the same in NumPy, in the simulator and in ONNX."""

import json

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import save_file

import kisim
from conftest import ROOT, autoscaling

HIDDEN = 16


@pytest.fixture
def weights():
    rng = np.random.default_rng(5)
    size = len(kisim.make(autoscaling()).feature_names)
    return {
        "normaliser.mean": rng.normal(size=size),
        "normaliser.variance": rng.uniform(0.5, 2, size=size),
        "normaliser.epsilon": np.array([1e-8]),
        "normaliser.clip": np.array([10.0]),
        "layers.0.weight": rng.normal(size=(HIDDEN, size)).astype(np.float32),
        "layers.0.bias": rng.normal(size=HIDDEN).astype(np.float32),
        "layers.1.weight": rng.normal(size=(5, HIDDEN)).astype(np.float32),
        "layers.1.bias": rng.normal(size=5).astype(np.float32),
    }


@pytest.fixture
def file(tmp_path, weights):
    env = kisim.make(autoscaling())
    tensors = {
        **weights,
        "actions.choices": np.array([5], dtype=np.int32),
        "observation.low": env.observation_space.low,
        "observation.high": env.observation_space.high,
    }
    layers = [{"kind": "linear", "activation": "tanh"}, {"kind": "linear", "activation": "none"}]
    about = {
        "format": "kisim policy",
        "version": "1",
        "name": "made",
        "algorithm": "none",
        "observation": json.dumps(env.feature_names),
        "actions": "MultiDiscrete",
        "masked": "true",
        "layers": json.dumps(layers),
        "coding": json.dumps({"name": "kiscaler"}),
        "provenance": json.dumps({"seed": "5"}),
    }
    path = tmp_path / "made.policy"
    save_file(tensors, path, metadata=about)
    return path


def logits(weights, observation):
    scale = np.sqrt(weights["normaliser.variance"] + 1e-8)
    x = np.clip((observation - weights["normaliser.mean"]) / scale, -10, 10)
    hidden = np.tanh(weights["layers.0.weight"] @ x + weights["layers.0.bias"])
    return weights["layers.1.weight"] @ hidden + weights["layers.1.bias"]


def test_a_policy_acts_as_its_weights_say(file, weights, tmp_path):
    policy = kisim.Policy(file)
    assert (policy.name, policy.algorithm, policy.masked, policy.provenance) == ("made", "none", True, {"seed": "5"})
    policy.onnx(tmp_path / "made.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "made.onnx"), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(6)
    for _ in range(200):
        observation = rng.normal(size=len(policy.feature_names)).astype(np.float32)
        mask = rng.random(5) < 0.5
        mask[2] = True
        wanted = logits(weights, observation)
        np.testing.assert_allclose(policy.outputs(observation), wanted, atol=1e-4)
        assert policy.act(observation).tolist() == [wanted.argmax()]
        allowed = policy.act(observation, mask)
        assert allowed.dtype == np.int64 and allowed.tolist() == [np.where(mask, wanted, -np.inf).argmax()]
        (action,) = session.run(["action"], {"observation": observation[None], "mask": mask[None]})
        assert action.tolist() == [allowed.tolist()]


def test_it_acts_from_outside_as_in_the_simulator(file):
    outside = kisim.run(autoscaling(), agent=kisim.Policy(file))
    overrides = {"duration": "20m", "policies.agents.fleet": {"policy": str(file), "workloads": "llama", "maxReplicas": 8}}
    inside = kisim.run(kisim.Scenario(ROOT / "bench/autoscaling.yaml", overrides=overrides))
    assert len(inside.scalings) > 0
    assert outside.scalings.equals(inside.scalings)
    assert outside.summary["signature"] == inside.summary["signature"]


def test_errors(file, tmp_path):
    policy = kisim.Policy(file)
    with pytest.raises(kisim.UsageError, match="observation: found 2 elements, allowed: 18"):
        policy.act([1, 2])
    with pytest.raises(kisim.UsageError, match="mask: found 1 elements, allowed: 5"):
        policy.act(np.zeros(18), [True])
    with pytest.raises(kisim.IoError, match="none.policy"):
        kisim.Policy(tmp_path / "none.policy")
    with pytest.raises(kisim.InputError, match="quickstart.yaml"):
        kisim.Policy(ROOT / "scenarios/quickstart.yaml")
    with pytest.raises(kisim.IoError):
        policy.onnx("/proc/no-such-folder/x.onnx")
