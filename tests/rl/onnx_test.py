"""Exported policies under onnxruntime, against what the Actor made of the same observations.

usage: onnx_test.py TEST_RL KISIM, the test program that writes models and references, and the program that exports.
./dev test installs what is imported.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from safetensors.numpy import load_file, safe_open
except ImportError as missing:
    print(f"skipped: {missing}; ./dev test installs it")
    sys.exit(0)

TOLERANCE = 1e-5


def compare(directory, name):
    model = onnx.load(directory / f"{name}.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)] and model.ir_version == 8
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with safe_open(directory / f"{name}.reference", "numpy") as file:
        steps, episodes = (int(file.metadata()[key]) for key in ("steps", "episodes"))
    reference = load_file(directory / f"{name}.reference")
    observations, outputs, actions = (
        reference[key].reshape(steps, episodes, -1) for key in ("observations", "outputs", "actions")
    )
    masks = reference["masks"].reshape(steps, episodes, -1).astype(bool) if reference["masks"].size else None

    shapes = {x.name: x.shape for x in session.get_inputs()}
    states = {k: np.zeros((episodes, s[1]), np.float32) for k, s in shapes.items() if k.startswith(("hidden", "cell"))}
    results = [x.name for x in session.get_outputs()]
    assert ("mask" in shapes) == (masks is not None)
    assert {f"next_{key}" for key in states} == set(results) - {"action", "logits", "mean"}
    assert {f"next_{key}" for key in states} == {key for key in reference if key.startswith("next_")}

    worst = 0.0
    for step in range(steps):
        inputs = {"observation": observations[step], **states}
        if masks is not None:
            inputs["mask"] = masks[step]
        found = dict(zip(results, session.run(results, inputs)))
        states = {key: found[f"next_{key}"] for key in states}
        if "mean" in found:
            worst = max(worst, np.abs(found["mean"] - outputs[step]).max(), np.abs(found["action"] - actions[step]).max())
            continue
        allowed = np.ones_like(outputs[step], bool) if masks is None else masks[step]
        assert np.all(np.isneginf(found["logits"][~allowed]))
        worst = max(worst, np.abs(found["logits"] - outputs[step])[allowed].max())
        assert found["action"].dtype == np.int64
        np.testing.assert_array_equal(found["action"], actions[step].astype(np.int64))
    for key, state in states.items():
        worst = max(worst, np.abs(state - reference[f"next_{key}"].reshape(state.shape)).max())
    assert worst < TOLERANCE, worst
    print(f"{name}: {steps * episodes} observations, every action the same, largest difference {worst:.1e}")


def check_policy_file(path):
    """Readers of safetensors read policies."""
    with safe_open(path, "numpy") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    assert metadata["format"] == "kisim policy" and metadata["name"] == path.stem
    assert all(np.isfinite(value).all() for key, value in tensors.items() if key.startswith("layers."))


def check_export(path):
    """The verb makes the same model of a policy file."""
    exported = path.with_suffix(".exported")
    subprocess.run([sys.argv[2], "export", path, "-o", exported], check=True)
    assert exported.read_bytes() == path.with_suffix(".onnx").read_bytes()


def main():
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        command = [sys.argv[1], "[.onnx]"]
        subprocess.run(command, env={**os.environ, "KISIM_ONNX_DIRECTORY": name}, check=True, stdout=subprocess.DEVNULL)
        models = sorted(directory.glob("*.onnx"))
        assert models
        for model in models:
            compare(directory, model.stem)
            check_policy_file(model.with_suffix(".policy"))
            check_export(model.with_suffix(".policy"))


main()
