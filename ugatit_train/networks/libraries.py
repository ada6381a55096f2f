"""Which code belongs to MindSpore, NumPy or Python's own library: a name is enough to know it at a known version."""

import functools
import os
import sys
from collections.abc import Mapping
from typing import Any

import mindspore as ms
import numpy as np

_PINNED = frozenset(("mindspore", "numpy"))
_NAMES = _PINNED | {"_frozen_importlib"} | sys.stdlib_module_names
_PACKAGES = tuple(os.path.join(os.path.realpath(package.__path__[0]), "") for package in (ms, np))
_STANDARD = os.path.join(os.path.dirname(os.path.realpath(os.__file__)), "")
_OTHERS = tuple(os.path.join(_STANDARD, folder, "") for folder in ("site-packages", "dist-packages"))


def of_library(module: str | None, namespace: Mapping[str, Any] | None = None) -> bool:
    """Whether a module is a library's, by its name and its file: a user's may have the name of one.

    `namespace` is the module's, or the globals of a function of it, where there is one at hand.
    """
    if module is None:  # of something built in
        return True
    if module.partition(".")[0] not in _NAMES:
        return False
    if namespace is None:
        namespace = vars(sys.modules[module]) if module in sys.modules else {}
    file = namespace.get("__file__") or getattr(namespace.get("__spec__"), "origin", None)
    if not file:  # a part of an extension is its package's
        package = module.rpartition(".")[0]
        return bool(package) and of_library(package)
    return file in ("built-in", "frozen") or _installed(file)


MADE_AT_RUN_TIME = 1 << 9  # Py_TPFLAGS_HEAPTYPE, of a class that is not written in C (some of those have it too)


def class_of_library(cls: type) -> bool:
    """Whether a class is a library's. One that `dataclasses.make_dataclass` makes bears the name of a module only."""
    if not of_library(cls.__module__):
        return False
    if cls.__module__ not in sys.modules or cls.__module__.partition(".")[0] in _PINNED:
        return True
    in_c = not cls.__flags__ & MADE_AT_RUN_TIME
    return in_c or cls.__qualname__.partition(".")[0] in vars(sys.modules[cls.__module__])


@functools.cache
def _installed(file: str) -> bool:
    path = os.path.realpath(file)
    return path.startswith(_PACKAGES) or (path.startswith(_STANDARD) and not path.startswith(_OTHERS))
