"""What is taken where nothing is said: stored results and the chapters were made with these numbers."""

import inspect

import numpy as np
import pytest
import scipy.sparse as sp

from minivae import FoldIn, InputError, MultVAE, StrongSplit
from minivae.explain import datamodel, experiment, far, flows, kernel, leave_out, radius, retraining, segments, summary
from minivae.explain.snapshots import moments


def defaults(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, int | float | bool)}


def test_numbers_that_are_not_given():
    assert (far.RELATED, far.UNRELATED, far.COMMON, far.ITEMS, far.RATIO) == (0.5, 0.1, 1, 10, 1.25)
    assert defaults(far.matched_pairs) == {"n_pairs": 2000, "seed": 0}
    assert defaults(leave_out.removal) == {"k": 10, "seed": 0}
    assert defaults(experiment.measure) == {"n_subsets": 50, "n_again": 20, "n_receivers": 300, "sharing": True}
    assert defaults(experiment.receivers_of) == {"seed": 0}
    assert defaults(datamodel.lds) == {"n_bootstrap": 300, "seed": 0}
    assert defaults(datamodel.halves) == {"seed": 0}
    assert defaults(kernel.transfer) == {"n_samples": 0}
    assert defaults(segments.communities) == {"n": 8, "seed": 0}
    assert defaults(flows.best_helpers) == defaults(flows.distant_helpers) == {"k": 10}
    assert (radius.LOOKED_AT, retraining.WATCHED) == (60, 50)
    assert (summary.EXAMPLES, summary.SHOWN) == ((0.1, 0.5, 0.9), 3)
    assert summary.COMMON == ((0, 0), (1, 1), (2, 5), (6, 20), (21, None))


def test_moments_are_fibonacci_numbers_below_the_end():
    assert [moments(n) for n in (1, 2, 3, 4, 9)] == [(0,), (0, 1), (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 5, 8)]
    with pytest.raises(InputError, match="at least 1"):
        moments(0)


class First:
    """Takes the first or the last of what it may choose from, and remembers how many there were."""

    def __init__(self, place):
        self.place, self.sizes = place, []

    def choice(self, among):
        self.sizes.append(len(among))
        return among[self.place]


@pytest.mark.parametrize("place", [0, -1])
def test_another_user_is_one_of_the_five_nearest_in_log_activity(place):
    """Users of 1 to 13 items. Chosen are those of 10 and of 11; those of 1 to 3 are barred."""
    x = sp.csr_matrix(np.tri(13))
    draw = First(place)
    found = leave_out.matched_others(x, np.array([9, 10]), np.array([0, 1, 2]), draw)
    assert draw.sizes == [5, 5]
    free = [v for v in range(13) if v not in (0, 1, 2, 9, 10)]
    taken = []
    for v, got in zip((9, 10), found, strict=True):
        order = sorted((w for w in free if w not in taken), key=lambda w: abs(np.log((w + 1) / (v + 1))))
        assert got == order[:5][place]
        taken.append(got)


def test_an_empty_user_is_as_one_with_a_single_item():
    x = sp.csr_matrix(np.vstack([np.zeros((1, 9)), np.tri(9)]))
    assert leave_out.matched_others(x, np.array([1]), np.array([3]), First(0)).tolist() == [0]
    with pytest.raises(InputError, match="not enough users to match"):
        leave_out.matched_others(x[:2], np.array([0]), np.array([1]), First(0))


def test_pairs_at_every_limit_are_taken(monkeypatch):
    """Forty users of ten items: taste of 0.5 with one other, of 0.1 with the rest, and one item in common."""
    x = sp.csr_matrix(np.hstack([np.kron(np.eye(40), np.ones((1, 9))), np.ones((40, 1))]))
    related = np.full((40, 40), 0.1)
    related[np.arange(40), np.arange(40) ^ 1] = 0.5
    pairs = far.matched_pairs(x, related)
    assert sorted(map(tuple, pairs.related.tolist())) == [(u, u ^ 1) for u in range(40)]
    assert all(w not in (u, u ^ 1) for u, w in pairs.unrelated.tolist())
    assert len(far.matched_pairs(x, -related + (related == 0.5), 12).related) == 12
    for name, value in (("COMMON", 0), ("ITEMS", 11), ("RELATED", 0.51), ("UNRELATED", 0.09)):
        with monkeypatch.context() as m:
            m.setattr(far, name, value)
            with pytest.raises(InputError, match="only 0 far but related pairs"):
                far.matched_pairs(x, related)


def test_receivers_have_something_to_be_found():
    history, heldout = np.eye(6, 9), np.eye(6, 9, k=1)
    heldout[[1, 4]] = 0
    users = FoldIn(history, heldout)
    split = StrongSplit(np.ones((3, 9)), users, users, np.arange(9))
    assert experiment.receivers_of(split, 99).history.indices.tolist() == [0, 2, 3, 5]
    assert experiment.receivers_of(split, 2).n_users == 2
    two = FoldIn(history[:2], np.eye(2, 9, k=1))
    assert experiment.receivers_of(StrongSplit(np.ones((3, 9)), two, two, np.arange(9)), 9).n_users == 2
    with pytest.raises(InputError, match="1 test users were asked for; at least 2 are needed"):
        experiment.receivers_of(split, 1)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_losses_are_those_of_all_users_however_many_are_taken_at_a_time(block, monkeypatch):
    """More users than items; each alone gives the same number."""
    rng = np.random.default_rng(0)
    seen, target = (sp.csr_matrix((rng.random((30, 9)) < 0.4).astype(np.float32)) for _ in range(2))
    model = MultVAE(9, hidden=4, latent=2).eval()
    alone = [float(retraining.losses(model, seen[[u]], target[[u]])[0]) for u in range(30)]
    monkeypatch.setattr(retraining, "BLOCK", block)
    np.testing.assert_allclose(retraining.losses(model, seen, target), alone, rtol=1e-6)
