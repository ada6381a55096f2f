"""A lean graph-mode U-GAT-IT trainer for MindSpore.

    train(Options(data_path="dataset", output_path="runs/first", light=True))
    generator = open_generator("runs/first")        # a function of pictures
    translate(generator, "photos", "translated")    # folders, patterns, videos
    evaluate("runs/first", "dataset", "evaluated")

The names below stay; modules inside may move. README.md beside this file shows the rooms. MindSpore loads when a
function needs it, not with this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ugatit_train import runtime  # noqa: F401 - before MindSpore, whichever module comes first: it sets the environment
from ugatit_train.errors import UgatitError

if TYPE_CHECKING:
    from ugatit_train.evaluation.evaluate import evaluate
    from ugatit_train.evaluation.judging import train
    from ugatit_train.inference.models import open_generator
    from ugatit_train.inference.translate import translate
    from ugatit_train.options.config import Options

__version__ = "0.2.0"

__all__ = ["Options", "UgatitError", "evaluate", "open_generator", "train", "translate"]

_HOMES = {
    "Options": "ugatit_train.options.config",
    "evaluate": "ugatit_train.evaluation.evaluate",
    "open_generator": "ugatit_train.inference.models",
    "train": "ugatit_train.evaluation.judging",
    "translate": "ugatit_train.inference.translate",
}


if not TYPE_CHECKING:  # a type checker would take every name for an offered one

    def __getattr__(name: str) -> Any:
        """An offered name, from the module where it lives (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module 'ugatit_train' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
