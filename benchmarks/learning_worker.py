"""A process that trains one implementation with one seed and measures as it goes; `learning.py` starts it.

Its argument is a JSON object (see `learning.asked_of`). It writes two files, each whole or not at all: `curve`, JSON,
after every measurement, and `state`, weights and moments with the curve so far, from which a process that is started
again goes on. With the implementation "weights" it writes the first weights of all implementations into `weights`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from ugatit_data import open_loader
from ugatit_data.files import write_whole
from ugatit_train import runtime
from ugatit_train.options import config
from ugatit_train.pictures import drawing, likeness
from ugatit_train.pictures.files import find_pictures, read_picture

State = dict[str, np.ndarray]
CURVE = "curve"  # the name of the curve in a state's file
AT_ONCE = 8  # pictures that are translated together


class Learner(Protocol):
    """An implementation with its weights."""

    def step(self, a: np.ndarray, b: np.ndarray) -> list[float]:
        """One update; a, b float32 (N, 3, H, W) in [-1, 1]. [d_loss, g_loss], when they are on the host."""

    def translate(self, a: np.ndarray) -> np.ndarray:
        """A to B by the weights that a user would take: their average, if there is one."""

    def state(self) -> State:
        """Copies of all that the next steps depend on."""

    def restore(self, state: State) -> None:
        """Go on from what `state` gave, in this process or another one."""


class Ours:
    """The trainer's own step, compiled through the cache that the environment names."""

    def __init__(self, asked: dict):
        runtime.setup("CPU")
        import mindspore as ms

        from ugatit_train.forms import form_for
        from ugatit_train.inference import models
        from ugatit_train.networks import compiling
        from ugatit_train.networks.ugatit import Generator
        from ugatit_train.training import build

        o = options_of(asked)
        self.cell = build.build_step(o, o.schedule(1))
        self.tensor, self.call = ms.Tensor, compiling.through_cache(self.cell)
        self.parameters = self.cell.state()
        self.generator = Generator(form_for("CPU"), o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding)
        self.translator = models.from_cell(self.generator)

    def step(self, a: np.ndarray, b: np.ndarray) -> list[float]:
        return self.call(self.tensor.from_numpy(a), self.tensor.from_numpy(b)).asnumpy()[:2].tolist()

    def translate(self, a: np.ndarray) -> np.ndarray:
        for name, parameter in self.generator.parameters_and_names():
            raw = self.parameters[f"genA2B.{name}"]
            parameter.set_data(self.tensor(self.parameters.get(f"ema.genA2B.{name}", raw).asnumpy().copy()))
        return self.translator(a)[0]

    def state(self) -> State:
        return {name: parameter.asnumpy().copy() for name, parameter in self.parameters.items()}

    def restore(self, state: State) -> None:
        for name, parameter in self.parameters.items():
            parameter.set_data(self.tensor(state[name].copy()))


class Peer:
    """The step in PyTorch (`torch_step.py`), from the first weights of ours."""

    def __init__(self, asked: dict):
        import torch
        import torch_step

        torch.set_num_threads(asked["threads"])
        o = options_of(asked)
        self.torch, self.rates, self.lr, self.done = torch, o.schedule(1), o.lr, 0
        factors = {name: getattr(o, f"{name}_weight") for name in torch_step.Step.PAPER}
        self.network = torch_step.Step(
            ch=o.ch, n_res=o.n_res, n_dis=o.n_dis, img_size=o.image_size[0], img_ch=o.img_ch, light=o.light,
            weight_decay=o.weight_decay, factors=factors, ema=o.ema, **asked["form"],
        )  # fmt: skip
        self.generator = torch_step.Generator(o.ch, o.n_res, o.image_size[0], o.img_ch, o.light)
        own = self.parts()
        for name, value in np.load(asked["weights"]).items():
            found = own[torch_step.name_of(name)]
            found.copy_(torch.from_numpy(value).reshape(found.shape))
        for name, average in self.network.averages.items():
            average.copy_(own[name])

    def parts(self) -> dict:
        """Parameters, vectors of the spectral norm and averages, by name; writing into them changes the networks."""
        step, found = self.network, {}
        for network in (*step.GENERATORS, *step.DISCRIMINATORS):
            found |= {f"{network}.{name}": value for name, value in step[network].state_dict().items()}
        return found | {f"ema.{name}": value for name, value in step.averages.items()}

    def step(self, a: np.ndarray, b: np.ndarray) -> list[float]:
        self.done += 1
        self.network.set_rate(self.rates.learning_rate(self.done, self.lr))
        return list(self.network(self.torch.from_numpy(a), self.torch.from_numpy(b)))

    def translate(self, a: np.ndarray) -> np.ndarray:
        weights = self.network.weights | self.network.averages
        mine = {name.removeprefix("a2b."): value for name, value in weights.items() if name.startswith("a2b.")}
        self.generator.load_state_dict(mine)
        with self.torch.no_grad():
            return self.generator(self.torch.from_numpy(a))[0].numpy()

    def state(self) -> State:
        found = {name: value.numpy().copy() for name, value in self.parts().items()}
        for name, adam in (("g_adam", self.network.g_adam), ("d_adam", self.network.d_adam)):
            for number, held in adam.state_dict()["state"].items():
                found |= {f"{name}.{number}.{kind}": value.numpy().copy() for kind, value in held.items()}
        return found | {"done": np.array(self.done)}

    def restore(self, state: State) -> None:
        self.done = self.network.updates = int(state["done"])
        for name, value in self.parts().items():
            value.copy_(self.torch.from_numpy(state[name]))
        for name, adam in (("g_adam", self.network.g_adam), ("d_adam", self.network.d_adam)):
            held: dict[int, dict] = {}
            for key, value in state.items():
                if key.startswith(f"{name}."):
                    _, number, kind = key.split(".")
                    held.setdefault(int(number), {})[kind] = self.torch.from_numpy(value.copy())
            adam.load_state_dict(adam.state_dict() | {"state": held})


MAKERS: dict[str, Callable[[dict], Learner]] = {"ours": Ours, "torch": Peer}


def options_of(asked: dict) -> config.Options:
    """The training's options: the demo's, with what this implementation changes of them."""
    changed = asked["form"] if asked["implementation"] == "ours" else {}
    return config.Options(**asked["options"], **changed)


def write_weights(asked: dict) -> None:
    """Writes the networks' first weights, as `initialise` makes them of the seed, into the file `weights`."""
    ours = Ours(asked)
    networks = {name: value for name, value in ours.state().items() if name.startswith(("gen", "dis"))}
    _write_arrays(Path(asked["weights"]), networks)


class Measured:
    """The test pictures with their hidden truth."""

    def __init__(self, folder: Path, size: int):
        self.inputs, self.true = (
            np.stack([read_picture(path, size) for path in find_pictures(folder / name)])
            for name in ("testA", "testA_target")
        )
        self.given = np.concatenate([drawing.to_network(picture, 3) for picture in self.inputs])

    def figures(self, translate: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
        """Ratio and edge correlation of the translated test pictures (`ugatit_train/pictures/likeness.py`)."""
        parts = [translate(self.given[first : first + AT_ONCE]) for first in range(0, len(self.given), AT_ONCE)]
        made = drawing.to_uint8(np.concatenate(parts))
        return {
            "ratio": likeness.ratio(made, self.inputs, self.true),
            "edge_correlation": likeness.edge_correlation(made, self.true),
        }


def train(asked: dict) -> None:
    """Train to the last step, and measure before the first and after every `every`-th step and the last one.

    The first step of a process, which compiles, is made once for nothing, before the clock that the curve shows; what
    it took stands in the curve as `start_s`. The clock stands still while pictures are measured and files written.
    """
    began = time.perf_counter(), time.process_time()
    learner = MAKERS[asked["implementation"]](asked)
    first = learner.state()
    with _batches(asked, 0) as batches:
        learner.step(*next(batches))
    start = {"start_s": time.perf_counter() - began[0], "start_cpu_s": time.process_time() - began[1]}
    curve, state = _saved(Path(asked["state"]))
    learner.restore(state or first)
    del first, state
    measured = Measured(Path(asked["pictures"]), asked["options"]["img_size"])
    if not curve:
        code = {"commit": asked["commit"], "measured": asked["measured"]}
        curve = {"asked": asked["same"], **code, **start, "points": [], "finished": False}
        _note(curve, asked, 0, measured.figures(learner.translate) | {"wall_s": 0.0, "cpu_s": 0.0})
    done, steps = curve["points"][-1]["step"], asked["options"]["iteration"]
    wall, cpu = curve["points"][-1]["wall_s"], curve["points"][-1]["cpu_s"]
    with _batches(asked, done) as batches:
        for step in range(done + 1, steps + 1):
            began = time.perf_counter(), time.process_time()
            d_loss, g_loss = learner.step(*next(batches))
            wall, cpu = wall + time.perf_counter() - began[0], cpu + time.process_time() - began[1]
            if step % asked["every"] == 0 or step == steps:
                curve["finished"] = step == steps
                point = {"wall_s": wall, "cpu_s": cpu, "d_loss": d_loss, "g_loss": g_loss}
                _note(curve, asked, step, measured.figures(learner.translate) | point, learner)
            if os.getppid() != asked["parent"]:  # it was killed: nobody waits for this curve
                sys.exit(f"{asked['curve']}: its parent process is gone")
    Path(asked["state"]).unlink(missing_ok=True)


def _batches(asked: dict, start_step: int):
    return open_loader(
        asked["data"], batch_size=asked["options"].get("batch_size", 1), img_size=asked["options"]["img_size"],
        layout="float32", threads=asked["threads"], seed=asked["options"]["seed"], start_step=start_step,
    )  # fmt: skip


def _note(curve: dict, asked: dict, step: int, figures: dict[str, float], learner: Learner | None = None) -> None:
    """One point more: first into the state, from which another process goes on, then into the curve."""
    curve["points"].append({"step": step} | figures)
    if learner:
        _write_arrays(Path(asked["state"]), learner.state() | {CURVE: np.array(json.dumps(curve))})
    write_whole(Path(asked["curve"]), json.dumps(curve, indent=1) + "\n")
    minutes = (curve["start_s"] + figures["wall_s"]) / 60
    print(f"{asked['name']}: step {step}, {minutes:.1f} minutes, ratio {figures['ratio']:.3f}", flush=True)


def _saved(path: Path) -> tuple[dict, State | None]:
    """The curve and the state that a killed process has left; nothing, if there is none."""
    if not path.exists():
        return {}, None
    state = dict(np.load(path))
    return json.loads(str(state.pop(CURVE))), state


def _write_arrays(path: Path, arrays: State) -> None:
    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, **arrays)

    write_whole(path, write, durable=True)


def main() -> int:
    asked = json.loads(sys.argv[1])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked["threads"]])  # before a library counts them
    write_weights(asked) if asked["implementation"] == "weights" else train(asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
