"""The device and the number format behind a name, and whether this machine has them."""

import torch

from minivae.errors import InputError
from minivae.options import Precision


def resolve_device(name: str) -> torch.device:
    """The device behind `name`; "auto" is cuda where there is one, else cpu.

    Raises
    ------
    InputError
        If the device is unknown or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as e:
        raise InputError(f"device={name!r} is not available on this machine; use auto, cpu or cuda") from e
    return device


def product_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """dtype of the item-sized products: "auto" is bf16 where the hardware multiplies it natively, else float32."""
    if precision == "auto":
        native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _cpu_has_bf16() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
