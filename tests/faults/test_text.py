"""Names and titles of strangers, and outputs that cannot take every character, or any."""

import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import minivae as mv
from minivae.cli.main import main
from minivae.runtime.storage import load_arrays, save_arrays
from minivae.runtime.text import PlainConsole, code, csv_cell, markdown, prose, visible
from minivae.study.output.page import SCRIPT, to_html
from minivae.study.output.tables import csv_text
from tests.report_pages import dead_links

ROOT = Path(__file__).parents[2]
FAST = ["--epochs", "1", "--device", "cpu", "--precision", "fp32"]
HOSTILE = [
    "[/x]",
    "[link=https://example.org]x[/link]",
    "\x1b]0;title\x07\x1b[2J",
    "\x9b31m",
    "\u202egnp.exe",
    "a\nb\r\u2028c",
    "x` ![t](https://example.org/b.png) `\n\n# A heading\n\n",
    "![t](missing.png)",
    "<script>alert(1)</script><img src=x>",
    '=HYPERLINK("https://example.org")',
    "a | b",
    "$\\frac{$",
    "\ud800",
]


def renamed(data, folder, name):
    arrays, meta = load_arrays(data, "split")
    path = folder / "named.safetensors"
    meta = {k: v for k, v in meta.items() if k != "kind"} | {"name": name}
    save_arrays(path, "split", arrays, meta)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "tiny.safetensors"
    mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50).save(path)
    return path


def assert_tame(text):
    """Nothing that a terminal acts on."""
    odd = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\u200c\u200d"]
    assert not odd, odd


@pytest.mark.parametrize("name", [n for n in HOSTILE if "\ud800" not in n])
def test_the_name_of_a_data_set_is_shown_and_never_interpreted(data, tmp_path, capsys, name):
    path, out = renamed(data, tmp_path, name), tmp_path / "out"
    assert main(["study", "--data", str(path), "--models", "ease,popularity", *FAST, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert_tame(printed.out + printed.err)
    page = (out / "report.html").read_text()
    assert_page_loads_nothing(page)
    assert page.count("<h1") == 1
    cells = [cell for line in (out / "metrics.csv").read_text().splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if re.match(r'"?[=@+]', cell)]
    assert_tame((out / "report.md").read_text())


def assert_page_loads_nothing(page):
    assert "Content-Security-Policy" in page
    kinds = ("data:image/png;base64,", "data:image/svg+xml;base64,")
    assert all(source.startswith(kinds) for source in re.findall(r'src="([^"]*)"', page))
    assert page.count("<script") == page.count(f"<script>{SCRIPT}</script>") == 1  # the page's own, by its hash
    page = page.replace(f"<script>{SCRIPT}</script>", "")
    assert not re.search(r"<(script|iframe|link|object|embed|form|base)\b|url\(", page)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', page))
    assert dead_links(page) == []


def test_titles_of_items_do_not_reach_the_terminal_raw(tmp_path, capsys):
    table = tmp_path / "t.csv"
    rows = [f"u{u},{i},\x1b]0;TITLE\x07[b]Film {i}" for u in range(60) for i in range(u % 7, 14)]
    table.write_text("\n".join(["user,item,title", *rows]) + "\n")
    argv = ["--data", str(table), "--title", "title", *FAST, "--out", str(tmp_path / "run")]
    if main(["train", *argv]) == 0:  # titles with control characters may be refused, too
        assert main(["recommend", "--model", str(tmp_path / "run"), "--user", "u3", "-k", "2"]) == 0
    printed = capsys.readouterr()
    assert_tame(printed.out + printed.err)


@pytest.mark.parametrize("text", ['title = "[/x] ![](https://example.org/x.png)"', 'title = "x\\n\\n# y"'])
def test_settings_files_cannot_write_into_the_report(data, tmp_path, text):
    settings = (
        f"{text}\n[[sections]]\n{text}\ntext = '''{text} ![](https://example.org/y.png)\n\n# y\n\n| a |\n|---|'''\n"
    )
    settings += "steps = ['popularity', 'ease']\n[origin]\ndata = '![](https://example.org/z.png)'\n"
    (tmp_path / "s.toml").write_text(settings)
    argv = ["study", "--data", str(data), "--models", "ease,popularity", "--settings", str(tmp_path / "s.toml")]
    assert main([*argv, *FAST, "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out/report.html").read_text()
    assert_page_loads_nothing(page)
    assert page.count("<h1") == 1


def test_only_figures_of_the_report_become_part_of_the_page(tmp_path):
    (tmp_path / "mine.png").write_bytes(b"figure")
    (tmp_path / "other.png").write_bytes(b"secret")
    page = to_html("# T\n\n![a](mine.png) ![b](other.png) ![c](../other.png) ![d](//x/y.png)\n", tmp_path, ["mine.png"])
    assert_page_loads_nothing(page)
    assert page.count("<img") == 1
    assert "c2VjcmV0" not in page  # "secret" in base 64


def test_a_link_to_nowhere_and_a_place_that_is_there_twice_are_found():
    """Broken twins."""
    assert dead_links('<a href="#b"><p id="a"><a href="#a">') == ["#b"]
    assert dead_links('<p id="a"><p id="a">') == ["a is there 2 times"]


@given(text=st.text())
def test_visible_text_is_one_tame_line(text):
    assert_tame(visible(text))
    assert "\n" not in visible(text)
    assert visible(visible(text)) == visible(text)


@given(words=st.text("[]()!*_`<>&|#+-=~:.1 aé\n\\", max_size=30))
def test_words_in_markdown_stay_these_words(words):
    """Whatever is written, a paragraph of Markdown shows exactly that and nothing else."""
    (_, inline, *_) = [*MarkdownIt("commonmark", {"html": False}).parse(f"x {markdown(words)}"), None, None]
    shown = "".join(token.content for token in inline.children)
    assert {token.type for token in inline.children} <= {"text", "text_special"}
    assert shown.split() == f"x {visible(words)}".split()


@given(words=st.text("[]()!*_`<>&|#+-=~:.1 aé\n\\", max_size=30))
def test_a_paragraph_begins_no_list_and_no_heading(words):
    if not prose(words).strip():
        return
    kinds = [token.type for token in MarkdownIt("commonmark").parse(prose(words)) if token.level == 0]
    assert kinds == ["paragraph_open", "inline", "paragraph_close"][: len(kinds)] or set(kinds) <= {
        "paragraph_open",
        "paragraph_close",
        "inline",
    }


@given(words=st.text("`a \n", min_size=1, max_size=12))
def test_a_code_span_holds_exactly_its_text(words):
    (_, inline, *_) = MarkdownIt("commonmark").parse(f"x {code(words)} y")
    (span,) = [token for token in inline.children if token.type == "code_inline"]
    assert span.content.strip() == visible(words).strip()


@given(text=st.text("=+-@\t\r 1.5e,\"'a", max_size=8))
def test_no_cell_is_a_formula(text):
    cell = csv_cell(text)
    if cell.lstrip().startswith(("=", "+", "-", "@")):
        float(cell)
    assert len(csv_text([[text]]).splitlines()) <= 1


def test_a_console_shows_markup_as_it_is(capsys):
    for text in HOSTILE:
        PlainConsole(width=200).print(text)
        assert_tame(capsys.readouterr().out)
        if text.isascii() and text.isprintable():
            PlainConsole(width=200).print(text)
            assert capsys.readouterr().out.strip() == text


# outputs


def started(argv, **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "minivae", *argv], env=environment, text=True, timeout=300, **more)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_a_console_of_another_encoding_gets_question_marks(encoding):
    for argv in (["--help"], ["data", "list"], ["data", "info", "planted"]):
        done = started(argv, env={"PYTHONIOENCODING": encoding}, capture_output=True, encoding=encoding)
        assert (done.returncode, done.stderr) == (0, ""), argv


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["data", "list"]])
def test_a_full_output_is_one_sentence(argv):
    with open("/dev/full", "w") as full:
        done = started(argv, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert re.fullmatch("error: standard output could not be written .*\n", done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell is needed")
@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&-", "2>/dev/full", "| head -1", "2>&1 | true"])
def test_closed_outputs_do_not_stop_the_work(data, tmp_path, redirection):
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    argv = [sys.executable, "-m", "minivae", "study", "--data", str(data), "--models", "ease", *FAST]
    line = " ".join([*argv, "--out", str(tmp_path / "out"), redirection])
    done = subprocess.run(
        ["sh", "-c", line], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out/report.html").is_file()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("WORLD_SIZE", "abc", "no number of processes"),
        ("WORLD_SIZE", "-1", "no number"),
        ("MPLBACKEND", "nonsense", ""),
    ],
)
def test_odd_variables_end_in_a_sentence_or_do_not_matter(variable, value, said, tmp_path):
    argv = ["data", "info", "planted"]
    done = started(argv, env={variable: value}, capture_output=True)
    assert "Traceback" not in done.stderr
    assert (done.returncode == 2 and said in done.stderr) if said else done.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_paths_that_no_system_takes_end_in_a_sentence(data, tmp_path, capsys):
    long, odd = "a" * 300, os.fsdecode(b"x\xff.safetensors")
    (tmp_path / odd).write_bytes(Path(data).read_bytes())
    for argv in (
        ["study", "--data", long, "--dry-run"],
        ["study", "--data", str(data), "--models", "ease", "--out", str(tmp_path / long)],
        ["evaluate", "--model", long],
        ["combine", long, long + "b", "--out", str(tmp_path / "c")],
        ["data", "info", long],
    ):
        assert main(argv) == 2, argv
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    argv = ["study", "--data", str(tmp_path / odd), "--models", "ease", *FAST, "--out", str(tmp_path / "o")]
    assert main(argv) == 0
