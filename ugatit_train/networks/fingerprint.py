"""A digest of everything that a Cell brings into its compiled graph: the numbers, the code, the shapes, no weights.

It follows the objects themselves, not a list of options, so a new field of a network is in it without a line here. What
it does not know raises `UnknownValueError`: nothing is left out in silence.
"""

import enum
import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Mapping
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore._c_expression import MetaFuncGraph_, Primitive_

# Of these a name is enough, for their versions are in the key as well.
_LIBRARIES = frozenset(("mindspore", "numpy", "_frozen_importlib")) | sys.stdlib_module_names

# What a Cell remembers of this process, and of what it has compiled.
_OF_THE_PROCESS = frozenset(
    ("_create_time", "_compile_cache", "_phase_cache", "_compile_phase", "arguments_key", "_id", "_exist_objs",
     "_exist_names", "_lazy_construct_sig", "_compiled", "_is_check_and_refresh", "_init_flag", "is_top_cell",
     "_jit_graph_name", "current_phase", "_parameter_layout_dict", "_parallel_parameter_name_list",
     "_parallel_parameter_merge_net_dict", "_lazy_user_parameters", "_attr_synced", "_scope", "_func_graph_flags",
     "_has_mutable_args_list", "__compile_cell_hook__", "sequence_modified", "__parse_method__")
)  # fmt: skip
# Python shares these or not as it likes: a module from a .pyc file in another way than one that it has just compiled.
_WITHOUT_IDENTITY = (tuple, frozenset, range, slice, types.CodeType, np.generic, np.dtype)
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
    cells = [value for value in values if isinstance(value, nn.Cell)]
    own = {id(parameter) for cell in cells for parameter in cell.parameters_dict().values()}
    for value in walk.kept if cells else []:
        # MindSpore gives a graph that it loads the Parameters of its Cell; another, as of a closure, would be memory
        # that nobody has written.
        if isinstance(value, Parameter) and id(value) not in own:
            raise UnknownValueError(f"the Parameter {value.name}, which is not among the network's own")
    return walk.digest.hexdigest()


def _library(module: str | None) -> bool:
    return module is None or module.partition(".")[0] in _LIBRARIES


class _Walk:
    """The digest as it grows. An object that comes again is a number, so that sharing is in it, and circles end."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.numbers: dict[int, int] = {}
        self.kept: list[object] = []  # an address must not be used again meanwhile

    def token(self, *parts: object) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            self.digest.update(b"%d:" % len(data) + data)

    def add(self, at: str, value: Any) -> None:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self.token(type(value).__name__, value if isinstance(value, bytes) else repr(value))
            return
        if not isinstance(value, _WITHOUT_IDENTITY):
            if id(value) in self.numbers:
                self.token("again", self.numbers[id(value)])
                return
            self.numbers[id(value)] = len(self.kept)
            self.kept.append(value)
        if not (self._data(at, value) or self._code(at, value) or self._object(at, value)):
            raise UnknownValueError(f"{at.lstrip('.')}: {type(value).__module__}.{type(value).__qualname__}")

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
        elif isinstance(value, range | slice | np.dtype | type(...)) or type(value).__name__ == "Type":
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
        self.add(f"{at}.defaults", [function.__defaults__, function.__kwdefaults__])
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name in _OF_A_CALL and _library(function.__module__):
                continue
            try:
                self.add(f"{at}.{name}", cell.cell_contents)
            except ValueError:  # not bound yet
                self.token("empty")
        if _library(function.__module__):
            return
        self.add(f"{at}.code", function.__code__)
        self.token(_text(at, function))
        names = _names(function.__code__)
        for name in sorted(names & function.__globals__.keys()):
            value = function.__globals__[name]
            self.add(f"{at}.{name}", value)
            self._names_of_module(f"{at}.{name}", value, names)

    def _names_of_module(self, at: str, module: Any, names: set[str]) -> None:
        """module.function, and package.module.function."""
        if isinstance(module, types.ModuleType) and not _library(module.__name__):
            for used in sorted(names & vars(module).keys()):
                inner = vars(module)[used]
                self.add(f"{at}.{used}", inner)
                if inner is not module:
                    self._names_of_module(f"{at}.{used}", inner, names - {used})

    def _class(self, at: str, cls: type) -> None:
        self.token("class", cls.__module__, cls.__qualname__)
        if _library(cls.__module__):
            return
        self.add(f"{at}.bases", list(cls.__bases__))
        for name, member in sorted(vars(cls).items()):
            # What __init__ did stands in the object. Slots and fields are descriptors without a value.
            is_own = name == "__call__" or not name.startswith("__")
            if is_own and not isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType):
                self.add(f"{at}.{name}", member)

    def _object(self, at: str, value: Any) -> bool:
        """An object is its class and its attributes."""
        if not hasattr(value, "__dict__"):
            return False
        is_ours = isinstance(value, nn.Cell | Primitive_ | MetaFuncGraph_) or not _library(type(value).__module__)
        if not is_ours and not type(value).__module__.startswith("mindspore."):
            return False
        self.add(f"{at}.class", type(value))
        left_out = _OF_THE_PROCESS if isinstance(value, nn.Cell) else frozenset()
        left_out = _OF_THE_LAST_CALL if isinstance(value, MetaFuncGraph_) else left_out
        for name, item in vars(value).items():
            made_when_asked_for = name.startswith("_lazy_") and not item
            if name not in left_out and not made_when_asked_for:
                self.token(name)
                self.add(f"{at}.{name}", item)
        if isinstance(value, nn.Cell):
            self.add(f"{at}.flags", dict(vars(value).get("_func_graph_flags") or {}))
        return True


_DTYPES = frozenset(type(dtype) for dtype in (ms.float32, ms.int32, ms.bool_, ms.uint8))


def _names(code: types.CodeType) -> set[str]:
    """The names that a function's code uses, its inner functions' too."""
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return set(code.co_names).union(*(_names(each) for each in inner))


def _text(at: str, function: types.FunctionType) -> str:
    """The source that MindSpore compiles, which may be another than Python runs; ours is in the key as a whole."""
    if (function.__module__ or "").partition(".")[0] in ("ugatit_train", "ugatit_data"):
        return ""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        raise UnknownValueError(f"{at.lstrip('.')}: a function without a source file") from None
