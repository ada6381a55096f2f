"""Local folder <-> object storage: the only file that knows URLs, s3://bucket/folder and obs://bucket/folder.

Through `moxing` where Huawei's is installed (on ModelArts it is; the package of that name on PyPI is another one), and
through pyarrow's S3 file system elsewhere. What was sent is read back and compared by its SHA-256.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Protocol

from ugatit_data.errors import BadInputError, DataError
from ugatit_data.files import UNFINISHED, sha256_file

CHUNK = 1 << 20
SCHEMES = ("s3", "obs")


class StorageError(DataError):
    """Object storage that cannot be reached, refuses, or gives back other bytes than were sent."""


class Storage(Protocol):
    """A folder of an object store. `name` is a path below it, with slashes. Errors are StorageErrors."""

    url: str

    def copy_in(self, folder: Path) -> None:
        """Copy every object into `folder`, which is made; sizes are compared, contents are the caller's to check."""

    def put(self, path: Path, name: str) -> None:
        """Write a file as an object, read it back and compare the SHA-256."""

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""


def open_storage(url: str, endpoint: str = "") -> Storage:
    """The folder that `url` names.

    Args:
        url: s3://bucket/folder or obs://bucket/folder.
        endpoint: address of the service, such as https://obs.cn-north-4.myhuaweicloud.com; Amazon's if empty. Not
            used by moxing, which knows its own.

    Raises:
        BadInputError: no such URL, or an obs:// one without moxing and without an endpoint.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, folder = rest.strip("/").partition("/")
    if scheme not in SCHEMES or not bucket:
        raise BadInputError(f"{url}: not a URL of object storage: give s3://BUCKET/FOLDER or obs://BUCKET/FOLDER")
    url = f"{scheme}://{bucket}/{folder}".rstrip("/")
    mover = _moxing() if scheme == "obs" else None
    if mover is not None:
        return _Moxing(url, mover)
    if scheme == "obs" and not endpoint:
        raise BadInputError(
            f"{url}: moxing is not installed, and no endpoint is set: set S3_ENDPOINT to the service's address, "
            "such as https://obs.cn-north-4.myhuaweicloud.com"
        )
    return _Arrow(url, endpoint)


def _moxing():
    """Huawei's moxing.file; None where it is not installed."""
    try:
        import moxing
    except ImportError:
        return None
    file = getattr(moxing, "file", None)
    return file if hasattr(file, "copy_parallel") else None


class _Arrow:
    """Through pyarrow.fs.S3FileSystem."""

    def __init__(self, url: str, endpoint: str):
        # OBS refuses uploads in the aws-chunked form; what arrived is checked by reading it back instead.
        for name in ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"):
            os.environ.setdefault(name, "when_required")
        from pyarrow import fs

        self.url = url
        self._root = url.partition("://")[2]
        self._fs = fs.S3FileSystem(
            endpoint_override=endpoint or None,
            force_virtual_addressing=True,  # OBS knows no other; for an endpoint that is an address it has no effect
        )

    def copy_in(self, folder: Path) -> None:
        from pyarrow import fs

        try:
            found = self._fs.get_file_info(fs.FileSelector(self._root, recursive=True, allow_not_found=True))
            files = [info for info in found if info.is_file]
            if not files:
                raise StorageError(f"{self.url}: holds nothing: check the URL")
            for info in files:
                path = _inside(folder, info.path[len(self._root) + 1 :], self.url)
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._fs.open_input_stream(info.path) as source, path.open("wb") as target:
                    while chunk := source.read(CHUNK):
                        target.write(chunk)
                if path.stat().st_size != info.size:
                    raise StorageError(f"{self.url}: {info.path}: {path.stat().st_size} of {info.size} bytes arrived")
        except OSError as error:
            raise _reported(self.url, error, folder) from None

    def put(self, path: Path, name: str) -> None:
        sent = hashlib.sha256()
        received = hashlib.sha256()
        try:
            with path.open("rb") as source, self._fs.open_output_stream(f"{self._root}/{name}") as target:
                while chunk := source.read(CHUNK):
                    sent.update(chunk)
                    target.write(chunk)
            with self._fs.open_input_stream(f"{self._root}/{name}") as back:
                while chunk := back.read(CHUNK):
                    received.update(chunk)
        except OSError as error:
            raise _reported(f"{self.url}/{name}", error, path.parent) from None
        _compare(f"{self.url}/{name}", sent.hexdigest(), received.hexdigest())

    def remove(self, name: str) -> None:
        try:
            self._fs.delete_file(f"{self._root}/{name}")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _reported(f"{self.url}/{name}", error) from None


class _Moxing:
    """Through moxing.file, as ModelArts documents it (not run on ModelArts: tested against a stand-in).

    Its exceptions, MoxFileNotExistsException for one, derive from Exception alone, so all are storage that has failed.
    """

    def __init__(self, url: str, mover):
        self.url = url
        self._mover = mover

    def copy_in(self, folder: Path) -> None:
        try:
            if not self._mover.exists(self.url):
                raise StorageError(f"{self.url}: holds nothing: check the URL")
            folder.mkdir(parents=True, exist_ok=True)
            self._mover.copy_parallel(self.url, str(folder))
        except Exception as error:
            raise _reported(self.url, error, folder) from None

    def put(self, path: Path, name: str) -> None:
        there = f"{self.url}/{name}"
        try:
            self._mover.copy(str(path), there)
            with tempfile.TemporaryDirectory() as scratch:
                self._mover.copy(there, f"{scratch}/back")
                back = sha256_file(Path(scratch) / "back")
        except Exception as error:
            raise _reported(there, error, Path(tempfile.gettempdir())) from None
        _compare(there, sha256_file(path), back)

    def remove(self, name: str) -> None:
        try:
            if self._mover.exists(f"{self.url}/{name}"):
                self._mover.remove(f"{self.url}/{name}")
        except Exception as error:
            raise _reported(f"{self.url}/{name}", error) from None


def _inside(folder: Path, name: str, url: str) -> Path:
    """Where an object goes; names come from outside and must not lead elsewhere."""
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise StorageError(f"{url}: object {name!r} would leave {folder}: remove it")
    return folder / name


def _compare(url: str, sent: str, received: str) -> None:
    if sent != received:
        raise StorageError(f"{url}: sha256 {received[:12]}... came back, {sent[:12]}... was sent: send it again")


def _reported(url: str, error: Exception, here: Path | None = None) -> StorageError:
    """`here` is the folder of this machine that was written or read, if any: the fault may be there."""
    if isinstance(error, StorageError):
        return error
    said = " ".join(str(error).split())
    if not isinstance(error, OSError):
        return StorageError(f"{url}: {type(error).__name__}: {said}: check the URL and the storage service")
    name = None if error.filename is None else os.fsdecode(error.filename)
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # found while writing: it names no file
    if here is not None and (is_full if name is None else "://" not in name):
        return StorageError(f"{name or here}: {error.strerror}: a fault of this machine, not of {url}: mend it")
    return StorageError(f"{url}: {said}: check the URL, the endpoint and the credentials")


class Mirror:
    """Keeps a folder of object storage equal to a local one: each `push` sends what changed and removes what went."""

    def __init__(self, folder: Path, storage: Storage, last: str):
        """`last` names the files that say that the others are whole: they are sent last, and removed first."""
        self.url = storage.url
        self._folder, self._storage, self._last = folder, storage, last
        self._sent: dict[str, tuple[int, int]] = {}  # name -> size and time of change

    def push(self) -> int:
        """How many files were sent. Files that are still being written (*.partial) are left out.

        Raises:
            StorageError: something could not be sent; the next push tries it again.
        """
        found = {}
        for path in sorted(self._folder.rglob("*")):
            inside = path.relative_to(self._folder)
            left_out = (".partial", ".removed", UNFINISHED)
            if path.is_file() and not any(part.endswith(left_out) for part in inside.parts):
                found[inside.as_posix()] = (path.stat().st_size, path.stat().st_mtime_ns)
        changed = [name for name, state in found.items() if self._sent.get(name) != state]
        for name in sorted(changed, key=lambda name: (Path(name).name == self._last, name)):
            self._storage.put(self._folder / name, name)
            self._sent[name] = found[name]
        # `last` first: what is half removed must not look whole.
        for name in sorted(self._sent.keys() - found.keys(), key=lambda name: (Path(name).name != self._last, name)):
            self._storage.remove(name)
            del self._sent[name]
        return len(changed)
