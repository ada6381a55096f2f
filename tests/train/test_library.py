"""What `ugatit_train` offers: lazily, under names that no module of its own can take, in any order of import."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ugatit_train
from ugatit_train import open_generator
from ugatit_train.inference.models import Model, ModelError, Signature

ROOT = Path(__file__).parents[2]
HOMES = {
    "Options": "options.config",
    "UgatitError": "errors",
    "evaluate": "evaluation.evaluate",
    "open_generator": "inference.models",
    "train": "evaluation.judging",
    "translate": "inference.translate",
}


def said(code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_importing_it_is_light_and_lists_its_names():
    code = "import sys, ugatit_train; print('mindspore' in sys.modules, 'cv2' in sys.modules, *dir(ugatit_train))"
    heavy, pictures, *names = said(code).split()
    assert (heavy, pictures) == ("False", "False")
    assert set(HOMES) | {"__version__"} <= set(names)
    assert sorted(HOMES) == ugatit_train.__all__


def test_the_readme_uses_the_offered_names():
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "ugatit_train" / "README.md").read_text(), re.DOTALL)
    tree = ast.parse(code)
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    called = {n.func.id: n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert imported == set(HOMES) - {"UgatitError"} == imported & set(called)
    for name in imported:
        given = {key.arg: None for key in called[name].keywords}
        inspect.signature(getattr(ugatit_train, name)).bind(*called[name].args, **given)


def test_no_offered_name_is_that_of_a_module_beside_it():
    modules = {path.stem for path in (ROOT / "ugatit_train").iterdir()}
    assert {"runtime", "options", "training"} <= modules
    assert not modules & set(HOMES)


@pytest.fixture(scope="module")
def same():
    """(name, what is imported first) -> whether both are the same. One process; it loads ours anew each time."""
    code = "import sys\n"
    for name, home in HOMES.items():
        imports = [f"import ugatit_train.{home} as home", f"from ugatit_train import {name} as offered"]
        for order in (imports, imports[::-1]):
            code += "for loaded in [name for name in sys.modules if name.partition('.')[0] == 'ugatit_train']:\n"
            code += "    del sys.modules[loaded]\n"
            code += "\n".join([*order, "import ugatit_train", ""])
            code += f"print({name!r}, offered is home.{name} is ugatit_train.{name})\n"
    lines = [line.split() for line in said(code).splitlines()]
    assert [name for name, _ in lines] == [name for name in HOMES for _ in "12"]
    return {
        (name, order): is_same
        for (name, is_same), order in zip(lines, ["the module first", "the name first"] * len(HOMES), strict=True)
    }


@pytest.mark.parametrize("name", HOMES)
@pytest.mark.parametrize("order", ["the module first", "the name first"])
def test_a_name_is_the_same_in_both_orders_of_import(name, order, same):
    assert same[name, order] == "True"


def test_a_name_that_is_not_offered_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ugatit_train' has no attribute 'trains'"):
        ugatit_train.trains  # noqa: B018


def test_the_version_is_the_projects():
    assert f'\nversion = "{ugatit_train.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


def test_a_generator_opens_in_a_fresh_process(untrained_run, tmp_path):
    """Two pictures and one, of another size than the training's; then the one as a file."""
    code = f"""
import cv2, numpy as np
from ugatit_train import open_generator, translate
generator = open_generator({str(untrained_run)!r}, "b2a")
picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8), (50, 40))
two, one = generator(np.stack([picture, picture[::-1]])), generator(picture)
print(one.shape, one.dtype, two.shape, np.abs(one.astype(int) - two[0]).max() <= 1)
cv2.imwrite({str(tmp_path / "photo.png")!r}, picture[..., ::-1])
[outcome] = translate(generator, {str(tmp_path / "photo.png")!r}, {str(tmp_path / "out")!r})
print((cv2.imread(str(outcome.written[0]))[..., ::-1] == one).all())
"""
    assert said(code).splitlines() == ["(32, 32, 3) uint8 (2, 32, 32, 3) True", "True"]


def test_what_cannot_be_opened_is_named(untrained_run, tmp_path):
    with pytest.raises(ModelError, match="nothing: no such file or folder: give a run's folder, or an exported file"):
        open_generator(tmp_path / "nothing")
    with pytest.raises(ModelError, match="direction a2c: give a2b or b2a"):
        open_generator(untrained_run, "a2c")


def test_a_model_takes_pictures_of_any_size_and_names_what_it_cannot_take():
    """The network here gives back what it sees."""
    signature = Signature(direction="a2b", light=True, img_size=(8, 12), img_ch=1, size=None, batch=None)
    model = Model(run=lambda x: (x, x), signature=signature)
    gray = np.full((20, 30, 3), 77, np.uint8)
    assert (model(gray) == np.full((8, 12, 3), 77)).all()
    assert model(np.stack([gray, gray, gray])).shape == (3, 8, 12, 3)
    for wrong in (gray / 255, gray[..., :1], gray[0], np.zeros((0, 8, 12, 3), np.uint8)):
        with pytest.raises(ModelError, match=r"an array (uint8|float64) \(.*\): give uint8 RGB, \(H, W, 3\) or \(N, H"):
            model(wrong)
    one = dataclasses.replace(model, signature=dataclasses.replace(signature, batch=1))
    with pytest.raises(ModelError, match="a batch of 2: this file takes 1: give as many"):
        one(np.stack([gray, gray]))
