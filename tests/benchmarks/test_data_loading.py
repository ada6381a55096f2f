"""The data benchmarks run, tiny, and leave records with all of their samples."""


def test_data_loading(results):
    options = ("--images", 6, "--img_size", 32, "--batch_size", 2, "--repeats", 2, "--seconds", 0.05)
    found, said = results("data_loading", *options, "--only", "ours raw, uint8", "memcpy", "ffcv")
    for name in ("imdecode alone, 1 thread", "ours raw, uint8", "ours raw, uint8, check every"):
        assert found[name]["unit"] == "images_per_s"
        assert len(found[name]["samples"]) == 2
        assert found[name]["low"] <= found[name]["median"] <= found[name]["high"]
    assert "skipped" in found["ffcv raw 286, uint8"]
    assert "| ours raw, uint8 |" in said


def test_conversion(results):
    found, said = results("conversion", "--images", 10, "--repeats", 1, "--encodings", "original")
    assert found["decode once, all cores"]["unit"] == "seconds"
    assert len(found["convert original, start-up apart"]["samples"]) == 1
    assert found["peak memory"]["median"] > 50
    assert found["write MindRecord"]["median"] > 0
    assert "| write MindRecord |" in said
