"""Theorem 2.3's numbers worked by hand: each constant, sign, axis and strict inequality has a case that it decides."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch

from minivae.errors import InputError
from minivae.masks import mask_input
from minivae.models import MultVAE
from minivae.theory import toy, transfer

NORM = torch.tensor([3.0, 5.0, 2.0], dtype=torch.float64)
PENALTY = torch.tensor([[0.0, 1.0, 3.0], [2.0, 0.0, 6.0], [1.0, 5.0, 0.0]], dtype=torch.float64)  # not symmetric


def worked() -> transfer.Sharing:
    """Three users whose norms and penalties are small whole numbers."""
    own, other = NORM[:, None], NORM[None, :]
    least = torch.minimum(PENALTY, PENALTY.T)
    unused = torch.zeros(3, 3, dtype=torch.float64)
    return transfer.Sharing(
        exact=unused,
        norm=NORM,
        distance=unused,
        mismatch=unused,
        lipschitz=unused,
        penalty=PENALTY,
        radius=unused,
        certified=own > PENALTY,
        slack=unused,
        radius_sharp=unused,
        certified_sharp=least**2 < own**2 + other**2,
        links={"bound": PENALTY},
        z=unused,
        status={},
        _mean_content=lambda: unused,
    )


def test_largest_step_by_hand():
    """η < 2 ‖g_u‖ (‖g_u‖ − D) / (M ‖g_v‖²): for u = 0, v = 1, M = 7 that is 2·3·2/(7·25)."""
    steps = worked().max_step(7.0)
    assert steps[0, 1].item() == pytest.approx(float(Fraction(12, 175)))
    assert steps[1, 0].item() == pytest.approx(float(Fraction(2 * 5 * 3, 7 * 9)))
    assert steps[2, 0].item() == pytest.approx(float(Fraction(2 * 2 * 1, 7 * 9)))
    assert steps[0, 2].item() == 0  # D = ‖g_u‖: nothing is certified at the border
    assert steps[1, 2].item() == 0


def test_largest_step_by_polarisation_by_hand():
    """η < (‖g_u‖² + ‖g_v‖² − D²) / (M ‖g_v‖²), D the smaller of both directions: (9 + 25 − 1)/(7·25)."""
    steps = worked().max_step(7.0, sharp=True)
    assert steps[0, 1].item() == pytest.approx(float(Fraction(33, 175)))
    assert steps[1, 0].item() == pytest.approx(float(Fraction(33, 63)))
    assert steps[1, 2].item() == pytest.approx(float(Fraction(25 + 4 - 25, 28)))


def test_a_constant_per_user_is_that_of_the_user_who_is_helped():
    per_user = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    steps, one = worked().max_step(per_user), worked().max_step(1.0)
    assert torch.allclose(steps, one / per_user)


@pytest.mark.parametrize("certify", [transfer.cauchy_schwarz, transfer.polarised])
def test_certificates_are_strict(certify):
    """At equality the bound says ⟨g_u, g_v⟩ ≥ 0 only; a hair below it is certified."""
    norm = torch.tensor([3.0, 4.0], dtype=torch.float64)
    limit = 3.0 if certify is transfer.cauchy_schwarz else 5.0  # ‖g_u‖, or sqrt(3² + 4²)
    at = torch.full((2, 2), limit, dtype=torch.float64)
    assert not certify(norm, at)[0, 1]
    assert certify(norm, at - 1e-9)[0, 1]


def test_polarisation_takes_the_smaller_direction():
    norm = torch.tensor([1.0, 1.0], dtype=torch.float64)
    bound = torch.tensor([[0.0, 1.0], [9.0, 0.0]], dtype=torch.float64)
    assert transfer.polarised(norm, bound).all()


def test_radius_by_hand():
    """[‖g_u‖ − Δ]_+ / L: (5 − 1)/2; 0 where Δ is larger; without bound where L = 0 and something is left."""
    radius = transfer._radius(
        torch.tensor([5.0, 1.0, 5.0, 1.0]), torch.tensor([1.0, 3.0, 1.0, 1.0]), torch.tensor([2.0, 2.0, 0.0, 0.0])
    )
    assert radius.tolist() == [2.0, 0.0, float("inf"), 0.0]


@pytest.fixture(scope="module")
def model():
    made = MultVAE(9, hidden=6, latent=3)
    made.reset_parameters(torch.Generator().manual_seed(3))
    return made.double().eval()


@pytest.fixture(scope="module")
def users():
    return torch.from_numpy((np.random.default_rng(1).random((5, 9)) < 0.5).astype(float) + np.eye(5, 9)).clamp(max=1)


def given(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_constants_per_user_and_global_are_the_largest_ratios_of_their_rows(model, users):
    pair, user, top = (transfer.sharing(model, users, 4, given(), lipschitz=k) for k in ("pair", "user", "global"))
    rows = pair.lipschitz.amax(1)  # over v: the constant belongs to the loss of u
    assert torch.allclose(user.lipschitz, rows[:, None].expand(5, 5))
    assert not torch.allclose(pair.lipschitz.amax(0), rows)  # the other axis would be another number
    assert torch.allclose(top.lipschitz, rows.max().expand(5, 5))


def test_every_number_follows_from_its_formula(model, users):
    s = transfer.sharing(model, users, 4, given(), lipschitz=2.5)
    own = s.norm[:, None]
    assert torch.allclose(s.penalty, 2.5 * s.distance + s.mismatch)
    assert torch.allclose(s.radius, (own - s.mismatch).clamp_min(0) / 2.5)
    both = (own**2 + own.T**2).sqrt()
    assert torch.allclose(s.radius_sharp, (both - s.mismatch).clamp_min(0) / 2.5)
    assert torch.allclose(s.slack, s.exact - own * (own - s.penalty))
    assert torch.equal(s.certified, s.penalty < own)


def test_what_is_measured_is_not_called_proved(model, users):
    """A constant that was seen on samples is measured; one that is handed in is the caller's proof."""
    seen = transfer.sharing(model, users, 4, given())
    proved = transfer.sharing(model, users, 4, given(), lipschitz=2.5)
    assert seen.status["lipschitz"] == "measured"
    assert {seen.status[k] for k in ("penalty", "radius", "certified")} == {"measured"}
    assert "proved" in proved.status["lipschitz"]
    assert {proved.status[k] for k in ("penalty", "radius", "certified")} == {"bound"}


def test_what_is_exact_and_what_is_a_bound(model, users):
    """Norms and the distance of targets are numbers; the distance of two posteriors is that of one coupling of them."""
    status = transfer.sharing(model, users, 4, given()).status
    assert all(status[k].startswith("exact") for k in ("exact", "norm", "mismatch"))
    assert status["distance"] == "bound"


def test_a_user_has_two_views_of_eight_samples_if_nothing_is_said(model, users):
    assert transfer.view_sharing(model, users, 0.5).z.shape == (5, 2, 8, 3)


def test_views_are_encoded_as_they_were_masked(model, users):
    """The samples of each view have the mean that the encoder gives for that very input, without another norm."""
    views = transfer.view_sharing(model, users, 0.5, "normalize-then-mask", n_views=2, n_samples=4, generator=given(7))
    generator = given(7)
    for view in range(2):
        mu, _ = model.encode(mask_input(users, 0.5, "normalize-then-mask", generator), normalize=False)
        assert torch.allclose(views.z[:, view].mean(1), mu)


# --- the proved constants of the toy ----------------------------------------------------------------------------------


def decoder(bias: bool = True) -> torch.nn.Sequential:
    return toy.ToyVAE(5, features=3, latent=2, bias=bias, generator=given(2)).decoder


def steepest(net: torch.nn.Sequential, x: torch.Tensor) -> float:
    """The largest change of the gradient per distance in z that a search over pairs of near points finds."""
    r = given(5)
    z = torch.randn(4000, 2, generator=r, dtype=torch.float64) * 2
    step = 1e-5 * torch.nn.functional.normalize(torch.randn(4000, 2, generator=r, dtype=torch.float64), dim=1)
    features, output = net

    def gradient(at: torch.Tensor) -> torch.Tensor:
        h = features(at)
        error = x.sum() * torch.softmax(output(h), -1) - x
        parts = [(error[:, :, None] * h[:, None, :]).flatten(1)]
        return torch.cat(parts if output.bias is None else [*parts, error], 1)

    with torch.no_grad():
        return float(((gradient(z + step) - gradient(z)).norm(dim=1) / step.norm(dim=1)).max())


def test_no_pair_of_points_breaks_the_proved_constant():
    for bias, scale in product([True, False], [0.05, 1.0, 20.0]):
        net = decoder(bias)
        with torch.no_grad():
            net[1].weight.mul_(scale / 0.05)
            if bias:
                net[1].bias.copy_(torch.linspace(-2, 2, 5))
        x = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
        assert steepest(net, x) <= float(toy.proved_lipschitz(net, x[None])[0])


def test_the_smoothness_constant_is_attained_by_two_items():
    """M = N (H + 1)/2: with π = (½, ½) and all features at one the Hessian's largest eigenvalue comes near it."""
    h = torch.ones(3, dtype=torch.float64)
    row = torch.cat([h, torch.ones(1, dtype=torch.float64)])
    jacobian = torch.tensor([[0.25, -0.25], [-0.25, 0.25]], dtype=torch.float64)
    top = 4 * float(torch.linalg.eigvalsh(torch.kron(jacobian, torch.outer(row, row)))[-1])  # N = 4
    net = toy.ToyVAE(2, features=3, latent=2, generator=given(0)).decoder
    assert float(toy.proved_smoothness(net, torch.tensor([[3.0, 1.0]], dtype=torch.float64))[0]) == pytest.approx(top)


def test_a_given_constant_is_laid_over_the_users_from_the_last_axis_on():
    """Two groups of three users: one number, one for each user, or one for each group."""
    norm = torch.zeros(2, 3, dtype=torch.float64)
    assert transfer._per_user(2.0, norm).tolist() == [[2.0] * 3] * 2
    assert transfer._per_user([2.0], norm).tolist() == [[2.0] * 3] * 2
    assert transfer._per_user([1.0, 2.0, 3.0], norm).tolist() == [[1.0, 2.0, 3.0]] * 2
    assert transfer._per_user([[4.0], [0.0]], norm).tolist() == [[4.0] * 3, [0.0] * 3]
    for misfit in ([1.0, 2.0], [[1.0] * 3] * 3, [[[1.0]]]):
        with pytest.raises(InputError, match="does not fit"):
            transfer._per_user(misfit, norm)
    with pytest.raises(InputError, match="does not fit"):
        transfer._per_user([1.0, 2.0, 3.0], norm[:, :1])
