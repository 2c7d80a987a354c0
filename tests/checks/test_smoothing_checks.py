"""The self-checks of chapter 13 take what is right, and say of what is wrong what is wrong with it."""

import torch

from minivae import checks
from minivae.theory.smoothing import best_anchors, smoothing_weights


def direction_loss(mu, centroid):
    return torch.stack([(a / a.norm() - b / b.norm()).square().sum() for a, b in zip(mu, centroid, strict=True)])


def smoothing_matrix(x):
    return torch.from_numpy(smoothing_weights(x.numpy()).toarray())


def anchors_in_closed_form(mu, x):
    return torch.from_numpy(best_anchors(mu.numpy(), x.numpy()))


def profile(x):
    return x / x.sum(1, keepdim=True)


RIGHT = [
    (checks.check_direction_loss, direction_loss),
    (checks.check_smoothing_matrix, smoothing_matrix),
    (checks.check_anchors_in_closed_form, anchors_in_closed_form),
]
MISTAKES = [
    (checks.check_direction_loss, lambda m, c: (m - c).square().sum(1), "it grows with the scale"),
    (
        checks.check_direction_loss,
        lambda m, c: (m - c / c.norm(dim=1, keepdim=True)).square().sum(1),
        "μ must have it too",
    ),
    (checks.check_direction_loss, lambda m, c: direction_loss(m, c).sqrt(), "its square is asked for"),
    (checks.check_direction_loss, lambda m, c: direction_loss(m, c) / 2, "half of the squared distance"),
    (checks.check_smoothing_matrix, lambda x: profile(x) @ profile(x).T, "a rare item"),
    (
        checks.check_smoothing_matrix,
        lambda x: (profile(x) / x.sum(0).clamp_min(1)) @ profile(x).T,
        "the number of users of an item",
    ),
    (
        checks.check_anchors_in_closed_form,
        lambda m, x: (x.T @ m) / x.sum(0).clamp_min(1)[:, None],
        "the plain mean over an item's users",
    ),
]
