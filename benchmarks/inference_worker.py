"""What `step_worker.py` runs for `inference.py`: a generator by an engine of ours or PyTorch; the first call builds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np


def generator(asked: dict, batches: Iterator) -> Callable[[int], dict]:
    """The answer to n calls: {"seconds": [n]}."""
    x = next(batches)[0]
    name, run = asked["options"]["of"], Path(asked["options"]["run"])
    opener = _torch if name.startswith("torch") else _ours
    opened: list[Callable] = []

    def answer(count: int) -> dict:
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            if not opened:
                opened.append(opener(name, run, asked))
            opened[0](x)
            seconds.append(time.perf_counter() - began)
        return {"seconds": seconds}

    return answer


def _ours(engine: str, run: Path, _asked: dict) -> Callable[[np.ndarray], object]:
    if engine == "mindspore":
        from ugatit_train import runtime
        from ugatit_train.inference import models

        runtime.setup("CPU")
        return models.from_checkpoint(run, "a2b").run
    from ugatit_train.exchange import engines

    return engines.from_checkpoint(engine, run, "a2b").run


def _torch(name: str, run: Path, asked: dict) -> Callable[[np.ndarray], object]:
    import torch
    import torch_step

    from ugatit_train.inference.generator import load_arrays

    torch.set_num_threads(asked["threads"])
    network = torch_step.Generator(asked["ch"], asked["n_res"], asked["size"], 3, True)
    state = network.state_dict()
    for own, array in load_arrays(run, "a2b")[0].items():
        there = torch_step.name_of(f"genA2B.{own}").removeprefix("a2b.")
        state[there] = torch.from_numpy(array).reshape(state[there].shape)
    network.load_state_dict(state)
    network.eval()
    if name == "torch compiled":
        network.compile()

    def translate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            made, _, heat = network(torch.from_numpy(x))
            return made.numpy(), heat.numpy()

    return translate
