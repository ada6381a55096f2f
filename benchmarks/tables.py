"""Markdown tables of benchmark records, as the README and the report show them."""

from __future__ import annotations

from collections.abc import Callable

from cells import number, ranged, rows_to_table
from learning_tables import demo, learning
from record import ratio as ratio_to
from record import result


def head(record: dict) -> str:
    """The machine and the versions of a record, and how many samples its figures have."""
    host = record["host"]
    counts = sorted({len(entry["samples"]) for entry in record["results"] if "samples" in entry} - {1})
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    load, others = host["load_average"], sorted({e["commit"] for e in record["results"] if e.get("commit")})
    said = [
        f"{host['cores']} cores of {host['cpu']}, {host['memory_gib']:.0f} GiB, Python {host['python']}, {versions}",
        *([] if load is None else [f"load {load:.1f} at the end"]),
        f"commit {record['commit'] or 'unknown'}" + (f" (some figures: {', '.join(others)})" if others else ""),
        f"medians (lowest-highest) of n = {' or '.join(map(str, counts))}" if counts else "one sample each",
    ]
    return "; ".join(said) + "."


def of(record: dict) -> str:
    """The table of a record."""
    return TABLES.get(record["benchmark"], plain)(record)


def plain(record: dict) -> str:
    rows = [[entry["name"], ranged(entry), entry.get("unit", "")] for entry in record["results"]]
    return rows_to_table(["what", "median (low-high)", "unit"], rows)


COMPILED = "torch compiled"


def step_time(record: dict) -> str:
    by_name = {entry["name"]: entry for entry in record["results"]}
    by_name |= _ours_beside(by_name)
    tagged = [entry["tags"] for entry in record["results"] if "tags" in entry]
    sizes = list(dict.fromkeys(tags["size"] for tags in tagged))
    names = list(dict.fromkeys(tags["of"] for tags in tagged if "of" in tags))
    columns = {  # header -> (how its results' names end, scale)
        "seconds a step": ("", 1), "ours in the same turns, s": (", ours beside", 1), "/ ours": (" / ours", 1),
        "/ torch": (" / torch", 1), "/ floor": (" / floor", 1),
        "data wait, ms": (", data wait", 1), "first step, s": (", first step", 1),
        "memory, GiB": (", peak memory", 1 / 1024),
    }  # fmt: skip
    columns = {  # only those that this record has results for
        header: (ending, scale)
        for header, (ending, scale) in columns.items()
        if any(f"{size} px: {name}{ending}" in by_name for size in sizes for name in names)
    }
    if "/ ours" in columns:  # turns of other load: floors are not to be compared
        columns.pop("/ floor", None)
    compares = any(f"{size} px: {COMPILED}" in by_name for size in sizes)
    rows = []
    for size in sizes:
        for name in names:
            if f"{size} px: {name}" not in by_name:
                continue
            found = [ranged(by_name.get(f"{size} px: {name}{ending}"), scale) for ending, scale in columns.values()]
            shown = "**ours**, all turns" if "/ ours" in columns else "**ours**"
            if compares:
                share = share_of_torch(by_name, size) if name == "ours" else None
                found.append(number(share) if share else "")
            rows.append([f"{size} px", shown if name == "ours" else name, *found])
        floor = {"seconds a step": ranged(by_name.get(f"{size} px: floor")), "/ floor": "1"}
        cells = [floor.get(header, "") for header in columns] + ([""] if compares else [])
        rows.append([f"{size} px", "floor of the convolutions", *cells])
    last = ["/ the faster PyTorch, float32"] if compares else []
    return rows_to_table(["image", "implementation", *columns, *last], rows)


def share_of_torch(by_name: dict[str, dict], size: int) -> float | None:
    """Seconds of our step over those of PyTorch's faster form in float32, eager or compiled; None without both."""
    ours = by_name.get(f"{size} px: ours", {})
    others = [by_name.get(f"{size} px: {name}", {}) for name in ("torch", COMPILED)]
    medians = [entry["median"] for entry in others if "median" in entry]
    return ours["median"] / min(medians) if medians and "median" in ours else None


def _ours_beside(by_name: dict[str, dict]) -> dict[str, dict]:
    """Seconds of ours in the turns of each plain form: other load slowed these two alike, and not the other turns."""
    found = {}
    for name, ratio in by_name.items():
        plain = by_name.get(name.removesuffix(" / ours"))
        if name.endswith(" / ours") and plain:
            seconds = [mine / times for mine, times in zip(plain["samples"], ratio["samples"], strict=True)]
            beside = f"{plain['name']}, ours beside"
            found[beside] = result(beside, "seconds", seconds)
    return found


def data_loading(record: dict) -> str:
    base = next(entry for entry in record["results"] if entry["name"].startswith("imdecode alone, 1"))
    rows = []
    for entry in record["results"]:
        ratio = number(ratio_to(entry, base)) if entry.get("unit") == base["unit"] else ""
        shown = f"**{entry['name']}**" if entry["name"].startswith("ours") else entry["name"]
        rows.append([shown, ranged(entry), ratio])
    return rows_to_table(["images/s", "median (low-high)", "/ imdecode, 1 thread"], rows)


def scale(record: dict) -> str:
    series: dict[str, list[dict]] = {}
    for entry in record["results"]:
        series.setdefault(entry["tags"]["series"], []).append(entry)
    rows = []
    for name, entries in series.items():
        points = [entry for entry in entries if "x" in entry["tags"]]
        growth = next((entry for entry in entries if entry["unit"] == "exponent"), None)
        figures = ", ".join(f"{entry['tags']['x']}: {number(entry['median'])}" for entry in points)
        exponent = (
            "" if growth is None else f"{round(growth['median'], 2) + 0.0:+.2f} (R2 {growth['tags']['explained']:.2f})"
        )
        rows.append([name, points[0]["unit"], figures, exponent])
    return rows_to_table(["series", "unit", "x: median", "growth: exponent"], rows)


def roofline(record: dict) -> str:
    """Counts and projections of each step, then the projections of the largest size by part."""
    models: dict[tuple, list[dict]] = {}
    for entry in record["results"]:
        if "tags" in entry:
            models.setdefault((entry["tags"]["model"], entry["tags"]["size"]), []).append(entry)
    rows = []
    for (model, size), entries in models.items():
        found = {entry["name"].partition(": ")[2]: entry["median"] for entry in entries}
        projected: dict[str, dict[float, list[float]]] = {}
        for entry in entries:
            tags = entry["tags"]
            if tags.get("projection"):
                projected.setdefault(tags["machine"], {}).setdefault(tags["efficiency"], []).append(entry["median"])
        figures = ("products", "memory traffic at least", "floor by the roofline")
        rows.append(
            [f"{model}, {size} px", *(number(found[name]) for name in figures)]
            + [
                ", ".join(
                    f"{'-'.join(f'{value:,.0f}' for value in ends)} at {share:.0%}" for share, ends in by_share.items()
                )
                for by_share in projected.values()
            ]
        )
    header = ["step", "GFLOP", "GB at least", "floor here, ms", *(f"{name}, ms, *projected*" for name in projected)]
    return "\n\n".join([rows_to_table(header, rows), *_projected_parts(record)])


def _projected_parts(record: dict) -> list[str]:
    """The table of the parts; none of a record before 0.2.0."""
    steps: dict[str, dict[str, float]] = {}
    for entry in record["results"]:
        tags = entry.get("tags", {})
        if "part" in tags:
            step = f"{tags['model']}, {tags['size']} px, {tags['machine']} in {tags['precision']}"
            steps.setdefault(step, {})[tags["part"]] = entry["median"]
    rows, names = [], list(dict.fromkeys(part for parts in steps.values() for part in parts))[:-2]
    for step, parts in steps.items():
        low, high = parts.pop("launches at least"), parts.pop("launches at most")
        layers = sum(parts.values())
        spent = [f"{parts[name]:.0f}" if name in parts else "" for name in names]
        rows.append([step, *spent, f"{low:.0f}-{high:.0f}", f"{layers + low:.0f}-{layers + high:.0f}"])
    return [rows_to_table(["ms a step, *projected*", *names, "launches", "in all"], rows)] if rows else []


def profile(record: dict, top: int = 12) -> str:
    rows = []
    last = record["results"][-1]
    for entry in [*record["results"][: min(top, len(record["results"]) - 1)], last]:
        row = entry["tags"]
        known = ["" if row[key] is None else number(row[key]) for key in ("gflop_per_s", "gb_per_s")]
        reached = "" if row["of_ceiling"] is None else f"{row['of_ceiling']:.0%}"
        rows.append([row["kind"], str(row["calls"]), f"{row['total_ms']:.0f}", f"{row['share']:.1%}", *known, reached])
    return rows_to_table(["operation", "calls", "ms a step", "share", "GFLOP/s", "GB/s", "of the ceiling"], rows)


def inference(record: dict) -> str:
    """Seconds a call and how many times the best's, of each implementation; then the whole command's."""
    by_name = {entry["name"]: entry for entry in record["results"]}
    names = record["options"]["implementations"]
    rows = []
    for size in record["options"]["sizes"]:
        for batch in record["options"]["batches"]:
            where, cells = f"{size} px, batch {batch}", []
            if not any(f"{where}: {name}" in by_name for name in names):
                continue
            for name in names:
                entry, times = by_name.get(f"{where}: {name}"), by_name.get(f"{where}: {name} / best")
                is_best = times is not None and times["median"] == 1
                cell = ranged(entry) + (f", x {times['median']:.2f}" if times and not is_best else "")
                cells.append(f"**{cell}**" if is_best else cell)
            rows.append([where, *cells])
    for where in dict.fromkeys(name.rpartition(": ")[0] for name in by_name if name.startswith("one photograph")):
        rows.append([where, *(ranged(by_name.get(f"{where}: {name}")) for name in names)])
    return rows_to_table(["seconds a call, x the best", *names], rows)


TABLES: dict[str, Callable[[dict], str]] = {
    "demo": demo,
    "inference": inference,
    "learning": learning,
    "step_time": step_time,
    "data_loading": data_loading,
    "scale": scale,
    "roofline": roofline,
    "profile": profile,
}
