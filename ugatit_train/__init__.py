"""A lean graph-mode U-GAT-IT trainer for MindSpore."""

from ugatit_train import runtime  # noqa: F401 - before MindSpore, whichever module comes first: it sets the environment
