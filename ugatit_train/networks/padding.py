"""Padding of H and W, in several forms (see `Forms.padding`)."""

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.ops import operations as P
from mindspore.ops.auto_generate.gen_ops_prim import SplitWithSize

from ugatit_train.forms import Forms


class Pad(nn.Cell):
    """Pads H and W by p on every side: "reflect" (the paper's), "edge" (repeated) or "zero" (the model zoo's)."""

    def __init__(self, forms: Forms, p: int, padding: str):
        super().__init__()
        self.p = p
        self.is_zero = padding == "zero"
        self.is_edge = padding == "edge"
        self.by_slices, self.by_parts = forms.padding != "mirror", forms.padding == "parts"
        self.mirror = P.MirrorPad("SYMMETRIC" if padding == "edge" else "REFLECT")
        self.paddings = Tensor([[0, 0], [0, 0], [p, p], [p, p]])
        self.of_parts = _ReflectParts(p)

    def construct(self, x):
        n, c, h, w = x.shape
        p = self.p
        if not self.is_zero:
            if not self.by_slices:
                return self.mirror(x, self.paddings)
            if self.is_edge:
                return _repeat_edge(x, p)
            return self.of_parts(x) if self.by_parts and h >= 2 * p + 3 and w >= 2 * p + 3 else _reflect(x, p)
        # By concatenation: the Pad primitive took 27 ms where this takes 3 (256 x 64 x 64, CPU).
        rows = ops.zeros((n, c, p, w), mstype.float32)
        x = ops.concat((rows, x, rows), 2)
        columns = ops.zeros((n, c, h + 2 * p, p), mstype.float32)
        return ops.concat((columns, x, columns), 3)


def _reflect(x, p: int):
    """x reflected by p on every side, of slices alone: not every program knows MirrorPad."""
    above: tuple = ()
    below: tuple = ()
    left: tuple = ()
    right: tuple = ()
    for i in range(p):
        above = above + (x[:, :, p - i : p - i + 1],)
        below = below + (x[:, :, -2 - i : -1 - i],)
    x = ops.concat(above + (x,) + below, 2)
    for i in range(p):
        left = left + (x[:, :, :, p - i : p - i + 1],)
        right = right + (x[:, :, :, -2 - i : -1 - i],)
    return ops.concat(left + (x,) + right, 3)


def _repeat_edge(x, p: int):
    """x with its edge repeated p times on every side, of slices alone."""
    for _ in range(p):
        x = ops.concat((x[:, :, :1], x, x[:, :, -1:]), 2)
        x = ops.concat((x[:, :, :, :1], x, x[:, :, :, -1:]), 3)
    return x


class _ReflectParts(nn.Cell):
    """Reflection of maps of at least 2 p + 3 rows and columns: each axis is split once and put together again.

    On Ascend Split, Concat and ReverseV2 are launched directly, slices are not. The backward is written out: it keeps
    nothing, and adds the gradient of the border to what the border was a copy of.
    """

    def __init__(self, p: int):
        super().__init__()
        self.p = p
        self.split = SplitWithSize()  # what ops.split calls, whose checks of types the compiler refuses in a bprop

    def reflected(self, x, axis: int):
        p, size = self.p, x.shape[axis]
        parts = self.split(x, (1, p, size - 2 * p - 2, p, 1), axis)
        return ops.concat((self.reversed(parts[1], axis), x, self.reversed(parts[3], axis)), axis)

    def folded(self, dy, axis: int):
        p, size = self.p, dy.shape[axis] - 2 * self.p
        parts = self.split(dy, (p, 1, p, size - 2 * p - 2, p, 1, p), axis)
        first = parts[2] + self.reversed(parts[0], axis)
        last = parts[4] + self.reversed(parts[6], axis)
        return ops.concat((parts[1], first, parts[3], last, parts[5]), axis)

    def reversed(self, part, axis: int):
        return part if self.p == 1 else ops.flip(part, (axis,))

    def construct(self, x):
        """(N, C, H, W) -> (N, C, H + 2 p, W + 2 p)."""
        return self.reflected(self.reflected(x, 2), 3)

    def bprop(self, x, out, dout):
        return (self.folded(self.folded(dout, 3), 2),)
