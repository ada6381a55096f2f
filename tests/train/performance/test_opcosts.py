"""FLOPs and bytes of operations against counts by hand; what does not follow from shapes is None."""

from __future__ import annotations

import pytest

from ugatit_train.performance.opcosts import op_cost


@pytest.mark.parametrize(
    ("kind", "shapes", "flops", "elements"),
    [
        ("MatMul", [(5, 7), (7, 11)], 2 * 5 * 7 * 11, 5 * 7 + 7 * 11 + 5 * 11),
        ("MatMul", [(7, 5), (7, 11)], 2 * 5 * 7 * 11, 5 * 7 + 7 * 11 + 5 * 11),  # the first transposed
        ("MatMul", [(5, 7), (11, 7)], 2 * 5 * 7 * 11, 5 * 7 + 7 * 11 + 5 * 11),  # the second
        ("BatchMatMul", [(3, 5, 7), (3, 7, 11)], 3 * 2 * 5 * 7 * 11, 3 * (5 * 7 + 7 * 11 + 5 * 11)),
        ("Mul", [(2, 3, 4, 4), (1, 3, 1, 1)], 96, 96 + 3 + 96),
        ("ReduceSum", [(6, 50)], 300, 300),
        ("Adam", [(10, 10), (10, 10), (10, 10), ()], 1400, 700),
        ("BatchNorm", [(1, 8, 4, 4), (8,), (8,), (8,), (8,)], 8 * 128, 2 * 128),
        ("TensorMove", [(4, 5)], 0, 40),
        ("Concat", [(2, 3), (4, 3)], 0, 36),
        ("Col2Im", [(1, 3, 9, 16), (2,)], 432, 432),
        ("Reshape", [(4, 5)], 0, 0),
    ],
)
def test_by_hand(kind, shapes, flops, elements):
    assert op_cost(kind, shapes) == (flops, 4 * elements)


def test_what_shapes_do_not_tell_is_none():
    assert op_cost("StridedSlice", [(4, 4)]) == (0, None)
    assert op_cost("MatMul", [(5, 7), (3, 11)]) == (None, None)
    assert op_cost("Im2Col", [(2, 3, 10, 10)], []) == (0, None)


def test_im2col_writes_what_the_product_takes():
    """3 x 3 windows of 10 x 10: 64 positions of 27 numbers, for two samples."""
    others = [[(27, 13), (2, 27, 63)], [(5, 27), (2, 27, 64)]]
    assert op_cost("Im2Col", [(2, 3, 10, 10)], others) == (0, 4 * (600 + 2 * 27 * 64))
