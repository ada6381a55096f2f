"""An augmentation from outside: one object, passed to `open_loader`; nothing of the package is patched.

The code of the first one stands in CONTRIBUTING.md, "An augmentation".
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from pathlib import Path

import numpy as np
import pytest

from ugatit_data import PAPER, Augmentation, BadInputError, open_loader
from ugatit_data.loading import order

SIZE = 48


def draw(paper, light):
    """The paper's flip and corner, and a brightness of -32 to 31 out of the top six bits of another word."""
    return *PAPER.draw(paper), (light >> np.uint64(58)).astype(np.int64) - 32


def make(image, out, memory, flip, x, y, light):
    PAPER.make(image, out, memory, flip, x, y)
    out[:] = np.clip(out.astype(np.int16) + light, 0, 255)


BRIGHTER = Augmentation(make=make, draw=draw, uses=(1, 2), margin=PAPER.margin)


def test_contributing_shows_this_code():
    text = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text()
    assert inspect.getsource(draw) in text
    assert inspect.getsource(make) in text
    assert "BRIGHTER = Augmentation(make=make, draw=draw, uses=(1, 2), margin=PAPER.margin)" in text


def take(folder, steps, **options):
    with open_loader(folder, **{"img_size": SIZE, "augment": BRIGHTER} | options) as loader:
        return list(itertools.islice(loader, steps))


@pytest.mark.parametrize("encoding", ["original", "jpeg", "raw"])
def test_it_is_the_papers_and_one_thing_more(datasets, encoding):
    paper, brighter = (
        take(datasets[encoding], 12, augment=True, batch_size=4),
        take(datasets[encoding], 12, batch_size=4),
    )
    lights = set()
    for index, (domain, count) in enumerate((("a", 13), ("b", 9))):
        for step in range(12):
            for slot, position in enumerate(range(4 * step, 4 * step + 4)):
                passes, within = divmod(position, count)
                sample = order.permutation(1, domain, passes, count)[within]
                light = int(order.words(1, domain, 2, passes, count)[sample] >> np.uint64(58)) - 32
                lights.add(light)
                expected = np.clip(paper[step][index][slot].astype(int) + light, 0, 255)
                np.testing.assert_array_equal(brighter[step][index][slot], expected)
    assert len(lights) > 20


@pytest.mark.parametrize("encoding", ["original", "raw"])
@pytest.mark.parametrize(("world", "threads"), [(1, 4), (2, 1), (3, 2)])
def test_it_is_the_same_for_any_ranks_threads_and_restarts(datasets, encoding, world, threads):
    whole = take(datasets[encoding], 6, batch_size=6, threads=2)
    for start in (0, 1, 4):
        options = {"batch_size": 6 // world, "world": world, "threads": threads, "start_step": start}
        parts = [take(datasets[encoding], 6 - start, rank=rank, **options) for rank in range(world)]
        for step, *slices in zip(whole[start:], *parts, strict=True):
            for domain in (0, 1):
                np.testing.assert_array_equal(step[domain], np.concatenate([part[domain] for part in slices]))


@pytest.mark.parametrize(("layout", "channels"), [("float32", 3), ("uint8", 1)])
def test_it_works_in_every_layout(datasets, layout, channels):
    pixels = take(datasets["raw"], 3, batch_size=2)
    for one, other in zip(
        pixels, take(datasets["raw"], 3, batch_size=2, layout=layout, channels=channels), strict=True
    ):
        if layout == "float32":
            np.testing.assert_allclose(other[0], one[0].transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)
        else:
            assert np.abs(one[0] @ [0.299, 0.587, 0.114] - other[0][..., 0]).max() <= 1


def tops(words):
    return ((words >> np.uint64(60)).astype(np.int64),)  # 0 to 15


def cut_top(image, out, memory, top):
    out[:] = image[top : top + out.shape[0], 15 : 15 + out.shape[1]]


def crops(tops):
    return np.zeros(len(tops), bool), np.full(len(tops), 15), tops


LOWERED = Augmentation(make=cut_top, draw=tops, uses=(3,), margin=30, crops=crops)


@pytest.mark.parametrize("options", [{}, {"domain": "b", "endless": False}, {"shuffle": False}])
def test_its_fused_form_is_taken_and_gives_the_same_pixels(datasets, options):
    fused, plain = (
        open_loader(datasets["raw"], img_size=SIZE, batch_size=4, augment=augment, **options)
        for augment in (LOWERED, dataclasses.replace(LOWERED, crops=None))
    )
    with fused, plain:
        assert (fused._crops is None, plain._crops is None) == (False, True)
        batches = list(itertools.islice(zip(fused, plain, strict=True), 40))
    assert len(batches) == (3 if "domain" in options else 40)
    for one, other in batches:
        np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))


@pytest.mark.parametrize("lefts", [-1, 31])
def test_a_fused_form_that_leaves_the_record_is_refused(datasets, lefts):
    wrong = dataclasses.replace(LOWERED, crops=lambda tops: (tops < 0, np.full(len(tops), lefts), tops))
    with (
        open_loader(datasets["raw"], img_size=SIZE, augment=wrong) as loader,
        pytest.raises(BadInputError, match="augmentation: its crops begin outside of 0..30. Mend `crops`"),
    ):
        next(loader)


def test_it_may_take_no_stream_of_the_order_and_no_negative_margin():
    with pytest.raises(BadInputError, match=r"uses \(0,\): must be at least 1, for 0 is the order's stream"):
        Augmentation(make=make, uses=(0,))
    with pytest.raises(BadInputError, match="margin -1: must be at least 0"):
        Augmentation(make=make, margin=-1)


def test_its_margin_is_what_the_stored_size_must_offer(datasets):
    with pytest.warns(UserWarning, match=r"enlarged to img_size \+ 30 = 80. Convert with --stored_size 80"):
        open_loader(datasets["raw"], img_size=50, augment=LOWERED).close()


@pytest.mark.parametrize(
    "drawn", [lambda words: words, lambda words: (words[:1],), lambda words: None, lambda words: [words.tolist()]]
)
def test_draws_that_are_no_value_an_image_are_named(datasets, drawn):
    wrong = Augmentation(make=make, draw=drawn, uses=(2,))
    with (
        open_loader(datasets["original"], img_size=SIZE, augment=wrong) as loader,
        pytest.raises(BadInputError, match=r"augmentation: `draw` gives no tuple of arrays \(\d+,\), a value an image"),
    ):
        next(loader)
