"""The score of a room: killed, equivalent, and the survivors line by line."""

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.mutation.rooms import ROOT

EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def last(log: Path) -> list[dict[str, Any]]:
    """The last result of every mutant of a log; one that waits to be imported afresh has none."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    found = {(r["file"], r["line"], r["what"]): r for r in rows}
    return [r for r in found.values() if r["result"] != "afresh"]


def equivalents() -> set[tuple[str, str, str]]:
    """Survivors that change nothing that anybody could notice: file, line as it stands there, and what changes."""
    kept = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("mutant", [])
    return {(m["file"], m["line"], m["what"]) for m in kept}


def summary(log: Path) -> str:
    """Markdown: the score of every file and the survivors that nobody has explained."""
    known = equivalents()
    lines = ["| file | mutants | killed | equivalent | survived | score |", "|---|---:|---:|---:|---:|---:|"]
    left, total = [], Counter()
    files: dict[str, list[dict[str, Any]]] = {}
    for row in last(log):
        files.setdefault(row["file"], []).append(row)
    for file, rows in sorted(files.items()):
        count = Counter()
        source = (ROOT / file).read_text(encoding="utf-8").splitlines() if (ROOT / file).exists() else []
        for row in rows:
            text = source[row["line"] - 1].strip() if row["line"] <= len(source) else ""
            same = row["result"] == "survived" and (file, text, row["what"]) in known
            count["equivalent" if same else "survived" if row["result"] == "survived" else "killed"] += 1
            if row["result"] == "survived" and not same:
                left.append(f"- `{file}:{row['line']}` {row['what']} ({row['tests']} tests ran)")
        total += count
        lines.append(_line(file, count))
    lines.append(_line("all", total))
    return "\n".join([f"## {log.stem}", "", *lines, "", *left, ""])


def _line(name: str, count: Counter) -> str:
    n = count.total()
    share = count["killed"] / max(n - count["equivalent"], 1)
    return f"| {name} | {n} | {count['killed']} | {count['equivalent']} | {count['survived']} | {share:.0%} |"
