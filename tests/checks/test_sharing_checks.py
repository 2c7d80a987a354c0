"""The self-checks of chapter 04 take what is right, and say of what is wrong what is wrong with it."""

import pytest
import torch

from minivae import checks


def gradient_distance(gram):
    square = gram.diagonal()
    return (square[:, None] + square - 2 * gram).clamp_min(0).sqrt()


def content_mismatch(pi, h, x):
    out = torch.zeros(len(x), len(x), dtype=x.dtype)
    for u in range(len(x)):
        for v in range(len(x)):
            features = torch.cat([h[v], torch.ones(1, dtype=x.dtype)])
            gradients = [torch.outer(x[w].sum() * pi[v] - x[w], features) for w in (u, v)]
            out[u, v] = (gradients[0] - gradients[1]).norm()
    return out


def batch_transfer(gram, batch):
    return sum(gram[:, v] for v in batch.tolist()) / len(batch)


RIGHT = [
    (checks.check_gradient_distance, gradient_distance),
    (checks.check_content_mismatch, content_mismatch),
    (checks.check_batch_transfer, batch_transfer),
]


MISTAKES = [
    (checks.check_gradient_distance, lambda g: gradient_distance(g).square(), "the squared distance"),
    (checks.check_gradient_distance, lambda g: (g.diagonal()[:, None] + g.diagonal() + 2 * g).sqrt(), "a sign"),
    (checks.check_content_mismatch, lambda pi, h, x: content_mismatch(pi, h, x).T, "the transpose"),
    (checks.check_content_mismatch, lambda pi, h, x: content_mismatch(pi, h, x) ** 2, "the square"),
    (
        checks.check_content_mismatch,
        lambda pi, h, x: content_mismatch(pi, h, x) * h.norm(dim=1) / (h.square().sum(1) + 1).sqrt(),
        "without the bias",
    ),
    (
        checks.check_content_mismatch,
        lambda pi, h, x: (x[:, None] - x).norm(dim=-1) * (h.square().sum(1) + 1).sqrt(),
        "equal counts",
    ),
    (checks.check_batch_transfer, lambda g, b: g[:, b].sum(1), "the sum over the batch"),
    (checks.check_batch_transfer, lambda g, b: g.mean(1), "the mean over all users"),
]


@pytest.mark.parametrize(
    "square",
    [lambda d, g: d[:, None] + d - 2 * g, lambda d, g: d[:, None] - 2 * g + d, lambda d, g: (d[:, None] - g) + (d - g)],
    ids=["sum first", "one by one", "halves"],
)
def test_a_forgotten_clamp_is_found_whatever_the_draw(square):
    for seed in range(100):
        with pytest.raises(AssertionError, match="is nan"):
            checks.check_gradient_distance(lambda gram: square(gram.diagonal(), gram).sqrt(), seed)


def test_the_same_seed_draws_the_same_inputs():
    seen = []
    for seed in (5, 5, None, None):
        checks.check_batch_transfer(lambda gram, batch: seen.append(gram) or batch_transfer(gram, batch), seed)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[2], seen[3])
