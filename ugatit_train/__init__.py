"""A lean graph-mode U-GAT-IT trainer for MindSpore."""
