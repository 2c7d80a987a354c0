"""ES modules that import one another, as one script: a page in a notebook cannot load a second file."""

import re
from collections.abc import Callable

_EXPORT = re.compile(r"^export (?=(?:const|function) (\w+))", re.MULTILINE)
_IMPORT = re.compile(r'^import (\{[^}]*\}|\* as \w+) from "([^"]+)";\n', re.MULTILINE)


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """One script that runs the module `entry` after the modules that it imports, each in a scope of its own.

    Understood are `export const`, `export function`, `import { a, b } from` and `import * as a from`, which is all that
    the explorables use. A module becomes ``const m0 = (() => { …; return { its exports }; })();``.

    Parameters
    ----------
    entry : str
        Path of the module, as `read` takes it.
    read : callable
        From the path of a module to its text. Imports are written relative to the module that holds them.

    Returns
    -------
    str
        The script. Its last line names the exports of `entry`, so that ``eval`` of the script gives them.

    Examples
    --------
    >>> a = 'import { one } from "./b.js";\\nexport const two = one + one;\\n'
    >>> print(bundle("a.js", {"a.js": a, "b.js": "export const one = 1;\\n"}.__getitem__))
    const m0 = (() => {
    const one = 1;
    return { one };
    })();
    const m1 = (() => {
    const { one } = m0;
    const two = one + one;
    return { two };
    })();
    m1;
    """
    names: dict[str, str] = {}
    parts: list[str] = []

    def add(path: str) -> str:
        if path in names:
            return names[path]
        text = read(path)

        def take(match: re.Match[str]) -> str:
            what, source = match[1], add(_resolve(path, match[2]))
            return f"const {what.removeprefix('* as ')} = {source};\n"

        text = _IMPORT.sub(take, text)
        exports = ", ".join(_EXPORT.findall(text))
        names[path] = f"m{len(names)}"
        parts.append(f"const {names[path]} = (() => {{\n{_EXPORT.sub('', text)}return {{ {exports} }};\n}})();")
        return names[path]

    last = add(entry)
    return "\n".join(parts) + f"\n{last};"


def _resolve(path: str, relative: str) -> str:
    """The path of an import such as "./math.js" or "../kit/kit.js" in the module `path`."""
    folders = path.split("/")[:-1]
    for part in relative.split("/"):
        if part == "..":
            folders.pop()
        elif part != ".":
            folders.append(part)
    return "/".join(folders)
