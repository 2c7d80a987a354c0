"""The open tasks (★★★) of chapters 01, 03 and 04, worked out small: `python chapters/investigate_first.py [NN …]`.

Like `investigate.py`, which does the same for chapters 07 to 13.
"""

from typing import Any

import numpy as np
import torch
from investigate import main, names_of

import minivae as mv
from minivae.theory import distances, toy, transfer


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


def geometry() -> dict[str, Any]:
    """03: how far projections close the bracket of W1, for the chapter's pairs in the plane."""
    bound = names_of("03", "def lower_bound")["lower_bound"]
    one = {"dtype": torch.float64}
    pairs = {
        "wider": ([0.0, 0.0], [0.75, 0.75], [0.0, 0.0], [2.25, 2.25]),
        "needles": ([-0.25, 0.0], [0.05, 1.5], [0.25, 0.0], [0.05, 1.5]),
    }
    found: dict[str, Any] = {}
    for name, pair in pairs.items():
        mu_u, sd_u, mu_v, sd_v = (torch.tensor([values], **one) for values in pair)
        low, high = distances.w1_bounds(mu_u, sd_u, mu_v, sd_v)
        angle = torch.linspace(0, np.pi, 181, **one)
        best = bound(mu_u, sd_u, mu_v, sd_v, torch.stack([angle.cos(), angle.sin()]))
        common = (
            mu_u - mu_v + (sd_u - sd_v) * torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), **one)
        )
        rows = {"means": low, "projections": best, "common noise": common.norm(dim=1).mean(), "W2": high}
        found[name] = {key: round(float(value), 2) for key, value in rows.items()}
    return found


def batches() -> dict[str, Any]:
    """04: the fraction of users that a batch helps, by its size; toy before training and after 300 steps, five seeds."""
    of_batch = names_of("04", "def batch_transfer")["batch_transfer"]
    sizes, found = (1, 5, 20), {"0": {}, "300": {}}
    helped: dict[tuple[int, int, str], list[float]] = {}
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        x, _ = toy.toy_users(seed=seed)
        model = toy.ToyVAE(x.shape[1], generator=generator)
        goal = x / x.sum(1, keepdim=True)
        for step in toy.train_toy(model, x, (0, 300), generator=generator):
            gram = transfer.sharing(model, x, 8, generator, lipschitz="user", target=goal).exact
            for size in sizes:
                for _ in range(50):
                    batch = torch.randperm(len(x), generator=generator)[:size]
                    member = torch.zeros(len(x), dtype=torch.bool)
                    member[batch] = True
                    helps = of_batch(gram, batch) > 0
                    for who, group in (("members", member), ("others", ~member)):
                        helped.setdefault((step, size, who), []).append(float(helps[group].double().mean()))
    for (step, size, who), values in helped.items():
        found[str(step)][f"{size} {who}"] = round(float(np.mean(values)), 2)
    return found


if __name__ == "__main__":
    main({"01": protocol, "03": geometry, "04": batches}, __doc__)
