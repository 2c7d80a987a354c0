"""An outside torch VAE as a model for every function of `minivae.theory`."""

import warnings
from collections.abc import Callable

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from minivae.data.users import Users, as_csr, binary, shape_of
from minivae.errors import InputError, check_whole
from minivae.theory.numerics.samples import still

ENCODE_BLOCK = 1024
PROBE_ROWS = 4


class Wrapped(nn.Module):
    """What `wrap` returns: the interface of `minivae.models.vae.VAE` around two outside pieces.

    Attributes
    ----------
    n_items, latent : int
        I and d.
    decoder : Module
        The outside decoder.
    anchors : None
        Outside models have none.
    normalize : bool
        Whether `encode` L2-normalises rows before they reach the outside encoder, unless told otherwise.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], tuple[Tensor, Tensor]],
        decode: nn.Module,
        n_items: int,
        latent: int,
        normalize: bool,
    ) -> None:
        super().__init__()
        self.outside_encode = encode
        self.decoder = decode
        self.n_items, self.latent, self.normalize = n_items, latent, normalize
        self.anchors = None
        self._probed = False
        self._masks_probed = False

    def encode(self, x: Users, normalize: bool | None = None) -> tuple[Tensor, Tensor]:
        """Posterior N(μ, diag sd²) of users, in blocks of rows.

        Parameters
        ----------
        x : Users
            (B, I) rows, CSR or dense, numpy or torch; counts are taken as "has it", as by `minivae.models.vae.VAE`. A
            dense binary tensor is passed on as it is, so that autograd sees it.
        normalize : bool, optional
            L2-normalise the rows first. None: as given to `wrap`. False: x is the ready encoder input, whose values are
            passed on as they are.

        Returns
        -------
        mu, sd : Tensor
            Each (B, d).

        Raises
        ------
        InputError
            If the columns of x are not the model's items, an entry is negative (unless ``normalize=False``), or the
            outside function does not return (mu, sd).

        Warns
        -----
        UserWarning
            If ready inputs are asked for (``normalize=False``, as all functions with masks do), but the outside
            function rescales them itself: normalize-then-mask is then the same as mask-then-normalize.
        """
        if normalize is not False and not (isinstance(x, Tensor) and _is_binary(x)):
            x = binary(x, "x")
        elif not isinstance(x, Tensor) or x.ndim != 2:
            x = as_csr(x)
        if shape_of(x)[1] != self.n_items:
            raise InputError(
                f"x has {shape_of(x)[1]} columns, but the model knows {self.n_items} items; give a column for each "
                "of them"
            )
        parts = []
        for first in range(0, max(shape_of(x)[0], 1), ENCODE_BLOCK):
            rows = self._dense(x[first : first + ENCODE_BLOCK])  # (b, I)
            if self.normalize if normalize is None else normalize:
                rows = nn.functional.normalize(rows, dim=-1)
            if not self._probed and len(rows):
                self._probe(rows[:PROBE_ROWS])
            if normalize is False and not self._masks_probed and len(rows):
                self._probe_scale(rows[:PROBE_ROWS])
            parts.append(self._posterior(rows))
        mu, sd = (torch.cat(p) for p in zip(*parts, strict=True))
        return mu, sd

    def decode(self, z: Tensor) -> Tensor:
        """Item logits: (..., d) -> (..., I). The outside module only ever sees a matrix."""
        return self.decoder(z.reshape(-1, z.shape[-1])).reshape(*z.shape[:-1], self.n_items)

    @torch.no_grad()
    def score(self, history: Users) -> Tensor:
        """Ranking scores: the logits at z = μ, (B, I)."""
        return self.decode(self.encode(history)[0])

    def _dense(self, rows: sp.csr_matrix | Tensor) -> Tensor:
        like = next(self.decoder.parameters())
        return (rows if isinstance(rows, Tensor) else torch.from_numpy(rows.toarray())).to(like)

    def _posterior(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """One call of the outside encoder, its answer checked."""
        given = self.outside_encode(rows)
        shape = (len(rows), self.latent)
        if not isinstance(given, tuple | list) or len(given) != 2 or not all(isinstance(g, Tensor) for g in given):
            raise InputError(f"encode(x) must return two tensors (mu, sd), but returned {_describe(given)}")
        mu, sd = given
        if mu.shape != shape or sd.shape != shape:
            raise InputError(
                f"encode(x) must return mu and sd of shape {shape} for {len(rows)} users and latent={self.latent}, "
                f"but returned {tuple(mu.shape)} and {tuple(sd.shape)}"
            )
        if (sd < 0).any():
            raise InputError(
                f"encode(x) returned a negative standard deviation ({sd.min().item():.3g}), which looks like a "
                "log-variance; return torch.exp(0.5 * logvar) in its place"
            )
        if not (mu.isfinite().all() and sd.isfinite().all()):
            raise InputError("encode(x) returned values that are not finite; check the model and its weights")
        return mu, sd

    @torch.no_grad()
    def _probe(self, rows: Tensor) -> None:
        first, again = self._posterior(rows), self._posterior(rows)
        if not all(torch.allclose(a, b) for a, b in zip(first, again, strict=True)):
            raise InputError(
                "encode(x) returns something else each time for the same x; call .eval() on the model to switch "
                "dropout off, and return mu rather than a sample of z"
            )
        self._probed = True

    @torch.no_grad()
    def _probe_scale(self, rows: Tensor) -> None:
        mu, doubled = self._posterior(rows)[0], self._posterior(2 * rows)[0]
        if rows.any() and torch.allclose(mu, doubled, rtol=1e-4, atol=1e-6 * mu.abs().max().item()):
            warnings.warn(
                "the encode function normalises its input itself, so normalize-then-mask is here the same as mask-then-"
                "normalize; to compare them, leave the normalisation out of it and use wrap(..., normalize=True)",
                stacklevel=3,
            )
        self._masks_probed = True


def wrap(
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    decode: nn.Module,
    n_items: int | None = None,
    latent: int | None = None,
    normalize: bool = False,
) -> Wrapped:
    """Make an outside torch VAE a model that all functions of `minivae.theory` and `minivae.evaluate` take.

    Put the outside model in evaluation mode first. Its dtype is that of the decoder's parameters: for theory in float64
    convert the whole outside model (``net.double()``).

    Parameters
    ----------
    encode : Callable[[Tensor], tuple[Tensor, Tensor]]
        x (B, I) dense -> (mu, sd), each (B, d): posterior mean and standard deviation, without sampling.
    decode : Module
        z (B, d) -> logits (B, I). Of linear layers and pointwise activations, for the fast Gram matrices of
        `minivae.theory.transfer`; anything else is differentiated by autograd.
    n_items, latent : int, optional
        I and d; if None, found from the linear layers of `decode` and a trial call.
    normalize : bool, default False
        L2-normalise rows before `encode` sees them. Leave it False if `encode` does so itself or was trained on binary
        rows.

    Returns
    -------
    Wrapped

    Raises
    ------
    InputError
        If `decode` is not a module with parameters, its sizes can be found neither from it nor from the arguments, or
        it does not give the same logits for the same z (dropout or batch normalisation in training mode).

    Examples
    --------
    >>> net = nn.ModuleDict({"mu": nn.Linear(5, 2), "logvar": nn.Linear(5, 2), "decoder": nn.Linear(2, 5)})
    >>> model = wrap(encode=lambda x: (net["mu"](x), torch.exp(0.5 * net["logvar"](x))), decode=net["decoder"])
    >>> model.score(torch.ones(3, 5)).shape
    torch.Size([3, 5])
    """
    if not isinstance(decode, nn.Module) or next(decode.parameters(), None) is None:
        raise InputError(f"decode must be a torch module with parameters θ, not {_describe(decode)}")
    if not callable(encode):
        raise InputError(f"encode must be a function of x (B, I), not {_describe(encode)}")
    if latent is None:
        linear = next((m for m in decode.modules() if isinstance(m, nn.Linear)), None)
        if linear is None:
            raise InputError("decode has no linear layer to read the latent size from; say latent=…")
        latent = linear.in_features
    check_whole(1, latent=latent)
    z = torch.linspace(-1, 1, 2 * latent).reshape(2, latent).to(next(decode.parameters()))  # dropout of zeros is zero
    try:
        with torch.no_grad(), still(decode):
            logits = decode(z)
    except RuntimeError as e:
        raise InputError(f"decode does not take z of shape (B, {latent}): {e}; say latent=…") from e
    if logits.ndim != 2 or len(logits) != 2 or n_items not in (None, logits.shape[1]):
        raise InputError(
            f"decode returned logits of shape {tuple(logits.shape)} for 2 users; expected (2, {n_items or 'I'})"
        )
    _probe_decoder(decode, z, logits)
    return Wrapped(encode, decode, logits.shape[1], latent, normalize)


@torch.no_grad()
def _probe_decoder(decode: nn.Module, z: Tensor, logits: Tensor) -> None:
    """Refuse a decoder whose answer is not always its `logits` in evaluation mode, and leave it as it was."""
    before = [(b, b.clone()) for b in decode.buffers()]  # batch normalisation in training mode writes its statistics
    try:
        repeats = all(torch.allclose(decode(z), logits, equal_nan=True) for _ in range(2))
    except (RuntimeError, ValueError) as e:
        raise InputError(f"decode(z) fails as it is, but not in evaluation mode: {e}; call .eval() on it") from e
    finally:
        for b, value in before:
            b.copy_(value)
    if not repeats:
        raise InputError(
            "decode(z) does not return the same logits each time for the same z, or other logits than in evaluation "
            "mode; call .eval() on the model to switch dropout and batch statistics off"
        )


def _is_binary(x: Tensor) -> bool:
    return x.ndim == 2 and bool(((x == 0) | (x == 1)).all())


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"one tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"{len(value)} values ({', '.join(type(v).__name__ for v in value)})"
    return type(value).__name__
