"""Command lines as text: what was typed, and what gives the same options or the next step."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tyro

from minivae.cli.flags import TABLE_FIELDS, Info, Study, Tune
from minivae.errors import InputError
from minivae.runtime.portable import portable

NEARLY = 0.75
"""How like a flag a word with two hyphens is that was meant as one."""


def command_line() -> str:
    """What was typed, so that a result says how it was made; without absolute paths."""
    typed = []
    for word in sys.argv[1:]:
        flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        typed.append(f"{flag}{equals}{portable(value)}")
    return shlex.join(["minivae", *typed])


def words(options: Any, changes: Mapping[str, Any] | None = None) -> list[str]:
    """Flags and values that give these options, those with their default left out; without absolute paths.

    >>> words(Study(models="ease", seeds=2), {"seeds": 3})
    ['--models', 'ease', '--seeds', '3']
    """
    positional, named = [], []
    for f in fields(options):
        value = (changes or {}).get(f.name, getattr(options, f.name))
        default = f.default if f.default is not MISSING and f.default is not tyro.MISSING else None
        if value == default or value is None or value is False:
            continue
        several = [portable(str(v)) for v in (value if isinstance(value, tuple) else [value])]
        if f.name == "studies" or (f.name == "data" and default is None and isinstance(options, Info)):
            positional += several
        else:
            named += [f"--{f.name.replace('_', '-')}", *(several if value is not True else [])]
    return [*positional, *named]


def command(options: Any, changes: Mapping[str, Any] | None = None) -> str:
    """The line for the shell that gives these options.

    >>> command(Study(models="ease,multvae+anchor", seeds=3))
    'minivae study --models ease,multvae+anchor --seeds 3'
    """
    name = type(options).__name__.lower()
    return shlex.join(["minivae", name, *words(options, changes)])


def deciding(options: Study, out: Path, changes: Mapping[str, Any], search: Sequence[str]) -> str:
    """The command, or two, after which the conclusions of a study may be drawn.

    More seeds continue the study in its folder; other settings need another folder.
    """
    elsewhere = {"out": out.with_name(f"{out.name}-longer"), "resume": False}
    if search:
        tuned = out.with_name(f"{out.name}-search")
        where = {k: v for k, v in vars(options).items() if k in TABLE_FIELDS | {"preset", "epochs"}}
        first = command(Tune(**where, models=",".join(search), out=tuned))
        return f"{first} && {command(options, {**changes, **elsewhere, 'settings': tuned / 'best.toml'})}"
    same = {"out": out, "resume": True}
    return command(options, {**changes, **(same if set(changes) <= {"seeds"} else elsewhere)})


def after_search(options: Tune, out: Path) -> str:
    """The command that looks at the test users once, with the data of the search and the settings that it chose.

    >>> after_search(Tune(data="debian", heldout=100, trials=5), Path("runs/t"))
    'minivae study --data debian --heldout 100 --settings runs/t/best.toml'
    """
    where = {k: v for k, v in vars(options).items() if k in TABLE_FIELDS | {"preset"}}
    return command(Study(**where, settings=out / "best.toml"))


def labels_apart(argv: Sequence[str], command: type, named: Sequence[str]) -> list[str]:
    """The words of a command with each label behind its own flag, so that a label may begin with a hyphen.

    >>> from minivae.cli.flags import Recommend
    >>> labels_apart(["--items", "-b3", "-x", "-k", "5"], Recommend, ["--items"])
    ['--items=-b3', '--items=-x', '-k', '5']

    Raises
    ------
    InputError
        If no label follows a flag, several follow one that takes one, or if what follows it is nearly another flag.
    """
    several = {f"--{f.name}" for f in fields(command) if isinstance(f.default, tuple)}
    known = {"-k", "-h", "--help", *(f"--{f.name.replace('_', '-')}" for f in fields(command))}
    out: list[str] = []
    flag, empty = "", False  # the flag whose labels are read, and whether it has none yet
    for word in argv:
        if word.partition("=")[0].replace("_", "-") in known:
            _refuse_empty(flag if empty else "", word)
            flag, empty = (word, True) if word in named else ("", False)
            out += [] if flag else [word]
        elif not flag:
            out.append(word)
        else:
            if re.match(r"--\w{3}", word) and (close := get_close_matches(word, known, 1, NEARLY)):
                raise InputError(f"did you mean {close[0]} by {word}? If it is a label, write {flag}={word}")
            if not empty and flag not in several:
                raise InputError(f"{flag} takes one label, {word!r} is one more; put a label with blanks in quotes")
            out.append(f"{flag}={word}")
            empty = False
    _refuse_empty(flag if empty else "", "--LABEL")
    return out


def _refuse_empty(flag: str, word: str) -> None:
    if flag and word not in ("-h", "--help"):
        raise InputError(f"no label follows {flag}; write it behind the flag, or {flag}={word} if it looks like a flag")


def lists_joined(argv: Sequence[str], named: Sequence[str]) -> list[str]:
    """The words of a command; those behind a flag that takes a list with commas are one, whatever stands between them.

    >>> lists_joined(["--models", "ease,", "multvae", "--seeds", "3"], ["--models"])
    ['--models', 'ease,multvae', '--seeds', '3']
    """
    out: list[str] = []
    values: list[str] | None = None  # of the list that is read
    for word in [*argv, "-"]:
        flag, _, value = word.partition("=")
        if values is not None and not word.startswith("-"):
            values.append(word.strip(","))
            continue
        if values:
            out.append(",".join(v for v in values if v))
        values = None
        if flag.replace("_", "-") in named:
            out.append(flag)
            values = [value] if value else []
        else:
            out.append(word)
    return out[:-1]
