"""8,000 + 3,000 images: what each pass of the two domains delivers, out of real shards.

Each image is four pixels of one colour, its number; resizing, flipping and cropping leave that as it is.
"""

from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ugatit_data import ParquetSource, convert, open_loader

COUNTS = {"a": 8000, "b": 3000}
FIRST = {"a": 0, "b": 1 << 20}  # a number tells the domain too


def colour(number: int) -> bytes:
    pixels = np.full((2, 2, 3), [number >> 16, number >> 8 & 255, number & 255], np.uint8)  # BGR: blue holds the top
    return cv2.imencode(".png", pixels)[1].tobytes()


def numbers(batch: np.ndarray) -> np.ndarray:
    """The number of each image of a batch, uint8 (N, H, W, 3) RGB."""
    assert (batch == batch[:, :1, :1]).all()
    red, green, blue = batch[:, 0, 0].astype(int).T
    return blue << 16 | green << 8 | red


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    root = tmp_path_factory.mktemp("large")
    (root / "hub").mkdir()
    for domain, count in COUNTS.items():
        images = [{"bytes": colour(FIRST[domain] + index), "path": None} for index in range(count)]
        column = pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        pq.write_table(pa.table({"image": column}), root / "hub" / f"train{domain.upper()}.parquet")
    report = convert(ParquetSource(root / "hub"), root / "data", encoding="raw", stored_size=2, shards=3)
    assert report.converted == 11_000
    return root / "data"


def read(folder, steps: int, **options) -> dict[str, np.ndarray]:
    with pytest.warns(UserWarning, match="stored at 2 pixels"):
        loader = open_loader(folder, img_size=1, **options)
    with loader:
        batches = [next(loader) for _ in range(steps)]
    return {domain: np.concatenate([numbers(batch[index]) for batch in batches]) for index, domain in enumerate("ab")}


def test_every_image_of_both_domains_once_in_each_pass(large):
    seen = read(large, -(-3 * COUNTS["a"] // 7), batch_size=7)  # batches straddle the passes of both
    for domain, count in COUNTS.items():
        passes = len(seen[domain]) // count
        assert passes == {"a": 3, "b": 8}[domain]
        expected = np.arange(FIRST[domain], FIRST[domain] + count)
        orders = seen[domain][: passes * count].reshape(passes, count)
        np.testing.assert_array_equal(np.sort(orders), np.broadcast_to(expected, orders.shape))
        assert len({order.tobytes() for order in orders}) == passes  # each in an order of its own


def test_three_ranks_see_each_image_once_a_pass_between_them(large):
    steps = COUNTS["a"] // 8 // 3 + 1
    parts = [read(large, steps, batch_size=8, rank=rank, world=3) for rank in range(3)]
    for domain, count in COUNTS.items():
        joined = np.stack([part[domain].reshape(steps, 8) for part in parts], 1).ravel()
        for start in range(0, len(joined) - count + 1, count):
            np.testing.assert_array_equal(np.sort(joined[start : start + count]) - FIRST[domain], np.arange(count))
