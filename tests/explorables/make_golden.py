"""Write golden.json: settings of every explorable, drawn at random, and what the Python library computes for them.

Run it from the root of the repository after a change of the library that is meant:
python -m tests.explorables.make_golden
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from minivae.theory import toy, transfer
from tests.explorables.reference import REFERENCE, Settings

GOLDEN = Path(__file__).with_name("golden.json")
SETTINGS = 60


def masked_distance(rng: np.random.Generator) -> Settings:
    return {
        "s": int(rng.integers(0, 41)),
        "d": int(rng.integers(0, 41)),
        "rho": rng.uniform(0.02, 0.98),
        "common": rng.uniform(0.02, 0.98),
        "masks": str(rng.choice(["own", "shared", "popular"])),
    }


def sharing_disc(rng: np.random.Generator) -> Settings:
    """A pair of users of a small trained model, with the numbers that the library finds for them."""
    seed, steps = int(rng.integers(1 << 30)), int(rng.integers(0, 40))
    generator = torch.Generator().manual_seed(seed)
    x, _ = toy.toy_users(n_users=9, n_items=18, seed=seed)
    model = toy.ToyVAE(18, features=6, hidden=8, generator=generator)
    list(toy.train_toy(model, x, [steps], generator=generator))
    goal = x / x.sum(1, keepdim=True)
    s = transfer.sharing(model, x, 4, generator, "pair", target=goal)
    u, v = (int(k) for k in rng.permutation(9)[:2])
    along = float(s.exact[u, v] / s.norm[u])
    across = float((s.norm[v] ** 2 - along**2).clamp_min(0).sqrt())
    smoothness = float(toy.proved_smoothness(model.decoder, goal)[u])
    settings = {
        "g": float(s.norm[u]),
        "w": float(s.distance[u, v]),
        "lipschitz": float(s.lipschitz[u, v]),
        "mismatch": float(s.mismatch[u, v]),
        "along": along,
        "across": across,
        "smoothness": smoothness,
    }
    found = REFERENCE["sharing-disc"](settings)
    for key, matrix in {
        "penalty": s.penalty,
        "radius": s.radius,
        "slack": s.slack,
        "step": s.max_step(smoothness),
    }.items():
        torch.testing.assert_close(found[key], matrix[u, v], rtol=1e-9, atol=1e-12)
    assert bool(found["certified"]) == bool(s.certified[u, v])
    return settings


def anchors(rng: np.random.Generator) -> Settings:
    return {
        "lambda": rng.uniform(0.01, 4),
        "steep": rng.uniform(0.5, 2),
        "flat": rng.uniform(0.02, 1),
        "turn": int(rng.integers(-90, 90)),
        "apart": rng.uniform(0, 1),
    }


def compromise(rng: np.random.Generator) -> Settings:
    heavy = int(rng.choice([20, 2 * rng.integers(2, 41)]))
    common = int(rng.integers(0, min(20, heavy) + 1))
    return {"t": rng.uniform(0, 8), "differ": 20 + heavy - 2 * common, "heavy": heavy, "beta": rng.uniform(0, 10)}


def beta(rng: np.random.Generator) -> Settings:
    tastes = rng.uniform(-3, 3, 7).tolist()
    return {"beta": 10 ** rng.uniform(-2, 2), "surety": 10 ** rng.uniform(-0.7, 1.3), "tastes": tastes}


def transport(rng: np.random.Generator) -> Settings:
    return {"thin": rng.uniform(0.02, 1.5), "turn": int(rng.integers(0, 91)), "shift": rng.uniform(0.1, 1.5)}


def elbo(rng: np.random.Generator) -> Settings:
    user = str(rng.choice(["light", "heavy"]))
    return {"mu": rng.uniform(-3, 3), "sd": rng.uniform(0.1, 2), "beta": rng.uniform(0, 4), "user": user}


def recall_and_ndcg(rng: np.random.Generator) -> Settings:
    light, heavy = int(rng.integers(1, 6)), int(rng.integers(6, 41))
    hits = {
        model: [(rng.permutation(20)[: rng.integers(1, min(n, 12) + 1)] + 1).tolist() for n in (light, heavy)]
        for model in "AB"
    }
    return {"k": int(rng.integers(1, 21)), "heavy": heavy, "light": light, "hits": hits}


def peeking(rng: np.random.Generator) -> Settings:
    return {
        "seed": int(rng.integers(1, 5)),
        "effect": float(rng.choice([0.0, rng.uniform(0, 1)])),
        "scale": rng.uniform(0.1, 2),
        "evening": int(rng.integers(1, 31)),
    }


def sharing_plane(rng: np.random.Generator) -> Settings:
    stop, user = int(rng.integers(0, 4)), int(rng.integers(0, 24))
    moved = {str(v): rng.uniform(-3, 3, 2).tolist() for v in (user, int(rng.integers(0, 24)))}
    return {"stop": stop, "user": user, "moved": moved}


def users_and_seeds(rng: np.random.Generator) -> Settings:
    return {
        "n": int(10 ** rng.uniform(1.7, 4)),
        "m": int(rng.integers(1, 21)),
        "a": rng.choice([0.0, rng.uniform(0, 0.2)]),
        "b": rng.choice([0.0, 10 ** rng.uniform(-4, -1.7)]),
        "e": rng.uniform(0.01, 0.2),
    }


def cost(rng: np.random.Generator) -> Settings:
    users, items, latent = (int(10 ** rng.uniform(*ends)) for ends in ((2, 7), (2, 6), (0.7, 3)))
    return {"users": users, "items": items, "latent": latent}


DRAW: dict[str, Callable[[np.random.Generator], Settings]] = {
    "masked-distance": masked_distance,
    "sharing-disc": sharing_disc,
    "anchors": anchors,
    "compromise": compromise,
    "beta": beta,
    "transport": transport,
    "elbo": elbo,
    "sharing-plane": sharing_plane,
    "recall-and-ndcg": recall_and_ndcg,
    "peeking": peeking,
    "users-and-seeds": users_and_seeds,
    "cost": cost,
}


def plain(value: object) -> object:
    """Numbers and nested lists of numbers with all their digits; infinity and NaN, which JSON has not, as words."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, int | float) else plain(np.asarray(value).tolist())


def golden() -> dict[str, list[dict[str, object]]]:
    """All settings and values."""
    table = {}
    for k, (name, draw) in enumerate(DRAW.items()):
        rng = np.random.default_rng([2511, k])
        cases = [draw(rng) for _ in range(SETTINGS)]
        table[name] = [
            {"settings": case, "values": {key: plain(v) for key, v in REFERENCE[name](case).items()}} for case in cases
        ]
    return table


if __name__ == "__main__":
    lines = [
        f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]" for name, cases in golden().items()
    ]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
