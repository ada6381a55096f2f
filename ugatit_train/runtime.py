"""What must be settled before and around MindSpore: the environment, the device, graph mode.

Import this module, or anything of `ugatit_train`, before `mindspore`: some settings are read once, while MindSpore
loads.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

DEVICE_TARGETS = ("CPU", "Ascend", "GPU")

# MindSpore logs each compilation at WARNING; 3 leaves errors only. It reads the variable once, while it loads.
_ENVIRONMENT = {"GLOG_v": "3"}

if "mindspore" in sys.modules and any(name not in os.environ for name in _ENVIRONMENT):
    raise RuntimeError(
        f"mindspore was imported before ugatit_train, which must first set {', '.join(_ENVIRONMENT)}: "
        "import ugatit_train.runtime first, or set the variables yourself"
    )
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)


class DeviceError(ValueError):
    """The asked device is not there, or this MindSpore cannot use it."""


@dataclass(frozen=True)
class Place:
    """This process among those that train together: rank 0 writes."""

    rank: int = 0
    world: int = 1


def setup(device_target: str = "CPU", device_id: int = 0, distributed: bool = False) -> Place:
    """Selects the device and graph mode for this process; call it once, before any Cell is made.

    `distributed` joins the processes that `msrun` started (HCCL on Ascend, NCCL on GPU, MindSpore's own on the CPU).

    Raises:
        DeviceError: MindSpore cannot use `device_target` here, or `distributed` without msrun.
    """
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        if device_target == "CPU":
            ms.set_device("CPU")
        else:
            ms.set_device(device_target, device_id)
    except (RuntimeError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise DeviceError(
            f"device_target {device_target} cannot be used on this machine: {first_line}. Use --device_target CPU, "
            "or install the MindSpore build for your device."
        ) from error

    if not distributed:
        return Place()
    if "MS_WORKER_NUM" not in os.environ:
        raise DeviceError(
            "--distributed true was not started by msrun: use tools/run_distributed_train.sh, or leave it out"
        )
    from mindspore import communication

    communication.init()
    return Place(communication.get_rank(), communication.get_group_size())


def mean_over_ranks(place: Place):
    """A function of a float32 NumPy vector that gives its mean over all ranks; every rank must call it."""
    if place.world == 1:
        return lambda vector: vector
    from mindspore import Tensor, nn, ops

    class Mean(nn.Cell):
        def __init__(self):
            super().__init__()
            self.all_reduce = ops.AllReduce()

        def construct(self, x):
            return self.all_reduce(x) / place.world

    cell = Mean()
    return lambda vector: cell(Tensor(vector)).asnumpy()


_plain = False


@contextlib.contextmanager
def plain_operators() -> Iterator[None]:
    """Networks built inside are made of plain operators, whatever the device: what export writes for other machines."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def convolves_by_matmul() -> bool:
    """Whether networks take the CPU's forms (im2col and matmul for k x k convolutions) in place of plain operators.

    True on the CPU: there MindSpore hands oneDNN plain NCHW layouts, and with AVX-512 oneDNN then runs its reference
    implementation, hundreds of times slower (`ONEDNN_VERBOSE=1` shows `conv+ref`).
    """
    import mindspore as ms

    return not _plain and ms.get_context("device_target") == "CPU"
