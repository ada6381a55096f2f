"""Generators of the model zoo: their names and equations in a twin of NumPy and PyTorch, and what of them is refused.

The names are those that MindSpore gives its public source's layers, written down from reading it.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: no twin of the model zoo's generator")
functional = torch.nn.functional

from mindspore import Parameter, Tensor, save_checkpoint  # noqa: E402

from ugatit_train.exchange import modelzoo, onnxgraph  # noqa: E402
from ugatit_train.exchange.pytorch import InteropError  # noqa: E402
from ugatit_train.inference import models  # noqa: E402
from ugatit_train.options.presets import PRESETS  # noqa: E402

CH, SIZE, BLOCKS = 4, 32, 4
C = 4 * CH


def its_generator(light):
    """Its parameters by name: random weights, and batch norms as affine=False leaves them."""
    random = np.random.default_rng(3 + light)
    shapes = {"DownBlock.1.weight": (CH, 3, 7, 7), "DownBlock.5.weight": (2 * CH, CH, 3, 3)}
    shapes |= {"DownBlock.9.weight": (C, 2 * CH, 3, 3), "conv1x1.weight": (C, 2 * C, 1, 1), "conv1x1.bias": (C,)}
    norms = {"DownBlock.2": CH, "DownBlock.6": 2 * CH, "DownBlock.10": C}
    for i in range(BLOCKS):
        for j, norm in ((1, 2), (5, 6)):
            shapes[f"DownBlock.{12 + i}.conv_block.{j}.weight"] = (C, C, 3, 3)
            norms[f"DownBlock.{12 + i}.conv_block.{norm}"] = C
        for j in (1, 2):
            shapes |= {f"UpBlock1_{i + 1}.conv{j}.weight": (C, C, 3, 3), f"UpBlock1_{i + 1}.norm{j}.rho": (1, C, 1, 1)}
    shapes |= {"gap_fc.dense.weight": (1, C), "gmp_fc.dense.weight": (1, C)}
    shapes |= {"FC.0.dense.weight": (C, C if light else C * (SIZE // 4) ** 2)}
    shapes |= {f"{name}.dense.weight": (C, C) for name in ("FC.2", "gamma", "beta")}
    for i, c in enumerate((C // 2, CH)):
        shapes[f"UpBlock2.{5 * i + 2}.weight"] = (c, 2 * c, 3, 3)
        shapes |= {f"UpBlock2.{5 * i + 3}.{kind}": (1, c, 1, 1) for kind in ("rho", "gamma", "beta")}
    shapes["UpBlock2.11.weight"] = (3, CH, 7, 7)
    arrays = {}
    for name, shape in shapes.items():
        bound = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 and shape[0] > 1 else 0.5
        arrays[name] = random.uniform(
            0 if name.endswith("rho") else -bound, 1 if name.endswith("rho") else bound, shape
        )
    for name, c in norms.items():
        arrays |= {f"{name}.gamma": np.ones(c), f"{name}.beta": np.zeros(c)}
        arrays |= {f"{name}.moving_{kind}": random.uniform(1, 2, c) for kind in ("mean", "variance")}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def its_picture(arrays, x, light, n_minus):
    """Its equations in float64: (picture, heat map); AdaLIN and LIN take variances over n - n_minus, its own n."""
    p = {name: torch.from_numpy(array).double() for name, array in arrays.items()}

    def conv(x, name, stride=1):
        weight = p[f"{name}.weight"]
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)  # of zeros

    def norm(x, axes=(2, 3), less=0):
        return (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True, correction=less) + 1e-5).sqrt()

    def mixed(x, rho, gamma, beta):
        both = rho * norm(x, less=n_minus) + (1 - rho) * norm(x, (1, 2, 3), n_minus)
        return both * gamma + beta

    def dense(x, name):
        return x @ p[f"{name}.dense.weight"].T

    x = torch.from_numpy(x).double()
    for number, stride in ((1, 1), (5, 2), (9, 2)):
        x = norm(conv(x, f"DownBlock.{number}", stride)).relu()
    for i in range(BLOCKS):
        block = f"DownBlock.{12 + i}.conv_block"
        x = x + norm(conv(norm(conv(x, f"{block}.1")).relu(), f"{block}.5"))
    scaled = [x * p[f"{name}.dense.weight"][..., None, None] for name in ("gap_fc", "gmp_fc")]
    x = functional.conv2d(torch.cat(scaled, 1), p["conv1x1.weight"], p["conv1x1.bias"]).relu()
    heatmap = x.sum(1, keepdim=True)
    y = x.mean((2, 3)) if light else x.reshape(len(x), -1)
    y = dense(dense(y, "FC.0").relu(), "FC.2").relu()
    gamma, beta = (dense(y, name)[..., None, None] for name in ("gamma", "beta"))
    for i in range(BLOCKS):
        y, block = x, f"UpBlock1_{i + 1}"
        for j in (1, 2):
            y = mixed(conv(y, f"{block}.conv{j}"), p[f"{block}.norm{j}.rho"], gamma, beta)
            y = y.relu() if j == 1 else y
        x = x + y
    for number in (2, 7):
        x = conv(functional.interpolate(x, scale_factor=2), f"UpBlock2.{number}")
        x = mixed(x, *(p[f"UpBlock2.{number + 1}.{kind}"] for kind in ("rho", "gamma", "beta"))).relu()
    return conv(x, "UpBlock2.11").tanh().numpy(), heatmap.numpy()


@pytest.fixture
def written(tmp_path):
    """written(arrays, prefix) -> a .ckpt with them, as MindSpore saves one."""

    def write(arrays, prefix="generator.genA2B.", name="g.ckpt"):
        listed = [{"name": prefix + key, "data": Parameter(Tensor(array))} for key, array in arrays.items()]
        save_checkpoint(listed, str(tmp_path / name))
        return tmp_path / name

    return write


def picture_of(imported, network, x, tmp_path):
    """What our generator makes of x with the imported weights, by way of ONNX, which needs no compilation."""
    onnx = pytest.importorskip("onnx")
    prefix = f"{network}."
    weights = {n.removeprefix(prefix): a for n, a in imported.parameters.items() if n.startswith(prefix)}
    o = imported.options
    graph = onnxgraph.generator(weights, padding=o.padding, light=o.light, shape=[1, 3, SIZE, SIZE])
    signature = models.Signature(
        direction="a2b", light=o.light, img_size=(SIZE, SIZE), img_ch=3, size=(SIZE, SIZE), batch=1
    )
    onnx.helper.set_model_props(graph, {models.KEY: signature.text()})
    onnx.save(graph, tmp_path / "generator.onnx")
    return models.from_onnx(tmp_path / "generator.onnx").run(x)


@pytest.mark.parametrize("light", [True, False])
def test_its_generator_makes_its_picture_here(written, tmp_path, light):
    arrays = its_generator(light)
    imported = modelzoo.from_model_zoo({"a2b": written(arrays)}, SIZE)
    o = imported.options
    assert (o.light, o.ch, o.n_res, o.img_size, o.img_ch) == (light, CH, BLOCKS, SIZE, 3)
    assert {name: getattr(o, name) for name in PRESETS["model_zoo"]} == PRESETS["model_zoo"]
    assert len(imported.unused) == 4 * (3 + 2 * BLOCKS)
    assert len(imported.taken) + len(imported.unused) == len(arrays)
    x = np.random.default_rng(1).uniform(-1, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
    made, heat = picture_of(imported, "genA2B", x, tmp_path)
    expected, heatmap = its_picture(arrays, x, light, n_minus=1)
    assert np.abs(made - expected).max() < 2e-5
    assert np.abs(heat - heatmap).max() < 2e-5 * np.abs(heatmap).max()
    its_own, _ = its_picture(arrays, x, light, n_minus=0)
    assert 1e-4 < np.abs(made - its_own).max() < 0.03  # at 8 x 8, where n - 1 is 63 of 64; at 256 px it is 4095 of 4096


def test_both_directions_and_names_without_a_wrapper(written):
    a, b = its_generator(True), its_generator(True)
    files = {"a2b": written(a, "", "a.ckpt"), "b2a": written(b, "genB2A.", "b.ckpt")}
    imported = modelzoo.from_model_zoo(files, 64)
    assert imported.options.img_size == 64 and {n.split(".")[0] for n in imported.parameters} == {"genA2B", "genB2A"}


def changed(arrays, drop="", **more):
    return {n: a for n, a in arrays.items() if n != drop} | {n.replace("_at_", "."): a for n, a in more.items()}


@pytest.mark.parametrize(
    ("change", "prefix", "words"),
    [
        (lambda a: changed(a, "FC.2.dense.weight"), "", "genA2B has no FC.2.weight: it is of another implementation"),
        (lambda a: a, "generator.genB2A.", "holds genB2A, not genA2B: give it as --genB2A_ckpt"),
        (
            lambda a: changed(a, DownBlock_at_2_at_gamma=np.full(CH, 2, np.float32)),
            "",
            "DownBlock.2.gamma is not all 1",
        ),
        (
            lambda a: {"model.1.weight": a["DownBlock.1.weight"]},
            "disGA.",
            "holds a discriminator (disGA.model.1.weight)",
        ),
        (lambda a: {"fc.weight": a["conv1x1.bias"]}, "", "holds fc.weight, not one generator: give a *_genA2B_params"),
        (
            lambda a: changed(a, gap_fc_at_dense_at_weight=np.ones((1, 3), np.float32)),
            "",
            "has shape (1, 3), not (1, 16)",
        ),
    ],
)
def test_what_is_not_its_generator_is_refused_in_one_line(written, change, prefix, words):
    path = written(change(its_generator(True)), prefix)
    with pytest.raises(InteropError) as caught:
        modelzoo.from_model_zoo({"a2b": path}, SIZE)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "g.ckpt").write_text("<!DOCTYPE html><html>not found</html>")
    with pytest.raises(InteropError, match=r"g.ckpt: is an HTML page"):
        modelzoo.from_model_zoo({"a2b": tmp_path / "g.ckpt"})
    with pytest.raises(InteropError, match=r"no such file: give a \*_genA2B_params"):
        modelzoo.from_model_zoo({"a2b": tmp_path / "none.ckpt"})
