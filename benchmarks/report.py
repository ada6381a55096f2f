#!/usr/bin/env python
"""Makes one page of the runs' figures, their charts, and the tables in the README.

    python benchmarks/report.py bench/run.json --against benchmarks/results/quick.json --out bench
    python benchmarks/report.py --readme           # tables and charts of the project's READMEs, from benchmarks/results

The page (report.html) needs no other file. --against is an earlier run on this machine with the same options: a result
that is worse by more than the noise is marked as a regression. With three samples or more that is when every later
sample is worse than every earlier one and the medians differ by 5%; with fewer samples, from 25% on.
"""

from __future__ import annotations

import base64
import html
import json
import re
import sys
from pathlib import Path

import arguments
import cells
import charts
import compare
import figures
import learning_tables
import readmes
import tables

HERE = Path(__file__).parent
ROOT = HERE.parent
READMES = [ROOT / "README.md", ROOT / "README_CN.md", ROOT / "tools" / "README.md", HERE / "README.md"]

STYLE = """
:root { color-scheme: light; } * { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; color: #1d2733; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } p { overflow-wrap: anywhere; }
.note { color: #56616d; font-size: .875rem; } img { width: 100%; max-width: 40rem; height: auto; display: block; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .875rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #dde3ea; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #9aa7b4; } td { font-variant-numeric: tabular-nums; }
@media (max-width: 40rem) { th, td { white-space: normal; padding: .3rem .35rem; } }
.figures { list-style: none; padding: 0; display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); }
.figures li { border: 1px solid #dde3ea; border-radius: .5rem; padding: .75rem; }
.figures span { font-size: .875rem; color: #56616d; display: block; } .figures b { font-size: 1.375rem; }
.figures p { margin: .25rem 0 0; font-size: .875rem; }
.regression { background: #fbe3e0; } .better { background: #e2f3e5; }
"""


def records_of(path: Path) -> list[dict]:
    """The records in a file: a run's (`run.py`) or a single benchmark's."""
    body = json.loads(path.read_text())
    return body.get("records", [body])


def page(records: list[dict], earlier: list[dict], title: str) -> str:
    """The whole HTML page."""
    parts = [f"<h1>{html.escape(title)}</h1>", _opening(figures.of(records))]
    if earlier:
        parts.append(_comparison(*compare.changes(earlier, records)))
    for record in records:
        parts.append(f"<h2>{html.escape(record['benchmark'].replace('_', ' '))}</h2>")
        parts.append(f'<p class="note">{html.escape(tables.head(record))}</p>')
        parts += [f'<p class="note">{html.escape(said)}</p>' for said in readmes.changed(record)]
        chart = charts.of(record)
        if chart:
            data = base64.b64encode(chart).decode()
            parts.append(f'<img alt="chart of {html.escape(record["benchmark"])}" src="data:image/png;base64,{data}">')
        if record["benchmark"] == "learning":
            parts.append(f"<p>{_cell(learning_tables.headline(record))}</p>")
        parts += map(_table, tables.of(record).split("\n\n"))  # a record may have several
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _opening(found: list[figures.Figure]) -> str:
    cards = [
        f"<li><span>{html.escape(one.what)}</span><b>{html.escape(one.value)}</b><p>{html.escape(one.means)}</p></li>"
        for one in found
    ]
    return f'<ul class="figures">{"".join(cards)}</ul>' if cards else ""


def _comparison(changes: list[compare.Change], apart: list[str]) -> str:
    counts = {verdict: sum(change.verdict == verdict for change in changes) for verdict in ("regression", "better")}
    found = f"{counts['regression']} regressions, {counts['better']} better, of {len(changes)} results compared"
    notes = "".join(f'<p class="note">Not compared: {html.escape(line)}</p>' for line in apart)
    if not changes:
        return f"<h2>Against the earlier run</h2>{notes}"
    moved = _change_table([change for change in changes if change.verdict != "same"])
    rest = _change_table([change for change in changes if change.verdict == "same"])
    folded = f"<details><summary>Within the noise</summary>{rest}</details>"
    return f"<h2>Against the earlier run</h2><p>{found}</p>{notes}{moved}{folded}"


def _change_table(changes: list[compare.Change]) -> str:
    rows = [
        [change.verdict, f"{change.relative:+.0%}", f"{change.benchmark}: {change.name}",
         cells.number(change.before), cells.number(change.after), change.unit]
        for change in sorted(changes, key=lambda change: change.verdict, reverse=True)
    ]  # fmt: skip
    header = ["verdict", "change", "result", "before", "after", "unit"]
    return _table(cells.rows_to_table(header, rows)) if rows else ""


def _table(markdown: str) -> str:
    """A Markdown table as HTML; a verdict in the first cell becomes the row's class."""
    header, _, *rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in markdown.splitlines()]
    lines = ["<tr>" + "".join(f"<th>{_cell(cell)}</th>" for cell in header) + "</tr>"]
    for row in rows:
        kind = f' class="{row[0]}"' if row[0] in ("regression", "better") else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>")
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _cell(text: str) -> str:
    text = html.escape(text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*(.+?)\*", r"<em>\1</em>", text)


def main(argv: list[str] | None = None) -> int:
    parser = arguments.parser(__doc__, record=False)
    parser.add_argument(
        "runs", type=arguments.path, nargs="*", metavar="RUN", help="files of run.py or of single benchmarks"
    )
    parser.add_argument(
        "--against", type=arguments.path, nargs="*", default=[], metavar="RUN", help="an earlier run to compare"
    )
    parser.add_argument("--out", type=arguments.path, metavar="FOLDER", help="where report.html and the charts go")
    parser.add_argument(
        "--readme", type=arguments.path, nargs="*", metavar="FILE",
        help="renew what stands between their markers; without FILE, in all of the project's",
    )  # fmt: skip
    options = parser.parse_args(argv)
    if options.readme is None and not (options.runs and options.out):
        parser.error("give RUN files and --out FOLDER, or --readme")
    try:
        records = [record for path in options.runs for record in records_of(path)]
        earlier = [record for path in options.against for record in records_of(path)]
        for path in (options.readme or READMES) if options.readme is not None else ():
            readmes.renew(path)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{error}: give records that benchmarks/run.py or a benchmark's --out wrote")
    if records:
        options.out.mkdir(parents=True, exist_ok=True)
        for record in records:
            chart = charts.of(record)
            if chart:
                (options.out / f"{record['benchmark']}.png").write_bytes(chart)
        made = options.out / "report.html"
        made.write_text(page(records, earlier, "ugatit benchmarks"))
        changes, _ = compare.changes(earlier, records)
        for change in changes:
            if change.verdict == "regression":
                print(f"regression: {change.benchmark}: {change.name}: {change.relative:+.0%} ({change.unit})")
        print(f"report: {made}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
