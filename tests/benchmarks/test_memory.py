"""The memory benchmark runs, tiny, and leaves a record; a further run adds to it."""

from __future__ import annotations

import json


def test_memory(run, tmp_path):
    out = tmp_path / "records" / "memory.json"
    out.parent.mkdir()
    kept = {"name": "light, 8 px: peak", "unit": "mib", "samples": [1], "median": 1, "low": 1, "high": 1}
    out.write_text(json.dumps({"results": [kept], "options": {}, "commit": "1234"}))
    shape = ("--sizes", 24, "--ch", 2, "--n_res", 1, "--n_dis", 4, "--options", "use_global_norm=true")
    written, _ = run("memory", "--add", *shape)
    first, peak, ratio, step, of_step = written["results"]
    assert first == {"commit": "1234"} | kept
    assert peak["name"] == "light, 24 px, ch 2, batch 1, n_res 1, use_global_norm True: peak"
    assert peak["tags"]["options"]["use_global_norm"] is True
    assert peak["median"] > 300
    assert 0.75 < ratio["median"] < 1.25
    assert len(step["samples"]) == 3 and step["median"] > 0 and of_step["median"] > 0
    assert step["tags"]["sgemm_gflop_per_s"] > 1
