"""What `minivae.fit` needs of a model and a split, checked once before a training, each lack in one sentence."""

from torch import Tensor, nn

from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.models.baseline import Baseline
from minivae.models.vae import VAE

SIGNATURE = "fit(model, split, config) trains a minivae.VAE on a StrongSplit"
ATTRIBUTES = ("n_items", "latent", "encoder", "decoder")


def require_trainable(model: VAE, split: StrongSplit) -> None:
    """Raise `InputError` if no run of this model on this split is possible."""
    _require_kinds(model, split)
    require_complete(model)
    if split.n_items != model.n_items:
        raise InputError(f"the split has {split.n_items} items but the model {model.n_items}; make one for the other")
    if split.train.shape[0] == 0 or split.validation.heldout.nnz == 0:
        raise InputError("the split has no training users or no held-out validation items, so no epoch can be chosen")
    small = sorted({str(p.dtype) for p in model.parameters()} - {"torch.float32", "torch.float64"})
    if small:
        raise InputError(f"a model in {small[0]} cannot be trained; call model.float() first")


def _require_kinds(model: object, split: object) -> None:
    """Raise `InputError` for what is no model or no split."""
    kind = type(model).__name__
    if isinstance(split, VAE):
        raise InputError(f"{SIGNATURE}; here the {type(split).__name__} is the second argument, after a {kind}")
    if isinstance(model, Baseline):
        raise InputError(f"{SIGNATURE}; {kind} learns without steps: model.fit(split.train)")
    if isinstance(model, type):
        raise InputError(f"{SIGNATURE}; {model.__name__} is the class, make a model: {model.__name__}(split.n_items)")
    if not isinstance(model, VAE):
        raise InputError(f"{SIGNATURE}; a {kind} is none")
    if not isinstance(split, StrongSplit):
        made = ", which minivae.strong_split(data) makes of it" if hasattr(split, "n_events") else ""
        raise InputError(f"{SIGNATURE}{made}; here the second argument is a {type(split).__name__}")


def require_complete(model: VAE) -> None:
    """Raise `InputError` if a part is missing, or the decoder does not end in a linear layer with bias over the items.

    Examples
    --------
    >>> class Half(VAE):
    ...     n_items, latent = 5, 2
    >>> require_complete(Half())
    Traceback (most recent call last):
    minivae.errors.InputError: Half cannot be trained yet: it lacks encoder, decoder, posterior(x), \
reset_parameters(generator), sizes; help(minivae.VAE) says what each is
    """
    kind, own = type(model).__name__, type(model)
    missing = [name for name in ATTRIBUTES if not hasattr(model, name)]
    if own.posterior is VAE.posterior and own.draw is VAE.draw:
        missing.append("posterior(x)")
    if own.reset_parameters is VAE.reset_parameters:
        missing.append("reset_parameters(generator)")
    if own.sizes is VAE.sizes:
        missing.append("sizes")
    if missing:
        raise InputError(
            f"{kind} cannot be trained yet: it lacks {', '.join(missing)}; help(minivae.VAE) says what each is"
        )
    if wrong := _wrong_output(model.decoder, model.n_items):
        raise InputError(
            f"the decoder of {kind} {wrong}; it must be an nn.Sequential that ends in nn.Linear(width, "
            f"{model.n_items}) with bias, since the loss computes this layer itself"
        )


def _wrong_output(decoder: nn.Module, n_items: int) -> str:
    """What is wrong with the item-sized layer, in words; "" if nothing is."""
    if not isinstance(decoder, nn.Sequential):
        return f"is {_a(decoder)}"
    if not len(decoder):
        return "is empty"
    weight, bias = (getattr(decoder[-1], name, None) for name in ("weight", "bias"))
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        return f"ends in {_a(decoder[-1])}"
    if not isinstance(bias, Tensor):
        return "ends in a layer without bias"
    return "" if len(weight) == len(bias) == n_items else f"gives {len(weight)} logits for {n_items} items"


def _a(module: nn.Module) -> str:
    name = type(module).__name__
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
