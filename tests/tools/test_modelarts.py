"""ModelArts jobs as the platform starts them, with object storage on this machine; see also test_modelarts_starts.py,
test_train_resume.py, and test_run_distributed_train.py for two workers that bring their results."""

import json

import pytest

from ugatit_data import convert
from ugatit_data.storage import Mirror, open_storage

SMALL = ("--light", "--ch", 2, "--n_res", 1, "--n_dis", 4, "--img_size", 32)


def test_a_test_brings_its_pictures_and_figures(job, s3_server, untrained_run, picture_folder, tmp_path):
    convert(picture_folder, tmp_path / "judged", workers=1)
    for folder, name in ((tmp_path / "judged", "judged"), (untrained_run, "job")):
        Mirror(folder, open_storage(f"s3://bucket/{name}", s3_server), "dataset.json").push()
    urls = ("--data_url", "s3://bucket/judged", "--checkpoint_url", "s3://bucket/job", "--train_url", "s3://bucket/job")
    done = job("--phase", "test", *urls)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("brought to s3://bucket/job/test\n")
    open_storage("s3://bucket/job/test", s3_server).copy_in(tmp_path / "back")
    back = {path.relative_to(tmp_path / "back"): path.read_bytes() for path in (tmp_path / "back").rglob("*.*")}
    here = tmp_path / "results" / "test"
    assert back == {path.relative_to(here): path.read_bytes() for path in here.rglob("*.*")}
    assert {path.parts[0] for path in back} == {"a2b", "b2a", "contact_sheet.png", "metrics.json"}
    assert len(back) == 11 and json.loads((tmp_path / "back" / "metrics.json").read_text())["step"] == 3


def test_data_are_copied_once_and_checked(job, s3_server, tmp_path):
    assert job("--dry_run", *SMALL).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "data").iterdir()}
    assert len(before) > 4
    assert job("--dry_run", *SMALL).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "data").iterdir()} == before

    shard = next(path for path in before if path.suffix == ".mindrecord")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    open_storage("s3://bucket/data", s3_server).put(shard, shard.name)
    done = job("--data_path", "other", "--dry_run", *SMALL)
    assert done.returncode == 1
    assert f"s3://bucket/data: {shard.name}: sha256" in done.stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--data_path", "kept"), 2, "kept: exists and is no copy of s3://bucket/data: remove it, or give another"),
        (("--resume", "--checkpoint_url", "s3://bucket/data"), 2, "s3://bucket/data: no run, it has no options.yaml"),
        (("--resume", "--checkpoint_url", "s3://bucket/none"), 1, "s3://bucket/none: holds nothing: check the URL"),
        (("--resume", "--checkpoint_url", "ftp://x"), 2, "ftp://x: not a URL of object storage"),
    ],
)
def test_refusals(job, tmp_path, arguments, code, words):
    (tmp_path / "kept").mkdir()
    done = job(*arguments, *SMALL)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
