"""Graphs from a folder: the same numbers, never another's graph; what can go wrong costs a warning at most."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from ugatit_train.networks import compiling, graphfiles, graphkey, graphscratch
from ugatit_train.networks.compiling import GraphCache, folder_of
from ugatit_train.networks.graphfiles import pack, unpack

X = Tensor(np.arange(12, dtype=np.float32).reshape(3, 4))


class Net(nn.Cell):
    """A call also changes the weight. `factor` is a constant of the graph."""

    def __init__(self, factor=2.0, fill=1.0):
        super().__init__()
        self.weight = Parameter(Tensor(np.full((4, 4), fill, np.float32)), name="weight")
        self.bias = Tensor(np.array([1, 2, 3, 4], np.float32))
        self.factor = factor

    def construct(self, x):
        y = ops.matmul(x, self.weight) * self.factor + self.bias
        return ops.depend(y, ops.assign(self.weight, self.weight + 1))


def added(self, x):
    return x + self.weight[:3]


def impossible(self, x):
    return ops.matmul(x, x)


def expected(factor=2.0, fill=1.0):
    """What `called` gives of `Net(factor, fill)`: whole numbers, which float32 holds."""
    x, bias, found = X.asnumpy(), [1, 2, 3, 4], []
    for weight in (fill, fill + 1):
        found.append((x @ np.full((4, 4), weight) * factor + bias).tolist())
    return [*found, np.full((4, 4), fill + 2).tolist()]


def called(net):
    return [net(X).asnumpy().tolist(), net(X).asnumpy().tolist(), net.weight.asnumpy().tolist()]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "graphs"


@pytest.fixture
def kept(folder):
    """The file of `Net()`'s graph."""
    assert not GraphCache(folder).compile(Net(), X)
    (file,) = folder.glob("*.graph")
    return file


def test_the_second_of_equal_cells_is_loaded_and_computes_the_same(folder):
    cache, nets, announced = GraphCache(folder), [Net(), Net(), Net()], []
    assert [cache.compile(net, X, at_compiling=announced.append) for net in nets] == [False, True, True]
    assert announced == [folder]
    assert [called(net) for net in nets] == [expected()] * 3
    assert GraphCache(folder).compile(Net(), X)


def test_weights_are_the_cells_own(folder, kept):
    net = Net(fill=5.0)
    assert GraphCache(folder).compile(net, X)
    assert called(net) == expected(fill=5.0) != expected()


def test_another_constant_shape_or_code_is_another_graph(folder, kept, monkeypatch):
    cache = GraphCache(folder)
    other = Net(factor=3.0)
    assert not cache.compile(other, X)
    assert called(other) == expected(factor=3.0) != expected()
    assert not cache.compile(Net(), Tensor(np.ones((5, 4), np.float32)))
    monkeypatch.setattr(Net, "construct", added)
    changed = Net()
    assert not cache.compile(changed, X)
    assert (changed(X).asnumpy() == X.asnumpy() + 1).all()
    assert len(list(folder.glob("*.graph"))) == 4


def test_graphs_loaded_and_compiled_in_any_order_are_not_mixed_up(folder):
    factors = [2.0, 3.0, 2.0, 5.0, 3.0, 7.0, 2.0]
    for i, factor in enumerate(factors):
        net = Net(factor)
        assert GraphCache(folder).compile(net, X) == (factor in factors[:i])
        Net(factor + 10)(X)  # and others in between, without the cache
        assert called(net) == expected(factor)


def test_a_cell_that_is_ready_is_left_alone_and_moves_no_number(folder, kept):
    net = Net()
    assert GraphCache(folder).compile(net, X)
    assert not GraphCache(folder).compile(net, X)
    assert GraphCache(folder).compile(Net(), X)
    assert called(net) == expected()


def test_a_damaged_file_is_compiled_again_with_one_warning(folder, kept, caplog):
    good = kept.read_bytes()
    middle = len(good) // 2
    for bad in (good[:-1], good[:middle], b"", good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
                b"other format\n" + good, good.replace(b"rank_0", b"rank_1", 1)):  # fmt: skip
        kept.write_bytes(bad)
        caplog.clear()
        assert graphfiles.read(kept) is None
        assert [record.getMessage() for record in caplog.records] == [f"{kept}: damaged: compiling again"]
        assert not kept.exists()
    kept.write_bytes(bad)
    net = Net()
    assert not GraphCache(folder).compile(net, X)
    assert called(net) == expected()
    assert GraphCache(folder).compile(Net(), X)


@pytest.mark.parametrize("inner", [b"", b"no graph of MindSpore", None])
def test_a_graph_that_mindspore_cannot_load_is_compiled_again(inner, folder, kept):
    """The digest is right: say, another program wrote it."""
    files = unpack(kept.read_bytes())
    (name, data) = next(iter(files.items()))
    kept.write_bytes(pack({name: data[: len(data) // 2] if inner is None else inner}))
    net = Net()
    assert not GraphCache(folder).compile(net, X)
    assert called(net) == expected()
    assert GraphCache(folder).compile(Net(), X)


def by_way_of_numpy(self, x):
    return Tensor(x.asnumpy() * 2)


def test_a_graph_that_mindspore_cannot_write_is_compiled_at_each_start_with_one_warning(folder, monkeypatch, caplog):
    """Such as one that calls Python while it runs. Its compilation fails where the cache is on, not otherwise."""
    monkeypatch.setattr(Net, "construct", by_way_of_numpy)
    for _ in range(2):
        net = Net()
        assert not GraphCache(folder).compile(net, X)
        assert (net(X).asnumpy() == 2 * X.asnumpy()).all()
    assert [r.getMessage().startswith("MindSpore cannot keep this graph (Cannot export") for r in caplog.records] == [
        True
    ]
    monkeypatch.undo()
    assert not GraphCache(folder).compile(Net(), X)
    assert GraphCache(folder).compile(Net(), X)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), RuntimeError("Memory not enough")])
def test_what_may_pass_keeps_no_graph_out_for_ever(failure, folder, monkeypatch, caplog):
    def fail(self, cell, inputs):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(graphscratch.Scratch, "compile", fail)
        net = Net()
        assert not GraphCache(folder).compile(net, X)
        assert called(net) == expected()
    assert [r.getMessage().endswith("the next start tries it again") for r in caplog.records] == [True]
    assert not GraphCache(folder).compile(Net(), X)
    assert GraphCache(folder).compile(Net(), X)


def test_a_graph_that_mindspore_writes_half_is_not_kept(folder, monkeypatch, caplog):
    """It raises nothing when a disk is full. A limit of the size of files stands for that."""
    compile_whole = graphscratch.Scratch.compile

    def compile_half(self, cell, inputs):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            return compile_whole(self, cell, inputs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with monkeypatch.context() as patch:
        patch.setattr(graphscratch.Scratch, "compile", compile_half)
        net = Net()
        assert not GraphCache(folder).compile(net, X)
        assert called(net) == expected()
    assert [r.getMessage().endswith("the next start tries it again") for r in caplog.records] == [True]
    assert not list(folder.iterdir())
    assert not GraphCache(folder).compile(Net(), X)
    assert GraphCache(folder).compile(Net(), X)


def test_folders_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    others = [tmp_path / "ugatit-graphs-of-mine", tmp_path / "ugatit-graphs-1-file", tmp_path / "ugatit-graphs-2-link"]
    others[0].mkdir()
    others[1].write_text("")
    others[2].symlink_to(others[0])
    of_process = tmp_path / "ugatit-graphs-3-of_another"
    (of_process / "rank_0").mkdir(parents=True)
    program = (
        f"import fcntl, os; fcntl.flock(os.open({str(of_process)!r}, 0), fcntl.LOCK_EX); print(flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", program], **pipes)
    try:
        assert process.stdout.readline() == "\n"
        mine = [graphscratch.Scratch() for _ in range(2)]
        assert of_process.is_dir()
        assert all(each.path.is_dir() for each in mine)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert of_process.is_dir()
    mine.append(graphscratch.Scratch())
    assert sorted(tmp_path.iterdir()) == sorted([*others, *(each.path for each in mine)])


def test_a_forked_process_leaves_its_parents_folder_alone(folder, kept, monkeypatch, caplog):
    """MindSpore in it keeps to the parent's folder and numbers."""
    parents = graphscratch.own_scratch()
    (parents.path / "of the parent").write_text("")
    monkeypatch.setattr(os, "getpid", lambda: parents.owner + 1)
    cache = GraphCache(folder)
    for _ in range(2):
        net = Net()
        assert not cache.compile(net, X)
        assert called(net) == expected()
    monkeypatch.undo()
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["no compile cache"]
    assert (parents.path / "of the parent").is_file()
    assert GraphCache(folder).compile(Net(), X)


def test_a_cell_as_a_function_looks_once_at_each_shape(folder, monkeypatch):
    asked, cache = [], GraphCache(folder)
    monkeypatch.setattr(cache, "compile", lambda cell, *inputs: asked.append(inputs[0].shape))
    net, other = Net(), Net()
    run = compiling.through_cache(net, cache)
    taller = Tensor(np.ones((5, 4), np.float32))
    for x in (X, taller, X, X):
        assert (run(x).asnumpy() == other(x).asnumpy()).all()
    assert asked == [(3, 4), (5, 4)]


def test_open_shapes_stay_outside(folder):
    net = Net()
    net.set_inputs(Tensor(shape=[None, 4], dtype=ms.float32))
    assert not GraphCache(folder).compile(net, X)
    assert not folder.exists()


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_a_folder_that_cannot_be_used_is_one_warning(where, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" if where == "a file" else tmp_path / "file" / "graphs"
    cache = GraphCache(folder)
    for _ in range(2):
        net = Net()
        assert not cache.compile(net, X)
        assert called(net) == expected()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"no compile cache: {folder}")
    assert record.getMessage().endswith(": compiling takes its full time")


def test_a_full_disk_keeps_nothing(folder, monkeypatch, caplog):
    monkeypatch.setattr(graphscratch.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1 << 20}))
    assert not GraphCache(folder).compile(Net(), X)
    assert "less than 256 MB are free" in caplog.text
    assert not list(folder.glob("*.graph"))


def test_a_value_of_an_unknown_kind_keeps_the_cell_out(folder, caplog):
    for _ in range(2):
        net = Net()
        net.handle = threading.Lock()
        assert not GraphCache(folder).compile(net, X)
    assert "it holds an unknown kind of value: [0].handle" in caplog.text
    assert not folder.exists()


def test_sources_that_changed_since_the_start_switch_it_off(folder, monkeypatch, caplog):
    """MindSpore reads the code of a function when it compiles it, which may be newer than what was imported."""
    monkeypatch.setattr(graphkey, "sources", lambda: "edited")
    assert not GraphCache(folder).compile(Net(), X)
    assert "source files of ugatit changed since this program began" in caplog.text
    assert not folder.exists()


def test_a_failing_compilation_keeps_nothing_and_says_why(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MindSpore leaves an account of it
    with monkeypatch.context() as patch:
        patch.setattr(Net, "construct", impossible)
        with pytest.raises(RuntimeError, match="MatMul"):
            GraphCache(folder).compile(Net(), X)
    assert not list(folder.glob("*.graph"))
    assert not GraphCache(folder).compile(Net(), X)
    assert GraphCache(folder).compile(Net(), X)


def test_the_graphs_that_were_used_longest_ago_go_first(folder, kept):
    size = kept.stat().st_size
    cache = GraphCache(folder, limit=3 * size + size // 2)
    for i, factor in enumerate((3.0, 4.0)):
        cache.compile(Net(factor), X)
        os.utime(max(folder.glob("*.graph"), key=lambda path: path.stat().st_mtime_ns), (i + 1, i + 1))
    assert cache.compile(Net(), X)  # used now
    assert not cache.compile(Net(5.0), X)
    assert [cache.compile(Net(factor), X) for factor in (2.0, 4.0, 5.0)] == [True] * 3
    assert not cache.compile(Net(3.0), X)


def test_what_a_killed_process_left_goes_after_an_hour(folder, kept):
    dead, young = (kept.with_name(f"{digit * 64}.graph.77.partial") for digit in "ab")
    others = [folder / "thesis.pdf.partial", folder / "mine.graph"]
    for left in (dead, young, *others):
        left.write_text("half")
    for left in (dead, *others):
        os.utime(left, (1, 1))
    GraphCache(folder).compile(Net(3.0), X)
    assert (dead.exists(), young.exists(), kept.exists()) == (False, True, True)
    graphfiles.evict(folder, limit=0)
    assert [left.exists() for left in (*others, kept)] == [True, True, False]


PROGRAM = """
import sys
from ugatit_train import runtime
runtime.setup("CPU")
from pathlib import Path
from ugatit_train.networks.compiling import GraphCache
from MODULE import Net, X, called
net = Net()
print("ready", flush=True)
sys.stdin.readline()
print(GraphCache(Path(sys.argv[1])).compile(net, X), called(net))
"""


def test_two_processes_at_once_and_one_after_them(folder):
    """Both compile, one file stays, and it is the third's. Each removes its own folder at its end."""
    program = [sys.executable, "-c", PROGRAM.replace("MODULE", Net.__module__), str(folder)]
    root = Path(__file__).parents[3]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": root}
    both = [subprocess.Popen(program, stdin=subprocess.PIPE, **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=300) for process in both]
    assert [text[text.find(" ") :] for text, _ in said] == [f" {expected()}\n"] * 2, said
    assert any(text.startswith("False") for text, _ in said)
    assert len(list(folder.iterdir())) == 1
    net = Net()
    assert GraphCache(folder).compile(net, X)
    assert called(net) == expected()


@pytest.mark.parametrize(
    ("choice", "target", "environment", "expected"),
    [
        ("off", "CPU", {}, None),
        ("auto", "CPU", {"XDG_CACHE_HOME": "/cache"}, Path("/cache/ugatit/graphs")),
        ("auto", "CPU", {"XDG_CACHE_HOME": ""}, Path("/home/somebody/.cache/ugatit/graphs")),
        ("auto", "CPU", {"XDG_CACHE_HOME": "not/absolute"}, Path("/home/somebody/.cache/ugatit/graphs")),
        ("auto", "Ascend", {}, None),  # only when asked
        ("auto", "GPU", {}, None),
        ("here", "Ascend", {}, Path("here")),
        ("auto", "CPU", {"UGATIT_COMPILE_CACHE": "off"}, None),
        ("auto", "Ascend", {"UGATIT_COMPILE_CACHE": "/mine"}, Path("/mine")),
        ("here", "CPU", {"UGATIT_COMPILE_CACHE": "off"}, Path("here")),
        ("off", "CPU", {"UGATIT_COMPILE_CACHE": "/mine"}, None),
    ],
)
def test_where_the_folder_is(choice, target, environment, expected, monkeypatch):
    monkeypatch.delenv("UGATIT_COMPILE_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert folder_of(choice, target) == expected


def test_mindspores_own_switch_is_as_it_was(folder, monkeypatch):
    monkeypatch.setenv("MS_DEV_FORCE_USE_COMPILE_CACHE", "0")
    GraphCache(folder).compile(Net(), X)
    assert os.environ["MS_DEV_FORCE_USE_COMPILE_CACHE"] == "0"
    assert ms.context._context().get_param(graphscratch.ms_ctx_param.enable_compile_cache) == 0
