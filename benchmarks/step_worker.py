"""A process that holds one implementation of the step and runs it when asked; `step_time.Worker` starts it.

Its argument is a JSON object. It answers on standard output, one JSON object for each line: first {"ready": seconds to
build} or {"skipped": reason}; then, to each line with a number n of steps, {"seconds": [n], "waits": [n: seconds for
the data], "losses": [d_loss, g_loss] of the last step, "peak_mib": so far} or, for ceilings, {name: figure}. Images
come from the loader, or are noise without a data set.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import importlib.util
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def main() -> int:
    asked = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    cores = sorted(os.sched_getaffinity(0))[: asked["threads"]]
    os.sched_setaffinity(0, cores)  # before a library counts them
    began = time.perf_counter()
    try:
        with _batches(asked) as batches:
            run = MAKERS[asked["implementation"]](asked, batches)
            print(json.dumps({"ready": time.perf_counter() - began}), file=answers)
            for line in sys.stdin:
                print(json.dumps(run(int(line))), file=answers)
    except ImportError as error:
        print(json.dumps({"skipped": f"{error.name or error} is not installed"}), file=answers)
    except Skipped as error:
        print(json.dumps({"skipped": str(error)}), file=answers)
    return 0


class Skipped(Exception):
    """This machine lacks something for an implementation; the message says what."""


def _steps(step: Callable, batches: Iterator) -> Callable[[int], dict]:
    """The answer to n steps. `step(a, b)` takes float32 (N, 3, H, W) and returns when its losses are on the host."""

    def run(count: int) -> dict:
        seconds, waits, losses = [], [], []
        for _ in range(count):
            began = time.perf_counter()
            a, b = next(batches)
            fetched = time.perf_counter()
            losses = step(a, b)
            waits.append(fetched - began)
            seconds.append(time.perf_counter() - fetched)
        return {"seconds": seconds, "waits": waits, "losses": losses, "peak_mib": peak_mib()}

    return run


def peak_mib() -> float:
    """The largest resident memory of this process so far. ru_maxrss would include the parent's before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _batches(asked: dict) -> contextlib.AbstractContextManager[Iterator]:
    """Endless pairs of batches: from the data set, read as in training, or always the same noise."""
    if "data" in asked:
        from ugatit_data import open_loader

        return open_loader(
            asked["data"], batch_size=asked["batch"], img_size=asked["size"], layout="float32",
            threads=asked["threads"], seed=1,
        )  # fmt: skip
    import numpy as np

    shape = (2, asked["batch"], 3, asked["size"], asked["size"])
    return contextlib.nullcontext(itertools.repeat(np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)))


def ours(asked: dict, batches: Iterator) -> Callable[[int], dict]:
    from ugatit_train import runtime
    from ugatit_train.options import config
    from ugatit_train.training import build

    changed = asked["options"].pop("forms", None)  # an older tree knows no forms
    if changed and changed.get("convolution") == "operator":
        runtime.let_plain_convolutions_be_fast()
    runtime.setup("CPU")
    import mindspore as ms

    options = config.Options(
        light=asked["light"], ch=asked["ch"], n_res=asked["n_res"], n_dis=asked["n_dis"], img_size=asked["size"],
        batch_size=asked["batch"], **asked["options"],
    )  # fmt: skip
    if changed:
        from ugatit_train.forms import CPU

        cell = build.build_step(options, options.schedule(1000), forms=dataclasses.replace(CPU, **changed))
    else:
        cell = build.build_step(options, options.schedule(1000))
    tensor = ms.Tensor.from_numpy
    return _steps(lambda a, b: cell(tensor(a), tensor(b)).asnumpy()[:2].tolist(), batches)


def prepare_torch_compile() -> None:
    """A cache for this process only: its first call must compile. Raises Skipped without a C++ compiler."""
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler):
        raise Skipped(f"torch.compile needs a C++ compiler, {compiler} is not installed")
    cache = tempfile.TemporaryDirectory()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
    atexit.register(cache.cleanup)


def peer(asked: dict, batches: Iterator) -> Callable[[int], dict]:
    if asked["options"].get("compiled"):
        prepare_torch_compile()
    import torch
    import torch_step

    torch.set_num_threads(asked["threads"])
    torch.manual_seed(1)
    step = torch_step.Step(
        ch=asked["ch"], n_res=asked["n_res"], n_dis=asked["n_dis"], img_size=asked["size"], img_ch=3,
        light=asked["light"], **asked["options"],
    )  # fmt: skip
    tensor = torch.from_numpy
    return _steps(lambda a, b: list(step(tensor(a), tensor(b))), batches)


def ceilings(asked: dict, _batches: Iterator) -> Callable[[int], dict]:
    from ugatit_train.performance import ceilings

    probes = ceilings.probes(asked["options"]["scale"])
    return lambda _: {name: probe() for name, probe in probes.items()}


def generator(asked: dict, batches: Iterator) -> Callable[[int], dict]:
    import inference_worker

    name = asked["options"]["of"]
    if name == "torch compiled":
        prepare_torch_compile()
    package = name.partition(" ")[0]
    if importlib.util.find_spec(package) is None:
        raise Skipped(f"{package} is not installed")
    return inference_worker.generator(asked, batches)


MAKERS = {"ours": ours, "torch": peer, "ceilings": ceilings, "generator": generator}

if __name__ == "__main__":
    sys.exit(main())
