"""The folder that a conversion works in: it is made, locked against a second conversion, and published by a rename."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from ugatit_data.errors import BadInputError, LockedError
from ugatit_data.files import lock, parents_made


class Lock:
    """The working folder `partial`, held by this process while the context is open.

    The lock goes with its owner, whatever kills it (see `files.lock`). Without `publish` the folder stays for the next
    run, unless it is empty; then those above it that were made for it go too.
    """

    NAME = ".lock"

    def __init__(self, partial: Path):
        self.partial = partial
        self._held = contextlib.ExitStack()
        self._ended = False

    def __enter__(self) -> Lock:
        with contextlib.ExitStack() as held:
            held.enter_context(parents_made(self.partial))
            self.partial.mkdir(exist_ok=True)
            descriptor = os.open(self.partial / self.NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            held.callback(os.close, descriptor)
            if not lock(descriptor):
                raise LockedError(
                    f"{self.partial}: another conversion is at work there. Wait for it, or choose another output "
                    "folder."
                )
            self._held = held.pop_all()
        return self

    def publish(self, out: Path) -> None:
        """Rename the folder to `out`, which must not exist."""
        if os.path.lexists(out):
            raise BadInputError(f"{out}: exists already, made meanwhile. Remove it and run again, to resume.")
        (self.partial / self.NAME).unlink()
        self.partial.rename(out)
        self._ended = True

    def discard(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.partial)
        self._ended = True

    def __exit__(self, *exception: object) -> None:
        if not self._ended and {path.name for path in self.partial.iterdir()} == {self.NAME}:
            (self.partial / self.NAME).unlink()
            with contextlib.suppress(OSError):  # another conversion may have its lock there already
                self.partial.rmdir()
        self._held.close()
