"""How much memory this machine, or the container that we run in, has, and how much of it is free for a new run.

Linux tells it in files: /proc/meminfo for the machine, and for each control group that holds this process (a container,
a batch job) its limit and what it uses. Cached files count as free, for the kernel gives them up.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def total_bytes(root: Path = Path("/")) -> int:
    """The machine's memory, or the smallest limit of the control groups; `root` is another place for the files."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(limit for limit, _ in _groups(root))])


def available_bytes(root: Path = Path("/")) -> int:
    """What a new program can take without swapping; `total_bytes` where the system does not tell."""
    left = [limit - used for limit, used in _groups(root)]
    lines = _numbers(root / "proc/meminfo")
    if "MemAvailable:" in lines:
        left.append(1024 * lines["MemAvailable:"])
    return max(0, min([total_bytes(root), *left]))


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of each control group with a limit that holds this process, of version 2 or 1."""
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, kinds, path = line.split(":", 2)
        if number == "0":
            names, top, prefix = ("memory.max", "memory.current"), mount, ""
        elif "memory" in kinds.split(","):
            names, top, prefix = ("memory.limit_in_bytes", "memory.usage_in_bytes"), mount / "memory", "total_"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in [group, *group.parents][: len(group.parts) - len(top.parts) + 1]:
            limit, used = (_text(folder / name).strip() for name in names)
            if limit.isdigit() and used.isdigit():
                stat = _numbers(folder / "memory.stat")
                cached = sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
                yield int(limit), max(0, int(used) - cached)


def _text(path: Path) -> str:
    """What a file of the kernel says; nothing where there is none, or it is not for us."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _numbers(path: Path) -> dict[str, int]:
    """The lines "name number ..." of such a file."""
    words = [line.split() for line in _text(path).splitlines()]
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdigit()}
