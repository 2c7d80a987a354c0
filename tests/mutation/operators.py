"""Single errors that can be planted in a Python source: each is one small change of its syntax tree.

A mutant keeps the line numbers of the original, so that a function of it can take the place of the original's.
Docstrings and the messages of errors are left alone. In other texts, those of reports and verdicts, a word gives way to
its opposite, and what an f-string computes is changed like any other expression.
"""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from tests.mutation.exchanges import exchanges
from tests.mutation.words import falsified

ARITHMETIC: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
COMPARISON: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
OPPOSITES = (
    *(("min", "max"), ("amin", "amax"), ("minimum", "maximum"), ("clamp_min", "clamp_max"), ("argmin", "argmax")),
    *(("any", "all"), ("cos", "sin"), ("floor", "ceil"), ("mean", "sum"), ("std", "var"), ("low", "high")),
    *(("exp", "expm1"), ("cumsum", "cumprod"), ("nanmean", "nansum"), ("lower", "upper"), ("mT", "mH")),
    *(("PROVED", "MEASURED"), ("EXACT", "BOUND"), ("zeros", "ones"), ("zeros_like", "ones_like")),
)
OTHER = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])} | {"mT": "contiguous"}
STATUSES = {"proved": "measured", "measured": "proved", "exact": "bound holds", "bound holds": "exact"}
DROPPABLE = {"sqrt", "square", "abs", "clamp_min", "clamp", "clip", "log", "exp", "mT", "T", "double", "sort"}
REDUCTIONS = {"sum", "mean", "std", "var", "min", "max", "amin", "amax", "argmin", "argmax", "any", "all", "cumsum"}
AXES = {"dim", "axis", "dim1", "dim2"}
FREEDOM = {"ddof", "correction", "unbiased"}
SPREADS = {"std", "var"}


@dataclass(frozen=True)
class Mutant:
    """One planted error.

    Attributes
    ----------
    line : int
        Of the change, from 1.
    what : str
        The change in words.
    build : Callable[[], ast.Module]
        Makes the whole module with it.
    """

    line: int
    what: str
    build: Callable[[], ast.Module]


def mutants(source: str) -> list[Mutant]:
    """Every single error that the operators can plant in a source, in the order of its lines."""
    tree = ast.parse(source)
    found = [
        Mutant(getattr(node, "lineno", 0), what, partial(_planted, tree, path, node, new))
        for path, node in _walk(tree, ())
        for what, new in _variants(node, path, tree)
    ]
    return _told_apart(sorted(found, key=lambda m: (m.line, m.what)))


def _told_apart(found: list[Mutant]) -> list[Mutant]:
    """Of errors in one line that read alike, the second and later ones say which they are: results go by the words."""
    seen: Counter[tuple[int, str]] = Counter()
    apart = []
    for m in found:
        seen[m.line, m.what] += 1
        nth = seen[m.line, m.what]
        apart.append(m if nth == 1 else replace(m, what=f"{m.what}, place {nth}"))
    return apart


def _planted(tree: ast.Module, path: "Path", old: ast.AST, new: ast.AST) -> ast.Module:
    """A copy of the module in which one node is another."""
    changed = copy.deepcopy(tree)
    place, step = _at(changed, path[:-1]), path[-1]
    new = ast.copy_location(copy.deepcopy(new), old)
    if isinstance(step, tuple):
        getattr(place, step[0])[step[1]] = new
    else:
        setattr(place, step, new)
    return ast.fix_missing_locations(changed)


Path = tuple[str | tuple[str, int], ...]


def _walk(node: ast.AST, path: Path) -> Iterator[tuple[Path, ast.AST]]:
    """Nodes that count, with the way to them from the root."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        children = [((name, k), c) for k, c in enumerate(value)] if isinstance(value, list) else [(name, value)]
        for step, child in children:
            if isinstance(child, ast.AST) and not _for_people(child):
                yield (*path, step), child
                yield from _walk(child, (*path, step))


def _for_people(node: ast.AST) -> bool:
    """Docstrings, messages of errors, imports, lists of exported names, what only type checkers read."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Raise, ast.Assert)):
        return True
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    names = [ast.unparse(t) for t in getattr(node, "targets", [])]
    return names == ["__all__"]


def _at(tree: ast.AST, path: Path) -> ast.AST:
    for step in path:
        tree = getattr(tree, step[0])[step[1]] if isinstance(step, tuple) else getattr(tree, step)
    return tree


def _variants(node: ast.AST, path: Path, tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    yield from ((f"{_show(node)}: {what}", new) for what, new in exchanges(node))
    match node:
        case ast.BinOp(left, op, right):
            for other in ARITHMETIC.get(type(op), ()):
                yield f"{_show(node)} with {other.__name__}", ast.BinOp(left, other(), right)
            if isinstance(op, (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult)):
                yield f"{_show(node)} → {_show(left)}", left
            if isinstance(op, (ast.Add, ast.Mult)):
                yield f"{_show(node)} → {_show(right)}", right
        case ast.AugAssign(target, op, value):
            for other in ARITHMETIC.get(type(op), ()):
                yield f"{_show(node)} with {other.__name__}", ast.AugAssign(target, other(), value)
            yield f"{_show(node)} deleted", ast.Pass()
        case ast.Compare(left, ops, right):
            for k, op in enumerate(ops):
                place = f" in place {k}" if len(ops) > 1 else ""
                for other in COMPARISON.get(type(op), ()):
                    changed = [*ops[:k], other(), *ops[k + 1 :]]
                    yield f"{_show(node)} with {other.__name__}{place}", ast.Compare(left, changed, right)
        case ast.BoolOp(op, values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"{_show(node)}: and ↔ or", ast.BoolOp(other, values)
            for k in range(len(values)):
                rest = values[:k] + values[k + 1 :]
                yield f"{_show(node)} without {_show(values[k])}", rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield f"{_show(node)} → {_show(operand)}", operand
        case ast.Constant(bool() as value):
            yield f"{value} → {not value}", ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield from _numbers(value, path)
        case ast.Constant(str() as value) if value in STATUSES:
            yield f"{value!r} → {STATUSES[value]!r}", ast.Constant(STATUSES[value])
        case ast.Constant(str() as value):
            yield from ((what, ast.Constant(text)) for what, text in falsified(value))
        case ast.Call():
            yield from _calls(node)
        case ast.Attribute(value, attr) if not isinstance(_at(tree, path[:-1]), ast.Call) and attr in DROPPABLE:
            yield f"{_show(node)} → {_show(value)}", value
        case ast.Name(name, ast.Load()) if name in OTHER and name.isupper():
            yield f"{name} → {OTHER[name]}", ast.Name(OTHER[name], ast.Load())
        case ast.Subscript(value, ast.Constant(str() as key), ast.Load()):
            yield from _keys(value, key, path, tree)
        case ast.Slice(lower, upper, step):
            if lower is not None and not isinstance(lower, ast.Constant):
                yield f"slice {_show(node)}: one later", ast.Slice(_plus(lower), upper, step)
            if upper is not None and not isinstance(upper, ast.Constant):
                yield f"slice {_show(node)}: one more", ast.Slice(lower, _plus(upper), step)
        case ast.IfExp(test, body, orelse):
            yield f"{_show(node)}: branches exchanged", ast.IfExp(test, orelse, body)
        case ast.If(test, body, orelse):
            yield f"if {_show(test)}: negated", ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
            if not orelse:
                yield f"if {_show(test)}: deleted", ast.Pass()
        case ast.Expr(ast.Call()):
            yield f"{_show(node)} deleted", ast.Pass()
        case ast.Assign([ast.Subscript() | ast.Attribute()]):
            yield f"{_show(node)} deleted", ast.Pass()
        case ast.Continue() | ast.Break():
            yield f"{_show(node)} deleted", ast.Pass()
        case ast.Return(ast.Name(name)):
            for earlier in _assigned_before(node, path, tree):
                if earlier != name:
                    yield f"return {name} → {earlier}", ast.Return(ast.Name(earlier, ast.Load()))


def _plus(value: ast.expr) -> ast.expr:
    return ast.BinOp(value, ast.Add(), ast.Constant(1))


def _numbers(value: float, path: Path) -> Iterator[tuple[str, ast.AST]]:
    axis = isinstance(value, int) and path and path[-1] in (("args", 0), ("elts", 0), ("elts", 1), "slice")
    if value + 1 != value:
        yield f"{value!r} → {value + 1!r}", ast.Constant(value + 1)
    if value not in (0, 1) and not axis:
        yield f"{value!r} → {value * 2!r}", ast.Constant(value * 2)
    if value and isinstance(value, float):
        yield f"{value!r} → {value * 1e6!r}", ast.Constant(value * 1e6)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in OTHER:
        func = copy.copy(node.func)
        setattr(func, "attr" if isinstance(func, ast.Attribute) else "id", OTHER[name])
        yield f"{_show(node)} with {OTHER[name]}", ast.Call(func, node.args, node.keywords)
    if isinstance(node.func, ast.Attribute) and name in DROPPABLE:
        module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("torch", "np", "math")
        if not module:
            yield f"{_show(node)} → {_show(node.func.value)}", node.func.value
        elif node.args:
            yield f"{_show(node)} → {_show(node.args[0])}", node.args[0]
    match node.args:
        case [ast.Constant(0 | 1 as axis)] if name in REDUCTIONS and isinstance(node.func, ast.Attribute):
            yield f"{_show(node)} over the other axis", ast.Call(node.func, [ast.Constant(1 - axis)], node.keywords)
        case [*start, stop] if name == "range" and len(start) < 2:
            yield f"{_show(node)}: one more", ast.Call(node.func, [*start, _plus(stop)], node.keywords)
    if name in SPREADS and not FREEDOM & {k.arg for k in node.keywords}:
        fewer = [*node.keywords, ast.keyword("correction", ast.Constant(2))]
        yield f"{_show(node)} with correction=2", ast.Call(node.func, node.args, fewer)
    for k, keyword in enumerate(node.keywords):
        if keyword.arg in AXES | FREEDOM and isinstance(keyword.value, ast.Constant):
            value = keyword.value.value
            other = (not value) if isinstance(value, bool) else (0 if value else 1)
            changed = [*node.keywords[:k], ast.keyword(keyword.arg, ast.Constant(other)), *node.keywords[k + 1 :]]
            yield f"{_show(node)} with {keyword.arg}={other}", ast.Call(node.func, node.args, changed)


def _keys(value: ast.expr, key: str, path: Path, tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Another string key that the same function reads from a mapping."""
    function = _function(path, tree)
    others = sorted(
        {
            n.slice.value
            for n in ast.walk(function)
            if isinstance(n, ast.Subscript) and isinstance(n.slice, ast.Constant) and isinstance(n.slice.value, str)
        }
        - {key}
    )
    for other in others[:2]:
        yield f"[{key!r}] → [{other!r}]", ast.Subscript(value, ast.Constant(other), ast.Load())


def _function(path: Path, tree: ast.Module) -> ast.AST:
    """Innermost function around a place, else the module."""
    inner, node = tree, tree
    for step in path[:-1]:
        node = _at(node, (step,))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = node
    return inner


def _assigned_before(node: ast.stmt, path: Path, tree: ast.Module) -> list[str]:
    names = [
        n.id
        for n in ast.walk(_function(path, tree))
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.lineno < node.lineno
    ]
    return sorted(set(names))[:2]


def _show(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "…"
