"""What `report.py --readme` makes of records in the READMEs: tables, and the front page's chart with its figures.

    <!-- table: results/NAME.json -->  ...  <!-- end table -->      the table, and the line on machine and versions
    <!-- chart: results/NAME.json -->  ...  <!-- end chart -->      the chart (NAME.svg beside the record), the headline

The path is that of the record from the README's folder. Without the record a table's place says so, and a chart's stays
empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import charts
import tables

MARKER = re.compile(r"<!-- (table|chart): (\S+) -->\n.*?<!-- end \1 -->", re.DOTALL)
ALT = {False: "ratio to the hidden true drawings over CPU minutes", True: "误差比随 CPU 分钟数的变化"}


def with_tables(text: str, readme: Path) -> str:
    """The text of a README (the file `readme`) with what the records say between its markers."""
    makers: dict[str, Callable] = {"table": _table, "chart": _chart}

    def fill(match: re.Match) -> str:
        kind, name = match.groups()
        made = makers[kind](readme.parent / name, name, readme.stem.endswith("_CN"))
        return f"<!-- {kind}: {name} -->\n{made}<!-- end {kind} -->"

    return MARKER.sub(fill, text)


def images(text: str, folder: Path) -> dict[Path, str]:
    """The SVG files that belong to a README's text, each with its content."""
    paths = [folder / name for kind, name in MARKER.findall(text) if kind == "chart"]
    return {path.with_suffix(".svg"): charts.front(_read(path)) for path in paths if path.exists()}


def renew(readme: Path) -> None:
    """Write the README's tables, and its charts, anew."""
    text = readme.read_text()
    readme.write_text(with_tables(text, readme))
    for path, image in images(text, readme.parent).items():
        path.write_text(image)


def _table(path: Path, _name: str, _chinese: bool) -> str:
    if not path.exists():
        return "No record yet.\n"
    record = _read(path)
    return f"{tables.of(record)}\n\n{tables.head(record)}\n"


def _chart(path: Path, name: str, chinese: bool) -> str:
    if not path.exists():
        return ""
    image = f"![{ALT[chinese]}]({name.removesuffix('.json')}.svg)"
    return f"{image}\n\n{tables.headline(_read(path), chinese)}\n"


def _read(path: Path) -> dict:
    return json.loads(path.read_text())
