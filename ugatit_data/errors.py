"""The exceptions of the data engine. Each message names the thing, the value and the remedy, in one line or two."""

from __future__ import annotations


class DataError(Exception):
    """Anything that this package raises for its user. `exit_code` is what a tool exits with."""

    exit_code = 1


class BadInputError(DataError):
    """A wrong argument or folder, found before any work was done."""

    exit_code = 2


class FormatVersionError(BadInputError):
    """A data set that another version of this package wrote."""


class CorruptDatasetError(DataError):
    """A file or a record that differs from what the manifest says."""


class ConversionError(DataError):
    """A conversion that could not go on. What it has finished stays for the next run."""


class LockedError(DataError):
    """Another conversion into the same folder is at work."""


def in_words(error: BaseException) -> str:
    """The type and the message of an exception, in one line without a comma: it may stand in a list."""
    return ": ".join([type(error).__name__, *([" ".join(str(error).split()).replace(",", ";")] if str(error) else [])])


class RejectedImageError(Exception):
    """An image that the decoding policy refuses; `reason` goes into the manifest, and the conversion goes on."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason
