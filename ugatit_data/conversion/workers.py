"""Worker processes that end with their parent, however it ends, and at once when it gives up."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

import cv2

from ugatit_data.errors import BadInputError


@contextlib.contextmanager
def process_pool(workers: int) -> Iterator[Executor]:
    """A pool of processes. After an exception, such as Ctrl-C, it does not wait for their work.

    A killed parent leaves no worker behind: each watches its parent, and ends with it.
    """
    context = multiprocessing.get_context("spawn")  # no copies of the parent's threads and locks
    hold, watched = context.Pipe(duplex=False)[::-1]
    pool = ProcessPoolExecutor(workers, context, _end_with_parent, (watched,))
    try:
        yield pool
    except BaseException:
        hold.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        hold.close()
        watched.close()


@contextlib.contextmanager
def holding_ctrl_c() -> Iterator[None]:
    """Ctrl-C waits until the end of the context, and processes that are started inside never get it.

    For submitting to a pool: Ctrl-C goes to the whole group of processes, but the parent alone decides.
    """
    # The tracker first: starting it, as the first process does, would unblock the signal again.
    multiprocessing.resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


_null: int | None = None  # in a worker: a descriptor of the null device


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """In a worker process, what C libraries say of a picture on stderr goes nowhere: the manifest has the reason.

    A worker works in one thread. Other processes are left as they are: another thread may be printing there.
    """
    if _null is None:
        yield
        return
    kept = os.dup(2)
    os.dup2(_null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _end_with_parent(watched: multiprocessing.connection.Connection) -> None:
    """What each worker begins with. The processes share the cores already, so OpenCV gets one."""
    global _null
    cv2.setNumThreads(1)
    with contextlib.suppress(OSError):  # without stderr there is nothing to keep quiet
        os.fstat(2)
        _null = os.open(os.devnull, os.O_WRONLY)
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in workers only"

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel, watched])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
