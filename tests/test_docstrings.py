"""Every public docstring is read by numpydoc's parser: names fit the signature, types are types and not prose."""

import ast
import builtins
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString

import minivae

PROSE = re.compile(r"\.$|\b(the|of the|is|are|as in|which|where)\b")


def public() -> Iterator[tuple[str, Any]]:
    """Every public function, class and method of the package, by its full name."""
    for info in pkgutil.walk_packages(minivae.__path__, "minivae."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != info.name:
                continue
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{info.name}.{name}", value
            if inspect.isclass(value):
                for key, method in vars(value).items():
                    if not key.startswith("_") and inspect.isfunction(method):
                        yield f"{info.name}.{name}.{key}", method


def faults(value: Any, doc: str) -> list[str]:
    """What a reader of the rendered reference would stumble over."""
    parsed, found = NumpyDocString(inspect.cleandoc(doc)), []
    known = set()
    if callable(value):
        try:
            known = set(inspect.signature(value).parameters)
        except ValueError:
            known = set()
    for section in ("Parameters", "Attributes", "Returns"):
        for entry in parsed[section]:
            if not entry.type.strip():
                found.append(f"{section}: {entry.name!r} has no type")
            elif PROSE.search(entry.type):
                found.append(f"{section}: prose stands in the type of {entry.name!r}: {entry.type!r}")
            if section == "Parameters" and known:
                names = {n.strip().lstrip("*") for n in entry.name.split(",")}
                if strangers := names - known:
                    found.append(f"{section}: {sorted(strangers)} are not in the signature")
    return found


def test_public_docstrings_parse():
    items = dict(public())
    assert len(items) > 250
    found = [f"{name}: {fault}" for name, value in items.items() if (d := value.__doc__) for fault in faults(value, d)]
    assert not found, "\n".join(found)


def test_every_public_function_and_class_says_what_it_is():
    missing = [name for name, value in public() if not inspect.getdoc(value)]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    "twin",
    [
        "One line.\n\nParameters\n----------\nx : of the sample and all draws.\n",
        "One line.\n\nParameters\n----------\ny : int\n    Not an argument.\n",
        "One line.\n\nParameters\n----------\nx\n    No type.\n",
    ],
)
def test_the_check_rejects(twin):
    """Broken twins: prose in the type, a name that is no argument, no type."""

    def f(x: int) -> None: ...

    assert faults(f, twin)


def test_no_docstring_has_sections_out_of_numpydoc():
    """A section's underline is as long as its name: what the parser does not know it takes for prose."""
    for info in pkgutil.walk_packages(minivae.__path__, "minivae."):
        source = inspect.getsource(importlib.import_module(info.name)) if not info.name.endswith("__main__") else ""
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (doc := ast.get_docstring(node)):
                for title, line in re.findall(r"^(\w+)\n(-{3,})$", doc, flags=re.M):
                    assert len(title) == len(line), f"{info.name}: {title}"


def wrong_defaults(value: Any, doc: str) -> list[str]:
    """Defaults that a docstring gives and that the signature has otherwise; a name is looked up in the module."""
    parsed, given = NumpyDocString(inspect.cleandoc(doc)), inspect.signature(value).parameters
    found = []
    for entry in (*parsed["Parameters"], *parsed["Attributes"]):
        said = re.search(r", default (.+)$", entry.type)
        for name in (n.strip() for n in entry.name.split(",")) if said else ():
            if name not in given:
                continue
            try:
                expected = ast.literal_eval(said[1])
            except (ValueError, SyntaxError):
                expected = eval(said[1].strip("`"), vars(importlib.import_module(value.__module__)))
            if given[name].default != expected:
                found.append(f"{name} is {given[name].default!r} if not given, and the docstring says {said[1]}")
    return found


def test_defaults_are_those_that_the_docstrings_say():
    counted, found = 0, []
    for name, value in public():
        if (doc := value.__doc__) and ", default " in doc:
            counted += 1
            found += [f"{name}: {fault}" for fault in wrong_defaults(value, doc)]
    assert counted > 60
    assert not found, "\n".join(found)


def test_a_default_that_has_changed_is_seen():
    def twin(k: int = 20, users: int = PROSE.groups, name: str = "x") -> None:
        """One line.

        Parameters
        ----------
        k : int, default 10
        users : int, default PROSE.groups
        name : str, default "x"
        """

    assert wrong_defaults(twin, twin.__doc__ or "") == ["k is 20 if not given, and the docstring says 10"]


# --- names that a docstring gives ------------------------------------------------------------------------------------

FULL = re.compile(r"\bminivae(?:\.[A-Za-z_]\w*)+")
QUOTED = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\(\))?`(?!`)")  # in single backticks: a reference
FILES = ("py", "js", "svg", "toml", "jsonl", "safetensors")


def modules() -> dict[str, ModuleType]:
    names = [i.name for i in pkgutil.walk_packages(minivae.__path__, "minivae.") if not i.name.endswith("__main__")]
    return {name: importlib.import_module(name) for name in ("minivae", *names)}


def defined(tree: ast.AST) -> set[str]:
    """What a module gives a name to: modules and names it imports, functions, classes, variables, attributes."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                names |= {part for a in node.names for part in (a.asname or a.name).split(".")}
            case ast.FunctionDef():
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                names |= {node.name, *(a.arg for a in arguments)}
            case ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Attribute(ctx=ast.Store()):
                names.add(node.attr)
    return names


def unknown(doc: str, index: set[str]) -> list[str]:
    """References of a docstring that lead nowhere, or to a place that has moved."""
    found = []
    for name in FULL.findall(doc):
        parts = name.split(".")
        for k in range(len(parts), 0, -1):
            try:
                at = importlib.import_module(".".join(parts[:k]))
            except ImportError:
                continue
            moved = at.__name__ != ".".join(parts[:k])
            for part in parts[k:]:
                at = getattr(at, part, None)
            if moved or at is None:
                found.append(name)
            break
    for name in QUOTED.findall(doc):
        parts = name.split(".")
        looks_like_one = len(parts) > 1 or "_" in name.strip("_") or re.search("[a-z][A-Z]", name)
        if looks_like_one and parts[0] not in ("minivae", "mv") and parts[-1] not in FILES:
            strangers = {parts[0], parts[-1]} - index if parts[0] not in LIBRARIES else set()
            found += [name] if strangers else []
    return found


LIBRARIES = ("torch", "nn", "np", "sp", "time")
TREES = {name: ast.parse(inspect.getsource(module)) for name, module in modules().items()}
KNOWN = {*dir(builtins), *(part for name in TREES for part in name.split("."))}.union(*map(defined, TREES.values()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_name_that_a_docstring_gives_is_there():
    found = []
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and module != "minivae.runtime.moved":
                found += [f"{module}: {name}" for name in unknown(ast.get_docstring(node) or "", KNOWN)]
    assert not found, "\n".join(found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "twin",
    [
        "minivae.theory.no_such_module.gradients",
        "minivae.theory.transfer.no_such_function",
        "minivae.population",  # an old name, which answers with a warning
        "`no_such_function`",
        "`NoSuchClass`",
        "`Sharing.no_such_attribute`",
    ],
)
def test_a_name_that_leads_nowhere_is_seen(twin):
    assert unknown(f"As in {twin}.", KNOWN)
    assert not unknown(
        "As in `minivae.theory.transfer.sharing`, `Sharing.z`, `kl_decomposition` and `torch.topk`.", KNOWN
    )
