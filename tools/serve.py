#!/usr/bin/env python3
"""Open a page to try a run on: drop a picture, see its translation and heat map."""

if __name__ == "__main__":
    from script import start_tool

    start_tool(__file__)

import argparse
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from ugatit_data.commands import command
from ugatit_train.inference import generator, models, translate
from ugatit_train.inference.generator import said_of
from ugatit_train.inference.web.offer import Offer
from ugatit_train.inference.web.server import MAX_UPLOAD_BYTES, Server
from ugatit_train.training import best, checkpoint, interrupts

from .commandline import Parser, checking, end_when_interrupted, say, whole, working
from .opening import add_generator, check_generator, choose_engine, open_generators, say_engine
from .sharedoptions import add_device, add_sizes


def parser() -> Parser:
    made = Parser(
        "serve",
        description="Open a page for a browser on which a picture can be dropped, and show its translation and heat "
        "map, from A to B and from B to A; an exported file has one direction. Pictures are read as translate reads "
        "them, and not kept. The address is printed first; Ctrl-C ends it.",
        epilog="Examples:\n"
        "  %(prog)s --checkpoint runs/first\n"
        "  %(prog)s --checkpoint runs/first --tiles --port 9000\n"
        "  %(prog)s --onnx exported/genA2B.onnx\n\n"
        f"A file may be up to {MAX_UPLOAD_BYTES // 10**6} MB. Pictures that come together go one after the other.\n"
        "From another machine: `ssh -L 8765:127.0.0.1:8765 THIS_MACHINE`, and open http://127.0.0.1:8765/ there.\n"
        "With --host 0.0.0.0 every machine that reaches this one may use it: there is no password.\n"
        "Of names, this machine's own leads to it (and localhost); any address of it in figures does too.\n\n"
        "Exit code: 0 ended by Ctrl-C, SIGTERM or SIGHUP, 1 a failure, 2 bad input.",
    )
    add_generator(
        made,
        auto="on the CPU OpenVINO where it is installed (with --tiles if those are small or large), else MindSpore",
    )
    add_sizes(made)
    made.add_argument("--host", default="127.0.0.1", help="address to listen at; this one is for this machine only")
    made.add_argument("--port", type=whole(0), default=8765, help="port to listen at; 0 takes a free one")
    add_device(made)
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    check_generator(options)
    name = (options.checkpoint or options.mindir or options.onnx).resolve().name
    again = "run it again"
    end_when_interrupted("serve", again)
    with checking():
        directions: list[str | None] = [None]
        step = None
        if options.checkpoint:
            options.checkpoint, meta = checkpoint.find(best.choose(options.checkpoint, options.which))
            options.which = "last"  # this one, for both directions: the run may go on meanwhile
            generator.choose(options.checkpoint, meta, options.weights)  # which refuses what is not there
            directions, step = [*generator.directions(meta)], meta["step"]
        server = Server(options.host, options.port)
        found, engine, why = open_generators(options, directions, *choose_engine(options, pictures=1))
    if options.engine == "auto" and engine == "openvino" and not options.tiles:
        why = "auto: pictures come one by one"
    opened = {model.signature.direction: model for model in found}
    sizes = {"size": options.size, "keep_size": options.keep_size, "tiles": options.tiles}
    about = described(options, name, opened, step) | {"engine": engine}
    smaller = "free some memory, and try again"
    if options.keep_size:
        smaller = f"give a smaller picture, or start {command('serve')} with --tiles"
    server.offer = Offer(models=opened, about=about, sizes=sizes, too_large=smaller)

    say_engine(options, engine, why, before=f"{server.url} (Ctrl-C ends it), ")
    signature = next(iter(opened.values())).signature
    for line in said_of(signature.weights, options.weights):
        print(line, flush=True)
    if not server.is_local:
        say(
            "serve",
            f"--host {options.host}: every machine that reaches this one may use it, without a password, "
            f"by the name {socket.gethostname()} or by an address in figures",
        )
    with ended_at_once(), working(again, memory="free some memory, and run it again"):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        warm_up(server.offer, signature)
        while True:
            server.turns.take()


@contextlib.contextmanager
def ended_at_once() -> Iterator[None]:
    """In here Ctrl-C, SIGTERM and SIGHUP end the server where it is: it has nothing to save.

    The main thread, which is in the network's calls, hears a handler after a call only. So Python's own part of the
    handlers, which runs at once, wakes another thread. As in `end_when_interrupted`, no exception does it.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    numbers = interrupts.ending_signals()

    def end(*_) -> None:
        with contextlib.suppress(OSError):  # a terminal that was closed
            sys.stdout.flush()
        os._exit(0)

    def listen() -> None:
        while got := os.read(reading, 1):
            if got[0] in numbers:
                end()
        os.close(reading)

    threading.Thread(target=listen, daemon=True).start()
    before = signal.set_wakeup_fd(writing)
    for number in numbers:  # MindSpore turns Ctrl-C into SIGTERM while it runs
        signal.signal(number, end)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)


def warm_up(offer: Offer, signature: models.Signature) -> None:
    """Has the networks compiled, with a picture of the training's size, so that the first one need not wait."""
    for model in offer.models.values():
        translate.translate_picture(model, np.zeros((*signature.img_size, 3), np.uint8), **offer.sizes)


def described(
    options: argparse.Namespace, name: str, opened: dict[str, models.Model], step: int | None
) -> dict[str, Any]:
    """What the page says of the run `name`, or of a file, which knows no step: see `Offer`."""
    signature = next(iter(opened.values())).signature
    high, wide = options.size or signature.size or signature.img_size
    fit = f"resized to {wide} × {high} px"
    if options.tiles:
        fit = f"kept at their size, in tiles of {wide} × {high} px"
    elif options.keep_size:
        fit = (
            "kept at their size" if signature.size is None else f"translated at {wide} × {high} px, shown at their size"
        )
    kind = f"{'light' if signature.light else 'full'} model"
    average = ", weights averaged" if signature.weights == generator.EMA else ""
    return {
        "name": name,
        "facts": f"{kind.capitalize() if step is None else f'Step {step:,}, {kind}'}{average}. Pictures are {fit}.",
        "hint": f"Folders and videos: {command('translate')}",
        "directions": list(opened),
        "limit_bytes": MAX_UPLOAD_BYTES,
    }
