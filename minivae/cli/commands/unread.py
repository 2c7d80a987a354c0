"""Flags that a command would not read beside others: refused, since whoever types one expects it to count."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from minivae.errors import InputError


def given(options: Any, names: Iterable[str]) -> list[str]:
    """Those of the flags that have another value than their default, as they are typed.

    >>> from minivae.cli.flags import Explain
    >>> given(Explain(users=20, epochs=30), ["users", "epochs"])
    ['--users']
    """
    defaults = {f.name: f.default for f in fields(options)}
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) != defaults[name]]


def refuse_unread(options: Any, names: Iterable[str], beside: str, why: str) -> None:
    """Raise `InputError` if one of the flags is given."""
    if flags := given(options, names):
        them = "it" if len(flags) == 1 else "them"
        raise InputError(f"{' and '.join(flags)} cannot go with {beside}: {why}; leave {them} out")
