"""A reference page for every public name of `minivae` and of its rooms that users call."""

import importlib
import inspect
from pathlib import Path

ROOMS = {
    "theory": ("distances", "transfer", "locality", "bottleneck", "masking", "conventions", "anchoring", "toy"),
    "plots": (),
    "online": (),
    "explain": (),
    "explorables": (),
}
STATEMENTS = {
    "transfer": "Theorem 2.3 (chapter 04)",
    "locality": "Lemma 2.4 and Theorem 2.5 (chapter 05)",
    "bottleneck": "the β-KL term (chapter 06)",
    "masking": "Theorem 2.6 (chapter 07)",
    "conventions": "masks and input scale (chapter 07)",
    "anchoring": "Propositions 3.1 and 3.2 (chapter 08)",
    "distances": "distances between posteriors (chapter 03)",
    "toy": "a VAE small enough to prove its constants (chapter 04)",
}


def members(module: str) -> list[str]:
    """Public functions and classes of a module, in the order in which they stand in it."""
    found = importlib.import_module(module)
    names = getattr(found, "__all__", None) or [
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    ]
    return [n for n in names if inspect.isfunction(getattr(found, n)) or inspect.isclass(getattr(found, n))]


def directive(module: str, name: str) -> list[str]:
    """What autodoc is asked for: a class with its own public methods, or a function."""
    value = getattr(importlib.import_module(module), name)
    if not inspect.isclass(value):
        return [f".. autofunction:: {module}.{name}", ""]
    methods = [k for k, v in vars(value).items() if not k.startswith("_") and inspect.isfunction(v) and v.__doc__]
    options = [f"   :members: {', '.join(methods)}"] if methods else []
    return [f".. autoclass:: {module}.{name}", *options, ""]


def page(target: Path, module: str, title: str, lead: str) -> None:
    """One reStructuredText page of a module."""
    lines = [title, "=" * len(title), "", lead, ""]
    for name in members(module):
        lines += directive(module, name)
    (target / f"{module}.rst").write_text("\n".join(lines), encoding="utf-8")


def write(target: Path) -> None:
    """All pages, and their list."""
    target.mkdir(parents=True)
    page(target, "minivae", "minivae", "What ``import minivae as mv`` gives.")
    pages = ["minivae"]
    for room, modules in ROOMS.items():
        name = f"minivae.{room}"
        if members(name):
            page(target, name, name, inspect.getdoc(importlib.import_module(name)) or "")
            pages.append(name)
        for module in modules:
            page(target, f"{name}.{module}", f"{name}.{module}", f"Functions of {STATEMENTS[module]}.")
            pages.append(f"{name}.{module}")
    lines = ["# Reference", "", "Every public name, from its docstring.", "", "```{toctree}", *pages, "```", ""]
    (target / "index.md").write_text("\n".join(lines), encoding="utf-8")
