"""Chromium under a test's hand, by its DevTools protocol over two pipes; every request that it makes is recorded."""

import contextlib
import itertools
import json
import os
import select
import subprocess
import time


class Browser:
    """A page of a browser that can reach 127.0.0.1 only.

    `requests` are the addresses that it asked for, `complaints` what it wrote into its console.
    """

    def __init__(self, profile):
        to_it, self._write = os.pipe()
        self._read, from_it = os.pipe()
        command = [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-pipe",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        # It reads from 3 and writes to 4; the shell puts them there, whatever numbers they have here.
        line = f'exec "$@" 3<&{to_it} 4>&{from_it}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, "bash", *command], pass_fds=(to_it, from_it), stderr=subprocess.DEVNULL
        )
        os.close(to_it)
        os.close(from_it)
        self._numbers, self._buffer, self.events, self._session = itertools.count(1), b"", [], None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method, **parameters):
        """The result of a command."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self, seconds=60):
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], seconds)[0], "the browser does not answer"
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message

    def value(self, expression):
        """The value of an expression of the page."""
        return self("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression, seconds=30):
        """Waits until an expression of the page is true, and gives its value."""
        end = time.monotonic() + seconds
        while not (found := self.value(expression)):
            assert time.monotonic() < end, expression
            time.sleep(0.02)
        return found

    def choose(self, selector, *files):
        """Puts files into an <input type=file>."""
        root = self("DOM.getDocument")["root"]["nodeId"]
        node = self("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def drop(self, x, y, *files):
        """Drops files at a place of the page."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def look(self, width, height=900, dark=False):
        """Gives the page a width in pixels, and a light or dark look."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])

    @property
    def requests(self):
        return [about["request"]["url"] for kind, about in self.events if kind == "Network.requestWillBeSent"]

    @property
    def complaints(self):
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [about for kind, about in self.events if kind in kinds]

    def close(self):
        with contextlib.suppress(OSError, AssertionError):
            self._session = None
            self("Browser.close")
        self._process.wait(20)
        os.close(self._write)
        os.close(self._read)
