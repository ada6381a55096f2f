"""The options that `translate`, `evaluate` and `export` share."""

import argparse

from ugatit_data.files import user_path
from ugatit_train import runtime

from .commandline import whole


def add_which(parser: argparse.ArgumentParser) -> None:
    """Adds `--which`, for `best.choose`."""
    parser.add_argument(
        "--which",
        choices=("last", "best"),
        default="last",
        help="of a run that was judged while it trained (--eval_freq): the last checkpoint, or the one whose figure of "
        "a2b was best",
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
