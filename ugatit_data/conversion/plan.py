"""A plan of a conversion: which images go into which shard. Made from a listing, before any image is read."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from ugatit_data.conversion.jobs import Job, plan_digest
from ugatit_data.conversion.sources import Source
from ugatit_data.dataset.encodings import ENCODINGS
from ugatit_data.errors import BadInputError

SHARD_BYTES = 64 << 20
"""Aim of a shard's size: enough for sequential disks, small enough to share out and to lose."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be done, before anything is."""

    jobs: tuple[Job, ...]
    images: int
    source_bytes: int
    estimated_bytes: int


def make_plan(
    source: Source,
    out: Path,
    *,
    encoding: str = "original",
    stored_size: int = 286,
    shards: int | None = None,
    lenient: bool = False,
) -> Plan:
    """List the source and cut each domain into shards: contiguous ranges in key order, of equal counts.

    How many depends on the bytes alone, unless `shards` gives it for every domain.

    Raises:
        BadInputError: an option or the source is wrong, or `out` exists.
        ConversionError: the source fails while it is listed.
    """
    if encoding not in ENCODINGS:
        raise BadInputError(f"encoding {encoding!r}: unknown. Choose one of {', '.join(ENCODINGS)}.")
    stored_size = whole("stored_size", stored_size, 1, 8192)
    shards = shards if shards is None else whole("shards", shards, 1, 1000)
    if os.path.lexists(out):
        raise BadInputError(f"{out}: exists already. Remove it, or choose another output folder.")
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise BadInputError(f"{above}: no folder, so {out.name} cannot be made there. Choose another output folder.")
    domains = source.entries()
    chosen = ENCODINGS[encoding]
    size = stored_size if chosen.fixed_size else None
    jobs, total = [], 0
    for (split, domain), entries in domains.items():
        estimated = sum(chosen.estimate(entry.size, stored_size) for entry in entries)
        count = min(shards or -(-estimated // SHARD_BYTES) or 1, len(entries))
        total += estimated
        for index in range(count):
            start, stop = len(entries) * index // count, len(entries) * (index + 1) // count
            file = f"{split}{domain.upper()}-{index:05d}-of-{count:05d}.mindrecord"
            jobs.append(
                Job(
                    file=file,
                    split=split,
                    domain=domain,
                    keys=tuple(entry.key for entry in entries[start:stop]),
                    absent=frozenset(entry.key for entry in entries[start:stop] if entry.absent),
                    source=source,
                    encoding=encoding,
                    encode=chosen.encode,
                    stored_size=size,
                    lenient=lenient,
                    plan_digest=plan_digest(encoding, size, lenient, file, entries[start:stop]),
                )
            )
    everything = [entry for entries in domains.values() for entry in entries]
    return Plan(
        jobs=tuple(jobs),
        images=len(everything),
        source_bytes=sum(entry.size for entry in everything),
        estimated_bytes=total,
    )


def whole(name: str, value: object, least: int, most: int) -> int:
    """An argument that is a whole number from `least` to `most`, one of NumPy's too. Raises BadInputError."""
    number = int(value) if isinstance(value, int | np.integer) else None
    if number is None or not least <= number <= most:
        raise BadInputError(f"{name} {value!r}: must be {least} to {most}.")
    return number
