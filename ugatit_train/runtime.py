"""What must be settled before and around MindSpore: the environment, the device, graph mode.

Import this module, or anything of `ugatit_train`, before `mindspore`, which reads some settings once, while it
loads.
"""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ugatit_data.commands import command
from ugatit_train.errors import UgatitError, first_line

DEVICE_TARGETS = ("CPU", "Ascend", "GPU")

# MindSpore reads this once. It logs each compilation at WARNING; GLOG_v=3 shows errors only.
_ENVIRONMENT = {"GLOG_v": "3"}

# MindSpore copies every parameter that a graph reads several times, in case an update comes in between: 2.2 GB a step
# of the full model. 3 turns these copies off (a reshape of a weight still copies it, for a short time); its manual does
# not vouch for the values then. `training/step.py` orders reads and updates by `ops.depend`, and on the CPU the values
# are tested against float64: other devices keep MindSpore's default. It is read when a graph is compiled.
_NO_COPIES = ("MS_DEV_SIDE_EFFECT_LOAD_ELIM", "3")

if "mindspore" in sys.modules and any(name not in os.environ for name in _ENVIRONMENT):
    raise RuntimeError(
        f"mindspore was imported before ugatit_train, which must first set {', '.join(_ENVIRONMENT)}: "
        "import ugatit_train before it, or set the variables yourself"
    )
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

# glibc reads this when a process starts, and takes memory in pages of 2 MB and in large pieces. MindSpore's compiler
# makes millions of small objects, and a step fills gigabytes: compilation takes a fifth less time, a step a twentieth
# less. Systems without glibc ignore it.
MALLOC_TUNABLES = "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864"

_log = logging.getLogger(__name__)


class DeviceError(UgatitError):
    """The device is missing, or this MindSpore cannot use it."""

    exit_code = 2


def restart_with_huge_pages() -> None:
    """Starts this program again in the same process, with MALLOC_TUNABLES; does nothing if GLIBC_TUNABLES is set."""
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = MALLOC_TUNABLES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@dataclass(frozen=True)
class Worker:
    """This process among those that train together: rank 0 writes."""

    rank: int = 0
    world: int = 1


def setup(device_target: str = "CPU", device_id: int = 0, distributed: bool = False) -> Worker:
    """Selects the device and graph mode for this process; call it once, before any Cell is made.

    `distributed` joins the processes that were started with this one (HCCL on Ascend, NCCL on GPU, MindSpore's own on
    the CPU), and does not use `device_id`: behind a launcher MindSpore gives each process of a host its own device, but
    only if no id is given; with a rank table the platform gives the id, without which MindSpore takes 0 for all.

    Raises:
        DeviceError: MindSpore cannot use `device_target` here, or `distributed` without other processes.
    """
    device = _given_device(device_target) if distributed else [device_id]
    if os.environ.get("MS_COMPILER_CACHE_ENABLE", "0") != "0":
        # Its key leaves out the constants of a graph: a run with another --lr would train with the old one.
        # `networks/compiling.py` uses it under a key of our own.
        _log.warning(
            "MS_COMPILER_CACHE_ENABLE is ignored: MindSpore's cache gives back graphs of other options; "
            "compiled graphs are kept for the next start without it: see --compile_cache"
        )
        os.environ["MS_COMPILER_CACHE_ENABLE"] = "0"
    if device_target == "CPU":
        os.environ.setdefault(*_NO_COPIES)
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        if device_target == "CPU":
            ms.set_device("CPU")
        else:
            ms.set_device(device_target, *device)
    except (RuntimeError, ValueError) as error:
        raise DeviceError(
            f"device_target {device_target} cannot be used on this machine: {first_line(error)}. "
            "Use --device_target CPU, or install the MindSpore build for your device."
        ) from error

    if not distributed:
        return Worker()
    # Rank 0 draws, judges and saves alone: the CPU's collective would wait 30 s for it, HCCL's waits as long as this.
    os.environ.setdefault("MS_CPU_COMM_OP_TIMEOUT", "1800")
    from mindspore import communication

    with _ending_at_once():
        communication.init()
    return Worker(communication.get_rank(), communication.get_group_size())


Precision = Literal["float32", "hf32", "float16"]


def set_precision(asked: Precision | None) -> Precision:
    """Sets what the device computes convolutions in, float32, hf32 or float16, and gives it; None asks for its own.

    Call it after `setup` and before any kernel runs. On Ascend, products of matrices stay in float32; the first 910 has
    float16 only. Not run on a card.

    Raises:
        DeviceError: the device has no such precision.
    """
    target = device()
    if target != "Ascend":
        return asked or "float32"  # the options refuse what CPU and GPU lack
    import mindspore as ms

    chip = ms.hal.get_device_name(0)
    is_first = re.match(r"Ascend910(?!B\d|_93)", chip) is not None  # 910A, 910B, 910ProA; 910B1 to B4 came later
    chosen: Precision = asked or ("float16" if is_first else "hf32")
    if is_first and chosen != "float16":
        raise DeviceError(f"--precision {chosen}: {chip} computes convolutions in float16 only: give float16")
    op_precision = ms.device_context.ascend.op_precision
    op_precision.precision_mode("allow_fp32_to_fp16" if is_first else "must_keep_origin_dtype")
    if not is_first:
        op_precision.conv_allow_hf32(chosen == "hf32")
        op_precision.matmul_allow_hf32(False)
    _log.info("%s: convolutions in %s%s", chip, chosen, "" if asked else ", its default: see --precision")
    return chosen


JitLevel = Literal["O0", "O1", "O2"]


def set_jit_level(asked: JitLevel | None) -> None:
    """Has MindSpore compile at this level from now on; None leaves it its own: O0, on the first Ascend 910 O2.

    Call it after `setup` and before anything is compiled. On the CPU, O0 and O1 give the same graph. Not run on a card.

    Raises:
        DeviceError: MindSpore would take another level.
    """
    import mindspore as ms

    before = ms.context.get_jit_config().get("jit_level")
    if asked is None:
        if before:
            raise DeviceError(f"--jit_level {before} of an earlier run stays in this process: give it, or start anew")
        return
    if asked != "O2" and device() == "Ascend" and os.environ.get("RANK_TABLE_FILE") and "MS_ROLE" not in os.environ:
        raise DeviceError(f"--jit_level {asked}: with a rank table MindSpore compiles at O2: give O2, or leave it out")
    ms.set_context(jit_config={"jit_level": asked})


def _given_device(device_target: str) -> list[int]:
    """The device's number where a platform has given this process one; empty behind a launcher.

    Raises:
        DeviceError: there are no other processes to train with, or the platform's numbers are none.
    """
    if "MS_WORKER_NUM" in os.environ:
        return []
    ranked = by_rank_table()
    if ranked is None:
        raise DeviceError(
            f"--distributed true was not started by msrun or a launcher: use {command('launch')}, or leave it out"
        )
    if device_target == "CPU":
        raise DeviceError("RANK_TABLE_FILE is set, and the CPU has no rank tables: give --device_target Ascend")
    return [ranked.device]


@contextlib.contextmanager
def _ending_at_once() -> Iterator[None]:
    """Signals end the process while it waits for the others: MindSpore's C++ lets no handler of ours run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Ranked:
    """What a platform has given a process that it started once per card, with a rank table."""

    rank: int
    world: int
    device: int


def by_rank_table() -> Ranked | None:
    """This process among those that a platform started with a rank table; None if it was not.

    Raises:
        DeviceError: one of the variables is not a number.
    """
    if not all(os.environ.get(name) for name in ("RANK_TABLE_FILE", "RANK_ID", "RANK_SIZE")):
        return None
    return Ranked(number("RANK_ID"), number("RANK_SIZE"), number("ASCEND_DEVICE_ID", number("DEVICE_ID", 0)))


def number(name: str, default: int = 0) -> int:
    """A number of the environment, `default` where it is not set or empty. Raises DeviceError."""
    value = os.environ.get(name) or str(default)
    if not value.isdigit():
        raise DeviceError(f"the environment's {name} is {value!r}, not a number: unset it, or mend it")
    return int(value)


@dataclass(frozen=True)
class Hosts:
    """What a platform's scheduler says about the machines of a job."""

    count: int = 1
    this: int = 0
    devices: int = 1  # of each
    master: str = "127.0.0.1"  # the first host's address


def modelarts_hosts() -> Hosts:
    """The hosts of a ModelArts training job, from the environment that its manual documents; elsewhere one host.

    Raises:
        DeviceError: one of the variables is not a number.
    """
    return Hosts(
        count=max(1, number("MA_NUM_HOSTS", number("VC_WORKER_NUM", 1))),
        this=number("VC_TASK_INDEX", 0),
        devices=max(1, number("MA_NUM_GPUS", 1)),  # accelerators of any kind; 0 on a host without
        master=os.environ.get("VC_WORKER_HOSTS", "").split(",")[0] or "127.0.0.1",
    )


def lack_of_memory(error: Exception) -> str | None:
    """The line of an error of MindSpore, NumPy or a translation's engine that says memory ran out; else None."""
    for line in str(error).splitlines():
        if re.search(r"memory isn't enough|out of memory|(unable|failed) to allocate|bad.alloc", line, re.IGNORECASE):
            return line.strip().rstrip(".")
    return "out of memory" if isinstance(error, MemoryError) else None


def storage_endpoint() -> str:
    """The address of another object storage than Amazon's: AWS's variables, or S3_ENDPOINT, which ModelArts sets."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def mean_over_ranks(worker: Worker) -> Callable[[np.ndarray], np.ndarray]:
    """A function that returns the mean of a float32 NumPy vector over all ranks; every rank must call it."""
    if worker.world == 1:
        return lambda vector: vector
    from mindspore import Tensor, nn, ops

    class Mean(nn.Cell):
        def __init__(self):
            super().__init__()
            self.all_reduce = ops.AllReduce()

        def construct(self, x):
            return self.all_reduce(x) / worker.world

    cell = Mean()
    return lambda vector: cell(Tensor(vector)).asnumpy()


def device() -> str:
    """The device_target that `setup` has selected: "CPU", "Ascend" or "GPU"."""
    import mindspore as ms

    return ms.get_context("device_target")


def let_plain_convolutions_be_fast() -> None:
    """Call it before MindSpore loads if networks of plain forms will run on the CPU: a MINDIR file, for example.

    oneDNN then uses no AVX-512, with which it runs plain convolutions by its reference implementation.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
