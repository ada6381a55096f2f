"""The options that `translate`, `serve`, `evaluate` and `export` share."""

import argparse

from ugatit_data.files import user_path
from ugatit_train import runtime

from .commandline import pixels, whole


def add_which(parser: argparse.ArgumentParser) -> None:
    """Adds `--which`, for `best.choose`."""
    parser.add_argument(
        "--which",
        choices=("last", "best"),
        default="last",
        help="of a run that was judged while it trained (--eval_freq): the last checkpoint, or the one whose figure of "
        "a2b was best",
    )


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """Adds `--size`, `--keep_size` and `--tiles`, of which one may be given, for `inference.translate`."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--size",
        type=pixels,
        help="pixels of the outputs, 256 or 128x256: a light model works at it, a full one's are resized",
    )
    size.add_argument(
        "--keep_size",
        action="store_true",
        help="keep every picture's size: a light model takes it whole, a full one's output is resized to it",
    )
    size.add_argument(
        "--tiles",
        action="store_true",
        help="keep every picture's size and detail: overlapping parts of the training's size, blended",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds `--device_target`, `--device_id`, and `--compile_cache` for `compiling.folder_of`."""
    parser.add_argument("--device_target", choices=runtime.DEVICE_TARGETS, default="CPU", help="device to run on")
    parser.add_argument("--device_id", type=whole(0), default=0, help="number of the device")
    parser.add_argument(
        "--compile_cache",
        type=_cache,
        default="auto",
        metavar="auto|off|FOLDER",
        help="where a checkpoint's compiled networks are kept for the next start; auto: ugatit/graphs in the user's "
        "cache folder, on the CPU only, or what UGATIT_COMPILE_CACHE says",
    )


def _cache(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("is empty: give auto, off or a folder")
    return text if text in ("auto", "off") else str(user_path(text).absolute())
