"""One table for people: typed columns and rows, shown as Markdown, HTML, LaTeX, or on a terminal.

What strangers wrote (names, titles) stays text in each of the four: it is escaped here and nowhere else.
"""

import html
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from minivae.runtime.text import PlainConsole, markdown, visible
from minivae.runtime.widths import Needed, fit

NOTHING = "–"
WIDTH_OF_A_FILE = 10_000  # a table that is piped into a file is neither cut nor folded
LINE_OF_A_FILE = 110  # of a paragraph
_LATEX = str.maketrans(
    {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
    | {
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "−": "$-$",
        "±": r"$\pm$",
        "–": r"\textendash{}",
        "`": r"\textasciigrave{}",
    }
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}
    | {"β": r"$\beta$", "λ": r"$\lambda$", "μ": r"$\mu$", "×": r"$\times$", "…": r"\dots{}"}
)

_LIGATURE = re.compile(r"([-',])(?=\1)")  # two of them would become one other sign


def unstyled(_: str) -> str:
    """No style for any cell."""
    return ""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    header : str
        Its name.
    align : 'left' or 'right'
        The side on which its cells begin; numbers stand to the right.
    show : Callable
        Turns a value into text. A cell that is text already is shown as it is, None as "–".
    style : Callable
        Shown text -> style on a terminal, "" for none.
    wrap : bool
        Whether a narrow terminal may break its cells.
    """

    header: str
    align: Literal["left", "right"] = "left"
    show: Callable[[Any], str] = str
    style: Callable[[str], str] = unstyled
    wrap: bool = True

    def cell(self, value: object) -> str:
        """A value as text."""
        return value if isinstance(value, str) else NOTHING if value is None else self.show(value)


def words(header: str, show: Callable[[Any], str] = str) -> Column:
    """A column of text, to the left."""
    return Column(header, "left", show)


def numbers(header: str, show: Callable[[Any], str] = str) -> Column:
    """A column of numbers, to the right."""
    return Column(header, "right", show)


@dataclass(frozen=True)
class Table:
    """Columns and rows of values, with one value for each column.

    Attributes
    ----------
    columns : tuple of Column
        From left to right.
    rows : tuple of tuple
        From top to bottom.
    title, caption : str
        Shown above and below on a terminal and in a notebook; a report has headings of its own.

    Raises
    ------
    ValueError
        If a row has another number of values.

    Examples
    --------
    >>> table = Table.make([words("model"), numbers("nDCG@100", "{:.3f}".format)], [("a|b", 0.25), ("c", None)])
    >>> print(table.markdown())
    | model | nDCG@100 |
    | --- | ---: |
    | a\\|b | 0.250 |
    | c | – |
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[object, ...], ...]
    title: str = ""
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} values for {len(self.columns)} columns: {row!r}")

    @classmethod
    def make(
        cls, columns: Iterable[Column], rows: Iterable[Sequence[object]], title: str = "", caption: str = ""
    ) -> "Table":
        """A table from any iterables."""
        return cls(tuple(columns), tuple(map(tuple, rows)), title, caption)

    @property
    def header(self) -> list[str]:
        """The names of the columns."""
        return [column.header for column in self.columns]

    def cells(self) -> list[list[str]]:
        """The rows as text, as yet unescaped."""
        return [[c.cell(value) for c, value in zip(self.columns, row, strict=True)] for row in self.rows]

    def markdown(self) -> str:
        """A table of GitHub's Markdown, without its title."""
        rule = ["---:" if column.align == "right" else "---" for column in self.columns]
        escaped = [[markdown(cell) for cell in row] for row in (self.header, *self.cells())]
        return "\n".join(f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:]))

    def html(self) -> str:
        """An element of HTML."""

        def row(tag: str, cells: Sequence[str]) -> str:
            sides = (f' style="text-align:{column.align}"' for column in self.columns)
            shown = (html.escape(visible(cell)) for cell in cells)
            return f"<tr>{''.join(f'<{tag}{side}>{x}</{tag}>' for side, x in zip(sides, shown, strict=True))}</tr>"

        title = f"<caption>{html.escape(visible(self.title))}</caption>\n" if self.title else ""
        body = "\n".join(row("td", cells) for cells in self.cells())
        below = f"\n<p>{html.escape(visible(self.caption))}</p>" if self.caption else ""
        return f"<table>\n{title}<thead>{row('th', self.header)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>{below}"

    def latex(self) -> str:
        """A tabular of LaTeX, for the package booktabs."""
        sides = "".join(column.align[0] for column in self.columns)
        lines = [" & ".join(map(_latex, row)) + r" \\" for row in (self.header, *self.cells())]
        body = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
        return "\n".join([*body, r"\end{tabular}", ""])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What `rich` prints."""
        rows = self.cells()
        title, caption = (Text(visible(t)) if t else None for t in (self.title, self.caption))
        shown = [[visible(text) for text in column] for column in zip(self.header, *rows, strict=True)]
        needed = [Needed.of(of, c.align == "right", c.wrap) for of, c in zip(shown, self.columns, strict=True)]
        widths, tight = fit(needed, options.max_width)
        table = RichTable(title=title, caption=caption, title_style="bold", box=box.SIMPLE_HEAD, show_edge=not tight)
        table.padding = (0, 0) if tight else (0, 1)
        table.title_justify = table.caption_justify = "left"
        for column, width in zip(self.columns, widths, strict=True):
            header = Text(visible(column.header))
            table.add_column(header, justify=column.align, overflow="fold", no_wrap=not column.wrap, width=width)
        for row in rows:
            styled = zip(self.columns, row, strict=True)
            table.add_row(*(Text(visible(cell), column.style(cell)) for column, cell in styled))
        yield table

    def _repr_html_(self) -> str:
        return self.html()


def _latex(text: str) -> str:
    r"""Words in LaTeX; in braces where \\ before them would take them for its argument."""
    escaped = _LIGATURE.sub(r"\1{}", visible(text).translate(_LATEX))
    return f"{{{escaped}}}" if escaped.lstrip().startswith(("[", "*")) else escaped


Part = str | Table
"""A paragraph of Markdown, or a table."""


def as_markdown(parts: Iterable[Part]) -> str:
    """A report in Markdown."""
    return "\n\n".join(part.markdown() if isinstance(part, Table) else part for part in parts) + "\n"


def as_latex(parts: Iterable[Part]) -> str:
    """The tables of a report in LaTeX, each below a comment with its heading."""
    found, heading = [], ""
    for part in parts:
        if isinstance(part, Table):
            found.append(f"% {heading}\n{part.latex()}")
        elif part.startswith("#"):
            heading = visible(part.splitlines()[0].lstrip("# "))
    return "\n".join(["% Needs \\usepackage{booktabs}, and utf8 with the letters of your names.", *found])


def print_table(table: Table, title: str = "") -> None:
    """A table on standard output."""
    screen().print(replace(table, title=title))


def screen(width_of_a_file: int = WIDTH_OF_A_FILE) -> PlainConsole:
    """Standard output: as wide as the terminal, or as COLUMNS says; a file may be as wide as is asked."""
    console = PlainConsole()
    columns = os.environ.get("COLUMNS", "")
    known = console.is_terminal or (columns.isdecimal() and int(columns) > 0)
    return console if known else PlainConsole(width=width_of_a_file)


def print_paragraph(text: str) -> None:
    """Words on standard output, broken between words."""
    width = max(min(screen(LINE_OF_A_FILE).width, LINE_OF_A_FILE), 1)
    print(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))
