"""What is taken where nothing is said: stored results and the chapters were made with these numbers."""

import inspect

import numpy as np
import pytest
import scipy.sparse as sp

from minivae import InputError
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
