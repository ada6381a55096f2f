#!/usr/bin/env python3
"""All of it in one command: make data, train, translate, draw the result.

Pictures -> data set -> training -> translated pictures -> contact sheet and figures. The run's page shows its way.

Each stage is one of the other tools, run as a user would run it. A stage whose result is there is not run again, so
that the same command goes on where it was interrupted.
"""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ugatit_data import BadInputError
from ugatit_data.commands import SCRIPTS
from ugatit_data.conversion.sources import FolderSource
from ugatit_data.files import partial_path, write_whole
from ugatit_train.errors import UgatitError
from ugatit_train.options import config
from ugatit_train.pictures import drawing
from ugatit_train.training import log

from .commandline import Parser, checking, path, say, whole, working
from .demoresult import AGAIN, draw, told

TOOLS = Path(__file__).parent
SETTINGS_FILE, FIGURES_FILE = "demo.json", "figures.json"
STEPS_PER_MINUTE = 160  # at the default sizes, on two free cores of a Xeon (AVX-512); see CONTRIBUTING.md
STEPS, SIZE, CHANNELS = 1200, 64, 32


class StageError(UgatitError):
    """A tool failed, and has said why; `exit_code` is its own."""

    def __init__(self, exit_code: int):
        super().__init__(exit_code)
        self.exit_code = exit_code


def parser() -> Parser:
    made = Parser(
        "demo",
        description="Make a data set, train on it, translate its test pictures, and draw the result.",
        epilog="Examples:\n"
        "  %(prog)s                      on photographs that installed packages carry\n"
        "  %(prog)s --data my_pictures   on my_pictures/trainA and my_pictures/trainB\n"
        "  %(prog)s --data my_pictures --minutes 60   for longer\n\n"
        "Interrupted? The same command goes on from there.\n"
        "Exit code: 0 done, 1 a failure while running, 2 bad input.",
    )
    made.add_argument("--out", type=path, default=Path("demo"), help="folder for everything that is made")
    made.add_argument("--data", type=path, help="folder with trainA and trainB, perhaps testA; by default sample data")
    made.add_argument("--img_size", type=whole(24), default=SIZE, help="height and width of the images in pixels")
    made.add_argument("--ch", type=whole(1), default=CHANNELS, help="channels of the networks' first layer")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--iteration", type=whole(1), default=STEPS, help="training steps")
    length.add_argument(
        "--minutes", type=whole(1), help=f"training steps, as minutes of two free cores: {STEPS_PER_MINUTE} steps each"
    )
    made.add_argument("--seed", type=whole(0), default=1, help="seed of everything")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    with checking():
        settings = settings_of(options)
        held_out = check(options.data) if options.data else False
        new = claim(options.out, settings)
    print(expectation(settings, own=options.data is not None), flush=True)
    try:
        with working(AGAIN):
            run(options.out, options.data, settings, held_out)
    except StageError as error:
        if new and error.exit_code == 2:  # bad input leaves nothing behind
            shutil.rmtree(options.out)
        return error.exit_code
    return 0


def settings_of(options: argparse.Namespace) -> dict:
    """What makes this demo another one than that of other options. Raises OptionError where no run can have them."""
    numbers = {name: getattr(options, name) for name in ("img_size", "ch", "iteration", "seed")}
    if options.minutes is not None:
        numbers["iteration"] = options.minutes * STEPS_PER_MINUTE
    config.Options(n_dis=fitting_n_dis(options.img_size), **numbers)
    return {"data": str(options.data.resolve()) if options.data else None, **numbers}


def expectation(settings: dict, own: bool) -> str:
    """How long it will take, and what the user's own pictures can come to in that time."""
    steps, size, ch = settings["iteration"], settings["img_size"], settings["ch"]
    if (size, ch) != (SIZE, CHANNELS):
        return f"{steps} training steps at {size} px: how long they take is said when the training starts"
    about = (
        f"about {round(steps / STEPS_PER_MINUTE) + 2} minutes on two free cores ({steps} training steps at {size} px)"
    )
    if not own or steps >= 60 * STEPS_PER_MINUTE:
        return about
    return (
        f"{about}: enough to see B's colours and first strokes on A's shapes, not a finished style; "
        "a longer run: make demo MINUTES=60 (or --minutes 60), with another OUT"
    )


def training(settings: dict) -> dict[str, str | int | float | bool]:
    """The training's options; how they were chosen: CONTRIBUTING.md, "The demo"."""
    steps, size = settings["iteration"], settings["img_size"]
    return {
        "light": True,
        "img_size": size,
        "ch": settings["ch"],
        "n_res": 1,  # of the paper's 4: so few steps teach a shallow network more, and a step takes half the time
        "n_dis": fitting_n_dis(size),
        "iteration": steps,
        "lr": 4e-4,  # four times the paper's
        "cam_weight": 100.0,  # a tenth of the paper's
        "cycle_weight": 20.0,  # twice the paper's, as the next: shapes and colours stay where they are
        "identity_weight": 20.0,
        "ema": 0.999,  # the pictures of a short run are much less noisy
        "print_freq": max(1, steps // 12),
        "save_freq": max(1, steps // 4),
        "seed": settings["seed"],
    }


def run(out: Path, data: Path | None, settings: dict, held_out: bool) -> None:
    """Every stage in order, in the folder `out`. Raises StageError."""
    seconds: dict[str, float] = {}
    pictures = data if data and not held_out else out / "images"
    steps, size = settings["iteration"], settings["img_size"]
    dataset, run_folder, translated = out / "dataset", out / "run", out / "translated"

    if data is None:
        sample = ("sample", pictures, "--size", size + 32, "--seed", settings["seed"])
        stage(seconds, "sample data", pictures, *sample)
    elif held_out and not pictures.exists():
        hold_out(data, pictures)
    stage(seconds, "convert", dataset, "convert", pictures, dataset)

    train: tuple[object, ...]
    if any((run_folder / "checkpoints").glob("step-*[0-9]")):
        train = ("--output_path", run_folder, "--resume")
    else:
        shutil.rmtree(run_folder, ignore_errors=True)  # of a run that ended before its first checkpoint
        train = ("--data_path", dataset, "--output_path", run_folder)
        for name, value in training(settings).items():
            train += (f"--{name}",) if value is True else (f"--{name}", value)
    stage(seconds, "train", run_folder / "checkpoints" / f"step-{steps:08d}", "train", *train)

    shutil.rmtree(translated, ignore_errors=True)
    source = ("translate", pictures / "testA", "--checkpoint", run_folder, "--out", translated, "--heatmap")
    stage(seconds, "translate", translated, *source, may_exit=(0, 1))  # 1: some pictures were bad, and are named

    sheet, curves = out / "contact_sheet.png", out / "loss_curves.png"
    figures = draw(pictures, translated, sheet, size)
    write_whole(out / FIGURES_FILE, json.dumps({"seconds": seconds, **figures}, indent=1) + "\n")
    drawing.loss_curves(log.read_metrics(run_folder / "metrics.jsonl"), curves)
    print("time: " + ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
    print(told(figures))
    print(f"contact sheet: {sheet}\nloss curves: {curves}\nthe run's page: {run_folder / 'index.html'}")


def check(data: Path) -> bool:
    """Whether test pictures must be held out, because the user's folder has no testA. Raises BadInputError."""
    listed = FolderSource(data).entries()
    if ("test", "a") in listed:
        return False
    if len(listed["train", "a"]) < 2:
        raise BadInputError(f"{data / 'trainA'}: holds one picture: put two or more there, or some into testA")
    return True


def claim(out: Path, settings: dict) -> bool:
    """Whether `out` is new; then it is made. An older demo of the same settings is gone on with.

    Raises:
        BadInputError: `out` is something else, or a demo of other settings.
    """
    file = out / SETTINGS_FILE
    if file.is_file():
        try:
            before = json.loads(file.read_text())
        except ValueError:
            before = None
        if before == settings:
            print(f"{out} holds this demo already: what is finished is kept; remove {out} to begin anew", flush=True)
            return False
        raise BadInputError(f"{out} holds a demo with other settings ({before}): remove it, or give another --out")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise BadInputError(f"{out} exists and is no demo: remove it, or give another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(settings) + "\n")
    return True


def stage(seconds: dict[str, float], name: str, result: Path, tool: str, *arguments, may_exit=(0,)) -> None:
    """Run one tool unless its result is there, and note the time. Raises StageError."""
    if result.exists():
        print(f"== {name}: {result} is there")
        return
    print(f"== {name}", flush=True)
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, TOOLS / SCRIPTS[tool], *map(str, arguments)])
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()  # the tool got the signal too: let it save what it has
        raise
    if code < 0:
        say(tool, f"ended by signal {-code}: {AGAIN}")
        raise StageError(1)
    if code not in may_exit:
        raise StageError(code)
    seconds[name] = time.perf_counter() - began


def fitting_n_dis(img_size: int) -> int:
    """The largest size of the discriminators, up to the default 6, that fits img_size; see config.Options."""
    return max(4, min(6, (img_size // 3).bit_length()))


def hold_out(data: Path, pictures: Path) -> None:
    """Links to the user's pictures: a tenth of trainA, those with the smallest hashes of their keys, becomes testA."""
    listed = FolderSource(data).entries()
    keys = sorted((entry.key for entry in listed["train", "a"]), key=lambda key: hashlib.sha256(key).digest())
    held = set(keys[: max(1, len(keys) // 10)])
    print(f"== no testA in {data}: {len(held)} of the {len(keys)} pictures of trainA are held out for it", flush=True)
    partial = partial_path(pictures)
    shutil.rmtree(partial, ignore_errors=True)
    for domain in ("a", "b"):
        for entry in listed["train", domain]:
            split = "test" if domain == "a" and entry.key in held else "train"
            link = partial / f"{split}{domain.upper()}" / os.fsdecode(entry.key)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((data / f"train{domain.upper()}" / os.fsdecode(entry.key)).resolve())
    partial.rename(pictures)
