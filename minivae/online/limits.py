"""Arguments out of range, in one sentence."""

from minivae.errors import InputError


def check(name: str, value: object, good: bool, rule: str) -> None:
    """Refuse an argument that does not keep its rule."""
    if not good:
        raise InputError(f"{name}={value!r} is not possible; it must be {rule}")
