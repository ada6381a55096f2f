"""The one base of this package's exceptions. Each message names the thing, the value and the remedy, in one line."""


class UgatitError(Exception):
    """Anything that this package raises for its user. `exit_code` is what a tool exits with."""

    exit_code = 1
    """1: it failed while it ran. 2: bad input, found before any work was done."""


def first_line(error: Exception) -> str:
    """What another program's error says in its first line, without the full stop; its kind if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
