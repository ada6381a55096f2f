"""Pictures of any size through a network of one size, or of multiples of four: what it sees, what comes out."""

import cv2
import numpy as np
import pytest

from ugatit_data.pixels.geometry import resize
from ugatit_train.pictures.fitting import Fit

SIZES = [(16, 24), (5, 3), (1, 1), (31, 64), (64, 31), (17, 100), (24, 24)]


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def outputs(pieces):
    """The outputs of a network that changes nothing, float32 (C, H, W) each."""
    return [piece.transpose(2, 0, 1).astype(np.float32) for piece in pieces]


@pytest.mark.parametrize("size", SIZES)
def test_whole_sees_multiples_of_four_and_gives_the_picture_back(size):
    fit, picture = Fit(way="whole", size=(24, 24)), noise(size)
    (piece,) = fit.pieces(picture)
    assert all(side % 4 == 0 and side >= 8 for side in piece.shape[:2])
    assert all(0 <= side - own < 8 for side, own in zip(piece.shape[:2], size, strict=True))
    assert np.array_equal(fit.joined(outputs([piece]), *size), outputs([picture])[0])
    assert fit.beside(picture) is picture


@pytest.mark.parametrize("tile", [(24, 24), (16, 32)])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_overlap_and_give_the_picture_back(size, tile):
    fit, picture = Fit(way="tiles", size=tile), noise(size)
    pieces = fit.pieces(picture)
    assert {piece.shape for piece in pieces} == {(*tile, 3)}
    np.testing.assert_allclose(fit.joined(outputs(pieces), *size), outputs([picture])[0], atol=1e-3)


def test_tiles_cross_over_smoothly():
    """Two tiles of different tones: the output rises evenly from one to the other, without a seam."""
    fit = Fit(way="tiles", size=(16, 16))
    assert len(fit.pieces(noise((16, 28)))) == 2  # columns 0-15 and 12-27
    tones = [np.full((1, 16, 16), tone, np.float32) for tone in (0, 1)]
    row = fit.joined(tones, 16, 28)[0, 8]
    assert (row[:12] == 0).all() and (row[16:] == 1).all()
    assert np.diff(row[11:17]).min() > 0 and np.diff(row).max() < 0.35


@pytest.mark.parametrize("size", SIZES)
def test_squash_and_resize(size):
    picture = noise(size)
    squash = Fit(way="squash", size=(24, 16))
    (piece,) = squash.pieces(picture)
    assert np.array_equal(piece, resize(picture, (24, 16)))
    assert np.array_equal(squash.beside(picture), piece)
    assert np.array_equal(squash.joined(outputs([piece]), *size), outputs([piece])[0])
    assert Fit(way="squash", size=(24, 16), shown=(12, 12)).joined(outputs([piece]), *size).shape == (3, 12, 12)

    back = Fit(way="resize", size=(24, 16))
    assert back.joined(outputs(back.pieces(picture)), *size).shape == (3, *size)
    assert back.beside(picture) is picture


def test_heat_maps_are_enlarged_to_the_picture():
    ramp = np.broadcast_to(np.arange(6, dtype=np.float32), (1, 6, 6))
    for way in ("squash", "resize", "whole", "tiles"):
        made = Fit(way=way, size=(24, 24)).joined([ramp], 24, 24)
        assert made.shape == (1, 24, 24)
        np.testing.assert_allclose(made[0], cv2.resize(ramp[0], (24, 24)), atol=1e-4)
