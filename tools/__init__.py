"""The tools: `tools/train.py` of a clone is `ugatit train`, in the package `ugatit_tools`, of an installation."""

import importlib
import sys

if sys.argv[:1] == ["-m"]:  # `python -m tools.train`: Python is looking for the file, whose first lines want `script`
    sys.modules["script"] = importlib.import_module(".script", __name__)
