"""Worker processes that end with their parent, however it ends, and at once when it gives up."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

from .errors import BadInputError


@contextlib.contextmanager
def process_pool(workers: int) -> Iterator[Executor]:
    """A pool of processes. Leaving it by an exception, Ctrl-C for one, does not wait for what they are doing.

    A killed parent leaves no worker behind: each watches its parent, and ends with it.
    """
    context = multiprocessing.get_context("spawn")  # no copies of the parent's threads and locks
    hold, watched = context.Pipe(duplex=False)[::-1]
    pool = ProcessPoolExecutor(workers, context, _start_worker, (watched,))
    try:
        yield pool
    except BaseException:
        hold.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        hold.close()
        watched.close()


def _start_worker(watched: multiprocessing.connection.Connection) -> None:
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores already
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, args=(watched,), daemon=True).start()


def _end_with_parent(watched: multiprocessing.connection.Connection) -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel, watched])
    os._exit(1)


def open_scheduler(address: str) -> Executor:
    """The executor of a cluster: "tcp://host:port" for Dask, "mpi" for mpi4py (started under its own launcher).

    Its workers must see the source and the output under the same paths, and have this package.

    Raises:
        BadInputError: the address is none of these, or its library is not installed.
    """
    try:
        if address == "mpi":
            from mpi4py.futures import MPIPoolExecutor

            return MPIPoolExecutor()
        if address.startswith(("tcp://", "tls://", "ucx://")):
            from distributed import Client

            return Client(address).get_executor()
    except ImportError as error:
        raise BadInputError(
            f"--scheduler {address}: {error.name} is not installed. Run `pip install {error.name}`."
        ) from None
    except OSError as error:
        raise BadInputError(f"--scheduler {address}: no answer ({error}). Start `dask scheduler` there.") from None
    raise BadInputError(f"--scheduler {address}: must be tcp://host:port (Dask) or mpi.")
