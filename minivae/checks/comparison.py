"""How every self-check decides, and what it says."""

from collections.abc import Mapping

import torch
from torch import Tensor


def generator_of(seed: int | None) -> tuple[torch.Generator, int]:
    """A generator and the seed that repeats it; a fresh seed for None."""
    generator = torch.Generator()
    seed = generator.seed() if seed is None else seed
    return generator.manual_seed(seed), seed


def compare(name: str, got: object, want: Tensor, wrong: Mapping[str, Tensor], seed: int, atol: float = 1e-9) -> None:
    """Shape and values; a well-known wrong answer is called by its name, whatever its shape.

    Parameters
    ----------
    name : str
        The learner's function.
    got : object
    want : Tensor
        What it returned, and what is right.
    wrong : Mapping[str, Tensor]
        Description of a common mistake -> what that mistake gives.
    seed : int
        Of the inputs, named in the message.

    Raises
    ------
    AssertionError
        With what is wrong.
    """
    if got is None:
        raise AssertionError(f"{name} returned nothing: is there a return?")
    try:
        numbers = torch.as_tensor(got)
    except (TypeError, ValueError, RuntimeError) as e:
        raise AssertionError(
            f"{name} returned a {type(got).__name__}, expected numbers of shape {tuple(want.shape)}"
        ) from e

    def is_(value: Tensor) -> bool:
        return numbers.shape == value.shape and torch.allclose(numbers.to(value), value, rtol=1e-7, atol=atol)

    if is_(want):
        print(f"{name}: right")
        return
    for what, other in wrong.items():
        if is_(other):
            raise AssertionError(f"{name} computes {what} (seed {seed})")
    if numbers.shape != want.shape:
        raise AssertionError(f"{name} has shape {tuple(numbers.shape)}, expected {tuple(want.shape)}")
    numbers = numbers.to(want)
    miss = torch.where(numbers.isnan(), torch.inf, (numbers - want).abs())
    at = tuple(int(i) for i in torch.unravel_index(miss.argmax(), miss.shape))
    where = ", ".join(map(str, at))
    raise AssertionError(
        f"{name}: entry [{where}] is {float(numbers[at]):.4g}, expected {float(want[at]):.4g} (seed {seed})"
    )
