"""`shuffle` and `endless`, in every pair that is allowed; what they mean by default is what `augment` meant in 0.1."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ugatit_data import BadInputError, open_loader
from ugatit_data.loading import order
from ugatit_data.loading.augment import PAPER, WHOLE

SIZE, COUNT, BATCH = 48, 7, 3
AUGMENTS = {True: PAPER, False: WHOLE}


@pytest.fixture(scope="module")
def equal(write_source, convert_folder, tmp_path_factory):
    """encoding -> a data set with as many images in A as in B."""
    root = tmp_path_factory.mktemp("equal")
    source = write_source(root / "source", {"trainA": COUNT, "trainB": COUNT})
    return {
        encoding: convert_folder(source, root / encoding, encoding=encoding, stored_size=78)
        for encoding in ("original", "raw")
    }


def drawn_images(folder, augment) -> dict[tuple[str, int, int], bytes]:
    """(domain, pass, sample id) -> pixels, out of three passes in the order of 0.1's pairs, an image at a time."""
    found = {}
    with open_loader(folder, img_size=SIZE, augment=augment) as loader:
        for position, pair in enumerate(itertools.islice(loader, 3 * COUNT)):
            passes = position // COUNT
            for domain, images in zip("ab", pair, strict=True):
                sample = order.permutation(1, domain, passes, COUNT)[position % COUNT]
                found[domain, passes, int(sample)] = images.tobytes()
    assert len(found) == 2 * 3 * COUNT
    return found


def expected(images, domain, shuffle, positions):
    """The pixels at positions of a domain."""
    for position in positions:
        passes, within = divmod(position, COUNT)
        sample = int(order.permutation(1, domain, passes, COUNT)[within]) if shuffle else within
        yield images[domain, passes, sample]


@pytest.mark.parametrize("encoding", ["original", "raw"])
@pytest.mark.parametrize("augment", AUGMENTS)
def test_every_reading_is_the_images_of_its_positions(equal, encoding, augment):
    images = drawn_images(equal[encoding], augment)
    for domain, shuffle, endless in itertools.product((None, "a", "b"), (None, True, False), (None, True, False)):
        plain = domain is not None and not augment  # what is read for evaluation
        shuffled = not plain if shuffle is None else shuffle
        finite = plain if endless is None else not endless
        last = COUNT if finite else 3 * COUNT
        options = {"batch_size": BATCH, "img_size": SIZE, "augment": augment, "domain": domain}
        with open_loader(equal[encoding], shuffle=shuffle, endless=endless, **options) as loader:
            batches = list(itertools.islice(loader, 3 * COUNT // BATCH))
            assert (next(loader, None) is None) == finite
        batches = [batch if domain is None else (batch,) for batch in batches]
        assert [len(batch[0]) for batch in batches] == ([3, 3, 1] if finite else [3] * 7)
        for index, name in enumerate(domain or "ab"):
            read = [image.tobytes() for batch in batches for image in batch[index]]
            assert read == list(expected(images, name, shuffled, range(last)))


@pytest.mark.parametrize("encoding", ["original", "raw"])
@pytest.mark.parametrize(("augment", "shuffle"), [*itertools.product((True, False), repeat=2)])
def test_finite_reading_over_ranks_and_from_a_later_step(equal, encoding, augment, shuffle):
    images = drawn_images(equal[encoding], augment)
    options = {"img_size": SIZE, "augment": augment, "shuffle": shuffle, "endless": False, "domain": "b"}
    whole = list(expected(images, "b", shuffle, range(COUNT)))
    parts = []
    for rank in range(2):
        with open_loader(equal[encoding], batch_size=2, rank=rank, world=2, **options) as loader:
            parts.append([[image.tobytes() for image in batch] for batch in loader])
    assert [[len(batch) for batch in part] for part in parts] == [[2, 2], [2, 1]]
    assert [image for step in zip(*parts, strict=True) for batch in step for image in batch] == whole
    with open_loader(equal[encoding], batch_size=2, start_step=2, **options) as loader:
        assert [image.tobytes() for batch in loader for image in batch] == whole[4:]
        state = loader.state()
        loader.restore(state | {"step": 3})
        assert [image.tobytes() for batch in loader for image in batch] == whole[6:]
    with open_loader(equal[encoding], batch_size=2, start_step=99, **options) as loader:
        assert list(loader) == []
        assert loader.sample_ids(99)[0].tolist() == []


def test_pairs_without_augmentation_stay_shuffled_and_endless(equal):
    """As in 0.1, whatever one would expect: recorded evaluations depend on it."""
    with open_loader(equal["raw"], img_size=SIZE, batch_size=COUNT, augment=False) as loader:
        ids = [[part.tolist() for part in loader.sample_ids(step)] for step in range(2)]
        assert len(list(itertools.islice(loader, 20))) == 20
    assert ids == [[order.permutation(1, domain, step, COUNT).tolist() for domain in "ab"] for step in range(2)]


def test_pairs_of_unequal_domains_have_no_end(dataset):
    with pytest.raises(BadInputError, match="13 images in trainA and 9 in trainB.* Open one domain at a time") as error:
        open_loader(dataset, endless=False)
    assert str(error.value).startswith("endless=False: ")
    for domain, count in (("a", 13), ("b", 9)):
        with open_loader(dataset, img_size=SIZE, domain=domain, endless=False) as loader:
            assert len(list(loader)) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shuffle": "yes"}, "shuffle 'yes': must be None, True or False"),
        ({"endless": 3}, "endless 3: must be None, True or False"),
        ({"augment": "flip"}, "augment 'flip': must be True, False or an Augmentation"),
    ],
)
def test_other_values_are_refused(dataset, options, message):
    with pytest.raises(BadInputError, match=message):
        open_loader(dataset, **options)


def test_ones_and_zeros_of_numpy_are_as_good(dataset):
    with open_loader(dataset, img_size=SIZE, domain="a", augment=np.bool_(False)) as loader:
        assert len(list(loader)) == 13
