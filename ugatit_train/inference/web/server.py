"""A page to try a trained generator on: a picture goes in, its translation and heat map come out.

Python's own HTTP server and three files of this folder; nothing is written to disk, and nothing is fetched from or
sent to anywhere else. The network stays in the thread that takes the `turns`, one picture after the other, so that
memory is that of one picture. Threads of the server read uploads and wait.

    GET /            the page, and the files that it names
    GET /about.json  what is offered: `Offer.about`
    POST /translate?direction=a2b   the bytes of a picture's file; JSON with three PNG files in base64, or its `problem`
"""

import contextlib
import errno
import http.server
import ipaddress
import json
import queue
import select
import socket
import socketserver
import sys
import traceback
import urllib.parse
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ugatit_data import BadInputError
from ugatit_data.errors import RejectedImageError
from ugatit_train import runtime
from ugatit_train.inference.web.offer import Offer, Turns, translated
from ugatit_train.training.page import markup

MAX_UPLOAD_BYTES = 100_000_000
MOST_WAITING = 8  # pictures; each may be as large as an upload
SILENCE_S = 60  # after which a client that sends nothing is given up

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
        self.turns = Turns(MOST_WAITING)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, TypeError) as error:  # TypeError: of a name that no machine can have
            raise BadInputError(_not_there(host, port, error)) from None

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
        name = socket.gethostname() if everywhere else self.host
        return f"http://{f'[{name}]' if ':' in name else name}:{self.server_port}/"

    def knows(self, host: str) -> bool:
        """Whether a request for `host`, its name and perhaps its port, is for this server.

        A page of elsewhere can have its own name lead to 127.0.0.1, and would be let in by the browser as ours. So a
        name must be known; an address in figures leads nowhere else.
        """
        try:
            name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", self.host.lower(), socket.gethostname().lower()):
            return True
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(name))
        return False


def _not_there(host: str, port: int, error: OSError | TypeError) -> str:
    """Why nothing can listen there, and what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"--port {port}: another program uses it: give another --port, or 0 for a free one"
    if number == errno.EACCES:
        return f"--port {port}: is the system's: give a --port from 1024"
    reason = error.strerror if isinstance(error, OSError) else "no name of a machine"
    return f"--host {host}: {reason}: give 127.0.0.1, 0.0.0.0 or an address of this machine"


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    server: Server
    timeout = SILENCE_S

    def do_GET(self) -> None:
        self._answer(self._file)

    def do_POST(self) -> None:
        self._answer(self._translation)

    def _answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        status = HTTPStatus.OK
        try:
            if not self.server.knows(self.headers.get("Host", "")):
                raise _Refused(HTTPStatus.FORBIDDEN, f"not known here by that name: open {self.server.url}")
            kind, body = make()
        except _Refused as refused:
            status, (kind, body) = refused.status, _json({"problem": str(refused)})
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": f"{kind}; charset=utf-8"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self) -> tuple[str, bytes]:
        path = urllib.parse.urlsplit(self.path).path
        if path == "/about.json":
            return _json(self._offer().about)
        if path not in _FILES:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page")
        file, kind = _FILES[path]
        return kind, file.read_bytes()

    def _translation(self) -> tuple[str, bytes]:
        data = self._upload()
        origin = self.headers.get("Origin")
        if origin is not None and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host"):
            raise _Refused(HTTPStatus.FORBIDDEN, "asked for by a page of elsewhere")
        offer, asked = self._offer(), urllib.parse.urlsplit(self.path)
        direction = urllib.parse.parse_qs(asked.query).get("direction", [""])[0]
        if asked.path != "/translate" or direction not in offer.models:
            raise _Refused(HTTPStatus.NOT_FOUND, f"direction {direction!r}: there are {', '.join(offer.models)}")

        def work() -> dict[str, Any]:
            if self._is_gone():  # while it waited: it would be work for nobody
                raise ConnectionAbortedError
            return translated(offer, direction, data)

        try:
            return _json(self.server.turns.ask(work))
        except RejectedImageError as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.reason) from None
        except queue.Full:
            words = f"{MOST_WAITING} pictures wait already: try again in a while"
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, words) from None
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

    def _upload(self) -> bytes:
        """The body of the request. Raises ConnectionAbortedError where it ends before its end."""
        told = self.headers.get("Content-Length", "")
        if not (told.isascii() and told.isdigit()):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "no Content-Length: send the file as a whole")
        if (length := int(told)) > MAX_UPLOAD_BYTES:
            left = min(length, 10 * MAX_UPLOAD_BYTES)  # it must be taken, or the browser sees no answer, but an error
            while left and (piece := self.rfile.read(min(left, 1 << 20))):
                left -= len(piece)
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(length))
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionAbortedError
        return data

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
