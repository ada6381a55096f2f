"""The images of one domain by sample id, read and checked out of the mapped shards."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from ugatit_data.dataset.encodings import ENCODINGS, Encoding
from ugatit_data.dataset.manifest import MANIFEST_FILE, Dataset, check_shard_sizes, repair_hint
from ugatit_data.dataset.mapped import is_lost, map_file
from ugatit_data.errors import CorruptDatasetError
from ugatit_data.pixels.jpeg import Scratch

WAS_CUT = "was cut short, or its disk failed, while it was read"
CHECKS = ("once", "every", "off")
_PLACE = struct.Struct("=qqq")  # shard, begin, end


def encoding_of(folder: Path, dataset: Dataset) -> Encoding:
    """The encoding of a data set.

    Raises:
        CorruptDatasetError: the table has no such encoding.
    """
    if dataset.encoding not in ENCODINGS:
        raise CorruptDatasetError(
            f"{folder}: encoding {dataset.encoding!r} is unknown here. Update this package, or convert again; one of "
            "your own must be in ENCODINGS before."
        )
    return ENCODINGS[dataset.encoding]


def stored_record(mapped: np.ndarray, row: dict) -> tuple[np.ndarray, bool]:
    """The record of a manifest's row in its mapped shard, uint8 (length,); and whether it has the recorded checksum."""
    record = mapped[row["offset"] : row["offset"] + row["length"]]
    return record, xxhash.xxh3_64_intdigest(record.data) == row["xxh3"]


class Records:
    """Sample id -> image. The id is the rank of an accepted image in its domain, by the bytes of its key.

    Raises:
        CorruptDatasetError: shards are missing or have another size, or the manifest points outside of them.
    """

    def __init__(self, folder: Path, dataset: Dataset, table: pa.Table, split: str, domain: str, check: str):
        self._folder = folder
        self._name = f"{split}{domain.upper()}"
        self._stored_size = dataset.stored_size
        self.encoding = encoding_of(folder, dataset)
        self._decode = self.encoding.decode
        shards = dataset.shards[split][domain]
        check_shard_sizes(folder, shards)
        mine = pc.and_(pc.equal(table["split"], split), pc.equal(table["domain"], domain))
        table = table.filter(pc.and_(mine, pc.is_null(table["reason"])))
        self._keys = table["key"].combine_chunks()
        self._files = [shard.file for shard in shards]
        self._shard_of = np.repeat(np.arange(len(shards)), [shard.rows for shard in shards])
        self.maps = [map_file(folder / file) for file in self._files]
        offsets, lengths = table["offset"].to_numpy(), table["length"].to_numpy()
        limits = np.repeat([len(shard) for shard in self.maps], [shard.rows for shard in shards])
        listed = np.repeat(self._files, [shard.rows for shard in shards]).tolist()
        outside = (offsets < 0) | (lengths < 0) | (offsets > limits - lengths)  # a sum could overflow
        if table["shard"].to_pylist() != listed or outside.any():
            raise CorruptDatasetError(f"{folder / MANIFEST_FILE}: does not fit the shards. Convert the images again.")
        # Packed, a sample's place is in one line of the cache. A list of tuples is faster below 10,000 images and twice
        # as slow at 100,000; making a NumPy scalar takes longer than the look-up.
        self._places = np.stack((self._shard_of, offsets, offsets + lengths), 1).astype(np.int64).tobytes()
        self._xxh3 = table["xxh3"].to_pylist()
        self.check = check
        self._unseen = bytearray(b"\1") * (0 if check == "off" else len(self))
        # For compiled code, by sample id: the address at which each record begins, inside the maps.
        self.lengths, self.sums = lengths, table["xxh3"].to_numpy()
        self.addresses = np.array([shard.ctypes.data for shard in self.maps], np.int64)[self._shard_of] + offsets

    def __len__(self) -> int:
        return len(self._shard_of)

    def keys(self) -> list[bytes]:
        return self._keys.to_pylist()

    def describe(self, sample: int) -> str:
        """File, record and source of a sample, for messages."""
        file = self._files[self._shard_of[sample]]
        row = sample - int(np.searchsorted(self._shard_of, self._shard_of[sample]))
        key = os.fsdecode(self._keys[sample].as_py())
        return f"{self._folder / file}, record {row} ({self._name}/{key})"

    def place(self, sample: int) -> tuple[int, int, int]:
        """Where a record lies: number of its shard, begin and end in it; checked, if it is to be.

        Raises:
            CorruptDatasetError: the checksum differs from the manifest's.
        """
        shard, begin, end = place = _PLACE.unpack_from(self._places, sample * _PLACE.size)
        if self._unseen and self._unseen[sample]:
            if xxhash.xxh3_64_intdigest(self.maps[shard][begin:end]) != self._xxh3[sample]:
                raise self.damage(sample)
            if self.check == "once":
                self._unseen[sample] = 0
        return place

    def damage(self, sample: int) -> CorruptDatasetError:
        """What is raised where the checksum differs."""
        return CorruptDatasetError(
            f"{self.describe(sample)}: its bytes differ from their checksum. {repair_hint(self._folder)}"
        )

    def check_maps(self) -> None:
        """Raises CorruptDatasetError where a mapped shard is no longer what it was; see `mapped.lost`."""
        for file, shard in zip(self._files, self.maps, strict=True):
            if is_lost(shard):
                raise CorruptDatasetError(f"{self._folder / file}: {WAS_CUT}. {repair_hint(self._folder)}")

    def record(self, sample: int) -> np.ndarray:
        """The stored bytes, uint8 (length,), a view of the mapped file; raises as `place`."""
        shard, begin, end = self.place(sample)
        return self.maps[shard][begin:end]

    def image(self, sample: int, scratch: Scratch) -> np.ndarray:
        """uint8 (H, W, 3) RGB, which may lie in `scratch` or be a read-only view of the mapped file.

        Raises:
            CorruptDatasetError: as `record`.
            RejectedImageError: the record cannot be decoded.
        """
        return self._decode(self.record(sample), self._stored_size, scratch)
