"""Open tasks about experiments, offline and online: chapters 01, 09 and 10."""

from typing import Any

import numpy as np
import torch

import minivae as mv
from minivae import online

from .chapter import names_of


def protocol() -> dict[str, Any]:
    """01: users that a difference of .01 needs, by metric and without pairing; the power found by drawing users again."""
    names = names_of("01", "class SVD", "def directions", "def users_needed")
    needed = names["users_needed"]
    data = mv.planted(n_users=3_000, n_items=600, n_events=240_000, seed=0)
    split = mv.strong_split(data, n_heldout=500, seed=0)
    models = mv.EASE(l2=300.0).fit(split.train), names["SVD"](names["directions"](split.train)[:, :8])
    both = [mv.evaluate(model, split.test, ["ndcg@100", "recall@20"]).per_user for model in models]
    found: dict[str, Any] = {}
    for metric in ("ndcg@100", "recall@20"):
        a, b = (torch.tensor(values[metric]) for values in both)
        d = (a - b)[torch.isfinite(a - b)]
        alone = float(needed(torch.sqrt(a.var() + b.var()) * (d - d.mean()) / d.std(), 0.01))
        rng, size = np.random.default_rng(0), round(float(needed(d, 0.01)))
        drawn = (d - d.mean() + 0.01).numpy()[rng.integers(len(d), size=(2_000, size))]
        t = drawn.mean(1) / (drawn.std(1, ddof=1) / size**0.5)
        found[metric] = {"paired": size, "unpaired": round(alone), "power": float((np.abs(t) > 1.96).mean())}
    return found


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
