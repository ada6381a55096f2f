"""What ModelArts' environment says, and results that cannot be brought out; whole jobs are run in tests/tools."""

import functools
import logging
import shutil
import sys
import types

import pytest

from ugatit_data.errors import BadInputError
from ugatit_data.storage import StorageError
from ugatit_train import runtime
from ugatit_train.training import modelarts

VARIABLES = (
    "MA_NUM_HOSTS", "VC_WORKER_NUM", "VC_TASK_INDEX", "VC_WORKER_HOSTS", "MA_NUM_GPUS",
    "S3_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
)  # fmt: skip


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_hosts_by_the_documented_environment(monkeypatch):
    assert runtime.modelarts_hosts() == runtime.Hosts(count=1, this=0, devices=1, master="127.0.0.1")
    job = {"MA_NUM_HOSTS": "2", "VC_TASK_INDEX": "1", "VC_WORKER_HOSTS": "a.svc,b.svc", "MA_NUM_GPUS": "8"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    assert runtime.modelarts_hosts() == runtime.Hosts(count=2, this=1, devices=8, master="a.svc")
    monkeypatch.setenv("MA_NUM_GPUS", "0")  # a host without accelerators
    assert runtime.modelarts_hosts().devices == 1
    monkeypatch.setenv("MA_NUM_HOSTS", "two")
    with pytest.raises(runtime.DeviceError, match="MA_NUM_HOSTS is 'two', not a number"):
        runtime.modelarts_hosts()


def test_the_endpoint_of_the_storage(monkeypatch):
    assert runtime.storage_endpoint() == ""
    monkeypatch.setenv("S3_ENDPOINT", "http://obs")
    assert runtime.storage_endpoint() == "http://obs"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws")
    assert runtime.storage_endpoint() == "http://aws"


def test_a_copy_that_is_there_is_used_and_named(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / modelarts.LOAD_PATH
    run.mkdir(parents=True)
    given = {"enable_modelarts": True, "checkpoint_url": "s3://bucket/run"}
    with pytest.raises(BadInputError, match="exists and is no copy of s3://bucket/run: remove it"):
        modelarts.copy_in(given)
    run.with_name(run.name + ".url").write_text("s3://bucket/run")
    assert modelarts.copy_in(given) == given | {"load_path": modelarts.LOAD_PATH}
    assert "checkpoint: the copy of s3://bucket/run that is here is used; remove it to copy again" in caplog.text


class Storage:
    """Refuses everything while `down`."""

    url = "s3://bucket/run"

    def __init__(self):
        self.down, self.names = True, []

    def put(self, path, name):
        if self.down:
            raise StorageError(f"{self.url}/{name}: no route")
        self.names.append(name)


def test_a_failure_between_is_a_warning_and_at_the_end_an_error(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    storage = Storage()
    monkeypatch.setattr(modelarts, "open_storage", lambda *_: storage)
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    publishing = functools.partial(modelarts.publishing, tmp_path, storage.url, "last")
    with publishing() as publish:
        publish()
        assert "s3://bucket/run/metrics.jsonl: no route. The next checkpoint tries again." in caplog.text
        storage.down = False
        publish()
        assert "1 files brought to s3://bucket/run" in caplog.text
        (tmp_path / "train.log").write_text("done")
    assert storage.names == ["metrics.jsonl", "train.log"]

    storage.down = True
    with (
        pytest.raises(StorageError, match=f"no route; the results are in {tmp_path}"),
        publishing(),
    ):
        pass
    with pytest.raises(ValueError, match="the run's own"), publishing():
        raise ValueError("the run's own")  # is not hidden behind the storage's


class MoxFileNotExistsException(Exception):
    """As moxing's: no OSError."""


def test_an_exception_of_moxings_own_is_a_warning_then_a_retry_and_at_the_end_an_error(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    folder, there, down = tmp_path / "run", tmp_path / "obs", [True]
    for made in (folder, there):
        made.mkdir()
    (folder / "metrics.jsonl").write_text("{}\n")

    def copy(source, target):
        if down[0]:
            raise MoxFileNotExistsException("Stat:404, errorCode:NoSuchKey")
        local = [there / path.rpartition("/")[2] if path.startswith("obs://") else path for path in (source, target)]
        shutil.copyfile(*local)

    file = types.SimpleNamespace(copy=copy, copy_parallel=None)
    monkeypatch.setitem(sys.modules, "moxing", types.SimpleNamespace(file=file))
    with (
        pytest.raises(StorageError, match=f"MoxFileNotExistsException: .*; the results are in {folder}") as caught,
        modelarts.publishing(folder, "obs://bucket/run", "last") as publish,
    ):
        publish()
        assert "MoxFileNotExistsException: Stat:404, errorCode:NoSuchKey: check the URL" in caplog.text
        assert "The next checkpoint tries again." in caplog.text
        down[0] = False
        publish()
        assert (there / "metrics.jsonl").read_text() == "{}\n"
        down[0] = True
        (folder / "train.log").write_text("done")
    assert caught.value.exit_code == 1

    caplog.clear()
    with pytest.raises(ValueError, match="the run's own"), modelarts.publishing(folder, "obs://bucket/run", "last"):
        raise ValueError("the run's own")
    assert f"The results are in {folder}." in caplog.text


def test_nothing_is_brought_anywhere_without_a_url(tmp_path):
    with modelarts.publishing(tmp_path, "", "last") as publish:
        publish()
    assert modelarts.copy_in({"ch": 3}) == {"ch": 3}
