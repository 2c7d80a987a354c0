"""Every line of the report card can fail: how wrong a line may be is written here, line by line.

The lines are taken as the evidence hands them over: the two sides and what is allowed. A planted error of the size
that the line is there to find turns it to FAILED; one within rounding does not.
"""

import json
import math
import os
import re
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import xlogy
from scipy.stats import binom, norm, spearmanr

import minivae as mv
from minivae.theory import transfer
from minivae.theory.card import card, check, evidence, evidence_masks
from minivae.theory.card.subject import Subject, in_float64

GOLDEN = Path(__file__).parent / "golden" / "card.md"

# Claim -> an error that must be found, on the scale of the line's own numbers: a millionth where both sides are
# computed, 0.2 where one is drawn. The lines of one statement differ in their claims.
IDENTITIES = {
    "⟨g_u, g_v⟩ from layer pieces = autograd": 1e-6,
    "W2 of posteriors = Bures formula of POT": 1e-4,
    "gap = weighted Jensen–Shannon = numerical minimum": 1e-5,
    "integrated gap: sampling = quadrature": 0.2,
    "I(U; Z) and KL(q̄‖p): sampling = quadrature": 0.05,
    "E KL = I(U; Z) + KL(q̄‖p), by quadrature": 1e-5,
    "E KL = I(U; Z) + KL(q̄‖p), sampled": 0.5,
    "E D_h = ρd + 2ρ(1−ρ)s, against simulated masks": 0.7,
    "Var D_h, against simulated masks": 2.0,
    "law of D_h: distribution functions of both": 0.15,
    "E D_h < d iff Jaccard < 1/(1+2ρ)": 1,  # one law of all
    "Mult-VAE's input (x/‖x‖)⊙b/ρ: E‖x̃_u − x̃_v‖₁, simulated": 0.7,
    "L_A = mean + variance + scatter term = mean ‖z − e_i‖² item by item": 1e-6,
    "μ*_h = (H+2λI)⁻¹(H m_h + 2λē) = numerical minimum": 1e-3,
    "τ = L/(L+2λ) is attained for H = L·I": 1e-6,
    "no Loewner order: H = diag(1, .01)": 1e-6,
}
# Claim -> the smallest relative excess that a planted case has to have, so that the line fails.
BOUNDS = {
    "‖g_u − g_v‖ ≤ D_uv (coupling + content)": 1e-5,
    "⟨g_u, g_v⟩ ≥ ‖g_u‖ (‖g_u‖ − D_uv)": 1e-5,
    "certified steps lower the loss by what the descent lemma promises": 1e-6,
    "|μ_u − μ_v| ≤ W1 ≤ W2": 1e-6,
    "W2(q_u, q_v) ≤ L ‖x_u − x_v‖₁, L proved": 1e-6,
    "0 ≤ integrated gap ≤ gap of coinciding posteriors": 1e-6,
    "the gap falls as the means move apart": 1e-6,
    "I(U; Z) ≤ log U": 1e-6,
    "W2(q_u, q_v) ≤ √(2 KL_u) + √(2 KL_v)": 1e-6,
    "P(|D_h − E D_h| ≥ t) ≤ 2 exp(−2t²/(d+s))": 1e-6,
    "and it never contracts: E‖x̃_u − x̃_v‖₁ ≥ clean": 1e-6,
    "‖μ*_h − ē‖ ≤ τ ‖m_h − ē‖": 1e-6,
    "tr Cov μ* ≤ τ² tr Cov m, and the spectral norm": 1e-6,
}


@pytest.fixture(scope="module")
def subject():
    """Forty users of thirty items and a small model that nobody has trained."""
    x = np.random.default_rng(0).random((40, 30)) < 0.3
    x[:, 0] |= ~x.any(1)
    model = mv.MultVAE(30, hidden=8, latent=3)
    model.reset_parameters(torch.Generator().manual_seed(1))
    model = in_float64(model)
    rows = card._sample(x, 40, 0)
    with torch.no_grad():
        mu, sd = (t.double() for t in model.encode(rows))
    return Subject(model, rows, mu, sd, 0.5, "normalize-then-mask", 0)


@pytest.fixture(scope="module")
def evidence_of(subject):
    """Claim -> (kind, left side, right side, line) of every line that can fail; statement -> what its figure shows."""
    found = {}
    patch = pytest.MonkeyPatch()

    def recorded(kind):
        real = getattr(check, kind)

        def record(statement, claim, on, left, right, value=""):
            line = real(statement, claim, on, left, right, value)
            both = np.broadcast_arrays(check._numbers(left), check._numbers(right))
            found[claim] = (kind, *(np.array(side) for side in both), line)
            return line

        return record

    for kind in ("identity", "bound"):
        for module in (evidence, evidence_masks):
            patch.setattr(module, kind, recorded(kind))
    made = {name: statement(subject) for name, statement in card.STATEMENTS.items()}
    patch.undo()
    for checks, _ in made.values():
        found |= {c.claim: ("measured", None, None, c) for c in checks if c.verdict == "measured"}
    return found, {name: shown for name, (_, shown) in made.items()}


@pytest.fixture(scope="module")
def lines(evidence_of):
    return evidence_of[0]


@pytest.fixture(scope="module")
def shown(evidence_of):
    return evidence_of[1]


def test_the_lists_name_every_line_that_can_fail(lines):
    assert {c for c, (kind, *_) in lines.items() if kind == "identity"} == set(IDENTITIES)
    assert {c for c, (kind, *_) in lines.items() if kind == "bound"} == set(BOUNDS)
    assert all(line.verdict != "FAILED" for *_, line in lines.values())


def words_of(checks):
    """A card of these lines; numbers that were measured are left out."""
    silent = [
        replace(
            c,
            on=re.sub(r"\d+ certified", "# certified", c.on),
            value=re.sub(r"[+-]?\d[\d.,]*(e[+-]?\d+)?", "#", c.value),
            slack=None,
        )
        for c in checks
    ]
    made = card.Card("model", "some users", 0, tuple(silent))
    broken = card.Card("model", "some users", 0, (replace(silent[0], verdict="FAILED"), *silent[1:]))
    return f"{made.markdown()}\n{made.conclusion}\n\n{broken.conclusion}\n"


def test_a_card_is_word_for_word_what_was_read_and_found_right(lines):
    """`CARD=new pytest …` writes the file anew; read the difference before it is committed."""
    order = list(card.STATEMENTS)
    checks = sorted((line for *_, line in lines.values()), key=lambda c: (order.index(c.statement), c.claim))
    if os.environ.get("CARD") == "new":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(words_of(checks), encoding="utf-8")
    assert words_of(checks) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("claim", IDENTITIES)
def test_a_planted_error_breaks_an_identity_and_rounding_does_not(claim, lines):
    _, error, allowed, line = lines[claim]
    assert check.identity("s", claim, "", error + 1e-12, allowed).verdict == "exact"
    for at in {0, error.size - 1}:  # one case of all is enough
        for sign in (-1, 1):
            wrong = error.copy()
            wrong.flat[at] = np.abs(error).flat[at] * sign + sign * IDENTITIES[claim]
            assert check.identity("s", claim, "", wrong, allowed).verdict == "FAILED"
    assert line.slack == pytest.approx(1 - float((np.abs(error) / allowed).max()))


@pytest.mark.parametrize("claim", BOUNDS)
def test_a_planted_excess_breaks_a_bound_and_one_that_is_attained_does_not(claim, lines):
    _, smaller, larger, _ = lines[claim]
    assert check.bound("s", claim, "", larger, larger).verdict == "bound holds"
    at = int(np.argmax(larger))
    wrong = smaller.copy()
    wrong.flat[at] = larger.flat[at] * (1 + BOUNDS[claim])
    assert check.bound("s", claim, "", wrong, larger).verdict == "FAILED"


def test_the_borders_of_the_verdict():
    """Missed by a billionth is rounding; by a hundred millionth it is not. One bad case of many is enough."""
    assert check.bound("s", "c", "", 1 + 0.9e-9, 1.0).verdict == "bound holds"
    assert check.bound("s", "c", "", 1 + 1.5e-9, 1.0).verdict == "FAILED"
    assert check.bound("s", "c", "", [0.0, 3.0, 0.0], 2.0).slack == -0.5
    assert check.bound("s", "c", "", -5.0, 1.0).slack == 1
    assert check.bound("s", "c", "", -1.0, 0.0).slack == 1
    assert check.bound("s", "c", "", [], []).verdict == "measured"
    assert check.SIGMA == 6
    assert check.UNSEEN == 20
    assert math.exp(-check.UNSEEN) == pytest.approx(2 * norm.sf(check.SIGMA), rel=0.1)
    assert check.measured("s", "c", "o", "v") == check.Check("s", "c", "o", "measured", None, "v")


def test_an_overlap_that_no_draw_meets_is_no_failure(subject):
    """Six posteriors of a trained model, nearly apart: nearly every draw is log 6, which hides the rest."""
    mu = [
        [1.5950, -0.9901],
        [-1.0152, 0.7109],
        [0.2131, -1.2021],
        [0.1097, 0.9756],
        [-0.3593, -0.3903],
        [1.0859, 0.4088],
    ]
    sd = [[0.1155, 0.1429], [0.1158, 0.1729], [0.0641, 0.0768], [0.1470, 0.2142], [0.1066, 0.1757], [0.1472, 0.2210]]
    apart = Subject(
        subject.model,
        subject.x[:6],
        torch.tensor(mu, dtype=torch.float64),
        torch.tensor(sd, dtype=torch.float64),
        0.5,
        "normalize-then-mask",
        0,
    )
    known = mv.theory.bottleneck.kl_decomposition_quadrature(apart.mu, apart.sd)

    def too_far(seed):
        drawn = mv.theory.bottleneck.kl_decomposition(apart.mu, apart.sd, 2000, torch.Generator().manual_seed(seed))
        off = abs(float(drawn.mutual_information - known.mutual_information))
        return off > check.SIGMA * float(drawn.mutual_information_se)

    false_alarm = next(seed for seed in range(40) if too_far(seed))
    assert evidence.information(replace(apart, seed=false_alarm))[0][0].verdict == "exact"


# ------------------------------------------------------------- both sides of a line, computed here a second time


def test_the_sides_of_theorem_2_3_are_those_of_the_gradients(subject, lines):
    """D_uv of every pair of different users, with no more than rounding added."""
    given = transfer.sharing(subject.model, subject.x, 4, subject.generator)
    off = ~torch.eye(40, dtype=torch.bool)
    penalty, own = given.links["coupling"][off].numpy(), given.norm[:, None].expand(40, 40)[off].numpy()
    _, apart, allowed, _ = lines["‖g_u − g_v‖ ≤ D_uv (coupling + content)"]
    np.testing.assert_allclose(allowed, penalty, rtol=1e-6)
    np.testing.assert_allclose(apart, given.links["gradient distance"][off])
    _, least, allowed, _ = lines["⟨g_u, g_v⟩ ≥ ‖g_u‖ (‖g_u‖ − D_uv)"]
    np.testing.assert_allclose(allowed, own * penalty, rtol=1e-6)
    np.testing.assert_allclose(least, own**2 - given.exact[off].numpy())


def test_the_bound_of_lemma_2_4_is_that_of_the_smallest_user(subject, lines):
    """Users without one item are among the pairs: the constant is that of the smaller ones."""
    from minivae.theory.numerics.smoothness import encoder_constants, without_one

    _, latent, allowed, line = lines["W2(q_u, q_v) ≤ L ‖x_u − x_v‖₁, L proved"]
    _, near = without_one(subject.x, subject.generator)
    fewest = min(int(np.diff(x.indptr).min()) for x in (subject.x, near))
    constant = encoder_constants(subject.model, fewest).joint
    assert f"proved constant {constant:.3g}" in line.value
    ratios = allowed / constant
    np.testing.assert_allclose(ratios, np.rint(ratios), atol=1e-9)  # an L1 distance of binary rows is a whole number
    assert ratios.min() == 1
    assert f"largest ratio {(latent / ratios).max():.3g}" in line.value


def test_the_allowed_error_of_a_simulation_is_six_standard_errors(lines):
    """Bernoulli masks of D = d + s coins: the error of the mean over 1,000 draws is at most √(D/4 + …) / √1000."""
    _, error, allowed, _ = lines["E D_h = ρd + 2ρ(1−ρ)s, against simulated masks"]
    assert error.shape == allowed.shape == (60,) or error.size == 60
    assert 6 * np.sqrt(0.1 / 1000) < allowed.min() <= allowed.max() < 6 * np.sqrt(30 / 4 / 1000) * 1.2
    assert pytest.approx(np.sqrt(np.log(2 / 1e-12) / 2000)) == evidence_masks.DKW
    _, _, allowed, _ = lines["law of D_h: distribution functions of both"]
    assert set(allowed.ravel()) == {evidence_masks.DKW}


def test_the_descent_that_is_promised_is_half_of_the_first_order_gain(lines):
    """At half of the largest rate the lemma promises η·gain − M/2 η²‖g_v‖², at least half of η·gain: positive."""
    _, promised, actual, line = lines["certified steps lower the loss by what the descent lemma promises"]
    assert promised.size > 100
    assert (promised > 0).all()
    assert (actual >= promised).all()
    assert f"{promised.size:,} certified of 3,540 pairs" in line.on


def test_the_bounds_of_proposition_3_2_have_room_for_rounding_alone(subject, lines):
    """τ² Cov m of every user, curvature and λ: never above Cov m itself by more than 10⁻¹² of the means' squares."""
    _, anchored, allowed, _ = lines["tr Cov μ* ≤ τ² tr Cov m, and the spectral norm"]
    views = evidence_masks.views(subject.users(8), 24)
    free = [torch.cov(m.T) for m in views]
    traces = np.repeat([float(c.trace()) for c in free], 5)  # five values of λ a user
    assert (allowed[:, 0] <= traces).all()
    assert allowed[4::5, 0].max() < 0.05 * traces.max()  # λ = 10 and L ≤ 4: τ² is at most 1/36
    assert (anchored >= 0).all()


def test_rounding_that_is_allowed_is_that_of_a_difference_of_squares(subject, lines):
    """A root of a difference of float64 numbers keeps half of the digits, √ε = 1.5e-8 of its size: a few of them."""
    given = transfer.sharing(subject.model, subject.x, 4, subject.generator)
    off = ~torch.eye(40, dtype=torch.bool)
    own = given.norm[:, None].expand(40, 40)[off].numpy()
    _, _, allowed, _ = lines["‖g_u − g_v‖ ≤ D_uv (coupling + content)"]
    _, _, product, _ = lines["⟨g_u, g_v⟩ ≥ ‖g_u‖ (‖g_u‖ − D_uv)"]
    for side in (allowed, product / own):
        room = (side - given.links["coupling"][off].numpy()) / own
        assert (room > 0).all()
        assert room.max() < 8 * np.finfo(float).eps ** 0.5


def test_an_error_of_the_inner_products_is_told_in_parts_of_both_norms(subject, monkeypatch):
    """Planted: products that are a ten thousandth too large. On the diagonal the error is just that; beside it less."""
    real, drawn = transfer.gram, []
    monkeypatch.setattr(transfer, "gram", lambda *a, z: drawn.append(z) or 1.0001 * real(*a, z=z))
    found = []
    monkeypatch.setattr(evidence, "identity", lambda *a: found.append(a[3]) or check.identity(*a))
    line = evidence._gram_against_autograd("s", subject.users(6))
    assert line.verdict == "FAILED"
    assert line.on == "6 users, 3 samples, float64"
    assert drawn[0].shape == (6, 3, 3)
    spread = (drawn[0] - subject.mu[:6, None]) / subject.sd[:6, None]
    assert 0.5 < float(spread.std()) < 1.5  # draws, not three times the mean
    np.testing.assert_allclose(found[0].diagonal(), 1e-4, rtol=1e-4)
    assert (found[0].abs() < 1.001e-4).all()


def test_certified_steps_are_half_of_the_largest_that_helps_everybody(subject, monkeypatch):
    """Pair by pair: the rate of a step on v, the pairs that it is certified for, and the promised decrease."""
    seen = {}

    def keep(name, real):
        def kept(*a, **k):
            seen[name] = a, real(*a, **k)
            return seen[name][1]

        return kept

    for module, name in ((transfer, "sharing"), (transfer, "step_effect"), (evidence, "bound")):
        monkeypatch.setattr(module, name, keep(name, getattr(module, name)))
    model, x, _, generator = evidence._toy(0)
    x = x[:20]
    evidence._steps_that_help("s", model, x, generator)
    s, smooth = seen["sharing"][1], evidence.toy.proved_smoothness(model.decoder, x / x.sum(1, keepdim=True))
    (_, _, _, rates, z), effect = seen["step_effect"]
    assert z is s.z
    promised, pairs = [], []
    for v in range(20):
        sure = [u for u in range(20) if u != v and s.penalty[u, v] < s.norm[u]]
        gain = {u: float(s.norm[u] * (s.norm[u] - s.penalty[u, v])) for u in sure}
        rate = min(
            (gain[u] / float(smooth[u] * s.norm[v] ** 2) for u in sure), default=0.0
        )  # half of 2 gain / (M ‖g‖²)
        assert float(rates[v]) == pytest.approx(rate)
        pairs += [(u, v) for u in sure]
        promised += [rate * gain[u] - float(smooth[u]) / 2 * rate**2 * float(s.norm[v]) ** 2 for u in sure]
    (_, _, on, smaller, larger), _ = seen["bound"]
    assert len(pairs) > 30
    assert f"{len(pairs)} certified of 380 pairs" in on
    assert sorted(smaller.tolist()) == pytest.approx(sorted(promised))
    assert sorted(larger.tolist()) == pytest.approx(sorted(-float(effect[u, v]) for u, v in pairs))


def test_the_sides_of_lemma_2_4_in_one_dimension(subject, lines):
    """|Δμ| ≤ W1 ≤ √(Δμ² + Δσ²), with W1 by SciPy from quantiles."""
    _, smaller, larger, line = lines["|μ_u − μ_v| ≤ W1 ≤ W2"]
    u, v = subject.pairs(200)
    far, wide = (subject.mu[u] - subject.mu[v]).numpy(), (subject.sd[u] - subject.sd[v]).numpy()
    np.testing.assert_allclose(smaller[0], np.abs(far))
    np.testing.assert_allclose(larger[1], np.hypot(far, wide))
    np.testing.assert_array_equal(larger[0], smaller[1])
    at = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    for k in range(5):
        w1 = np.abs(far[k] + wide[k] * at[:, None]).mean(0)
        np.testing.assert_allclose(larger[0, k], w1, rtol=1e-3)
    assert line.on == "200 pairs × 3 single dimensions, where W1 is known"


def test_the_sides_of_theorem_2_5(subject, lines, shown):
    """The gap between 0 and that of coinciding posteriors, which is a weighted Jensen–Shannon divergence."""
    _, smaller, larger, line = lines["0 ≤ integrated gap ≤ gap of coinciding posteriors"]
    u, v = subject.pairs(300)
    rows = subject.x.toarray()
    different = (rows[u] != rows[v]).any(1)
    u, v = u[different], v[different]
    assert line.on == f"{len(u)} pairs of different content, this model's posteriors"
    full = []
    for a, b in zip(rows[u], rows[v], strict=True):
        pooled = (a + b) / (a + b).sum()
        full.append(-xlogy(a + b, pooled).sum() + xlogy(a, a / a.sum()).sum() + xlogy(b, b / b.sum()).sum())
    np.testing.assert_allclose(larger[1], full)
    assert (smaller[0] == 0).all()
    middle = (larger[0] + smaller[1]) / 2  # the estimate: six standard errors away from either side
    share = middle / full
    np.testing.assert_allclose(shown["Theorem 2.5"].share, share)
    assert (larger[0] >= smaller[1]).all()
    assert np.median((larger[0] - smaller[1]) / middle) < 6  # 200 samples of a ratio between 0 and 1
    mu, sd = subject.mu.numpy(), subject.sd.numpy()
    apart = np.linalg.norm((mu[u] - mu[v]) / np.sqrt((sd[u] ** 2 + sd[v] ** 2) / 2), axis=1)
    np.testing.assert_allclose(shown["Theorem 2.5"].distance, apart)
    far = np.sqrt(((mu[u] - mu[v]) ** 2 + (sd[u] - sd[v]) ** 2).sum(1))
    measured = lines["what pairs of this model pay for their overlap"][3].value
    assert f"median {np.median(share):.2%} of the full gap" in measured
    assert f"rank correlation with W2 {spearmanr(far, share).statistic:+.2f}" in measured
    curves = shown["Theorem 2.5"]
    assert curves.at.tolist() == np.linspace(0, 6, 13).tolist()
    assert curves.curves.shape == (6, 13)
    np.testing.assert_allclose(curves.curves[:, 0], 1)
    assert (curves.curves[:, -1] < 0.02).all()  # six spreads apart there is next to no overlap


def test_the_sides_of_the_kl_term(subject, lines):
    """The ceiling log U, and the reach of a posterior from the prior, √(2 KL)."""
    _, _, ceiling, line = lines["I(U; Z) ≤ log U"]
    assert float(ceiling) == pytest.approx(math.log(40))
    assert line.on == "40 users, all 3 dimensions, 8 samples"
    mu, sd = subject.mu.numpy(), subject.sd.numpy()
    kl = 0.5 * (mu**2 + sd**2 - 1 - 2 * np.log(sd)).sum(1)
    _, apart, limit, _ = lines["W2(q_u, q_v) ≤ √(2 KL_u) + √(2 KL_v)"]
    np.testing.assert_allclose(limit, np.sqrt(2 * kl)[:, None] + np.sqrt(2 * kl))
    w2 = np.sqrt(((mu[:, None] - mu) ** 2 + (sd[:, None] - sd) ** 2).sum(-1))
    np.testing.assert_allclose(apart, w2, atol=1e-7)
    units = int((mu.var(0, ddof=1) > 0.01).sum())
    active = lines["active units (variance of μ over users > 0.01)"][3].value
    assert active == f"{units} of 3; KL {kl.mean():.2f} nats a user"


def masked_pairs(subject):
    """Rows of the pairs of Theorem 2.6's lines: ten of different users, ten of one user beside itself with one less."""
    a, b = (rows.toarray() for rows in evidence_masks._pairs(subject))
    u, v = subject.pairs(10)
    np.testing.assert_array_equal(a[:10], subject.x[u].toarray())
    np.testing.assert_array_equal(b[:10], subject.x[v].toarray())
    assert (np.abs(a[10:] - b[10:]).sum(1) == 1).all()
    return a, b


def law_of(a, b, keep):
    """The law of ‖a⊙m − b⊙m'‖₁ by SciPy's binomials: d items kept with ρ, s items that differ with 2ρ(1 − ρ)."""
    d, s = int(np.abs(a - b).sum()), int((a * b).sum())
    return np.convolve(binom.pmf(np.arange(d + 1), d, keep), binom.pmf(np.arange(s + 1), s, 2 * keep * (1 - keep)))


def test_the_sides_of_theorem_2_6(subject, lines, shown):
    """Means, variances and tails of every pair and keep from SciPy's binomials; what simulation may be off by them."""
    a, b = masked_pairs(subject)
    laws = [[law_of(*pair, keep) for pair in zip(a, b, strict=True)] for keep in (0.3, 0.5, 0.8)]
    moments = []
    for law in (law for row in laws for law in row):
        k = np.arange(len(law)) - law @ np.arange(len(law))
        moments.append((law @ k**2, law @ k**4))
    variance, fourth = np.array(moments).T
    _, _, allowed, line = lines["E D_h = ρd + 2ρ(1−ρ)s, against simulated masks"]
    assert line.on == "20 pairs (half of them near-duplicates), 1000 draws, keep 0.3, 0.5, 0.8"
    np.testing.assert_allclose(allowed.ravel(), 6 * np.sqrt(variance / 1000), rtol=0.15)
    _, _, allowed, _ = lines["Var D_h, against simulated masks"]
    np.testing.assert_allclose(allowed.ravel(), 6 * np.sqrt((fourth - variance**2) / 1000), rtol=0.4)
    _, exact, limit, _ = lines["P(|D_h − E D_h| ≥ t) ≤ 2 exp(−2t²/(d+s))"]
    tails, bounds = [], []
    for row in laws:
        for t in (1, 3, 10, 30):
            for law in row:
                off = np.abs(np.arange(len(law)) - law @ np.arange(len(law)))
                tails.append(law[off >= t - 1e-9].sum())
                bounds.append(min(1, 2 * math.exp(-2 * t**2 / (len(law) - 1))))
    np.testing.assert_allclose(exact.ravel(), tails, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(limit.ravel(), bounds)
    picture = shown["Theorem 2.6"]
    best = int(np.argmax((a * b).sum(1)[:10]))  # of the random pairs, the one with most in common
    assert (picture.common, picture.clean) == ((a * b)[best].sum(), np.abs(a - b)[best].sum())
    np.testing.assert_allclose(picture.pmf, law_of(a[best], b[best], subject.keep))
    assert picture.draws.shape == (1000,)
    mean = picture.pmf @ np.arange(len(picture.pmf))
    assert (
        abs(picture.draws.mean() - mean) < 6 * (picture.pmf @ (np.arange(len(picture.pmf)) - mean) ** 2 / 1000) ** 0.5
    )


def test_the_sides_of_mult_vaes_own_input(subject, lines):
    """Clean: x/‖x‖ as it is. Masked with 1/ρ it never comes closer, and the line says by how much it moves."""
    a, b = masked_pairs(subject)
    unit = [rows / np.sqrt(rows.sum(1, keepdims=True)) for rows in (a, b)]
    _, clean, masked, line = lines["and it never contracts: E‖x̃_u − x̃_v‖₁ ≥ clean"]
    np.testing.assert_allclose(clean, np.tile(np.abs(unit[0] - unit[1]).sum(1), (3, 1)))
    assert line.value == f"masked / clean: {(masked / clean).min():.2f} to {(masked / clean).max():.2f}"
    expected = []
    for keep in (0.3, 0.5, 0.8):  # four outcomes of two masks, item by item
        both = sum(
            p * q * np.abs(unit[0] * i / keep - unit[1] * j / keep)
            for i, p in ((0, 1 - keep), (1, keep))
            for j, q in ((0, 1 - keep), (1, keep))
        )
        expected.append(both.sum(1))
    np.testing.assert_allclose(masked, expected)
    assert (masked >= clean - 1e-12).all()
    _, error, allowed, _ = lines["Mult-VAE's input (x/‖x‖)⊙b/ρ: E‖x̃_u − x̃_v‖₁, simulated"]
    assert 0.05 < np.sqrt(np.mean((6 * error / allowed) ** 2)) < 1.6  # errors of about one standard error
    assert error.shape == (3, 20)


@pytest.mark.parametrize("factor", [0.87, 1.13])
def test_a_wrong_threshold_is_counted_law_by_law(factor, monkeypatch):
    """Planted: the threshold of the Jaccard index 13 % too small, or too large."""
    assert evidence_masks._threshold("s").verdict == "exact"
    assert evidence_masks._threshold("s").on == "520 exact laws"
    real = evidence_masks.masking.contraction_threshold
    monkeypatch.setattr(evidence_masks.masking, "contraction_threshold", lambda keep: factor * real(keep))
    line = evidence_masks._threshold("s")
    assert line.verdict == "FAILED"
    wrong = 0  # Jaccard indices between the right and the wrong threshold
    for s in range(0, 30, 3):
        for d in range(1, 40, 3):
            for keep in (0.3, 0.5, 0.8, 0.45):
                right, planted = (f / (1 + 2 * keep) for f in (1, factor))
                at_the_threshold = abs(s / (s + d) - right) < 1e-12
                wrong += (not at_the_threshold) and (s / (s + d) < right) != (s / (s + d) < planted)
    assert wrong > 5
    assert line.slack == pytest.approx(1 - wrong / 0.5)


def test_the_sides_of_proposition_3_2(subject, lines, shown):
    """Trace and largest eigenvalue of forty models; τ from their largest curvature, at most 4."""
    for side in lines["tr Cov μ* ≤ τ² tr Cov m, and the spectral norm"][1:3]:
        assert side.shape == (40, 2)
        assert (side[:, 1] <= side[:, 0]).all()  # the largest eigenvalue is at most their sum …
        assert (side[:, 1] >= side[:, 0] / 3 - 1e-15).all()  # … and at least their mean
    ratios, lam = shown["Proposition 3.2"], np.tile([0.1, 0.3, 1.0, 3.0, 10.0], 8)
    largest = 2 * lam * ratios.tau / (1 - ratios.tau)  # τ = L/(L + 2λ), solved for L
    assert (largest <= 4 + 1e-9).all()
    assert largest.max() > 2
    assert (ratios.trace <= ratios.tau**2 + 1e-12).all()
    assert (ratios.spectral <= ratios.tau**2 + 1e-12).all()
    sides = lines["tr Cov μ* ≤ τ² tr Cov m, and the spectral norm"]
    np.testing.assert_allclose(sides[1] / sides[2] * ratios.tau[:, None] ** 2, np.c_[ratios.trace, ratios.spectral])
    _, kept, limit, _ = lines["‖μ*_h − ē‖ ≤ τ ‖m_h − ē‖"]
    assert kept.shape == (40, 24)
    views = evidence_masks.views(subject.users(8), 24).numpy()
    centres = views.mean(1, keepdims=True) + 1  # the centroid of the anchors: one step from the middle, on every axis
    away = np.linalg.norm(views - centres, axis=-1).repeat(5, 0)
    np.testing.assert_allclose(limit, ratios.tau[:, None] * away)
    assert lines["μ*_h = (H+2λI)⁻¹(H m_h + 2λē) = numerical minimum"][3].on == "3 masks, 3 dimensions"
    assert lines["τ = L/(L+2λ) is attained for H = L·I"][3].on == "5 values of λ, 24 masks"


def test_lines_say_what_was_measured_with_which_numbers(subject, monkeypatch):
    """The words "6 masks" and "10 nearest" are those that the functions were called with."""
    seen = {}

    def keep(module, name):
        real = getattr(module, name)

        def kept(*a, **k):
            seen.setdefault(name, []).append(signature(real).bind(*a, **k).arguments)
            return real(*a, **k)

        monkeypatch.setattr(module, name, kept)

    for name in ("latent_contraction", "neighbourhood_drift"):
        keep(evidence_masks.masking, name)
    near, neighbours = evidence_masks._in_latent_space("s", subject, evidence_masks._nearer(subject))
    moved, drift = seen["latent_contraction"][0], seen["neighbourhood_drift"][0]
    assert near.on == neighbours.on == "40 users, keep 0.5, 6 masks"
    assert (moved["keep"], moved["n_masks"], drift["n_masks"], drift["k"]) == (0.5, 6, 6, 10)
    assert neighbours.claim.startswith("10 nearest neighbours")
    few = subject.users(7)
    evidence_masks._in_latent_space("s", few, evidence_masks._nearer(few))
    assert seen["neighbourhood_drift"][1]["k"] == 6  # of seven users six are neighbours


# ------------------------------------------------------------------------------------------------ parts of the subject


def test_pairs_are_of_different_users_and_counts_are_of_their_items(subject):
    u, v = subject.pairs(500)
    assert (u != v).all()
    assert set(u) | set(v) == set(range(40))
    n_u, n_v, common = subject.counts(u, v)
    x = subject.x.toarray()
    np.testing.assert_array_equal(n_u, x[u].sum(1))
    np.testing.assert_array_equal(n_v, x[v].sum(1))
    np.testing.assert_array_equal(common, (x[u] * x[v]).sum(1))
    few = subject.users(7)
    assert few.x.shape[0] == len(few.mu) == len(few.sd) == 7
    assert len(subject.users(99).mu) == 40


def test_distribution_functions_are_compared_over_their_whole_range():
    """D_h of one item kept with ½ is 1 in half of the draws. All draws at 0 are off by ½; a value too far by 1."""
    drawn = np.array([0.0, 1.0] * 50)
    assert evidence_masks._furthest(drawn, 0, 1, 0.5) == pytest.approx(0, abs=1e-12)
    assert evidence_masks._furthest(0 * drawn, 0, 1, 0.5) == pytest.approx(0.5)
    assert evidence_masks._furthest(2 * drawn, 0, 1, 0.5) == 1


def test_a_sample_has_no_empty_user_and_is_drawn_anew_by_the_seed():
    x = np.eye(60, 30)
    rows = card._sample(x, 25, 0).toarray()
    assert rows.shape == (25, 30)
    assert (rows.sum(1) == 1).all()
    assert (card._sample(x, 25, 1).toarray() != rows).any()
    assert card._sample(x, 99, 0).shape[0] == 30
    assert card._sample(x, 20, 0).shape[0] == 20  # twenty are enough


def test_what_a_card_calls_its_model_and_how_many_users_it_takes(monkeypatch):
    """Without its statements a card costs nothing; three hundred users are taken where no other number is given."""
    monkeypatch.setattr(card, "STATEMENTS", {})
    model, x = mv.MultVAE(6, hidden=4, latent=2), np.ones((301, 6))
    plain, named = card.report_card(model, x), card.report_card(model, x, n_users=20, label="mine", seed=4)
    assert (plain.model, plain.data, plain.seed) == ("MultVAE", "users: 300 users × 6 items", 0)
    assert (named.model, named.data, named.seed) == ("mine", "users: 20 users × 6 items", 4)


def test_a_slack_that_is_no_number_can_be_written_as_json():
    """JSON has no NaN and no infinity: they are words there, and every number stays one."""
    lines = [check.bound("s", "c", "o", found, allowed) for found, allowed in ((1, 2), (math.nan, 1), (1, 0))]
    made = card.Card("m", "d", 0, tuple(lines)).as_dict()
    assert [c["slack"] for c in made["checks"]] == [0.5, "nan", "-inf"]
    assert json.loads(json.dumps(made, allow_nan=False)) == made
