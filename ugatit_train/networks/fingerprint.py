"""A digest of everything that a Cell brings into its compiled graph: the numbers, the code, the shapes, no weights.

It follows the objects themselves, not a list of options, so a new field of a network is in it without a line here. What
it does not know raises `UnknownValueError`: nothing is left out in silence.
"""

import contextlib
import enum
import functools
import hashlib
import inspect
import linecache
import types
from collections import namedtuple
from collections.abc import Iterator, Mapping
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore._c_expression import MetaFuncGraph_, Primitive_

from ugatit_train.networks.libraries import MADE_AT_RUN_TIME, class_of_library, of_library

# What a Cell remembers of this process, and of what it has compiled.
_OF_THE_PROCESS = frozenset(
    ("_create_time", "_compile_cache", "_phase_cache", "_compile_phase", "arguments_key", "_id", "_exist_objs",
     "_exist_names", "_lazy_construct_sig", "_compiled", "_is_check_and_refresh", "_init_flag", "is_top_cell",
     "_jit_graph_name", "current_phase", "_parameter_layout_dict", "_parallel_parameter_name_list",
     "_parallel_parameter_merge_net_dict", "_lazy_user_parameters", "_attr_synced", "_scope", "_func_graph_flags",
     "_has_mutable_args_list", "__compile_cell_hook__", "sequence_modified", "__parse_method__")
)  # fmt: skip
# Python shares these or not as it likes: a module from a .pyc file in another way than one that it has just compiled.
_WITHOUT_IDENTITY = (tuple, frozenset, range, slice, types.CodeType, types.ModuleType, np.generic, np.dtype)
_PLAIN = (bool, int, float, complex, str, bytes)  # bool before int, which it is too
# A differentiation keeps the last function that it was called with; the function that it made holds the same.
_OF_THE_LAST_CALL = frozenset(("fn", "grad_fn", "weights_id"))
_OF_A_CALL = frozenset(("hash_obj",))  # a time, in the function that a differentiation makes


class UnknownValueError(Exception):
    """A value that the digest has no rule for; the message says where it stands and what it is."""


def fingerprint(*values: object) -> str:
    """SHA-256, hexadecimal, of what `values` are: Cells, Tensors, functions, and plain data.

    Of a Parameter: name, shape and type. Of another Tensor: the values too. Of a function that is no library's: its
    code, what it closes over, and the globals that it names.

    Raises:
        UnknownValueError: there is a value of another kind.
    """
    walk = _Walk()
    walk.add("", values)
    walk.add_modules()
    cells = [value for value in values if isinstance(value, nn.Cell)]
    own = {id(parameter) for cell in cells for parameter in cell.parameters_dict().values()}
    for value in walk.kept if cells else []:
        # MindSpore gives a graph that it loads the Parameters of its Cell; another, as of a closure, would be memory
        # that nobody has written.
        if isinstance(value, Parameter) and id(value) not in own:
            raise UnknownValueError(f"the Parameter {value.name}, which is not among the network's own")
    return walk.digest.hexdigest()


class _Walk:
    """The digest as it grows. An object that comes again is a number, so that sharing is in it, and circles end."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.numbers: dict[int, int] = {}
        self.kept: list[object] = []  # an address must not be used again meanwhile
        self.names: set[str] = set()  # that the functions use
        self.modules: dict[str, types.ModuleType] = {}  # of users, that stand where anyone may ask for their names

    def token(self, *parts: object) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            self.digest.update(b"%d:" % len(data) + data)

    def add(self, at: str, value: Any) -> None:
        if value is None or type(value) in _PLAIN:
            self.token(type(value).__name__, value if isinstance(value, bytes) else repr(value))
            return
        if not isinstance(value, _WITHOUT_IDENTITY):
            if id(value) in self.numbers:
                self.token("again", self.numbers[id(value)])
                return
            self.numbers[id(value)] = len(self.kept)
            self.kept.append(value)
        if self._data(at, value):
            if not class_of_library(type(value)) and not isinstance(value, enum.Enum | Tensor):
                self._attributes(at, value)
        elif not (self._code(at, value) or self._object(at, value)):
            raise UnknownValueError(f"{at.lstrip('.')}: {type(value).__module__}.{type(value).__qualname__}")

    def add_modules(self) -> None:
        """What the functions may use of modules that an attribute holds: whatever has a name that one of them has."""
        done: set[tuple[str, str]] = set()
        while left := sorted(
            {(at, name) for at, module in self.modules.items() for name in self.names & vars(module).keys()} - done
        ):
            for at, name in left:
                done.add((at, name))
                self.token(name)
                self.add(f"{at}.{name}", vars(self.modules[at])[name])

    def _data(self, at: str, value: Any) -> bool:
        """Numbers and containers."""
        if isinstance(value, Parameter):
            self.token("Parameter", value.name, value.shape, value.dtype, value.requires_grad)
        elif isinstance(value, Tensor):
            self.token("Tensor", value.dtype, value.shape)
            if None not in value.shape and -1 not in value.shape:
                self.token(np.ascontiguousarray(value.asnumpy()).tobytes())
        elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            self.token("array", value.dtype, value.shape, value.tobytes())
        elif isinstance(value, enum.Enum):
            self.token("enum", type(value).__qualname__, value.name)
            self.add(f"{at}.value", value.value)
        elif isinstance(value, _PLAIN):  # a class of a user
            plain = next(each for each in _PLAIN if isinstance(value, each))
            self.token("plain", plain.__repr__(value))
        elif isinstance(value, Mapping):
            self.token("mapping", len(value))
            for key, item in value.items():
                self.add(f"{at}.keys", key)
                self.add(f"{at}.{key}", item)
        elif isinstance(value, list | tuple):
            self.token(type(value).__name__, len(value))
            for i, item in enumerate(value):
                self.add(f"{at}[{i}]", item)
        elif isinstance(value, set | frozenset):
            self.token("set", *sorted(fingerprint(item) for item in value))
        elif isinstance(value, range | slice | np.dtype | type(...)) or (
            type(value).__name__ == "Type" and class_of_library(type(value))
        ):
            self.token(type(value).__name__, repr(value))
        elif type(value) in _DTYPES:
            self.token("dtype", value)
        else:
            return False
        return True

    def _code(self, at: str, value: Any) -> bool:
        """Functions, classes and modules."""
        if isinstance(value, types.ModuleType):
            self.token("module", value.__name__)
            if not of_library(value.__name__, vars(value)):
                self.modules.setdefault(at, value)
        elif isinstance(value, types.FunctionType):
            self._function(at, value)
        elif isinstance(value, types.MethodType):
            self.add(f"{at}.self", value.__self__)
            self.add(at, value.__func__)
        elif isinstance(value, functools.partial):
            self.add(at, [value.func, value.args, value.keywords])
        elif isinstance(value, staticmethod | classmethod):
            self.add(at, value.__func__)
        elif hasattr(value, "cache_info") and hasattr(value, "__wrapped__"):  # functools.cache
            self.add(at, value.__wrapped__)
        elif isinstance(value, property | functools.cached_property):
            self.add(at, value.fget if isinstance(value, property) else value.func)
        elif isinstance(value, types.CodeType):
            counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
            self.token("code", value.co_code, value.co_names, value.co_varnames, value.co_freevars, *counts)
            self.add(f"{at}.consts", list(value.co_consts))
        elif isinstance(value, type):
            self._class(at, value)
        elif callable(value) and isinstance(value, types.BuiltinFunctionType | np.ufunc):
            self.token("builtin", getattr(value, "__module__", ""), value.__name__)
            bound_to = getattr(value, "__self__", None)
            if bound_to is not None and not isinstance(bound_to, types.ModuleType):
                self.add(f"{at}.self", bound_to)
        else:
            return False
        return True

    def _function(self, at: str, function: types.FunctionType) -> None:
        self.token("function", function.__module__, function.__qualname__)
        is_library = of_library(function.__module__, function.__globals__)
        names = set() if is_library else _names(function.__code__)
        self.names |= names
        self.add(f"{at}.defaults", [function.__defaults__, function.__kwdefaults__])
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name in _OF_A_CALL and is_library:
                continue
            try:
                self._named(f"{at}.{name}", cell.cell_contents, names)
            except ValueError:  # not bound yet
                self.token("empty")
        if is_library:
            return
        self.add(f"{at}.code", function.__code__)
        self.token(_text(at, function))
        for name in sorted(names & function.__globals__.keys()):
            self._named(f"{at}.{name}", function.__globals__[name], names)

    def _named(self, at: str, value: Any, names: set[str]) -> None:
        """What a function has a name for; of a module what follows: module.function, package.module.function."""
        if not isinstance(value, types.ModuleType):
            self.add(at, value)
            return
        self.token("module", value.__name__)
        if not of_library(value.__name__, vars(value)):
            for used in sorted(names & vars(value).keys()):
                if vars(value)[used] is not value:
                    self.token(used)
                    self._named(f"{at}.{used}", vars(value)[used], names - {used})

    def _class(self, at: str, cls: type) -> None:
        self.token("class", cls.__module__, cls.__qualname__)
        if class_of_library(cls):
            return
        self.add(f"{at}.bases", list(cls.__bases__))
        for name, member in sorted(vars(cls).items()):
            if name.startswith("__") and name != "__ms_class__":  # the mark of MindSpore's jit_class
                # A graph may call those that are functions, as for self[i]; what a Cell's __init__ did stands in it.
                is_asked = isinstance(member, types.FunctionType | classmethod | staticmethod | property)
                if not is_asked or (name == "__init__" and issubclass(cls, nn.Cell)):
                    continue
            if not isinstance(member, _FIELDS):
                self.token(name)
                self.add(f"{at}.{name}", member)

    def _object(self, at: str, value: Any) -> bool:
        """An object is its class and its attributes."""
        cls = type(value)
        is_mindspore = isinstance(value, nn.Cell | Primitive_ | MetaFuncGraph_)
        is_mindspore |= hasattr(value, "__dict__") and cls.__module__.startswith("mindspore.")
        # A library's object may have nothing in it, such as a sentinel.
        if not is_mindspore and (_hides(cls) or (class_of_library(cls) and any(True for _ in _state(value)))):
            return False
        self._attributes(at, value)
        if isinstance(value, nn.Cell):
            self.add(f"{at}.flags", dict(vars(value).get("_func_graph_flags") or {}))
        return True

    def _attributes(self, at: str, value: Any) -> None:
        self.add(f"{at}.class", type(value))
        left_out = _OF_THE_PROCESS if isinstance(value, nn.Cell) else frozenset()
        left_out = _OF_THE_LAST_CALL if isinstance(value, MetaFuncGraph_) else left_out
        for name, item in _state(value):
            made_when_asked_for = name.startswith("_lazy_") and not item
            if name not in left_out and not made_when_asked_for:
                self.token(name)
                self.add(f"{at}.{name}", item)


_DTYPES = frozenset(type(dtype) for dtype in (ms.float32, ms.int32, ms.bool_, ms.uint8))
# Slots and fields are descriptors without a value of their own.
_FIELDS = (types.MemberDescriptorType, types.GetSetDescriptorType, type(vars(namedtuple("_", "field"))["field"]))


def _state(value: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object, those in slots of its classes too."""
    yield from getattr(value, "__dict__", {}).items()
    for cls in type(value).__mro__:
        for name, slot in vars(cls).items():
            if isinstance(slot, types.MemberDescriptorType) and cls.__flags__ & MADE_AT_RUN_TIME:
                with contextlib.suppress(AttributeError):  # it is empty
                    yield f"{cls.__qualname__}.{name}", slot.__get__(value)


def _hides(cls: type) -> bool:
    """Whether objects of a class hold more than attributes: such as those of a class in C, or of one made from it."""
    slots = sum(isinstance(each, types.MemberDescriptorType) for base in cls.__mro__ for each in vars(base).values())
    pointers = slots + (cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0)
    return cls.__basicsize__ > object.__basicsize__ + 8 * pointers or cls.__itemsize__ > 0


def _names(code: types.CodeType) -> set[str]:
    """The names that a function's code uses, its inner functions' too; also in words, where it asks by `getattr`."""
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    words = [const for const in code.co_consts if isinstance(const, str)] if "getattr" in code.co_names else []
    return set(code.co_names).union(words, *(_names(each) for each in inner))


def _text(at: str, function: types.FunctionType) -> str:
    """The source that MindSpore compiles, which may be another than Python runs; ours is in the key as a whole."""
    if (function.__module__ or "").partition(".")[0] in ("ugatit_train", "ugatit_data"):
        return ""
    inner = inspect.unwrap(function)
    file, name = getattr(inner, "__code__", function.__code__).co_filename, function.__name__
    if file.startswith("<") and file not in linecache.cache and name.startswith("__") and name.endswith("__"):
        return ""  # a method that Python wrote, as for a dataclass: MindSpore can only call it
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        raise UnknownValueError(f"{at.lstrip('.')}: a function without a source file") from None
