"""A reference page for every public name of `minivae` and of its rooms that users call."""

import importlib
import inspect
from pathlib import Path

ROOMS = {
    "theory": (
        "distances",
        "transfer",
        "locality",
        "bottleneck",
        "masking",
        "conventions",
        "anchoring",
        "toy",
        "mean_square",
        "merging",
        "smoothing",
        "gauge",
        "ambiguity",
        "optimiser_steps",
    ),
    "plots": (),
    "online": (),
    "explain": (),
    "explorables": (),
}
PAPER = "https://arxiv.org/abs/2511.06781"
STATEMENTS = {  # what a module is about, whether the paper states it, and the chapter that teaches it, if one does
    "distances": ("Distances between posteriors", True, "03_latent_geometry"),
    "transfer": ("Theorem 2.3", True, "04_sharing_radius"),
    "locality": ("Lemma 2.4 and Theorem 2.5", True, "05b_compromise_gap"),
    "bottleneck": ("The β-KL term", True, "06_beta_kl"),
    "masking": ("Theorem 2.6", True, "07_masking"),
    "conventions": ("Masks and the scale of the input", False, "07_masking"),
    "anchoring": ("Propositions 3.1 and 3.2", True, "08_anchors"),
    "toy": ("A VAE small enough to prove its constants", False, "04_sharing_radius"),
    "mean_square": ("Contraction of all users in the mean square", False, ""),
    "merging": ("When two users fall together under β-KL", False, "05b_compromise_gap"),
    "smoothing": ("The anchor loss as smoothing over shared items", False, "13_when_anchors_help"),
    "optimiser_steps": ("Theorem 2.3 for batches and for Adam", False, ""),
    "ambiguity": ("Proposition 3.2 for an encoder without limits", False, "08_anchors"),
    "gauge": ("The scale of the latent space, which the anchor loss alone sees", False, ""),
}


def lead(module: str) -> str:
    """The first sentence of a module's page: what it is about, where the paper states it, where it is taught."""
    about, stated, chapter = STATEMENTS[module]
    where = f"of `the paper <{PAPER}>`_" if stated else "(not in the paper)"
    taught = f"; taught in :doc:`chapter {chapter.partition('_')[0]} </course/{chapter}>`" if chapter else ""
    return f"{about} {where}{taught}."


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
    """What autodoc is asked for: a class with its own documented members, or a function."""
    if not inspect.isclass(getattr(importlib.import_module(module), name)):
        return [f".. autofunction:: {module}.{name}", ""]
    return [f".. autoclass:: {module}.{name}", "   :members:", ""]


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
            page(target, f"{name}.{module}", f"{name}.{module}", lead(module))
            pages.append(f"{name}.{module}")
    entries = [f"{name.removeprefix('minivae.')} <{name}>" for name in pages]
    lines = [
        "# Reference",
        "",
        "Every public name, from its docstring.",
        "",
        "```{toctree}",
        ":maxdepth: 2",
        "",
        *entries,
        "```",
        "",
    ]
    (target / "index.md").write_text("\n".join(lines), encoding="utf-8")
