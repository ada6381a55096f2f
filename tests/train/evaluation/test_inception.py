"""InceptionV3 against an independent PyTorch twin with its batch norms; its file; the built-in features."""

import cv2
import numpy as np
import pytest

from ugatit_train.evaluation import features, inception_weights
from ugatit_train.exchange import torchfile

torch = pytest.importorskip("torch", reason="torch is not installed: InceptionV3 not compared with a PyTorch twin")


def picture(seed=0, size=64):
    smooth = cv2.GaussianBlur(np.random.default_rng(seed).uniform(0, 255, (size, size, 3)), (0, 0), size / 16)
    return np.rint(np.clip((smooth - 127.5) * 6 + 127.5, 0, 255)).astype(np.uint8)


@pytest.fixture(scope="module")
def twin():
    from ..inception_twin import random_twin

    return random_twin()


@pytest.fixture(scope="module")
def pth(twin, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(twin.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def ckpt(pth):
    weights, unused = inception_weights.fold(torchfile.read(pth))
    assert unused == ["fc.bias", "fc.weight"]
    path = pth.with_suffix(".ckpt")
    inception_weights.save(weights, path)
    return path


def test_the_features_are_the_twins(twin, ckpt):
    extractor = features.open_features(ckpt)
    assert extractor.metric == "kid" and "weights.ckpt, sha256 " in extractor.origin
    for size in (64, 320):
        found = extractor.extract(picture(size=size))
        x = torch.tensor(picture(size=size)).permute(2, 0, 1)[None].double() / 255
        x = torch.nn.functional.interpolate(x, (299, 299), mode="bilinear", align_corners=False)
        with torch.no_grad():
            expected = twin.double()(2 * x - 1).numpy()[0]
        assert found.shape == (2048,)
        assert expected.std() > 0.01  # the features differ
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_another_networks_weights_are_named(twin):
    state = {name: value.numpy() for name, value in twin.float().state_dict().items()}
    for change, words in (
        ({"fc.weight": np.zeros(())}, "fc.weight has 1 classes"),
        ({"fc.weight": np.zeros((1000, 2048))}, "torchvision's InceptionV3 is another"),
        ({"Mixed_5b.branch1x1.bn.bias": np.zeros((1,))}, "Mixed_5b.branch1x1.bn.bias has shape"),
        ({"Mixed_5b.branch1x1.bn.weight": np.zeros((65,))}, "Mixed_5b.branch1x1.bn.weight has shape"),
        ({"Mixed_6a.branch3x3.conv.weight": np.zeros((384, 288, 1, 1))}, "Mixed_6a.branch3x3.conv.weight has shape"),
    ):
        with pytest.raises(inception_weights.WeightsError, match=words):
            inception_weights.fold(state | change)
    del state["Mixed_7c.branch_pool.bn.running_var"]
    with pytest.raises(inception_weights.WeightsError, match="Mixed_7c.branch_pool.bn.running_var is missing"):
        inception_weights.fold(state)
    with pytest.raises(inception_weights.WeightsError, match="not a state_dict"):
        inception_weights.fold({"epoch": 3})


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(_listed, name, **_):
        (tmp_path / name).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(inception_weights.ms, "save_checkpoint", fail)
    with pytest.raises(OSError, match="No space"):
        inception_weights.save({"x": np.zeros(3, np.float32)}, tmp_path / "x.ckpt")
    assert list(tmp_path.iterdir()) == []  # the same command can be given again


def test_a_damaged_checkpoint_is_named(ckpt, tmp_path):
    data = bytearray(ckpt.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.ckpt").write_bytes(data)
    with pytest.raises(features.FeaturesError, match="bad.ckpt: damaged"):
        features.open_features(tmp_path / "bad.ckpt")
    (tmp_path / "none.ckpt").write_bytes(b"something else")
    with pytest.raises(features.FeaturesError, match="none.ckpt: damaged, or no MindSpore checkpoint"):
        features.open_features(tmp_path / "none.ckpt")


def test_a_checkpoint_of_another_network_is_named(tmp_path):
    inception_weights.save({"conv.weight": np.zeros((3,), np.float32)}, tmp_path / "other.ckpt")
    with pytest.raises(features.FeaturesError, match="other.ckpt: of another network: Conv2d_1a_3x3.bias and 188 more"):
        features.open_features(tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    ("name", "words"), [("none.onnx", "no such file"), ("x.pth", "ugatit import_inception"), ("x.txt", "give those")]
)
def test_files_that_are_no_extractor(tmp_path, name, words):
    (tmp_path / "x.pth").write_bytes(b"")
    (tmp_path / "x.txt").write_bytes(b"")
    with pytest.raises(features.FeaturesError, match=words):
        features.open_features(tmp_path / name)


class TestOnnx:
    @pytest.fixture
    def make(self, tmp_path):
        """make(channels) -> an ONNX file with a tiny network from (1, 3, 299, 299) to (1, channels)."""
        onnx = pytest.importorskip("onnx", reason="onnx is not installed: --features FILE.onnx not tested")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: --features FILE.onnx not tested")
        from onnx import TensorProto, helper, numpy_helper

        def run(channels, side=299):
            weight = np.random.default_rng(0).standard_normal((channels, 3, 13, 13)).astype(np.float32)
            nodes = [
                helper.make_node("Conv", ["x", "w"], ["c"], strides=[13, 13]),
                helper.make_node("Relu", ["c"], ["r"]),
                helper.make_node("ReduceMean", ["r"], ["y"], axes=[2, 3], keepdims=0),
            ]
            graph = helper.make_graph(
                nodes,
                "tiny",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels])],
                [numpy_helper.from_array(weight, "w")],
            )
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
            path = tmp_path / f"tiny{channels}-{side}.onnx"
            onnx.save(model, path)
            return path, weight

        return run

    def test_it_runs(self, make):
        path, weight = make(2048)
        extractor = features.open_features(path)
        x = torch.tensor(features.to_inception(picture()))
        expected = torch.nn.functional.conv2d(x, torch.tensor(weight), stride=13).relu().mean((2, 3))[0].numpy()
        assert extractor.metric == "kid"
        np.testing.assert_allclose(extractor.extract(picture()), expected, rtol=1e-4, atol=1e-4)

    def test_what_does_not_fit_is_named(self, make, tmp_path):
        with pytest.raises(features.FeaturesError, match=r"gives \(1, 64\), not \(1, 2048\)"):
            features.open_features(make(64)[0])
        with pytest.raises(features.FeaturesError, match="does not take float32"):
            features.open_features(make(2048, 128)[0])
        (tmp_path / "bad.onnx").write_bytes(b"nothing")
        with pytest.raises(features.FeaturesError, match="bad.onnx: not an ONNX file"):
            features.open_features(tmp_path / "bad.onnx")


def test_the_substitute_is_never_called_kid_and_tells_styles_apart():
    extractor = features.open_features(None)
    assert (extractor.metric, extractor.origin) == ("smoke_mmd", "built in")
    vector = extractor.extract(picture())
    assert vector.shape == (75,) and np.isfinite(vector).all()
    assert np.array_equal(vector, extractor.extract(picture()))
    gray = np.broadcast_to(picture().mean(-1, keepdims=True).astype(np.uint8), (64, 64, 3))
    assert np.abs(extractor.extract(np.ascontiguousarray(gray)) - vector).max() > 0.1
    assert np.isfinite(extractor.extract(np.zeros((8, 8, 3), np.uint8))).all()
