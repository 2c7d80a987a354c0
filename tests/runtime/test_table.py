"""A table keeps its words in Markdown, HTML, LaTeX and on a terminal, whatever strangers write into it."""

import io
import re
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import rich.box
import rich.table
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from minivae.runtime import table as module
from minivae.runtime.table import Column, Table, as_latex, as_markdown, numbers, print_paragraph, print_table, words
from minivae.runtime.text import PlainConsole, visible
from minivae.runtime.widths import Needed

HOSTILE = st.text(st.sampled_from("ab 1|\\`*_[]{}<>&%$#~^!\"'-−±–βλ×…/=+\n\t\x1b\u202e\u200b"), max_size=12)
SOME = [
    "\\\\[2cm]",
    "[x]",
    "* a",
    "{\\bf x}",
    "$x$ % y",
    "<b>&amp;</b>",
    "a|b",
    "![x](y)",
    "[red]x[/red]",
    "--",
    ":x:",
    "\\",
]
CELLS = HOSTILE | st.sampled_from(SOME)
TABLES = st.tuples(CELLS, CELLS, st.lists(st.tuples(CELLS, CELLS), max_size=3)).map(
    lambda t: Table.make([words(t[0]), numbers(t[1])], t[2])
)


def flat(text):
    """Words as a reader sees them: spaces at the ends and in a row count for nothing."""
    return " ".join(visible(text).split())


def wanted(table):
    return [[flat(cell) for cell in row] for row in (table.header, *table.cells())]


class Cells(HTMLParser):
    """The rows of cells of a page; any other element than those of a table is an error."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.rows = []

    def handle_starttag(self, tag, attrs):
        assert tag in ("table", "thead", "tbody", "tr", "th", "td"), tag
        assert all(name == "style" and re.fullmatch(r"text-align:(left|right)", value) for name, value in attrs)
        self.rows += [[]] if tag == "tr" else []
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if data.strip():
            self.rows[-1][-1] += data


def of_html(text):
    parser = Cells()
    parser.feed(text)
    parser.close()
    return [[" ".join(cell.split()) for cell in row] for row in parser.rows]


def of_markdown(text):
    return of_html(MarkdownIt("commonmark").enable("table").render(text))


LETTERS = {r"\textasciitilde": "~", r"\textasciicircum": "^", r"\textbackslash": "\\", r"\textless": "<"}
LETTERS |= {
    r"\textgreater": ">",
    r"\textbar": "|",
    r"\textquotedbl": '"',
    r"\dots": "…",
    r"\textendash": "–",
    r"\textasciigrave": "`",
}
MATHS = {"-": "−", r"\pm": "±", r"\beta": "β", r"\lambda": "λ", r"\mu": "μ", r"\times": "×"}


def of_latex(text):
    """The cells of a tabular, read as TeX reads them: every character with a meaning must be one of those allowed."""
    lines = text.splitlines()
    assert re.fullmatch(r"\\begin\{tabular\}\{[lr]+\}", lines[0])
    assert (lines[1], lines[3], *lines[-2:]) == (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}")
    rows = []
    for line in (lines[2], *lines[4:-2]):
        cells, at, depth, start = [""], 0, 0, True
        while at < len(line):
            rest = line[at:]
            if rest == r"\\":
                rows.append([" ".join(cell.split()) for cell in cells])
                start, at = True, at + 2
                continue
            assert not (start and rest.lstrip()[:1] in ("[", "*") and rest.lstrip()), "an argument of the row before"
            start = False
            if m := re.match(r"(\\[a-z]+)\{\}", rest):
                cells[-1] += LETTERS[m[1]]
            elif m := re.match(r"\$([^$]+)\$", rest):
                cells[-1] += MATHS[m[1]]
            elif m := re.match(r"\\([&%$#_{}])", rest):
                cells[-1] += m[1]
            elif m := re.match(r"\{\}", rest):
                pass
            elif m := re.match(r"&", rest):
                assert depth == 0
                cells.append("")
            elif m := re.match(r"[{}]", rest):
                depth += 1 if m[0] == "{" else -1
            else:
                m = re.match(r"(?!--|''|,,)[^\\&%$#_{}~^<>|\"`]", rest)
                assert m, rest
                cells[-1] += m[0]
            at += len(m[0])
        assert depth == 0
    assert len(rows) == len(lines) - 5
    return rows


def of_terminal(table):
    console = PlainConsole(width=400, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


@settings(max_examples=150)
@given(table=TABLES)
def test_html_holds_the_words_and_no_element_of_theirs(table):
    assert of_html(table.html()) == wanted(table)


@settings(max_examples=150)
@given(table=TABLES)
def test_markdown_holds_the_words_and_no_mark_of_theirs(table):
    assert of_markdown(table.markdown()) == wanted(table)


@settings(max_examples=150)
@given(table=TABLES)
def test_latex_holds_the_words_and_no_command_of_theirs(table):
    assert of_latex(table.latex()) == wanted(table)


@settings(max_examples=100)
@given(table=TABLES)
def test_a_terminal_shows_the_words_and_obeys_none(table):
    shown = of_terminal(table)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    flattened = " ".join(shown.split())
    for row in wanted(table):
        assert all(cell in flattened for cell in row)


@pytest.mark.parametrize(
    ("broken", "read", "cell"),
    [("visible", of_html, "\n<b>"), ("markdown", of_markdown, "a|b"), ("_latex", of_latex, "50 % & more")],
)
def test_a_table_without_its_escape_is_caught(monkeypatch, broken, read, cell):
    table = Table.make([words("a"), words("b")], [(cell, "c")])
    shown = {of_html: Table.html, of_markdown: Table.markdown, of_latex: Table.latex}[read]
    assert read(shown(table)) == wanted(table)
    monkeypatch.setattr(module, broken, str)
    if broken == "visible":
        monkeypatch.setattr(module.html, "escape", str)
    with suppress(AssertionError, KeyError, IndexError):
        assert read(shown(table)) == wanted(table)
        pytest.fail("the unescaped table was read as the escaped one")


def test_values_are_shown_by_their_column_and_text_as_it_is():
    table = Table.make([words("a"), numbers("b", "{:.1%}".format)], [("x", 0.125), (None, None), (3, "all")])
    assert table.cells() == [["x", "12.5%"], ["–", "–"], ["3", "all"]]
    assert "| --- | ---: |" in table.markdown()
    assert r"\begin{tabular}{lr}" in table.latex()


def test_a_row_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        Table.make([words("a"), words("b")], [("x",)])


def test_a_style_colours_the_terminal_alone():
    table = Table.make([Column("a", style=lambda cell: "red" if cell == "bad" else "")], [("bad",), ("good",)])
    console = PlainConsole(width=40, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(table)
    shown = console.file.getvalue()
    assert "\x1b[31mbad" in shown
    assert "\x1b[31mgood" not in shown
    assert "bad" in table.html()
    assert "red" not in table.html()


def test_a_report_is_paragraphs_and_tables_and_its_tables_alone_are_latex():
    table = replace(Table.make([words("a")], [("x",)]), title="not in a report")
    parts = ["# One_1", "Some words.", table, "## Two", table]
    assert as_markdown(parts) == "# One_1\n\nSome words.\n\n| a |\n| --- |\n| x |\n\n## Two\n\n| a |\n| --- |\n| x |\n"
    latex = as_latex(parts)
    assert latex.count(r"\begin{tabular}") == 2
    assert latex.index("% One_1") < latex.index("% Two")
    assert "Some words" not in latex


WORDS = st.text(st.sampled_from("abcé-+.,012"), min_size=1, max_size=16)
PROSE = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
NUMBERS = st.from_regex(r"[−+]?\d{1,3}(,\d{3}){0,2}( ± \.\d{2})?", fullmatch=True)


@st.composite
def wide_tables(draw):
    """Names, prose and numbers, in any number of columns."""
    kinds = draw(st.lists(st.sampled_from([WORDS, PROSE, NUMBERS]), min_size=1, max_size=8))
    n = draw(st.integers(1, 4))
    columns = [(numbers if kind is NUMBERS else words)(draw(WORDS)) for kind in kinds]
    return Table.make(columns, [[draw(kind) for kind in kinds] for _ in range(n)])


def shown_at(width, table):
    console = PlainConsole(width=width, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text().splitlines()


def whole_words(lines, table):
    """Whether every word of every cell stands in some line."""
    there = {word for line in lines for word in line.split()}
    return {word for row in (table.header, *table.cells()) for cell in row for word in cell.split()} <= there


def least(table):
    """The narrowest screen for whole words, and numbers with what belongs to them on one line."""
    columns = zip(table.header, *table.cells(), strict=True)
    of = [Needed.of(cells, c.align == "right", c.wrap) for cells, c in zip(columns, table.columns, strict=True)]
    return sum(c.least for c in of) + len(of) - 1


@settings(max_examples=200)
@given(table=wide_tables(), width=st.integers(20, 120))
def test_a_narrow_screen_breaks_no_word_that_it_has_room_for(table, width):
    lines = shown_at(width, table)
    if least(table) <= width:
        assert whole_words(lines, table)
        assert max(map(cell_len, lines)) <= width
    if (
        sum(map(max, zip(*([cell_len(c) for c in row] for row in (table.header, *table.cells())), strict=True)))
        + (3 * len(table.columns) + 1)
        <= width
    ):
        assert len(lines) == len(table.rows) + 4  # nothing is folded


def test_the_check_of_whole_words_sees_rich_alone_break_them():
    """Twin: without widths of ours, rich cuts names and numbers though they would fit."""
    table = Table.make(
        [words("model"), *(numbers(f"column of numbers {k}") for k in range(6))],
        [["multvae+anchor", *["1,240,764"] * 6]],
    )
    assert whole_words(shown_at(80, table), table)
    alone = rich.table.Table(*table.header, box=rich.box.SIMPLE_HEAD)
    alone.add_row(*table.cells()[0])
    assert not whole_words(shown_at(80, alone), table)


def test_a_file_has_whole_lines_unless_columns_are_asked_for(capsys, monkeypatch):
    table = Table.make([words("a"), words("b")], [["long words " * 20, "more " * 30]])
    print_table(table)
    assert max(map(len, capsys.readouterr().out.splitlines())) > 300
    monkeypatch.setenv("COLUMNS", "80")
    print_table(table)
    print_paragraph("some more words " * 20)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 12


@pytest.mark.parametrize("columns", ["0", "-3", "many"])
def test_a_width_that_is_none_is_not_followed(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    print_paragraph("one two")
    assert capsys.readouterr().out == "one two\n"
