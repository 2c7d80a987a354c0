"""Randomness as a pure function: every number is addressed by (seed, purpose, step, index).

A training run must not depend on how many processes share a batch, nor on where it was interrupted. So no generator
state is carried: the mask of interaction `j` at step `t` is looked up, not drawn in turn. Numbers are the `index`-th
outputs of SplitMix64 started at a key (Steele, Lea and Flood 2014), in 64-bit integer arithmetic that every device
does alike.
"""

import math

import torch
from torch import Tensor

_WORD = (1 << 64) - 1
_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
PURPOSES = ("order", "mask", "noise")


def _signed(word: int) -> int:
    """The int64 with the same 64 bits, since torch has no arithmetic on unsigned words."""
    return word - (1 << 64) if word >> 63 else word


def _mix(word: int) -> int:
    word = ((word ^ (word >> 30)) * _MIX1) & _WORD
    word = ((word ^ (word >> 27)) * _MIX2) & _WORD
    return word ^ (word >> 31)


def _shift(words: Tensor, by: int) -> Tensor:
    """Logical right shift: torch's own copies the sign bit."""
    return (words >> by).bitwise_and_((1 << (64 - by)) - 1)


def _open_unit(words: Tensor) -> Tensor:
    """The upper 23 bits as float32 in (0, 1); with a 24th bit the largest number would round to 1."""
    return (_shift(words, 41).to(torch.float32) + 0.5) * 2.0**-23


def bits(seed: int, purpose: str, step: int, index: Tensor) -> Tensor:
    """64 random bits per entry of `index`, as int64.

    Parameters
    ----------
    seed : int
        Seed of the run.
    purpose : str
        "order", "mask" or "noise": streams that never share numbers.
    step : int
        Update (or epoch) number.
    index : Tensor
        (...) int64, the address within the step, for instance the position of an interaction.
    """
    key = seed & _WORD
    for part in (PURPOSES.index(purpose) + 1, step):
        key = _mix((key + _GOLDEN * (part + 1)) & _WORD)
    words = ((index + 1) * _signed(_GOLDEN)).add_(_signed(key))
    words.bitwise_xor_(_shift(words, 30)).mul_(_signed(_MIX1))
    words.bitwise_xor_(_shift(words, 27)).mul_(_signed(_MIX2))
    return words.bitwise_xor_(_shift(words, 31))


def uniform(seed: int, purpose: str, step: int, index: Tensor) -> Tensor:
    """Uniform float32 in (0, 1), never 0 nor 1: the odd multiples of 2⁻²⁴, which float32 holds exactly."""
    return _open_unit(bits(seed, purpose, step, index))


def normal(seed: int, purpose: str, step: int, index: Tensor) -> Tensor:
    """Standard normal float32 by Box and Muller: one 64-bit word gives the radius and the angle."""
    words = bits(seed, purpose, step, index)
    radius = _open_unit(words)
    angle = (words & ((1 << 24) - 1)).to(torch.float32) * (2 * math.pi * 2.0**-24)
    return torch.sqrt(-2 * torch.log(radius)) * torch.cos(angle)


def permutation(seed: int, epoch: int, n: int) -> Tensor:
    """A random order of 0..n-1 for one epoch, (n,) int64 on the CPU."""
    return torch.argsort(bits(seed, "order", epoch, torch.arange(n)), stable=True)
