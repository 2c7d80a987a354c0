"""What the KL term is made of: information about the user, and distance of the whole population from the prior.

The decomposition is Hoffman and Johnson's (2016), the bounds from batches are those of van den Oord et al. (2018) and
Poole et al. (2019).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, overload

import torch

from minivae.errors import InputError, check_whole
from minivae.theory.distances import gaussian_kl
from minivae.theory.numerics.arrays import Array, Kind, as_tensors, check_finite, check_sd
from minivae.theory.numerics.quadrature import grid, log_density

BLOCK = 2**22  # numbers in the largest temporary array: 32 MB in float64


@dataclass(frozen=True)
class KLDecomposition(Generic[Kind]):
    """`E_u KL(q_u || p) = I(U; Z) + KL(q̄ || p)` over the U given posteriors, in nats, scalars of the kind given.

    The left side is analytic, the two terms on the right come from independent samples. That the sum agrees within `se`
    is necessary, not sufficient: a wrong `log q̄` in both terms cancels in expectation even so. What settles it is each
    term against quadrature, `kl_decomposition_quadrature`, where d <= 2.

    Examples
    --------
    >>> parts = kl_decomposition_quadrature([[-50.0], [50.0]], [[1.0], [1.0]])
    >>> round(float(parts.mutual_information / parts.mi_ceiling), 9), bool(abs(parts.residual) < 1e-6)
    (1.0, True)
    """

    mutual_information: Kind
    """`I(U; Z)`, user index and latent vector. Never above `mi_ceiling`, whatever the posteriors."""
    marginal_kl: Kind
    """`KL(q̄ || N(0, I))`, q̄ the mixture of all given posteriors."""
    mean_kl: Kind
    """`E_u KL(q_u || N(0, I))` in closed form."""
    mi_ceiling: Kind
    """`log U`. Information at the ceiling says that the posteriors do not overlap, and nothing about other users."""
    mutual_information_se: Kind
    marginal_kl_se: Kind

    @property
    def residual(self) -> Kind:
        """Right side minus left side: zero up to sampling."""
        return self.mutual_information + self.marginal_kl - self.mean_kl

    @property
    def se(self) -> Kind:
        """Standard error of `residual`."""
        return (self.mutual_information_se**2 + self.marginal_kl_se**2) ** 0.5


@overload
def kl_decomposition(
    mu: Kind, sd: Kind, n_samples: int = ..., generator: torch.Generator | None = ...
) -> KLDecomposition[Kind]: ...
@overload
def kl_decomposition(
    mu: Array, sd: Array, n_samples: int = ..., generator: torch.Generator | None = ...
) -> KLDecomposition[Any]: ...
def kl_decomposition(
    mu: Array, sd: Array, n_samples: int = 8, generator: torch.Generator | None = None
) -> KLDecomposition[Any]:
    """Both sides of the decomposition for U posteriors, the right side from independent samples.

    `I = E_u E_{z~q_u} [log q_u(z) - log q̄(z)]` and `KL(q̄||p) = E_u E_{z~q_u} [log q̄(z) - log p(z)]`, each with its own
    draws, q̄ summed over all U. One set of draws for both would cancel `log q̄` sample by sample, and `se` with it.

    Parameters
    ----------
    mu, sd : Array
        Posteriors, (U, d). Computed in float64, in blocks: time grows with `n_samples U² d`, memory does not.
    n_samples : int, default 8
        Draws for each user and each term.
    generator : Generator, optional
        Source of the draws.

    Raises
    ------
    InputError
        If the posteriors are no (U, d) arrays, a spread is zero or negative, or `n_samples` is below one.

    Examples
    --------
    >>> import torch
    >>> far = kl_decomposition(torch.tensor([[-50.0], [50.0]]), torch.ones(2, 1))
    >>> bool(far.mutual_information == far.mi_ceiling)
    True
    """
    (mu, sd), back = as_tensors(mu, sd)
    check_population(mu, sd)
    check_whole(1, n_samples=n_samples)
    dtype, mean_kl = mu.dtype, gaussian_kl(mu.double(), sd.double()).mean()
    mu, sd = mu.double(), sd.double()
    information, marginal = _Mean(len(mu)), _Mean(len(mu))
    draws = torch.arange(len(mu), device=mu.device).repeat(n_samples)
    for users in draws.split(max(1, BLOCK // max(mu.shape))):
        _, own, mixture = _draw(mu, sd, users, generator)
        information.add(users, own - mixture)
        z, _, mixture = _draw(mu, sd, users, generator)
        marginal.add(users, mixture - log_density(z, torch.zeros_like(z), torch.ones_like(z)))
    ceiling = torch.tensor(math.log(len(mu)), dtype=torch.float64)
    value = information.value.clamp_max(ceiling)  # no sample is above it; a sum may be, by rounding
    values = (value, marginal.value, mean_kl, ceiling, information.se, marginal.se)
    return KLDecomposition(*(back(v.to(device=mu.device, dtype=dtype)) for v in values))


def check_population(mu: torch.Tensor, sd: torch.Tensor) -> None:
    """Refuse anything but (U, d) posteriors that have a density."""
    check_sd(sd)
    if mu.ndim != 2 or mu.shape != sd.shape or len(mu) == 0:
        raise InputError(f"expected mu and sd of one shape (U, d), got {tuple(mu.shape)} and {tuple(sd.shape)}")
    check_finite(mu=mu)
    if not bool((sd > 0).all()):
        raise InputError("a spread is zero, so that posterior has no density and the information is infinite")


def _draw(
    mu: torch.Tensor, sd: torch.Tensor, users: torch.Tensor, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One z for each of `users`, log of its own density and of the mixture of all: (B, d), (B,), (B,)."""
    noise = torch.randn(len(users), mu.shape[1], generator=generator, dtype=mu.dtype, device=mu.device)
    z = mu[users] + sd[users] * noise  # (B, d)
    own = log_density(z, mu[users], sd[users])
    each = log_density_matrix(z, mu, sd)  # (B, U)
    # The same number on both sides of `own - mixture`, so that rounding cannot push it above log U.
    each[torch.arange(len(users)), users] = own
    return z, own, each.logsumexp(1) - math.log(len(mu))


def log_density_matrix(z: torch.Tensor, mu: torch.Tensor, sd: torch.Tensor) -> torch.Tensor:
    """log N(z_m; mu_u, diag sd_u^2) for every sample (M, d) and every posterior (U, d): (M, U).

    The expanded square is one matrix product. Where its terms are so large that float64 cannot hold their
    difference to 1e-6 (very small spreads), the differences are taken one by one.
    """
    centre = mu.mean(0)
    z, mu = z - centre, mu - centre
    precision = sd.square().reciprocal()
    constant = -sd.log().sum(1) - 0.5 * mu.shape[1] * math.log(2 * math.pi)  # (U,)
    largest = torch.maximum(z.abs().amax(), mu.abs().amax())
    if float(largest**2 * precision.sum(1).max()) * torch.finfo(z.dtype).eps < 1e-7:
        quadratic = z.square() @ precision.T - 2 * z @ (mu * precision).T + (mu.square() * precision).sum(1)
        return constant - 0.5 * quadratic
    out = torch.empty(len(z), len(mu), dtype=z.dtype, device=z.device)
    for rows in torch.arange(len(z), device=z.device).split(max(1, BLOCK // mu.numel())):
        out[rows] = constant - 0.5 * ((z[rows, None] - mu) / sd).square().sum(-1)
    return out


class _Mean:
    """Mean over users of per-user means, with the standard error of stratified sampling."""

    def __init__(self, n_users: int) -> None:
        self.total, self.squares, self.count = torch.zeros(3, n_users, dtype=torch.float64)

    def add(self, users: torch.Tensor, values: torch.Tensor) -> None:
        users, values = users.cpu(), values.cpu()
        self.total.index_add_(0, users, values)
        self.squares.index_add_(0, users, values.square())
        self.count.index_add_(0, users, torch.ones_like(values))

    @property
    def value(self) -> torch.Tensor:
        return (self.total / self.count).mean()

    @property
    def se(self) -> torch.Tensor:
        n, means = len(self.total), self.total / self.count
        if bool((self.count < 2).any()):  # one draw a user: the spread between users is an upper bound
            return means.std() / n**0.5
        within = (self.squares - self.count * means.square()).clamp_min(0) / (self.count - 1)
        return (within / self.count).sum().sqrt() / n


@overload
def kl_decomposition_quadrature(mu: Kind, sd: Kind) -> KLDecomposition[Kind]: ...
@overload
def kl_decomposition_quadrature(mu: Array, sd: Array) -> KLDecomposition[Any]: ...
def kl_decomposition_quadrature(mu: Array, sd: Array) -> KLDecomposition[Any]:
    """The decomposition to machine precision for a small mixture in one or two dimensions, (U, d).

    `I = ∫ (1/U) sum_u q_u log(q_u / q̄) dz` and `KL(q̄||p) = ∫ q̄ log(q̄ / p) dz` on a Gauss–Legendre grid; the standard
    errors are zero.

    Examples
    --------
    >>> same = kl_decomposition_quadrature([[1.0], [1.0]], [[1.0], [1.0]])
    >>> round(float(same.mutual_information), 9), round(float(same.marginal_kl), 9), float(same.mean_kl)
    (0.0, 0.5, 0.5)
    """
    (mu, sd), back = as_tensors(mu, sd)
    check_population(mu, sd)
    dtype, (mu, sd) = mu.dtype, (mu.double(), sd.double())
    z, weight = grid(mu, sd)
    zero = torch.zeros((), dtype=torch.float64, device=mu.device)
    information, marginal = zero, zero
    for part, w in zip(z.split(BLOCK // len(mu)), weight.split(BLOCK // len(mu)), strict=True):
        each = log_density(part[:, None], mu, sd)  # (G, U)
        mixture = each.logsumexp(1) - math.log(len(mu))
        information = information + w @ (each.exp() * (each - mixture[:, None])).mean(1)
        prior = log_density(part, torch.zeros_like(mu[0]), torch.ones_like(mu[0]))
        marginal = marginal + w @ (mixture.exp() * (mixture - prior))
    values = (information, marginal, gaussian_kl(mu, sd).mean(), zero + math.log(len(mu)), zero, zero)
    return KLDecomposition(*(back(v.to(dtype)) for v in values))


@dataclass(frozen=True)
class BatchInformation(Generic[Kind]):
    """What batches of B posteriors say about `I(U; Z)` of the whole population. Arrays of length `len(batch_sizes)`.

    In expectation `lower <= I <= upper`: `lower` keeps the sampled posterior in the mean and cannot exceed
    `ceiling = log B`, `upper` leaves it out. Where `lower` touches its ceiling it is saturated: I may be anything more.

    Examples
    --------
    >>> far = batch_information(torch.arange(8.0)[:, None] * 100, torch.ones(8, 1), batch_sizes=[2, 8], n_batches=3)
    >>> (far.lower / far.ceiling).tolist()  # no two overlap: saturated
    [1.0, 1.0]
    """

    batch_sizes: Kind
    lower: Kind
    lower_se: Kind
    upper: Kind
    upper_se: Kind
    ceiling: Kind


@overload
def batch_information(
    mu: Kind, sd: Kind, batch_sizes: Iterable[int] = ..., n_batches: int = ..., generator: torch.Generator | None = ...
) -> BatchInformation[Kind]: ...
@overload
def batch_information(
    mu: Array,
    sd: Array,
    batch_sizes: Iterable[int] = ...,
    n_batches: int = ...,
    generator: torch.Generator | None = ...,
) -> BatchInformation[Any]: ...
def batch_information(
    mu: Array,
    sd: Array,
    batch_sizes: Iterable[int] = (2, 8, 32, 128, 512),
    n_batches: int = 20,
    generator: torch.Generator | None = None,
) -> BatchInformation[Any]:
    """The bias of a log-mean-exp over a batch, `E log [q_u(z) / mean_v q_v(z)]`, against the size of the batch.

    Batches are drawn without replacement from the (U, d) posteriors, one z for each of their users.

    Raises
    ------
    InputError
        If a batch size is not from 2 to U, or there are fewer than two batches: one has no standard error.

    Examples
    --------
    >>> same = batch_information(torch.zeros(8, 1), torch.ones(8, 1), batch_sizes=[2, 8], n_batches=3)
    >>> [bool(bound.abs().max() < 1e-6) for bound in (same.lower, same.upper)]  # one posterior for all: no information
    [True, True]
    """
    (mu, sd), back = as_tensors(mu, sd)
    check_population(mu, sd)
    mu, sd = mu.double(), sd.double()
    sizes = list(batch_sizes)
    check_whole(2, n_batches=n_batches)
    for size in sizes:
        check_whole(2, **{"a batch size": size})
    if not sizes or max(sizes) > len(mu):
        raise InputError(f"batch sizes {sizes} must lie between 2 and the number of posteriors, {len(mu)}")
    lower, upper = torch.empty(2, len(sizes), n_batches, dtype=torch.float64)
    for i, size in enumerate(sizes):
        for k in range(n_batches):
            batch = torch.randperm(len(mu), generator=generator)[:size].to(mu.device)
            m, s = mu[batch], sd[batch]
            z = m + s * torch.randn(m.shape, generator=generator, dtype=m.dtype, device=m.device)
            each, own = log_density_matrix(z, m, s), log_density(z, m, s)  # (B, B), (B,)
            each.diagonal().copy_(own)
            lower[i, k] = (own - each.logsumexp(1)).mean() + math.log(size)
            each.diagonal().fill_(-math.inf)
            upper[i, k] = (own - each.logsumexp(1)).mean() + math.log(size - 1)
    counts = torch.tensor(sizes, dtype=torch.float64)
    root = n_batches**0.5
    values = (counts, lower.mean(1), lower.std(1) / root, upper.mean(1), upper.std(1) / root, counts.log())
    return BatchInformation(*map(back, values))
