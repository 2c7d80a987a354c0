"""Trained models on disk: one safetensors file, no pickle."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from minivae.errors import InputError
from minivae.models.baseline import Baseline
from minivae.models.registry import MODELS, model_class
from minivae.models.vae import VAE
from minivae.runtime.storage import load_arrays, save_arrays

KIND = "model"
UNSAVED = {*vars(nn.Module()), "normalize"}  # belongs to torch, or to the run
PLAIN = (bool, int, float, str, type(None))


def save_model(model: VAE | Baseline, path: Path | str, notes: Mapping[str, str] | None = None) -> None:
    """Write class, sizes, what was learned (anchors among it) and free-text `notes` to `path`.

    What could not come back as it is is refused: a class that `load_model` would not find, and a model that was changed
    after it was made, by another prior for instance.

    Raises
    ------
    InputError
        If it is not a model, its class is not registered, its constructor and `sizes` do not make it again, or the
        parameters are bfloat16, which NumPy does not know; training never makes them so.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from minivae.models import MultVAE
    >>> with TemporaryDirectory() as folder:
    ...     save_model(MultVAE(5, hidden=4, latent=2), f"{folder}/model.safetensors", notes={"trained on": "nothing"})
    ...     load_model(folder).sizes
    {'n_items': 5, 'hidden': 4, 'latent': 2, 'prior': 'normal', 'components': 1000}
    """
    name = require_savable(model)
    if isinstance(model, VAE):
        arrays, normalize = {k: v.detach().cpu().numpy() for k, v in model.state_dict().items()}, model.normalize
    else:
        if not hasattr(model, "n_items"):
            raise InputError(f"this {type(model).__name__} is not fitted yet; call fit(train) first")
        arrays, normalize = model.state(), True
    meta = {"class": name, "sizes": _as_json(model), "normalize": json.dumps(normalize)}
    meta |= {f"note.{k}": v for k, v in (notes or {}).items()}
    save_arrays(Path(path), KIND, arrays, meta)


def require_savable(model: VAE | Baseline) -> str:
    """The name of the model's class; `InputError`, as of `save_model`, for a model that cannot be saved.

    Asked before a long training, it spares the training.
    """
    kind = type(model).__name__
    if not isinstance(model, VAE | Baseline):
        raise InputError(f"a {kind} cannot be saved; derive it from minivae.VAE or minivae.Baseline")
    name = MODELS.name_of(type(model))
    if name is None:
        here = type(model).__module__ == "__main__"
        where = f"{kind} is defined in the program that runs and" if here else kind
        how = ", here and in every program that loads it; or move it to a module of its own" if here else ""
        raise InputError(
            f'{where} could not be loaded again; register the class: minivae.register_model("{kind}"){how}'
        )
    sizes = json.loads(_as_json(model))
    if not isinstance(model, VAE):
        return name
    if any(v.dtype == torch.bfloat16 for v in model.state_dict().values()):
        raise InputError(f"a {kind} in bfloat16 cannot be saved; call model.float() first")
    try:
        again = _empty(type(model), sizes, model.anchors is not None)
    except (TypeError, ValueError, AttributeError, RuntimeError) as e:
        raise InputError(f"sizes of {name} do not make it again ({' '.join(str(e).split())})") from e
    if why := _difference(model, again):
        raise InputError(
            f"this {kind} is not what its class makes of its sizes ({why}), so it would come back changed; give what "
            "differs to the constructor and to sizes, a prior of your own by minivae.register_prior"
        )
    return name


def _as_json(model: VAE | Baseline) -> str:
    try:
        return json.dumps(model.sizes)
    except (TypeError, ValueError) as e:
        raise InputError(
            f"the sizes of {type(model).__name__} cannot be written ({e}); use numbers, texts, lists and mappings"
        ) from e


def _difference(model: VAE, again: VAE) -> str:
    """How two models differ beside the values of their parameters, in words; "" if they do not."""
    ours, theirs = dict(model.named_modules()), dict(again.named_modules())
    for key in ours.keys() | theirs.keys():
        a, b = ours.get(key), theirs.get(key)
        if type(a) is not type(b):
            return f"{key} is {_kind(a)}, not {_kind(b)}"
        for name, value in _settings(b).items():
            if (mine := _settings(a).get(name, value)) != value:
                return f"{f'{key}.' if key else ''}{name} is {mine!r}, not {value!r}"
    shapes = {k: v.shape for k, v in model.state_dict().items()}
    for k, v in again.state_dict().items():
        if shapes.get(k) != v.shape:
            return f"{k} has another shape"
    extra = shapes.keys() - again.state_dict().keys()
    return f"{min(extra)} is new" if extra else ""


def _kind(module: nn.Module | None) -> str:
    return "nothing" if module is None else type(module).__name__


def _settings(module: nn.Module | None) -> dict[str, Any]:
    """Plain values that a module holds, for instance the ε of a LayerNorm."""
    own = vars(module) if module is not None else {}
    return {k: v for k, v in own.items() if isinstance(v, PLAIN) and k not in UNSAVED}


class Undrawn(TorchFunctionMode):
    """No normal numbers are drawn: without storage there is nothing to fill, and the first call loads torch's compiler
    for it (3 s)."""

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return args[0] if func is torch.Tensor.normal_ else func(*args, **(kwargs or {}))


def _empty(cls: type[VAE], sizes: Mapping[str, Any], anchors: bool) -> VAE:
    """A model with shapes only: sizes that a stranger wrote cannot fill the memory."""
    with torch.device("meta"), Undrawn():
        model = cls(**sizes)
        if anchors:
            model.add_anchors()
    return model


def load_model(path: Path | str) -> VAE | Baseline:
    """Read what `save_model` wrote; a VAE in evaluation mode on the CPU.

    A class of your own is found if its module is imported, so that it is registered: the file does not choose what
    code runs.

    Parameters
    ----------
    path : Path | str
        The file, or a folder that holds `model.safetensors`.

    Raises
    ------
    InputError
        If the file is missing, damaged, no model, of a class that is not there, or its parts do not fit its sizes.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from minivae.models import Popularity
    >>> with TemporaryDirectory() as folder:
    ...     save_model(Popularity().fit(np.array([[1, 1, 0]])), f"{folder}/model.safetensors")
    ...     load_model(folder).score(np.zeros((1, 3)))
    tensor([[1., 1., 0.]])
    """
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    arrays, meta = load_arrays(path, KIND)
    cls = _class_of(meta, path)
    try:
        odd = [k for k, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
        if odd:
            raise ValueError(f"{odd[0]} holds a value that is not finite")
        sizes = json.loads(meta["sizes"])
        if issubclass(cls, Baseline):
            model = cls(**sizes)
            model.set_state(arrays)
            return model
        return _load_vae(cls, sizes, arrays, bool(json.loads(meta["normalize"])))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, RuntimeError) as e:
        raise InputError(
            f"{path} holds a model whose parts do not fit each other ({' '.join(str(e).split())}); train it again"
        ) from e


def _class_of(meta: Mapping[str, str], path: Path) -> type[VAE] | type[Baseline]:
    try:
        return model_class(meta.get("class"), imports=False)
    except InputError as e:
        raise InputError(f"{path} holds a model whose class is not here: {e}") from e


def _load_vae(cls: type[VAE], sizes: Mapping[str, Any], arrays: Mapping[str, np.ndarray], normalize: bool) -> VAE:
    model = _empty(cls, sizes, "anchors" in arrays)
    dtypes = {v.dtype for v in arrays.values()}
    if len(dtypes) > 1 or any(t.kind != "f" for t in dtypes):
        raise ValueError(f"parameters are {' and '.join(sorted(map(str, dtypes)))}, not of one floating dtype")
    model.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, assign=True)
    model.normalize = normalize
    return model.eval()
