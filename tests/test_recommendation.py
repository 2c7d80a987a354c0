"""Recommendations: new items only, padded, among candidates, in any blocks; and the rank of one item."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_cases import Fixed, csr, problem

from minivae import (
    EASE,
    FoldIn,
    InputError,
    Interactions,
    StrongSplit,
    evaluate,
    planted,
    ranking,
    recommend,
    strong_split,
)
from minivae.data.item_labels import ItemLabels
from minivae.recommendation import ranks_of


def check_history_is_never_recommended(rank, history, k):
    items, scores = rank(Fixed(np.random.default_rng(0).random(history.shape)), csr(history), k)
    assert items.shape == scores.shape == (len(history), k)
    assert items.dtype == torch.int64
    for row, line, values in zip(history, items.tolist(), scores.tolist(), strict=True):
        real = [i for i in line if i >= 0]
        assert not row[real].any()
        assert len(set(real)) == len(real) == min(k, (~row).sum())
        assert line == real + [-1] * (k - len(real))
        assert values == sorted(values, reverse=True)
        assert all((v == -math.inf) == (i == -1) for i, v in zip(line, values, strict=True))


@given(st.integers(0, 1000), st.integers(1, 20), st.floats(0, 1))
def test_recommend_gives_new_items_and_pads(seed, k, density):
    check_history_is_never_recommended(recommend, np.random.default_rng(seed).random((6, 12)) < density, k)


def test_recommend_twin_is_rejected():
    history = np.random.default_rng(0).random((6, 12)) < 0.5
    with pytest.raises(AssertionError):
        check_history_is_never_recommended(lambda m, h, k: recommend(m, h * 0, k), history, 6)


def test_recommend_takes_dense_history_and_the_model_sees_csr():
    seen = []

    class Model:
        def score(self, history):
            seen.append(history)
            return torch.zeros(history.shape)

    recommend(Model(), np.eye(3), 2)
    assert sp.issparse(seen[0])
    with pytest.raises(InputError, match="k=0"):
        recommend(Model(), np.eye(3), 0)


def check_binary_input(recommend):
    """Counts, booleans and explicit zeros give the list of the binary row; a negative entry is refused."""
    _, history, _ = problem(8)
    model = EASE(5.0).fit(csr(history))
    want = recommend(model, csr(history), 5).items
    counts = csr(history)
    counts.data = np.random.default_rng(0).integers(1, 30, counts.nnz).astype(np.float32)
    for same in (counts, history, torch.from_numpy(history)):
        assert torch.equal(recommend(model, same, 5).items, want)
    counts.data[3] = -1
    with pytest.raises(InputError, match="negative entries"):
        recommend(model, counts, 5)


def test_recommend_takes_counts_as_fit_does():
    check_binary_input(recommend)

    class Weighted:
        """Broken twin: what is recommended depends on the counts."""

        def __init__(self, model, rows):
            self.scores = torch.from_numpy(rows @ model.weights.numpy())

        def score(self, history):
            return self.scores.clone()

    def without_binary(model, history, k):
        dense = np.asarray(history.todense() if sp.issparse(history) else history, np.float32)
        return recommend(Weighted(model, dense), sp.csr_matrix(dense != 0), k)

    with pytest.raises(AssertionError):
        check_binary_input(without_binary)


def test_labels_of_recommendations_have_no_padding():
    names = np.array(["a", "b", "c", "d"])
    model, history = Fixed(np.tile([1.0, 4.0, 3.0, 2.0], (2, 1))), np.array([[0, 1, 0, 0], [1, 1, 0, 1]])
    found = recommend(model, history, 3, labels=names)
    assert found.labels == [["c", "d", "a"], ["c"]]
    items, scores = found
    assert items.tolist() == [[2, 3, 0], [2, -1, -1]]
    assert torch.equal(found[0], items)
    assert torch.equal(found[1], scores)
    assert recommend(model, history, 3).labels == [[2, 3, 0], [2]]
    with pytest.raises(InputError, match="3 labels do not fit 4 items"):
        recommend(model, history, 3, labels=names[:3])


def check_padding_has_no_label(named):
    """Of labels and of titles, by an array, a tensor, a list or a row: nothing but what was recommended."""
    history = np.array([[0, 1, 0, 0], [1, 1, 0, 1]])
    items, _ = found = recommend(Fixed(np.tile([1.0, 4.0, 3.0, 2.0], (2, 1))), history, 3)
    for of, want in ((["a", "b", "c", "d"], [["c", "d", "a"], ["c"]]), ([10, 11, 12, 13], [[12, 13, 10], [12]])):
        labels = named(of)
        for at in (items, items.numpy(), items.tolist(), np.asarray(found[0])):
            assert [list(row) for row in labels[at]] == want
            assert [labels[row].tolist() for row in at] == want
        assert labels[items[:1]].tolist() == want[:1]  # without padding a plain array of two dimensions
        assert labels[-1] == of[-1]
        assert labels[items[0, 0]] == want[0][0]
        for one in (items[1, 1], items.numpy()[1, 1]):
            with pytest.raises(InputError, match="no item is left"):
                labels[one]


def test_padding_is_no_item_where_labels_are_looked_up():
    x = sp.csr_matrix(np.ones((2, 4)))

    def of_split(labels):
        split = StrongSplit(x, FoldIn(x, x * 0), FoldIn(x, x * 0), np.arange(4), np.array(labels))
        return split.item_titles

    def of_data(labels):
        return Interactions.from_labels([1] * 4, labels).item_labels

    check_padding_has_no_label(of_split)
    check_padding_has_no_label(of_data)
    with pytest.raises(AssertionError):
        check_padding_has_no_label(np.array)


def test_labels_of_items_are_arrays_in_every_other_way(tmp_path):
    split = strong_split(planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    split.save(tmp_path / "s.safetensors")
    again = StrongSplit.load(tmp_path / "s.safetensors")
    for labels in (split.item_labels, again.item_labels, pickle.loads(pickle.dumps(split)).item_labels):
        plain = np.asarray(labels)
        assert type(plain) is np.ndarray
        for at in (slice(None, None, -1), plain > 5, [0, 2], np.array([], int), [], np.array([-2]), ..., None, 3, -1):
            np.testing.assert_array_equal(np.asarray(labels[at]), plain[at])
        assert np.isin(labels, plain).all()
        assert pl.Series(labels).to_list() == pd.Series(labels).tolist() == plain.tolist()


@given(st.integers(0, 10**6), st.integers(1, 8))
@settings(max_examples=25)
def test_only_candidates_are_recommended_in_any_blocks(seed, k):
    scores, history, _ = problem(seed, n_users=9, n_items=12, seen=0.5)
    rng = np.random.default_rng(seed)
    among, exclude = rng.choice(12, rng.integers(0, 13), replace=False), rng.choice(12, 3, replace=False)
    allowed = np.isin(np.arange(12), among) & ~np.isin(np.arange(12), exclude)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "BLOCK_CELLS", int(rng.integers(1, 60)))
        found = recommend(Fixed(scores), csr(history), k, among=among, exclude=exclude)
    for s, h, row, line in zip(scores, history, found.items.tolist(), found.labels, strict=True):
        want = [i for i in np.argsort(-s) if allowed[i] and not h[i]][:k]
        assert line == want
        assert row == want + [-1] * (k - len(want))
    for bad in ([12], [-1], [0.5], [[1]]):
        with pytest.raises(InputError, match="among must hold indices of items"):
            recommend(Fixed(scores), csr(history), k, among=bad)


def test_items_are_named_by_label_where_items_have_labels():
    """The labels 3, 2, 1, 0 are positions too: the item 3 is the first, not the last."""
    model, history = Fixed(np.tile([4.0, 3.0, 2.0, 1.0], (1, 1))), np.zeros((1, 4))
    numbers, words = np.array([3, 2, 1, 0]), np.array(["a", "b", "c", "d"])

    def check(find):
        assert find(labels=numbers, among=[3, 0]).items.tolist() == [[0, 3]]
        assert find(labels=numbers, exclude=np.array([3])).labels == [[2, 1]]
        assert find(labels=words, among=["d", "b"], exclude=np.array(["b"])).labels == [["d"]]

    def found(**given):
        return recommend(model, history, 2, **given)

    def by_position(among=None, exclude=None, labels=None):
        """Broken twin: whole numbers are positions always."""
        return replace(found(among=among, exclude=exclude), item_labels=labels)

    check(found)
    with pytest.raises(AssertionError):
        check(by_position)
    assert found(among=[3, 0]).items.tolist() == [[0, 3]]
    assert found(among=[3]).items.tolist() == [[3, -1]]
    assert found(labels=numbers, among=["3"]).items.tolist() == [[0, -1]]
    assert found(labels=numbers, among=[3.0, "0.0", " 2 "]).items.tolist() == [[0, 1]]
    assert found(labels=np.array(["a", "b", "c", "\u00e9"]), among=["e\u0301 "]).items.tolist() == [[3, -1]]
    assert found(labels=words, among=[]).labels == [[]]
    with pytest.raises(InputError, match=r"exclude holds 'z', which no item is called \(1 of 2 are unknown\); .* as a"):
        found(labels=words, exclude=["a", "z"])
    with pytest.raises(InputError, match="among holds 3, which no item is called"):
        found(labels=words, among=np.array([3]))
    with pytest.raises(InputError, match="among must be a list of labels"):
        found(labels=words, among="ab")
    with pytest.raises(InputError, match=r"among holds labels of items; give labels=split\.item_labels too"):
        found(among=ItemLabels.of(numbers)[:2])


def test_rank_of_an_item():
    scores, history, _ = problem(9)
    for item in (0, 17, 29):
        want = [0 if h[item] else 1 + int(((s > s[item]) & ~h).sum()) for s, h in zip(scores, history, strict=True)]
        assert ranks_of(Fixed(scores), csr(history), item).tolist() == want
    assert ranks_of(Fixed(np.zeros((40, 30))), csr(history * 0), 4).tolist() == [5] * 40  # ties by index


def test_ranks_are_the_same_in_any_blocks_and_no_block_is_larger_than_allowed(monkeypatch):
    """Of 30 items, 70 cells hold two users and 20 cells less than one, who then comes alone."""
    scores, history, heldout = problem(9)
    whole = ranks_of(Fixed(scores), csr(history), 4)
    for cells, users in ((20, 1), (70, 2), (90, 3), (10**6, 40)):
        monkeypatch.setattr(ranking, "BLOCK_CELLS", cells)
        sizes = []

        class Counted(Fixed):
            def score(self, history, sizes=sizes):
                sizes.append(history.shape[0])
                return super().score(history)

        assert ranks_of(Counted(scores), csr(history), 4).tolist() == whole.tolist()
        recommend(Counted(scores), csr(history), 3)
        evaluate(Counted(scores), FoldIn(csr(history), csr(heldout)), ["ndcg@10"])
        assert sizes == 3 * ([users] * (40 // users) + [40 % users] * (40 % users > 0))


def test_rank_of_an_item_that_is_none():
    for item in (-1, 30):
        with pytest.raises(InputError, match="item must hold indices of items, whole numbers from 0 to 29"):
            ranks_of(Fixed(np.zeros((2, 30))), csr(np.zeros((2, 30))), item)


def check_unusual_ranks(ranks_of):
    """An item without chances stands last; whether a user has it is said by the history alone."""
    inf, nan = math.inf, math.nan
    scores = [[1, -inf, 3, -inf], [nan, -inf, 3, -inf], [1, 2, inf, inf]]
    history = csr([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    assert [ranks_of(Fixed(scores), history, item).tolist() for item in (1, 2, 3)] == [[3, 2, 2], [1, 1, 0], [4, 3, 1]]
    with pytest.raises(InputError, match="NaN"):
        ranks_of(Fixed(scores), history * 0, 1)


def test_rank_of_an_item_with_an_infinite_score_and_no_rank_among_nan():
    check_unusual_ranks(ranks_of)

    def by_score(model, history, item):
        """Broken twin: a user has what is scored −∞."""
        return np.where(torch.isneginf(model.scores[:, item]), 0, ranks_of(model, history, item))

    with pytest.raises(AssertionError):
        check_unusual_ranks(by_score)


def test_more_recommendations_than_the_memory_holds_are_refused(monkeypatch):
    for k in (10**12, 2**70):
        with pytest.raises(InputError, match=f"k={k} for each of 2 users .* can hold; there are 3 items .* smaller k"):
            recommend(Fixed(np.zeros((2, 3))), np.zeros((2, 3)), k)
    monkeypatch.setenv("MINIVAE_MAX_MEMORY", "160")  # ten items and scores of eight bytes each
    assert recommend(Fixed(np.zeros((2, 3))), np.zeros((2, 3)), 5).scores.element_size() <= 8
    with pytest.raises(InputError, match="k=6"):
        recommend(Fixed(np.zeros((2, 3))), np.zeros((2, 3)), 6)
