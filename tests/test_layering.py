"""Imports point down: benchmarks -> tools -> ugatit_train -> ugatit_data, room to room, and no room has a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

import ugatit_data
import ugatit_train

ROOT = Path(__file__).parents[1]

# The rooms of each package from the bottom up: folders, and files at its top. A room imports lower rooms only.
ROOMS = {
    "ugatit_data": ["commands", "errors", "files", "storage", "pixels", "dataset", "conversion", "loading"],
    "ugatit_train": [
        "errors", "runtime", "forms", "options", "pictures", "networks", "performance", "training", "inference",
        "exchange", "evaluation",
    ],
}  # fmt: skip
MAY_IMPORT = {"ugatit_data": set(), "ugatit_train": {"ugatit_data"}, "tools": set(ROOMS)}
MAY_IMPORT["benchmarks"] = {*ROOMS, "tools"}
# An offered name is its home's: `from ugatit_data import open_loader` imports ugatit_data.loading.
OFFERED = {"ugatit_data": ugatit_data._HOMES, "ugatit_train": ugatit_train._HOMES}
HOMES = {f"{top}.{name}": f"{home}.{name}" for top, homes in OFFERED.items() for name, home in homes.items()}
FILES = sorted(path.relative_to(ROOT) for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))


def module(path: Path) -> str:
    """ugatit_data/pixels/jpeg.py -> ugatit_data.pixels.jpeg; a folder's __init__.py is the folder."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, source: str) -> list[tuple[str, bool]]:
    """The names that a file imports, absolute, and whether that is outside of functions."""
    tree = ast.parse(source)
    inside = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = [*path.parts[: len(path.parts) - node.level]] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        found += [(HOMES.get(name, name), id(node) not in inside) for name in names]
    return found


def complaints(path: Path, source: str) -> list[str]:
    package, *rest = module(path).split(".")
    room = rest[0] if rest else ""
    rooms = ROOMS.get(package, [])
    if room and rooms and room not in rooms:
        return [f"no such room: give {room} its place in ROOMS"]
    wrong = []
    for name, at_top in imports(path, source):
        top, target = [*name.split("."), ""][:2]
        top = "tools" if top == "ugatit_tools" else top  # its name in the wheel
        if top in MAY_IMPORT and top != package and top not in MAY_IMPORT[package]:
            wrong.append(f"{name} is above {package}")
        if top == package and room and target in rooms and rooms.index(target) > rooms.index(room):
            wrong.append(f"{name} is above {room}")
        if top == "mindspore" and at_top and package == "ugatit_data":
            wrong.append("mindspore outside of a function")
    return wrong


def circle(sources: dict[str, str]) -> list[str]:
    """A circle among the modules of one room (path -> source), as the names along it; none is an empty list."""
    names = {module(Path(path)) for path in sources}
    graph = {
        module(Path(path)): {
            known for name, _ in imports(Path(path), source) for known in names if f"{name}.".startswith(f"{known}.")
        }
        for path, source in sources.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("path", FILES, ids=Path.as_posix)
def test_imports_point_down(path):
    assert complaints(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("room", sorted({path.parent for path in FILES}), ids=Path.as_posix)
def test_no_room_has_a_circle(room):
    files = [path for path in FILES if path.parent == room and path.name != "__init__.py"]
    assert circle({path.as_posix(): (ROOT / path).read_text() for path in files}) == []


def test_every_room_is_there():
    for package, rooms in ROOMS.items():
        there = {
            module(path).split(".")[1] for path in FILES if path.parts[0] == package and path.name != "__init__.py"
        }
        assert there == set(rooms)


@pytest.mark.parametrize(
    ("path", "source", "words"),
    [
        ("ugatit_data/dataset/manifest.py", "from ugatit_data import loading", "ugatit_data.loading is above dataset"),
        ("ugatit_data/dataset/manifest.py", "from ugatit_data import open_loader", "open_loader is above dataset"),
        ("ugatit_data/dataset/manifest.py", "from ..loading import loader", "ugatit_data.loading.loader is above"),
        ("ugatit_data/dataset/manifest.py", "def f():\n    from ugatit_data.loading.loader import x", "x is above"),
        ("ugatit_data/loading/loader.py", "from ugatit_train import options", "ugatit_train.options is above"),
        ("ugatit_train/training/loop.py", "import tools.train", "tools.train is above ugatit_train"),
        ("tools/demo.py", "from benchmarks import record", "benchmarks.record is above tools"),
        ("ugatit_train/pictures/files.py", "from ugatit_train.networks import layers", "layers is above pictures"),
        ("ugatit_train/training/loop.py", "from ugatit_tools import train", "ugatit_tools.train is above ugatit_train"),
        ("ugatit_data/dataset/shards.py", "import mindspore.mindrecord", "mindspore outside of a function"),
        ("ugatit_data/utils.py", "", "give utils its place"),
    ],
)
def test_the_rule_finds_what_it_forbids(path, source, words):
    assert words in " ".join(complaints(Path(path), source))
    fine = "def f():\n    import mindspore\n    from ugatit_data.pixels import jpeg"
    assert complaints(Path("ugatit_data/dataset/shards.py"), fine) == []


def test_a_circle_is_found():
    one, other = "from ugatit_data.pixels import jpeg", "def f():\n    from ugatit_data.pixels.policy import decode"
    files = {"ugatit_data/pixels/policy.py": one, "ugatit_data/pixels/jpeg.py": other}
    assert sorted(set(circle(files))) == ["ugatit_data.pixels.jpeg", "ugatit_data.pixels.policy"]
    assert circle(files | {"ugatit_data/pixels/jpeg.py": ""}) == []
