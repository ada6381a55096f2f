"""One page of several runs: their curves in one chart, their last samples side by side, the options that differ."""

from collections.abc import Sequence
from pathlib import Path

from ugatit_data.commands import command
from ugatit_train.errors import UgatitError
from ugatit_train.options import arguments, saved
from ugatit_train.training import prospect
from ugatit_train.training.log import METRICS_FILE
from ugatit_train.training.page import charts, content, markup
from ugatit_train.training.page.reading import Run
from ugatit_train.training.page.strips import DIRECTIONS

PLACES = ("data_path", "output_path", "load_path", "train_url", "graph_path")  # which differ between any two runs


class CompareError(UgatitError):
    """A folder that holds no run to compare."""

    exit_code = 2


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in these folders, read, each under a name of its own.

    Raises:
        CompareError: a folder holds no run, or is given twice.
        OptionError: options that this version does not know.
        MetricsError: a line of a run's files is none of a run.
        OSError: a file cannot be read.
    """
    runs: list[Run] = []
    for folder in folders:
        for file in (saved.OPTIONS_FILE, METRICS_FILE):
            if not (folder / file).is_file():
                raise CompareError(
                    f"{folder}: no run that was trained: it lacks {file}: give the --output_path of {command('train')}"
                )
        if any(run.folder.resolve() == folder.resolve() for run in runs):
            raise CompareError(f"{folder}: is given twice: give each run once")
        runs.append(Run(folder, arguments.load(folder / saved.OPTIONS_FILE)).read())
    for run, name in zip(runs, _names([run.folder.resolve() for run in runs]), strict=True):
        run.name = name
    return runs


def _names(paths: Sequence[Path]) -> list[str]:
    """The end of each path, as long as it takes to tell it from the others."""
    names = []
    for path in paths:
        taken = 1
        while taken < len(path.parts) and any(
            other != path and other.parts[-taken:] == path.parts[-taken:] for other in paths
        ):
            taken += 1
        names.append("/".join(path.parts[-taken:]))
    return names


def page(runs: Sequence[Run]) -> str:
    """The HTML of the page."""
    names = [run.name for run in runs]
    body = (
        '<p class="kind">U-GAT-IT training runs</p><h1>Runs compared</h1>'
        + markup.section("The runs", _figures(runs))
        + markup.section("Options that differ", _options(runs) or '<p class="quiet">None.</p>')
        + markup.section("To look at", "".join(markup.alarm_list(run.alarms(), run.name) for run in runs))
        + markup.section("Last samples", _samples(runs), "What each run makes of the first of its own test pictures.")
        + markup.section("Curves", _charts(runs), "Losses and times: each line is the mean of a twentieth of its run.")
    )
    return markup.document(f"Runs compared: {', '.join(names)}", body, state="compared")


def _figures(runs: Sequence[Run]) -> str:
    judged = list(DIRECTIONS.items()) if any(run.evaluations for run in runs) else []
    head = ["run", "steps", "a step", "time spent", "alarms", *(f"last judged, {words}" for _, words in judged)]
    rows = []
    for run in runs:
        row = [run.name, f"{run.curves.step:,}", content.seconds(run.step_s()), prospect.duration(run.spent_s())]
        row.append(str(len(run.alarms()) or "none"))
        for name, _ in judged:
            line = run.evaluations[-1] if run.evaluations else None
            row.append(f"{content.metric(line)} {charts.number(line[name]['mean'])}" if line else "not judged")
        rows.append(row)
    return markup.table(head, rows, "figures")


def _options(runs: Sequence[Run]) -> str:
    names = [name for name in runs[0].values if name not in PLACES]
    differ = [name for name in names if len({str(run.values[name]) for run in runs}) > 1]
    rows = [[name, *(content.shown(run.values[name]) for run in runs)] for name in differ]
    return markup.table(["option", *(run.name for run in runs)], rows)


def _samples(runs: Sequence[Run]) -> str:
    """In each direction every run's translation; inputs are shown again where they are others than the run's before."""
    blocks = []
    for direction, words in DIRECTIONS.items():
        shown, before = [], None
        for run in runs:
            step = max(run.samples, default=0)
            if not step or direction not in run.samples[step]:
                shown.append(f'<p class="quiet">{markup.escape(run.name)}: no sample</p>')
                continue
            strips = run.samples[step][direction].strips
            if strips["real_a"] != before:
                shown.append(markup.strip("Input", "", strips["real_a"], f"pictures of {words[0]}"))
            before = strips["real_a"]
            shown.append(markup.strip(run.name, "", strips["fake_a2b"], f"{words}, step {step:,}"))
        blocks.append(f"<div><h3>{words}</h3>{''.join(shown)}</div>")
    return f'<div class="directions">{"".join(blocks)}</div>'


def _charts(runs: Sequence[Run]) -> str:
    """A chart for each loss, the rate, the time of a step, and the figures of the evaluations."""
    names = list(dict.fromkeys(name for run in runs for name in run.loss_names()))
    found = []
    for name in content.in_order(names):
        title, note = content.LOSSES.get(name, (name, ""))
        levels = content.loss_levels(name, runs[0].options.adv_weight)
        if len({run.options.adv_weight for run in runs}) > 1 and name == "d_loss":
            levels = []
        found.append(charts.chart(title, _lines(runs, name), note=f"{name}. {note}".strip(), levels=levels))
    found.append(charts.chart("Learning rate", _lines(runs, "lr", smooth=False)))
    found.append(charts.chart("Time of a step, seconds", _lines(runs, "step_s"), unit="s", may_be_log=False))
    for direction, words in DIRECTIONS.items():
        for metric in dict.fromkeys(content.metric(line) for run in runs for line in run.evaluations):
            alike = [[line for line in run.evaluations if content.metric(line) == metric] for run in runs]
            lines = [
                charts.Line(
                    label=run.name,
                    curve=content.judged_curve(lines, direction),
                    colour=i,
                    raw=False,
                    smooth=False,
                    dots=True,
                )
                for i, (run, lines) in enumerate(zip(runs, alike, strict=True))
            ]
            found.append(charts.chart(f"{metric}, {words}", lines, note="Lower is nearer to the other domain."))
    return f'<div class="charts">{"".join(found)}</div>'


def _lines(runs: Sequence[Run], name: str, smooth: bool = True) -> list[charts.Line]:
    return [
        charts.Line(label=run.name, curve=run.curves.curve(name), colour=i, raw=False, smooth=smooth)
        for i, run in enumerate(runs)
    ]
