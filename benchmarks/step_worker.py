"""A process that holds one implementation of the step and runs it when told to; `step_time.py` starts it.

Argument: a JSON object (see `step_time.Candidate`). It answers on standard output, a JSON object a line:
{"ready": build seconds} or {"skipped": reason}; then for each line with a number of steps n that comes in
{"seconds": [n of them], "losses": [d_loss, g_loss] of the last, "peak_mib": so far} or, for ceilings, {name: figure}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main() -> int:
    asked = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the answers
    cores = sorted(os.sched_getaffinity(0))[: asked["threads"]]
    os.sched_setaffinity(0, cores)  # before any library counts them
    began = time.perf_counter()
    try:
        run = MAKERS[asked["implementation"]](asked)
    except ImportError as error:
        print(json.dumps({"skipped": f"{error.name or error} is not installed"}), file=answers)
        return 0
    print(json.dumps({"ready": time.perf_counter() - began}), file=answers)
    for line in sys.stdin:
        print(json.dumps(run(int(line))), file=answers)
    return 0


def _steps(step: Callable[[], list[float]]) -> Callable[[int], dict]:
    """`step` ends when its losses are numbers on the host."""

    def run(count: int) -> dict:
        seconds, losses = [], []
        for _ in range(count):
            began = time.perf_counter()
            losses = step()
            seconds.append(time.perf_counter() - began)
        return {"seconds": seconds, "losses": losses, "peak_mib": peak_mib()}

    return run


def peak_mib() -> float:
    """The largest resident memory of this process so far. Not ru_maxrss, which begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _images(asked: dict) -> list:
    import numpy as np

    shape = (2, asked["batch"], 3, asked["size"], asked["size"])
    return list(np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32))


def ours(asked: dict) -> Callable[[int], dict]:
    from ugatit_train import config, loop, runtime

    runtime.setup("CPU")
    import mindspore as ms

    plain = asked["options"].pop("plain", None)
    if plain:
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "train"))
        import plain_forms

        plain_forms.FORMS[plain]()
    options = config.Options(
        light=asked["light"], ch=asked["ch"], n_res=asked["n_res"], n_dis=asked["n_dis"], img_size=asked["size"],
        batch_size=asked["batch"], **asked["options"],
    )  # fmt: skip
    cell = loop.build_step(options, options.schedule(1000))
    a, b = (ms.Tensor.from_numpy(image) for image in _images(asked))
    return _steps(lambda: cell(a, b).asnumpy()[:2].tolist())


def peer(asked: dict) -> Callable[[int], dict]:
    import torch
    import torch_step

    torch.set_num_threads(asked["threads"])
    torch.manual_seed(1)
    step = torch_step.Step(
        ch=asked["ch"], n_res=asked["n_res"], n_dis=asked["n_dis"], img_size=asked["size"], img_ch=3,
        light=asked["light"], **asked["options"],
    )  # fmt: skip
    a, b = (torch.from_numpy(image) for image in _images(asked))
    return _steps(lambda: list(step(a, b)))


def ceilings(asked: dict) -> Callable[[int], dict]:
    from ugatit_train import ceilings

    probes = ceilings.probes(asked["options"]["scale"])
    return lambda _: {name: probe() for name, probe in probes.items()}


MAKERS = {"ours": ours, "torch": peer, "ceilings": ceilings}

if __name__ == "__main__":
    sys.exit(main())
