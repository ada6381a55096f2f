"""TIFF: the first page's tags, checked, and its pixels. Of the tags only those that say how pixels are stored are read.

A page is decoded strip by strip (or tile by tile): `strips.py` unpacks each by a library, and refuses what is damaged;
here samples become RGB. So every depth, layout and extra channel goes one way, and no memory that no strip filled is
ever seen.
"""

from __future__ import annotations

import dataclasses
import struct

import numpy as np

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.colours import cmyk_to_rgb, over_white
from ugatit_data.pixels.strips import COMPRESSIONS, Layout, unpack

_MOST_PAGES = 1000
_MOST_SAMPLES = 8  # of a pixel
_TYPES = {1: "u1", 3: "u2", 4: "u4", 7: "u1"}

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR = 273, 274, 277, 278, 279, 284
_FAX3, _PREDICTOR, _COLOURS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 292, 317, 320, 322, 323, 324, 325
_INKS, _EXTRA, _FORMAT, _TABLES, _ICC = 332, 338, 339, 347, 34675
_USED = (
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS),
    *(_STRIP_SIZES, _PLANAR, _FAX3, _PREDICTOR, _COLOURS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES),
    *(_INKS, _EXTRA, _FORMAT, _TABLES, _ICC),
)

_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """The first page: how its samples are stored, and what they mean."""

    layout: Layout
    photometric: int
    alpha: int | None
    """The number of the sample that is alpha."""
    premultiplied: bool
    colours: np.ndarray | None
    """Of a palette: uint8 (n, 3)."""
    cmyk: bool
    orientation: int
    icc: bool
    several: bool
    """Whether more pages follow."""


def read_page(data: bytes) -> Page:
    """The checked first page of a TIFF; later ones are checked for being there.

    Raises:
        RejectedImageError: damaged, truncated or unsupported.
        struct.error: it ends early.
    """
    order = "<" if data[:2] == b"II" else ">"
    pages = _directories(data, order)
    tags = pages[0]
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise RejectedImageError("damaged tiff: no size")
    for page in pages:
        starts, sizes = _places(page)
        if len(starts) and (starts + sizes[: len(starts)] > len(data)).any():
            raise RejectedImageError("truncated tiff: pixels beyond the end of the file")
    samples, bits = _one(tags, _SAMPLES, 1), tags.get(_BITS, np.array([1]))
    photometric = _one(tags, _PHOTOMETRIC, _BLACK_IS_0 if samples < 3 else _RGB)
    _check_samples(tags, samples, bits, photometric)
    alpha, premultiplied = _alpha(tags, samples, photometric)
    orientation = _one(tags, _ORIENTATION, 1)
    return Page(
        layout=_layout(tags, samples, int(bits[0]), order),
        photometric=photometric,
        alpha=alpha,
        premultiplied=premultiplied,
        colours=_palette(tags, int(bits[0])) if photometric == _PALETTE else None,
        cmyk=photometric == _CMYK,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        icc=_ICC in tags,
        several=len(pages) > 1,
    )


def _check_samples(tags: dict[int, np.ndarray], samples: int, bits: np.ndarray, photometric: int) -> None:
    """Raises RejectedImageError where the samples are none that the policy has a rule for."""
    if (bits != bits[0]).any() or len(bits) not in (1, samples):
        raise RejectedImageError(f"unsupported tiff: samples of {'; '.join(map(str, bits[:8]))} bits")
    kind = _one(tags, _FORMAT, 1)
    if kind not in (1, 4):
        name = {2: "int", 3: "float"}.get(kind, "complex ")
        raise RejectedImageError(f"unsupported tiff: pixels of type {name}{bits[0]}")
    if not 1 <= bits[0] <= 16:
        raise RejectedImageError(f"unsupported tiff: pixels of {bits[0]} bits")
    if not 1 <= samples <= _MOST_SAMPLES:
        raise RejectedImageError(f"unsupported tiff: {samples} channels")
    least = {_WHITE_IS_0: 1, _BLACK_IS_0: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}.get(photometric)
    compression = _one(tags, _COMPRESSION, 1)
    if least is None or photometric == _YCBCR and compression != 7 or photometric == _CMYK and compression == 7:
        raise RejectedImageError(f"unsupported tiff: photometric interpretation {photometric}")
    if _one(tags, _INKS, 1) != 1:
        raise RejectedImageError("unsupported tiff: inks that are not CMYK")
    if samples < least:
        raise RejectedImageError(f"damaged tiff: {samples} channels, photometric interpretation {photometric}")


def _alpha(tags: dict[int, np.ndarray], samples: int, photometric: int) -> tuple[int | None, bool]:
    """Which sample is alpha, if any is, and whether colours are multiplied by it.

    An extra channel that is not declared at all is alpha after RGB, as in Pillow. One declared as 0 is a selection or a
    mask, and none.
    """
    colours = {_RGB: 3, _YCBCR: 3, _CMYK: 4}.get(photometric, 1)
    if samples == colours:
        return None, False
    extra = tags.get(_EXTRA)
    if extra is None:
        return (3, False) if photometric == _RGB and samples == 4 else (None, False)
    found = np.flatnonzero((extra == 1) | (extra == 2) | (extra == 999))  # 999: Corel Draw
    if not len(found) or colours + found[0] >= samples:
        return None, False
    return colours + int(found[0]), bool(extra[found[0]] == 1)


def _palette(tags: dict[int, np.ndarray], bits: int) -> np.ndarray:
    colours = tags.get(_COLOURS)
    if colours is None or bits > 8 or len(colours) < 3 << bits:
        raise RejectedImageError("damaged tiff: no palette" if bits <= 8 else "unsupported tiff: palette of 16 bits")
    colours = colours[: 3 << bits].reshape(3, -1).T
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)  # some writers give 8 bits


def _layout(tags: dict[int, np.ndarray], samples: int, bits: int, order: str) -> Layout:
    width, height = _one(tags, _WIDTH, 0), _one(tags, _HEIGHT, 0)
    compression = _one(tags, _COMPRESSION, 1)
    if compression not in COMPRESSIONS:
        raise RejectedImageError(f"unsupported tiff: compression {compression}")
    if _TILES in tags:
        wide, high = _one(tags, _TILE_WIDTH, 0), _one(tags, _TILE_HEIGHT, 0)
    else:
        wide, high = width, min(_one(tags, _ROWS, height), height)
    starts, sizes = _places(tags)
    tables = tags.get(_TABLES)
    return Layout(
        width=width,
        height=height,
        samples=samples,
        bits=bits,
        order=order,
        planar=samples > 1 and _one(tags, _PLANAR, 1) == 2,
        compression=compression,
        predictor=_one(tags, _PREDICTOR, 1),
        reverse=_one(tags, _FILL_ORDER, 1) == 2,
        fax_options=_one(tags, _FAX3, 0),
        tables=b"" if tables is None else tables.astype(np.uint8).tobytes(),
        ycbcr=_one(tags, _PHOTOMETRIC, -1) == _YCBCR,
        wide=wide,
        high=high,
        tiled=_TILES in tags,
        starts=starts,
        sizes=sizes,
    )


def decode_page(data: bytes, page: Page) -> np.ndarray:
    """uint8 (H, W, 3) RGB, not turned yet.

    Raises:
        RejectedImageError: damaged, truncated or unsupported.
    """
    samples, bits = unpack(data, page.layout), page.layout.bits
    if page.colours is not None:
        rgb = page.colours[samples[:, :, 0]]
    else:
        if bits < 8:
            samples = (np.arange(1 << bits) * 255 // ((1 << bits) - 1)).astype(np.uint8)[samples]
        if page.photometric in (_WHITE_IS_0, _BLACK_IS_0):
            gray = samples[:, :, :1] if page.photometric == _BLACK_IS_0 else 255 - samples[:, :, :1]
            rgb = np.repeat(gray, 3, 2)
        else:
            rgb = cmyk_to_rgb(samples[:, :, :4]) if page.photometric == _CMYK else samples[:, :, :3]
    if page.alpha is None:
        return np.ascontiguousarray(rgb)
    alpha = samples[:, :, page.alpha]
    if page.colours is not None and bits != 8:
        raise RejectedImageError("unsupported tiff: palette with alpha of other than 8 bits")
    return over_white(np.dstack([rgb, alpha]), page.premultiplied)


def _one(tags: dict[int, np.ndarray], tag: int, default: int) -> int:
    return int(tags[tag][0]) if tag in tags else default


def _places(tags: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where strips or tiles begin, int64, and how many bytes each has; zero where that is not said."""
    none = np.zeros(0, np.int64)
    starts = tags.get(_TILES, tags.get(_STRIPS, none))
    sizes = tags.get(_TILE_SIZES, tags.get(_STRIP_SIZES, none))
    return starts, np.concatenate([sizes, np.zeros(max(len(starts) - len(sizes), 0), np.int64)])


def _directories(data: bytes, order: str) -> list[dict[int, np.ndarray]]:
    """The used tags of each page; of a page that follows, those that place its pixels."""
    pages: list[dict[int, np.ndarray]] = []
    (start,) = struct.unpack_from(order + "I", data, 4)
    entry = np.dtype([("tag", order + "u2"), ("kind", order + "u2"), ("count", order + "u4"), ("value", order + "u4")])
    seen, values = set(), 0
    while start and start not in seen and len(pages) < _MOST_PAGES:
        seen.add(start)
        (count,) = struct.unpack_from(order + "H", data, start)
        end = start + 2 + 12 * count
        (following,) = struct.unpack_from(order + "I", data, end)
        listed, first = np.unique(np.frombuffer(data, entry, count, start + 2)["tag"], return_index=True)
        wanted = np.isin(listed, (_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES) if pages else _USED)
        pages.append(
            {
                int(tag): _values(data, order, start + 2 + 12 * int(number))
                for tag, number in zip(listed[wanted], first[wanted], strict=True)
            }
        )
        values += sum(map(len, pages[-1].values()))
        if values > len(data):  # many tags may name the same bytes
            raise RejectedImageError("damaged tiff: tags of more values than the file has bytes")
        start = following
    if not pages:
        raise RejectedImageError("damaged tiff: no page")
    return pages


def _values(data: bytes, order: str, at: int) -> np.ndarray:
    """The values of the tag at `at`, int64."""
    tag, kind, count = struct.unpack_from(order + "HHI", data, at)
    if tag == _ICC:
        return np.ones(1, np.int64)  # that it is there is all we ask
    if kind not in _TYPES or count == 0:
        raise RejectedImageError(f"damaged tiff: tag {tag} of type {kind} with {count} values")
    dtype = np.dtype(order + _TYPES[kind])
    size = dtype.itemsize * count
    start = at + 8 if size <= 4 else struct.unpack_from(order + "I", data, at + 8)[0]
    if start + size > len(data):
        raise RejectedImageError(f"truncated tiff: tag {tag} beyond the end of the file")
    return np.frombuffer(data, dtype, count, start).astype(np.int64)
