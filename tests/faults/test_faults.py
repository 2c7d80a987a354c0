"""What goes wrong on a machine: no space, no permission, a kill, two runs at once, damage, no memory, Ctrl-C."""

import ctypes
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae import FoldIn, InputError, MultVAE, StrongSplit, TrainConfig, fit
from minivae.cli.main import main
from minivae.errors import Diverged
from minivae.runtime.checkpoint import Checkpoint, previous
from minivae.runtime.signals import endings
from minivae.runtime.storage import load_arrays, save_arrays, write_text
from minivae.study.run import folders
from minivae.study.run.notes import CombineNote

ROOT = Path(__file__).parents[2]
FLAGS = ["--epochs", "2", "--batch-size", "50", "--device", "cpu", "--precision", "fp32"]
CONFIG = TrainConfig(batch_size=64, epochs=4, anneal_steps=20, precision="fp32", device="cpu", seed=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tiny.safetensors"
    mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50).save(path)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_text("user,item\n" + "".join(f"u{u},{i}\n" for u in range(30) for i in range(u % 7, 12)))
    return path


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert main(["train", "--data", str(data), *FLAGS, "--out", str(out)]) == 0
    return out


def program(argv, before="", **more):
    """The command line in a process of its own; `before` is run in it first."""
    code = f"import sys\n{before}\nfrom minivae.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, argv)], env=environment, **pipes, **more)


def assert_one_sentence(process, *words):
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert all(w in said for w in words), said


def assert_resumed(data, out, undisturbed):
    """Continued to its end, the run is that of nobody's disturbance, to the byte, and nothing else lies there."""
    assert main(["train", "--data", str(data), *FLAGS, "--out", str(out), "--resume"]) == 0
    for name in ("model.safetensors", "users.safetensors"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert {p.name for p in out.iterdir()} == {p.name for p in undisturbed.iterdir()}


# no space, no permission


@pytest.mark.parametrize("largest", [10, 400_000, 2_000_000])
def test_a_full_disk_ends_a_run_that_can_be_resumed(data, undisturbed, tmp_path, largest):
    """The limit on the size of a file meets the first note, the first checkpoint, the checkpoint with moments."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, {largest}))"
    pytest.importorskip("resource")
    out = tmp_path / "run"
    assert_one_sentence(program(["train", "--data", data, *FLAGS, "--out", out], limit), "cannot write", "free some")
    assert not list(out.glob(".*"))
    assert_resumed(data, out, undisturbed)


def mounted(size):
    """A command that runs another with a disk of `size` at /mnt, or None where this user may not have one."""
    for new in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        start = [*new, "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs /mnt && exec "$@"', "sh"]
        if shutil.which("unshare") and subprocess.run([*start, "true"], capture_output=True).returncode == 0:
            return start
    return None


def test_a_disk_that_is_really_full(data):
    """A checkpoint of 2 MB on a disk of 1 MB: ENOSPC itself, and what was there stays whole."""
    start = mounted("1m")
    if start is None:
        pytest.skip("needs a mount namespace")
    code = (
        "import os, sys\nfrom minivae.cli.main import main\nstatus = main(sys.argv[1:])\n"
        "print(sorted(os.listdir('/mnt/run')), file=sys.stderr)\nsys.exit(status)"
    )
    argv = [sys.executable, "-c", code, "train", "--data", str(data), *FLAGS, "--out", "/mnt/run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*start, *argv], env=environment, capture_output=True, text=True, timeout=120)
    sentence, left = done.stderr.splitlines()
    assert done.returncode == 2
    assert sentence.startswith("error: cannot write /mnt/run/checkpoint.safetensors")
    assert "No space left on device" in sentence
    assert "nothing is finished yet in /mnt/run; continue with: minivae train" in sentence
    assert left == "['config.json', 'log.jsonl']"


def no_override():
    """Root too must ask: without these capabilities the permissions of a folder hold for it."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            if libc.prctl(24, capability, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
                os._exit(77)


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@pytest.mark.parametrize("where", [".", "run"])
def test_a_read_only_folder(data, tmp_path, where):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    process = program(["train", "--data", data, *FLAGS, "--out", folder / where], preexec_fn=no_override)
    assert_one_sentence(process, f"cannot write {folder}", "Permission denied", "choose another folder")
    folder.chmod(0o700)
    assert list(folder.iterdir()) == []


# killed


DEADLY = """
import os, signal
from minivae.runtime import storage
sort = storage._sort_metadata
def deadly(path):
    meta = storage.json.loads(storage._raw_header(path.open('rb')))['__metadata__']
    if meta['kind'].startswith({name!r}):
        with path.open('rb+') as f:
            f.truncate(path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    sort(path)
storage._sort_metadata = deadly
"""


@pytest.mark.parametrize(("name", "kind"), [("checkpoint", "checkpoint"), ("users", "per-user metrics")])
def test_killed_in_the_middle_of_a_write(data, undisturbed, tmp_path, name, kind):
    out = tmp_path / "run"
    process = program(["train", "--data", data, *FLAGS, "--out", out], DEADLY.format(name=kind))
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert list(out.glob(".minivae-*.part"))
    assert not (out / f"{name}.safetensors").exists()
    assert_resumed(data, out, undisturbed)


def test_a_few_kills_at_random_moments():
    """tests/faults/kills.py, which says how to make it long."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    script = [sys.executable, ROOT / "tests/faults/kills.py", "--kills", "2", "--commands", "train"]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kills"] >= 2


def test_a_folder_with_nothing_but_what_a_killed_run_left_is_free(tmp_path):
    note = CombineNote(["a", "b"])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_HOLDING, tmp_path], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".minivae-*.part"))) == 1
    with folders.hold(tmp_path):
        folders.claim(tmp_path, note, resume=False)
    assert [p.name for p in tmp_path.iterdir()] == ["combine.json"]
    (tmp_path / "thesis.tex").write_text("")
    (tmp_path / "combine.json").unlink()
    with pytest.raises(InputError, match="holds something else"):
        folders.claim(tmp_path, note, resume=True)


KILLED_WHILE_HOLDING = """
import os, signal, sys
from pathlib import Path
from minivae.runtime.storage import write_whole
from minivae.study.run import folders
with folders.hold(Path(sys.argv[1])):
    write_whole(Path(sys.argv[1], "x"), lambda path: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize("name", [".thesis.part", ".tmpABCDEF", ".lock", ".minivae.lock", ".minivae.processes"])
@pytest.mark.parametrize("command", ["train", "study", "study --resume", "study --split-seeds 1,2", "theory"])
def test_hidden_files_of_the_user_are_neither_deleted_nor_changed(data, table, tmp_path, capsys, name, command):
    """Only names that a process noted while it held the folder are known to be ours."""
    (tmp_path / "below").mkdir()
    mine = [tmp_path / name, tmp_path / "below" / name]
    for path in mine:
        path.write_text("my only copy")
    source = table if "split-seeds" in command else data
    assert main([*command.split(), "--out", str(tmp_path), "--data", str(source)]) == 2
    assert re.search("holds something else|was not made by minivae", capsys.readouterr().err)
    assert [path.read_text() for path in mine] == ["my only copy"] * 2
    assert {p.name for p in tmp_path.iterdir()} == {name, "below"}


def test_a_list_of_processes_may_not_lead_elsewhere(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("a" * 32 + "\n")
    (tmp_path / "run" / folders.PROCESSES).symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="was not made by minivae"), folders.hold(tmp_path / "run"):
        pass
    assert (tmp_path / "mine").read_text() == "a" * 32 + "\n"


# where a file is written


def test_a_link_is_followed_and_a_device_is_written_to(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    write_text(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"
    write_text(Path(os.devnull), "gone")
    assert not Path(os.devnull).is_file()
    (tmp_path / "dangling.json").symlink_to("later.json")
    write_text(tmp_path / "dangling.json", "new")
    assert (tmp_path / "later.json").read_text() == "new"
    assert {p.name for p in tmp_path.iterdir()} == {"real.json", "link.json", "later.json", "dangling.json"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    write_text(tmp_path / "pipe", "content")
    assert reader.communicate(timeout=60)[0] == b"content"
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout here")
def test_the_own_output_is_written_to_in_order(tmp_path):
    code = (
        "from pathlib import Path; from minivae.runtime.storage import write_text; "
        "print('before'); write_text(Path('/dev/stdout'), 'between\\n'); print('after')"
    )
    with (tmp_path / "out.txt").open("w") as out:
        subprocess.run(
            [sys.executable, "-c", code], stdout=out, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
        )
    assert (tmp_path / "out.txt").read_text() == "before\nbetween\nafter\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no umask there")
@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_umask_is_honoured(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "text", "")
        save_arrays(tmp_path / "arrays", "x", {"a": np.zeros(1)}, {})
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("text", "arrays")] == [mode] * 2
    (tmp_path / "text").chmod(0o640)
    write_text(tmp_path / "text", "again")
    assert stat.S_IMODE((tmp_path / "text").stat().st_mode) == 0o640


# a checkpoint of a stranger


def forged(change):
    """The checkpoint of the undisturbed run with `change` made to its arrays and metadata, and a right checksum."""

    def make(folder):
        path = folder / "checkpoint.safetensors"
        arrays, meta = load_arrays(path, "checkpoint")
        arrays, meta = dict(arrays), {k: v for k, v in meta.items() if k != "kind"}
        change(arrays, meta)
        save_arrays(path, "checkpoint", arrays, meta)

    return make


def position(**values):
    return forged(lambda arrays, meta: meta.update(position=json.dumps(json.loads(meta["position"]) | values)))


def every(part, change):
    def make(arrays, meta):
        arrays.update({k: change(v) for k, v in arrays.items() if k.startswith(part)})

    return forged(make)


def nan_in_front(a):
    a = a.copy()
    a.reshape(-1)[0] = np.nan
    return a


FORGED = {
    "short moments": every("adam/exp_avg", lambda a: np.zeros(3, np.float32)),
    "one value as moments": every("adam/exp_avg_sq", lambda a: np.zeros((), np.float32)),
    "moments of another type": every("adam/exp_avg", lambda a: a.astype(np.float64)),
    "transposed moments": every("adam/exp_avg/", lambda a: np.ascontiguousarray(a.T.reshape(-1))),
    "negative squares": every("adam/exp_avg_sq", lambda a: -a - 1),
    "NaN in the moments": every("adam/exp_avg/", nan_in_front),
    "a step of another shape": every("adam/step", lambda a: np.ones(2, np.float32)),
    "a step of integers": every("adam/step", lambda a: a.astype(np.int64)),
    "no step": forged(lambda a, m: [a.pop(k) for k in list(a) if k.startswith("adam/step")]),
    "foreign moments": forged(lambda a, m: a.update({"adam/exp_avg/x": np.zeros(1, np.float32)})),
    "a model of another shape": every("model/", lambda a: a[:1]),
    "a model of integers": every("model/", lambda a: a.astype(np.int32)),
    "infinity in the model": every("model/", lambda a: a + np.float32(np.inf)),
    "a best model of another shape": every("best/", lambda a: a[:1]),
    "no best model": forged(lambda a, m: [a.pop(k) for k in list(a) if k.startswith("best/")]),
    "a group of its own": forged(lambda a, m: a.update(x=np.zeros(1))),
    "sums without users": forged(lambda a, m: a.update({"sums/loss": np.float32(1)})),
    "users without sums": position(_users={"loss": 5}),
    "a name that is a method": position(save=1),
    "an epoch in words": position(epoch="1"),
    "an epoch that is true": position(epoch=True),
    "a negative epoch": position(epoch=-1),
    "an epoch beyond the log": position(epoch=7),
    "more updates than an epoch has": position(batches=10**6),
    "a best epoch beyond the log": position(best_epoch=9),
    "another best score": position(best_score=0.999),
    "seconds without end": position(seconds=float("inf")),
    "no position": forged(lambda a, m: m.pop("position")),
    "a list as position": forged(lambda a, m: m.update(position="[]")),
    "a deep position": forged(lambda a, m: m.update(position="[" * 100_000)),
    "a deep log": forged(lambda a, m: m.update(log="[" * 100_000)),
    "a log of words": forged(lambda a, m: m.update(log='["x"]')),
    "a log without epochs": forged(lambda a, m: m.update(log="[{}]")),
    "an identity that is a list": forged(lambda a, m: m.update(identity="[]")),
    "a deep identity": forged(lambda a, m: m.update(identity="[" * 100_000)),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_checkpoint_whose_parts_do_not_fit_is_refused(data, undisturbed, tmp_path, capsys, name):
    """Whoever forges the content forges the checksum; native code must not see a wrong length."""
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    FORGED[name](out)
    (out / "metrics.json").unlink()
    assert main(["train", "--data", str(data), *FLAGS, "--out", str(out), "--resume"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "checkpoint.safetensors" in said
    assert "start again" in said or "belongs to another run" in said or "run on other data" in said


def test_the_checkpoint_before_a_damaged_one_is_used(data, undisturbed, tmp_path):
    """To the same bytes; of two damaged ones the newest says what is wrong, and none of them is overwritten."""
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    for name in ("model.safetensors", "users.safetensors", "metrics.json"):
        (out / name).unlink()
    newest = out / "checkpoint.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="goes on from the checkpoint before it"):
        assert_resumed(data, out, undisturbed)
    for path in (newest, previous(newest)):
        path.write_bytes(b"x")
    assert main(["train", "--data", str(data), *FLAGS, "--out", str(out), "--resume"]) == 2
    assert newest.read_bytes() == previous(newest).read_bytes() == b"x"


def test_a_kill_between_two_checkpoints_leaves_the_first(data, undisturbed, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    (out / "checkpoint.safetensors").unlink()
    assert_resumed(data, out, undisturbed)


def test_the_log_is_appended_and_a_cut_line_is_mended(toy_split, tmp_path, monkeypatch):
    whole, write_log = [], Checkpoint.write_log
    monkeypatch.setattr(Checkpoint, "write_log", lambda self, path: whole.append(self.epoch) or write_log(self, path))
    fit(MultVAE(120, 16, 6), toy_split, CONFIG, folder=tmp_path)
    assert whole[0] == 1
    assert set(whole) == {1, 4}  # at the start and at the end, not at every epoch
    log = tmp_path / "log.jsonl"
    lines = log.read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    log.write_text("\n".join(lines[:2]) + '\n{"epo')
    fit(MultVAE(120, 16, 6), toy_split, replace(CONFIG, epochs=6), folder=tmp_path, resume=True)
    assert [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


# two at once


def test_a_second_command_leaves_the_running_one_alone(table, tmp_path, capsys):
    """The folder of several draws or folds is held as a whole."""
    out = tmp_path / "draws"
    holder = program(
        ["--version"],
        f"import time\nfrom pathlib import Path\nfrom minivae.study.run import folders\n"
        f"with folders.hold(Path({str(out)!r})):\n    print('held', flush=True)\n    time.sleep(600)",
    )
    assert holder.stdout.readline() == "held\n"
    argv = ["study", "--data", str(table), "--models", "ease", "--out", str(out)]
    for more in (["--split-seeds", "1,2"], ["--split-seeds", "1,2", "--resume"], ["--folds", "3"]):
        assert main([*argv, *more]) == 2
        assert "another run is at work in" in capsys.readouterr().err
    assert {p.name for p in out.iterdir()} == {folders.LOCK, folders.PROCESSES}
    holder.kill()
    holder.communicate()


def test_two_runs_in_one_folder(data, undisturbed, tmp_path, capsys):
    out = tmp_path / "run"
    holder = program(
        ["--version"],
        f"import time\nfrom pathlib import Path\nfrom minivae.study.run import folders\n"
        f"with folders.hold(Path({str(out)!r})):\n    print('held', flush=True)\n    time.sleep(600)",
    )
    assert holder.stdout.readline() == "held\n"
    for argv in (["train"], ["study"], ["study", "--resume"]):
        assert main([*argv, "--data", str(data), "--out", str(out)]) == 2
        assert "another run is at work in" in capsys.readouterr().err
    holder.kill()
    holder.communicate()
    assert (out / folders.LOCK).exists()  # the file survives, the lock does not
    assert_resumed(data, out, undisturbed)


def test_a_lock_is_given_back(tmp_path):
    new = tmp_path / "new"
    with folders.hold(new):
        assert sorted(p.name for p in new.iterdir()) == [folders.LOCK, folders.PROCESSES]
        with pytest.raises(InputError, match="another run"), folders.hold(new):
            pass
    assert not new.exists()  # nothing came of it
    with folders.hold(new):
        (new / "result").write_text("")
    assert [p.name for p in new.iterdir()] == ["result"]


# damage


@pytest.fixture(scope="module")
def sound(data, undisturbed):
    """Kind -> (content, reader) of a split, a checkpoint and a model."""
    files = {
        "split": (data, StrongSplit.load),
        "model": (undisturbed / "model.safetensors", mv.load_model),
        "checkpoint": (undisturbed / "checkpoint.safetensors", lambda p: load_arrays(p, "checkpoint")),
    }
    return {kind: (path.read_bytes(), read) for kind, (path, read) in files.items()}


def assert_refused(content, read, folder):
    path = folder / "bad.safetensors"
    path.write_bytes(content)
    try:
        read(path)
    except InputError:
        return
    raise AssertionError("damage was not noticed")


@pytest.mark.parametrize("kind", ["split", "model", "checkpoint"])
@given(choice=st.data())
def test_a_changed_byte_anywhere_is_noticed(sound, tmp_path_factory, kind, choice):
    """Any place, the first kilobyte (length, header) as often as all the rest, and any change of the byte."""
    content, read = sound[kind]
    at = choice.draw(st.one_of(st.integers(0, 1023), st.integers(0, len(content) - 1)), "place")
    changed = bytes([content[at] ^ choice.draw(st.integers(1, 255), "change")])
    assert_refused(content[:at] + changed + content[at + 1 :], read, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("kind", ["split", "model", "checkpoint"])
def test_blanks_of_the_header_cannot_change_either(sound, tmp_path, kind):
    """The one change that leaves names, numbers and content as they are: another kind of blank in the padding."""
    content, read = sound[kind]
    end = 8 + int.from_bytes(content[:8], "little")
    padding = [at for at in range(end - 8, end) if content[at : at + 1] == b" "]
    for at in padding:
        for blank in (b"\t", b"\n", b"\r"):
            assert_refused(content[:at] + blank + content[at + 1 :], read, tmp_path)


# numbers that are none, memory that is not there


def test_a_diverged_run_gives_back_its_best_epoch(toy_split, tmp_path):
    class Broken(MultVAE):
        """From its third epoch on the loss is NaN."""

        passes = 0

        def posterior(self, batch):
            mu, logvar = super().posterior(batch)
            self.passes += self.training
            return (mu * float("nan"), logvar) if self.passes > 14 else (mu, logvar)

    model = Broken(120, 16, 6)
    with pytest.raises(Diverged, match="NaN or infinite in epoch 3: lower lr"):
        fit(model, toy_split, CONFIG, folder=tmp_path)
    two = fit(MultVAE(120, 16, 6), toy_split, replace(CONFIG, epochs=2))
    assert all(torch.equal(v, two.model.state_dict()[k]) for k, v in model.state_dict().items())
    saved, _ = load_arrays(tmp_path / "checkpoint.safetensors", "checkpoint")
    assert all(np.isfinite(v).all() for v in saved.values())


def test_a_run_that_diverges_at_once_gives_back_fresh_parameters(toy_split):
    model = MultVAE(120, 16, 6)
    with pytest.raises(Diverged, match="NaN or infinite in epoch 1"):
        fit(model, toy_split, replace(CONFIG, lr=1e30))
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_no_memory_in_training_says_what_to_lower(toy_split):
    class Greedy(MultVAE):
        def posterior(self, batch):
            return super().posterior(batch)[0], torch.empty(1 << 50)

    with pytest.raises(InputError, match=r"not enough memory for .* more; lower batch_size \(now 64\) or .*hidden 16"):
        fit(Greedy(120, 16, 6), toy_split, CONFIG)


def test_no_memory_for_items_times_items_says_what_to_leave_out(tmp_path, capsys):
    """EASE on five million items wants 100 TB."""
    n_items = 5_000_000
    rows = sp.csr_matrix((np.ones(20, np.float32), (np.repeat(np.arange(10), 2), np.arange(20))), (10, n_items))
    fold_in = FoldIn(rows, sp.csr_matrix((rows.data, rows.indices + 20, rows.indptr), rows.shape))
    StrongSplit(rows, fold_in, fold_in, np.arange(n_items)).save(tmp_path / "wide.safetensors")
    argv = ["study", "--data", str(tmp_path / "wide.safetensors"), "--models", "ease", "--out", str(tmp_path / "out")]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: there is not enough memory for")
    assert "leave ease out" in said
    assert said.count("\n") == 1


# Ctrl-C


class Pressed(MultVAE):
    """Gets a signal in its fifth forward pass of training."""

    forwards, signal = 0, signal.SIGINT

    def posterior(self, batch):
        self.forwards += self.training
        if self.training and self.forwards == 5:
            signal.raise_signal(self.signal)
        return super().posterior(batch)


@pytest.mark.parametrize("number", endings())
def test_a_run_ends_after_the_update_in_which_it_is_asked_to(toy_split, tmp_path, number):
    model = Pressed(120, 16, 6)
    model.signal = number
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        fit(model, toy_split, CONFIG, folder=tmp_path)
    assert model.forwards == 5
    position = json.loads(load_arrays(tmp_path / "checkpoint.safetensors", "checkpoint")[1]["position"])
    assert (position["epoch"], position["batches"]) == (0, 5)
    assert signal.getsignal(number) is before


def test_the_end_says_how_to_go_on(data, tmp_path):
    """A terminal's Ctrl-C and a cluster's SIGTERM: status 130, a checkpoint, and the command."""
    out = tmp_path / "run"
    argv = ["train", "--data", data, "--epochs", 100000, "--patience", 100000, "--device", "cpu", "--out", out]
    process = program(argv)
    while not (out / "checkpoint.safetensors").is_file() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.startswith(f"interrupted; the checkpoint is in {out}; continue with: minivae train")
    assert said.endswith("--resume\n")
