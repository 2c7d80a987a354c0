"""The tool that plants errors: what it plants, where, and that a planted error is noticed and a file never changed."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from minivae import errors, masks
from tests.mutation import __main__ as command
from tests.mutation import course, report, server
from tests.mutation.operators import mutants
from tests.mutation.rooms import EVERYWHERE, ROOMS, ROOT
from tests.mutation.words import falsified

SOURCE = '''"""A text."""

LIMIT = 1e-6


def share(a, b, status="measured"):
    """Ten times nothing."""
    total = a + b
    if total <= LIMIT:
        raise ValueError(f"{total + 1} is too small")
    low = min(a, b) / total
    return low


def difference(a, b):
    return share(b, a)
'''


def planted():
    return {(m.line, m.what): ast.unparse(m.build()) for m in mutants(SOURCE)}


def test_every_mutant_is_one_change_of_what_the_program_does():
    original = ast.unparse(ast.parse(SOURCE))
    found = planted()
    assert len(found) == len(mutants(SOURCE))
    for (line, _), text in found.items():
        changed = [a for a, b in zip(original.splitlines(), text.splitlines(), strict=False) if a != b]
        assert text != original
        assert len(changed) <= 1 or line == 9  # an `if` that is deleted takes its body along
        assert "Ten times nothing" in text


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("f(a, b, c)", ["f(b, a, c)", "f(a, c, b)"]),
        ("f(a, 0)", []),
        ("min(a, b)", []),
        ("f(low=a, high=b)", ["f(low=b, high=a)"]),
        ("low, high = pair", ["high, low = pair"]),
        ("[a for a, b in pairs]", ["[a for b, a in pairs]"]),
        ("x = {'sold': a, 'kept': b}", ["x = {'sold': b, 'kept': a}"]),
        ("x = {'sold': a, **b}", []),
        ("x = f'{a} of {b}, not {c}'", ["x = f'{b} of {a}, not {c}'", "x = f'{a} of {c}, not {b}'"]),
        ("x = f'{a} of {a}'", []),
    ],
)
def test_what_stands_beside_another_changes_places(source, changed):
    found = [ast.unparse(m.build()) for m in mutants(source) if "exchanged" in m.what]
    assert sorted(found) == sorted(changed)


def test_a_spread_has_other_degrees_of_freedom():
    assert [ast.unparse(m.build()) for m in mutants("x.std()") if "correction" in m.what] == ["x.std(correction=2)"]
    changed = {ast.unparse(m.build()) for m in mutants("y = x.var(ddof=1)")}
    assert changed == {"y = x.var(ddof=0)", "y = x.var(ddof=2)", "y = x.std(ddof=1)"}
    assert len(mutants("y = x.var(ddof=1)")) == 3


def test_errors_that_read_alike_are_told_apart():
    found = [(m.what, ast.unparse(m.build())) for m in mutants("x = a[0] + b[0]") if m.what.startswith("0 → 1")]
    assert found == [("0 → 1", "x = a[1] + b[0]"), ("0 → 1, place 2", "x = a[0] + b[1]")]


@pytest.mark.parametrize(
    ("line", "what", "text"),
    [
        (3, "1e-06 → 1.0", "LIMIT = 1.0"),
        (6, "'measured' → 'proved'", "status='proved'"),
        (8, "a + b with Sub", "total = a - b"),
        (8, "a + b → a", "total = a\n"),
        (9, "total <= LIMIT with Lt", "if total < LIMIT"),
        (11, "min(a, b) with max", "low = max(a, b) / total"),
        (16, "share(b, a): first two arguments exchanged", "return share(a, b)"),
        (12, "return low → total", "return total"),
    ],
)
def test_kinds_of_errors(line, what, text):
    assert text in planted()[line, what]


def test_messages_and_docstrings_are_left_alone():
    assert {line for line, _ in planted()} == {3, 6, 8, 9, 11, 12, 16}


@pytest.mark.parametrize(
    ("original", "wrong"),
    [
        ("0 <= x < 1", ["0 < x < 1", "0 <= x <= 1", "0 >= x < 1", "0 <= x > 1"]),
        ("x[a:b]", ["x[a:b + 1]", "x[a + 1:b]"]),
        ("x[:b]", ["x[:b + 1]"]),
        ("range(n)", ["range(n + 1)"]),
        ("range(a, b)", ["range(a, b + 1)", "range(b, a)"]),
        ("x.sum(1)", ["x.sum(0)", "x.mean(1)"]),
        ("x.max(0)", ["x.max(1)", "x.min(0)"]),
    ],
)
def test_ends_and_axes_are_missed_by_one(original, wrong):
    found = [ast.unparse(m.build()).removeprefix("y = ") for m in mutants(f"y = {original}")]
    assert set(wrong) <= set(found)
    assert original not in found


VERDICT = '''"""The first is better."""


def verdict(low, high):
    """Where an interval lies, above or below."""
    if low > high:
        raise ValueError(f"low is above high: {low + high}")
    if low > 0:
        return f"above {low - 1}, not below"
    return {"same": "no better than before"}["same"]
'''


@pytest.mark.parametrize(
    ("line", "word", "text"),
    [
        (9, "above → below", "return f'below {low - 1}, not below'"),
        (9, "below → above", "return f'above {low - 1}, not above'"),
        (9, "not → nothing", "return f'above {low - 1},  below'"),
        (9, "low - 1 with Add", "return f'above {low + 1}, not below'"),
        (10, "better → worse", "'no worse than before'"),
        (10, "before → after", "'no better than after'"),
    ],
)
def test_words_and_numbers_of_a_verdict_are_changed(line, word, text):
    (found,) = [m for m in mutants(VERDICT) if m.line == line and m.what.endswith(word)]
    assert text in ast.unparse(found.build())


def test_of_messages_docstrings_and_keys_no_word_is_changed():
    assert {m.line for m in mutants(VERDICT)} == {6, 8, 9, 10}
    assert not [m for m in mutants(VERDICT) if m.what.endswith("same → other")]
    assert [text for _, text in falsified("yes")] == ["no"]


def test_arguments_that_have_no_order_are_not_exchanged():
    assert (11, "min(a, b): first two arguments exchanged") not in planted()


def test_a_planted_error_reaches_functions_that_are_already_imported(tmp_path):
    """Beside a broken twin: the tree as it stands changes no function."""
    path = tmp_path / "sample.py"
    path.write_text(SOURCE, encoding="utf-8")
    space = {}
    exec(compile(SOURCE, str(path), "exec"), space)
    assert server.plant(path, ast.parse(SOURCE)) == 0
    assert space["share"](1.0, 3.0) == 0.25
    (wrong,) = [m for m in mutants(SOURCE) if m.what == "min(a, b) with max"]
    assert server.plant(path, wrong.build()) == 1
    assert space["share"](1.0, 3.0) == 0.75
    assert path.read_text(encoding="utf-8") == SOURCE


def test_where_a_line_is_at_home():
    tree = ast.parse(SOURCE)
    assert server.home(3, tree) is None
    assert server.home(6, tree) is None  # a default is set when the function is made
    assert server.home(11, tree) == 6


def test_tests_are_chosen_by_the_functions_they_run():
    path, tree = Path("sample.py"), ast.parse(SOURCE)
    profiles = {
        "slow": server.Profile(3.0, {("sample.py", 6)}),
        "quick": server.Profile(0.1, {("sample.py", 6)}),
        "elsewhere": server.Profile(0.1, {("other.py", 6)}),
    }
    assert server.concerned(path, 11, tree, profiles, 10) == ["quick", "slow"]
    assert server.concerned(path, 11, tree, profiles, 2) == ["quick"]
    assert server.concerned(path, 3, tree, profiles, 10) == ["quick", "slow"]


THREADED = """
from concurrent.futures import ThreadPoolExecutor
from minivae.errors import counted

def test_in_a_thread():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(counted, 1, "user").result() == "1 user"
"""


def test_what_a_thread_of_a_test_runs_is_run_by_the_test(tmp_path):
    (tmp_path / "test_threaded.py").write_text(THREADED, encoding="utf-8")

    def session():
        found = {}
        arguments = [*server.OPTIONS, "--rootdir", str(tmp_path), str(tmp_path / "test_threaded.py")]
        pytest.main(arguments, plugins=[server.Collected(lambda items: found.update(server.profile(items)))])
        return found

    kind, found = server.fork(session, 60)
    assert kind == "done"
    ((seconds, touched),) = found.values()
    assert seconds >= 0
    assert errors.counted.__code__.co_firstlineno in {line for file, line in touched if file.endswith("errors.py")}


STARTED = """
import os, sys, pytest
for name in sys.argv[1].split():
    __import__(name)

class Threads:
    def __init__(self):
        self.known, self.guilty = set(os.listdir("/proc/self/task")), []

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        report = yield
        started = set(os.listdir("/proc/self/task")) - self.known
        self.known |= started
        if started:
            self.guilty.append(collector.name)
        return report

threads = Threads()
pytest.main([*sys.argv[2:], "--collect-only", "-q"], plugins=[threads])
print("GUILTY", *threads.guilty)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="lists threads as Linux does")
def test_no_test_file_starts_threads_when_it_is_imported(tmp_path):
    """A forked child does not have them, and waits for ever for a table that they should make."""
    twin = tmp_path / "test_twin.py"
    twin.write_text("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n")
    suites = sorted({str(path) for room in ROOMS.values() for path in room.suite()})
    command_line = [sys.executable, "-c", STARTED, " ".join(command.HEAVY), *server.OPTIONS, *suites, str(twin)]
    done = subprocess.run(command_line, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.splitlines()[-1] == f"GUILTY {twin.name}"


def test_a_child_gives_its_result_or_the_reason_why_not():
    assert server.fork(lambda: {"a": 1}, 5) == ("done", {"a": 1})
    assert server.fork(lambda: 1 / 0, 5) == ("crash", None)

    def forever():
        while True:
            pass

    assert server.fork(forever, 0.2) == ("timeout", None)


def test_kept_errors_stand_where_they_say():
    """Each occurs once in its file, keeps the number of lines and is a program."""
    kept = tomllib.loads((ROOT / "tests/mutation/planted.toml").read_text(encoding="utf-8"))["mutant"]
    for m in kept:
        source = (ROOT / m["file"]).read_text(encoding="utf-8")
        assert source.count(m["old"]) == 1, f"{m['old']!r} stands {source.count(m['old'])} times in {m['file']}"
        changed = source.replace(m["old"], m["new"])
        assert changed.count("\n") == source.count("\n")
        ast.parse(changed)
        assert any(ROOT / m["file"] in room.files() for room in ROOMS.values())


def test_equivalents_stand_where_they_say():
    kept = tomllib.loads(report.EQUIVALENT.read_text(encoding="utf-8")).get("mutant", [])
    for file in {m["file"] for m in kept}:
        source = (ROOT / file).read_text(encoding="utf-8")
        known = {(source.splitlines()[m.line - 1].strip(), m.what) for m in mutants(source)}
        for m in kept:
            assert m["file"] != file or (m["line"], m["what"]) in known, f"{m['what']!r} is gone from {file}"
            assert m["reason"]


@pytest.fixture
def ordered(monkeypatch, tmp_path):
    """What `python -m tests.mutation` would do with each file, by its command line; nothing is run."""

    def of(*arguments):
        asked = []
        monkeypatch.setattr(command, "_file", lambda *a: asked.append(a))
        monkeypatch.setattr(command.os, "chdir", lambda path: None)
        monkeypatch.setattr("sys.argv", ["mutation", *arguments, "--out", str(tmp_path)])
        command.main()
        return asked

    return of


def test_a_file_is_judged_by_the_tests_of_its_room_or_by_those_that_are_named(ordered):
    (path, room, work, log, seconds, again, options), *rest = ordered("minivae/online/limits.py")
    assert not rest
    assert path == ROOT / "minivae/online/limits.py"
    assert room == ROOMS["online"]
    assert log.name == "minivae.online.limits.py.jsonl"
    assert (seconds, again, options) == (20, False, [])
    assert work
    ((_, room, *_),) = ordered("minivae/online/limits.py", "--tests", "tests/test_batches.py", "tests/test_anch*.py")
    assert room.sources == ROOMS["online"].sources
    named = {ROOT / f"tests/test_{name}.py" for name in ("anchor_direction", "anchors", "batches")}
    assert set(room.suite()) == named | {ROOT / name for name in EVERYWHERE}


def test_slow_tests_are_left_out_and_survivors_tried_again_if_asked(ordered):
    ((*_, seconds, again, options),) = ordered("minivae/online/limits.py", "--quick", "--again", "--seconds", "3")
    assert (seconds, again, options) == (3, True, ["-m", "not slow"])


def test_a_draw_depends_on_the_seed_and_the_file_alone(ordered):
    def drawn(*arguments):
        return [(m.line, m.what) for m in ordered("minivae/objective.py", *arguments)[0][2]]

    every = drawn("--limit", "0")
    ten = drawn("--limit", "10", "--seed", "4")
    assert len(ten) == 10 < len(every)
    assert ten == drawn("--seed", "4", "--limit", "10") != drawn("--limit", "10")
    assert set(ten) <= set(every)


def test_every_file_of_a_room_is_judged(ordered):
    assert [a[0] for a in ordered("online", "--limit", "1")] == ROOMS["online"].files()
    with pytest.raises(SystemExit, match=r"minivae/version\.py is in no room; rooms are theory, "):
        ordered("minivae/version.py")


def test_the_score_counts_what_nobody_can_notice_apart(tmp_path, monkeypatch):
    log = tmp_path / "room.jsonl"
    rows = [("a", "killed"), ("b", "survived"), ("c", "survived"), ("d", "timeout"), ("b", "killed"), ("e", "survived")]
    rows.append(("f", "afresh"))  # a run was ended before it was tried
    log.write_text(
        "\n".join(f'{{"file": "f.py", "line": 1, "what": "{w}", "result": "{r}", "tests": 3}}' for w, r in rows),
        encoding="utf-8",
    )
    monkeypatch.setattr(report, "equivalents", lambda: {("f.py", "", "c")})
    text = report.summary(log)
    assert "| f.py | 5 | 3 | 1 | 1 | 75% |" in text
    assert "`f.py:1` e (3 tests ran)" in text
    assert "` c " not in text


def test_nothing_that_was_cached_without_the_error_is_left():
    masks.normalizes("raw")
    assert masks._unit_input.cache_info().currsize > 0
    server._forget()
    assert masks._unit_input.cache_info().currsize == 0


def test_sentences_of_the_chapters_that_were_falsified_are_missed():
    errors = [m for m in course.planted() if m.in_prose]
    assert len(course.planted()) >= 40
    assert [m.new for m in errors if not course.missing(m.chapter, m.text)] == []
    assert [m.chapter for m in errors if course.missing(m.chapter, m.source.read_text(encoding="utf-8"))] == []
