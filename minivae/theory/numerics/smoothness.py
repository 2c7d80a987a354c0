"""Lemma 2.4: how far one interaction can move a posterior, proved from operator norms and measured over pairs."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch

from minivae.data.users import Users, as_csr, shape_of
from minivae.errors import InputError, check_whole
from minivae.models.multvae import MultVAE
from minivae.models.vae import VAE
from minivae.theory.adapter import Wrapped
from minivae.theory.numerics.gaussian_w2 import w2_gaussian, w2_matrix


def normalisation_constant(min_count: int = 1, norm: Literal[1, 2] = 1) -> float:
    """Smallest c with `||x/||x|| - y/||y||||_2 <= c ||x - y||_norm` for binary x, y of at least `min_count` ones.

    From `||x/||x|| - y/||y||||^2 = (||x - y||^2 - (||x|| - ||y||)^2) / (||x|| ||y||)`. With n = `min_count`:

    * 2-norm: `n^(-1/2)`, attained for every n, by any two different rows of n ones: both have norm `n^(1/2)`.
    * 1-norm: `sqrt(2 - 2 sqrt(n / (n + 1)))`, attained by adding one item to n. Vectors that differ in D >= 2 places
      stay below: their 2-norm is `sqrt(D)`, so the ratio is at most `(n D)^(-1/2)`.

    Raises
    ------
    InputError
        If `min_count` is no whole number of at least 1, or `norm` is neither 1 nor 2.

    Examples
    --------
    >>> normalisation_constant(norm=2)
    1.0
    >>> round(normalisation_constant(), 6)  # 2 sin(π/8)
    0.765367
    """
    check_whole(1, min_count=min_count)  # an empty row has no direction
    if norm not in (1, 2):
        raise InputError(f"norm={norm!r} is not possible; the constant is known for the 1-norm and the 2-norm, 1 or 2")
    if norm == 2:
        return min_count**-0.5
    # 2 - 2 sqrt(n / (n + 1)) without the cancellation for large n
    return math.sqrt(2 / ((min_count + 1) * (1 + math.sqrt(min_count / (min_count + 1)))))


@dataclass(frozen=True)
class EncoderConstants:
    """Proved constants of `x → x/||x|| → tanh(W1 x + b1) → (mu, log sd^2)`, the encoder of Mult-VAE.

    `W2(q_u, q_v) <= joint ||x_u - x_v||_1 <= separate ||x_u - x_v||_1`, and `unit ||x_u/||x_u|| - x_v/||x_v||||_2` is
    the same bound before the normalisation is bounded, tighter for every pair.

    Examples
    --------
    >>> c = encoder_constants(MultVAE(5, hidden=3, latent=2), min_count=4)
    >>> c.joint <= c.separate, c.normalisation_l2
    (True, 0.5)
    """

    normalisation: float
    """Constant of the input map from the 1-norm to the 2-norm: `normalisation_constant`, or 1 without normalisation."""
    normalisation_l2: float
    """The same from the 2-norm."""
    hidden: float
    """`||W1||_2`; tanh adds a factor of one."""
    mu_output: float
    """`||W_mu||_2`."""
    sd_output: float
    """`||½ diag(sd_max) W_logvar||_2`: the slope of `exp(½ logvar)` is at most half its largest value."""
    both_output: float
    """The norm of the two stacked, at most `hypot(mu_output, sd_output)`."""
    sd_max: torch.Tensor
    """(d,) proved upper bounds of the spreads."""

    @property
    def mu(self) -> float:
        """L_mu: `||mu_u - mu_v|| <= L_mu ||x_u - x_v||_1`."""
        return self.normalisation * self.hidden * self.mu_output

    @property
    def sd(self) -> float:
        """L_sd: `||sd_u - sd_v|| <= L_sd ||x_u - x_v||_1`."""
        return self.normalisation * self.hidden * self.sd_output

    @property
    def separate(self) -> float:
        """The lemma's constant, `sqrt(L_mu^2 + L_sd^2)`."""
        return math.hypot(self.mu, self.sd)

    @property
    def joint(self) -> float:
        """The same with both outputs in one norm: never larger than `separate`."""
        return self.normalisation * self.unit

    @property
    def joint_l2(self) -> float:
        """`W2 <= joint_l2 ||x_u - x_v||_2`, the sharper form: on binary rows the 2-norm is the root of the 1-norm."""
        return self.normalisation_l2 * self.unit

    @property
    def unit(self) -> float:
        """`W2 <= unit ||x_u/||x_u|| - x_v/||x_v||||_2`, also for any two ready encoder inputs of norm at most one."""
        return self.hidden * self.both_output


def encoder_constants(model: VAE, min_count: int = 1) -> EncoderConstants:
    """Lemma 2.4 for a Mult-VAE, from its weights in float64 and nothing else.

    The spread `exp(½ logvar)` is Lipschitz only where logvar is bounded above. That is no assumption here, logvar is
    linear in the hidden units h and they are bounded twice over; the smaller bound counts, dimension by dimension:

    * intervals: `h = tanh(b + <w, x>)` with `x >= 0`, `||x||_2 <= 1` lies in `tanh(b - ||w_-||) … tanh(b + ||w_+||)`;
    * norms: `||h(x) - h(0)||_2 <= ||W1||_2`.

    Without normalisation (raw masks) only `|h| <= 1` is left of it.

    Parameters
    ----------
    model : VAE
        A `MultVAE`.
    min_count : int, default 1
        Fewest interactions of a user; more of them make the normalisation smoother.

    Raises
    ------
    InputError
        If the encoder is another: nothing is proved about it here (`observed_smoothness` measures any).

    Examples
    --------
    >>> model = MultVAE(5, hidden=3, latent=2)
    >>> few, many = encoder_constants(model, min_count=1), encoder_constants(model, min_count=100)
    >>> many.joint < few.joint  # one item more or less moves a long history less
    True
    """
    if not isinstance(model, MultVAE):
        raise InputError(
            f"no constant is proved for the encoder of {type(model).__name__}, only for MultVAE; "
            "use observed_smoothness, which measures any encoder"
        )
    w1, b1 = (p.detach().double() for p in (model.encoder_input.weight, model.encoder_input.bias))  # (I, h), (h,)
    w2, b2 = (p.detach().double() for p in (model.encoder_output.weight, model.encoder_output.bias))  # (2d, h), (2d,)
    # where each hidden unit can lie: within tanh's range, and closer if inputs have norm one and no negative entry
    low, high = -torch.ones_like(b1), torch.ones_like(b1)
    if model.normalize:
        low = torch.tanh(b1 - w1.clamp_max(0).norm(dim=0))
        high = torch.tanh(b1 + w1.clamp_min(0).norm(dim=0))
    hidden = _operator_norm(w1)
    to_mu, to_logvar = w2.chunk(2)  # (d, h) each
    # a linear function is largest where each unit stands at the end that its weight's sign asks for
    logvar_max = to_logvar.clamp_min(0) @ high + to_logvar.clamp_max(0) @ low  # (d,)
    if model.normalize:
        logvar_max = torch.minimum(logvar_max, to_logvar @ torch.tanh(b1) + hidden * to_logvar.norm(dim=1))
    sd_max = (0.5 * (b2.chunk(2)[1] + logvar_max)).exp()
    # d exp(½ l) = ½ exp(½ l) dl, and exp(½ l) ≤ sd_max: row by row a linear map of this slope bounds the change
    to_sd = 0.5 * sd_max[:, None] * to_logvar
    return EncoderConstants(
        normalisation=normalisation_constant(min_count) if model.normalize else 1.0,
        normalisation_l2=normalisation_constant(min_count, norm=2) if model.normalize else 1.0,
        hidden=hidden,
        mu_output=_operator_norm(to_mu),
        sd_output=_operator_norm(to_sd),
        both_output=_operator_norm(torch.cat([to_mu, to_sd])),
        sd_max=sd_max,
    )


def _operator_norm(w: torch.Tensor) -> float:
    """Largest singular value, from the smaller of the two Gram matrices."""
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    return float(torch.linalg.eigvalsh(gram)[-1].clamp_min(0).sqrt())


@dataclass(frozen=True)
class ObservedSmoothness:
    """Lemma 2.4 over pairs of users: distances at the input and in latent space, float64, same shape each.

    (U, U) for all pairs of one set, (B,) for paired rows. Pairs of equal users have ratio zero.

    Examples
    --------
    >>> model, x = MultVAE(5, hidden=3, latent=2), np.eye(5)
    >>> seen = observed_smoothness(model, x)
    >>> seen.ratio.shape, seen.tightness <= 1, seen.worst_slack >= 0
    (torch.Size([5, 5]), True, True)
    """

    input_distance: torch.Tensor
    """`||x_u - x_v||_1`."""
    unit_distance: torch.Tensor
    """`||x_u/||x_u|| - x_v/||x_v||||_2`."""
    latent_distance: torch.Tensor
    """`W2(q_u, q_v)`."""
    proved: EncoderConstants | None
    """The proved constants, where there are any."""

    @property
    def ratio(self) -> torch.Tensor:
        """`W2 / ||x_u - x_v||_1`: its maximum is a lower estimate of the true constant."""
        return torch.where(self.input_distance > 0, self.latent_distance / self.input_distance.clamp_min(1), 0.0)

    @property
    def largest(self) -> float:
        """The largest ratio seen."""
        return float(self.ratio.max())

    @property
    def tightness(self) -> float | None:
        """Largest ratio seen over proved constant: 1 would be a bound that is attained."""
        return None if self.proved is None else self.largest / self.proved.joint

    @property
    def worst_slack(self) -> float | None:
        """Smallest `bound - W2` over pairs of different users: negative would refute the lemma."""
        if self.proved is None:
            return None
        slack = self.proved.joint * self.input_distance - self.latent_distance
        return float(slack[self.input_distance > 0].min())


@torch.no_grad()
def observed_smoothness(model: VAE | Wrapped, x: Users, y: Users | None = None) -> ObservedSmoothness:
    """Measure Lemma 2.4 on all pairs of rows of `x` (U, I), or on row b of `x` against row b of `y` (B, I).

    The largest ratios sit at near-duplicates; `without_one` makes such pairs from any users.

    Raises
    ------
    InputError
        If a row is empty or not binary.

    Examples
    --------
    >>> users, shorter = without_one(np.ones((2, 4)))
    >>> observed_smoothness(MultVAE(4, hidden=3, latent=2), users, shorter).input_distance
    tensor([1., 1.], dtype=torch.float64)
    """
    x = as_csr(x)
    mu, sd = (t.double() for t in model.encode(x))
    counts, min_count = _counts(x)
    if y is None:
        common = torch.from_numpy((x @ x.T).toarray()).double()
        other, latent = counts[None, :], w2_matrix(mu, sd)
        counts = counts[:, None]
    else:
        y = as_csr(y)
        other, fewest = _counts(y)
        min_count = min(min_count, fewest)
        common = torch.from_numpy(np.asarray(x.multiply(y).sum(axis=1)).ravel()).double()
        latent = w2_gaussian(mu, sd, *(t.double() for t in model.encode(y)))
    unit = (2 - 2 * common / (counts * other).sqrt()).clamp_min(0).sqrt()
    return ObservedSmoothness(
        input_distance=counts + other - 2 * common,
        unit_distance=unit,
        latent_distance=latent.cpu(),
        proved=encoder_constants(model, min_count) if isinstance(model, MultVAE) else None,
    )


def without_one(x: Users, generator: torch.Generator | None = None) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Users with at least two interactions, and the same users each without one drawn interaction.

    Examples
    --------
    >>> users, shorter = without_one(np.array([[1, 1, 1, 0], [1, 0, 0, 0]]))
    >>> users.toarray().tolist(), int(shorter.sum())  # a user with one item cannot lose it
    ([[1, 1, 1, 0]], 2)
    """
    csr = as_csr(x)
    x = sp.csr_matrix(csr[np.diff(csr.indptr) >= 2])
    drop = x.indptr[:-1] + (torch.rand(shape_of(x)[0], generator=generator).numpy() * np.diff(x.indptr)).astype(int)
    kept = np.ones(x.nnz, dtype=bool)
    kept[drop] = False
    indptr = x.indptr - np.arange(shape_of(x)[0] + 1)
    return x, sp.csr_matrix((x.data[kept], x.indices[kept], indptr.astype(x.indptr.dtype)), shape=x.shape)


def _counts(x: sp.csr_matrix) -> tuple[torch.Tensor, int]:
    """Interactions of every row, and the fewest."""
    if (x.data != 1).any():
        raise InputError(
            "x has entries other than 0 and 1; Lemma 2.4 is measured on binary rows, set the entries to one"
        )
    counts = np.diff(x.indptr)
    if counts.size == 0 or counts.min() == 0:
        raise InputError(
            "x has a row without interactions; Lemma 2.4 is about users with at least one, drop the others"
        )
    return torch.from_numpy(counts).double(), int(counts.min())
