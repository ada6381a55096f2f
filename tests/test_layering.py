"""Imports point down only: tools, benchmarks -> ugatit_train -> ugatit_data, and inside a package to lower layers."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The layers of each package from the bottom up; a file imports only what stands before it.
LAYERS = {
    "ugatit_data": [
        "order", "errors", "headers", "manifest", "jpeg", "images", "geometry", "storage", "sources", "parquet",
        "encodings", "shards", "records", "lock", "workers", "jobs", "buffers", "threads", "augment", "kernel", "crops",
        "convert", "verify", "loader", "pipelines",
    ],
    "ugatit_train": [
        "costs", "ceilings", "opcosts", "roofline", "config", "arguments", "planner", "runtime", "convolution",
        "winograd", "layers", "normalisation", "networks", "losses", "scaling", "step", "tensorfile", "checkpoint",
        "reporting", "sampling", "modelarts", "profiling", "loop", "metrics", "onnxgraph", "models", "export",
        "fitting", "video", "translate", "torchfile", "inception", "inception_weights", "features", "testpictures",
        "evaluation", "ascend310", "interop",
    ],
}  # fmt: skip
MAY_IMPORT = {"ugatit_data": set(), "ugatit_train": {"ugatit_data"}, "tools": set(LAYERS), "benchmarks": set(LAYERS)}
FILES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))


def imports(package: str, source: str) -> list[tuple[str, bool]]:
    """Every module that a file imports, absolute, and whether that is outside of functions."""
    tree = ast.parse(source)
    inside = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module]))
            names = [f"{base}.{alias.name}" for alias in node.names]
        found += [(name, id(node) not in inside) for name in names]
    return found


def complaints(package: str, stem: str, source: str) -> list[str]:
    layers = LAYERS.get(package, [])
    if layers and stem not in (*layers, "__init__"):
        return [f"no layer: give {stem} its place in LAYERS"]
    below = layers[: layers.index(stem)] if stem in layers else layers
    wrong = []
    for name, at_top in imports(package, source):
        top, layer = [*name.split("."), ""][:2]
        if top in MAY_IMPORT and top != package and top not in MAY_IMPORT[package]:
            wrong.append(f"{name} is above {package}")
        if top == package and layer in layers and layer not in below:
            wrong.append(f"{name} is not below {stem}")
        if top == "mindspore" and at_top and package == "ugatit_data":
            wrong.append("mindspore outside of a function")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    assert complaints(path.relative_to(ROOT).parts[0], path.stem, path.read_text()) == []


@pytest.mark.parametrize(
    ("package", "stem", "source", "words"),
    [
        ("ugatit_data", "manifest", "from . import loader", "ugatit_data.loader is not below manifest"),
        ("ugatit_data", "manifest", "def f():\n    from .loader import x", "ugatit_data.loader.x is not below"),
        ("ugatit_data", "loader", "from ugatit_train import config", "ugatit_train.config is above ugatit_data"),
        ("ugatit_train", "loop", "import tools.train", "tools.train is above ugatit_train"),
        ("ugatit_data", "shards", "from mindspore.mindrecord import FileWriter", "mindspore outside of a function"),
        ("ugatit_data", "utils", "", "give utils its place"),
    ],
)
def test_the_rule_finds_what_it_forbids(package, stem, source, words):
    assert words in " ".join(complaints(package, stem, source))
    assert complaints("ugatit_data", "shards", "def f():\n    import mindspore\n    from . import errors") == []
