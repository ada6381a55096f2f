"""The loader: what a step holds depends on (seed, step, global batch) alone."""

from __future__ import annotations

import itertools
import json
import threading
import warnings

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError, open_loader
from ugatit_data.loading.augment import MARGIN, PAPER
from ugatit_data.pixels.geometry import resize, sides

SIZE = 48


def take(folder, steps, **options):
    with open_loader(folder, img_size=SIZE, **options) as loader:
        return list(itertools.islice(loader, steps))


def assert_same(left, right):
    assert len(left) == len(right) > 0
    for one, other in zip(left, right, strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("encoding", ["original", "jpeg", "raw"])
def test_threads_do_not_change_the_first_20_batches(datasets, encoding):
    batches = [take(datasets[encoding], 20, batch_size=3, threads=threads) for threads in (1, 2, 4)]
    assert_same(batches[0], batches[1])
    assert_same(batches[0], batches[2])
    assert batches[0][0][0].shape == (3, SIZE, SIZE, 3)
    assert batches[0][0][0].dtype == np.uint8


@pytest.mark.parametrize("check", ["off", "once", "every"])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_checks_and_threads_do_not_change_raw_batches(datasets, check, threads):
    """Over three passes, so that records are read again."""
    expected = take(datasets["raw"], 12, batch_size=3, threads=1, check="off")
    assert_same(expected, take(datasets["raw"], 12, batch_size=3, threads=threads, check=check))


def test_seeds_and_domains_differ(dataset):
    one, other = take(dataset, 6, batch_size=4), take(dataset, 6, batch_size=4, seed=2)
    assert any((x[0] != y[0]).any() for x, y in zip(one, other, strict=True))
    with open_loader(dataset, batch_size=9, img_size=SIZE) as loader:
        ids = [loader.sample_ids(step) for step in range(12)]
    assert all(a.tolist() != b.tolist() for a, b in ids)


def test_a_single_domain_is_its_half_of_the_pairs(dataset):
    pairs = take(dataset, 7, batch_size=2)
    for index, domain in enumerate("ab"):
        for pair, single in zip(pairs, take(dataset, 7, batch_size=2, domain=domain), strict=True):
            np.testing.assert_array_equal(pair[index], single)


@pytest.mark.parametrize("encoding", ["original", "jpeg", "raw"])
@pytest.mark.parametrize(("world", "threads"), [(1, 4), (2, 1), (2, 4), (3, 2)])
def test_ranks_together_see_what_one_rank_sees_after_a_restart_at_any_step(datasets, encoding, world, threads):
    """A global batch of 6, over several passes of both domains."""
    whole = take(datasets[encoding], 8, batch_size=6, threads=2)
    for start in range(8):
        options = {"batch_size": 6 // world, "world": world, "threads": threads, "start_step": start}
        parts = [take(datasets[encoding], 8 - start, rank=rank, **options) for rank in range(world)]
        joined = [[np.concatenate(slices) for slices in zip(*step, strict=True)] for step in zip(*parts, strict=True)]
        assert_same(whole[start:], joined)


def test_start_at_every_step_gives_the_same_tail(dataset):
    whole = take(dataset, 9, batch_size=4)
    for start in range(9):
        assert_same(whole[start:], take(dataset, 9 - start, batch_size=4, start_step=start))


def test_state_restores_in_the_same_and_in_another_loader(dataset):
    whole = take(dataset, 9, batch_size=4, seed=7)
    with open_loader(dataset, batch_size=4, img_size=SIZE, seed=7) as loader:
        for _ in range(5):
            next(loader)
        state = loader.state()
        assert (state["step"], state["seed"], state["global_batch"]) == (5, 7, 4)
        ahead = [next(loader) for _ in range(4)]
        loader.restore(state)
        assert_same(ahead, [next(loader) for _ in range(4)])
    with open_loader(dataset, batch_size=2, img_size=SIZE, world=2, rank=1, seed=1) as other:
        other.restore(state)
        np.testing.assert_array_equal(next(other)[0], whole[5][0][2:])
        assert other.state()["step"] == 6


def test_a_state_of_something_else_is_refused(dataset, datasets):
    with open_loader(dataset, batch_size=4, img_size=SIZE) as loader:
        state = loader.state()
    with open_loader(datasets["raw"], batch_size=4, img_size=SIZE) as loader, pytest.raises(BadInputError, match="id"):
        loader.restore(state)
    with (
        open_loader(dataset, batch_size=5, img_size=SIZE) as loader,
        pytest.raises(BadInputError, match="global_batch"),
    ):
        loader.restore(state)


def test_evaluation_is_finite_in_key_order_and_whole(dataset, source):
    with open_loader(dataset, "test", batch_size=2, img_size=SIZE, domain="a", augment=False) as loader:
        keys = loader.keys("a")
        ids = [loader.sample_ids(step)[0].tolist() for step in range(4)]
        batches = list(loader)
        assert loader.steps_per_epoch == 3
        assert list(loader) == []
    assert keys == sorted(keys)
    assert ids == [[0, 1], [2, 3], [4], []]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    for key, image in zip(keys, np.concatenate(batches), strict=True):
        expected = cv2.imread(str(source / "testA" / key.decode()), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(image, resize(expected, SIZE))


def test_evaluation_over_ranks_covers_each_image_once(dataset):
    parts = [
        take(dataset, 99, split="test", batch_size=1, domain="a", augment=False, rank=rank, world=2) for rank in (0, 1)
    ]
    assert [len(part) for part in parts] == [3, 2]


@pytest.mark.parametrize("img_size", [SIZE, (32, 48)])
def test_augmentation_is_flip_resize_crop_of_the_named_sample(dataset, source, img_size):
    from ugatit_data.loading import order

    high, wide = sides(img_size)
    with open_loader(dataset, batch_size=5, img_size=img_size, seed=3) as loader:
        for step in range(6):
            batch = next(loader)
            for index, domain in enumerate("ab"):
                count = (loader.num_a, loader.num_b)[index]
                picks = order.samples(3, domain, count, step * 5, step * 5 + 5, PAPER)
                assert picks[0].tolist() == loader.sample_ids(step)[index].tolist()
                for image, sample, flip, x, y in zip(batch[index], *picks, strict=True):
                    key = loader.keys(domain)[sample].decode()
                    whole = cv2.imread(str(source / f"train{domain.upper()}" / key), cv2.IMREAD_COLOR_RGB)
                    whole = resize(whole[:, ::-1] if flip else whole, (high + MARGIN, wide + MARGIN))
                    expected = whole[y : y + high, x : x + wide]
                    assert np.abs(image.astype(int) - expected).mean() <= 1


@pytest.mark.parametrize("encoding", ["original", "raw"])  # uint8 crops of raw records are made in a way of their own
def test_float_layout_and_luma(datasets, encoding):
    dataset = datasets[encoding]
    for pixels, floats in zip(
        take(dataset, 3, batch_size=2), take(dataset, 3, batch_size=2, layout="float32"), strict=True
    ):
        assert floats[0].dtype == np.float32
        assert floats[0].shape == (2, 3, SIZE, SIZE)
        np.testing.assert_allclose(floats[0], pixels[0].transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)
    (rgb, _), (gray, _) = take(dataset, 1, batch_size=2)[0], take(dataset, 1, batch_size=2, channels=1)[0]
    assert gray.shape == (2, SIZE, SIZE, 1)
    assert np.abs(rgb @ [0.299, 0.587, 0.114] - gray[..., 0]).max() <= 1


def test_batches_are_never_reused(dataset):
    with open_loader(dataset, batch_size=2, img_size=SIZE, threads=2) as loader:
        held = [next(loader) for _ in range(12)]
    assert_same(held, take(dataset, 12, batch_size=2))


def test_closing_leaves_no_thread_behind(dataset):
    before = set(threading.enumerate())
    loader = open_loader(dataset, img_size=SIZE, threads=3)
    next(loader)
    assert set(threading.enumerate()) > before
    loader.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ValueError, match="closed"):
        next(loader)


def test_what_ends_a_thread_reaches_the_caller_and_the_step_can_be_tried_again(dataset, monkeypatch):
    with open_loader(dataset, batch_size=2, img_size=SIZE, threads=2) as loader:
        expected = [next(loader) for _ in range(6)]
        fill, failing = loader._fill, []

        def broken(domain, ids, *drawn):
            if ids.tolist() in failing:
                raise SystemExit("the thread ends")
            return fill(domain, ids, *drawn)

        monkeypatch.setattr(loader, "_fill", broken)
        loader.restore(loader.state() | {"step": 0})
        failing.append(loader.sample_ids(3)[0].tolist())
        assert_same(expected[:3], [next(loader) for _ in range(3)])
        for _ in range(2):
            with pytest.raises(SystemExit, match="the thread ends"):
                next(loader)
        assert loader.state()["step"] == 3
        failing.clear()
        assert_same(expected[3:], [next(loader) for _ in range(3)])


def test_memory_is_bounded_over_100_epochs(dataset):
    import gc
    import resource

    def peak_mib():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    with open_loader(dataset, batch_size=13, img_size=96, layout="float32") as loader:
        for _ in range(10):
            next(loader)
        gc.collect()
        before = peak_mib()
        for _ in range(100 * loader.steps_per_epoch):  # 100 epochs of 26 images, 287 MB if they were kept
            next(loader)
        assert peak_mib() - before < 16


def test_counts_and_epoch(dataset):
    with open_loader(dataset, batch_size=2, img_size=SIZE, world=2) as loader:
        assert (loader.num_a, loader.num_b, loader.steps_per_epoch, loader.global_batch) == (13, 9, 4, 4)


def test_a_small_stored_size_warns(datasets):
    with pytest.warns(UserWarning, match="--stored_size 286"):
        open_loader(datasets["raw"], img_size=256).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_loader(datasets["original"], img_size=256).close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size 0: must be"),
        ({"img_size": -4}, "img_size -4"),
        ({"img_size": (64, 0)}, r"img_size \(64, 0\): must be a side"),
        ({"layout": "nchw"}, "layout 'nchw'"),
        ({"domain": "c"}, "domain 'c'"),
        ({"channels": 4}, "channels 4"),
        ({"rank": 2, "world": 2}, "rank 2"),
        ({"seed": -1}, "seed -1"),
        ({"check": "never"}, "check 'never'"),
        ({"threads": 0}, "threads 0"),
        ({"threads": "4"}, "threads '4'"),
        ({"threads": 2.5}, "threads 2.5"),
        ({"augment": np.array([1, 2])}, "augment array"),
        ({"shuffle": np.array([True, False])}, "shuffle array"),
        ({"split": "val"}, "split 'val'"),
    ],
)
def test_bad_arguments_are_named(dataset, options, message):
    with pytest.raises(BadInputError, match=message):
        open_loader(dataset, **options)


def test_integers_of_numpy_are_as_good_and_the_state_is_json(dataset):
    numbers = {"batch_size": 2, "threads": 1, "prefetch": 1, "seed": 3, "start_step": 1, "rank": 0, "world": 1}
    numbers |= {"img_size": SIZE, "channels": 3}
    with open_loader(dataset, **numbers) as plain:
        state, batch = plain.state(), next(plain)
        ids = [each.tolist() for each in plain.sample_ids(2)]
    for kind in (np.int64, np.uint8, np.uint64):
        with open_loader(dataset, **{name: kind(value) for name, value in numbers.items()}) as loader:
            loader.restore({name: kind(value) if isinstance(value, int) else value for name, value in state.items()})
            assert json.loads(json.dumps(loader.state())) == state
            np.testing.assert_array_equal(next(loader), batch)
            assert [each.tolist() for each in loader.sample_ids(kind(2))] == ids
    with open_loader(dataset, img_size=(np.int64(32), np.int32(SIZE))) as loader:
        assert next(loader)[0].shape == (1, 32, SIZE, 3)
    with pytest.raises(BadInputError, match=r"img_size \(32, 4.5\): must be a side"):
        open_loader(dataset, img_size=(np.int64(32), 4.5))
