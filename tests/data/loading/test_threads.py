"""Threads in the background: results and errors reach who asks, and nothing is left behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import pytest

from ugatit_data.loading.threads import Threads


def ugatit_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("test-threads")]


def test_results_come_in_the_order_asked_for():
    threads = Threads(3, "test-threads")
    tasks = [threads.submit(lambda n: time.sleep(n % 3 / 1000) or n, n) for n in range(50)]
    assert [task.result() for task in tasks] == list(range(50))
    threads.close()
    assert ugatit_threads() == []


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_whatever_is_raised_reaches_the_taker_and_the_thread_goes_on(error):
    threads = Threads(1, "test-threads")
    with pytest.raises(error, match="the reason"):
        threads.submit(lambda _: exec("raise error('the reason')", {"error": error}), None).result()
    assert threads.submit(str, 3).result() == "3"
    threads.close()


def test_what_is_cancelled_before_it_begins_is_not_called():
    begun, go_on, called = threading.Event(), threading.Event(), []
    threads = Threads(1, "test-threads")
    first = threads.submit(lambda _: begun.set() or go_on.wait(10), None)
    second = threads.submit(called.append, 2)
    begun.wait(10)
    first.cancel()
    second.cancel()
    go_on.set()
    assert first.result() is True
    threads.close()
    assert called == []


def test_dropping_the_owner_ends_them_even_from_within():
    threads = Threads(2, "test-threads")
    go_on = threading.Event()
    owner = {"threads": threads}
    threads.submit(lambda held: go_on.wait(10) and held.clear(), owner)
    before = ugatit_threads()
    assert len(before) == 2
    del threads, owner
    go_on.set()
    for thread in before:
        thread.join(10)
    gc.collect()
    assert ugatit_threads() == []


def test_a_process_ends_though_they_are_not_closed():
    program = (
        "from ugatit_data.loading.threads import Threads; threads = Threads(2, 't'); threads.submit(print, 1); print(2)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, sorted(done.stdout.replace("\n", ""))) == (0, "", ["1", "2"])
