"""The digest of a Cell: what of it changes the graph changes the digest, and nothing else does."""

import dataclasses
import enum
import functools
import importlib.util
import linecache
import math
import types
from collections import OrderedDict

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import operations as P

from ugatit_train.networks import layers
from ugatit_train.networks.fingerprint import UnknownValueError, fingerprint

FACTOR = 2.0


def twice(x):
    return x * FACTOR


def by_way_of_another(x):
    return twice(x)


def by_way_of_a_module(x):
    return layers.ops.relu(x)


@dataclasses.dataclass(frozen=True)
class Pair:
    one: int
    other: int


class Net(nn.Cell):
    """Something of each kind that a network of ours has."""

    eps = 1e-5

    def __init__(self, scale=1.5):
        super().__init__()
        self.weight = Parameter(Tensor(np.zeros((2, 3), np.float32)), name="w")
        self.constant = Tensor(np.arange(3, dtype=np.float32))
        self.matrix = np.eye(2)
        self.product = P.MatMul(transpose_b=True)
        self.scale = scale
        self.terms = (twice, by_way_of_another, functools.partial(math.pow, 2))
        self.inner = nn.SequentialCell(nn.ReLU(), nn.Dense(3, 2))
        self.gradient = ms.value_and_grad(twice, 0)
        self.map = ops.HyperMap()
        self.names = {"a": 1, "b": [2, None]}

    def construct(self, x):
        return self.inner(self.product(self.weight, x) * self.scale + self.eps)


CHANGES = {
    "a number": lambda net: setattr(net, "scale", 1.5000000000000002),
    "a number's type": lambda net: setattr(net, "names", {"a": 1.0, "b": [2, None]}),
    "an inner value": lambda net: net.names["b"].append(None),
    "a key": lambda net: setattr(net, "names", {"A": 1, "b": [2, None]}),
    "a constant": lambda net: setattr(net, "constant", Tensor(np.array([0, 1, 3], np.float32))),
    "a constant's type": lambda net: setattr(net, "constant", Tensor(np.arange(3, dtype=np.int32))),
    "a matrix": lambda net: net.matrix.__setitem__((0, 0), 2),
    "a primitive's argument": lambda net: setattr(net, "product", P.MatMul()),
    "an attribute of a primitive": lambda net: net.product.add_prim_attr("mark", 1),
    "a parameter's shape": lambda net: setattr(net, "weight", Parameter(np.zeros((2, 4), np.float32), name="w")),
    "a parameter's name": lambda net: setattr(net.weight, "name", "v"),
    "whether it is trained": lambda net: setattr(net.weight, "requires_grad", False),
    "a layer": lambda net: setattr(net, "inner", nn.SequentialCell(nn.ReLU6(), nn.Dense(3, 2))),
    "a function": lambda net: setattr(net, "terms", (twice, twice, functools.partial(math.pow, 2))),
    "a function of a library": lambda net: setattr(net, "terms", (*net.terms[:2], functools.partial(math.pow, 3))),
    "what is differentiated": lambda net: setattr(net, "gradient", ms.value_and_grad(by_way_of_another, 0)),
    "by what it is differentiated": lambda net: setattr(net, "gradient", ms.value_and_grad(twice, 1)),
    "a flag": lambda net: net.add_flags(mark=True),
    "training": lambda net: net.set_train(True),
    "a new attribute": lambda net: setattr(net, "other", 1),
    "an input of open shape": lambda net: net.set_inputs(Tensor(shape=[3, None], dtype=ms.float32)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_a_cell_is_another_digest(change):
    net, other = Net(), Net()
    assert fingerprint(net) == fingerprint(other)
    CHANGES[change](net)
    assert fingerprint(net) != fingerprint(other)


def test_values_of_weights_and_what_a_process_remembers_stay_outside():
    net, other = Net(), Net()
    net.weight.set_data(Tensor(np.ones((2, 3), np.float32)))
    x = Tensor(np.ones((3, 3), np.float32))
    before = fingerprint(net)
    net(x)
    assert fingerprint(net) == before == fingerprint(other)


def test_a_global_a_class_and_code_that_change_while_the_program_runs(monkeypatch):
    digest = fingerprint(Net())
    found = {digest}
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "FACTOR", 3.0)  # which `twice` reads
        found.add(fingerprint(Net()))
    with monkeypatch.context() as patch:
        patch.setattr(Net, "eps", 1e-6)
        found.add(fingerprint(Net()))
    with monkeypatch.context() as patch:
        patch.setattr(Net, "construct", lambda self, x: x)
        found.add(fingerprint(Net()))
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "twice", lambda x: x * FACTOR)  # which `by_way_of_another` calls
        found.add(fingerprint(by_way_of_another))
    assert len(found) == 5
    assert fingerprint(Net()) == digest


def test_a_function_of_a_module_is_followed_through_its_name(monkeypatch):
    before = fingerprint(by_way_of_a_module)
    monkeypatch.setattr(layers, "ops", nn)
    assert fingerprint(by_way_of_a_module) != before


def test_whether_two_places_share_an_object_is_seen_and_a_circle_ends():
    one, other = nn.ReLU(), nn.ReLU()
    assert fingerprint([one, other]) == fingerprint([other, one]) != fingerprint([one, one])
    circle: list = []
    circle.append(circle)
    assert fingerprint(circle) == fingerprint(circle)
    # Python shares equal constants or not as it likes
    shared = (1, 2)
    assert fingerprint([shared, shared]) == fingerprint([(1, 2), (*shared,)])


def test_data_of_equal_text_are_told_apart():
    values = [1, True, 1.0, "1", b"1", (1,), [1], {1: 1}, {1}, frozenset((1, 2)), None, np.float32(1), np.ones(1), "",
              OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), ("a", "bc"), ("ab", "c"), ms.float32, ms.float16,
              range(1), slice(1), Pair(1, 2), Pair(2, 1)]  # fmt: skip
    assert len({fingerprint(value) for value in values}) == len(values)


def test_what_it_does_not_know_is_named_not_left_out():
    net = Net()
    net.names["handle"] = open  # a builtin is known
    fingerprint(net)
    with open(__file__) as file:  # noqa: PTH123
        net.names["handle"] = file
        with pytest.raises(UnknownValueError, match=r"^\[0\]\.names\.handle: _io\.TextIOWrapper$"):
            fingerprint(net)


class Outer(nn.Cell):
    """A network that calls functions which it was given."""

    def __init__(self, *functions):
        super().__init__()
        self.functions = functions

    def construct(self, x):
        return self.functions[0](x)


def test_a_parameter_that_the_network_does_not_own_is_no_graph_of_the_cache():
    """MindSpore binds none but the network's own to a graph that it loads."""
    other = nn.PReLU()
    with pytest.raises(UnknownValueError, match="the Parameter .*, which is not among the network's own"):
        fingerprint(Outer(lambda x: other(x)))
    assert fingerprint(nn.SequentialCell(other))


class Mode(enum.Enum):
    MEAN = 2.0


class Later(enum.Enum):
    MEAN = 3.0


def test_values_behind_names_are_in_the_digest(tmp_path, monkeypatch):
    Later.__name__, Later.__qualname__ = Mode.__name__, Mode.__qualname__
    assert fingerprint(Mode.MEAN) != fingerprint(Later.MEAN)
    assert fingerprint({"a": 2.0}.get) != fingerprint({"a": 3.0}.get)
    package, inner = types.ModuleType("package_of_a_user"), types.ModuleType("package_of_a_user.inner")
    package.inner, inner.WEIGHT = inner, 2.0
    monkeypatch.setitem(globals(), "package_of_a_user", package)
    before = fingerprint(by_way_of_two_modules)
    inner.WEIGHT = 3.0
    assert fingerprint(by_way_of_two_modules) != before


def by_way_of_two_modules(x):
    return x * package_of_a_user.inner.WEIGHT  # noqa: F821 (the test makes it)


def test_the_text_that_is_compiled_is_in_the_digest(tmp_path):
    """MindSpore compiles a function's file, which may have changed since Python read it."""
    file = tmp_path / "losses_of_a_user.py"
    file.write_text("def loss(x):\n    return x * 2.0\n")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = fingerprint(module.loss)
    file.write_text("def loss(x):\n    return x * 30.0\n")
    assert fingerprint(module.loss) != before
    file.unlink()
    linecache.clearcache()
    with pytest.raises(UnknownValueError, match="without a source file"):
        fingerprint(module.loss)
