"""What a check found, and the two files to send back: check_device.json, and check_device.md, its readable page."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ugatit_data.files import write_whole
from ugatit_train.errors import UgatitError

SCHEMA = 1
RECORD_FILE, PAGE_FILE = "check_device.json", "check_device.md"
WORDS = {"pass": "PASS", "fail": "FAIL", "skipped": "skipped"}


class CheckFailed(UgatitError):
    """What a check found is not as it must be."""


class Skipped(UgatitError):
    """A check that cannot be made here; the message says why."""


@dataclass(kw_only=True)
class Result:
    """One check: its figures (JSON values by name), and what it allowed, each with the reason."""

    name: str
    title: str
    status: Literal["pass", "fail", "skipped"] = "pass"
    said: str = ""  # one line: what was found, what is wrong, or why it was skipped
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    tolerances: dict[str, str] = field(default_factory=dict)
    traceback: str = ""

    def line(self) -> str:
        """PASS losses_light  31 s  what was found."""
        return f"{WORDS[self.status]:7} {self.name:15} {self.seconds:4.0f} s  {self.said}"


def whole(results: Sequence[Result], about: dict[str, Any]) -> dict[str, Any]:
    """The record as JSON values: `about` the run, and its checks."""
    counts = {status: sum(result.status == status for result in results) for status in WORDS}
    return {"schema": SCHEMA, **about, **counts, "checks": [dataclasses.asdict(result) for result in results]}


def write(record: dict[str, Any], folder: Path) -> None:
    """Writes the record and its page into the folder."""
    write_whole(folder / RECORD_FILE, json.dumps(_finite(record), indent=1, allow_nan=False) + "\n")
    write_whole(folder / PAGE_FILE, page(record))


def _finite(value: Any) -> Any:
    """The value with "nan" and "inf" in place of the numbers that JSON lacks."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def page(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    checks = record["checks"]
    verdict = f"FAIL ({record['fail']} of {len(checks)} checks)" if record["fail"] else "PASS"
    lines = [
        f"# Device check, {record['device_target']}: {verdict}",
        "",
        f"`{record['command']}`, {record['began']}, {record['seconds']:.0f} s. {record['sizes']}",
        "",
        "| check | result | s | what was found |",
        "|---|---|---|---|",
    ]
    for check in checks:
        about = f"**{check['name']}**: {check['title']}"
        lines.append(f"| {about} | {WORDS[check['status']]} | {check['seconds']:.0f} | {_cell(check['said'])} |")
    for check in checks:
        lines += _details(check)
    return "\n".join(lines) + "\n"


def _details(check: dict[str, Any]) -> list[str]:
    """The figures of a check, what it allowed, and its traceback; nothing if it has none."""
    if not (check["figures"] or check["traceback"]):
        return []
    lines = ["", f"## {check['name']}: {WORDS[check['status']]}", ""]
    lines += [f"- {name}: {_shown(value)}" for name, value in check["figures"].items() if not _is_table(value)]
    lines += [f"- allowed, {name}: {why}" for name, why in check["tolerances"].items()]
    for name, value in check["figures"].items():
        if _is_table(value):
            lines += ["", f"{name}:", "", *_table(value)]
    if check["traceback"]:
        lines += ["", "```", check["traceback"].strip().replace("```", "'''"), "```"]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return lines + [f"| {' | '.join(_cell(_shown(row.get(name, ''), 7)) for name in names)} |" for row in rows]


def _shown(value: Any, digits: int = 4) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
