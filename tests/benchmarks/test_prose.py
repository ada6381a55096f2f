"""The figures in the sentences of the benchmarks' README are those of the records, or say that there is no record."""

from __future__ import annotations

import json
import re

import pytest

from ugatit_train.exchange import engines
from ugatit_train.performance import roofline

from .conftest import BENCHMARKS

TEXT = " ".join((BENCHMARKS / "README.md").read_text().split())


def entries(name: str) -> dict[str, dict]:
    body = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())
    (record,) = body.get("records", [body])
    return {entry["name"]: entry for entry in record["results"]}


def medians(name: str) -> dict[str, float]:
    return {name: entry["median"] for name, entry in entries(name).items()}


def loader():
    found = medians("data_loading")
    alone, copying, ffcv = (
        found[name] for name in ("imdecode alone, 2 threads", "memcpy alone, 2 threads", "ffcv raw 286, uint8")
    )
    slower = {
        (kind, check): 1 - found[f"ours {kind}, uint8{check}"] / found[f"ours {kind}, uint8, check off"]
        for kind in ("original", "jpeg", "raw")
        for check in ("", ", check every")
    }
    every = [slower[kind, ", check every"] for kind in ("original", "jpeg", "raw")]
    spread = min(e["high"] / e["low"] - 1 for name, e in entries("data_loading").items() if name.startswith("ours"))
    assert max(slower[kind, ""] for kind in ("original", "jpeg", "raw")) < spread and max(every[:2]) < spread
    us = 1e6 / found["ours raw, uint8, check every"] - 1e6 / found["ours raw, uint8, check off"]
    original, jpeg = (f"{found[f'ours {kind}, uint8'] / alone:.0%}" for kind in ("original", "jpeg"))
    yield f"`original` reaches {original} and `jpeg` {jpeg} of"
    yield f"the default, takes at most {max(slower[kind, ''] for kind in ('original', 'jpeg', 'raw')):.1%}"
    yield f"of every read of JPEGs; of raw records that takes {every[2]:.0%} ({us:.0f} us an image)"
    yield f"come {found['ours raw, uint8'] / ffcv:.1f} times as fast as from ffcv"
    yield f"overtakes *memcpy* ({copying / ffcv:.1f} times)"


def conversion():
    found = entries("conversion")
    alone, ours = found["decode once, all cores"]["samples"], found["convert original, start-up apart"]["samples"]
    ratios = sorted(mine / other for mine, other in zip(ours, alone, strict=True))
    peaks = [found[f"peak memory{of}"]["median"] for of in ("", ", a tenth of the images")]
    yield f"takes {ratios[2]:.2f} times as long as decoding them once on all cores ({ratios[0]:.2f}-{ratios[-1]:.2f} in"
    yield f"{peaks[0]:.0f} MiB at its peak, {peaks[1]:.0f} MiB for 2,000"


def profile():
    *operations, between = entries("profile").values()
    calls, share, us = (between["tags"][name] for name in ("calls", "share", "mean_us"))
    yield f"{1 - share:.1%} of it lies in the operations, the rest is the start of {calls:,} of them, {us:.0f} us each"
    assert {entry["name"] for entry in operations[:3]} == {"BatchMatMul", "MatMul", "Col2Im"}


def small_maps():
    step = medians("step_time")
    yield f"takes {step['64 px: ours / floor']:.2f} times its floor at 64 pixels and {step['128 px: ours / floor']:.2f}"
    small, large = ({name: entry["tags"] for name, entry in entries(of).items()} for of in ("profile_64", "profile"))
    products = ("BatchMatMul", "MatMul")
    between = small.pop("(between operations)")
    others = [tags["share"] for name, tags in small.items() if name not in products]
    share = sum(small[name]["share"] for name in products)
    yield f"The products take {share:.0%} of it"
    one, two, one_large, two_large = (of[name]["gflop_per_s"] for of in (small, large) for name in products)
    yield f"at {one:.0f} (`BatchMatMul`) and {two:.0f} GFLOP/s (`MatMul`), where at 256 pixels they run at"
    yield f"they run at {one_large:.0f} and {two_large:.0f}: their sides are short"
    yield f"The start of {between['calls']:,} operations takes {between['share']:.0%}, {between['mean_us']:.0f} us each"
    yield f"The other {sum(others):.0%} is spread over {len(others)} kinds, none of which takes more than"
    yield f"none of which takes more than {max(others):.1%}:"


def recompute():
    found = medians("memory")
    kept, again = (found[f"light, 256 px, ch 64, batch 1{option}: peak"] / 1024 for option in ("", ", recompute True"))
    yield f"at 256 px {again:.1f} GiB in place of {kept:.0f} "
    full = "full, 256 px, ch 64, batch 1, recompute True"
    yield f"takes {found[f'{full}: peak'] / 1024:.1f} GiB and {found[f'{full}: step']:.1f} s a step here with it"


def projections():
    reported = json.loads((BENCHMARKS / "results" / "roofline.json").read_text())["data"][
        "ms a step at 256 px, batch 1, as reported"
    ]
    project, cyclegan = reported.values()
    yield f"{project:.0f} ms a step for the original project's full model, and {cyclegan:.0f} ms for the model zoo"


def launches():
    counts = {
        (light, half): (sum(roofline.KERNELS[light, half]) + copies, roofline.KERNELS[light, half][1] + copies)
        for half, copies in roofline.COPIES.items()
        for light in (True, False)
    }
    (light, aclop), (full, aclop_full) = counts[True, False], counts[False, False]
    yield f"A step in float32 or HF32 is {light:,} kernels (light; {aclop} aclop) or {full:,} (full; {aclop_full})"
    (light, aclop), (full, aclop_full) = counts[True, True], counts[False, True]
    yield f"In float16 it is {light:,} ({aclop:,}) or {full:,} ({aclop_full:,}), {roofline.COPIES[True]} of them copies"


def translation():
    pytest.importorskip("openvino", reason="openvino is not installed: --engine auto does not choose it")
    found = medians("inference")
    best = {
        (size, batch): min(engines.ENGINES[1:], key=lambda name: found[f"{size} px, batch {batch}: {name}"])
        for size in (64, 128, 256, 512)
        for batch in (1, 8)
    }
    assert {best[64, 1], best[128, 1], best[512, 1], best[512, 8]} == {"openvino"}
    yield "One small picture is OpenVINO's, and so are those of 512 pixels"
    slower = max(
        found[f"256 px, batch {batch}: mindspore"] / found[f"256 px, batch {batch}: {best[256, batch]}"]
        for batch in (1, 8)
    )
    yield f"At 256 pixels MindSpore takes at most {slower:.2f} times as long as the fastest engine"
    assert best[64, 8] == best[128, 8] == "mindspore"
    yield "and in batches of 8 of 64 and 128 pixels it is that"
    yield f"where it is installed, for up to {engines.FEW} pictures"
    for size, batch in best:
        taken, _ = engines.choose("auto", "CPU", 1000, (size * size).__int__, batch)
        assert found[f"{size} px, batch {batch}: {taken} / best"] < 1.1, (size, batch)
    yield "with it each of these calls is within 1.1 of the fastest of all, `torch.compile` included"


@pytest.mark.parametrize(
    "claims", [loader, conversion, profile, small_maps, recompute, projections, launches, translation]
)
def test_a_sentence_has_the_figures_of_its_record(claims):
    for claim in claims():
        assert claim in TEXT


def test_figures_without_a_record_say_so():
    (chapter,) = re.findall("### Less memory: recompute (.*?) ###", TEXT)
    assert "Seen once, without a record: `ugatit train --recompute true` with the full model, three steps" in chapter
