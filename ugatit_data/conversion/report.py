"""What a conversion did: how many images it converted, rejected and changed, out of the receipts of its shards."""

from __future__ import annotations

import dataclasses
from collections import Counter

from ugatit_data.conversion.jobs import Receipt
from ugatit_data.conversion.sources import Domain
from ugatit_data.dataset.manifest import Dataset, row_name

_KEYS = 20  # rejected images that are listed by name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What a conversion did."""

    dataset: Dataset
    converted: int
    rejected: dict[str, int]
    """reason -> how many."""
    notes: dict[str, int]
    """What the decoding policy changed or ignored -> in how many images."""
    rejected_keys: list[tuple[str, str]]
    """The first rejected images: ("trainA/name", reason)."""
    leaks: list[tuple[str, str]]
    """Test pictures that are train pictures too: ("testA/name", "trainA/name"). See `leaks.leaks`."""
    resumed_shards: int
    stored_bytes: int
    elapsed_s: float


@dataclasses.dataclass
class Tally:
    """Counts over all images of a conversion; the fields are those of `Report`."""

    converted: int = 0
    rejected: Counter[str] = dataclasses.field(default_factory=Counter)
    notes: Counter[str] = dataclasses.field(default_factory=Counter)
    rejected_keys: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def reasons(self) -> str:
        """The three commonest reasons of rejection with their counts, for messages."""
        return ", ".join(f"{count} {reason}" for reason, count in self.rejected.most_common(3))


def tally(receipts: list[Receipt]) -> Tally:
    """Count over the rows of all receipts."""
    made = Tally()
    for receipt in receipts:
        for row in receipt.rows.select(["split", "domain", "key", "reason", "notes"]).to_pylist():
            if row["reason"] is None:
                made.converted += 1
                made.notes.update(note.split(":")[0] for note in row["notes"].split(",") if note)
                continue
            made.rejected[row["reason"].split(":")[0]] += 1
            if len(made.rejected_keys) < _KEYS:
                made.rejected_keys.append((row_name(row), row["reason"]))
    return made


def empty_domain(receipts: list[Receipt]) -> str | None:
    """The name of the first domain that was listed, but holds no readable image."""
    counts: Counter[Domain] = Counter()
    for receipt in receipts:
        counts[receipt.job_split, receipt.job_domain] += receipt.shard.rows if receipt.shard else 0
    return next((f"{split}{domain.upper()}" for (split, domain), count in counts.items() if count == 0), None)
