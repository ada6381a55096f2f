"""A page to try a trained generator on: a picture goes in, its translation and heat map come out.

Python's own HTTP server and three files of this folder; nothing is written to disk, and nothing is fetched from or
sent to anywhere else. The network stays in the thread that takes the `turns`, one picture after the other. Threads of
the server read uploads and wait, `MOST_UPLOADS` of them: memory is that of one picture and of so many uploads.

    GET /            the page, and the files that it names
    GET /about.json  what is offered: `Offer.about`
    POST /translate?direction=a2b   the bytes of a picture's file; JSON with three PNG files in base64, or its `problem`
"""

import contextlib
import http.server
import io
import ipaddress
import json
import re
import select
import socket
import socketserver
import sys
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ugatit_data import BadInputError
from ugatit_data.errors import RejectedImageError
from ugatit_train import runtime
from ugatit_train.inference.web import address
from ugatit_train.inference.web.offer import Offer, Turns, translated
from ugatit_train.training.page import markup

MAX_UPLOAD_BYTES = 100_000_000
MOST_UPLOADS = 8  # in memory: those that still come, and those that wait for their turn
SILENCE_S = 60  # after which a client that sends nothing is given up
REQUEST_S = 300  # after which a client that still sends is given up

_HERE = Path(__file__).parent
_FILES = {
    "/": (_HERE / "page.html", "text/html"),
    "/run.css": (Path(markup.__file__).with_name("look.css"), "text/css"),  # as a run's page looks
    "/page.css": (_HERE / "page.css", "text/css"),
    "/page.js": (_HERE / "page.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Refused(Exception):
    """A request that gets no translation; the message is for the page."""

    def __init__(self, status: HTTPStatus, words: str):
        super().__init__(words)
        self.status = status


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Listens at once; answers in `serve_forever`, where `offer` is set and another thread takes the `turns`."""

    daemon_threads = True

    def __init__(self, host: str, port: int):
        """Port 0 takes a free one. Raises BadInputError where nothing can listen there."""
        if not host:  # the system would take it for every address of the machine
            raise BadInputError("--host is empty: give 127.0.0.1, or leave it out")
        if not 0 <= port < 1 << 16:
            raise BadInputError(f"--port {port}: give 1024 to 65535, or 0 for a free one")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self.offer: Offer | None = None
        self.turns = Turns()
        self.uploads = threading.BoundedSemaphore(MOST_UPLOADS)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, TypeError) as error:  # TypeError: of a name that no machine can have
            raise BadInputError(address.not_there(host, port, error)) from None

    def server_bind(self) -> None:
        """Without HTTPServer's, which asks a name server for the name of this machine."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    def handle_error(self, request, client_address) -> None:
        """A client that went away is no error; the traceback of anything else goes to stderr."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(str(self.server_address[0])).is_loopback

    @property
    def url(self) -> str:
        """The page's address; where it listens on all of the machine's addresses, with the machine's name."""
        everywhere = ipaddress.ip_address(str(self.server_address[0])).is_unspecified
        return address.url(socket.gethostname() if everywhere else self.host, self.server_port)


class _Timed(io.RawIOBase):
    """What a client sends, for `REQUEST_S` seconds from now; then TimeoutError, as after the connection's own limit."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._ends = time.monotonic() + REQUEST_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() > self._ends:
            raise TimeoutError
        return self._connection.recv_into(buffer)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    server: Server
    timeout = SILENCE_S
    _left: int | None = 0  # bytes of the body that are not read yet; None where the client does not tell

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Timed(self.connection))

    def do_GET(self) -> None:
        self._answer(self._file)

    def do_POST(self) -> None:
        self._answer(self._translation)

    def _answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        status = HTTPStatus.OK
        told = self.headers.get("Content-Length", "0" if self.command == "GET" else "")
        self._left = int(told) if re.fullmatch("[0-9]{1,12}", told) else None
        try:
            if not address.is_known(self.headers.get("Host", ""), self.server.host):
                raise _Refused(HTTPStatus.FORBIDDEN, f"not known here by that name: open {self._here()}")
            kind, body = make()
        except _Refused as refused:
            with contextlib.suppress(TimeoutError):
                self._read_away()
            status, (kind, body) = refused.status, _json({"problem": str(refused)})
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": f"{kind}; charset=utf-8"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self) -> tuple[str, bytes]:
        path = self._asked().path
        if path == "/about.json":
            return _json(self._offer().about)
        if path not in _FILES:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page")
        file, kind = _FILES[path]
        return kind, file.read_bytes()

    def _translation(self) -> tuple[str, bytes]:
        if self._is_of_elsewhere():
            raise _Refused(HTTPStatus.FORBIDDEN, f"asked for by a page of elsewhere: open {self._here()}")
        offer, asked = self._offer(), self._asked()
        if asked.path != "/translate":
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page")
        direction = urllib.parse.parse_qs(asked.query).get("direction", [""])[0]
        if direction not in offer.models:
            raise _Refused(HTTPStatus.NOT_FOUND, f"direction {direction!r}: there are {', '.join(offer.models)}")
        if not self.server.uploads.acquire(blocking=False):
            words = f"{MOST_UPLOADS} pictures wait already: try again in a while"
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, words)
        try:
            return self._translated(offer, direction, self._upload())
        finally:
            self.server.uploads.release()

    def _translated(self, offer: Offer, direction: str, data: bytes) -> tuple[str, bytes]:
        def work() -> dict[str, Any]:
            if self._is_gone():  # while it waited: it would be work for nobody
                raise ConnectionAbortedError
            return translated(offer, direction, data)

        try:
            return _json(self.server.turns.ask(work))
        except RejectedImageError as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.reason) from None
        except ConnectionError:
            raise
        except Exception as error:
            if lack := runtime.lack_of_memory(error):
                raise _Refused(HTTPStatus.INSUFFICIENT_STORAGE, f"{lack}: {offer.too_large}") from None
            traceback.print_exc()
            words = "failed: what happened stands in the terminal of the server"
            raise _Refused(HTTPStatus.INTERNAL_SERVER_ERROR, words) from None

    def _offer(self) -> Offer:
        assert self.server.offer is not None, "set before `serve_forever`"
        return self.server.offer

    def _asked(self) -> urllib.parse.SplitResult:
        try:
            return urllib.parse.urlsplit(self.path)
        except ValueError:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page") from None

    def _is_of_elsewhere(self) -> bool:
        """Whether a page of another server asks, by what the browser says of it."""
        origin = self.headers.get("Origin")
        try:
            return origin is not None and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host")
        except ValueError:
            return True

    def _here(self) -> str:
        """The page's address in figures, at which the client has reached it: those are always known."""
        found = ipaddress.ip_address(self.connection.getsockname()[0])
        return address.url(str(getattr(found, "ipv4_mapped", None) or found), self.server.server_port)

    def _upload(self) -> bytes:
        """The body of the request. Raises ConnectionAbortedError where it ends before its end."""
        if self._left is None:
            words = "no Content-Length of 1 to 12 digits: send the file as a whole"
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, words)
        if self._left > MAX_UPLOAD_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(self._left))
        length, self._left = self._left, 0
        try:
            data = self.rfile.read(length)
        except TimeoutError:
            words = f"came too slowly: {SILENCE_S} s of silence, or {REQUEST_S} s in all: save the picture smaller"
            raise _Refused(HTTPStatus.REQUEST_TIMEOUT, words) from None
        if len(data) < length:
            raise ConnectionAbortedError
        return data

    def _read_away(self) -> None:
        """Takes the body of a request that is refused: a browser that cannot send it all sees an error, no answer."""
        left = min(self._left or 0, 10 * MAX_UPLOAD_BYTES)
        while left and (piece := self.rfile.read(min(left, 1 << 20))):
            left -= len(piece)

    def _is_gone(self) -> bool:
        """Whether the client has hung up."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)

    def version_string(self) -> str:
        return "ugatit"

    def log_message(self, *_) -> None:
        """Nothing: what goes wrong is told on the page."""


def too_large(length: int) -> str:
    """Why a file of so many bytes is refused."""
    return f"too large: {length} bytes, the limit is {MAX_UPLOAD_BYTES}: save the picture smaller"


def _json(value: Mapping[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
