"""Values and gradients of a Cell beside those of its plain float64 form, in as few compiled graphs as possible."""

from collections.abc import Callable
from dataclasses import dataclass, field

import autograd
import autograd.numpy as np
import mindspore as ms
import numpy
from mindspore import ParameterTuple, Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Case:
    """One Cell and its plain form: cell(*inputs) and plain(params, *inputs) give an array or a tuple of them.

    `params`: values for the Cell's parameters by their name in the Cell; gradients are taken for all of `inputs` and
    for the parameters that require one.
    """

    cell: nn.Cell
    plain: Callable
    inputs: tuple = ()
    params: dict = field(default_factory=dict)


def float32(array):
    """float64 values that float32 holds, so that both sides start from the same numbers."""
    return numpy.asarray(array, numpy.float32).astype(numpy.float64)


def fill(cell, params):
    """Sets the parameters of `cell` by name; every one of `params` must be there with its shape."""
    own = dict(cell.parameters_and_names())
    for name, value in params.items():
        assert own[name].shape == numpy.shape(value), (name, own[name].shape, numpy.shape(value))
        own[name].set_data(Tensor(numpy.asarray(value, numpy.float32)))


def error(found, expected):
    """The largest difference, relative to the largest expected value."""
    assert numpy.shape(found) == numpy.shape(expected), (numpy.shape(found), numpy.shape(expected))
    return float(numpy.abs(found - expected).max() / numpy.abs(expected).max())


def measure(cases: dict[str, Case], seed: int = 2026):
    """Runs all cases in one compiled graph: name -> (errors of the outputs, errors of the gradients by name).

    Two outputs at least, all cases together: `ms.vjp` takes a tuple of one for its element.
    """
    random = numpy.random.default_rng(seed)
    expected, inputs, cotangents, trained = {}, [], [], {}
    for name, case in cases.items():
        fill(case.cell, case.params)
        for k, parameter in case.cell.parameters_and_names():
            parameter.name = f"{name}.{k}"  # one graph wants every name once
        trained[name] = {k: p for k, p in case.cell.parameters_and_names() if p.requires_grad}
        assert not set(trained[name]) - set(case.params), f"{name}: parameters without a value"
        expected[name] = _plain(case, list(trained[name]), random)
        inputs += case.inputs
        cotangents += expected[name][1]

    parameters = ParameterTuple([p for own in trained.values() for p in own.values()])
    together = _Together([case.cell for case in cases.values()], [len(case.inputs) for case in cases.values()])
    tensors = [Tensor(numpy.asarray(array, numpy.float32)) for array in (*inputs, *cotangents)]
    graph = _Vjp(together, len(inputs), parameters)
    graph(*tensors)
    # Of the second call: a primitive that writes into its inputs spoils the graph's constants for it.
    outputs, input_grads, weight_grads = graph(*tensors)

    outputs, input_grads, weight_grads = iter(outputs), iter(input_grads), iter(weight_grads)
    errors = {}
    for name, case in cases.items():
        values, _, gradients = expected[name]
        found = {f"input {k}": next(input_grads) for k in range(len(case.inputs))}
        found |= {k: next(weight_grads) for k in trained[name]}
        errors[name] = (
            [error(next(outputs).asnumpy(), value) for value in values],
            {k: error(found[k].asnumpy(), gradient) for k, gradient in gradients.items()},
        )
    return errors


def _plain(case, trained, random):
    """Outputs, random cotangents for them, and the gradients of their product by name."""
    shapes = [numpy.shape(value) for value in _outputs(case.plain(case.params, *case.inputs))]
    cotangents = [float32(random.standard_normal(shape)) for shape in shapes]
    values = []

    def product(varied):
        params = {**case.params, **{k: varied[k] for k in trained}}
        outputs = _outputs(case.plain(params, *[varied[f"input {k}"] for k in range(len(case.inputs))]))
        values.extend(autograd.tracer.getval(value) for value in outputs)
        return sum(np.sum(c * value) for c, value in zip(cotangents, outputs, strict=True))

    varied = {k: case.params[k] for k in trained} | {f"input {k}": x for k, x in enumerate(case.inputs)}
    gradients = autograd.grad(product)(varied)
    return values, cotangents, gradients


def _outputs(result):
    return result if isinstance(result, tuple) else (result,)


class _Together(nn.Cell):
    """Independent Cells side by side: their inputs in a row, their outputs in a row."""

    def __init__(self, cells, counts):
        super().__init__()
        self.cells_in_a_row = nn.CellList(cells, auto_prefix=False)
        self.ends = [sum(counts[: k + 1]) for k in range(len(counts))]
        self.starts = [end - count for end, count in zip(self.ends, counts, strict=True)]

    def construct(self, *inputs):
        outputs = ()
        for k in range(len(self.ends)):
            found = self.cells_in_a_row[k](*inputs[self.starts[k] : self.ends[k]])
            outputs = outputs + (found if isinstance(found, tuple) else (found,))
        return outputs


class _Vjp(nn.Cell):
    """(outputs, gradients for the inputs, gradients for the parameters) from inputs and cotangents in a row."""

    def __init__(self, cell, num_inputs, parameters):
        super().__init__(auto_prefix=False)
        self.cell, self.num_inputs, self.parameters = cell, num_inputs, parameters

    def construct(self, *arguments):
        cotangents = arguments[self.num_inputs :]
        if len(self.parameters) == 0:
            outputs, backward = ms.vjp(self.cell, *arguments[: self.num_inputs])
            return outputs, backward(*cotangents), ()
        outputs, backward = ms.vjp(self.cell, *arguments[: self.num_inputs], weights=self.parameters)
        input_grads, weight_grads = backward(*cotangents)
        return outputs, input_grads, weight_grads
