"""What the runtime settles for MindSpore, and how it reads its complaints."""

import os
import signal
import subprocess
import sys

import pytest

from ugatit_train import runtime


def test_mindspores_compile_cache_is_ignored_and_said_to_be(monkeypatch, caplog):
    """With it, a run with --lr 1e30 had the losses of the run before, with 1e-4: constants are not in its key."""
    monkeypatch.setenv("MS_COMPILER_CACHE_ENABLE", "1")
    runtime.setup("CPU")
    assert os.environ["MS_COMPILER_CACHE_ENABLE"] == "0"
    assert "MS_COMPILER_CACHE_ENABLE is ignored" in caplog.text
    caplog.clear()
    runtime.setup("CPU")
    assert caplog.text == ""


def test_the_device_is_what_setup_has_selected():
    assert runtime.setup("CPU") == runtime.Worker(rank=0, world=1)
    assert runtime.device() == "CPU"


@pytest.fixture
def cards(monkeypatch):
    """A stand-in for cards, by set_device's documentation: device_of(environment) -> where `setup` puts a process."""
    import mindspore
    from mindspore import communication

    def device_of(environment, **options):
        found = []

        def set_device(target, device_id=None):
            negotiated = int(os.environ["DEVICE_ID"]) if "MS_ROLE" in os.environ else 0
            found.append(negotiated if device_id is None else device_id)

        with monkeypatch.context() as patch:
            for name in ("MS_WORKER_NUM", "MS_ROLE", "RANK_TABLE_FILE", "RANK_ID", "RANK_SIZE", "ASCEND_DEVICE_ID"):
                patch.delenv(name, raising=False)
            for name, value in environment.items():
                patch.setenv(name, str(value))
            patch.setattr(mindspore, "set_device", set_device)
            patch.setattr(communication, "init", lambda: found.append("joined"))
            patch.setattr(communication, "get_rank", lambda: int(os.environ["RANK_ID"]))
            patch.setattr(communication, "get_group_size", lambda: int(os.environ["RANK_SIZE"]))
            return runtime.setup("Ascend", **options), *found

    return device_of


@pytest.mark.parametrize("world", [1, 2, 8])
def test_each_process_behind_a_launcher_gets_a_card_of_its_own(cards, world):
    for rank in range(world):
        told = {"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": world, "RANK_SIZE": world, "RANK_ID": rank, "DEVICE_ID": rank}
        found = cards(told, device_id=0, distributed=True)
        assert found == (runtime.Worker(rank, world), rank, "joined")


def test_a_single_process_takes_the_given_card_and_one_of_a_rank_table_its_platforms(cards):
    assert cards({}, device_id=3) == (runtime.Worker(), 3)
    table = {"RANK_TABLE_FILE": "table.json", "RANK_SIZE": 16}
    for rank in range(16):
        told = table | {"RANK_ID": rank, "ASCEND_DEVICE_ID": rank % 8}
        assert cards(told, distributed=True) == (runtime.Worker(rank, 16), rank % 8, "joined")
    with pytest.raises(runtime.DeviceError, match="RANK_ID is 'one', not a number"):
        cards(table | {"RANK_ID": "one"}, distributed=True)
    with pytest.raises(runtime.DeviceError, match="was not started by msrun or a launcher: use ugatit launch"):
        cards(table, distributed=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_waits_for_others_ends_at_a_signal(number):
    """MindSpore waits in C++, where no handler of Python's runs: for the scheduler, ten minutes."""
    code = (
        "import os, signal, time\nfrom ugatit_train import runtime\n"
        f"signal.signal({int(number)}, lambda *_: None)\n"
        "with runtime._ending_at_once():\n    print(flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(30) == -number


@pytest.mark.parametrize(
    ("chip", "asked", "chosen", "calls"),
    [
        ("Ascend910B2", None, "hf32", ["must_keep_origin_dtype", ("conv", True), ("matmul", False)]),
        ("Ascend910B4", "float32", "float32", ["must_keep_origin_dtype", ("conv", False), ("matmul", False)]),
        ("Ascend910_9391", "float16", "float16", ["must_keep_origin_dtype", ("conv", False), ("matmul", False)]),
        ("Ascend910B", None, "float16", ["allow_fp32_to_fp16"]),  # a first 910, in spite of its name
        ("Ascend910ProA", "float16", "float16", ["allow_fp32_to_fp16"]),
        ("Ascend910A", "hf32", None, []),
        ("Ascend910A", "float32", None, []),
    ],
)
def test_each_ascend_chip_is_told_its_precision_by_the_documented_calls(
    chip, asked, chosen, calls, monkeypatch, caplog
):
    import mindspore as ms

    op_precision, made = ms.device_context.ascend.op_precision, []
    monkeypatch.setattr(runtime, "device", lambda: "Ascend")
    monkeypatch.setattr(ms.hal, "get_device_name", lambda device_id: chip)
    monkeypatch.setattr(op_precision, "precision_mode", made.append)
    monkeypatch.setattr(op_precision, "conv_allow_hf32", lambda value: made.append(("conv", value)))
    monkeypatch.setattr(op_precision, "matmul_allow_hf32", lambda value: made.append(("matmul", value)))
    caplog.set_level("INFO")
    if chosen is None:
        with pytest.raises(runtime.DeviceError, match=f"--precision {asked}: {chip} computes convolutions in float16"):
            runtime.set_precision(asked)
    else:
        assert runtime.set_precision(asked) == chosen
        assert [record.getMessage() for record in caplog.records] == [
            f"{chip}: convolutions in {chosen}{'' if asked else ', its default: see --precision'}"
        ]
    assert made == calls


@pytest.mark.parametrize(("device", "value"), [("CPU", "3"), ("Ascend", None), ("GPU", None)])
def test_the_copies_of_parameters_are_left_out_on_the_cpu_only(device, value, monkeypatch):
    """MindSpore's manual says of 3 that values are not ensured; the CPU's are compared with float64."""
    import mindspore as ms

    monkeypatch.setattr(ms, "set_device", lambda *_: None)
    monkeypatch.delenv("MS_DEV_SIDE_EFFECT_LOAD_ELIM")
    runtime.setup(device)
    assert os.environ.get("MS_DEV_SIDE_EFFECT_LOAD_ELIM") == value
    monkeypatch.setenv("MS_DEV_SIDE_EFFECT_LOAD_ELIM", "1")  # the user's own
    runtime.setup(device)
    assert os.environ["MS_DEV_SIDE_EFFECT_LOAD_ELIM"] == "1"


def test_the_others_wait_for_the_one_that_judges_and_saves(monkeypatch):
    """MindSpore reads it when a process joins; by itself a CPU's worker fails after 30 s."""
    from mindspore import communication

    found = []
    monkeypatch.setenv("MS_WORKER_NUM", "2")
    monkeypatch.setattr(communication, "init", lambda: found.append(os.environ["MS_CPU_COMM_OP_TIMEOUT"]))
    monkeypatch.setattr(communication, "get_rank", lambda: 1)
    monkeypatch.setattr(communication, "get_group_size", lambda: 2)
    monkeypatch.delenv("MS_CPU_COMM_OP_TIMEOUT", raising=False)
    assert runtime.setup(distributed=True) == runtime.Worker(1, 2)
    monkeypatch.setenv("MS_CPU_COMM_OP_TIMEOUT", "60")  # the user's own
    runtime.setup(distributed=True)
    assert found == ["1800", "60"]


def test_the_import_sets_nothing_that_depends_on_the_device():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MS_")}
    code = "import os, ugatit_train.runtime; print([name for name in os.environ if name.startswith('MS_')])"
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.fixture
def levels(monkeypatch):
    """The levels of compilation that MindSpore is given from here on."""
    import mindspore as ms

    given = []

    def set_context(jit_config):
        given.append(jit_config["jit_level"])
        monkeypatch.setattr(ms.context, "get_jit_config", lambda: jit_config)

    monkeypatch.setattr(ms, "set_context", set_context)
    return given


def test_mindspore_is_given_the_level_of_compilation_that_is_asked_for_and_none_otherwise(levels):
    runtime.set_jit_level(None)
    assert levels == []
    runtime.set_jit_level("O1")
    runtime.set_jit_level("O0")
    assert levels == ["O1", "O0"]
    with pytest.raises(runtime.DeviceError, match="--jit_level O0 of an earlier run stays in this process: give it"):
        runtime.set_jit_level(None)


def test_with_a_rank_table_mindspore_takes_o2_whatever_it_is_given(levels, monkeypatch):
    monkeypatch.setattr(runtime, "device", lambda: "Ascend")
    monkeypatch.setenv("RANK_TABLE_FILE", "table.json")
    monkeypatch.delenv("MS_ROLE", raising=False)
    with pytest.raises(runtime.DeviceError, match="--jit_level O1: with a rank table MindSpore compiles at O2: give"):
        runtime.set_jit_level("O1")
    runtime.set_jit_level("O2")
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")  # msrun's
    runtime.set_jit_level("O1")
    assert levels == ["O2", "O1"]


def test_the_cpu_computes_in_float32():
    assert runtime.set_precision(None) == runtime.set_precision("float32") == "float32"


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (
            RuntimeError(
                "\n- Memory not enough:\n----\nMemory isn't enough and alloc failed, kernel name: Default/Im2Col-op0"
                ", alloc size: 14112000000B.\n\n----\n- C++ Call Stack:\n----\nmindspore/x.cc:1 Run\n"
            ),
            "Memory isn't enough and alloc failed, kernel name: Default/Im2Col-op0, alloc size: 14112000000B",
        ),
        (RuntimeError("model.onnx: Failed to allocate memory for requested buffer of size 9"), "model.onnx: Failed to"),
        (MemoryError("Unable to allocate 7.5 GiB for an array"), "Unable to allocate 7.5 GiB for an array"),
        (MemoryError(), "out of memory"),
        (RuntimeError("For 'MatMul', the shapes differ"), None),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, found):
    said = runtime.lack_of_memory(error)
    assert said is None if found is None else said.startswith(found)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's tunables are for Linux")
@pytest.mark.parametrize(("given", "found"), [(None, runtime.MALLOC_TUNABLES), ("glibc.malloc.perturb=1", None)])
def test_a_restart_keeps_the_process_and_its_arguments_and_leaves_given_tunables(tmp_path, given, found):
    program = tmp_path / "with a space.py"
    program.write_text(
        "import os, sys\nfrom ugatit_train import runtime\nprint('before', os.getpid())\nsys.stdout.flush()\n"
        "runtime.restart_with_huge_pages()\nprint(os.environ['GLIBC_TUNABLES'], os.getpid(), *sys.argv[1:], sep='|')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"GLIBC_TUNABLES": given} if given else {}
    run = [sys.executable, "-W", "error", str(program), "--a", "b c"]
    lines = subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines.count(lines[0]) == (1 if given else 2)  # it began once, or twice as one process
    assert lines[-1] == f"{found or given}|{lines[0].split()[1]}|--a|b c"
