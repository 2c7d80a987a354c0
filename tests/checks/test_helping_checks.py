"""The self-checks of chapter 12 take what is right, and say of what is wrong what is wrong with it."""

import torch

from minivae import checks
from minivae.explain.datamodel import lds, personal


def predicted_change(G, eta):
    """As a derivative: the change of the linear function ⟨g_u, θ⟩ under a step along −g_v."""
    theta = torch.zeros(G.shape[1], dtype=G.dtype)
    return torch.stack([torch.stack([(theta - eta * b) @ a for b in G]) for a in G])


def lds_score(scores, subsets, losses):
    return torch.from_numpy(lds(scores.numpy(), subsets.numpy(), losses.numpy(), n_bootstrap=0).per_user)


def personal_part(values):
    return torch.from_numpy(personal(values.numpy()))


RIGHT = [
    (checks.check_predicted_change, predicted_change),
    (checks.check_lds_score, lds_score),
    (checks.check_personal_part, personal_part),
]
MISTAKES = [
    (checks.check_predicted_change, lambda G, eta: eta * G @ G.T, "which is negative where v helps"),
    (checks.check_predicted_change, lambda G, eta: -G @ G.T, "without the length of the step"),
    (
        checks.check_predicted_change,
        lambda G, eta: -eta * torch.nn.functional.normalize(G) @ torch.nn.functional.normalize(G).T,
        "cosines",
    ),
    (checks.check_lds_score, lambda s, d, x: -lds_score(s, d, x), "its sign has to be turned"),
    (checks.check_lds_score, lambda s, d, x: lds_score(s, d, x).mean(), "the mean over the receivers"),
    (
        checks.check_lds_score,
        lambda s, d, x: torch.stack(
            [torch.corrcoef(torch.stack([d.double() @ a, -b]))[0, 1] for a, b in zip(s, x.T, strict=True)]
        ),
        "ranks are asked for",
    ),
    (
        checks.check_personal_part,
        lambda v: (v - v.mean(1, keepdim=True)) / v.std(1, unbiased=False, keepdim=True),
        "common to all receivers is still in them",
    ),
    (checks.check_personal_part, lambda v: v - v.mean(0), "outweigh the others"),
    (checks.check_personal_part, lambda v: personal_part(v) * (7 / 8) ** 0.5, "divide by K"),
]


def test_no_half_is_drawn_twice(capsys):
    """Two equal halves have equal sums, which a product and a sum round otherwise: a right answer was refused then."""

    def by_a_product(scores, subsets, losses):
        assert len(subsets.unique(dim=0)) == len(subsets)
        assert bool((subsets.sum(1) == 6).all())
        return lds_score(scores, subsets, losses)

    for seed in (19, 35, 36, 64, *range(100, 140)):
        checks.check_lds_score(by_a_product, seed=seed)
    assert capsys.readouterr().out.count("right") == 44
