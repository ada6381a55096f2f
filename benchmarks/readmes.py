"""What `report.py --readme` makes of records in the READMEs: tables, and the front page's chart with its figures.

    <!-- table: results/NAME.json -->  ...  <!-- end table -->      the table, and the line on machine and versions
    <!-- chart: results/NAME.json -->  ...  <!-- end chart -->      the chart (NAME.svg beside the record), the headline
    <!-- since: results/NAME.json,results/OTHER.json -->  ...  <!-- end since -->    what has changed since the records

What has changed (`measured.py`) stands below tables and charts too. The path is that of the record from the README's
folder. Without the record the place of a table or of what has changed says so, and a chart's stays empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import charts
import learning_tables
import measured
import tables

from ugatit_data.files import write_whole

MARKER = re.compile(r"<!-- (table|chart|since): (\S+) -->\n.*?<!-- end \1 -->", re.DOTALL)
ALT = {False: "ratio to the hidden true drawings over CPU minutes", True: "误差比随 CPU 分钟数的变化"}

SHOWN = 3  # names of changed files
CHANGED = "Measured at commit {commit} of {date}; since then {count} of the {all} measured files changed: {names}."
ALL_CHANGED = "Measured at commit {commit} of {date}; since then all {all} measured files changed."
UNKNOWN = "Measured at commit {commit}; it is not known which of the measured files have changed since."
SINCE = {  # of the front page; whether the page is the Chinese one ->
    False: "`{name}` was measured on {dates}; the code that it measured [has changed since](benchmarks/README.md).",
    True: "`{name}` 测量于 {dates}，此后[被测的代码有改动](benchmarks/README.md)。",
}
NOT_KNOWN = {
    False: "`{name}` was measured on {dates}; it is [not known](benchmarks/README.md) if its code has changed since.",
    True: "`{name}` 测量于 {dates}，此后被测的代码[有无改动未知](benchmarks/README.md)。",
}
NO_RECORD = {False: "No record yet.\n", True: "尚无记录。\n"}
NO_DATE = {False: "a day that is not known", True: "未知日期"}


def with_tables(text: str, readme: Path) -> str:
    """The text of a README (the file `readme`) with what the records say between its markers."""
    makers: dict[str, Callable] = {"table": _table, "chart": _chart, "since": _since}

    def fill(match: re.Match) -> str:
        kind, name = match.groups()
        chinese = readme.stem.endswith("_CN")
        made = [makers[kind](readme.parent / one, one, chinese) for one in name.split(",")]
        joined = "\n".join(filter(None, made))  # each ends its line: an empty one between two paragraphs
        return f"<!-- {kind}: {name} -->\n{joined}<!-- end {kind} -->"

    return MARKER.sub(fill, text)


def images(text: str, folder: Path) -> dict[Path, str]:
    """The SVG files that belong to a README's text, each with its content."""
    paths = [folder / name for kind, name in MARKER.findall(text) if kind == "chart"]
    return {path.with_suffix(".svg"): charts.front(_read(path)) for path in paths if path.exists()}


def renew(readme: Path) -> None:
    """Write the README's tables, and its charts, anew."""
    text = readme.read_text()
    write_whole(readme, with_tables(text, readme))
    for path, image in images(text, readme.parent).items():
        write_whole(path, image)


def _table(path: Path, _name: str, chinese: bool) -> str:
    if not path.exists():
        return NO_RECORD[chinese]
    record = _read(path)
    first = [learning_tables.headline(record)] if record["benchmark"] == "learning" else []
    return "\n\n".join([*first, tables.of(record), tables.head(record), *changed(record)]) + "\n"


def _chart(path: Path, name: str, chinese: bool) -> str:
    if not path.exists():
        return ""
    image = f"![{ALT[chinese]}]({name.removesuffix('.json')}.svg)"
    said = [image, learning_tables.headline(_read(path), chinese), _since(path, name, chinese).strip()]
    return "\n\n".join(filter(None, said)) + "\n"


def _since(path: Path, _name: str, chinese: bool) -> str:
    if not path.exists():
        return NO_RECORD[chinese]
    found = measured.since(_read(path)).values()
    known = [of_it for of_it in found if of_it]
    if any(files for _, files in known):
        form = SINCE
    elif len(known) < len(found):
        form = NOT_KNOWN
    else:
        return ""
    dates = sorted({of_it["date"] for of_it, _ in known} - {None})
    said = ("、" if chinese else " and ").join(dates) or NO_DATE[chinese]
    return form[chinese].format(name=path.name, dates=said) + "\n"


def changed(record: dict) -> list[str]:
    """A paragraph on what has changed in the files that a record measured; nothing if nothing has."""
    said = []
    for commit, of_it in measured.since(record).items():
        if of_it is None:
            said.append(UNKNOWN.format(commit=commit))
        elif of_it[1]:
            known, files = of_it
            names = ", ".join(Path(path).name for path in files[:SHOWN])
            names += "" if len(files) <= SHOWN else " and others"
            count, all_ = len(files), len(known["files"])
            form = ALL_CHANGED if count == all_ else CHANGED
            said.append(form.format(commit=commit, date=known["date"], count=count, all=all_, names=names))
    return [" ".join(said)] if said else []


def _read(path: Path) -> dict:
    return json.loads(path.read_text())
