"""tools/serve.py: the address first, then pictures as `translate` makes them; its refusals. Its page: tests/train."""

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from ugatit_train.exchange.export import onnx_model
from ugatit_train.inference import generator, models
from ugatit_train.inference.web.offer import translated

from .conftest import TOOLS


def answered(port, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET" if body is None else "POST", path, body)
    response = connection.getresponse()
    assert response.status == 200
    found = json.load(response)
    connection.close()
    return found


def test_it_translates_in_both_directions_until_ctrl_c(tool, of_a_user, untrained_run, picture_folder, tmp_path):
    command = [sys.executable, TOOLS / "serve.py", "--checkpoint", untrained_run, "--port", "0"]
    command += ["--engine", "mindspore"]
    picture = picture_folder / "testA" / "0.png"
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    environment = of_a_user(os.environ) | {"TMPDIR": str(temporary)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=here
    ) as process:
        try:
            first = process.stdout.readline()
            port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\), device: CPU\n", first)[1])
            assert re.fullmatch(r"engine: mindspore \S+ \(asked for\)\n", process.stdout.readline())
            about = answered(port, "/about.json")
            body = picture.read_bytes()
            made = {
                direction: answered(port, f"/translate?direction={direction}", body)
                for direction in ("a2b", "b2a")
            }  # fmt: skip
            process.send_signal(signal.SIGINT)
            rest, complaint = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, rest, complaint) == (0, "", "")
    left = [path for folder in (here, temporary) for path in folder.rglob("*")]
    # Nothing is kept; MindSpore's folder of graphs, which the next process removes (graphscratch), is empty.
    assert [path for path in left if not path.name.startswith("ugatit-graphs-")] == []
    assert about == {
        "name": "run", "facts": "Step 3, light model. Pictures are resized to 32 × 32 px.",
        "hint": "Folders and videos: tools/translate.py", "directions": ["a2b", "b2a"], "limit_bytes": 100_000_000,
        "engine": "mindspore",
    }  # fmt: skip
    for direction, answer in made.items():
        out = tmp_path / direction
        arguments = (
            "--checkpoint",
            untrained_run,
            "--out",
            out,
            "--direction",
            direction,
            "--heatmap",
            "--engine",
            "mindspore",
        )
        assert tool("translate", picture, *arguments)[0] == 0
        for name, file in (("translation", "0.png"), ("heatmap", "0.heatmap.png")):
            assert base64.b64decode(answer[name]) == (out / file).read_bytes()
    assert made["a2b"]["translation"] != made["b2a"]["translation"]


def test_ctrl_c_does_not_wait_for_the_end_of_a_call(load_tool, monkeypatch):
    serve, ended = load_tool("serve"), []
    monkeypatch.setattr(serve.os, "_exit", lambda code: ended.append((code, threading.current_thread())))
    with serve.ended_at_once():
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        for _ in range(100):  # each is a call in which Python hears no signal
            hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000)
            if ended:
                break
    assert ended[0][0] == 0 and ended[0][1] is not threading.main_thread()
    assert signal.set_wakeup_fd(-1) == -1  # it is given back


@pytest.fixture
def offered(load_tool, tool, monkeypatch):
    """offered("--onnx", file) -> (what `serve` would offer, the line of its engine); nothing is listened to."""
    serve, servers = load_tool("serve"), []

    class Silent(serve.Server):
        def serve_forever(self):
            servers.append(self)

    def stop(*_):
        raise models.ModelError("far enough")

    def run(*arguments):
        from_here = len(servers)
        code, said, complaint = tool("serve", *arguments, "--port", 0)
        assert code == 2 and complaint.endswith(": far enough\n"), complaint
        [server] = servers[from_here:]
        server.server_close()
        return server.offer, said.splitlines()[1]

    monkeypatch.setattr(serve, "Server", Silent)
    monkeypatch.setattr(serve, "warm_up", stop)
    return run


@pytest.fixture
def onnx_file(untrained_run, tmp_path):
    pytest.importorskip("onnxruntime")
    parameters, options, taken = generator.load_arrays(untrained_run, "b2a", None)
    file = tmp_path / "genB2A.onnx"
    signature = models.signature_of(options, "b2a", taken)
    file.write_bytes(onnx_model(parameters, signature, options.padding).SerializeToString())
    return file


def check_pictures(tool, offer, source, picture, out):
    """The offer gives the pictures of `translate`."""
    for direction in offer.models:
        answer = translated(offer, direction, picture.read_bytes())
        arguments = ("--direction", direction, "--out", out / direction, "--heatmap")
        assert tool("translate", picture, *source, *arguments)[0] == 0
        for name, file in (("translation", "0.png"), ("heatmap", "0.heatmap.png")):
            assert base64.b64decode(answer[name]) == (out / direction / file).read_bytes()


def test_a_run_goes_by_openvino_where_it_is_installed(tool, offered, untrained_run, picture_folder, tmp_path):
    pytest.importorskip("openvino")
    offer, engine = offered("--checkpoint", untrained_run)
    assert re.fullmatch(r"engine: openvino \S+ \(auto: pictures come one by one\)", engine)
    assert list(offer.models) == ["a2b", "b2a"]
    check_pictures(tool, offer, ("--checkpoint", untrained_run), picture_folder / "testA" / "0.png", tmp_path)


def test_an_exported_file_is_offered_in_its_direction(tool, offered, onnx_file, picture_folder, tmp_path):
    offer, engine = offered("--onnx", onnx_file)
    assert re.fullmatch(r"engine: onnxruntime \S+ \(an ONNX file\)", engine)
    facts = "Light model. Pictures are resized to 32 × 32 px."
    told = {"name": "genB2A.onnx", "facts": facts, "directions": ["b2a"]}
    assert {name: offer.about[name] for name in told} == told
    check_pictures(tool, offer, ("--onnx", onnx_file), picture_folder / "testA" / "0.png", tmp_path)


@pytest.mark.parametrize(("name", "value"), [("engine", "openvino"), ("which", "best")])
def test_an_option_of_runs_beside_a_file(tool, onnx_file, name, value):
    code, said, complaint = tool("serve", "--onnx", onnx_file, f"--{name}", value)
    assert (code, said) == (2, "") and f"--{name}" in complaint and complaint.endswith(f": leave --{name} out\n")


def test_bad_input_is_one_line_before_mindspore_loads(run_tool, refused, no_mindspore, tmp_path):
    refused(
        run_tool("serve", "--checkpoint", tmp_path / "none", env=no_mindspore), "none: no such folder: give a run's"
    )
    refused(run_tool("serve", "--checkpoint", tmp_path, env=no_mindspore), "checkpoints: no checkpoint yet: give the")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", ""], "--host is empty: give 127.0.0.1, or leave it out"),
        (["--port", "70000"], "--port 70000: give 1024 to 65535, or 0 for a free one"),
        (["--port", "-1"], "-1 is not a whole number from 0"),
        (["--tiles", "--keep_size"], "not allowed with"),
        (["--weights", "ema", "--port", "0"], "holds no averages, for its run has no --ema: give --weights raw"),
        (["--which", "best"], "has no best checkpoint"),
        (["--tile"], "--tile: unknown option: did you mean --tiles?"),
    ],
)
def test_bad_options(tool, untrained_run, arguments, words):
    code, said, complaint = tool("serve", "--checkpoint", untrained_run, *arguments)
    assert (code, said) == (2, "") and words in complaint and complaint.count("\n") == 1


def test_a_port_in_use_is_told_with_the_remedy(tool, untrained_run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said, complaint = tool("serve", "--checkpoint", untrained_run, "--port", port)
    words = f"ugatit serve: --port {port}: another program uses it: give another --port, or 0 for a free one\n"
    assert (code, said, complaint) == (2, "", words)


def test_the_manual_states_the_limit_and_that_it_is_for_this_machine(tool):
    code, manual, _ = tool("serve", "--help")
    words = " ".join(manual.split())
    assert "Of names, this machine's own leads to it (and localhost); any address of it in figures does too." in words
    assert code == 0 and "A file may be up to 100 MB." in words and "(default: 127.0.0.1)" in words
    assert "--host 0.0.0.0 every machine that reaches this one may use it: there is no password" in words


def test_a_checkpoint_of_one_direction_offers_that_one(load_tool, untrained_run):
    serve = load_tool("serve")
    options = serve.parser().parse_args(["--checkpoint", str(untrained_run), "--tiles"])
    opened = models.from_checkpoint(untrained_run, "b2a")
    about = serve.described(options, "run", {"b2a": opened}, 12_000)
    assert about["directions"] == ["b2a"]
    assert about["facts"] == "Step 12,000, light model. Pictures are kept at their size, in tiles of 32 × 32 px."
