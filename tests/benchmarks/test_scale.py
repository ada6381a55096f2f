"""The scale benchmark and the roofline run, tiny; the fit and the sparse data sets are right."""

from __future__ import annotations

import numpy as np
import pytest

from ugatit_data import open_loader


def test_every_series_of_the_loader(run):
    series = ("threads_raw", "batch_jpeg", "size_raw", "images", "shards")
    few = ("--rounds", 2, "--seconds", 0.02, "--images", 4, "--least_samples", 100)
    points = ("--thread_counts", 1, 2, "--batches", 1, 2, "--sizes", 32, 64, "--image_counts", 20, 60, "--shards", 1, 2)
    written, _ = run("scale", *few, *points, "--series", *series)
    for name in series:
        mine = [entry for entry in written["results"] if entry["tags"]["series"] == name]
        assert [len(entry["samples"]) for entry in mine] == [2, 2, 1, 1]
        assert all(value > 0 for entry in mine[:2] for value in entry["samples"])
        assert mine[2]["unit"] == "exponent"
        assert mine[3]["median"] == pytest.approx(mine[1]["median"] / mine[0]["median"])


def test_growth_is_the_exponent(load):
    growth = load("scale").growth
    assert growth([(x, [3 * x**1.5]) for x in (1, 2, 8, 64)]) == pytest.approx((1.5, 1.0))
    exponent, explained = growth([(1, [1.0]), (2, [5.0]), (4, [1.0]), (8, [5.0])])
    assert 0 < exponent < 1 and explained < 0.6


def test_a_sparse_data_set_takes_no_disk_space_and_is_read(load, tmp_path):
    dataset = load("sparse").make(tmp_path / "sparse", 1000, 94, shards=3)
    assert dataset.num_images("train", "a") == 1000
    on_disk = sum(path.stat().st_blocks * 512 for path in (tmp_path / "sparse").iterdir())
    assert on_disk < 1 << 20 < 1000 * 94 * 94 * 3
    with open_loader(tmp_path / "sparse", batch_size=2, img_size=64, check="off") as loader:
        a, b = next(loader)
    assert a.shape == b.shape == (2, 64, 64, 3)
    assert not np.any(a)


def test_roofline(run, load):
    written, _ = run("roofline", "--sizes", 256, "--ceiling_scale", 0.05, "--rounds", 2)
    results = {entry["name"]: entry for entry in written["results"]}
    assert results["light 256 px: products"]["median"] == pytest.approx(2146, rel=0.01)
    assert results["ceiling, sgemm"]["median"] > 0 and len(results["ceiling, sgemm"]["samples"]) == 2
    projections = [entry for entry in written["results"] if entry.get("tags", {}).get("projection")]
    assert len(projections) == 2 * 2 * 2 * 2  # models, processors, efficiencies, launches at least and at most
    assert all("projection" in entry["name"] for entry in projections)
    assert 0 < results["full 256 px: share of the roofline that 640 ms is"]["median"] < 1
    parts = [entry["median"] for entry in written["results"] if entry.get("tags", {}).get("part")]
    assert len(parts) == 2 * (7 + 5)  # in HF32 nothing is cast and no loss scaled
    assert sum(parts[:6]) == pytest.approx(projections[2]["median"])  # light, the first 910, 30%, launches at least
    assert "Ascend910A.ini" in written["data"]["published ceilings"]["Ascend 910"]
    shown = load("tables").of(written)
    assert "| light, 256 px, Ascend 910 in float16 |" in shown and "| launches | in all |" in shown
