"""The five figures that matter most in some records, each with what it means; the report opens with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import cells
import learning_tables
import tables

COUNT = 5


class Figure(NamedTuple):
    what: str
    value: str
    means: str


def of(records: list[dict]) -> list[Figure]:
    """At most five, the most telling first; of a kind that several records have, the first record's."""
    found: dict[str, Figure] = {}
    for kind, (benchmark, make) in KINDS.items():
        for record in records:
            if record["benchmark"] == benchmark and kind not in found:
                by_name = {entry["name"]: entry for entry in record["results"] if "median" in entry}
                found |= dict(zip([kind], make(record, by_name), strict=False))
    return list(found.values())[:COUNT]


def _learning(record: dict, by_name: dict[str, dict]) -> Iterator[Figure]:
    target = record["options"]["targets"][-1]
    ours = by_name.get(f"ours: cpu_minutes to a ratio of {target:g}")
    value = f"{cells.number(ours['median'])} CPU minutes" if ours else "not reached"
    said = learning_tables.headline(record).replace("*", "")
    yield Figure(
        f"Learning: ours to a ratio of {target:g}", value, f"How long until the output is so near the truth. {said}"
    )


def _step(record: dict, by_name: dict[str, dict]) -> Iterator[Figure]:
    size = max(
        (entry["tags"]["size"] for entry in by_name.values() if entry.get("tags", {}).get("of") == "ours"), default=0
    )
    ours, share = by_name.get(f"{size} px: ours"), tables.share_of_torch(by_name, size)
    if ours:
        beside = f"PyTorch, in the faster of its forms, takes {1 / share:.2g} times as long. " if share else ""
        yield Figure(
            f"A training step at {size} px", _seconds(ours), f"{beside}Training is hundreds of thousands of them."
        )


def _floor(record: dict, by_name: dict[str, dict]) -> Iterator[Figure]:
    for name, entry in by_name.items():
        if name.endswith("px: ours / floor"):
            means = "How many times as long the step takes as its convolutions alone at this machine's best rate."
            yield Figure(f"That step over its floor, {name.partition(':')[0]}", f"{entry['median']:.2f}", means)
            return


def _start(record: dict, by_name: dict[str, dict]) -> Iterator[Figure]:
    for name, entry in by_name.items():
        if name.endswith("px: ours, first step"):
            means = "The wait before training begins, the first time: the step is compiled. Later starts load it."
            yield Figure(f"The first step, {name.partition(':')[0]}", _seconds(entry), means)
            return


def _loader(record: dict, by_name: dict[str, dict]) -> Iterator[Figure]:
    ours = by_name.get("ours jpeg, uint8")
    alone = [entry for name, entry in by_name.items() if name.startswith("imdecode alone")]
    if ours:
        share = f"{ours['median'] / alone[-1]['median']:.0%} of decoding alone ({alone[-1]['name']}). " if alone else ""
        means = f"{share}The training step never waits while this is more than it takes."
        yield Figure("The loader, from JPEGs", f"{cells.number(ours['median'])} images/s", means)


def _conversion(record: dict, by_name: dict[str, dict]) -> Iterator[Figure]:
    ours, alone = by_name.get("convert original, start-up apart"), by_name.get("decode once, all cores")
    if ours and alone:
        means = "How many times as long a data set takes to make, every picture checked, as decoding each once."
        yield Figure("Conversion over decoding", f"{tables.ratio_to(ours, alone):.2f}", means)


def _translation(record: dict, by_name: dict[str, dict]) -> Iterator[Figure]:
    size = 256 if 256 in record["options"]["sizes"] else max(record["options"]["sizes"])
    calls = [by_name.get(f"{size} px, batch 1: {name}") for name in record["options"]["implementations"]]
    known = [call for call in calls if call and "torch" not in call["name"]]
    if known:
        best = min(known, key=lambda call: call["median"])
        means = f"By {best['name'].rpartition(': ')[2]}, the fastest engine of ugatit translate here."
        yield Figure(f"Translating a picture of {size} px", _seconds(best), means)


def _seconds(entry: dict) -> str:
    return f"{cells.number(entry['median'])} s"


KINDS: dict[str, tuple[str, Callable[[dict, dict[str, dict]], Iterator[Figure]]]] = {
    "learning": ("learning", _learning),
    "step": ("step_time", _step),
    "loader": ("data_loading", _loader),
    "start": ("step_time", _start),
    "translation": ("inference", _translation),
    "conversion": ("conversion", _conversion),
    "floor": ("step_time", _floor),
}
