"""Settles MindSpore's environment and device before any test module of this folder imports it."""

from ugatit_train import runtime

runtime.setup("CPU")
