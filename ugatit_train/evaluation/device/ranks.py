"""The check of two devices: the mean of a vector over two processes that the launcher starts. `main` is one of them."""

import json
import os
import socket
import sys
import time

import numpy as np

from ugatit_train import runtime
from ugatit_train.evaluation.device.record import CheckFailed, Result, Skipped
from ugatit_train.training import workers

RANKS = 2
FLOATS = {"CPU": 1 << 20}  # of the vector
FLOATS_OF_A_CARD = 1 << 24
BOUND = 1e-6  # of the mean of two float32 numbers: one rounding
MARK = "check_device: "  # before the line of a process, among what MindSpore prints
WORKER = "import sys; sys.path.pop(0); from ugatit_train.evaluation.device import ranks; ranks.main()"


def all_reduce(shared, result: Result) -> str:
    """Every process must have the mean of both vectors, and a device of its own."""
    target = shared.job.device_target
    devices = RANKS if target == "CPU" else shared.job.known["device"]["devices"]
    if devices < RANKS:
        raise Skipped("there is one device only")
    cluster = workers.Cluster(local=RANKS, world=RANKS, port=free_port(), logs=shared.folder / "ranks")
    count = FLOATS.get(target, FLOATS_OF_A_CARD)
    try:
        workers.run(cluster, [sys.executable, "-c", WORKER, target, str(count)])
    finally:  # also of a failure
        texts = {rank: read(cluster, rank) for rank in range(RANKS)}
        result.figures["logs"] = {f"rank {rank}": text[-2000:] for rank, text in texts.items()}
    found = [json.loads(text.rpartition(MARK)[2].splitlines()[0]) for text in texts.values()]
    result.figures = {"processes": found}
    result.tolerances["mean"] = f"a relative difference of {BOUND:g}: one rounding of float32"
    return judge(found, target)


def judge(found: list[dict], target: str) -> str:
    """What the processes say, in words. Raises CheckFailed where it is wrong."""
    worst = float(np.max([rank["difference"] for rank in found]))
    if not worst <= BOUND:
        raise CheckFailed(f"the mean over {RANKS} processes is wrong by {worst:.1e}, relative; allowed {BOUND:g}")
    ids = [rank["device_id"] for rank in found]
    if target != "CPU" and len(set(ids)) < len(ids):
        raise CheckFailed(f"the processes share a device: they have the numbers {ids}")
    return (
        f"{RANKS} processes: the mean is right within {worst:.1e}; {found[0]['mib']:.0f} MiB in {found[0]['ms']:.1f} ms"
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def read(cluster: workers.Cluster, rank: int) -> str:
    log = cluster.log(rank)
    return log.read_text(errors="replace") if log.exists() else ""


def main() -> None:
    """A process: joins the others, takes the mean of its vector and theirs, and prints a JSON line."""
    target, count = sys.argv[1], int(sys.argv[2])
    worker = runtime.setup(target, distributed=True)
    import mindspore as ms

    mean = runtime.mean_over_ranks(worker)
    own = np.arange(count, dtype=np.float32) * (worker.rank + 1)
    expected = np.arange(count, dtype=np.float64) * (worker.world + 1) / 2
    found = mean(own)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        mean(own)
        times.append(time.perf_counter() - began)
    said = {
        "rank": worker.rank,
        "device_id": int(os.environ["DEVICE_ID"]) if target == "CPU" else ms.get_context("device_id"),
        "difference": float(np.abs(found - expected).max() / expected.max()),
        "mib": own.nbytes / 2**20,
        "ms": min(times) * 1e3,
    }
    print(f"{MARK}{json.dumps(said)}", flush=True)
