"""Fixtures of several packages' tests."""

import logging

import pytest


@pytest.fixture
def s3_server(monkeypatch):
    """The address of an S3 server on this machine that holds one empty bucket, `bucket`; credentials are set."""
    moto_server = pytest.importorskip("moto.server", reason="moto is not installed: pip install '.[dev]'")
    from pyarrow import fs

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    fs.S3FileSystem(endpoint_override=address, allow_bucket_creation=True).create_dir("bucket")
    yield address
    fs.S3FileSystem(endpoint_override=address, allow_bucket_deletion=True).delete_dir("bucket")
    server.stop()
