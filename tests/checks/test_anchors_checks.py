"""The self-checks of chapter 08 take what is right, and say of what is wrong what is wrong with it."""

import pytest
import torch

from minivae import checks


def anchor_lambda(L, share):
    """By bisection on the promise itself."""
    low, high = torch.zeros_like(L), torch.full_like(L, 1e4)
    for _ in range(200):
        lam = (low + high) / 2
        enough = (L / (L + 2 * lam)) ** 2 <= share
        low, high = torch.where(enough, low, lam), torch.where(enough, lam, high)
    return high


def weighted_anchor_terms(mu, sd, anchors, x, w):
    """By the definition: the scatter is what the distances to the anchors leave over."""
    out = torch.zeros(3, len(mu), dtype=mu.dtype)
    for u in range(len(mu)):
        own = x[u].nonzero()[:, 0]
        if not len(own):
            continue
        centre = torch.stack([w[i] * anchors[i] for i in own]).sum(0) / w[own].sum()
        loss = sum(w[i] * ((mu[u] - anchors[i]).square().sum() + sd[u].square().sum()) for i in own) / w[own].sum()
        out[0, u], out[1, u] = (mu[u] - centre).square().sum(), sd[u].square().sum()
        out[2, u] = loss - out[0, u] - out[1, u]
    return out


def nearest_centroid(mu, anchors, x, group):
    rows = []
    for u in range(len(mu)):
        own = x[u] > 0
        centres = [anchors[own & (group == g)].mean(0) for g in group[own].unique()]
        rows.append(min((mu[u] - c).square().sum() for c in centres))
    return torch.stack(rows)


RIGHT = [
    (checks.check_anchor_lambda, anchor_lambda),
    (checks.check_weighted_anchor_terms, weighted_anchor_terms),
    (checks.check_nearest_centroid, nearest_centroid),
]


def one_row_spoiled(row, value):
    def spoiled(mu, sd, anchors, x, w):
        out = weighted_anchor_terms(mu, sd, anchors, x, w)
        out[row] = value(mu, sd, x)
        return out

    return spoiled


def without_a_thought_for_empty_users(mu, sd, anchors, x, w):
    share = x * w / (x @ w).clamp_min(1e-12)[:, None]
    centre = share @ anchors
    scatter = share @ anchors.square().sum(1) - centre.square().sum(1)
    return torch.stack([(mu - centre).square().sum(1), sd.square().sum(1), scatter])


MISTAKES = [
    (checks.check_anchor_lambda, lambda L, share: anchor_lambda(L, share**2), "not with τ"),
    (checks.check_anchor_lambda, lambda L, share: 2 * anchor_lambda(L, share), "twice the λ"),
    (
        checks.check_weighted_anchor_terms,
        lambda mu, sd, e, x, w: weighted_anchor_terms(mu, sd, e, x, torch.ones_like(w)),
        "without the weights",
    ),
    (
        checks.check_weighted_anchor_terms,
        one_row_spoiled(1, lambda mu, sd, x: sd.sum(1) * (x.sum(1) > 0)),
        "sum of their squares",
    ),
    (checks.check_weighted_anchor_terms, without_a_thought_for_empty_users, "a cost for the user without items"),
    (
        checks.check_weighted_anchor_terms,
        one_row_spoiled(1, lambda mu, sd, x: sd.square().sum(1)),
        "a spread for the user",
    ),
    (
        checks.check_nearest_centroid,
        lambda mu, e, x, g: nearest_centroid(mu, e, x, torch.zeros_like(g)),
        "one centroid of all items",
    ),
    (
        checks.check_nearest_centroid,
        lambda mu, e, x, g: nearest_centroid(mu, e, x, torch.arange(len(g))),
        "nearest anchor",
    ),
    (checks.check_nearest_centroid, lambda mu, e, x, g: nearest_centroid(mu, e, x, g).sqrt(), "not its square"),
]


def test_a_group_without_items_is_no_centroid_at_the_origin():
    def mistaken(mu, anchors, x, group):
        member = torch.nn.functional.one_hot(group).to(x)
        centre = torch.einsum("bi,ig,id->bgd", x, member, anchors) / (x @ member).clamp_min(1)[..., None]
        return (mu[:, None] - centre).square().sum(-1).amin(1)

    for seed in range(50):
        with pytest.raises(AssertionError, match="has no item too"):
            checks.check_nearest_centroid(mistaken, seed)
