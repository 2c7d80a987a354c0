"""Lines of the card that say whether a local model describes a network: planted cases with a warning and without."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.stats import spearmanr
from torch import nn

import minivae as mv
from minivae import InputError
from minivae.theory import anchoring
from minivae.theory.card import companions, content
from minivae.theory.card.companions import Companions
from minivae.theory.card.subject import Subject


def views_of(seed=0, users=30, masks=24, d=4):
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(users, d, d, generator=g, dtype=torch.float64)
    h = root @ root.mT * torch.logspace(-2, 2, users, dtype=torch.float64)[:, None, None]
    return h, torch.randn(users, masks, d, generator=g, dtype=torch.float64)


def test_shrinkage_of_the_local_model_itself_needs_no_warning():
    """Planted: every user's anchored means are the minimisers that the proposition speaks of."""
    h, free = views_of()
    centre = torch.ones(4, dtype=torch.float64)
    anchored = torch.stack(
        [anchoring.QuadraticModel(a, 1.0, centre).minimizer(m) for a, m in zip(h, free, strict=True)]
    )
    line = companions.shrunk(companions.predicted_shrinkage(h, 1.0, free), free, anchored, 1.0, "planted")
    assert line.value.startswith("Spearman +1.00")
    assert (line.verdict, line.warning) == ("measured", "")


def test_a_network_that_only_rescales_gets_a_warning():
    """Planted: everybody shrinks by the same factor and some noise, whatever the Hessian says."""
    h, free = views_of(1)
    factor = 0.5 + 0.1 * torch.rand(len(h), 1, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    line = companions.shrunk(companions.predicted_shrinkage(h, 1.0, free), free, factor * free, 1.0, "planted")
    assert "does not say which users shrink more" in line.warning


def test_a_network_whose_order_is_turned_around_is_told_so():
    """Planted: whoever should shrink more shrinks less."""
    h, free = views_of(3)
    predicted = companions.predicted_shrinkage(h, 1.0, free)
    factor = (1.1 - predicted).sqrt()[:, None, None]
    line = companions.shrunk(predicted, free, factor * free, 1.0, "planted")
    assert line.value.startswith("Spearman -1.00")
    assert line.warning == "the local model has the users who shrink more the wrong way round"


def test_predicted_shrinkage_by_hand():
    """H = diag(2, 6), λ = 1: (2/4)² and (6/8)² of the two variances."""
    h = torch.diag(torch.tensor([2.0, 6.0], dtype=torch.float64))[None]
    free = torch.tensor([[[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]]], dtype=torch.float64)
    by_hand = (0.25 * 2 + 0.5625 * 8) / 10
    np.testing.assert_allclose(companions.predicted_shrinkage(h, 1.0, free), [by_hand], rtol=1e-12)
    with pytest.raises(AssertionError):  # broken twin: λ in place of 2λ
        np.testing.assert_allclose(companions.predicted_shrinkage(h, 0.5, free), [by_hand], rtol=1e-12)


def test_order_is_spearman_with_an_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=40), rng.normal(size=40)
    for other in (b, a + b, -a, np.round(b)):
        rank, low, high = companions.order(a, other)
        assert rank == pytest.approx(spearmanr(a, other)[0])
        assert low <= rank <= high
        assert low < high or abs(rank) == pytest.approx(1)
    covered = [low <= 0 <= high for _, low, high in (companions.order(*rng.normal(size=(2, 40))) for _ in range(400))]
    assert abs(np.mean(covered) - 0.95) < 4 * (0.95 * 0.05 / 400) ** 0.5 + 0.01  # Fisher's z is for normal pairs
    assert companions.order(a, np.ones(40))[0] == 0


def check_water(fill):
    """The closed form of a linear network: variance λ_j, noise s², posterior variance β s²/λ_j above water."""
    variance, noise = torch.tensor([9.0, 4.0, 1.5, 0.3]), 0.5

    def kl(beta):
        return 0.5 * (variance / (beta * noise)).clamp_min(1).log()

    for beta, larger in ((0.2, 1.0), (0.5, 4.0), (1.0, 30.0)):
        torch.testing.assert_close(fill(kl(beta), beta, larger), kl(larger))


def test_water_filling_of_a_linear_network():
    check_water(companions.water_filling)
    twins = (
        lambda kl, beta, larger: (kl - np.log(larger / beta)).clamp_min(0),
        lambda kl, beta, larger: kl - 0.5 * np.log(larger / beta),
    )
    for twin in twins:
        with pytest.raises(AssertionError):
            check_water(twin)


def test_a_linear_network_gets_no_warning_and_one_that_keeps_all_units_does():
    before = torch.linspace(0.05, 2.0, 16)
    after = companions.water_filling(before, 0.2, 1.0)
    active = int((after > 0).sum())
    assert 4 < active < 14
    assert companions.filled(before, after, active, 0.2, 1.0, "planted").warning == ""
    assert companions.filled(before, after, active + 1, 0.2, 1.0, "planted").warning == ""
    all_alive = companions.filled(before, after + 0.1, 16, 0.2, 1.0, "planted")
    assert "does not describe" in all_alive.warning
    assert f"{active} predicted, 16 seen" in all_alive.value


def sharing(model, x):
    return mv.theory.transfer.sharing(model, x, 4, torch.Generator().manual_seed(0))


def linear_decoder(weights, encode):
    layer = nn.Linear(weights.shape[1], weights.shape[0]).double()
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.zero_()
    return mv.theory.wrap(encode=encode, decode=nn.Sequential(layer), n_items=weights.shape[0], latent=weights.shape[1])


def test_neighbours_of_one_content_have_a_radius_and_strangers_in_one_place_have_none():
    """Planted: eight groups of six; where a group shares its items nobody is closed, where nobody does everybody is."""
    rng = np.random.default_rng(0)
    place = torch.from_numpy(rng.normal(size=(8, 2))).double().repeat_interleave(6, 0) * 3
    place = place + 0.01 * torch.from_numpy(rng.normal(size=(48, 2)))
    weights = torch.from_numpy(rng.normal(size=(60, 2))).double()
    same = np.kron(np.eye(8), np.ones((6, 1))).repeat(7, 1)
    same = np.hstack([same, np.zeros((48, 4))])
    apart = np.zeros((48, 60))
    for u in range(48):
        apart[u, rng.permutation(60)[:2]] = 1
    model = linear_decoder(weights, lambda x: (place[: x.shape[0]], torch.full((x.shape[0], 2), 0.05).double()))
    alike, strangers = (sharing(model, torch.from_numpy(x)) for x in (same, apart))
    assert content.content(alike).warning == ""
    assert content.content(alike).value == "0%"
    assert "the distance decides little" in content.content(strangers).warning


def test_closed_is_counted_pair_by_pair():
    x = torch.from_numpy((np.random.default_rng(1).random((12, 9)) < 0.4).astype(float))
    x[:, 0] = 1
    s = sharing(mv.MultVAE(9, hidden=4, latent=2).double(), x)
    got = content.closed(s)
    assert got.shape == (12, 5)
    for u in range(12):
        others = sorted((float(s.distance[u, v]), v) for v in range(12) if v != u)[:5]
        by_hand = [bool(s.mismatch[u, v] >= s.norm[u]) for _, v in others]
        assert sorted(got[u].tolist()) == sorted(by_hand)


@pytest.fixture(scope="module")
def trained():
    split = mv.strong_split(mv.planted(n_users=400, n_items=120, n_events=8000), n_heldout=50)
    config = mv.TrainConfig(
        epochs=4, batch_size=50, anneal_steps=10, anchor=1.0, beta=0.5, lr=3e-3, precision="fp32", device="cpu"
    )

    def run(**changes):
        return mv.fit(mv.MultVAE(split.n_items, hidden=16, latent=4), split, replace(config, **changes)).model

    return split, run(), run(anchor=0.0), run(beta=0.1), run(epochs=1)


@pytest.mark.slow
def test_a_card_with_companions_has_three_more_lines(trained):
    split, model, without, looser, early = trained
    beside = Companions(0.5, 1.0, without, looser, 0.1, [(1, early), (4, model)])
    card = mv.theory.report_card(model, split, n_users=60, companions=beside)
    alone = mv.theory.report_card(model, split, n_users=60)
    assert card.failed == []
    more = [c for c in card.checks if c not in alone.checks]
    assert [c.statement for c in more] == ["Theorem 2.3", "β-KL", "Proposition 3.2"]
    assert all(c.verdict == "measured" and c.value for c in more)
    for c in card.checks:
        assert c.warning in card.conclusion
        assert c.warning in card.markdown()
    assert "epoch 1: " in more[0].value
    assert [c["warning"] for c in card.as_dict()["checks"]] == [c.warning for c in card.checks]


def test_hessians_are_second_differences(trained):
    split, model, *_ = trained
    model = companions.in_float64(model)
    x = sp.csr_matrix(split.train[:3].astype(np.float64))
    with torch.no_grad():
        mu = model.encode(x)[0].double()
    h = companions.hessians(model, x, mu, 0.5)

    def loss(z, u):
        logits = model.decode(z[None])[0]
        row = torch.from_numpy(x[u].toarray()[0])
        return float(-(row * torch.log_softmax(logits, -1)).sum() + 0.25 * (z**2).sum())

    step, eye = 1e-3, torch.eye(4, dtype=torch.float64)
    for u in range(3):
        for i in range(4):
            for j in range(4):
                a, b = step * eye[i], step * eye[j]
                by_hand = (
                    loss(mu[u] + a + b, u) - loss(mu[u] + a - b, u) - loss(mu[u] - a + b, u) + loss(mu[u] - a - b, u)
                )
                assert float(h[u, i, j]) == pytest.approx(by_hand / (4 * step**2), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"without": 1, "anchor": 0.0}, "without anchors has no companion"), ({"looser": 1, "looser_beta": 0.9}, "below")],
)
def test_companions_that_cannot_be(wrong, says):
    with pytest.raises(InputError, match=says):
        Companions(0.5, **wrong)


def made(distance, mismatch, norm):
    return SimpleNamespace(distance=torch.tensor(distance), mismatch=torch.tensor(mismatch), norm=torch.tensor(norm))


def test_a_neighbour_whose_content_differs_by_just_the_norm_has_no_radius():
    """Three users on a line: each has two neighbours, itself is none of them, and r_share is 0 at Δ_x = ‖g_u‖ too."""
    distance = [[0.0, 1.0, 2.0], [1.0, 0.0, 1.5], [2.0, 1.5, 0.0]]
    mismatch = [[9.0, 2.0, 1.9], [2.0, 9.0, 2.1], [3.0, 4.0, 9.0]]
    got = content.closed(made(distance, mismatch, [2.0, 2.0, 5.0]))
    assert got.tolist() == [[True, False], [True, True], [False, False]]  # the nearest first


def test_half_of_the_neighbours_without_a_radius_is_no_news_and_more_is():
    assert content.no_radius(0.5) == ""
    assert content.no_radius(0.51).startswith("content closes the radius of 51%")


def test_units_may_be_off_by_one_or_by_a_tenth():
    """Of four units one is within the limit and two are not; of forty, four are and five are not."""
    for size, fine, wrong in ((4, 1, 2), (40, 4, 5)):
        before = torch.full((size,), 1.0)
        for off, warned in ((fine, False), (wrong, True)):
            line = companions.filled(before, before, size - off, 0.2, 0.4, "planted")
            assert bool(line.warning) == warned


def test_the_variance_that_is_seen_is_that_over_masks():
    """Means under masks shrink to a third for everybody, users to a half: (1/3)² and (1/2)² of the variances."""
    rng = np.random.default_rng(4)
    place, moved = rng.standard_normal((30, 1, 4)), rng.standard_normal((30, 24, 4))
    moved -= moved.mean(1, keepdims=True)
    free, anchored = (torch.from_numpy(a * place + b * moved) for a, b in ((1, 1), (1 / 2, 1 / 3)))
    line = companions.shrunk(torch.full((30,), 0.2).double(), free, anchored, 1.0, "planted")
    assert "median 0.20 predicted, 0.11 seen, 0.25 of the variance between users" in line.value


@pytest.mark.parametrize(("convex", "measured"), [(9, False), (10, True)])
def test_ten_users_with_a_convex_loss_are_enough(convex, measured, trained, monkeypatch):
    split, model, without, *_ = trained
    curvature = torch.where(torch.arange(12) < convex, 1.0, -1.0).double()
    monkeypatch.setattr(companions, "hessians", lambda *a: curvature[:, None, None] * torch.eye(4).double())
    x = sp.csr_matrix(split.train[:12].astype(np.float64))
    with torch.no_grad():
        mu, sd = (t.double() for t in companions.in_float64(model).encode(x))
    s = Subject(companions.in_float64(model), x, mu, sd, 0.5, "normalize-then-mask", 0)
    line = companions._shrunk(s, without, 1.0, 0.5)
    assert line.value.startswith("Spearman") == measured
    assert line.on.startswith(f"the {convex} of 12 users" if measured else "12 users")
    assert ("H ⪰ 0 fails" in line.warning) == (not measured)
