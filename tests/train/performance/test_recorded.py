"""What the Ascend profiler writes: tables made by the wheel's own writers, from rows of ours; no card made them."""

from __future__ import annotations

import csv
from decimal import Decimal

import numpy as np
import pytest
from mindspore.profiler.analysis.viewer.ascend_kernel_details_viewer import AscendKernelDetailsViewer
from mindspore.profiler.analysis.viewer.ascend_step_trace_time_viewer import AscendStepTraceTimeViewer
from mindspore.profiler.common.constant import OpSummaryHeaders

from ugatit_train.performance import profiling, recorded
from ugatit_train.performance.recorded import ProfileError

STEPS = 2
CONV = ("Default/Conv2D-op1/Conv2D", "Conv2D", "AI_CORE", "1,4,66,66,16;36,4,16,16;", "FLOAT16;FLOAT16;INT8")
KERNELS = [  # name, type, core, input shapes and types, output shapes and types, begin, duration
    (*CONV, "1,4,64,64,16", "FLOAT16", "1000.5\t", "20.0"),
    ("Default/Add-op2/Add", "Add", "AI_VECTOR_CORE", "1,64,64,64;", "FLOAT;FLOAT", "1,64,64,64", "FLOAT", "900", "5"),
    ("Default/MatMul-op3/MatMulV2", "MatMulV2", "AI_CORE", "5,7;7,11", "FLOAT;FLOAT", "5,11", "FLOAT", "2000", "4"),
    ("Default/Mystery-op4", "Mystery", "AI_CPU", "N/A", "N/A", "N/A", "N/A", "3000", "100"),
]  # fmt: skip
# CANN's own table, which MindSpore copies: the columns that CANN documents.
STATISTIC = "Device_id,OP Type,Core Type,Count,Total Time(us),Min Time(us),Avg Time(us),Max Time(us),Ratio(%)"
COUNTED = ["0,Conv2D,AI_CORE,2,8000,20,20,20,1", "0,MatMulV2,AI_CORE,2,2000,4,4,4,1", "0,Mystery,AI_CPU,1,100,1,1,1,1"]


class Trace:
    """Stands for the wheel's container of events: no framework events, two steps by time."""

    hardware_op_event: dict = {}

    def get_step_id_time_dict(self):
        return {"1": (Decimal(0), Decimal(1500)), "2": (Decimal(1501), Decimal(9000))}


def write(folder, level="Level1"):
    """A folder as the profiler leaves it; its tables' folder."""
    output = folder / "host_1_2026_ascend_ms" / "ASCEND_PROFILER_OUTPUT"
    output.mkdir(parents=True)
    where = {"ascend_profiler_output_path": str(output), "ascend_ms_dir": str(output.parent), "profiler_level": level}
    headers = [header.value for header in OpSummaryHeaders]
    columns = ("OP_NAME", "OP_TYPE", "TASK_TYPE", "INPUT_SHAPES", "INPUT_DATA_TYPES", "OUTPUT_SHAPES",
               "OUTPUT_DATA_TYPES", "TASK_START_TIME", "TASK_DURATION")  # fmt: skip
    table = np.zeros(len(KERNELS), [(header, object) for header in headers])
    for row, kernel in zip(table, KERNELS, strict=True):
        for column, value in zip(columns, kernel, strict=True):
            quoted = f'"{value}"' if "SHAPES" in column or "DATA_TYPES" in column else value
            row[OpSummaryHeaders[column].value] = value if value == "N/A" else quoted
    kernels = AscendKernelDetailsViewer(**where, is_set_schedule=True, jit_level="O0", activities=["NPU"])
    kernels.save({"trace_view_container": Trace(), "op_summary": table, "op_summary_headers": headers})
    steps = AscendStepTraceTimeViewer(**where, activities=["NPU"])
    times = {"Computing": 4000, "Communication(Not Overlapped)": 100, "Free": 900}
    steps.step_trace_time_data_list = [{"Step": step} | times for step in (1, 2)]
    steps._write_data()
    (output / "op_statistic.csv").write_text("\n".join([STATISTIC, *COUNTED]) + "\n")
    return output


def test_the_tables_become_operations_with_their_costs(tmp_path):
    write(tmp_path)
    card = recorded.read_ascend(tmp_path, STEPS)
    add, conv, product, mystery = card.executions
    assert (add.name, add.kind, add.begin_us, add.duration_us) == ("Default/Add-op2/Add", "Add", 0.0, 5.0)
    assert add.shapes == ((1, 64, 64, 64), ()) and add.cost == (64**3, 4 * (2 * 64**3 + 1))
    assert conv.begin_us == 100.5
    assert conv.cost == (2 * 9 * 64 * 64 * 64**2, 2 * (64 * 66**2 + 36 * 4 * 256 + 64 * 64**2) + 1)
    assert product.cost == (2 * 5 * 7 * 11, 4 * (5 * 7 + 7 * 11 + 5 * 11))
    assert mystery.shapes == () and mystery.cost == (None, None)
    assert (card.computing_ms, card.communication_ms, card.free_ms) == (4.0, 0.1, 0.9)
    assert card.by_core == {"AI_CORE": 5.0, "AI_CPU": 0.05}


def test_below_level_1_costs_are_unknown_and_times_are_not(tmp_path):
    write(tmp_path, "Level0")
    card = recorded.read_ascend(tmp_path, STEPS)
    assert [(e.shapes, e.cost) for e in card.executions] == [((), (None, None))] * 4
    assert sum(e.duration_us for e in card.executions) == 129


def test_the_profiler_reports_the_card(tmp_path, monkeypatch, caplog):
    """StepProfiler told to record on Ascend: what MindSpore is asked for, and the same files as on the CPU."""
    asked = {}

    class Recorder:
        def __init__(self, **given):
            asked.update(given)

        def start(self): ...
        def step(self): ...
        def stop(self): ...

    monkeypatch.setattr(profiling, "profile", Recorder)
    write(tmp_path / "mindspore")
    with profiling.StepProfiler(tmp_path, "a step", "Ascend", skip=1, active=STEPS) as profiler:
        while not profiler.step(0.01):
            pass
    assert [activity.name for activity in asked["activities"]] == ["CPU", "NPU"]
    assert asked["experimental_config"].profiler_level.name == "Level1"
    rows = {row.kind: row for row in profiler.rows}
    assert rows["MatMulV2"].gflop == 2 * 5 * 7 * 11 / 1e9 / STEPS and rows["Mystery"].gflop is None
    assert all(row.of_ceiling is None for row in profiler.rows)
    assert "computing 4.0 (AI_CORE 5.0, AI_CPU 0.1), communication alone 0.1, waiting 0.9" in profiler.text
    assert {path.name for path in tmp_path.iterdir()} == {
        "mindspore", "operations.md", "operations.json", "operations.parquet", "operations.png", "trace.json",
    }  # fmt: skip


def test_a_folder_that_was_not_analysed_is_named(tmp_path):
    with pytest.raises(ProfileError, match=r"did not analyse the profile"):
        recorded.read_ascend(tmp_path, STEPS)


TABLES = {"kernel_details.csv": "Duration(us)", "op_statistic.csv": "Core Type", "step_trace_time.csv": "Free"}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_not_the_wheels_is_refused_by_name(name, tmp_path):
    path, column = write(tmp_path) / name, TABLES[name]

    def refused():
        with pytest.raises(ProfileError) as caught:
            recorded.read_ascend(tmp_path, STEPS)
        (words,) = str(caught.value).splitlines()
        assert str(path) in words
        return words

    header, *rows = whole = path.read_text().splitlines()
    path.write_text(header.replace(column, "Other") + "\n" + "\n".join(rows))
    assert f"no column {column!r}, but " in refused()
    path.write_text("")
    assert "but nothing" in refused()
    path.write_text(header + "\n")
    assert "holds no row" in refused()
    if column != "Core Type":  # a word is what belongs there
        place = next(csv.reader([header])).index(column)
        values = next(csv.reader([rows[0]]))
        values[place] = "soon"
        path.write_text(header + "\n" + ",".join(v if "," not in v else "" for v in values) + "\n")
        assert f"line 2: {column!r} is 'soon', not a number" in refused()
    path.write_text("\n".join(whole))
    recorded.read_ascend(tmp_path, STEPS)
    path.unlink()
    assert "missing" in refused()
