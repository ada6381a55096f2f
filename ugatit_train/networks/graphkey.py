"""The name of a compiled graph: a digest of all that decides it. Equal names mean equal graphs, constants too."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore._c_expression import ms_ctx_param

import ugatit_data
import ugatit_train
from ugatit_data.files import canonical, sha256_file, sha256_hex
from ugatit_train.networks.fingerprint import fingerprint
from ugatit_train.runtime import Worker, device

# The compilers read variables of these beginnings.
_PREFIXES = ("MS_", "MINDSPORE_", "ONEDNN_", "DNNL_", "ASCEND_", "GE_", "HCCL_", "CANN_", "CUDA_", "GRAPH_OP_")
# But these say where this process runs, beside whom, where a cache lies, what is printed: they stay outside.
OUTSIDE_VARIABLES = frozenset(
    ("MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH", "MS_DEV_FORCE_USE_COMPILE_CACHE", "MS_WORKER_NUM",
     "MS_ROLE", "MS_SCHED_HOST", "MS_SCHED_PORT", "MS_NODE_ID", "MS_NODE_TIMEOUT", "MS_TOPO_TIMEOUT",
     "MS_CPU_COMM_OP_TIMEOUT",
     "ASCEND_DEVICE_ID", "ASCEND_RT_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES",
     "HCCL_IF_IP", "HCCL_IF_BASE_PORT",
     "ONEDNN_VERBOSE", "DNNL_VERBOSE")
)  # fmt: skip
OUTSIDE_SETTINGS = frozenset(
    ("inter_op_parallel_num", "runtime_num_threads", "print_file_path", "profiling_options", "save_graphs_path",
     "enable_compile_cache", "compile_cache_path", "device_id", "op_timeout", "cur_step_num", "last_triggered_step",
     "save_checkpoint_steps", "need_ckpt", "hccl_watchdog", "variable_memory_max_size", "_graph_memory_max_size",
     "enable_offloading_packed_experts")  # which MindSpore 2.10 gives no first value: seen true and false
)  # fmt: skip

_CANN = ("version.cfg", "opp/version.info", "compiler/version.info", "runtime/version.info")


def parts(cell: nn.Cell, inputs: tuple[Tensor, ...], worker: Worker) -> dict[str, Any]:
    """All that the graph of `cell` for such inputs depends on, as JSON.

    Raises:
        UnknownValueError: the cell holds a value that the digest has no rule for.
        OSError: a source file cannot be read.
    """
    return {
        "cell": fingerprint(cell),
        "inputs": [_input(each) for each in inputs],
        "sources": sources(),
        "settings": settings(),
        "environment": environment(),
        "versions": versions(),
        "machine": machine(),
        "worker": [worker.rank, worker.world],
    }


def key(found: dict[str, Any]) -> str:
    """The name of a graph with these `parts`: 64 hexadecimal digits."""
    return sha256_hex(canonical(found))


def _input(value: Tensor) -> list[str]:
    return [str(value.dtype), str(value.shape)]


def sources() -> str:
    """A digest of every source file of ours: path in the package, and contents."""
    found: dict[str, str] = {}
    for package in (ugatit_data, ugatit_train):
        top = Path(package.__path__[0])
        found |= {f"{top.name}/{path.relative_to(top)}": sha256_file(path) for path in top.rglob("*.py")}
    return sha256_hex(canonical(found))


def settings() -> dict[str, str]:
    """MindSpore's settings of this process, but for `OUTSIDE_SETTINGS`."""
    context = ms.context._context()
    found = {"seed": repr(ms.get_seed()), "jit_config": repr(sorted(ms.context.get_jit_config().items()))}
    for name in ("parallel_mode", "device_num", "gradients_mean", "gradient_fp32_sync"):
        found[f"parallel.{name}"] = repr(ms.get_auto_parallel_context(name))
    # Ascend's precision stands beside the other settings, and only a MindSpore for Ascend has it.
    if hasattr(ms._c_expression, "AscendOpPrecisionConf"):
        precision = ms._c_expression.AscendOpPrecisionConf.get_instance()
        for name in ("precision_mode", "op_precision_mode", "conv_allow_hf32", "matmul_allow_hf32"):
            found[f"ascend.{name}"] = repr(getattr(precision, name)())
    for name, member in ms_ctx_param.__members__.items():
        if name not in OUTSIDE_SETTINGS:
            found[name] = repr(context.get_param(member))
    return found


def environment() -> dict[str, str]:
    """The environment that a compiler may read, but for `OUTSIDE_VARIABLES`."""
    read = {name for name in os.environ if name.startswith(_PREFIXES)} - OUTSIDE_VARIABLES
    return {name: os.environ[name] for name in sorted(read)}


def versions() -> list[str]:
    """Versions and builds of MindSpore, NumPy and Python."""
    library, commit = Path(ms._c_expression.__file__).stat(), Path(ms.__file__).parent / ".commit_id"
    build = [ms.__version__, commit.read_text() if commit.is_file() else "", str(library.st_size)]
    return [*build, str(library.st_mtime_ns), np.__version__, sys.version, sys.implementation.name]


def machine() -> list[str]:
    """The device, its chip and the software below it, and what the processor can do."""
    found = [device(), platform.machine(), _processor()]
    if device() == "CPU":
        return found
    cann = Path(os.environ.get("ASCEND_HOME_PATH") or "/usr/local/Ascend/ascend-toolkit/latest")
    below = [*(cann / name for name in _CANN), Path("/usr/local/Ascend/driver/version.info")]
    return [*found, ms.hal.get_device_name(0), *(path.read_text() for path in below if path.is_file())]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
