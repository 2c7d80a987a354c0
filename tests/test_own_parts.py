"""A mask and an anchor loss of one's own take part in a training under their names."""

import numpy as np
import pytest
import torch

import minivae as mv
from minivae.errors import InputError
from minivae.masks import MASKS, input_weights

SETTINGS = {"epochs": 2, "batch_size": 50, "anneal_steps": 10, "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def split():
    return mv.strong_split(mv.planted(n_users=300, n_items=40, n_events=4000), n_heldout=40)


def weights_of(split, **settings):
    model = mv.MultVAE(split.n_items, hidden=12, latent=4)
    run = mv.fit(model, split, mv.TrainConfig(**SETTINGS, **settings))
    return torch.cat([p.detach().ravel() for p in run.model.parameters()])


@mv.register_mask("half-scale")
def half_scale(rows, counts, kept, keep):
    """Items that are kept stand for half of those that are not; whole input is x/‖x‖."""
    scale = 1.0 if keep == 1 else 0.5 + 0.5 / keep
    return kept.to(counts.dtype) * scale / counts[rows].sqrt()


@mv.register_mask("twice")
def twice(rows, counts, kept, keep):
    """No convention: whole input is neither x/‖x‖ nor x."""
    return 2 * kept.to(counts.dtype)


def plain(rows, counts, kept, keep):
    """What mask-then-normalize of the package does, under a name of its own."""
    return MASKS.find("mask-then-normalize")(rows, counts, kept, keep)


mv.register_mask("again")(plain)


@mv.register_anchor_loss("distance")
def distance(mu, variance, anchors, batch, temperature):
    """The package's centroid loss, written with dense rows."""
    x = torch.zeros(len(batch.counts), len(anchors), dtype=mu.dtype)
    x[batch.rows, batch.items] = 1
    centroids = x @ anchors / batch.counts[:, None]
    return (mu - centroids).square().sum(-1)


def test_an_own_mask_trains_as_its_formula_says(split):
    again, known, half = (weights_of(split, mask=m, keep=0.5) for m in ("again", "mask-then-normalize", "half-scale"))
    assert torch.equal(again, known)
    assert not torch.allclose(half, known, rtol=1e-3)  # the twin: another formula is another training


def test_an_own_mask_is_what_the_input_gets():
    rows, counts = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([4.0, 1.0])
    kept = torch.tensor([True, False, True, False, True])
    found = input_weights(rows, counts, kept, 0.5, "half-scale")
    assert found.tolist() == [0.75, 0, 0.75, 0, 1.5]  # (1/2 + 1) / √4, and / √1


def test_a_mask_that_cannot_feed_a_trained_model_is_refused(split):
    with pytest.raises(InputError, match="mask='twice' makes something else"):
        weights_of(split, mask="twice")


def test_an_own_anchor_loss_trains_as_the_same_formula_of_the_package(split):
    own, theirs, without = (
        weights_of(split, anchor=2.0, anchor_variant="distance"),
        weights_of(split, anchor=2.0, anchor_variant="centroid"),
        weights_of(split, anchor=2.0, anchor_variant="full"),
    )
    np.testing.assert_allclose(own, theirs, rtol=1e-3, atol=1e-5)
    assert not np.allclose(own, without, rtol=1e-3, atol=1e-3)
