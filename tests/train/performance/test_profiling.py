"""The profile of a small graph: every operation once a step, its shapes, the table, the trace, the chart."""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from mindspore import Tensor, nn, ops

from ugatit_train.performance import profiling
from ugatit_train.performance.profiling import BETWEEN, StepProfiler
from ugatit_train.performance.recorded import Execution, ProfileError, read_cpu

STEPS = 2


class Net(nn.Cell):
    """Two products of known size."""

    def construct(self, x, w):
        return ops.relu(ops.matmul(ops.matmul(x, w), w)).sum()


@pytest.fixture(scope="module")
def recorded(small_ceilings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    net, x, w = Net(), Tensor(np.ones((64, 256), np.float32)), Tensor(np.ones((256, 256), np.float32))
    calls = 0
    with StepProfiler(folder, "two products", skip=3, active=STEPS) as profiler:
        finished = False
        while not finished:
            net(x, w).asnumpy()
            calls += 1
            finished = profiler.step(0.5)
    assert calls == 3 + STEPS
    assert profiler.step(0.5)  # more steps change nothing
    assert profiler.text == (folder / "operations.md").read_text()
    assert "two products" in profiler.text and "step under the profiler 0.500 s" in profiler.text
    return read_cpu(folder / "mindspore")


def test_every_operation_of_every_recorded_step_is_there(recorded):
    products = [e for e in recorded if e.kind == "MatMul"]
    assert [e.shapes for e in products] == [((64, 256), (256, 256))] * 2 * STEPS
    assert len({e.name for e in products}) == 2
    begins = [e.begin_us for e in recorded]
    assert begins == sorted(begins) and begins[0] == 0
    assert all(e.duration_us > 0 for e in recorded)


def test_the_table_adds_up_to_the_step(recorded):
    rows = profiling.table(recorded, STEPS, 0.5, {"sgemm": 100.0, "copy": 10.0})
    assert sum(row.total_ms for row in rows) == pytest.approx(500)
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert profiling.accounted(rows) == pytest.approx(sum(e.duration_us for e in recorded) / STEPS / 0.5e6)
    product = next(row for row in rows if row.kind == "MatMul")
    assert product.calls == 2
    assert product.gflop == pytest.approx(2 * 2 * 64 * 256 * 256 / 1e9)
    assert product.gflop_per_s == pytest.approx(product.gflop / product.total_ms * 1e3)
    assert product.of_ceiling == pytest.approx(max(product.gflop_per_s / 100, product.gb_per_s / 10))
    assert rows[-1].kind == BETWEEN
    assert f"| MatMul | 2 | {product.total_ms:.1f} |" in profiling.as_text(rows)


def test_trace_and_parquet_hold_every_operation_with_numbers(recorded, tmp_path):
    profiling.write_trace(recorded, tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(events) == len(recorded)
    for event, e in zip(events, recorded, strict=True):
        assert isinstance(event["ts"], float) and isinstance(event["dur"], float)
        assert {"name", "cat", "pid", "tid", "args"} <= set(event) and event["name"] == e.kind
    profiling.write_parquet(recorded, tmp_path / "operations.parquet")
    table = pq.ParquetFile(tmp_path / "operations.parquet").read(use_threads=False)
    assert table["kind"].to_pylist() == [e.kind for e in recorded]
    assert table["duration_us"].to_pylist() == [e.duration_us for e in recorded]
    assert table["shapes"].to_pylist()[0] == [list(shape) for shape in recorded[0].shapes]


def test_the_category_of_an_event_is_its_network_and_direction():
    names = ["Gradients/Default/genA2B-Generator/x/Mul-op1", "Default/disLB-Discriminator/Mul-op1", "Expand/Mul-op7"]
    assert [profiling._network(name) for name in names] == ["genA2B backward", "disLB forward", "other"]


def test_the_chart_is_a_picture(recorded, tmp_path):
    profiling.draw(profiling.table(recorded, STEPS, 0.5, {}), tmp_path / "chart.png", "title")
    assert min(cv2.imread(str(tmp_path / "chart.png")).shape[:2]) > 100


def test_a_folder_without_a_profile_is_named(tmp_path):
    with pytest.raises(ProfileError, match="holds no CPU profile"):
        read_cpu(tmp_path)


def test_lists_that_differ_are_refused(tmp_path):
    folder = tmp_path / "vm_ascend_ms" / "FRAMEWORK"
    folder.mkdir(parents=True)
    (folder / "cpu_op_execute_timestamp_0.txt").write_text("Default/Mul-op0;HostCpuOps;1000,0.5,0 \n")
    (folder / "cpu_framework_0.txt").write_text("Mul;Mul-op0;1;input_1:[2, 3];input_2:[];input_3:NoShape;\n")
    assert read_cpu(tmp_path) == [Execution("Default/Mul-op0", "Mul", 0.0, 500.0, ((2, 3), ()))]
    (folder / "cpu_framework_0.txt").write_text("Add;Add-op0;1;input_1:[2, 3];\n")
    with pytest.raises(ProfileError, match="differ"):
        read_cpu(tmp_path)


def test_the_last_profile_of_a_folder_is_read(tmp_path):
    """A resumed run profiles into the same folder with another process number: names do not tell the order."""
    for number, (name, kind) in enumerate((("vm_9_ascend_ms", "Mul"), ("vm_10_ascend_ms", "Add"))):
        folder = tmp_path / name / "FRAMEWORK"
        folder.mkdir(parents=True)
        times = folder / "cpu_op_execute_timestamp_0.txt"
        times.write_text(f"Default/{kind}-op0;HostCpuOps;1000,0.5,0 \n")
        os.utime(times, (number, number))
        (folder / "cpu_framework_0.txt").write_text(f"{kind};{kind}-op0;1;input_1:[2, 3];\n")
    assert [execution.kind for execution in read_cpu(tmp_path)] == ["Add"]


def test_the_profiler_ends_with_its_block(tmp_path, caplog):
    """If it is left before its steps are done, it says so and stops, so that the next profile can start."""
    caplog.set_level("WARNING", "ugatit_train")
    for part in ("one", "two"):
        with StepProfiler(tmp_path / part, "", skip=1, active=5) as profiler:
            assert not profiler.step(0.5)
    assert caplog.messages == ["no profile: 5 more steps were needed"] * 2
