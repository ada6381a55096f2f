"""The ONNX graph's own arithmetic; the whole generator's is in tests/tools/test_export.py."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from ugatit_train.exchange import onnxgraph


def test_the_mean_of_millions_of_pixels_keeps_its_digits():
    graph = onnxgraph._Graph({})
    result = graph.mean("x", 1, 2, 3)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", result)]
    made = helper.make_graph(graph.nodes, "mean", values[:1], values[1:])
    opset = [helper.make_opsetid("", onnxgraph.OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=onnxgraph.IR_VERSION)
    x = (100 + np.random.default_rng(0).standard_normal((1, 64, 256, 256))).astype(np.float32)

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (mean,) = session.run(None, {"x": x})

    assert mean.shape == (1, 1, 1, 1)
    assert abs(mean.item() / x.astype(np.float64).mean() - 1) < 1e-6
