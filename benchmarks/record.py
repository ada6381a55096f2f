"""One JSON record per benchmark run: host, versions, commit, options, data, and every raw sample.

`results` is a list of {"name", "unit", "samples", "median", "low", "high"} or {"name", "skipped"}: the unit names what
was counted ("images_per_s", "seconds", "mib"), low and high are the extremes of the samples.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

from ugatit_data.files import available_cores

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


def write(path: Path, benchmark: str, options: dict, data: dict, results: list[dict], packages: list[str]) -> None:
    """Write the record of a run."""
    record = {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "host": host(),
        "versions": versions(packages),
        "commit": commit(),
        "options": options,
        "data": data,
        "results": results,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


def add_to(path: Path, options: dict, results: list[dict]) -> tuple[dict, list[dict]]:
    """Options and results, together with those under other names of the record at `path`, if there is one.

    Lists among the options are joined; a result of another commit says so itself.
    """
    if not path.exists():
        return options, results
    before, names = json.loads(path.read_text()), {entry["name"] for entry in results}
    kept = [entry for entry in before["results"] if entry["name"] not in names]
    if before["commit"] != commit():
        kept = [{"commit": before["commit"]} | entry for entry in kept]
    joined = dict(options)
    for name, value in before["options"].items():
        if isinstance(value, list) and isinstance(options.get(name), list):
            joined[name] = value + [item for item in options[name] if item not in value]
    return joined, kept + results


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
    """The installed ones of the packages."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit(here: Path = Path(__file__).parent) -> str | None:
    """The checked-out commit, with a mark where files differ from it; None outside of a clone."""
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=here, capture_output=True, text=True
    )
    return run.stdout.strip() if run.returncode == 0 else None


def table(results: list[dict], base: str | None = None) -> str:
    """A Markdown table; with `base`, what has the same unit also as a `ratio` to it."""
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
    """The median over the rounds of the ratio to `base` in the same round: a busy moment hits both."""
    if len(entry["samples"]) != len(base["samples"]):
        return entry["median"] / base["median"]
    return statistics.median(mine / other for mine, other in zip(entry["samples"], base["samples"], strict=True))
