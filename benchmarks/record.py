"""One JSON record for each run of a benchmark: host, versions, commit, options, data, and every raw sample.

`results` is a list of {"name", "unit", "samples", "median", "low", "high"} or {"name", "skipped"}. The unit says what
is counted ("images_per_s", "seconds", "mib"); low and high are the extremes of the samples.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

import measured

from ugatit_data.files import available_cores, write_whole

SCHEMA = 1


def result(name: str, unit: str, samples: list[float]) -> dict:
    """A measured result with all of its samples."""
    return {
        "name": name,
        "unit": unit,
        "samples": samples,
        "median": statistics.median(samples),
        "low": min(samples),
        "high": max(samples),
    }


def skipped(name: str, reason: str) -> dict:
    """A candidate that could not run here."""
    return {"name": name, "skipped": reason}


def finish(
    benchmark: str,
    options: argparse.Namespace,
    data: dict,
    results: list[dict],
    packages: list[str],
    *,
    said: dict | None = None,
    base: str | None = None,
    files: dict | None = None,
) -> None:
    """Print a run's table (see `table`) and, with --out, write its record; with --add, into the file's earlier record.

    The record's options are `said`, by default all that were parsed. `files` are those that results of other commits
    measured, by commit (see `measured.py`).
    """
    if said is None:
        said = {name: value for name, value in vars(options).items() if name not in ("out", "add")}
    if options.out and getattr(options, "add", False):
        said, results, files = add_to(options.out, said, results)
    print(table(results, base))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write(options.out, benchmark, said, data, results, packages, files)


def write(
    path: Path,
    benchmark: str,
    options: dict,
    data: dict,
    results: list[dict],
    packages: list[str],
    files: dict | None = None,
) -> None:
    """Write the record of a run; `files` as in `finish`."""
    record = {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "host": host(),
        "versions": versions(packages),
        "commit": commit(),
        "measured": {**(files or {}), str(commit()): measured.by(benchmark)},
        "options": options,
        "data": data,
        "results": results,
    }
    write_whole(path, json.dumps(record, indent=1) + "\n")


def add_to(path: Path, options: dict, results: list[dict]) -> tuple[dict, list[dict], dict]:
    """Options, results and measured files, joined with those of the record at `path`, if there is one.

    New results win by name. Lists among the options are joined. A result of another commit names that commit
    ("commit"), one of other options these ("options").
    """
    if not path.exists():
        return options, results, {}
    before, names = json.loads(path.read_text()), {entry["name"] for entry in results}
    joined = dict(options)
    for name, value in before["options"].items():
        if isinstance(value, list) and isinstance(options.get(name), list):
            joined[name] = value + [item for item in options[name] if item not in value]
    shared = {name: value for name, value in before["options"].items() if not isinstance(value, list)}
    kept = []
    for entry in before["results"]:
        if entry["name"] not in names:
            its = (shared | entry.get("options", {})).items()
            marks = {"commit": entry.get("commit", before["commit"])}
            marks["options"] = {name: value for name, value in its if options.get(name) != value}
            unmarked = {name: value for name, value in entry.items() if name not in marks}
            kept.append({name: mark for name, mark in marks.items() if mark not in (commit(), {})} | unmarked)
    return joined, kept + results, before.get("measured", {})


def host() -> dict:
    """The machine, without its name."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": available_cores(),
        "memory_gib": round(memory / (1 << 30), 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def versions(packages: list[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache  # called below: a run's commit is the one that it began with
def commit(here: Path = Path(__file__).parent) -> str | None:
    """The checked-out commit, marked if files differ from it; None outside a clone."""
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=here, capture_output=True, text=True
    )
    return run.stdout.strip() if run.returncode == 0 else None


commit()


def table(results: list[dict], base: str | None = None) -> str:
    """A Markdown table. With `base`, the name of a result, it has the `ratio` to it of all with its unit."""
    reference = next((entry for entry in results if entry["name"] == base), {"unit": None})
    lines = [f"| what | median | low-high | unit | {f'/ {base}' if base else 'n'} |", "|---|---|---|---|---|"]
    for entry in results:
        if "skipped" in entry:
            lines.append(f"| {entry['name']} | skipped: {entry['skipped']} | | | |")
            continue
        digits = 0 if entry["median"] >= 100 else 2
        low, high, median = (f"{entry[key]:.{digits}f}" for key in ("low", "high", "median"))
        times = f"{ratio(entry, reference):.2f}" if entry["unit"] == reference["unit"] else ""
        last = times if base else len(entry["samples"])
        lines.append(f"| {entry['name']} | {median} | {low}-{high} | {entry['unit']} | {last} |")
    return "\n".join(lines)


def ratio(entry: dict, base: dict) -> float:
    """The median of the ratios to `base`, taken in each round: other load then slows both."""
    if len(entry["samples"]) != len(base["samples"]):
        return entry["median"] / base["median"]
    return statistics.median(mine / other for mine, other in zip(entry["samples"], base["samples"], strict=True))
