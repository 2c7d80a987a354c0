"""`model.forward` is `score` in plain tensor operations: it can be exported, and runs in onnxruntime."""

import numpy as np
import pytest
import torch

import minivae as mv

MODELS = {
    "multvae": lambda: mv.MultVAE(30, 16, 8),
    "multdae": lambda: mv.MultDAE(30, 8),
    "recvae": lambda: mv.RecVAE(30, 16, 8),
    "hvamp": lambda: mv.HVamp(30, 16, 8, components=5),
}
X = (np.random.default_rng(0).random((7, 30)) < 0.3).astype(np.float32)
X[3] = 0


def made(name):
    torch.manual_seed(0)
    return MODELS[name]().eval()


def check(scores, model):
    np.testing.assert_allclose(np.asarray(scores), model.score(X).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("normalize", [True, False])
def test_forward_is_score(name, normalize):
    model = made(name)
    model.normalize = normalize
    with torch.no_grad():
        check(model(torch.from_numpy(X)), model)
        model.normalize = not normalize  # broken twin: the other input convention
        scores = model(torch.from_numpy(X))
        model.normalize = normalize
        with pytest.raises(AssertionError):
            check(scores, model)


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_program_scores_the_same(name):
    model = made(name)
    program = torch.export.export(model, (torch.from_numpy(X),))
    with torch.no_grad():
        check(program.module()(torch.from_numpy(X)), model)


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_scores_the_same(name, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed, which torch.onnx needs")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model, path = made(name), str(tmp_path / "model.onnx")
    torch.onnx.export(model, (torch.from_numpy(X),), path, dynamo=True, input_names=["history"])
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    check(session.run(None, {"history": X})[0], model)
