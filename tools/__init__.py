"""The tools: `tools/train.py` of a clone is `ugatit train`, in the package `ugatit_tools`, of an installation."""
