"""What a page to try offers: a file's bytes go in, three pictures come out, one file at a time."""

import base64
import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ugatit_data.pixels.policy import decode
from ugatit_train.inference.models import Model
from ugatit_train.inference.translate import translate_picture
from ugatit_train.pictures.files import encode


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a page offers: the generator of each direction ("a2b", "b2a"), and words about them for the page.

    `sizes` are the arguments of `translate_picture`; `too_large` says what to do where a picture takes more memory than
    there is.
    """

    models: Mapping[str, Model]
    about: Mapping[str, Any]
    sizes: Mapping[str, Any]
    too_large: str


def translated(offer: Offer, direction: str, data: bytes) -> dict[str, Any]:
    """What the page shows of the bytes of a picture's file.

    `seen`, `translation` and `heatmap` are PNG files in base64; `size` is their height and width, `notes` what the
    decoding policy changed, `seconds` the time of it all.

    Raises:
        RejectedImageError: the policy refuses the file.
    """
    began = time.perf_counter()
    decoded = decode(data)
    pictures = translate_picture(offer.models[direction], decoded.pixels, **offer.sizes)
    files = [base64.b64encode(encode(picture)).decode() for picture in pictures]
    return dict(zip(("seen", "translation", "heatmap"), files, strict=True)) | {
        "size": list(pictures[0].shape[:2]),
        "notes": list(decoded.notes),
        "seconds": round(time.perf_counter() - began, 3),
    }


class Turns:
    """One thread does what others ask for, one after the other, in the order of asking."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Callable[[], Any], Future]] = queue.SimpleQueue()

    def ask(self, work: Callable[[], Any]) -> Any:
        """What `work` gives or raises in the other thread."""
        future: Future = Future()
        self._waiting.put((work, future))
        return future.result()

    def take(self) -> None:
        """Waits for the next that is asked for, and does it."""
        work, future = self._waiting.get()
        try:
            future.set_result(work())
        except Exception as error:  # it is the asking thread's, which answers it
            future.set_exception(error)
