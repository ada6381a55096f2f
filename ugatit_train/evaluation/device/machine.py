"""What a machine and its device are: versions, processor, memory. Nothing here imports MindSpore at the top."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from ugatit_data import __version__
from ugatit_data.files import available_cores
from ugatit_train.performance import planner

PACKAGES = ("mindspore", "numpy", "opencv-python-headless", "pyarrow", "safetensors", "numba", "onnx", "onnxruntime")
SETTINGS = ("ASCEND_", "MS_", "GLOG_", "HCCL_", "RANK_", "GLIBC_TUNABLES", "OMP_NUM_THREADS", "ONEDNN_")


def versions() -> dict[str, str]:
    """Of Python, the packages, and on an Ascend host of CANN and the driver, by the files that they leave."""
    found = {"python": platform.python_version(), "ugatit": __version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    files = {"driver": Path("/usr/local/Ascend/driver/version.info")}
    if home := os.environ.get("ASCEND_HOME_PATH") or os.environ.get("ASCEND_TOOLKIT_HOME"):
        files["CANN"] = Path(home) / "version.cfg"
    for name, file in files.items():
        if file.is_file():
            found[name] = " ".join(file.read_text(errors="replace").split())[:200]
    return found


def host() -> dict[str, Any]:
    """The machine, without its name."""
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": available_cores(),
        "memory_gib": round((planner.device_bytes("CPU") or 0) / planner.GIB, 1),
    }


def settings() -> dict[str, str]:
    """The environment's variables that MindSpore, CANN and the launchers read."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)}


def chip(device_target: str) -> dict[str, Any]:
    """Name, number and memory of the devices; call it after `runtime.setup`. Of Ascend not run on a card."""
    if device_target == "CPU":
        return {"chip": host()["processor"], "devices": 1, "memory_gib": host()["memory_gib"]}
    import mindspore as ms

    properties = ms.hal.get_device_properties(0)
    return {
        "chip": ms.hal.get_device_name(0),
        "devices": ms.hal.device_count(),
        "memory_gib": round(properties.total_memory / planner.GIB, 1),
        "properties": " ".join(str(properties).split()),
    }


def peak_bytes(device_target: str) -> int:
    """The most memory that this process has had so far: on the CPU all of it, otherwise the device's."""
    if device_target != "CPU":
        import mindspore as ms

        return ms.runtime.max_memory_allocated()
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
