"""A page as HTML text: its frame, which lets nothing in from elsewhere, and the pieces that pages are put together of.

Whatever comes from a run, its name or an option's value, goes through `escape` here or in charts.py.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ugatit_train.training.page.alarms import Alarm

_HERE = Path(__file__).parent


def document(title: str, body: str, data: str = "{}", state: str = "") -> str:
    """The whole page. `data` is the JSON that page.js reads, and must not hold "<"; `state` is a class of the body.

    Bytes of a folder's name that are no UTF-8 are written as \\udcff.

    Its policy allows the style and the script of this folder by their digests, pictures inside the page, nothing else.
    """
    style, script = (_HERE / "look.css").read_text(), (_HERE / "page.js").read_text()
    policy = (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'"
    )
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}; form-action \'none\'">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n"
        f'<body class="{escape(state)}">\n<main>\n{body}\n</main>\n'
        f'<script type="application/json" id="data">{data}</script>\n<script>{script}</script>\n</body>\n</html>\n'
    )
    return text.encode("utf-8", "backslashreplace").decode()


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def section(title: str, body: str, aside: str = "") -> str:
    """A part of the page with a heading; nothing where it would be empty."""
    words = f'<p class="aside">{escape(aside)}</p>' if aside else ""
    return f"<section><h2>{escape(title)}</h2>{words}{body}</section>\n" if body else ""


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """Figures in large letters: (what, value, more about it)."""
    return (
        '<dl class="tiles">'
        + "".join(
            f"<div><dt>{escape(what)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
            for what, value, more in figures
        )
        + "</dl>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of texts that scrolls sideways where it is too wide; nothing where it has no row."""
    lines = [
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    ]
    if not lines:
        return ""
    top = f"<thead><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr></thead>" if any(head) else ""
    return f'<div class="wide"><table class="{kind}">{top}<tbody>{"".join(lines)}</tbody></table></div>'


def alarm_list(alarms: Sequence[Alarm], name: str = "") -> str:
    """Each alarm with what to try; `name` is the run's, where there are several."""
    before = f"{escape(name)}: " if name else ""
    articles = "".join(
        f'<article class="alarm"><h3>{before}{escape(alarm.title)}</h3><p>{escape(alarm.what)}</p>'
        f"<ul>{''.join(f'<li>{_with_options(text)}</li>' for text in alarm.tries)}</ul></article>"
        for alarm in alarms
    )
    return f'<div class="alarms">{articles}</div>' if articles else ""


def _with_options(text: str) -> str:
    """The text with its options as code, which no line breaks."""
    return re.sub(r"--\w+", r"<code>\g<0></code>", escape(text))


def strip(title: str, name: str, jpeg: str, about: str = "", key: str = "") -> str:
    """A row of sample pictures, with its name beside it. With `key`, page.js can put another step's pictures in."""
    marked = f' data-key="{escape(key)}"' if key else ""
    code = f" <code>{escape(name)}</code>" if name else ""
    return (
        f'<div class="strip"><div class="label"><b>{escape(title)}</b> <span>{escape(about)}</span>'
        f"{code}</div>"
        f'<img alt="{escape(title)}"{marked} src="data:image/jpeg;base64,{jpeg}"></div>'
    )
