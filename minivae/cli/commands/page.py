"""The page that a command leaves in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from minivae.cli.command_lines import command_line
from minivae.runtime.progress import tracked
from minivae.runtime.storage import write_text
from minivae.runtime.table import Part, as_markdown
from minivae.runtime.text import code, markdown
from minivae.study.output import figures
from minivae.study.output.page import to_html
from minivae.study.output.report import figure as in_markdown
from minivae.study.run.results import made


def save_figures(drawn: Mapping[str, Figure], out: Path) -> list[str]:
    """Each as out/NAME.png, .svg and .pdf; returns the names of the PNG files."""
    for name, figure in tracked(drawn.items(), "figures", len(drawn), "figure"):
        figures.save(figure, out, name)
    return [f"{name}.png" for name in drawn]


def write_page(
    title: str,
    parts: Sequence[Part],
    drawn: Mapping[str, Figure],
    words: Mapping[str, tuple[str, str]],
    out: Path,
    name: str,
) -> None:
    """out/NAME.html: the conclusion, how it was made, further parts, and figures with their words."""
    shown = save_figures(drawn, out)
    pictures = [line for f in shown for line in in_markdown(f, *words[f.removesuffix(".png")])]
    conclusion, *rest = parts
    head = [f"# {title}", "## Conclusion", conclusion, code(command_line()), markdown(made())]
    text = as_markdown([*head, *rest, *(["## Figures", *pictures] if pictures else [])])
    write_text(out / f"{name}.html", to_html(text, out, shown))
