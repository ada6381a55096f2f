"""What the demo ends with: the contact sheet of its pictures, and how like the true ones they are."""

from pathlib import Path

import numpy as np

from ugatit_train.pictures import drawing, likeness
from ugatit_train.pictures.files import beside, find_pictures, output_names, read_picture

from .commandline import Failure

SHEET_PICTURES = 12  # of the sheet, in two blocks
AGAIN = "the same command goes on from there"


def draw(pictures: Path, translated: Path, sheet: Path, size: int) -> dict[str, float]:
    """Write the contact sheet; return the figures of `compared`, or nothing where there are no true pictures."""
    source, targets = pictures / "testA", pictures / "testA_target"
    found = find_pictures(source)
    names = output_names(found, source, [".heatmap"])
    made = {path: translated / name for path, name in zip(found, names, strict=True)}
    rows = [path for path in found if made[path].exists()]
    if not rows:
        raise Failure(f"{source}: not one of its {len(found)} pictures could be translated: {AGAIN}")
    true = {path: targets / path.relative_to(source) for path in rows}
    known = all(path.exists() for path in true.values())

    shown = rows[:SHEET_PICTURES]
    half = -(-len(shown) // 2)
    blocks = [block for block in (shown[:half], shown[half:]) if block]  # side by side
    files = {
        "input": lambda path: path,
        "heat map": lambda path: beside(made[path], ".heatmap"),
        "output": lambda path: made[path],
    } | ({"true target": true.__getitem__} if known else {})
    columns = [
        [*(read_picture(file(path), size) for path in block), *[None] * (half - len(block))]
        for block in blocks
        for file in files.values()
    ]
    drawing.contact_sheet(columns, [*files] * len(blocks), sheet)

    if not known:
        return {}
    read = {name: np.stack([read_picture(file(path), size) for path in rows]) for name, file in files.items()}
    return compared(read["input"], read["output"], read["true target"])


def compared(inputs: np.ndarray, made: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """How like the true pictures the inputs, the translated ones and an affine change of colour are (`likeness`)."""
    coloured = likeness.recoloured(inputs, true)
    return {
        "difference, input": likeness.difference(inputs, true),
        "difference, translated": likeness.difference(made, true),
        "ratio": likeness.ratio(made, inputs, true),
        "ratio, change of colour": likeness.ratio(coloured, inputs, true),
        "edges, translated": likeness.edge_correlation(made, true),
        "edges, input": likeness.edge_correlation(inputs, true),
        "edges, change of colour": likeness.edge_correlation(coloured, true),
    }


def told(figures: dict[str, float]) -> str:
    """The figures of `compared`, in words."""
    if not figures:
        return "no figures: there is no testA_target with the true pictures to measure against"
    return (
        "mean absolute difference to the true target, of 255: input {difference, input:.2f}, "
        "translated {difference, translated:.2f}; ratio {ratio:.3f} (below 1: nearer than the input)\n"
        "beside it, the best affine change of colour, which knows the target: {ratio, change of colour:.3f}\n"
        "lines where the target has them (correlation of edges): translated {edges, translated:.3f}, "
        "input {edges, input:.3f}, change of colour {edges, change of colour:.3f}"
    ).format_map(figures)
