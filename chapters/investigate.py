"""The open tasks (★★★) of chapters 07 to 13, worked out small: `python chapters/investigate.py [NN …]`.

Each uses the solution of its chapter on the data of its chapter, and adds what it found to `results/investigations.json`.
The chapters' solutions say what came out.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import torch

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # this checkout, installed or not

import minivae as mv
from minivae import online
from minivae.batches import DeviceCSR
from minivae.explain import experiment
from minivae.ranking import paired_difference
from minivae.runtime.storage import write_text
from minivae.update import loss_terms

RESULTS = FOLDER / "results" / "investigations.json"


def names_of(number: str, *needles: str) -> dict[str, Any]:
    """What the set-up of a chapter and its cells with one of the needles define."""
    (path,) = FOLDER.glob(f"{number}_*.py")
    space: dict[str, Any] = {}
    for cell in jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells:
        setup = "setup" in cell.metadata.get("tags", [])
        if cell.cell_type == "code" and (setup or any(needle in cell.source for needle in needles)):
            exec(cell.source, space)
    return space


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean and 95 % interval over users of a paired difference."""
    return paired_difference(values).interval().as_dict()


class Ranked:
    """A model of `mv.evaluate` from a function of dense histories."""

    def __init__(self, score: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.of = score

    def score(self, history: Any) -> torch.Tensor:
        return self.of(torch.tensor(history.toarray(), dtype=torch.float64))


def masking() -> dict[str, Any]:
    """07: the best answer to a view as a recommender, beside EASE and a Mult-VAE trained at the same ρ."""
    ideal = names_of("07", "def ideal_answer(")["ideal_answer"]
    split = mv.strong_split(mv.planted(n_users=2_000, n_items=1_500, n_events=120_000, seed=0), n_heldout=200)
    x, rng = torch.tensor(split.train.toarray(), dtype=torch.float64), torch.Generator().manual_seed(0)
    popular = x.mean(0)
    rows = {}
    for keep in (0.05, 0.1, 0.2, 0.3, 0.5):
        unknown = []

        def score(history: torch.Tensor, keep: float = keep, unknown: list[float] = unknown) -> torch.Tensor:
            total = 1e-6 * popular.expand(len(history), -1)
            for _ in range(20):
                views = history * (torch.rand(history.shape, generator=rng) < keep)
                fits = ((views @ x.T) >= views.sum(1, keepdim=True)).any(1)
                unknown.append(float((~fits).double().mean()))
                answer = torch.zeros_like(history)
                answer[fits] = ideal(views[fits], x, keep)
                total = total + answer
            return total

        ndcg = mv.evaluate(Ranked(score), split.test)["ndcg@100"][0]
        config = mv.TrainConfig(keep=keep, epochs=30, lr=3e-3, batch_size=100, anneal_steps=200, device="cpu")
        vae = mv.fit(mv.MultVAE(split.n_items, hidden=100, latent=16), split, config).model
        rows[f"{keep:g}"] = {
            "ideal answer": ndcg,
            "views that fit nobody": float(np.mean(unknown)),
            "Mult-VAE": mv.evaluate(vae, split.test)["ndcg@100"][0],
        }
    return {"rho": rows, "EASE": mv.evaluate(mv.EASE().fit(split.train), split.test)["ndcg@100"][0]}


def anchors() -> dict[str, Any]:
    """08: the nearest of a user's centroids in place of the one centroid, five seeds."""
    space = names_of("08", "people = mv.planted", "def nearest_centroid(")
    split, nearest = space["split"], space["nearest_centroid"]
    group = torch.as_tensor(np.asarray(space["people"].truth.item_community)).long()

    @mv.register_anchor_loss("nearest-centroid")
    def of_groups(mu: Any, variance: Any, anchors: Any, batch: Any, temperature: float) -> torch.Tensor:
        x = torch.zeros(len(batch.counts), len(anchors), dtype=mu.dtype)
        x[batch.rows, batch.items] = 1
        return nearest(mu, anchors, x, group) + variance.sum(-1)

    common = {"keep": 0.5, "beta": 0.2, "anneal_steps": 100, "lr": 5e-3, "batch_size": 150, "epochs": 13}
    kinds = {"none": {}, "one centroid": {"anchor": 1.0, "anchor_variant": "centroid+variance"}}
    kinds["nearest"] = {"anchor": 1.0, "anchor_variant": "nearest-centroid"}
    per_user = {}
    for name, settings in kinds.items():
        runs = [
            mv.fit(mv.MultVAE(300, hidden=100, latent=16), split, mv.TrainConfig(**common, **settings, seed=s)).model
            for s in range(5)
        ]
        per_user[name] = np.mean([mv.evaluate(m, split.test).per_user["ndcg@100"] for m in runs], axis=0)
    alike = space["likeness"][split.test.user_labels]
    who = {"one person": np.isnan(alike), "two persons": ~np.isnan(alike)}
    return {
        f"{name} − none, {w}": interval((per_user[name] - per_user["none"])[chosen])
        for name in ("one centroid", "nearest")
        for w, chosen in who.items()
    }


def benchmarks() -> dict[str, Any]:
    """09: the expected test score of the best of T trials, for Mult-VAE with and without anchors."""
    space = names_of("09", "split = mv.strong_split", "def expected_test(")
    split, rng, found = space["split"], np.random.default_rng(1), {}
    for name in ("masked", "anchors"):
        trials = []
        for seed in range(10):
            settings: dict[str, Any] = {
                "lr": 10 ** rng.uniform(-3, -2),
                "beta": rng.uniform(0.05, 1),
                "keep": rng.uniform(0.3, 0.8),
            }
            if name == "anchors":
                settings["anchor"] = 10 ** rng.uniform(-1, 0.7)
            config = mv.TrainConfig(**settings, batch_size=100, epochs=15, anneal_steps=300, seed=seed)
            run = mv.fit(mv.MultVAE(split.n_items, hidden=80, latent=16), split, config)
            trials.append((run.validation, mv.evaluate(run.model, split.test)["ndcg@100"][0]))
        validation, test = torch.tensor(trials, dtype=torch.float64).T
        found[name] = [float(space["expected_test"](validation, test, budget)) for budget in range(1, 11)]
    return found


def experiments() -> dict[str, Any]:
    """10: when the always-valid interval lets one stop, against the size of the experiment."""
    space = names_of("10", "known = data.user", "def first_success(")
    data, split, people = space["data"], space["split"], space["people"]
    assert data is not None
    config = mv.TrainConfig(keep=0.5, beta=0.2, anneal_steps=100, lr=5e-3, batch_size=200, epochs=16)
    new = people.shelf(mv.fit(mv.MultVAE(split.n_items, hidden=100, latent=16), split, config).model)
    old = people.shelf(mv.Popularity().fit(split.train))
    everybody = [online.simulate(shelf, shelf) for shelf in (old, new)]
    rate = [float(out.clicks.sum() / out.shown.sum()) for out in everybody]
    rows = {}
    for n in (200, 600, 2_000):
        test = online.rehearse(old[:n], new[:n], online.Experiment(days=14, salt="stop"), repetitions=100)
        difference, se = (torch.as_tensor(t) for t in (test.difference, test.se))
        for hope in (0.1, 0.5, 2.0):
            stop = space["first_success"](difference, se, hope * rate[0])
            done = stop >= 0
            seen = difference[done, stop[done]]
            rows[f"{n} people, hope {hope:.0%}"] = {
                "stopped": float(done.double().mean()),
                "median day": float(stop[done].double().median() + 1) if done.any() else None,
                "mean estimate at the stop, of the truth": float(seen.mean() / (rate[1] - rate[0]))
                if done.any()
                else None,
            }
    return rows


def scaling() -> dict[str, Any]:
    """11: the noise that is heard, for the three kinds of the chapter and for healthy models over β."""
    space = names_of(
        "11", "def operations(", "small = mv.strong_split(", "class MyVAE", "def train_mine(", "def heard_noise("
    )
    small, rng = space["small"], torch.Generator().manual_seed(0)
    kinds = {"quiet noise": {"noise": 0.01}, "heavy KL": {"kl_weight": 5.0}}
    kinds |= {f"β = {b:g}": {"kl_weight": b} for b in (0.05, 0.2, 1.0)}
    rows = {}
    for name, settings in kinds.items():
        heard = []
        for seed in range(3):
            mine = space["train_mine"](seed, **settings)
            mu, sd = (t.detach() for t in mine.encode(small.test.history))
            eps = torch.randn(len(mu), 20, mu.shape[1], generator=rng, dtype=mu.dtype)
            with torch.no_grad():
                heard.append(float(space["heard_noise"](mine.decode, mu, sd, eps)))
        rows[name] = heard
    return rows


def helping() -> dict[str, Any]:
    """12: the LDS with and without what is the same for everybody, on twenty halves."""
    space = names_of("12", "people = mv.planted")
    with tempfile.TemporaryDirectory() as folder:
        made = experiment.measure(
            lambda: mv.MultVAE(200, 50, 16), space["split"], space["config"], Path(folder), 20, 0, 100, sharing=False
        )
    names = ("transfer", "activity", "last checkpoint")
    return {
        kind: {name: made.scores[kind][name].as_dict() for name in names}
        for kind in ("reconstruction", "reconstruction, personal")
    }


def smoothing() -> dict[str, Any]:
    """13: anchors in closed form after every epoch, and the spread term without anchors."""
    space = names_of("13", "people = mv.planted", "def anchors_in_closed_form(")
    split, closed = space["split"], space["anchors_in_closed_form"]
    x, matrix = torch.tensor(split.train.toarray()), DeviceCSR(split.train)

    @mv.register_anchor_loss("spread")
    def spread(mu: Any, variance: Any, anchors: Any, batch: Any, temperature: float) -> torch.Tensor:
        return variance.sum(-1)

    def ndcg(seed: int, kind: str) -> np.ndarray:
        variant = "spread" if kind == "spread alone" else "full"
        settings: dict[str, Any] = {"anchor": 0.0 if kind == "none" else 1.0, "anchor_variant": variant}
        config = mv.TrainConfig(anneal_steps=60, device="cpu", precision="fp32", seed=seed, **settings)
        torch.manual_seed(seed)
        model = mv.MultVAE(200, hidden=50, latent=16)
        model.anchors = None if kind == "none" else torch.nn.Parameter(torch.randn(200, 16) / 4)
        if model.anchors is not None:
            model.anchors.requires_grad_(kind == "learned")
        adam, update = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 5e-3), 0
        for _ in range(12):
            for users in torch.randperm(len(x)).split(100):
                adam.zero_grad()
                loss_terms(model, matrix.batch(users), config, update)["loss"].backward()
                adam.step()
                update += 1
            if kind == "closed form":
                with torch.no_grad():
                    assert model.anchors is not None
                    model.anchors.copy_(closed(model.encode(split.train)[0], x))
        return mv.evaluate(model, split.test).per_user["ndcg@100"]

    kinds = ("none", "learned", "closed form", "spread alone")
    of = {kind: np.mean([ndcg(seed, kind) for seed in range(5)], axis=0) for kind in kinds}
    return {f"{kind} − none": interval(of[kind] - of["none"]) for kind in kinds[1:]} | {
        "closed form − learned": interval(of["closed form"] - of["learned"])
    }


OPEN = {
    "07": masking,
    "08": anchors,
    "09": benchmarks,
    "10": experiments,
    "11": scaling,
    "12": helping,
    "13": smoothing,
}


def main(tasks: dict[str, Callable[[], dict[str, Any]]], text: str | None) -> None:
    """Run some of the tasks, or all, and add what they find to the stored results."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", help=f"of {', '.join(tasks)}; all if none is given")
    chosen = parser.parse_args().chapters or list(tasks)
    for number in chosen:
        found = tasks[number]()
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        kept = dict(sorted((kept | {number: found}).items()))
        write_text(RESULTS, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        print(number, json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main(OPEN, __doc__)
