"""The path of a GPU, tried without one: on the device "meta", whose tensors have a shape but no data.

What only host tensors decide works there; what must read from the device (`item`, `nonzero`, a boolean index, `unique`,
`cpu`, ...) has nothing to read and raises. Those are the operations for which a GPU makes the host wait. The tests with
real numbers on a GPU are skipped where there is none.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim import adam as torch_adam
from torch.utils._python_dispatch import TorchDispatchMode

from minivae import HVamp, MultDAE, MultVAE, RecVAE, TrainConfig, evaluate, fit, load_model, objective, save_model
from minivae.batches import DeviceCSR
from minivae.runtime.checkpoint import Checkpoint, Saving
from minivae.update import Trainer, loss_terms

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
PRIORS = ("normal", "composite", "vamp")
SMALL = {"hidden": 8, "latent": 4, "components": 3}
MODELS = {
    f"{cls.__name__}-{prior}": (lambda n, cls=cls, prior=prior: cls(n, prior=prior, **SMALL))
    for cls in (MultVAE, RecVAE, HVamp)
    for prior in PRIORS
} | {"MultDAE": lambda n: MultDAE(n, latent=4)}
PLAIN = TrainConfig(keep=0.5, beta=0.2, gamma=0.01, batch_size=64, seed=3, precision="fp32")
CONFIGS = {mask: replace(PLAIN, mask=mask) for mask in ("normalize-then-mask", "mask-then-normalize", "raw")} | {
    f"{variant}-{weights}": replace(PLAIN, anchor=0.5, anchor_variant=variant, anchor_weights=weights)
    for variant, weights in (
        ("full", "uniform"),
        ("full", "idf"),
        ("centroid+variance", "popularity"),
        ("centroid", "uniform"),
        ("softmin", "idf"),
    )
}


class NoWaiting(TorchDispatchMode):
    """Refuses the two waits that "meta" would carry out: a write through a boolean mask, and a blocking copy to it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.overloadpacket in (torch.ops.aten.index_put, torch.ops.aten.index_put_):
            assert all(i is None or i.dtype != torch.bool for i in args[1]), f"{func} with a mask counts its entries"
        out = func(*args, **kwargs)
        if func.overloadpacket is torch.ops.aten._to_copy and args[0].is_cpu and out.is_meta:
            assert kwargs.get("non_blocking"), "a blocking copy to the device"
        return out


@pytest.fixture(autouse=True)
def fused_adam_on_meta(monkeypatch):
    """Fused Adam works on "meta"; only the list of devices that it is checked against does not say so."""
    monkeypatch.setattr(torch_adam, "_device_dtype_check_for_fused", lambda p: None)


def build(make, config, n_items, device):
    torch.manual_seed(0)
    model = make(n_items)
    if config.anchor > 0:
        model.add_anchors()
    return model.to(device).train()


def update_in_every_phase(model, config, train, look=lambda p: None):
    """One update of each phase on the device "meta"; then `look` does something with the first parameter."""
    trainer = Trainer.make(model, train, replace(config, precision="bf16"))
    with NoWaiting():
        for step, phase in enumerate(model.phases):
            trainer.update(torch.arange(5, 60), step, phase)
            model.finish(phase)
            look(next(model.parameters()))


@pytest.mark.parametrize("name", MODELS)
def test_an_update_never_reads_from_the_device(name, toy_split, monkeypatch):
    monkeypatch.setattr(objective, "CHUNK_CELLS", 20 * toy_split.n_items)  # several blocks of users
    for config in CONFIGS.values():
        update_in_every_phase(build(MODELS[name], config, toy_split.n_items, "meta"), config, toy_split.train)


TWINS = {  # of the first parameter
    "item": lambda p: p.sum().item(),
    "condition": lambda p: bool(torch.isnan(p).any()),
    "boolean index": lambda p: p[p > 0],
    "boolean write": lambda p: p.data.__setitem__(p > 0, torch.ones(2, device="meta")),
    "nonzero": lambda p: p.nonzero(),
    "unique": lambda p: p.unique(),
    "copy to the host": lambda p: p.cpu(),
    "blocking copy": lambda p: torch.ones(3).to(p.device),
}


@pytest.mark.parametrize("twin", TWINS)
def test_twins_that_wait_are_caught(twin, toy_split):
    model = build(MODELS["MultVAE-normal"], PLAIN, toy_split.n_items, "meta")
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError)):
        update_in_every_phase(model, PLAIN, toy_split.train, TWINS[twin])


def test_twins_inside_the_update_are_caught(toy_split, monkeypatch):
    model = build(MODELS["MultVAE-normal"], PLAIN, toy_split.n_items, "meta")
    update_in_every_phase(model, PLAIN, toy_split.train)
    whole = DeviceCSR.batch

    def bounds_on_the_device(matrix, users):
        batch = whole(matrix, users)
        return replace(batch, bounds=batch.offsets)

    def masked_entries_dropped(matrix, users):
        batch = whole(matrix, users)
        return replace(batch, items=batch.items[batch.weights > 0])

    for twin in (bounds_on_the_device, masked_entries_dropped):
        monkeypatch.setattr(DeviceCSR, "batch", twin)
        with pytest.raises((RuntimeError, NotImplementedError)):
            update_in_every_phase(model, PLAIN, toy_split.train)


@needs_gpu
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("config", CONFIGS)
def test_loss_and_gradients_are_those_of_the_cpu(name, config, toy_split):
    """float32 sums of at most some thousand terms in another order: 1e-4 is far above it and far below a mistake."""
    config = CONFIGS[config]

    def learned(device):
        model = build(MODELS[name], config, toy_split.n_items, device)
        batch = DeviceCSR(toy_split.train, device, config.anchor_weights).batch(torch.arange(5, 60))
        terms = loss_terms(model, batch, config, 7)
        terms["loss"].backward()
        grads = {f"gradient of {k}": p.grad for k, p in model.named_parameters() if p.grad is not None}
        return {k: v.detach().cpu() for k, v in (terms | grads).items()}

    cpu, gpu = learned("cpu"), learned("cuda")
    assert cpu.keys() == gpu.keys()
    for key, want in cpu.items():
        torch.testing.assert_close(
            gpu[key], want, rtol=1e-4, atol=1e-4 * float(want.abs().max()), msg=lambda m, key=key: f"{key}: {m}"
        )


@needs_gpu
@pytest.mark.parametrize("name", MODELS)
def test_an_epoch_makes_the_host_wait_for_nothing(name, toy_split):
    config = replace(PLAIN, anchor=0.5, precision="bf16")
    model = build(MODELS[name], config, toy_split.n_items, "cuda")
    trainer = Trainer.make(model, toy_split.train, config)
    state = Checkpoint(model, trainer.optimizer, {})
    mode = torch.cuda.get_sync_debug_mode()
    try:
        torch.cuda.set_sync_debug_mode("error")
        trainer.epoch(state, lambda *_: None, Saving(state, None), lambda: False)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    assert np.isfinite(state.means()["loss"])


@needs_gpu
def test_fit_save_load_and_evaluate(toy_split, tmp_path):
    run = fit(MultVAE(toy_split.n_items, 32, 16), toy_split, replace(PLAIN, device="cuda", anchor=0.5, epochs=20))
    assert next(run.model.parameters()).is_cuda
    found = evaluate(run.model, toy_split.test)
    untrained = evaluate(MultVAE(toy_split.n_items, 32, 16), toy_split.test)
    assert found["ndcg@100"][0] > untrained["ndcg@100"][0] + 0.1
    save_model(run.model, tmp_path / "model.safetensors")
    again = evaluate(load_model(tmp_path / "model.safetensors"), toy_split.test)  # on the CPU
    assert again["ndcg@100"][0] == pytest.approx(found["ndcg@100"][0], abs=1e-3)
