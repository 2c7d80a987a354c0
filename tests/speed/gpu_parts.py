"""What `gpu.py` measures, part after part. A part is a generator of rows; every row is written when it is known."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rivals import DenseMultVAE, dense_step
from torch import Tensor

import minivae as mv
from minivae.batches import DeviceCSR, UserBatch
from minivae.runtime import streams
from minivae.runtime.device import product_dtype
from minivae.runtime.memory import keep_freed_memory
from minivae.theory.numerics.gram import gram
from minivae.update import Trainer, loss_terms

Row = dict[str, object]
Work = Callable[[], object]
ROUNDS, WARM_UP = 5, 3
FP32_LIMIT = 1e-4  # sums of some thousand terms in another order stay far below it, a mistake far above
BF16_LOSS, BF16_TIMES = 2**-8, 4.0  # one rounding of bf16; a gradient may be so many times as far off as on the CPU


@dataclass(frozen=True)
class Sizes:
    """How large everything is; `hidden` and `latent` are those of Mult-VAE."""

    shape: str | None
    users: int
    items: int
    events: int
    heldout: int
    hidden: int
    latent: int
    batches: tuple[int, ...]
    round_seconds: float
    ranked: int
    gram_users: int
    epochs: int
    compiler: str


FULL = Sizes("ml-20m", 0, 0, 0, 10_000, 600, 200, (500, 8192), 0.3, 10_000, 2000, 200, "inductor")
SMALL = Sizes(None, 400, 150, 8000, 40, 16, 8, (50, 200), 0.002, 40, 30, 3, "eager")


@dataclass(frozen=True)
class Setting:
    """Where and how large a part is measured, and when it must have ended (`time.monotonic`)."""

    device: torch.device
    sizes: Sizes
    path: Path
    end: float

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def low(self) -> torch.dtype:
        """What precision="auto" multiplies in on this device."""
        return product_dtype("auto", self.device)

    def model(self, n_items: int) -> mv.MultVAE:
        return mv.MultVAE(n_items, self.sizes.hidden, self.sizes.latent).to(self.device)


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(s: Setting) -> Iterator[Row]:
    """What the figures are of."""
    yield {"what": "torch", "value": torch.__version__}
    if s.cuda:
        of = torch.cuda.get_device_properties(s.device)
        yield {"what": "GPU", "value": f"{of.name}, {of.total_memory / 1e9:.0f} GB, sm_{of.major}{of.minor}"}
        yield {"what": "CUDA", "value": str(torch.version.cuda)}
    else:
        yield {"what": "GPU", "value": f"none: these are figures of {s.device}, {torch.get_num_threads()} threads"}
    yield {"what": "products with precision auto", "value": str(s.low)}
    yield {"what": "TF32 in float32 products", "value": str(torch.backends.cuda.matmul.allow_tf32)}


def data(s: Setting) -> Iterator[Row]:
    """A planted population and its split, for the parts that follow."""
    z, start = s.sizes, time.perf_counter()
    made = mv.planted(shape=z.shape) if z.shape else mv.planted(n_users=z.users, n_items=z.items, n_events=z.events)
    split = mv.strong_split(made, n_heldout=z.heldout)
    split.save(s.path)
    seconds = time.perf_counter() - start
    yield {"training users": split.train.shape[0], "items": split.n_items, "seconds": seconds}


# Correctness -----------------------------------------------------------------------------------------------------


def correctness(s: Setting) -> Iterator[Row]:
    """Against float64 on the CPU: loss and gradients; against the CPU: ranking and a short training."""
    toy = mv.planted(n_users=SMALL.users, n_items=SMALL.items, n_events=SMALL.events)
    split = mv.strong_split(toy, n_heldout=SMALL.heldout)
    models: dict[str, Callable[[], mv.VAE]] = {
        "MultVAE": lambda: mv.MultVAE(split.n_items, 32, 16),
        "MultVAE + anchors": lambda: mv.MultVAE(split.n_items, 32, 16),
        "MultDAE": lambda: mv.MultDAE(split.n_items, latent=16),
        "RecVAE": lambda: mv.RecVAE(split.n_items, hidden=32, latent=16),
        "HVamp": lambda: mv.HVamp(split.n_items, hidden=32, latent=16, components=5),
    }
    cpu = torch.device("cpu")
    for name, make in models.items():
        learned = partial(_learned, make, split, 1.0 if "anchors" in name else 0.0)
        want = learned(cpu, torch.float64)
        for products in (torch.float32, torch.bfloat16):
            errors = {where: _errors(learned(at, products), want) for where, at in (("CPU", cpu), ("device", s.device))}
            for what in ("loss", "gradient"):
                here, there = errors["CPU"][what], errors["device"][what]
                low = BF16_LOSS if what == "loss" else BF16_TIMES * here
                limit = FP32_LIMIT if products == torch.float32 else low
                yield _checked(f"{what} of {name}, {_short(products)}", here, there, limit)
    yield from _ranked(s, split)
    yield from _trained(s, split)
    yield from _waits(s, split)


def _checked(what: str, cpu: float | str, device: float, limit: float) -> Row:
    return {"what": what, "error, CPU": cpu, "error, device": device, "at most": limit, "holds": device <= limit}


def _learned(
    make: Callable[[], mv.VAE], split: mv.StrongSplit, anchor: float, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The loss of one update and its gradients as one vector; bf16 is the precision of the products alone."""
    model = make()
    model.reset_parameters(torch.Generator().manual_seed(0))
    config = mv.TrainConfig(anchor=anchor, anneal_steps=0, gamma=0.01)
    if anchor:
        model.add_anchors(torch.Generator().manual_seed(1))
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    model.to(device, kept).train()
    batch = DeviceCSR(split.train, device).batch(torch.arange(5, 105))
    batch = replace(batch, counts=batch.counts.to(kept), weights=batch.weights.to(kept))
    loss = loss_terms(model, batch, config, 7, dtype)["loss"]
    loss.backward()
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return {"loss": loss.detach().cpu().double(), "gradient": torch.cat(grads).cpu().double()}


def _errors(got: dict[str, Tensor], want: dict[str, Tensor]) -> dict[str, float]:
    """Relative: ‖got − want‖ / ‖want‖."""
    return {name: float((got[name] - of).norm() / of.norm()) for name, of in want.items()}


class Given:
    """Scores made beforehand, block after block."""

    def __init__(self, scores: Tensor) -> None:
        self.scores, self.at = scores, 0

    def score(self, history: object) -> Tensor:
        block = self.scores[self.at : self.at + history.shape[0]].clone()
        self.at += history.shape[0]
        return block


def _ranked(s: Setting, split: mv.StrongSplit) -> Iterator[Row]:
    """The same scores, and the scores of the same model."""
    scores = torch.randn(split.test.history.shape, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = mv.MultVAE(split.n_items, 32, 16).eval()
    rankings = {
        "metrics of the same scores": (Given(scores), Given(scores.to(s.device)), 0.0),
        "nDCG@100 of the same model": (model, _copy(model, s.device), FP32_LIMIT),
    }
    for what, (here, there, limit) in rankings.items():
        a, b = (mv.evaluate(m, split.test).per_user["ndcg@100"] for m in (here, there))
        far = np.nanmax(np.abs(a - b)) if limit == 0 else abs(np.nanmean(a) - np.nanmean(b))
        yield _checked(what, "", float(far), limit)


def _copy(model: mv.MultVAE, device: torch.device) -> mv.MultVAE:
    twin = mv.MultVAE(model.n_items, model.hidden, model.latent).to(device).eval()
    twin.load_state_dict(model.state_dict())
    return twin


def _trained(s: Setting, split: mv.StrongSplit) -> Iterator[Row]:
    """A few epochs with the same seed: the loss of the last, and the difference in nDCG@100 in standard errors."""
    config = mv.TrainConfig(epochs=5, batch_size=50, anchor=0.3, precision="fp32")
    runs = [mv.fit(mv.MultVAE(split.n_items, 32, 16), split, replace(config, device=str(d))) for d in ("cpu", s.device)]
    losses = [run.log[-1]["loss"] for run in runs]
    yield _checked("loss after 5 epochs, fp32", "", abs(losses[1] - losses[0]) / losses[0], 1e-3)
    a, b = (mv.evaluate(run.model, split.test) for run in runs)
    d = mv.compare(b, a)["ndcg@100"]
    yield _checked("nDCG@100 after them, in standard errors", "", abs(d.difference) / d.se if d.se else 0.0, 3.0)


def _waits(s: Setting, split: mv.StrongSplit) -> Iterator[Row]:
    """Updates during which CUDA raises if the host waits for the device."""
    if not s.cuda:
        return
    trainer = Trainer.make(s.model(split.n_items).train(), split.train, mv.TrainConfig(precision="bf16"))
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for k in range(3):
            trainer.update(torch.arange(100), k)
        waited = 0.0
    except RuntimeError:
        waited = 1.0
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    yield _checked("updates in which the host waits", "", waited, 0.0)


# Time of a step ---------------------------------------------------------------------------------------------------


def timed(s: Setting, work: Work) -> Row:
    """Milliseconds of one call: median over rounds, the least and the most; the host's part, and peak memory.

    A round lasts at least `round_seconds` and ends when the device has finished. What the host alone takes to ask for
    the work is apart: where it is as much as the whole, the device waits for the host.
    """
    if s.cuda:
        torch.cuda.reset_peak_memory_stats(s.device)
    for _ in range(WARM_UP):
        work()
    synchronize(s.device)
    start = time.perf_counter()
    work()
    synchronize(s.device)
    calls = int(np.clip(s.sizes.round_seconds / max(1e-9, time.perf_counter() - start), 1, 300))
    rounds = [_round(s, work, calls) for _ in range(ROUNDS)]
    ms, host = ([1e3 * r[k] / calls for r in rounds] for k in (0, 1))
    found: Row = {"ms": statistics.median(ms), "least": min(ms), "most": max(ms), "host ms": statistics.median(host)}
    return found | ({"GPU GB": torch.cuda.max_memory_allocated(s.device) / 1e9} if s.cuda else {})


def _round(s: Setting, work: Work, calls: int) -> tuple[float, float]:
    """Seconds until the device has finished, and until the host has."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    asked = time.perf_counter() - start
    synchronize(s.device)
    return time.perf_counter() - start, asked


def floor(s: Setting, n_items: int, batch: int, products: torch.dtype) -> Work:
    """Three item-sized products and one pass of fused Adam: what no step with an exact softmax avoids."""
    h, w = (torch.randn(n, s.sizes.hidden, device=s.device).to(products) for n in (batch, n_items))
    p = torch.rand(batch, n_items, device=s.device).to(products)
    model = s.model(n_items)
    for q in model.parameters():
        q.grad = torch.full_like(q, 1e-3)
    optimizer = torch.optim.Adam(model.parameters(), fused=True, capturable=s.cuda)

    def work() -> None:
        _ = h @ w.T, p @ w, p.T @ h
        optimizer.step()

    return work


def dense(s: Setting, split: mv.StrongSplit, batch: int) -> Work:
    """The usual code: dense rows, dropout, log-softmax; the rows are copied from the host."""
    model = DenseMultVAE(split.n_items, s.sizes.hidden, s.sizes.latent).to(s.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rows = split.train[:batch]
    return lambda: dense_step(model, optimizer, rows, 0.2)


def trainer(s: Setting, split: mv.StrongSplit, products: torch.dtype, anchor: float) -> Trainer:
    model = s.model(split.n_items).train()
    if anchor:
        model.add_anchors()
    made = Trainer.make(model, split.train, mv.TrainConfig(anchor=anchor))
    return replace(made, products=products)


def ours(s: Setting, split: mv.StrongSplit, batch: int, products: torch.dtype, anchor: float = 0.0) -> Work:
    """Updates as `fit` makes them, each of other users."""
    of = trainer(s, split, products, anchor)
    order = streams.permutation(0, 0, split.train.shape[0]).split(batch)
    whole = [users for users in order if len(users) == min(batch, split.train.shape[0])]
    state = {"step": 0}

    def work() -> None:
        of.update(whole[state["step"] % len(whole)], state["step"])
        state["step"] += 1

    return work


def update_of(of: Trainer, batch: UserBatch, loss: Callable[..., dict[str, Tensor]] = loss_terms) -> None:
    """One update from a batch that is on the device: nothing here depends on numbers of the device."""
    for p in of.model.parameters():
        p.grad = None
    loss(of.model, batch, of.config, 0, of.products)["loss"].backward()
    of.optimizer.step()


def captured(work: Work) -> Work:
    """`work` as a CUDA graph: the device repeats it without the host. Shapes and addresses are those of now."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def one_batch(s: Setting, split: mv.StrongSplit, batch: int, products: torch.dtype, anchor: float, **how: Any) -> Work:
    """The same update again and again, which can be captured: batches differ in length, graphs do not."""
    of = trainer(s, split, products, anchor)
    if s.cuda:
        for group in of.optimizer.param_groups:
            group["capturable"] = True
    users = of.matrix.batch(torch.arange(min(batch, split.train.shape[0])))
    return partial(update_of, of, users, **how)


def _short(products: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float64: "float64"}[products]


def _rows(s: Setting, batch: int, works: dict[str, Callable[[], Work]]) -> Iterator[Row]:
    """Each work is made, timed and dropped; what fails says why and ends nothing else."""
    for name, make in works.items():
        try:
            yield {"batch": batch, "what": name} | timed(s, make())
        except Exception as e:
            yield {"batch": batch, "what": name, "ms": f"failed: {type(e).__name__}: {str(e).splitlines()[0][:200]}"}
        if s.cuda:
            torch.cuda.empty_cache()


def steps(s: Setting) -> Iterator[Row]:
    """An update as `fit` makes it, dense PyTorch, and the floor."""
    keep_freed_memory()
    split = mv.StrongSplit.load(s.path)
    for batch in s.sizes.batches:
        yield from _rows(
            s,
            batch,
            {
                "floor, fp32": lambda b=batch: floor(s, split.n_items, b, torch.float32),
                "floor, bf16": lambda b=batch: floor(s, split.n_items, b, torch.bfloat16),
                "minivae, fp32": lambda b=batch: ours(s, split, b, torch.float32),
                "minivae, bf16": lambda b=batch: ours(s, split, b, torch.bfloat16),
                "minivae, bf16, anchors": lambda b=batch: ours(s, split, b, torch.bfloat16, 1.0),
                "dense PyTorch, fp32": lambda b=batch: dense(s, split, b),
            },
        )


def graphs(s: Setting) -> Iterator[Row]:
    """One batch again and again: asked for by the host, and as a CUDA graph."""
    split = mv.StrongSplit.load(s.path)
    for batch in s.sizes.batches:
        same = partial(one_batch, s, split, batch, torch.bfloat16)
        works = {"one batch, bf16": lambda f=same: f(0.0), "one batch, bf16, anchors": lambda f=same: f(1.0)}
        if s.cuda:
            works |= {f"CUDA graph, {name}": lambda f=make: captured(f()) for name, make in works.items()}
            works["CUDA graph, floor, bf16"] = lambda b=batch: captured(floor(s, split.n_items, b, torch.bfloat16))
        yield from _rows(s, batch, works)


def compiled(s: Setting) -> Iterator[Row]:
    """The loss through `torch.compile`, alone and in a CUDA graph."""
    split = mv.StrongSplit.load(s.path)
    for batch in s.sizes.batches:
        loss = torch.compile(loss_terms, backend=s.sizes.compiler)
        same = partial(one_batch, s, split, batch, torch.bfloat16, 0.0, loss=loss)
        works = {"torch.compile, one batch, bf16": same}
        if s.cuda:
            works["torch.compile and CUDA graph, one batch, bf16"] = lambda f=same: captured(f())
        yield from _rows(s, batch, works)


# The rest ---------------------------------------------------------------------------------------------------------


def ranking(s: Setting) -> Iterator[Row]:
    """Held-out users ranked from their histories, beside the product and the selection alone."""
    split = mv.StrongSplit.load(s.path)
    model = s.model(split.n_items).eval()
    n = min(s.sizes.ranked, split.test.n_users)
    some = mv.FoldIn(split.test.history[:n], split.test.heldout[:n])
    h = torch.randn(500, s.sizes.hidden, device=s.device)
    output = model.decoder[-1]

    def least() -> None:
        with torch.no_grad():
            for a in range(0, n, 500):
                torch.topk(output(h[: min(500, n - a)]), min(100, split.n_items), dim=1)

    yield {"users": n, "what": "one product and topk"} | timed(s, least)
    yield {"users": n, "what": "evaluate"} | timed(s, lambda: mv.evaluate(model, some))
    yield {"users": n, "what": "recommend, k = 20"} | timed(s, lambda: mv.recommend(model, some.history, 20))


def grams(s: Setting) -> Iterator[Row]:
    """All pairs of decoder gradients, beside the item-sized product alone."""
    split = mv.StrongSplit.load(s.path)
    model, n = s.model(split.n_items).eval(), min(s.sizes.gram_users, split.train.shape[0])
    users = split.train[:n]
    errors = torch.randn(n, split.n_items, device=s.device)
    yield {"users": n, "what": "one product"} | timed(s, lambda: errors @ errors.T)
    yield {"users": n, "what": "gram, z = μ"} | timed(s, lambda: gram(model, users, n_samples=0))
    few = users[: min(n, 50)]
    here = gram(_copy(model.cpu(), torch.device("cpu")), few, n_samples=0)
    there = gram(model.to(s.device), few, n_samples=0).cpu()
    error = float((there - here).norm() / here.norm())
    yield {"users": few.shape[0], "what": "gram: relative error to the CPU", "value": error, "holds": error < 1e-3}


class Enough(Exception):
    """The time of the part is up."""


def epochs(s: Setting) -> Iterator[Row]:
    """`fit` with its validation for as many epochs as there is time, and what 200 would take."""
    split = mv.StrongSplit.load(s.path)
    for k, batch in enumerate(s.sizes.batches):
        end = time.monotonic() + (s.end - time.monotonic()) / (len(s.sizes.batches) - k)
        seconds: list[float] = []

        def note(model: object, line: dict, seconds: list[float] = seconds, end: float = end) -> None:
            seconds.append(line["seconds"])
            if time.monotonic() + 1.5 * max(seconds) > end:
                raise Enough

        most = s.sizes.epochs
        config = mv.TrainConfig(epochs=most, patience=most, batch_size=batch, device=str(s.device))
        with suppress(Enough):
            mv.fit(s.model(split.n_items), split, config, callback=note)
        usual = statistics.median(seconds[1:] or seconds)
        whole = sum(seconds) + (most - len(seconds)) * usual
        yield {
            "batch": batch,
            "epochs run": len(seconds),
            "first epoch, s": seconds[0],
            "an epoch, s (median)": usual,
            f"{most} epochs, s": whole,
            "that is": "measured" if len(seconds) == most else f"extrapolated from {len(seconds)}",
        }


@dataclass(frozen=True)
class Part:
    """One part: its title, the seconds that it needs on a GPU at full size, and whether it needs the data."""

    title: str
    measure: Callable[[Setting], Iterator[Row]]
    least: float
    needs_data: bool = True


PARTS = {
    "machine": Part("Machine", machine, 10, needs_data=False),
    "correctness": Part("Correctness", correctness, 40, needs_data=False),
    "data": Part("Planted data", data, 40, needs_data=False),
    "steps": Part("An update", steps, 40),
    "graphs": Part("An update of one batch, and as a CUDA graph", graphs, 25),
    "ranking": Part("Ranking", ranking, 20),
    "gram": Part("Gram matrix of users", grams, 20),
    "compile": Part("An update through torch.compile", compiled, 90),
    "epochs": Part("Training", epochs, 60),
}
