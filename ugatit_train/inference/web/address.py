"""The addresses and names of a page to try: which lead to it, which are ours, and why nothing can listen at one."""

import contextlib
import errno
import ipaddress
import socket
import urllib.parse


def url(name: str, port: int) -> str:
    """The page's address with a machine's name, or with an address in figures."""
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def is_known(asked: str, host: str) -> bool:
    """Whether a request for `asked`, a name and perhaps a port, is for the server that listens at `host`.

    A page of elsewhere can have its own name lead to 127.0.0.1, and would be let in by the browser as ours. So a name
    must be known; an address in figures leads nowhere else.
    """
    try:
        name = _plain(urllib.parse.urlsplit(f"//{asked}").hostname or "")
    except ValueError:
        return False
    if name in ("localhost", _plain(host), _plain(socket.gethostname())):
        return True
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _plain(name: str) -> str:
    """A machine's name as it is compared; with a dot at its end it is the same name."""
    return name.lower().removesuffix(".")


def not_there(host: str, port: int, error: OSError | TypeError) -> str:
    """Why nothing can listen there, and what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"--port {port}: another program uses it: give another --port, or 0 for a free one"
    if number == errno.EACCES:
        return f"--port {port}: is the system's: give a --port from 1024"
    reason = error.strerror if isinstance(error, OSError) else "no name of a machine"
    return f"--host {host}: {reason}: give 127.0.0.1, 0.0.0.0 or an address of this machine"
