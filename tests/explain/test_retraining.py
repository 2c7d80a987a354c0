"""Losses of held-out users against a plain formula, and training on a part of the users."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from minivae import FoldIn, InputError, MultVAE, TrainConfig, evaluate, fit, planted, strong_split
from minivae.explain import experiment, retraining
from minivae.explain.datamodel import lds_of_sums
from minivae.explain.experiment import OUTCOME, PREDICTED, measure, outcomes, receivers_of, table
from minivae.explain.retraining import losses, outcome, retrain
from minivae.explain.snapshots import record
from minivae.runtime.storage import load_arrays, save_arrays

CONFIG = TrainConfig(batch_size=64, epochs=3, anneal_steps=20, precision="fp32", device="cpu", patience=1)


def check_losses(of, split):
    model = MultVAE(split.n_items, 8, 4).eval()
    seen, target = split.test.history, split.test.heldout
    got = of(model, seen, target)
    with torch.no_grad():
        logits = model.score(seen).double()
    for u in range(seen.shape[0]):
        p = torch.log_softmax(logits[u], 0).numpy()
        np.testing.assert_allclose(got[u], -p[target[u].indices].sum(), rtol=1e-6, atol=1e-9)


def test_the_loss_is_that_of_the_target_given_the_history(toy_split):
    check_losses(losses, toy_split)
    for twin in (lambda m, seen, target: losses(m, seen, seen), lambda m, s, t: losses(m, s, t) / 2):
        with pytest.raises(AssertionError):
            check_losses(twin, toy_split)


def test_everybody_to_the_last_epoch_is_the_ordinary_run(toy_split):
    """Validation users choose nothing: a run with patience 1 goes on to its last epoch."""
    split = toy_split
    everybody = np.ones(split.train.shape[0], bool)
    got = retrain(lambda: MultVAE(split.n_items, 8, 4), split, CONFIG, everybody, split.test)
    seen = {}
    fit(
        MultVAE(split.n_items, 8, 4),
        split,
        TrainConfig(**{**CONFIG.__dict__, "patience": 9}),
        callback=lambda model, line: seen.update({line["epoch"]: outcome(model, split.test)}),
    )
    np.testing.assert_array_equal(got.heldout, seen[3].heldout)
    np.testing.assert_array_equal(got.reconstruction, seen[3].reconstruction)
    assert (got.heldout != seen[2].heldout).any()


def test_who_is_left_out_matters(toy_split):
    split = toy_split
    half = np.arange(split.train.shape[0]) % 2 == 0
    build = lambda: MultVAE(split.n_items, 8, 4)  # noqa: E731
    a, b = (retrain(build, split, CONFIG, who, split.test) for who in (half, ~half))
    assert (a.heldout != b.heldout).any()
    with pytest.raises(InputError, match="no user is left"):
        retrain(build, split, CONFIG, np.zeros_like(half), split.test)


def test_ndcg_counts_as_a_loss(toy_split):
    model = MultVAE(toy_split.n_items, 8, 4).eval()
    got = outcome(model, toy_split.test).ndcg
    np.testing.assert_array_equal(got, -evaluate(model, toy_split.test, ["ndcg@100"]).per_user["ndcg@100"])


def test_what_is_reconstructed_is_all_that_a_user_has(toy_split):
    """From all of it: history and held-out items are the input and the target."""
    model, users = MultVAE(toy_split.n_items, 8, 4).eval(), toy_split.test
    found = outcome(model, users)
    everything = users.history.toarray() + users.heldout.toarray()
    with torch.no_grad():
        logits = model.decode(model.encode(everything)[0]).double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(found.reconstruction, -(everything * log_p).sum(1), rtol=1e-5)
    np.testing.assert_allclose(found.heldout, losses(model, users.history, users.heldout))


def check_receivers(of, split):
    few, more = (of(split, n, 3) for n in (5, 9))
    rows = {tuple(h.indices) for h in split.test.history}
    assert few.n_users == 5
    assert all(tuple(h.indices) in rows for h in few.history)
    assert few.user_labels is None or set(few.user_labels) < set(more.user_labels)
    drawn = [of(split, 5, seed).history.toarray() for seed in range(3)]
    assert any((a != drawn[0]).any() for a in drawn[1:])
    np.testing.assert_array_equal(of(split, 5, 1).history.toarray(), drawn[1])


def test_receivers_are_drawn_by_the_seed(toy_split):
    check_receivers(receivers_of, toy_split)

    def first(split, n, seed):
        return FoldIn(split.test.history[:n], split.test.heldout[:n])

    with pytest.raises(AssertionError):
        check_receivers(first, toy_split)


def test_the_mean_of_two_seeds_is_asked_of_the_halves_that_were_trained_twice(few_draws):
    rng = np.random.default_rng(0)
    sums, truth = {"heldout/transfer": rng.normal(size=(6, 12))}, rng.normal(size=(12, 6))
    noise = rng.normal(size=(8, 6))
    seen, again = truth.copy(), truth[:8] - noise
    seen[:8] += noise
    got = table(sums, {"heldout": seen}, {"heldout": again})["heldout, two seeds"]
    assert set(got) == {"transfer"}
    assert got["transfer"].lds == pytest.approx(lds_of_sums(sums["heldout/transfer"][:, :8], truth[:8]).mean)
    assert got["transfer"].lds != pytest.approx(lds_of_sums(sums["heldout/transfer"], seen).mean)


def standardised(rows):
    """Each row with mean 0 and variance 1, then what all rows have in common taken off, by loops."""
    z = np.array([(row - row.mean()) / row.std() for row in rows])
    return z - z.mean(0)


@pytest.fixture
def few_draws(monkeypatch):
    """Two draws of the bootstrap: the intervals take nearly all the time of a table."""
    for name in ("lds_of_sums", "ceiling"):
        monkeypatch.setattr(experiment, name, partial(getattr(experiment, name), n_bootstrap=2))


def test_the_personal_table_has_a_ceiling_of_its_own(few_draws):
    rng = np.random.default_rng(1)
    sums = {"heldout/transfer": rng.normal(size=(6, 12)), "reconstruction/transfer": rng.normal(size=(6, 12))}
    seen, again = rng.normal(size=(12, 6)), rng.normal(size=(8, 6))
    got = table(sums, {"heldout": seen}, {"heldout": again})
    assert set(got) == {"heldout", "heldout, personal", "heldout, two seeds"}
    assert set(got["heldout, personal"]) == set(got["heldout"]) == {"transfer", "ceiling"}
    own = standardised(seen.T)
    expected = np.mean([spearmanr(a, b).statistic for a, b in zip(standardised(again.T), own[:, :8], strict=True)])
    assert got["heldout, personal"]["ceiling"].lds == pytest.approx(expected)
    mine = standardised(sums["heldout/transfer"])
    expected = np.mean([spearmanr(a, -b).statistic for a, b in zip(mine, own, strict=True)])
    assert got["heldout, personal"]["transfer"].lds == pytest.approx(expected)
    each = [spearmanr(a, -b).statistic for a, b in zip(sums["heldout/transfer"], seen.T, strict=True)]
    assert got["heldout"]["transfer"].above == np.mean([r > 0 for r in each])
    assert 0 < got["heldout"]["transfer"].above < 1
    assert got["heldout"]["transfer"].above != 0.5
    once = table(sums, {"heldout": seen}, {})
    assert set(once) == {"heldout", "heldout, personal"}
    assert set(once["heldout, personal"]) == {"transfer"}


def test_two_receivers_are_enough_and_one_is_not(toy_split):
    assert receivers_of(toy_split, 2).n_users == 2
    with pytest.raises(InputError, match="at least 2 are needed"):
        receivers_of(toy_split, 1)


def test_an_experiment_is_continued_from_its_folder(few_draws, tmp_path):
    """Three halves, two of them twice; a second call trains nothing and finds the same."""
    split = strong_split(planted(n_users=150, n_items=40, n_events=2000), n_heldout=20)
    config = replace(CONFIG, epochs=2, seed=4)
    told = []

    def run(build):
        return measure(build, split, config, tmp_path, 3, 2, 5, progress=lambda done, total: told.append((done, total)))

    def nothing():
        raise AssertionError("trained again")

    first = run(lambda: MultVAE(split.n_items, 8, 4))
    assert told == [(k, 5) for k in range(1, 6)]
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.safetensors")}
    halves = [f"retrained/seed{seed}-subset{k:03d}.safetensors" for seed, n in ((4, 3), (5, 2)) for k in range(n)]
    assert files == {"sums.safetensors", *halves}
    assert (first.training_users, first.receivers, first.subsets, first.trained_twice) == (
        split.train.shape[0],
        5,
        3,
        2,
    )
    assert "sharing radius" in first.scores["heldout"]
    assert run(nothing) == first
    for name, kind in (("sums", PREDICTED), (halves[0].removesuffix(".safetensors"), OUTCOME)):
        path = tmp_path / f"{name}.safetensors"
        whole, _ = load_arrays(path, kind)
        for why, other in odd_arrays(whole):
            save_arrays(path, kind, other, {})
            with pytest.raises(InputError, match=f"{path.name} does not hold what minivae writes there .*{why}"):
                run(nothing)
        save_arrays(path, kind, whole, {})
    assert run(nothing) == first


def test_a_receiver_without_heldout_items_has_no_ndcg_and_is_read_again(toy_split, tmp_path):
    """NaN, where it is written and where it is read; anywhere else it is refused, and so is infinity there."""
    heldout = toy_split.test.heldout[:3].tolil()
    heldout[1] = 0
    receivers = FoldIn(toy_split.test.history[:3], heldout.tocsr())
    everybody = np.ones((1, toy_split.train.shape[0]), bool)
    ask = partial(outcomes, lambda: MultVAE(toy_split.n_items, 8, 4), toy_split, CONFIG, receivers, everybody, tmp_path)
    first, again = ask(), ask()
    assert np.isnan(first["ndcg"]).tolist() == [[False, True, False]]
    for target, values in first.items():
        np.testing.assert_array_equal(again[target], values)
    (path,) = tmp_path.glob("*.safetensors")
    whole, _ = load_arrays(path, OUTCOME)
    for name, odd in (("ndcg", [np.nan, np.nan, 0]), ("ndcg", [0, np.inf, 0]), ("heldout", [0, np.nan, 0])):
        save_arrays(path, OUTCOME, whole | {name: np.array(odd)}, {})
        with pytest.raises(InputError, match=f"'{name}' holds something else than finite numbers"):
            ask()


def odd_arrays(whole):
    """What a file may hold that was written with a right checksum, but not by an experiment."""
    name, first = min(whole.items())
    yield "is missing", {k: v for k, v in whole.items() if k != name}
    yield "is not part of it", whole | {"more": first}
    yield "has shape", whole | {name: first[:-1]}
    yield "has shape", whole | {name: first[None]}
    for odd in (first * np.nan, first > 0, first.astype(np.int64)):
        yield "something else than finite numbers", whole | {name: odd}


@pytest.mark.parametrize("mask", ["raw", "normalize-then-mask"])
def test_fresh_parameters_see_users_as_the_run_does(mask):
    """With raw masks the encoder gets x, not x/‖x‖; the model before the first epoch as well."""
    split = strong_split(planted(n_users=150, n_items=40, n_events=2000), n_heldout=20)
    config = replace(CONFIG, epochs=2, mask=mask)
    snapshots, model, _ = record(lambda: MultVAE(split.n_items, 4, 2), split, config, to_the_end=True)
    assert snapshots[0].epoch == 0
    assert snapshots[0].model.normalize == model.normalize == (mask != "raw")


def test_a_batch_larger_than_the_users_weighs_as_all_of_them():
    """The runs are the same, and so are the lengths of their steps."""
    split = strong_split(planted(n_users=150, n_items=40, n_events=2000), n_heldout=20)
    n = split.train.shape[0]

    def weights(batch_size):
        config = replace(CONFIG, epochs=2, batch_size=batch_size)
        snapshots, model, _ = record(lambda: MultVAE(split.n_items, 4, 2), split, config, to_the_end=True)
        return [s.weight for s in snapshots], model.score(split.test.history)

    (whole, a), (more, b), (half, _) = (weights(size) for size in (n, 5 * n, n // 2))
    assert torch.equal(a, b)
    assert more == whole == [CONFIG.lr / n] * 2
    assert half == [CONFIG.lr / (n // 2)] * 2


def test_validation_users_without_heldout_items_are_not_those_that_are_watched(toy_split, monkeypatch):
    """The first have nothing held out; a run that watched those alone could choose no epoch."""
    monkeypatch.setattr(retraining, "WATCHED", 4)
    history, heldout = toy_split.validation.history, toy_split.validation.heldout.tolil()
    heldout[:5] = 0
    split = replace(toy_split, validation=FoldIn(history, heldout.tocsr()))
    seen, everybody = [], np.ones(split.train.shape[0], bool)

    def looking(model, part, config, **named):
        seen.append(part.validation)
        return fit(model, part, config, **named)

    monkeypatch.setattr(retraining, "fit", looking)
    retrain(lambda: MultVAE(split.n_items, 8, 4), split, replace(CONFIG, epochs=1), everybody, split.test)
    rows = np.flatnonzero(np.diff(split.validation.heldout.indptr))[:4]
    assert rows.min() >= 5
    np.testing.assert_array_equal(seen[0].history.toarray(), history[rows].toarray())
    np.testing.assert_array_equal(seen[0].heldout.toarray(), split.validation.heldout[rows].toarray())
