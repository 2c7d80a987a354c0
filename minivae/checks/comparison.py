"""How every self-check decides, and what it says."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

Learner = TypeVar("Learner", bound=Callable[..., object])
Asks = TypeVar("Asks", contravariant=True)
RAISES = """

Parameters
----------
fn : Callable
    The learner's function.
seed : int, optional
    Of the inputs; drawn afresh without one.

Raises
------
AssertionError
    With what is wrong.
"""


@dataclass(frozen=True)
class Compared:
    """What a learner's function returned, and what it is compared with.

    Attributes
    ----------
    got : object
    want : Tensor
        What it returned, and what is right.
    wrong : Mapping[str, Tensor]
        Description of a common mistake -> what that mistake gives.
    atol : float
        By how much an entry may be off.
    """

    got: object
    want: Tensor
    wrong: Mapping[str, Tensor]
    atol: float = 1e-9

    def is_right(self, name: str, seed: int) -> None:
        """Shape and values; a well-known wrong answer is called by its name, whatever its shape.

        Parameters
        ----------
        name : str
            The learner's function.
        seed : int
            Of the inputs, named in the message.

        Raises
        ------
        AssertionError
            With what is wrong.
        """
        if self.got is None:
            raise AssertionError(f"{name} returned nothing: is there a return?")
        want = self.want
        try:
            numbers = torch.as_tensor(self.got)
        except (TypeError, ValueError, RuntimeError) as e:
            raise AssertionError(
                f"{name} returned a {type(self.got).__name__}, expected numbers of shape {tuple(want.shape)}"
            ) from e

        def is_(value: Tensor) -> bool:
            return numbers.shape == value.shape and torch.allclose(numbers.to(value), value, rtol=1e-7, atol=self.atol)

        if is_(want):
            return
        for what, other in self.wrong.items():
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


class SelfCheck(Protocol[Asks]):
    """Takes the learner's function; silent but for a line if it is right."""

    __name__: str

    def __call__(self, fn: Asks, seed: int | None = None) -> None: ...


def self_check(
    ask: Callable[[Learner, torch.Generator], Compared | Sequence[Compared]],
) -> SelfCheck[Learner]:
    """A self-check, from what it asks: a function that draws inputs, calls the learner's and says what is right.

    The check is named ``check_`` and then as the learner's function.
    """

    def check(fn: Learner, seed: int | None = None) -> None:
        generator = torch.Generator()
        seed = generator.seed() if seed is None else seed
        name = check.__name__.removeprefix("check_")
        asked = ask(fn, generator.manual_seed(seed))
        for one in (asked,) if isinstance(asked, Compared) else asked:
            one.is_right(name, seed)
        print(f"{name}: right")

    check.__name__, check.__qualname__, check.__module__ = ask.__name__, ask.__qualname__, ask.__module__
    check.__doc__ = inspect.cleandoc(ask.__doc__ or "") + RAISES
    return check
