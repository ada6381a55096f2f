"""The memory that is free, from the files in which Linux tells it, as machines and containers write them."""

import pytest

from ugatit_train.performance import memory

GIB = 1 << 30
MEMINFO = "MemTotal:   25165824 kB\nMemFree:    524288 kB\nMemAvailable:    8388608 kB\nHugePages_Total:   0\n"
STAT = f"anon {3 * GIB}\nfile {2 * GIB}\ninactive_file {GIB}\nactive_file {GIB}\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine({"proc/meminfo": text}) -> the root of a machine of 24 GiB with these files."""
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 24 * GIB // 4096}.__getitem__)

    def make(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("files", "total", "available"),
    [
        ({}, 24, 24),
        ({"proc/meminfo": MEMINFO}, 24, 8),
        (
            {  # a container that sees its own group only; two of the five that it uses are cached files
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{6 * GIB}\n",
                "sys/fs/cgroup/memory.current": f"{5 * GIB}\n",
                "sys/fs/cgroup/memory.stat": STAT,
            },
            6,
            3,
        ),
        (
            {  # a job of a batch system, whose limit stands two groups above this process
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/jobs/7/step\n",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/memory.current": f"{20 * GIB}\n",
                "sys/fs/cgroup/jobs/7/memory.max": f"{10 * GIB}\n",
                "sys/fs/cgroup/jobs/7/memory.current": f"{9 * GIB}\n",
                "sys/fs/cgroup/jobs/7/step/memory.max": "max\n",
                "sys/fs/cgroup/jobs/7/step/memory.current": f"{GIB}\n",
            },
            10,
            1,
        ),
        (
            {  # version 1, in a container that is told the machine's path of its group
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "5:devices:/docker/x\n4:cpu,memory:/docker/x\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{12 * GIB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{11 * GIB}\n",
                "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {GIB}\ntotal_active_file {GIB}\n",
            },
            12,
            3,
        ),
        (
            {  # version 1 without a limit: a number larger than any memory
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{11 * GIB}\n",
            },
            24,
            8,
        ),
    ],
)
def test_what_is_there_and_what_is_free(machine, files, total, available):
    root = machine(files)
    assert (memory.total_bytes(root) / GIB, memory.available_bytes(root) / GIB) == (total, available)


def test_this_machine():
    assert 0 < memory.available_bytes() <= memory.total_bytes()
