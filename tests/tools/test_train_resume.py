"""30 steps, and 17 of them and a new process for the other 13: the same losses, all digits, and the same weights."""

import hashlib
import json
import shutil


def losses(run) -> list[dict]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if not name.endswith("_s")} for line in lines]


def hashes(run) -> dict[str, str]:
    folder = run / "checkpoints" / "step-00000030"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}


def test_a_new_process_goes_on_bit_for_bit(run_tool, dataset, tmp_path):
    straight, resumed = tmp_path / "straight run", tmp_path / "resumed run"
    small = ("--light", "--ch", 2, "--n_res", 1, "--n_dis", 4, "--img_size", "32x40")
    often = ("--iteration", 30, "--save_freq", 17, "--print_freq", 100)
    done = run_tool("train", "--data_path", dataset, "--output_path", straight, *small, *often)
    assert done.returncode == 0, done.stderr

    shutil.copytree(straight, resumed)  # what kill -9 leaves after step 17: a metrics file that is ahead of it
    shutil.rmtree(resumed / "checkpoints" / "step-00000030")
    done = run_tool("train", "--output_path", resumed, "--resume")
    assert done.returncode == 0, done.stderr
    assert "going on from step 17" in done.stdout
    assert len(losses(straight)) == 30
    assert losses(resumed) == losses(straight)
    assert hashes(resumed) == hashes(straight)
    assert len(hashes(straight)) == 3
