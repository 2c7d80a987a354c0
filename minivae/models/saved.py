"""Trained models on disk: one safetensors file, no pickle."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from minivae.errors import InputError
from minivae.models.hvamp import HVamp
from minivae.models.multdae import MultDAE
from minivae.models.multvae import MultVAE
from minivae.models.recvae import RecVAE
from minivae.models.vae import VAE
from minivae.runtime.storage import load_arrays, save_arrays

KIND = "model"
CLASSES: dict[str, type[VAE]] = {"MultVAE": MultVAE, "MultDAE": MultDAE, "RecVAE": RecVAE, "HVamp": HVamp}


def save_model(model: VAE, path: Path | str, notes: Mapping[str, str] | None = None) -> None:
    """Write class, sizes, parameters (anchors among them) and free-text `notes` to `path`.

    Raises
    ------
    InputError
        If the parameters are bfloat16, which NumPy does not know; training never makes them so.
    """
    if any(v.dtype == torch.bfloat16 for v in model.state_dict().values()):
        raise InputError(f"a {type(model).__name__} in bfloat16 cannot be saved; call model.float() first")
    meta = {"class": type(model).__name__, "sizes": json.dumps(model.sizes), "normalize": json.dumps(model.normalize)}
    meta |= {f"note.{k}": v for k, v in (notes or {}).items()}
    save_arrays(Path(path), KIND, {k: v.detach().cpu().numpy() for k, v in model.state_dict().items()}, meta)


class Undrawn(TorchFunctionMode):
    """No normal numbers are drawn: without storage there is nothing to fill, and the first call loads torch's compiler
    for it (3 s)."""

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return args[0] if func is torch.Tensor.normal_ else func(*args, **(kwargs or {}))


def load_model(path: Path | str) -> VAE:
    """Read what `save_model` wrote, in evaluation mode on the CPU.

    Parameters
    ----------
    path : Path | str
        The file, or a folder that holds `model.safetensors`.

    Raises
    ------
    InputError
        If the file is missing, damaged, no model, or its parameters do not fit its sizes.
    """
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    arrays, meta = load_arrays(path, KIND)
    try:
        with torch.device("meta"), Undrawn():  # shapes only: sizes that a stranger wrote cannot fill the memory
            model = CLASSES[meta["class"]](**json.loads(meta["sizes"]))
            if "anchors" in arrays:
                model.add_anchors()
        dtypes = {v.dtype for v in arrays.values()}
        if len(dtypes) > 1 or any(t.kind != "f" for t in dtypes):
            raise ValueError(f"parameters are {' and '.join(sorted(map(str, dtypes)))}, not of one floating dtype")
        if odd := next((k for k, v in arrays.items() if not np.isfinite(v).all()), None):
            raise ValueError(f"{odd} holds a value that is not finite")
        model.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, assign=True)
        model.normalize = bool(json.loads(meta["normalize"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as e:
        raise InputError(
            f"{path} holds a model whose parts do not fit each other ({' '.join(str(e).split())}); train it again"
        ) from e
    return model.eval()
