"""Write sharing-plane/run.js: users and weights of a small toy at five stops of its training.

Run it from the root of the repository: python -m tests.explorables.make_run
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from minivae import explorables
from minivae.theory import toy

USERS, ITEMS, FEATURES, STOPS = 24, 24, 8, (0, 30, 100, 300)
FILE = Path(explorables.__file__).parent / "sharing-plane" / "run.js"


def run(seed: int = 3) -> dict[str, object]:
    """The run as plain lists, rounded to three digits: what is shown is computed from the rounded numbers."""
    generator = torch.Generator().manual_seed(seed)
    x, community = toy.toy_users(n_users=USERS, n_items=ITEMS, seed=seed)
    model = toy.ToyVAE(ITEMS, features=FEATURES, hidden=16, generator=generator)
    features, output = model.decoder
    stops = []
    for stop in toy.train_toy(model, x, STOPS, generator=generator):
        with torch.no_grad():
            mu, sd = model.encode(x)
        stops.append(
            {"step": stop} | {k: short(v) for k, v in dict(mu=mu, sd=sd, w=output.weight, b=output.bias).items()}
        )
    items = ["".join(str(int(v)) for v in row) for row in x]
    return {
        "items": items,
        "community": community.tolist(),
        "a": short(features.a),
        "c": short(features.c),
        "stops": stops,
    }


def short(values: Tensor) -> list:
    return [short(v) for v in values] if values.ndim > 1 else [float(f"{v:.3g}") for v in values.tolist()]


if __name__ == "__main__":
    text = json.dumps(run(), separators=(",", ":")).replace(',{"step"', ',\n{"step"')
    FILE.write_text(
        f"// A run of the toy, made by tests/explorables/make_run.py.\nexport const RUN = {text};\n", encoding="utf-8"
    )
