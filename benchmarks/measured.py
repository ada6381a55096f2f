"""Which of our files a record measured, and which of them say something else today.

A record holds the digests of its files at its commit, so that a clone without history can tell. A digest is that of the
syntax tree without docstrings: comments, layout and documentation do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("ugatit_data", "ugatit_train", "tools")
STEP = ("ugatit_train/training/build.py", "ugatit_train/runtime.py")
LOADER, PEER = "ugatit_data/loading/loader.py", "benchmarks/torch_step.py"
SAMPLE = "tools/make_sample_dataset.py"
WORK: dict[str, tuple[str, ...]] = {  # benchmark -> the files that the measured work begins in
    "conversion": ("ugatit_data/conversion/convert.py",),
    "data_loading": (LOADER, "benchmarks/peers.py", "benchmarks/torch_peers.py"),
    "demo": (*STEP, LOADER, SAMPLE, "ugatit_train/pictures/likeness.py"),
    "inference": ("tools/translate.py", "ugatit_train/inference/models.py", "ugatit_train/exchange/engines.py", PEER),
    "learning": (*STEP, LOADER, SAMPLE, "ugatit_train/pictures/likeness.py", PEER),
    "memory": STEP,
    "profile": STEP,
    "roofline": ("ugatit_train/performance/roofline.py", "ugatit_train/performance/ceilings.py"),
    "scale": (*STEP, LOADER),
    "step_time": (*STEP, LOADER, "ugatit_train/performance/costs.py", PEER),
}  # fmt: skip
# Words and pages, which cost nothing that is measured; and what measures the machine, where that is not the benchmark.
ASIDE = (
    "ugatit_data/commands.py", "ugatit_data/errors.py", "ugatit_train/errors.py", "ugatit_train/training/page/",
    "ugatit_train/performance/ceilings.py",
)  # fmt: skip
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@functools.cache
def digest(source: str) -> str:
    """The digest of a module, the same under every Python: empty fields, which differ, are left out."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return hashlib.sha256(_said(tree).encode()).hexdigest()[:12]


def _said(node: object) -> str:
    if isinstance(node, ast.AST):
        fields = [f"{name}={_said(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])]
        return f"{type(node).__name__}({','.join(fields)})"
    return f"[{','.join(map(_said, node))}]" if isinstance(node, list) else ascii(node)


def followed(begin: tuple[str, ...], read: Callable[[str], str | None]) -> dict[str, str]:
    """path -> digest, of `begin` and of all that it imports of our packages; `read` gives None where no file is."""
    found: dict[str, str] = {}
    left = list(begin)
    while left:
        path = left.pop()
        if path in found or _is_aside(path, begin) or (source := read(path)) is None:
            continue
        found[path] = digest(source)
        if path.startswith(PACKAGES):
            left += _imported(path, source, read)
    return dict(sorted(found.items()))


def _is_aside(path: str, begin: tuple[str, ...]) -> bool:
    return path.startswith(ASIDE) and path not in begin


def _imported(path: str, source: str, read: Callable[[str], str | None]) -> list[str]:
    """The files that a module may import; of a name that a package offers it is the home."""
    found = []
    for module, names in _froms(path, source):
        folder = module.replace(".", "/")
        package = f"{folder}/__init__.py"
        offered = _froms(package, read(package) or "")
        homes = [home for home, theirs in offered if set(theirs) & set(names)] if module.startswith(PACKAGES) else []
        found += [f"{file.replace('.', '/')}.py" for file in (folder, *(f"{folder}/{name}" for name in names), *homes)]
    return found


@functools.cache
def _froms(path: str, source: str) -> list[tuple[str, list[str]]]:
    """(module, names) of each `from module import names`; a relative one is from the folder of `path`."""
    found, folder = [], Path(path).parent.parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            found.append((module, [alias.name for alias in node.names]))
    return found


def _sources() -> dict[str, str]:
    folders = (*PACKAGES, "benchmarks")
    return {path.relative_to(ROOT).as_posix(): path.read_text() for f in folders for path in (ROOT / f).rglob("*.py")}


AT_START = _sources()  # this process's code is what it read at its start, whatever is checked out meanwhile


def by(benchmark: str) -> dict:
    """What the record of a run that began with this process says: {"date": of the commit, "files": path -> digest}."""
    if benchmark not in WORK:
        raise KeyError(f"{benchmark}: name the files that its work begins in: a line in WORK of benchmarks/measured.py")
    files, now = followed(WORK[benchmark], AT_START.get), _sources()
    for path in files:
        if now.get(path) != AT_START[path]:
            print(f"{path}: changed while it was measured: measure again, in a clone of its own", file=sys.stderr)
            files[path] = "changed while it was measured"
    git = subprocess.run(["git", "show", "-s", "--format=%cs"], cwd=ROOT, capture_output=True, text=True)
    return {"date": git.stdout.strip() or None, "files": files}


def since(record: dict) -> dict[str, tuple[dict, list[str]] | None]:
    """commit -> what a record knows of it, and those of its files that say something else today; None: not known."""
    commits = [record["commit"], *(entry["commit"] for entry in record["results"] if entry.get("commit"))]
    found: dict[str, tuple[dict, list[str]] | None] = {}
    today = _sources()
    for commit in (name for names in commits for name in str(names).split(", ")):
        known, changed = record.get("measured", {}).get(commit), []
        for path, was in known["files"].items() if known else ():
            if _is_aside(path, WORK.get(record["benchmark"], ())):
                continue
            moved = [path] if path in today else [there for there in today if Path(there).name == Path(path).name]
            if was not in [digest(today[there]) for there in moved]:
                changed.append(path)
        found[commit] = (known, changed) if known else None
    return found
