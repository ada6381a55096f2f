"""30 steps straight, and a ModelArts job killed after step 17 whose successor, on another machine, does the rest."""

import hashlib
import json
import signal


def losses(run) -> list[dict]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if not name.endswith("_s")} for line in lines]


def hashes(run) -> dict[str, str]:
    folder = run / "checkpoints" / "step-00000030"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}


def test_kill_9_and_going_on_from_what_was_brought_out_is_bit_for_bit_the_straight_run(
    run_tool, job, dataset, tmp_path
):
    straight, first, second = tmp_path / "straight run", tmp_path / "first", tmp_path / "second"
    # The graph is that of tests/train/training/test_loop.py: the suite's folder has it, or gets it.
    small = ("--light", "--ch", 4, "--n_res", 1, "--n_dis", 4, "--img_size", 32)
    often = ("--iteration", 30, "--save_freq", 17, "--print_freq", 100)
    done = run_tool("train", "--data_path", dataset, "--output_path", straight, *small, *often)
    assert done.returncode == 0, done.stderr

    first.mkdir()
    second.mkdir()
    metrics = first / "results" / "metrics.jsonl"
    done = job(
        "--train_url", "s3://bucket/job", *small, *often,
        cwd=first, kill_when=lambda: metrics.exists() and metrics.read_text().count("\n") >= 18,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert losses(first / "results") == losses(straight)[: len(losses(first / "results"))]
    assert 18 <= len(losses(first / "results")) < 30

    done = job("--train_url", "s3://bucket/job", "--checkpoint_url", "s3://bucket/job", "--resume", cwd=second)
    assert done.returncode == 0, done.stderr
    assert "going on from step 17" in done.stdout
    assert len(losses(straight)) == 30
    assert losses(second / "results") == losses(straight)
    assert hashes(second / "results") == hashes(straight)
    assert len(hashes(straight)) == 3
