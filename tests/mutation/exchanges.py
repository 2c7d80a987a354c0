"""Two things that stand beside each other change places: so the number of one model gets into the row of another."""

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

SYMMETRIC = {"min", "max", "minimum", "maximum", "equal", "array_equal", "add"}


def exchanges(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What was exchanged and the new syntax: arguments, targets, results, values of a dict, values in a text.

    Examples
    --------
    >>> node = ast.parse("f'{a} beats {b}'", mode="eval").body
    >>> [(what, ast.unparse(new)) for what, new in exchanges(node)]
    [('values 1 and 2 exchanged', "f'{b} beats {a}'")]
    """
    match node:
        case ast.Call(func, args, keywords):
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if len(args) > 1 and name not in SYMMETRIC and _exchangeable(args[:2]):
                yield "first two arguments exchanged", ast.Call(func, [args[1], args[0], *args[2:]], keywords)
            if len(args) > 2 and _exchangeable(args[-2:]):
                yield "last two arguments exchanged", ast.Call(func, [*args[:-2], args[-1], args[-2]], keywords)
            match keywords:
                case [ast.keyword(str(a), x), ast.keyword(str(b), y), *rest] if _differ(x, y):
                    changed = [ast.keyword(a, y), ast.keyword(b, x), *rest]
                    yield f"{a} and {b} exchanged", ast.Call(func, args, changed)
        case ast.Tuple([a, b, *rest], ast.Store() as store) if _differ(a, b):
            yield "first two exchanged", ast.Tuple([b, a, *rest], store)
        case ast.Return(ast.Tuple([a, b, *rest], load)) if _differ(a, b):
            yield "first two exchanged", ast.Return(ast.Tuple([b, a, *rest], load))
        case ast.Dict(keys, [a, b, *rest]) if None not in keys and _differ(a, b):
            yield "first two values exchanged", ast.Dict(keys, [b, a, *rest])
        case ast.JoinedStr(values):
            shown = [k for k, v in enumerate(values) if isinstance(v, ast.FormattedValue)]
            for nth, (k, m) in enumerate(pairwise(shown), start=1):
                if _differ(values[k], values[m]):
                    changed = [values[{k: m, m: k}.get(at, at)] for at in range(len(values))]
                    yield f"values {nth} and {nth + 1} exchanged", ast.JoinedStr(changed)


def _exchangeable(args: Sequence[ast.expr]) -> bool:
    return _differ(*args) and not any(isinstance(a, (ast.Starred, ast.Constant)) for a in args)


def _differ(a: ast.AST, b: ast.AST) -> bool:
    return ast.dump(a) != ast.dump(b)
