"""The digest of a Cell: what of it changes the graph changes the digest, and nothing else does."""

import dataclasses
import enum
import functools
import importlib.util
import linecache
import math
import sys
import threading
import types
from collections import OrderedDict, deque, namedtuple

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


class Slotted:
    __slots__ = ("__hidden", "factor")

    def __init__(self, factor):
        self.factor, self.__hidden = factor, factor + 1


class WithAttributes(Slotted):
    pass


class Numbers(list):
    """What a network asks of it is no item."""


class Point(namedtuple("Point", "x y")):
    __slots__ = ()


class Turned(namedtuple("Point", "y x")):
    __slots__ = ()


Turned.__name__ = Turned.__qualname__ = "Point"


def field(factor, **options):
    @dataclasses.dataclass(**options)
    class Field:
        x: int = factor
        more: list = dataclasses.field(default_factory=list)

    return Field()


def with_factor(value, factor):
    value.factor = factor
    return value


@pytest.mark.parametrize(
    "made",
    [
        Slotted,
        WithAttributes,
        lambda factor: with_factor(Numbers([1]), factor),
        lambda factor: (Point if factor == 2 else Turned)(1, 2),
        field,
        lambda factor: field(factor, slots=True),
        lambda factor: dataclasses.make_dataclass("Field", [("x", int, factor)]),  # a class of the module `types`
    ],
)
def test_what_an_object_holds_elsewhere_than_in_its_dict(made):
    assert fingerprint(made(2)) == fingerprint(made(2)) != fingerprint(made(3))


def test_what_lies_in_memory_of_a_class_in_c_is_not_left_out_in_silence():
    class Row(deque):
        pass

    for hidden in (Row([1]), deque([1]), threading.Lock()):
        with pytest.raises(UnknownValueError):
            fingerprint(hidden)


def jit_class_of(index, add):
    class Table:
        __getitem__, __add__ = index, add

    Table.__qualname__ = "Table"
    return Table


def first(self, i):
    return i


def second(self, i):
    return 2 * i


def test_methods_between_underscores_of_a_jit_class():
    table = ms.jit_class(jit_class_of(first, first))()
    found = {fingerprint(jit_class_of(first, first)()), fingerprint(table)}
    assert fingerprint(ms.jit_class(jit_class_of(first, first))()) in found
    found |= {fingerprint(ms.jit_class(jit_class_of(*pair))()) for pair in ((first, second), (second, first))}
    assert len(found) == 4


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A function that writes and imports a module of a user."""

    def make(name, text):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}" / f"{name}.py"
        file.parent.mkdir()
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return make


MODULE = "FACTOR = {}\nclass Scale:\n    factor = {}\ndef scaled(x):\n    return x * FACTOR\n"


@pytest.mark.parametrize("name", ["colorsys", "numpy.of_mine"])
@pytest.mark.parametrize("part", ["scaled", "Scale"])
def test_a_module_of_a_user_with_a_librarys_name_is_the_users(part, name, user_module):
    found = [fingerprint(getattr(user_module(name, MODULE.format(factor, factor)), part)) for factor in (2, 3)]
    assert found[0] != found[1]
    assert fingerprint(functools.partial(math.pow, 2)) == fingerprint(functools.partial(math.pow, 2))


class Holder(nn.Cell):
    def __init__(self, held):
        super().__init__()
        self.held = held

    def construct(self, x):
        return self.held.scaled(x) * getattr(self.held, "MORE", 1)


class HolderOfMany(Holder):
    def construct(self, x):
        return self.held[0].scaled(x)


@pytest.mark.parametrize("name", ["FACTOR", "scaled", "MORE"])
def test_a_module_that_an_attribute_or_a_closure_holds(name, user_module):
    module = user_module("losses_of_mine", MODULE.format(2, 2))

    def closed(x):
        return module.scaled(x) * getattr(module, "MORE", 1)

    def by_default(x, losses=module):
        return losses.scaled(x) * getattr(losses, "MORE", 1)

    def found():
        return [fingerprint(each) for each in (Holder(module), closed, by_default)]

    before = found()
    assert found() == before
    module.other = threading.Lock()  # that nobody asks for
    assert found() == before
    setattr(module, name, 3 if name != "scaled" else twice)
    assert not set(found()) & set(before)


def test_a_module_in_a_container(user_module):
    module = user_module("losses_of_mine", MODULE.format(2, 2))
    before = fingerprint(HolderOfMany([module]))
    module.FACTOR = 3
    assert fingerprint(HolderOfMany([module])) != before
