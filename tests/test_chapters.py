"""The course is in step: source and notebook, outputs, headers, limits, links, exercises. nbval runs the cells."""

import ast
import base64
import copy
import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import torch
from jupytext.compare import NotebookDifference, compare_notebooks

import minivae as mv
from minivae.course import blank

FOLDER = Path(__file__).resolve().parent.parent / "chapters"
spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

SOURCES = build.sources()
TEXTS = sorted(FOLDER.glob("*.md"))
NOTEBOOK_KEYS = {"kernelspec", "measured", "language_info"}
MACHINE_PATH = re.compile(r"/home/|/Users/|/root/|/tmp/|/work/|/private/|/content/|[A-Z]:\\\\?Users|site-packages")
WORKSHOP = {"mine", "fault", "explorable", "try", "investigation"}  # tags of what learners do between sections
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def read(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def markdown(notebook):
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


# Each check takes (source text, notebook) and asserts.


def pair_is_equal(text, notebook):
    fresh = build.read_source(text)
    compare_notebooks(notebook, fresh, fmt="py:percent", compare_outputs=False)
    assert [(c.id, c.source, c.metadata) for c in fresh.cells] == [(c.id, c.source, c.metadata) for c in notebook.cells]


def counts_run_from_one(_, notebook):
    counts = [c.execution_count for c in code(notebook)]
    assert counts == list(range(1, len(counts) + 1)), f"execution counts are {counts}: build the chapter again"


def tagged_cells_have_outputs(_, notebook):
    tagged = [c for c in code(notebook) if "nbval-check-output" in tags(c)]
    assert tagged, "no cell is compared"
    for c in tagged:
        assert c.outputs, f"nothing to compare in {c.source[:60]!r}"
        assert all(o.output_type == "stream" and o.name == "stdout" for o in c.outputs), (
            "a tagged cell prints text only"
        )


def nothing_went_wrong(_, notebook):
    for c in code(notebook):
        for o in c.outputs:
            assert o.output_type != "error", f"an error is stored under {c.source[:60]!r}"
            assert o.get("name") != "stderr", f"a warning is stored under {c.source[:60]!r}: {o.text[:200]}"


def header_is_true(_, notebook):
    first = notebook.cells[0].source
    measured = notebook.metadata["measured"]
    assert re.match(r"# \d+[a-z]?\. \S", first)
    assert build.RUNS.findall(first) == [build.header(measured)], "the header is not what was measured"
    assert re.search(r"\*\*Study\*\* \d+ min · ", first)
    assert "**needs**" in first
    assert "**You will be able to** (1)" in first


def limits_hold(_, notebook):
    measured = notebook.metadata["measured"]
    assert measured["cpu_seconds"] <= 90, f"runs {measured['cpu_seconds']} s on one core"  # not what else ran meanwhile
    assert measured["gigabytes"] <= 4
    workshop = [c for c in notebook.cells if WORKSHOP & set(tags(c))]
    lesson = [c for c in notebook.cells if not {*WORKSHOP, "checks"} & set(tags(c))]
    in_view = [c for c in lesson if not c.metadata.get("jupyter", {}).get("source_hidden")]
    assert 20 <= len(in_view) <= 50, f"{len(in_view)} cells in view"
    assert len(workshop) <= 20, f"{len(workshop)} cells of tasks between sections"
    words = sum(len(c.source.split()) for c in lesson if c.cell_type == "markdown")
    assert 1000 <= words <= 2000, f"{words} words"
    words = sum(len(c.source.split()) for c in workshop if c.cell_type == "markdown")
    assert words <= 900, f"{words} words of tasks between sections"
    figures = sum("image/png" in o.get("data", {}) for c in code(notebook) for o in c.outputs)
    assert 1 <= figures <= 6, f"{figures} figures"
    assert len(nbformat.writes(notebook)) <= 400_000


def figures_are_wide(_, notebook):
    for c in code(notebook):
        for o in c.outputs:
            if "image/png" in o.get("data", {}):
                across = int.from_bytes(base64.b64decode(o.data["image/png"])[16:20], "big")
                assert across >= 1200, f"a figure of {across} pixels under {c.source[:60]!r}"


def from_scratch_is_short(_, notebook):
    cells = [c for c in code(notebook) if "from-scratch" in tags(c)]
    assert cells, "nothing is written from scratch"
    for c in cells:
        lines = [line for line in c.source.splitlines() if line.strip()]
        assert len(lines) <= 15, f"{len(lines)} lines from scratch"


ASSERTS = r"(assert |torch\.testing\.|np\.testing\.|mv\.checks\.)"


def shares(notebook):
    """(in view, from scratch, checks): lines of code without blank ones and comments, of cells that are not folded.

    From scratch are the cells of that tag; checks are statements that assert something or hand a solution to its check.
    """
    total = scratch = checks = 0
    for cell in code(notebook):
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            continue
        lines = [k for k, line in enumerate(cell.source.splitlines()) if not re.match(r"\s*(#|$)", line)]
        statements = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert | ast.Expr)]
        asserting = [node for node in statements if re.match(ASSERTS, ast.unparse(node))]
        total += len(lines)
        scratch += len(lines) if "from-scratch" in tags(cell) else 0
        checks += sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in asserting)
    return total, scratch, checks


def lesson_is_apart_from_its_tests(_, notebook):
    total, scratch, checks = shares(notebook)
    assert scratch >= total / 4, f"{scratch} of {total} lines in view are from scratch, less than a quarter"
    assert checks <= total / 10, f"{checks} of {total} lines in view are checks, more than a tenth"


def no_machine_path(text, notebook):
    everything = text + nbformat.writes(notebook)
    assert not MACHINE_PATH.search(everything), MACHINE_PATH.search(everything)


def notebook_metadata_is_plain(_, notebook):
    assert set(notebook.metadata) <= NOTEBOOK_KEYS
    for c in notebook.cells:
        assert set(c.metadata) <= {"tags", "nbgrader", "jupyter"}, f"volatile metadata {set(c.metadata)}"


def links_lead_somewhere(text, _):
    for target in LINK.findall(text):
        assert re.match(r"https?://", target) or (FOLDER / target).exists(), f"{target} does not exist"


CHECKS = [
    pair_is_equal,
    counts_run_from_one,
    tagged_cells_have_outputs,
    nothing_went_wrong,
    header_is_true,
    limits_hold,
    figures_are_wide,
    from_scratch_is_short,
    lesson_is_apart_from_its_tests,
    no_machine_path,
    notebook_metadata_is_plain,
    links_lead_somewhere,
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_chapter(source):
    for check in CHECKS:
        check(source.read_text(encoding="utf-8"), read(source))


def other_source(text, notebook):
    return text.replace("import torch", "import torch  # changed", 1), notebook


def lost_count(text, notebook):
    code(notebook)[1].execution_count = None
    return text, notebook


def lost_output(text, notebook):
    next(c for c in code(notebook) if "nbval-check-output" in tags(c)).outputs = []
    return text, notebook


def stored_error(text, notebook):
    code(notebook)[0].outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    return text, notebook


def flattering_header(text, notebook):
    notebook.cells[0].source = re.sub(r"\*\*runs\*\* \d+ CPU", "**runs** 1 CPU", notebook.cells[0].source)
    return text, notebook


def too_slow(text, notebook):
    notebook.metadata["measured"]["cpu_seconds"] = 91
    return text, notebook


def small_figure(text, notebook):
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + (800).to_bytes(4, "big") * 2).decode()
    code(notebook)[1].outputs = [nbformat.v4.new_output("display_data", data={"image/png": png})]
    return text, notebook


def long_from_scratch(text, notebook):
    next(c for c in code(notebook) if "from-scratch" in tags(c)).source += "\n    pass" * 20
    return text, notebook


def hidden_from_scratch(text, notebook):
    for c in code(notebook):
        if "from-scratch" in tags(c):
            c.metadata["jupyter"] = {"source_hidden": True}
    return text, notebook


def home_path(text, notebook):
    code(notebook)[0].outputs = [nbformat.v4.new_output("stream", text="/home/ann/minivae/plots.py:3: warning")]
    return text, notebook


def execution_times(text, notebook):
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
    return text, notebook


def dead_link(text, notebook):
    return text + "\n# see [chapter 99](99_nothing.ipynb)", notebook


BROKEN = [
    other_source,
    lost_count,
    lost_output,
    stored_error,
    flattering_header,
    too_slow,
    small_figure,
    long_from_scratch,
    hidden_from_scratch,
    home_path,
    execution_times,
    dead_link,
]


@pytest.mark.parametrize(("check", "breakage"), list(zip(CHECKS, BROKEN, strict=True)), ids=lambda f: f.__name__)
def test_a_broken_chapter_is_noticed(check, breakage):
    source = SOURCES[0]
    broken = breakage(source.read_text(encoding="utf-8"), copy.deepcopy(read(source)))
    with pytest.raises((AssertionError, NotebookDifference)):
        check(*broken)


def test_sources_and_notebooks_come_in_pairs():
    assert SOURCES
    assert [s.with_suffix(".ipynb") for s in SOURCES] == sorted(FOLDER.glob("*.ipynb"))


def test_the_syllabus_lists_the_chapters_that_exist():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = {m[1]: m[0] for m in re.finditer(r"^\| (\d\d[a-z]?) \|.*", readme, re.MULTILINE)}
    linked = {number: LINK.findall(row) for number, row in rows.items() if LINK.findall(row)}
    assert linked == {build.number_of(s): [s.with_suffix(".ipynb").name] for s in SOURCES}
    assert all("*planned*" in row for number, row in rows.items() if number not in linked)
    for source in SOURCES:
        study = re.search(r"\*\*Study\*\* (\d+ min)", source.read_text(encoding="utf-8"))[1]
        assert f"| {study} | {read(source).metadata['measured']['cpu_seconds']} s |" in rows[build.number_of(source)]


@pytest.mark.parametrize("page", TEXTS, ids=lambda p: p.stem)
def test_links_of_the_texts_lead_somewhere(page):
    links_lead_somewhere(page.read_text(encoding="utf-8"), None)


def test_points_in_the_lecturers_table_are_those_of_the_notebooks():
    text = (FOLDER / "INSTRUCTORS.md").read_text(encoding="utf-8")
    table = {
        (m[1], m[2]): int(m[3]) for m in re.finditer(r"^\| (\d+[a-z]?\.\d) \| `(\w+)` \| (\d) \|", text, re.MULTILINE)
    }
    found = {}
    for source in SOURCES:
        for k, (_, check) in enumerate(exercises(read(source)), 1):
            function = re.search(r"mv\.checks\.check_(\w+)\(\1\)", check.source)[1]
            found[f"{build.number_of(source).lstrip('0')}.{k}", function] = check.metadata["nbgrader"]["points"]
    assert table == found


def test_the_six_weeks_add_up():
    text = (FOLDER / "INSTRUCTORS.md").read_text(encoding="utf-8")
    points = {m[1]: int(m[2]) for m in re.finditer(r"^\| (\d+[a-z]?\.\d) \| `\w+` \| (\d) \|", text, re.MULTILINE)}
    weeks = [line.split("|")[1:-1] for line in text.splitlines() if re.match(r"\| [1-6] \|(.*\|){8}$", line)]
    assert [week[0].strip() for week in weeks] == list("123456")
    for week in weeks:
        blocks = [int(n) for cell in week[2:6] for n in re.findall(r"\((\d+)\)", cell)]
        assert len(blocks) == 4
        assert sum(blocks) == int(week[6]) == 90
        assert sum(points[task] for task in re.findall(r"\d+[a-z]?\.\d", week[7])) == int(week[8])
    body = "\n".join(map(markdown, map(read, SOURCES)))
    sections = re.findall(r"^## (\d+[a-z]?\.\d+) (.*?)(?=^## |\Z)", body, re.MULTILINE | re.DOTALL)
    asked = {number for number, section in sections if "**Predict" in section}
    collected = {number for week in weeks for number in re.findall(r"\d+[a-z]?\.\d+", week[2])}
    assert collected <= asked, f"no prediction is asked for in {sorted(collected - asked)}"
    read_before = [number for week in weeks for number in re.findall(r"\d\d[a-z]?", week[1])]
    assert read_before == [build.number_of(source) for source in SOURCES]
    homework, total, passing = (int(n) for n in re.findall(r"\*\*(\d+)\*\* (?:points|pass)", text))
    assert homework == sum(int(week[8]) for week in weeks)
    assert total == homework + 14
    assert passing == total / 2


def test_the_glossary_is_sorted_and_points_to_chapters():
    text = (FOLDER / "GLOSSARY.md").read_text(encoding="utf-8")
    anchors = re.findall(r'^\| <a id="([\w-]+)"></a>', text, re.MULTILINE)
    rows = re.findall(r"^\| <a id=[^>]*></a>([^|]+) \| [^|]*\.((?: \d\d[a-z]?,?)+) \|$", text, re.MULTILINE)
    linked = [link for s in SOURCES for link in re.findall(r"GLOSSARY\.md#([\w-]+)", s.read_text(encoding="utf-8"))]
    assert len(set(anchors)) == len(anchors) == len(rows)
    assert set(linked) <= set(anchors)
    assert len(set(linked)) >= len(anchors) * 2 / 3  # most words are linked where they first occur
    words = [word.replace("β", "beta").lower() for word, _ in rows]
    assert len(rows) == text.count("\n| ") - 1  # all but the head
    assert words == sorted(words)
    numbers = {build.number_of(source) for source in SOURCES}
    assert all(set(re.findall(r"\d\d[a-z]?", chapters)) <= numbers for _, chapters in rows)


# Of some words the everyday use cannot be told from the field's; "ceiling" and the like have one chapter of their own.
EVERYDAY = {"arm", "ceiling", "gain", "interaction", "lift", "power", "transfer", "view"}
HALF = [s for s in SOURCES if s.name[:2] < "07"]


def unlinked(page, words):
    """Entries of the glossary, anchor -> words, that a page uses in running text before it links them."""
    page = re.sub(r"(?m)^(#+ |\*\*Study\*\*).*$", "", page)
    links = {m[1]: m.start() for m in reversed(list(re.finditer(r"\]\(GLOSSARY\.md#([\w-]+)\)", page)))}
    plain = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", lambda m: " " * len(m[0]), page, flags=re.DOTALL)
    missing = []
    for anchor, names in words.items():
        pattern = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in names)
        used = re.search(rf"(?<![\w/#-])({pattern})(s|es)?(?![\w-])", plain, re.IGNORECASE)
        if used and not used.start() <= links.get(anchor, -1) <= used.end() + 2:
            missing.append(anchor)
    return missing


@pytest.mark.parametrize("source", HALF, ids=lambda s: s.stem)
def test_words_are_linked_where_they_are_first_used(source):
    text = (FOLDER / "GLOSSARY.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| <a id="([\w-]+)"></a>([^|]+) \|', text, re.MULTILINE)
    words = {anchor: [w.strip() for w in word.split(",")] for anchor, word in rows if anchor not in EVERYDAY}
    page = "\n\n".join(c.source for c in read(source).cells if c.cell_type == "markdown")
    late = unlinked(page, words)
    assert [a for a in late if not re.search(rf"\[[^\]]*{a.replace('-', ' ')}[^\]]*\]\(\d\d\w*_", page)] == []


def test_a_word_that_is_linked_late_is_noticed():
    words = {"fold-in": ["fold-in"]}
    assert unlinked("a [fold-in](GLOSSARY.md#fold-in), a fold-in", words) == []
    assert unlinked("a fold-in, a [fold-in](GLOSSARY.md#fold-in)", words) == ["fold-in"]


# Exercises


def exercises(notebook):
    """(solution cell, check cell) of every exercise."""
    graded = [c for c in code(notebook) if "nbgrader" in c.metadata and "mine" not in tags(c)]
    assert [c.metadata["nbgrader"]["solution"] for c in graded] == [True, False] * (len(graded) // 2)
    return list(zip(graded[::2], graded[1::2], strict=True))


def parts(notebook):
    """(solution cell, check cell) of every part of the recommender that learners build."""
    cells = code(notebook)
    return [(a, b) for a, b in pairwise(cells) if "mine" in tags(a) and re.match(r"mv\.checks\.check_mine_", b.source)]


def tasks(notebook):
    return exercises(notebook) + parts(notebook)


def names():
    with_exercises = [s for s in SOURCES if s.name[:2] != "00"]
    return [(s, k) for s in with_exercises for k in range(len(tasks(read(s))))]


@pytest.fixture(params=names(), ids=lambda p: f"{p[0].stem}-{p[1]}")
def exercise(request):
    source, k = request.param
    text = source.read_text(encoding="utf-8")
    solved, check = tasks(build.read_source(text))[k]
    stub, same_check = tasks(blank(build.read_source(text)))[k]
    assert same_check.source == check.source
    return solved.source, stub.source, check.source.splitlines()[0]


def attempt(function, check):
    space = {"torch": torch, "mv": mv}
    exec(function, space)
    exec(check, space)


def test_every_chapter_after_the_first_has_three_exercises():
    for source in SOURCES[1:]:
        assert len(exercises(read(source))) >= 3
        page = markdown(read(source))
        assert all(re.search(rf"\*\*{stars} \(", page) for stars in ("★", "★★", "★★★"))


def test_solutions_pass(exercise, capsys):
    solved, _, check = exercise
    attempt(solved, check)
    assert "right" in capsys.readouterr().out


def test_stubs_fail(exercise):
    _, stub, check = exercise
    assert "SOLUTION" not in stub
    with pytest.raises(NotImplementedError):
        attempt(stub, check)


def test_the_parts_of_a_recommender_come_with_checks_and_hints():
    checked = [re.search(r"check_(\w+)", check.source)[1] for s in SOURCES for _, check in parts(read(s))]
    assert sorted(checked) == sorted(n.removeprefix("check_") for n in mv.checks.__all__ if "_mine_" in n)
    for source in SOURCES:
        asked = [c for c in read(source).cells if c.cell_type == "markdown" and "**Build your own.**" in c.source]
        assert all("<details><summary>Hint</summary>" in c.source for c in asked)
        assert len(asked) >= len(parts(read(source)))


def test_every_explorable_has_its_place_and_stores_a_picture_without_a_page():
    shown = set()
    for source in SOURCES:
        for c in code(read(source)):
            if "explorable" in tags(c):
                name = re.fullmatch(r'mv\.explorable\("([\w-]+)"\)', c.source)[1]
                shown.add(name)
                (output,) = c.outputs
                assert set(output.data) == {"image/svg+xml", "text/plain"}
                assert "".join(output.data["image/svg+xml"]).strip() == mv.explorables.picture(name).strip()
    assert shown == set(mv.explorables.names())


def test_every_chapter_has_a_place_where_a_learner_moves_something():
    without = [s.name[:2] for s in SOURCES if not any({"explorable", "try"} & set(tags(c)) for c in code(read(s)))]
    assert set(without) <= {"00", "05", "09"}


def test_a_release_for_nbgrader_holds_the_solutions_and_overwrites_nothing(tmp_path):
    written = build.write_release(tmp_path / "lab")
    assert [p.stem for p in written] == [s.stem for s in SOURCES]
    for path in written:
        assert path.parent == tmp_path / "lab" / "source" / path.stem
        graded = [c.metadata["nbgrader"] for c in code(nbformat.read(path, as_version=4)) if "nbgrader" in c.metadata]
        assert len({g["grade_id"] for g in graded}) == len(graded)
        solutions = sum(g["solution"] for g in graded)
        assert path.read_text(encoding="utf-8").count("BEGIN SOLUTION") == solutions
        by_hand = [
            c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown" and "nbgrader" in c.metadata
        ]
        assert [c.metadata["nbgrader"]["points"] for c in by_hand] == [10] * (not path.stem.startswith("00"))
    with pytest.raises(SystemExit, match="not empty"):
        build.write_release(tmp_path / "lab")


def test_student_versions_hold_no_solution_and_overwrite_nothing(tmp_path):
    written = build.write_students(tmp_path / "set")
    assert [p.name for p in written] == [s.with_suffix(".ipynb").name for s in SOURCES]
    for path in written:
        notebook = nbformat.read(path, as_version=4)
        assert "BEGIN SOLUTION" not in nbformat.writes(notebook)
        assert "<summary>Solution</summary>" not in nbformat.writes(notebook)
        assert not any(c.outputs for c in code(notebook))
    written[0].write_text("my work", encoding="utf-8")
    with pytest.raises(SystemExit, match="somebody's work"):
        build.write_students(tmp_path / "set")
    assert written[0].read_text(encoding="utf-8") == "my work"


def test_every_file_of_self_checks_is_tested():
    topics = {p.stem for p in (FOLDER.parent / "minivae/checks").glob("*.py")} - {"__init__", "comparison"}
    assert topics == {p.stem[5:-7] for p in (FOLDER.parent / "tests/checks").glob("test_*_checks.py")}
