"""What trained models show of the theory: the prototype's observations, measured again over seeds.

Models are read from run folders as `minivae study` leaves them, so that nothing is trained twice; `train` fills such
folders with small networks where there are none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch

from minivae.config import TrainConfig
from minivae.data.splits import StrongSplit
from minivae.errors import InputError, check_whole
from minivae.models import VAE, load_model
from minivae.options import MOST_RUNS
from minivae.runtime.portable import seen_from
from minivae.runtime.progress import tracked
from minivae.runtime.records import read_record
from minivae.study.run.loop import Jobs, Task, run_all
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.notes import SPLIT
from minivae.study.run.records import Metrics, Setting
from minivae.study.run.runs import Job, finished, read_note, trained_with
from minivae.theory import anchoring, bottleneck, locality, masking, toy, transfer
from minivae.theory.card.evidence import LIPSCHITZ
from minivae.theory.card.subject import in_float64

KEEP = 0.5
PAIRS, POPULATION, MASKS = 100, 2000, 6
"""Users for gradients of all pairs; users for latent space; mask draws."""
SIZE = {"hidden": 200, "latent": 50}
QUICK = {"batch_size": 100, "lr": 2e-3, "anneal_steps": 200, "epochs": 12, "patience": 12}
"""A network and a training that take seconds on the embedded data."""
VARIANTS: dict[str, dict[str, Setting]] = {
    "multvae+anchor": {"anchor": 1.0},
    "multvae-clean": {"keep": 1.0},
    "multvae": {},
    "anchor0.1": {"anchor": 0.1},
    "anchor5": {"anchor": 5.0},
    "centroid": {"anchor": 1.0, "anchor_variant": "centroid"},
    "centroid+variance": {"anchor": 1.0, "anchor_variant": "centroid+variance"},
    "beta0.02": {"beta": 0.02},
    "beta1": {"beta": 1.0},
    "beta4": {"beta": 4.0},
}


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes
    ----------
    name : str
        Of its folder.
    model : VAE
        In evaluation mode.
    config : TrainConfig
        How it was trained.
    accuracy : float
        Test nDCG@100.
    of : str
        Name of the model in its study, the same for every seed.
    """

    name: str
    model: VAE
    config: TrainConfig
    accuracy: float
    of: str = ""

    @property
    def variant(self) -> str:
        """What matters here of the model and its training: its class unless it is MultVAE, clean or masked, λ and
        which terms of the anchor loss, β."""
        c, kind = self.config, type(self.model).__name__
        start = f"{'' if kind == 'MultVAE' else f'{kind} '}{'clean' if c.keep == 1 else 'masked'}"
        if c.anchor == 0:
            return f"{start} β={c.beta:g}"
        what = "" if c.anchor_variant == "full" else f" {c.anchor_variant}"
        return f"{start}+PIA λ={c.anchor:g}{what} β={c.beta:g}"


def jobs(seeds: int, variants: tuple[str, ...] = tuple(VARIANTS)) -> list[Job]:
    """The small models of the observations, seed after seed."""
    check_whole(1, MOST_RUNS, seeds=seeds)
    specs = [ModelSpec(v, "MultVAE", SIZE, QUICK | VARIANTS[v]) for v in variants]
    return [Job(spec, spec.config(seed=seed)) for seed in range(seeds) for spec in specs]


def train(todo: list[Job], split: StrongSplit, digest: str, out: Path, jobs: Jobs = 1) -> None:
    """Run what is not finished yet in `out`/runs; a job that was interrupted continues from its checkpoint."""
    tasks = []
    for k, job in enumerate(todo, 1):
        folder = out / "runs" / job.name
        note = job.note(split, digest, seen_from(folder, out / SPLIT))
        tasks.append(Task(job, folder, f"{job.name} ({k} of {len(todo)})", note))
    run_all(tasks, split, jobs)


def load(folder: Path, split: StrongSplit, digest: str, left_out: list[str] | None = None) -> Iterator[Trained]:
    """The trained models of a finished study, one after the other, with a bar on a terminal.

    Parameters
    ----------
    left_out : list of str, optional
        Takes a sentence for every VAE without a spread: the observations are about distributions.

    Raises
    ------
    InputError
        If there are none, or they were trained on another split.
    """
    found = sorted(p.parent for p in (folder / "runs").glob("*/model.safetensors") if finished(p.parent))
    if not found:
        raise InputError(f"{folder} holds no finished runs (runs/MODEL-seedN); give the --out folder of a study")
    for run in tracked(found, "measuring", len(found), "model"):
        note = read_note(run)
        if note.data.sha256 != digest:
            raise InputError(f"{run} was trained on another split of {note.data.name}, not on {split.name}")
        if not note.training:  # a baseline
            continue
        accuracy = read_record(run / "metrics.json", Metrics).levels()["ndcg@100"].mean
        model = load_model(run)
        if not isinstance(model, VAE):
            continue
        if _spread(model, split):
            yield Trained(run.name, model, trained_with(note, run), accuracy, note.model)
        elif left_out is not None:
            left_out.append(f"{run.name} is left out: it gives users points, not distributions (sd = 0)")


def _spread(model: VAE, split: StrongSplit) -> bool:
    """Whether the posteriors of a model have one."""
    with torch.no_grad():
        _, sd = model.encode(split.train[:PAIRS])
    return bool((sd > 0).all())


def measure(trained: Trained, split: StrongSplit) -> dict[str, float]:
    """Every number that an observation is about, of one model; users and masks are drawn from its seed."""
    rng = np.random.default_rng(trained.config.seed)
    generator = torch.Generator().manual_seed(trained.config.seed)
    some = split.train[rng.permutation(split.train.shape[0])[:POPULATION]]
    model, few = in_float64(trained.model), some[:PAIRS]
    with torch.no_grad():
        mu, sd = model.encode(some)
    result = {"ndcg": trained.accuracy, "active": float(bottleneck.active_units(mu).sum())}
    result["latent"] = float(model.latent)
    result["kl"] = float(bottleneck.kl_per_dimension(mu, sd).sum())
    own = torch.Generator().manual_seed(trained.config.seed)  # the draws below stay what they were without it
    result["information"] = float(bottleneck.kl_decomposition(mu, sd, 8, own).mutual_information)

    pairs = transfer.sharing(model, few, 4, generator)
    views = transfer.view_sharing(model, few, KEEP, n_samples=4, generator=generator)
    off = ~torch.eye(len(pairs.norm), dtype=torch.bool)
    inner = torch.as_tensor(
        transfer.gram(model, few, 4, generator)
    )  # independent noise: shared noise makes gradients look alike
    size = inner.diagonal().sqrt()
    cosine = (inner / (size[:, None] * size))[off]
    chain = pairs.chain()
    result |= {
        "transfer": float((cosine > 0).double().mean()),
        "certified exact": chain["gradient distance"],
        "certified": chain[LIPSCHITZ],
        "cosine": float(cosine.abs().median()),
        "views certified": views.chain()[LIPSCHITZ],
    }
    near = locality.observed_smoothness(model, *locality.without_one(some, generator))
    result["largest ratio"] = near.largest
    if near.proved is not None:  # only of MultVAE's encoder
        result["proved"] = near.proved.joint

    moved = masking.latent_contraction(model, some, KEEP, n_masks=MASKS, generator=generator)
    for k, (clean, ratio) in enumerate(zip(moved.clean, moved.ratio, strict=True), 1):
        result |= {f"clean {k}": float(clean), f"ratio {k}": float(ratio)}
    result |= {"closer near": float(moved.prob_contract[0]), "closer far": float(moved.prob_contract[-1])}
    drift = masking.neighbourhood_drift(model, some, KEEP, n_masks=MASKS, generator=generator)
    result |= {"within": drift.within, "within/between": drift.ratio, "overlap": drift.overlap}
    if model.anchors is not None:
        norms = anchoring.anchor_norms(model.anchors.detach(), some)
        result |= {"anchor norm": float(norms.norms.mean()), "anchor scatter": float(norms.ratio)}
    return result


def collect(models: Iterator[Trained], split: StrongSplit) -> dict[str, list[dict[str, float]]]:
    """Variant -> the numbers of each of its seeds.

    Of several models of a study with one variant the first keeps its name; the others have their own behind it.

    Raises
    ------
    InputError
        If there is no model.
    """
    found: dict[str, list[dict[str, float]]] = {}
    first: dict[str, str] = {}
    for trained in models:
        same = first.setdefault(trained.variant, trained.of) == trained.of
        found.setdefault(trained.variant if same else f"{trained.variant} ({trained.of})", []).append(
            measure(trained, split) | {"seed": trained.config.seed, "beta": trained.config.beta}
        )
    if not found:
        raise InputError("none of the finished runs is a VAE with a spread (sd > 0); train one, for instance multvae")
    return {v: sorted(rows, key=lambda r: r["seed"]) for v, rows in sorted(found.items())}


def toy_radius(seeds: int) -> list[dict[str, float]]:
    """The toy of three communities: fraction of certified pairs at steps 0, 100 and 300, one row per seed."""
    rows = []
    for seed in range(seeds):
        row: dict[str, float] = {}
        for line in toy.closing_radius(seed, stops=(0, 30, 100, 300), n_samples=4):
            if line["test"] == "theorem" and line["link"] in (LIPSCHITZ, "Lipschitz proved"):
                kind = "local" if line["link"] == LIPSCHITZ else "proved"
                row |= {f"{kind} {who} {line['step']}": cast("float", line[who]) for who in ("same", "other")}
        rows.append(row)
    return rows
