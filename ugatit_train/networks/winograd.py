"""Padded 3 x 3 convolution by Winograd's minimal filtering: 2.25 products an output in place of 9.

6 x 6 products give an output tile of 4 x 4 pixels; on small maps, where transforming the weights is most of the work,
4 x 4 products give 2 x 2 pixels. result = A^T [(G w G^T) * (B^T x B)] A, summed over the channels (Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", 2016). Everything is a matmul, nothing is transposed or gathered:
for each direction one dense matrix pads, cuts the map into overlapping tiles and applies B^T; another joins the
result's tiles by A^T. A dense matrix needs more products than a banded one, but on the CPU they cost little beside the
passes over memory that they save. They grow with the map's side: `fits` says up to which it is worth it.

Shapes: N samples, C and O channels, H x W pixels of the (enlarged) map, I x J its tiles; U x V the products of a tile.
"""

import functools

import numpy as np
from mindspore import Tensor, ops
from mindspore.ops import operations as P

from ugatit_train.networks.convolution import OwnBackward

TAPS = 3

# Tile -> where the polynomials are evaluated, beside infinity. Relative error of a layer of 256 channels: 3e-6 with
# these points, 1e-5 with the usual 0, +-1, +-2, and 3e-7 of the plain sum.
_POINTS = {2: (0, 1, -1), 4: (0, 0.75, -0.75, 1.5, -1.5)}


@functools.cache
def transforms(tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (U, tile), G (U, TAPS) and B^T (U, U) of the Toom-Cook construction; U is tile + TAPS - 1."""
    num_products = tile + TAPS - 1
    powers = np.vander([*_POINTS[tile], 0.0], num_products, increasing=True)
    powers[-1] = np.eye(num_products)[-1]
    a, g = powers[:, :tile].copy(), powers[:, :TAPS].copy()
    a[-1, -1] = g[-1, -1] = 1
    return a, g, np.linalg.inv(powers).T


def _padded(size: int, scale: int, padding: str) -> np.ndarray:
    """The matrix (size * scale + 2, size) of 0 and 1 that enlarges a row of pixels and pads it by 1."""
    large = size * scale
    source = np.pad(np.arange(large) // scale, 1, mode="reflect" if padding == "reflect" else "edge")
    matrix = np.eye(size)[source]
    if padding == "zero":
        matrix[[0, -1]] = 0
    return matrix


@functools.cache
def matrices(tile: int, size: int, scale: int, padding: str) -> tuple[np.ndarray, np.ndarray]:
    """(U * I, size), from a row of pixels to its transformed tiles, and (U * I, size * scale), for the result's tiles.

    The last tile may reach over the end: there the row is zero and the result is cut off.
    """
    a, _, b_t = transforms(tile)
    num_products, large = len(b_t), size * scale
    num_tiles = -(-large // tile)
    row = np.zeros((num_tiles * tile + TAPS - 1, size))
    row[: large + TAPS - 1] = _padded(size, scale, padding)
    into = np.stack([b_t @ row[i * tile : i * tile + num_products] for i in range(num_tiles)], 1)
    out = np.einsum("ij,ut->uijt", np.eye(num_tiles), a).reshape(num_products * num_tiles, -1)[:, :large]
    return into.reshape(num_products * num_tiles, size).astype(np.float32), out.astype(np.float32)


def fits(height: int, width: int) -> bool:
    """Whether tiles are the fastest form on the CPU, for a map of that size before it is enlarged."""
    return height <= 64 and width <= 64


@ops.constexpr
def _constants(num_samples: int, height: int, width: int, scale: int, padding: str) -> tuple[Tensor, ...]:
    """`matrices` of a column (repeated for each V) into and out of tiles, the same of a row, and G x G."""
    tile = 2 if num_samples * height * width * scale**2 <= 512 else 4
    (down_in, down_out), (across_in, across_out) = (matrices(tile, size, scale, padding) for size in (height, width))
    g = transforms(tile)[1]
    kernel = np.einsum("vx,uy->vuyx", g, g).reshape(-1, TAPS**2).astype(np.float32)
    columns = (np.stack([matrix] * len(g)) for matrix in (down_in, down_out))
    return *map(Tensor, columns), Tensor(across_in), Tensor(across_out), Tensor(kernel)


class WinogradConv(OwnBackward):
    """Convolution of (x, weight); x is enlarged `scale` times by nearest neighbour, then padded by 1.

    The backward is the transposed matmuls and keeps x only.
    """

    def __init__(self, padding: str, scale: int = 1):
        super().__init__()
        self.padding, self.scale = padding, scale
        self.nt, self.tn = P.MatMul(transpose_b=True), P.MatMul(transpose_a=True)
        self.batch_nn = P.BatchMatMul()
        self.batch_tn, self.batch_nt = P.BatchMatMul(transpose_a=True), P.BatchMatMul(transpose_b=True)

    def spread(self, x, down, across):
        """x (N, C, H, W) -> its transformed tiles (V * U, I * J * N, C)."""
        n, c, h, w = x.shape
        v = down.shape[0]
        y = self.nt(across, x.reshape(n * c * h, w)).reshape(v, -1, h)  # (V, J * N * C, H)
        return self.batch_nt(down, y).reshape(v * v, -1, c)

    def collect(self, tiles, down, across, n):
        """The adjoint of `spread`: tiles (V * U, I * J * N, C) -> (N, C, H, W)."""
        c, h, w = tiles.shape[2], down.shape[2], across.shape[1]
        y = self.batch_tn(tiles.reshape(down.shape[0], down.shape[1], -1), down)  # (V, J * N * C, H)
        return self.tn(y.reshape(across.shape[0], -1), across).reshape(n, c, h, w)

    def kernels(self, weight, transform):
        """weight (O, C, 3, 3) -> G w G^T of all, (V * U, O, C)."""
        o, c, _, _ = weight.shape
        return self.nt(transform, weight.reshape(o * c, TAPS**2)).reshape(-1, o, c)

    def construct(self, x, weight):
        """x (N, C, h, w), weight (O, C, 3, 3) -> (N, O, scale * h, scale * w)."""
        n, _, h, w = x.shape
        down_in, down_out, across_in, across_out, transform = _constants(n, h, w, self.scale, self.padding)
        products = self.batch_nt(self.spread(x, down_in, across_in), self.kernels(weight, transform))
        return self.collect(products, down_out, across_out, n)

    def bprop(self, x, weight, out, dout):
        x, weight = self.kept(x, weight, dout)
        n, _, h, w = x.shape
        o, c, _, _ = weight.shape
        down_in, down_out, across_in, across_out, transform = _constants(n, h, w, self.scale, self.padding)
        dproducts = self.spread(dout, down_out, across_out)
        dx = self.collect(self.batch_nn(dproducts, self.kernels(weight, transform)), down_in, across_in, n)
        dkernels = self.batch_tn(dproducts, self.spread(x, down_in, across_in))
        return dx, self.tn(dkernels.reshape(-1, o * c), transform).reshape(weight.shape)
