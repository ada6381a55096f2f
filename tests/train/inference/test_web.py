"""The server of the page to try, with known functions in the generators' places: answers and refusals."""

import contextlib
import io
import json
import re
import select
import socket
import struct
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from ugatit_data import BadInputError
from ugatit_train.inference import generator, translate
from ugatit_train.inference.web import server

from .served import NEGATIVE, SIZE, ask, model, pixels, png, serving, translated


def files():
    """Files of the kinds that the policy treats each in its way."""
    draw = np.random.default_rng(0)
    colour = draw.integers(0, 256, (20, 30, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    Image.fromarray(colour).save(turned, "JPEG", exif=exif)
    return {
        "turned.jpg": turned.getvalue(),
        "alpha.png": png(draw.integers(0, 256, (20, 30, 4), np.uint8)),
        "deep.png": png(draw.integers(0, 1 << 16, (20, 30, 3), np.uint16)),
        "gray.png": png(draw.integers(0, 256, (9, 40), np.uint8)),
    }


@pytest.mark.parametrize("sizes", [{}, {"size": (12, 24)}, {"keep_size": True}, {"tiles": True}], ids=str)
def test_the_pictures_are_those_that_translate_writes(tmp_path, sizes):
    for name, data in files().items():
        (tmp_path / name).write_bytes(data)
    translate.translate(NEGATIVE, tmp_path, tmp_path / "out", heatmap=True, side_by_side=True, **sizes)
    with serving(sizes=sizes) as to:
        for name, data in files().items():
            answer, stem = translated(to, data), tmp_path / "out" / name.partition(".")[0]
            assert answer["translation"] == stem.with_suffix(".png").read_bytes()
            assert answer["heatmap"] == stem.with_suffix(".heatmap.png").read_bytes()
            beside = pixels(stem.with_suffix(".side_by_side.png").read_bytes())
            np.testing.assert_array_equal(pixels(answer["seen"]), beside[:, : beside.shape[1] // 3])
            assert answer["size"] == list(beside.shape[:2] // np.array([1, 3]))
        assert translated(to, files()["turned.jpg"])["notes"] == ["orientation 6 applied"]
        assert translated(to, files()["deep.png"])["notes"] == ["16 bits to 8"]


def test_each_direction_has_its_generator(served):
    data = files()["gray.png"]
    answers = [translated(served, data, direction) for direction in ("a2b", "b2a")]
    seen = pixels(answers[0]["seen"])
    np.testing.assert_array_equal(pixels(answers[0]["translation"]), 255 - seen)
    np.testing.assert_array_equal(pixels(answers[1]["translation"]), seen[:, ::-1])
    assert generator.directions({"files": {"genB2A.safetensors": {}, "training.safetensors": {}}}) == ["b2a"]


def bomb():
    """A PNG of a few bytes that says it has ten thousand megapixels."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PICTURE = files()["gray.png"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ({"body": b""}, 422, "empty file"),
        ({"body": b"hello"}, 422, "not an image: unknown format"),
        ({"body": PICTURE[:-30]}, 422, "truncated png"),
        ({"body": bomb()}, 422, "too large: 100000 x 100000 pixels, the limit is 178956970"),
        ({"body": PICTURE, "path": "/translate?direction=c"}, 404, "direction 'c': there are a2b, b2a"),
        ({"body": PICTURE, "path": "/translate"}, 404, "direction ''"),
        ({"body": PICTURE, "path": "/?direction=a2b"}, 404, "no such page"),
        ({"body": PICTURE, "path": "/nothing?direction=a2b"}, 404, "no such page"),
        ({"body": PICTURE, "path": "x://[x/translate"}, 404, "no such page"),
        ({"path": "x://[x/"}, 404, "no such page"),
        ({"body": PICTURE, "headers": {"Origin": "https://example.com"}}, 403,
         "asked for by a page of elsewhere: open http://127.0.0.1:"),
        ({"body": PICTURE, "headers": {"Origin": "http://[x"}}, 403, "asked for by a page of elsewhere"),
        ({"body": PICTURE, "headers": {"Origin": "null"}}, 403, "asked for by a page of elsewhere"),
        ({"body": PICTURE, "headers": {"Host": "example.com"}}, 403, "not known here by that name: open http://127.0.0.1:"),
        ({"body": bytes(30_000_000), "headers": {"Host": "example.com"}}, 403, "not known here by that name"),
        ({"path": "/", "headers": {"Host": "example.com:80"}}, 403, "not known here by that name"),
        ({"path": "/", "headers": {"Host": "127.0.0.1.example.com"}}, 403, "not known here by that name"),
        ({"path": "/", "headers": {"Host": "[x"}}, 403, "not known here by that name"),
        ({"path": "/../server.py"}, 404, "no such page"),
        ({"body": b"", "headers": {"Transfer-Encoding": "chunked"}}, 411,
         "no Content-Length of 1 to 12 digits: send the file as a whole"),
        ({"body": PICTURE, "headers": {"Content-Length": "-1"}}, 411, "no Content-Length"),
        ({"body": b"", "headers": {"Content-Length": 5000 * "9"}}, 411, "no Content-Length"),
    ],
)  # fmt: skip
def test_what_is_refused_is_answered_with_the_reason(served, capsys, arguments, status, words):
    found, answer, _ = ask(served, **arguments)
    assert found == status and words in json.loads(answer)["problem"]
    assert translated(served, PICTURE)["size"] == [SIZE, SIZE]  # it goes on
    assert capsys.readouterr() == ("", "")


def test_a_file_above_the_limit_is_refused_before_it_is_read_as_a_picture(served, monkeypatch):
    monkeypatch.setattr(server, "MAX_UPLOAD_BYTES", len(PICTURE))
    assert ask(served, PICTURE)[0] == 200
    status, answer, _ = ask(served, bytes(5 * len(PICTURE)))
    words = f"too large: {5 * len(PICTURE)} bytes, the limit is {len(PICTURE)}: save the picture smaller"
    assert (status, json.loads(answer)) == (413, {"problem": words})


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:99", "[::1]:8765", "192.168.0.7", "localhost.:1",
                                  socket.gethostname(), socket.gethostname().upper() + "."])  # fmt: skip
def test_names_of_this_machine_are_known(served, host):
    assert ask(served, path="/", headers={"Host": host})[0] == 200


def test_pictures_that_come_together_go_one_after_the_other():
    inside, most, threads = [], [], set()

    def slow(x):
        inside.append(1)
        most.append(len(inside))
        threads.add(threading.get_ident())
        time.sleep(0.01)
        inside.pop()
        return -x

    found = []
    with serving(a2b=model(slow), b2a=model(slow)) as to:
        asking = [
            threading.Thread(target=lambda d=d: found.append(translated(to, PICTURE, d)["size"]))
            for d in 4 * ["a2b", "b2a"]
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
    assert len(found) == len(most) == 8 and set(most) == {1} and len(threads) == 1


def begun(to, length, body):
    """A client that sends `body` of the `length` bytes that it announces."""
    client = socket.create_connection(("127.0.0.1", to.server_port), timeout=30)
    head = f"POST /translate?direction=a2b HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def check_that_it_is_full(to, most):
    status, answer, _ = ask(to, PICTURE)
    words = f"{most} pictures wait already: try again in a while"
    assert (status, json.loads(answer)) == (503, {"problem": words})


def test_who_hangs_up_or_comes_too_late_gets_no_turn(monkeypatch):
    monkeypatch.setattr(server, "MOST_UPLOADS", 2)
    entered, goes_on, calls = threading.Event(), threading.Event(), []

    def held(x):
        calls.append(1)
        entered.set()
        assert goes_on.wait(30)
        return -x

    with serving(a2b=model(held)) as to:
        first = threading.Thread(target=ask, args=(to, PICTURE))
        first.start()
        assert entered.wait(30)
        with begun(to, len(PICTURE), PICTURE):
            wait_for(lambda: not to.turns._waiting.empty())
            check_that_it_is_full(to, 2)
        goes_on.set()
        first.join()
        to.turns.ask(lambda: None)  # behind the second one
        assert len(calls) == 1
        wait_for(lambda: ask(to, PICTURE)[0] == 200)  # as soon as the second one's thread knows


def test_uploads_that_are_not_whole_have_their_place_too(monkeypatch):
    monkeypatch.setattr(server, "MOST_UPLOADS", 1)
    with serving() as to:
        with begun(to, 99, b"abc"):
            wait_for(lambda: to.uploads._value == 0)
            check_that_it_is_full(to, 1)
        wait_for(lambda: to.uploads._value == 1)
        assert ask(to, PICTURE)[0] == 200


@pytest.mark.parametrize(("silence", "drops"), [(0.1, 1), (30, 100)], ids=["silent", "drop by drop"])
def test_an_upload_that_takes_too_long_is_given_up(monkeypatch, silence, drops):
    monkeypatch.setattr(server, "REQUEST_S", 0.1)
    monkeypatch.setattr(server._Handler, "timeout", silence)
    with serving() as to:
        with begun(to, 1000, b"") as client, contextlib.suppress(ConnectionError):
            for _ in range(drops):
                client.sendall(b"x")
                if select.select([client], [], [], 0.01)[0]:
                    break
            assert client.recv(999).startswith(b"HTTP/1.0 408 ")
        wait_for(lambda: to.uploads._value == server.MOST_UPLOADS)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_name_that_is_not_known_is_told_the_address_in_figures(host):
    with serving(host=host) as to:
        status, answer, _ = ask(to, path="/", headers={"Host": "myserver.lan"})
    words = f"not known here by that name: open http://127.0.0.1:{to.server_port}/"
    assert (status, json.loads(answer)) == (403, {"problem": words})


def test_a_lack_of_memory_and_a_fault_are_told_and_it_goes_on(capsys):
    errors = [RuntimeError("words\nMemory isn't enough and alloc failed.\n"), ValueError("a fault")]

    def fails(x):
        if errors:
            raise errors.pop(0)
        return -x

    with serving(a2b=model(fails)) as to:
        status, answer, _ = ask(to, PICTURE)
        assert (status, json.loads(answer)["problem"]) == (507, "Memory isn't enough and alloc failed: give less")
        assert capsys.readouterr().err == ""
        status, answer, _ = ask(to, PICTURE)
        assert (status, json.loads(answer)["problem"]) == (
            500,
            "failed: what happened stands in the terminal of the server",
        )
        assert capsys.readouterr().err.endswith("ValueError: a fault\n")
        assert ask(to, PICTURE)[0] == 200


def test_an_upload_that_ends_early_is_no_word(served, capsys):
    with socket.create_connection(("127.0.0.1", served.server_port)) as client:
        client.sendall(b"POST /translate?direction=a2b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\nabc")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(99) == b""
    assert translated(served, PICTURE) and capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("", 0, "--host is empty: give 127.0.0.1, or leave it out"),
        ("127.0.0.1", 65536, "--port 65536: give 1024 to 65535, or 0 for a free one"),
        ("192.0.2.1", 0, "--host 192.0.2.1: Cannot assign requested address: give 127.0.0.1, 0.0.0.0 or an address of"),
        ("ü" * 99, 0, "ü: no name of a machine: give 127.0.0.1"),
        ("127.0.0.1", None, "another program uses it: give another --port, or 0 for a free one"),
    ],
)
def test_where_nothing_can_listen(served, host, port, words):
    with pytest.raises(BadInputError, match=re.escape(words)):
        server.Server(host, served.server_port if port is None else port)


def test_only_this_machine_reaches_it_unless_it_is_told(served):
    assert served.is_local and served.url == f"http://127.0.0.1:{served.server_port}/"
    with server.Server("0.0.0.0", 0) as everywhere:
        assert not everywhere.is_local and everywhere.url == f"http://{socket.gethostname()}:{everywhere.server_port}/"


class Calls:
    """Where this process connects to, and whose addresses it asks for, while it is in use."""

    found: list | None = None

    def __enter__(self):
        self.found = []
        return self.found

    def __exit__(self, *_):
        self.found = None

    def __call__(self, event, arguments):
        if self.found is not None and event.startswith("socket.") and event not in ("socket.__new__", "socket.bind"):
            self.found.append((event, arguments[1] if event == "socket.connect" else arguments))


CALLS = Calls()
sys.addaudithook(CALLS)  # for ever: it does nothing outside of `with CALLS`


def test_the_server_calls_nobody():
    """The test's own requests are all that is recorded: no name server, no other machine."""
    with CALLS as found, serving() as to:
        to.is_local, to.url  # noqa: B018
        assert ask(to, path="/")[0] == ask(to, PICTURE)[0] == ask(to, path="/", headers={"Host": "localhost"})[0] == 200
        assert ask(to, b"x", headers={"Host": "example.com"})[0] == 403
        port = to.server_port
    others = [call for call in found if call[0] not in ("socket.gethostname", "socket.getaddrinfo")]
    assert others == 4 * [("socket.connect", ("127.0.0.1", port))]
    assert {call[1][0] for call in found if call[0] == "socket.getaddrinfo"} == {"127.0.0.1"}  # http.client's
    with CALLS as found:
        socket.getfqdn("127.0.0.1")  # as HTTPServer does, left to itself
    assert "socket.gethostbyaddr" in dict(found)
