"""Test pictures that stand in a train folder too: a test set that leaks is no test."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ugatit_data.dataset.manifest import row_name

COLUMNS = ["split", "domain", "key", "sha256", "reason"]


def leaks(table: pa.Table) -> list[tuple[str, str]]:
    """Each test picture whose file is also a train picture, byte for byte (equal SHA-256), of the same domain or not.

    `table` holds the manifest's rows, at least `COLUMNS`. Gives ("testA/name", "trainB/name") in the order of the rows;
    of several train pictures with these bytes the first one. Rejected pictures are left out: nobody trains on them.
    """
    taken = table.select(COLUMNS).filter(pc.is_null(table["reason"]))
    train, test = (taken.filter(pc.equal(taken["split"], split)) for split in ("train", "test"))
    test = test.filter(pc.is_in(test["sha256"], value_set=train["sha256"]))
    train = train.filter(pc.is_in(train["sha256"], value_set=test["sha256"]))
    first = {row["sha256"]: row_name(row) for row in reversed(train.to_pylist())}
    return [(row_name(row), first[row["sha256"]]) for row in test.to_pylist()]


def warning(found: list[tuple[str, str]], tests: int) -> str:
    """What `found` leaks of `tests` test pictures mean, with the first few names; nothing where there are none."""
    if not found:
        return ""
    named = ", ".join(f"{test} = {train}" for test, train in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return (
        f"{len(found)} of {tests} test pictures stand in a train folder too, byte for byte ({named}{more}): figures on "
        "them do not tell what happens to new pictures. Remove them from one of the folders, and convert again"
    )
