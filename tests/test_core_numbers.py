"""Densities, weights, coverage and intervals against other libraries and counting by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.distributions import Normal, kl_divergence

from minivae import FoldIn, InputError, evaluate, recommend
from minivae.batches import item_weights
from minivae.masks import normalize_then_mask
from minivae.metrics import Ranking, metric_values, register_metric
from minivae.objective import beta_at, kl_to_gaussian, kl_to_standard_normal, log_normal
from minivae.ranking import activity_groups, paired_difference, users_per_block


def gaussians(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(5)]


def test_densities_and_divergences_are_those_of_torch():
    for seed in range(3):
        z, mu, logvar, mu_p, logvar_p = gaussians(seed)
        q, p = Normal(mu, (0.5 * logvar).exp()), Normal(mu_p, (0.5 * logvar_p).exp())
        torch.testing.assert_close(log_normal(z, mu, logvar), q.log_prob(z))
        torch.testing.assert_close(kl_to_gaussian(mu, logvar, mu_p, logvar_p), kl_divergence(q, p).sum(-1))
        standard = Normal(torch.zeros_like(mu), torch.ones_like(mu))
        torch.testing.assert_close(kl_to_standard_normal(mu, logvar), kl_divergence(q, standard).sum(-1))


def test_beta_rises_to_its_value_and_stays():
    assert [beta_at(t, 0.2, 4) for t in (0, 1, 3, 4, 5)] == pytest.approx([0, 0.05, 0.15, 0.2, 0.2])
    assert beta_at(0, 0.2, 0) == 0.2


def test_weights_of_items_by_hand():
    """Ten users; items that five, two and none of them have: the last counts as one with a single user."""
    counts = np.array([5, 2, 0])
    assert item_weights(counts, 10, "idf").tolist() == pytest.approx([math.log(3), math.log(6), math.log(11)])
    assert item_weights(counts, 10, "popularity").tolist() == [5, 2, 1]
    assert item_weights(counts, 10, "uniform").tolist() == [1, 1, 1]


# ------------------------------------------------------------------------------------------------------------ ranking


class Descending:
    """Item 0 is always the best, the last always the worst."""

    def score(self, history):
        return -torch.arange(history.shape[1], dtype=torch.float64).repeat(history.shape[0], 1)


def fold_in(history, heldout):
    return FoldIn(*(sp.csr_matrix(np.asarray(x), dtype=np.float32) for x in (history, heldout)))


def test_padding_is_no_item_that_is_shown():
    """Both users have the last item, and fewer new items than k: position −1 of the ranking is not the last item."""
    test = fold_in([[0, 0, 1, 1], [0, 1, 0, 1]], [[1, 0, 0, 0], [0, 0, 1, 0]])
    result = evaluate(Descending(), test, ["recall@4"], item_counts=np.array([10, 20, 30, 40]))
    assert result.coverage == 0.75
    assert result.popularity == pytest.approx((10 + 20 + 10 + 30) / 4)


def test_a_metric_of_ones_own_sees_where_nothing_is_left():
    """Two new items for the first user and one for the second, in lists of four: −1 from there on."""
    seen = []

    @register_metric("shown_in_core_test")
    def shown(ranking, k):
        seen.append(ranking.items.tolist())
        return ranking.hits[:, 0].astype(float)

    test = fold_in([[0, 0, 1, 1], [0, 1, 1, 1]], [[1, 0, 0, 0], [1, 0, 0, 0]])
    assert evaluate(Descending(), test, ["shown_in_core_test@4"]).per_user["shown_in_core_test@4"].tolist() == [1, 1]
    assert seen == [[[0, 1, -1, -1], [0, -1, -1, -1]]]


def test_padding_is_no_hit():
    """The user's one held-out item is the last; what pads the list must not be taken for it."""
    test = fold_in([[1, 1, 0, 0], [1, 1, 1, 0]], [[0, 0, 0, 1], [0, 0, 0, 1]])
    result = evaluate(Descending(), test, ["precision@4", "mrr@4", "hit@1"])
    assert result.per_user["precision@4"].tolist() == pytest.approx([1 / 4, 1 / 4])
    assert result.per_user["mrr@4"].tolist() == pytest.approx([1 / 2, 1])
    assert result.per_user["hit@1"].tolist() == [0, 1]


def test_what_a_model_rules_out_is_no_hit():
    """Item 3 has the score −∞ and is held out: it fills the list of four like padding, and is neither shown nor hit."""

    class Ruled:
        def score(self, history):
            return torch.tensor([[3.0, 2.0, 1.0, -math.inf]]).repeat(history.shape[0], 1)

    test = fold_in([[1, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 1], [0, 1, 0, 1]])
    result = evaluate(Ruled(), test, ["recall@4", "mrr@4", "hit@4", "ndcg@4"])
    assert result.per_user["hit@4"].tolist() == [0, 1]
    assert result.per_user["recall@4"].tolist() == [0, 0.5]
    assert result.per_user["mrr@4"].tolist() == [0, 0.5]
    assert result.coverage == 0.75


def test_where_no_item_can_be_ranked_nothing_is_gained():
    nothing = Ranking(np.zeros((2, 0), bool), np.array([1, 0]))
    for metric in ("mrr@5", "hit@5", "recall@5", "precision@5"):
        value, undefined = metric_values(nothing, metric)
        assert math.isnan(undefined)
        assert value == 0 or (metric == "recall@5" and math.isnan(value))  # of min(k, n) = 0 possible hits


def test_what_is_shown_to_nobody_has_no_novelty():
    """The first user is left with no item, the second with one of the two that were ever taken."""
    ranking = Ranking(np.zeros((2, 2), bool), np.array([1, 1]), np.array([[-1, -1], [0, -1]]), np.array([1, 1]))
    nothing, one = metric_values(ranking, "novelty@2")
    assert math.isnan(nothing)
    assert one == 1


def test_users_are_ranked_in_blocks_of_eight_million_scores():
    assert [users_per_block(n) for n in (1, 30, 2**23, 2**23 + 1, 2**30, 0)] == [2**23, 279620, 1, 1, 1, 2**23]


def test_users_that_are_no_fold_in_are_checked_too():
    """Whatever has a history and what is held out can be ranked, if the two belong together."""
    users = SimpleNamespace(history=np.zeros((2, 4)), heldout=np.eye(2, 4))
    assert evaluate(Descending(), users, ["hit@1"]).per_user["hit@1"].tolist() == [1, 0]
    for history in (np.zeros((3, 4)), np.zeros((2, 5))):
        with pytest.raises(InputError, match=r"history has shape .* but heldout has shape \(2, 4\)"):
            evaluate(Descending(), SimpleNamespace(history=history, heldout=users.heldout), ["hit@1"])


def test_popularity_is_that_of_the_first_twenty():
    n = 30
    test = fold_in(np.zeros((1, n)), np.eye(1, n))
    result = evaluate(Descending(), test, ["recall@25"], item_counts=np.arange(n) ** 2)
    assert result.popularity == pytest.approx(np.mean(np.arange(20) ** 2))
    assert result.coverage == pytest.approx(25 / 30)


def test_a_paired_interval_by_hand():
    """1, 2 and 3: mean 2, sd 1, t with two degrees of freedom 4.3027; one value or none has no interval."""
    d = paired_difference(np.array([1.0, np.nan, 2.0, 3.0]))
    assert (d.difference, d.se) == pytest.approx((2.0, 3**-0.5))
    assert (d.low, d.high) == pytest.approx((2 - 4.302652729696144 / 3**0.5, 2 + 4.302652729696144 / 3**0.5))
    one, none = paired_difference(np.array([0.5, np.nan])), paired_difference(np.array([np.nan]))
    assert one.difference == 0.5
    assert math.isnan(none.difference)
    assert all(math.isnan(v) for v in (one.se, one.low, one.high, none.se))


def test_groups_of_activity_count_both_halves_and_meet_at_their_borders():
    sizes = [4, 5, 10, 11, 50, 51, 100, 101, 300]
    history = np.array([[1] * (n // 2) + [0] * (300 - n // 2) for n in sizes])
    heldout = np.array([[0] * (n // 2) + [1] * (n - n // 2) + [0] * (300 - n) for n in sizes])
    found = activity_groups(fold_in(history, heldout))
    assert {k: np.array(sizes)[v].tolist() for k, v in found.items()} == {
        "1–4": [4],
        "5–10": [5, 10],
        "11–50": [11, 50],
        "51–100": [51, 100],
        "101+": [101, 300],
    }
    assert "1–4" not in activity_groups(fold_in(history[1:], heldout[1:]))


# ------------------------------------------------------------------------------------------------------ masks, lists


def test_a_user_of_one_item_has_length_1_where_items_differ_in_keep():
    """x/‖x‖ ⊙ b/ρ_i: 1/√1 · 1/0.25 for the single item, 1/√2 · 1/0.5 for the kept one of two."""
    rows, counts = torch.tensor([0, 1, 1]), torch.tensor([1.0, 2.0])
    kept, keep = torch.tensor([True, True, False]), torch.tensor([0.25, 0.5, 0.5])
    got = normalize_then_mask(rows, counts, kept, keep)
    assert got.tolist() == pytest.approx([4, 2 / math.sqrt(2), 0])


def test_recommendations_are_a_pair_of_ten_if_nothing_is_said():
    found = recommend(Descending(), np.eye(2, 30))
    assert len(found) == 2
    assert found.items.shape == found.scores.shape == (2, 10)
    assert found.items[1].tolist() == [0, *range(2, 11)]
    assert recommend(Descending(), np.eye(2, 30), np.int64(3)).items.tolist() == [[1, 2, 3], [0, 2, 3]]


def test_what_is_no_number_of_recommendations_is_refused():
    for k in [0, -1, 2.5, True, "3", None]:
        with pytest.raises(InputError, match="is no number of recommendations; ask for a whole number, at least 1"):
            recommend(Descending(), np.eye(2, 30), k)
