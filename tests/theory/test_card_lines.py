"""Every line of the report card can fail: how wrong a line may be is written here, line by line.

The lines are taken as the evidence hands them over: the two sides and what is allowed. A planted error of the size
that the line is there to find turns it to FAILED; one within rounding does not.
"""

import json
import math

import numpy as np
import pytest
import torch

import minivae as mv
from minivae.theory import transfer
from minivae.theory.card import card, check, evidence, evidence_masks
from minivae.theory.card.setting import Setting, in_float64

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
def setting():
    """Forty users of thirty items and a small model that nobody has trained."""
    x = np.random.default_rng(0).random((40, 30)) < 0.3
    x[:, 0] |= ~x.any(1)
    model = mv.MultVAE(30, hidden=8, latent=3)
    model.reset_parameters(torch.Generator().manual_seed(1))
    model = in_float64(model)
    rows = card._sample(x, 40, 0)
    with torch.no_grad():
        mu, sd = (t.double() for t in model.encode(rows))
    return Setting(model, rows, mu, sd, 0.5, "normalize-then-mask", 0)


@pytest.fixture(scope="module")
def lines(setting):
    """Claim -> (kind, left side, right side, line) of every line that can fail."""
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
    made = [statement(setting) for statement in card.STATEMENTS.values()]
    patch.undo()
    for checks, _ in made:
        found |= {c.claim: ("measured", None, None, c) for c in checks if c.verdict == "measured"}
    return found


def test_the_lists_name_every_line_that_can_fail(lines):
    assert {c for c, (kind, *_) in lines.items() if kind == "identity"} == set(IDENTITIES)
    assert {c for c, (kind, *_) in lines.items() if kind == "bound"} == set(BOUNDS)
    assert all(line.verdict != "FAILED" for *_, line in lines.values())


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
    assert check.measured("s", "c", "o", "v") == check.Check("s", "c", "o", "measured", None, "v")


# ------------------------------------------------------------- both sides of a line, computed here a second time


def test_the_sides_of_theorem_2_3_are_those_of_the_gradients(setting, lines):
    """D_uv of every pair of different users, with no more than rounding added."""
    given = transfer.sharing(setting.model, setting.x, 4, setting.generator)
    off = ~torch.eye(40, dtype=torch.bool)
    penalty, own = given.links["coupling"][off].numpy(), given.norm[:, None].expand(40, 40)[off].numpy()
    _, apart, allowed, _ = lines["‖g_u − g_v‖ ≤ D_uv (coupling + content)"]
    np.testing.assert_allclose(allowed, penalty, rtol=1e-6)
    np.testing.assert_allclose(apart, given.links["gradient distance"][off])
    _, least, allowed, _ = lines["⟨g_u, g_v⟩ ≥ ‖g_u‖ (‖g_u‖ − D_uv)"]
    np.testing.assert_allclose(allowed, own * penalty, rtol=1e-6)
    np.testing.assert_allclose(least, own**2 - given.exact[off].numpy())


def test_the_bound_of_lemma_2_4_is_that_of_the_smallest_user(setting, lines):
    """Users without one item are among the pairs: the constant is that of the smaller ones."""
    from minivae.theory.numerics.smoothness import encoder_constants, without_one

    _, latent, allowed, line = lines["W2(q_u, q_v) ≤ L ‖x_u − x_v‖₁, L proved"]
    _, near = without_one(setting.x, setting.generator)
    fewest = min(int(np.diff(x.indptr).min()) for x in (setting.x, near))
    constant = encoder_constants(setting.model, fewest).joint
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


def test_the_bounds_of_proposition_3_2_have_room_for_rounding_alone(setting, lines):
    """τ² Cov m of every user, curvature and λ: never above Cov m itself by more than 10⁻¹² of the means' squares."""
    _, anchored, allowed, _ = lines["tr Cov μ* ≤ τ² tr Cov m, and the spectral norm"]
    views = evidence_masks.views(setting.users(8), 24)
    free = [torch.cov(m.T) for m in views]
    traces = np.repeat([float(c.trace()) for c in free], 5)  # five values of λ a user
    assert (allowed[:, 0] <= traces).all()
    assert allowed[4::5, 0].max() < 0.05 * traces.max()  # λ = 10 and L ≤ 4: τ² is at most 1/36
    assert (anchored >= 0).all()


# ------------------------------------------------------------------------------------------------ parts of the setting


def test_pairs_are_of_different_users_and_counts_are_of_their_items(setting):
    u, v = setting.pairs(500)
    assert (u != v).all()
    assert set(u) | set(v) == set(range(40))
    n_u, n_v, common = setting.counts(u, v)
    x = setting.x.toarray()
    np.testing.assert_array_equal(n_u, x[u].sum(1))
    np.testing.assert_array_equal(n_v, x[v].sum(1))
    np.testing.assert_array_equal(common, (x[u] * x[v]).sum(1))
    few = setting.users(7)
    assert few.x.shape[0] == len(few.mu) == len(few.sd) == 7
    assert len(setting.users(99).mu) == 40


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
