"""Pillow as a decoder: one plugin for one format, and none of the settings that it keeps for the whole process."""

from __future__ import annotations

import io

import numpy as np
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, WebPImagePlugin

from ugatit_data.errors import DataError, RejectedImageError, in_words

# Called by name: Image.open would try every plugin, and warn of or refuse sizes by a limit of the whole process.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "bmp": BmpImagePlugin.BmpImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}


def pillow_image(data: bytes, name: str, mode: str | None = None) -> Image.Image:
    """The decoded image, converted to `mode` if that is given.

    Raises:
        RejectedImageError: Pillow cannot read it.
        DataError: this process has told Pillow to accept truncated files.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise DataError("PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set: unset it, for half a picture must not be accepted")
    try:
        image = _PLUGINS[name](io.BytesIO(data))
        image.load()
        return image.convert(mode) if mode else image
    except NotImplementedError as error:
        raise RejectedImageError(f"unsupported {name}: {in_words(error)}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        unsupported = "unsupported" in str(error).lower()
        raise RejectedImageError(f"{'unsupported' if unsupported else 'damaged'} {name}: {in_words(error)}") from None


def pillow_rgb(data: bytes, name: str) -> np.ndarray:
    """uint8 (H, W, 3) RGB; raises as `pillow_image`."""
    return np.asarray(pillow_image(data, name, "RGB"))
