"""Numbers and rows of Markdown tables."""

from __future__ import annotations


def rows_to_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ranged(entry: dict | None, scale: float = 1.0) -> str:
    """median (low-high); the reason for a skipped entry, nothing for a missing one."""
    if entry is None:
        return ""
    if "skipped" in entry:
        return f"skipped: {entry['skipped']}"
    low, high, median = (number(entry[key] * scale) for key in ("low", "high", "median"))
    return f"{median} ({low}-{high})" if len(entry["samples"]) > 1 else median
