"""Compares two runs of the same benchmarks: which results changed by more than the noise."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_CHANGE = 0.05
LEAST_CHANGE_OF_ONE_SAMPLE = 0.25  # its noise is unknown
LESS_IS_BETTER = ("seconds", "ms", "mib", "ns_per_sample")


@dataclass(frozen=True, kw_only=True)
class Change:
    """A result in an earlier and a later run."""

    benchmark: str
    name: str
    unit: str
    before: float
    after: float
    verdict: str  # regression | better | same

    @property
    def relative(self) -> float:
        return self.after / self.before - 1


def changes(before: list[dict], after: list[dict]) -> tuple[list[Change], list[str]]:
    """The changes of all results that two lists of records share; and for each other record, why it is not compared."""
    found, apart = [], []
    for record in after:
        name = record["benchmark"]
        same = [other for other in before if other["benchmark"] == name]
        old = next((other for other in same if _options(other) == _options(record)), same[0] if same else None)
        if old is None:
            apart.append(f"{name}: the earlier run has none")
        elif any(old["host"][key] != record["host"][key] for key in ("cpu", "cores")):
            apart.append(f"{name}: another machine ({old['host']['cores']} cores of {old['host']['cpu']})")
        elif _options(old) != _options(record):
            apart.append(f"{name}: other options")
        else:
            entries = {entry["name"]: entry for entry in old["results"] if "samples" in entry}
            for entry in record["results"]:
                if "samples" in entry and entry["name"] in entries and better_sign(entry["unit"]):
                    found.append(_change(name, entries[entry["name"]], entry))
    return found, apart


def _options(record: dict) -> dict:
    return {name: value for name, value in record["options"].items() if name != "before"}


def better_sign(unit: str) -> int:
    """1 if more is better, -1 if less is, 0 if neither (counts, projections, exponents)."""
    return 1 if unit.endswith("_per_s") else -1 if unit in LESS_IS_BETTER else 0


def _change(benchmark: str, old: dict, new: dict) -> Change:
    sign = better_sign(new["unit"])
    gain = sign * (new["median"] / old["median"] - 1)
    if min(len(old["samples"]), len(new["samples"])) < 3:
        beyond = abs(gain) > LEAST_CHANGE_OF_ONE_SAMPLE
    else:  # the two runs' samples do not overlap
        beyond = abs(gain) > LEAST_CHANGE and (new["low"] > old["high"] or new["high"] < old["low"])
    verdict = "same" if not beyond else "better" if gain > 0 else "regression"
    return Change(
        benchmark=benchmark, name=new["name"], unit=new["unit"], before=old["median"], after=new["median"],
        verdict=verdict,
    )  # fmt: skip
