"""Leaving out helpers: who is left out, and a user whose only source of help is known."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from minivae import FoldIn, InputError, MultVAE, StrongSplit, TrainConfig, explain
from minivae.explain import leave_out
from minivae.explain.leave_out import PAIR, matched_others, removal
from minivae.runtime.storage import save_arrays


def test_the_others_are_alike_and_somebody_else():
    rng = np.random.default_rng(0)
    x = sp.csr_matrix((rng.random((200, 60)) < rng.random((200, 1)) * 0.6 + 0.05).astype(float))
    n = np.diff(x.indptr)
    chosen, barred = np.arange(10), np.arange(40)
    others = matched_others(x, chosen, barred, rng)
    assert len(set(others.tolist())) == 10
    assert not set(others.tolist()) & set(barred.tolist())
    assert np.abs(np.log(n[others] / n[chosen])).max() < 0.5
    with pytest.raises(InputError, match="not enough"):
        matched_others(x[:12], np.arange(10), np.arange(12), rng)


@pytest.fixture(scope="module")
def world():
    """Two groups of users over items of their own; the receiver is of the small group, which ten users make up."""
    rng = np.random.default_rng(1)
    x = np.zeros((120, 40))
    for u in range(120):
        own = np.arange(30, 40) if u < 10 else np.arange(30)
        x[u, rng.permutation(own)[:7]] = 1
    history, heldout = np.zeros((4, 40)), np.zeros((4, 40))
    history[:, 30:34], heldout[:, 34:37] = 1, 1
    fold_in = FoldIn(sp.csr_matrix(history), sp.csr_matrix(heldout))
    split = StrongSplit(sp.csr_matrix(x), fold_in, fold_in, np.arange(40))
    config = TrainConfig(batch_size=20, epochs=40, anneal_steps=50, precision="fp32", device="cpu", lr=5e-3)

    def build():
        return MultVAE(40, 12, 4)

    snapshots, _, _ = explain.record(build, split, config, to_the_end=False)
    return build, split, config, explain.transfer(snapshots, split.train, fold_in.history, fold_in.heldout)


def test_the_group_that_helped_is_found_and_missed(world):
    build, split, config, transfer = world
    best, _ = explain.best_helpers(transfer, 0, 10)
    assert len(set(best.tolist()) & set(range(10))) >= 8  # by chance one of ten would be there
    result = removal(build, split, config, transfer, split.test, [0, 1])
    assert (result.helpers > result.others + 1).all()
    assert result.difference.difference > 1


def test_helpers_by_the_wrong_sign_are_not_missed(world):
    """Broken twin: those who help least are left out in place of the best."""
    build, split, config, transfer = world
    worst = explain.Transfer(-transfer.total, transfer.cosine, transfer.epochs, transfer.weights, transfer.itself)
    result = removal(build, split, config, worst, split.test, [0])
    assert result.helpers[0] < result.others[0] + 1
    with pytest.raises(InputError, match="receivers"):
        removal(build, split, config, transfer, FoldIn(split.test.history[:2], split.test.heldout[:2]), [0])


def test_a_removal_test_is_continued_not_begun_again(world, tmp_path):
    """What the folder holds is read; a value planted there shows it, and the other receiver's draw is as before."""
    build, split, config, transfer = world
    short = replace(config, epochs=2)
    whole = removal(build, split, short, transfer, split.test, [0, 1, 2], folder=tmp_path)
    (tmp_path / "receiver00001.safetensors").unlink()
    save_arrays(tmp_path / "receiver00000.safetensors", PAIR, {"loss": np.array([7.0, 5.0])}, {})
    seen = []
    again = removal(
        build, split, short, transfer, split.test, [0, 1, 2], folder=tmp_path, progress=lambda *a: seen.append(a)
    )
    assert (again.helpers[0], again.others[0]) == (7.0, 5.0)
    np.testing.assert_array_equal(again.helpers[1:], whole.helpers[1:])
    np.testing.assert_array_equal(again.others[1:], whole.others[1:])
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for odd in ({"loss": np.array([7.0])}, {"loss": np.array([7.0, np.nan])}, {"lost": np.array([7.0, 5.0])}):
        save_arrays(tmp_path / "receiver00000.safetensors", PAIR, odd, {})
        with pytest.raises(InputError, match=r"receiver00000.safetensors does not hold what minivae writes there"):
            removal(build, split, short, transfer, split.test, [0], folder=tmp_path)


def test_who_is_left_out_of_each_training(world, monkeypatch):
    """The ten largest by a plain sort; the others are ten more, none of them among the thirty best helpers."""
    build, split, config, transfer = world
    asked = []

    def record(build, split, config, left_out, receiver):
        asked.append((left_out, receiver))
        return float(len(asked))

    barred, match = [], leave_out.matched_others
    monkeypatch.setattr(leave_out, "matched_others", lambda *a: barred.append(a[2]) or match(*a))
    monkeypatch.setattr(leave_out, "_without", record)
    result = removal(build, split, config, transfer, split.test, [2, 0])
    assert (result.helpers.tolist(), result.others.tolist()) == ([1.0, 3.0], [2.0, 4.0])
    assert result.difference.difference == -1
    for u, (best, receiver), (others, same) in ((2, *asked[:2]), (0, *asked[2:])):
        order = sorted(range(120), key=lambda v: -transfer.total[u, v])
        assert sorted(best) == sorted(order[:10])
        assert len(set(others.tolist()) - set(order[:30])) == 10
        assert sorted(barred.pop(0)) == sorted(order[:30])
        assert receiver is same
        assert receiver.n_users == 1
        assert (receiver.heldout != split.test.heldout[u]).nnz == 0
    asked.clear()
    removal(build, split, config, transfer, split.test, [0], k=3)
    assert [len(left_out) for left_out, _ in asked] == [3, 3]
