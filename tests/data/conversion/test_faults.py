"""The fault script, small; and what needs the command itself: Ctrl-C, two at once, a reader, a dying worker."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ugatit_data import BadInputError, ConversionError, LockedError, convert, open_loader
from ugatit_data.conversion.convert import carry_out
from ugatit_data.conversion.lock import Lock
from ugatit_data.conversion.plan import make_plan
from ugatit_data.conversion.sources import FolderSource

SCRIPT = Path(__file__).with_name("faults.py")
TOOL = Path(__file__).parents[3] / "tools" / "convert_dataset.py"


@pytest.fixture(scope="module")
def faults():
    spec = importlib.util.spec_from_file_location("faults", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_kills_flips_truncations_and_full_disks():
    environment = os.environ | {"GLOG_v": "3"}
    command = [sys.executable, SCRIPT, "--rounds", "10", "--flips", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 kills" in done.stdout
    assert " kills at a stage, " in done.stdout
    assert "60 flips, 60 named" in done.stdout or "60 named" in done.stdout


def test_a_flip_that_is_not_seen_is_counted(faults, dataset, tmp_path, monkeypatch):
    """The script can fail: without checks, flips reach batches."""
    import shutil

    copy = shutil.copytree(dataset, tmp_path / "copy")
    sound = faults.images_of(copy)
    file, begin, end = faults.regions(copy)["images"][0]
    assert faults.flip_once(copy, sound, file, (begin + end) // 2, 0) == "named"
    monkeypatch.setattr(faults, "verify", lambda folder: [])
    assert faults.flip_once(copy, sound, file, (begin + end) // 2, 0) == "undetected"
    unchecked = faults.open_loader
    monkeypatch.setattr(faults, "open_loader", lambda *a, **k: unchecked(*a, **k, check="off"))
    assert faults.flip_once(copy, sound, file, (begin + end) // 2, 3) == "reached a batch"


@pytest.fixture
def reference(source, tmp_path, convert_folder):
    return contents(convert_folder(source, tmp_path / "reference", shards=3))


def start(source, out):
    command = [sys.executable, TOOL, source, out, "--shards", "3", "--workers", "2"]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's job in the background ignores Ctrl-C, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


def test_ctrl_c_ends_at_once_and_the_next_run_resumes(source, tmp_path, reference):
    out = tmp_path / "out"
    process = start(source, out)
    wait_for(tmp_path / "out.partial" / ".lock")
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.splitlines()[-1] == "tools/convert_dataset.py: interrupted: run the same command again to resume"
    assert "Traceback" not in said
    convert(source, out, shards=3)
    assert contents(out) == reference


def test_a_killed_converter_leaves_no_worker(source, tmp_path):
    process = start(source, tmp_path / "out")
    wait_for(tmp_path / "out.partial" / ".lock")
    time.sleep(0.8)
    process.kill()
    process.communicate(timeout=30)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        alive = subprocess.run(["ps", "-s", str(process.pid), "-o", "pid="], capture_output=True, text=True).stdout
        if not alive.split():
            break
        time.sleep(0.1)
    assert alive.split() == []


def test_a_second_converter_is_kept_out_and_a_reader_told_to_wait(source, tmp_path):
    out = tmp_path / "out"
    plan = make_plan(FolderSource(source), out)
    with Lock(tmp_path / "out.partial"):
        with pytest.raises(LockedError, match="another conversion is at work there. Wait for it"):
            carry_out(plan, out)
        with pytest.raises(BadInputError, match="not finished yet, its conversion is in .*out.partial"):
            open_loader(out)
    carry_out(plan, out)  # the owner is gone: its lock is too
    with pytest.raises(BadInputError, match="exists already"):
        make_plan(FolderSource(source), out)
    with pytest.raises(BadInputError, match="exists already, made meanwhile"):
        carry_out(plan, out)


def test_finished_shards_are_kept_unless_damaged_or_of_changed_files(source, tmp_path, reference):
    import shutil

    own = shutil.copytree(source, tmp_path / "own")
    out, partial = tmp_path / "out", tmp_path / "out.partial"

    def fail_at_the_end(images, seen=Counter()):  # noqa: B006  counts over the calls
        seen["shards"] += 1
        if seen["shards"] == 12:
            raise RuntimeError("stop")

    plan = make_plan(FolderSource(own), out, shards=3)
    assert len(plan.jobs) == 12
    with pytest.raises(RuntimeError):
        carry_out(plan, out, progress=fail_at_the_end)
    assert len(list(partial.glob("*.receipt"))) == 12
    shard = partial / plan.jobs[0].file
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")  # damaged meanwhile
    (partial / (plan.jobs[1].file + ".receipt")).write_bytes(b"half a receipt")
    changed = own / "trainA" / os.fsdecode(plan.jobs[2].keys[0])
    changed.touch()  # its time stamp says that it may have changed
    report = convert(own, out, shards=3)
    assert report.resumed_shards == 9
    assert contents(out) == reference


class DyingExecutor:
    """As a pool whose worker was killed."""

    def submit(self, function, *arguments):
        from concurrent.futures import Future
        from concurrent.futures.process import BrokenProcessPool

        future = Future()
        future.set_exception(BrokenProcessPool("a process was terminated abruptly"))
        return future


def test_a_dying_worker_is_a_typed_error(source, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConversionError, match="a worker died .* Run the same command again to resume"):
        convert(source, out, executor=DyingExecutor())
    assert not out.exists()


def test_any_executor_runs_the_shards(source, tmp_path, reference):
    from concurrent.futures import ThreadPoolExecutor

    out = tmp_path / "out"
    with ThreadPoolExecutor(1) as executor:
        convert(source, out, shards=3, executor=executor)
    assert contents(out) == reference


def test_dask_is_asked_for_its_executor(monkeypatch):
    """Against a stand-in of the documented call, Client(address).get_executor(); CONTRIBUTING.md tells of a cluster."""
    import types

    from ugatit_data.conversion.workers import open_scheduler

    class Client:
        def __init__(self, address):
            self.address = address

        def get_executor(self):
            return ("executor of", self.address)

    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))
    assert open_scheduler("tcp://head:8786") == ("executor of", "tcp://head:8786")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInputError, match="distributed is not installed. Run `pip install distributed`"):
        open_scheduler("tcp://head:8786")
    with pytest.raises(BadInputError, match="must be tcp://host:port"):
        open_scheduler("head:8786")


def test_too_little_room_is_refused_beforehand(source, tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    out = tmp_path / "out"
    with pytest.raises(ConversionError, match="0 MiB free, but the data set needs about 0 MiB. Make room"):
        convert(source, out)
    assert not list(tmp_path.glob("out*"))
