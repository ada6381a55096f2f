"""What a run tells while it goes: a metrics file that survives kills, TensorBoard's events."""

import errno
import io
import json
import sys

import numpy as np
import pytest

from ugatit_train.options.config import Options
from ugatit_train.options.schedule import Schedule
from ugatit_train.training import log
from ugatit_train.training.prospect import Pace


def test_log_line_is_the_model_zoos():
    line = log.log_line(7, 1000, 0.66642, 3.2190554, 2914.113)
    assert line == "[   7/1000] time per iter: 0.666s, d_loss: 3.219055, g_loss: 2914.113"


def test_metrics_of_an_interrupted_run_equal_those_of_a_whole_one(tmp_path):
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"

    def run(path, done, stop):
        with log.Metrics(path, done) as metrics:
            for step in range(done + 1, stop + 1):
                metrics.write(step, {"d_loss": np.float32(0.1 * step), "lr": 1e-4})

    run(whole, 0, 9)
    run(broken, 0, 6)
    with broken.open("a") as file:
        file.write('{"step": 7, "d_lo')  # killed in the middle of a write
    run(broken, 4, 9)  # the last checkpoint was at step 4
    assert broken.read_bytes() == whole.read_bytes()
    steps = log.read_metrics(whole)
    assert [line["step"] for line in steps] == list(range(1, 10))
    assert np.float32(steps[2]["d_loss"]) == np.float32(0.1 * 3)  # all digits


def test_a_line_is_readable_as_soon_as_it_is_written(tmp_path):
    metrics = log.Metrics(tmp_path / "m.jsonl")
    metrics.write(1, {"g_loss": 2})
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"step": 1, "g_loss": 2.0}
    metrics.close()


def test_a_new_run_begins_with_an_empty_file(tmp_path):
    with log.Metrics(tmp_path / "m.jsonl") as metrics:
        metrics.write(1, {"g_loss": 2})
    with log.Metrics(tmp_path / "m.jsonl"):
        assert log.read_metrics(tmp_path / "m.jsonl") == []


@pytest.mark.parametrize(
    "text",
    [
        b'{"step": 1}\nnoise\n{"step": 3}\n', b'{"loss": 1}\n', b"[1]\n", b'"step"\n', b"7\n", b"null\n", b"\n",
        b'{"step": 1}\n\xff\xfe\n', b'{"step": 1}\n' + bytes(99) + b'\n{"step": 3}\n', b'{"step": 1e999}\n',
        b'{"step": null}\n', b'{"step": 1, "d_loss": "2"}\n', b'{"step": 1, "d_loss": [2]}\n', b"[" * 99999 + b"\n",
        b'{"step": 1, "d_lo{"step": 2}\n',
    ],
)  # fmt: skip
def test_a_broken_line_is_named(tmp_path, text):
    (tmp_path / "m.jsonl").write_bytes(text)
    with pytest.raises(log.MetricsError, match=r"m\.jsonl, line \d: not a step"):
        log.read_metrics(tmp_path / "m.jsonl")


def test_a_broken_line_behind_the_step_that_a_run_goes_on_from_is_cut_off_with_the_rest(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1}\n{"step": 2}\nnoise\n{"step": 4}\n')
    with log.Metrics(tmp_path / "m.jsonl", 2):
        pass
    assert (tmp_path / "m.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'
    (tmp_path / "m.jsonl").write_text("noise\n")
    with log.Metrics(tmp_path / "m.jsonl"):
        pass
    assert (tmp_path / "m.jsonl").read_text() == ""


SCHEDULE = Schedule(iteration=9, decay_start=9, print_every=10, save_every=9)
PACE = Pace(Options(), SCHEDULE)


class Console(io.StringIO):
    """A stdout whose writes fail with `error` once it is set."""

    error = None

    def write(self, text):
        if self.error:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize(
    ("error", "closed"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1),  # `| head` has ended: the run is to end too
        (OSError(errno.EIO, "Input/output error"), 0),  # its terminal was closed: SIGHUP decides
    ],
)
def test_a_run_does_not_end_because_nobody_reads_its_log(tmp_path, monkeypatch, error, closed):
    console, told = Console(), []
    monkeypatch.setattr(sys, "stdout", console)
    values = {"d_loss": 1.0, "g_loss": 2.0, "data_wait_s": 0.0, "step_s": 1.0}
    with log.reporting(tmp_path, SCHEDULE, 0, False, PACE, lambda: told.append("closed")) as report:
        for step in range(1, 4):
            report(step, values)
            console.error = error
    assert console.getvalue().count("time per iter") == 1 and told == ["closed"] * closed
    assert (tmp_path / "train.log").read_text().count("time per iter") == 3


def test_a_console_with_a_full_disk_behind_it_is_an_error(tmp_path, monkeypatch):
    console = Console()
    console.error = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(sys, "stdout", console)
    values = {"d_loss": 1.0, "g_loss": 2.0, "data_wait_s": 0.0, "step_s": 1.0}
    with pytest.raises(OSError, match="No space"), log.reporting(tmp_path, SCHEDULE, 0, False, PACE) as report:
        report(1, values)


def test_a_run_that_was_started_without_a_stdout_logs_to_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with log.reporting(tmp_path, SCHEDULE, 0, False, PACE) as report:
        report(1, {"d_loss": 1.0, "g_loss": 2.0, "data_wait_s": 0.0, "step_s": 1.0})
    assert "time per iter" in (tmp_path / "train.log").read_text()


def test_tensorboard_events_hold_every_value(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed: pip install 'ugatit[tensorboard]'")
    from tensorboardX.proto.event_pb2 import Event

    with log.Events(tmp_path / "tensorboard", 4) as events:
        events.write(5, {"d_loss": np.float32(0.25), "lr": 1e-4})
    data, found, at = next((tmp_path / "tensorboard").iterdir()).read_bytes(), [], 0
    while at < len(data):  # TFRecord: length, its checksum, an event, its checksum
        length = int.from_bytes(data[at : at + 8], "little")
        found.append(Event.FromString(data[at + 12 : at + 12 + length]))
        at += length + 16
    values = {v.tag: (event.step, v.simple_value) for event in found for v in event.summary.value}
    assert values == {"d_loss": (5, 0.25), "lr": (5, pytest.approx(1e-4))}
    assert [event.step for event in found if event.session_log.status] == [
        5
    ]  # what was done before is dropped from here
