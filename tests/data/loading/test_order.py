"""The order is a pure function of (seed, domain, position), and has the properties that training relies on."""

from __future__ import annotations

import numpy as np
import pytest

from ugatit_data.loading import order
from ugatit_data.loading.augment import PAPER, WHOLE, flips_and_corners


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_each_pass_is_a_permutation(count):
    for pass_index in range(3):
        assert sorted(order.permutation(1, "a", pass_index, count)) == list(range(count))


def test_passes_domains_and_seeds_have_orders_of_their_own():
    orders = {
        tuple(order.permutation(seed, domain, pass_index, 100).tolist())
        for seed in (0, 1, 2**64 - 1)
        for domain in "ab"
        for pass_index in range(3)
    }
    assert len(orders) == 18


def test_a_and_b_are_independent():
    # Paired orders would give a correlation of 1; of 20,000 independent positions it stays below 4 / sqrt(20000).
    a, b = (np.concatenate([order.permutation(3, d, p, 1000) for p in range(20)]) for d in "ab")
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.028
    assert (a == b).mean() < 0.005


def test_golden_order():
    # WARNING: these values are the promise that a seed means the same order for ever. Never change them.
    assert order.permutation(1, "a", 0, 8).tolist() == GOLDEN_A
    assert order.permutation(1, "b", 5, 8).tolist() == GOLDEN_B
    assert order.words(1, "a", 1, 0, 2).tolist() == GOLDEN_DRAWS


# WARNING: the words of 0.1, which every augmentation and order is made of. Never change them.
GOLDEN_WORDS = {
    ("a", 0, 0): [16086915834549238692, 5448529601018347655],
    ("a", 0, 3): [8098161801208144601, 3055863425615074499],
    ("a", 1, 0): [16278639771243212573, 6807555713146629974],
    ("a", 1, 3): [6278973547175908485, 2051923347180383145],
    ("b", 0, 0): [6761626009778191725, 7376704809834784026],
    ("b", 0, 3): [18433488244966777507, 14597912321509443220],
    ("b", 1, 0): [8893702929424106994, 13357943582879616415],
    ("b", 1, 3): [15276076109492424548, 16829535654967416416],
}


def test_golden_words():
    for (domain, use, pass_index), expected in GOLDEN_WORDS.items():
        assert order.words(7, domain, use, pass_index, 2).tolist() == expected


def test_no_two_pairs_of_domain_and_use_share_a_stream():
    """With 0.1's rule for all uses, the third of A would be the shuffle of B."""
    streams = {tuple(order.words(7, domain, use, 0, 2).tolist()) for domain in "ab" for use in range(100)}
    assert len(streams) == 200
    key_words = [order._key_word(domain, use) for domain in (0, 1) for use in range(100)]
    assert sorted(key_words) == list(range(200))
    assert [order._key_word(0, use) for use in range(4)] == [0, 1, 4, 6]
    assert [order._key_word(1, use) for use in range(4)] == [2, 3, 5, 7]


GOLDEN_A = [3, 5, 2, 7, 0, 6, 1, 4]
GOLDEN_B = [7, 4, 2, 6, 5, 0, 1, 3]
GOLDEN_DRAWS = [1386294051110952485, 18147817048375502686]


@pytest.mark.parametrize("count", [3, 8])
def test_samples_are_the_passes_one_after_the_other(count):
    expected = np.concatenate([order.permutation(5, "b", p, count) for p in range(11)])
    for start in range(20):
        for length in (1, 4, 11):
            ids, *chosen = order.samples(5, "b", count, start, start + length, PAPER)
            assert ids.tolist() == expected[start : start + length].tolist()
            passes = [divmod(position, count)[0] for position in range(start, start + length)]
            for number, values in enumerate(chosen):  # of each image what its pass draws for it
                drawn = [
                    flips_and_corners(order.words(5, "b", 1, p, count), 30)[number][sample]
                    for p, sample in zip(passes, ids, strict=True)
                ]
                assert values.tolist() == drawn


def test_unequal_domains_are_each_seen_once_a_pass():
    num_a, num_b, batch = 8000, 3000, 7
    steps = -(-num_a * 3 // batch)
    for domain, count in (("a", num_a), ("b", num_b)):
        seen = np.concatenate(
            [order.samples(1, domain, count, *order.rank_positions(s, batch, 0, 1), WHOLE)[0] for s in range(steps)]
        )
        passes = len(seen) // count
        assert passes == (3 if domain == "a" else 8)
        for index in range(passes):
            assert sorted(seen[index * count : (index + 1) * count]) == list(range(count))


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_ranks_cut_the_global_batch_into_disjoint_slices(world):
    for step in range(4):
        cover = [p for rank in range(world) for p in range(*order.rank_positions(step, 12 // world, rank, world))]
        assert cover == list(range(step * 12, step * 12 + 12))


def test_corners_are_uniform_and_flips_fair():
    flips, x, y = flips_and_corners(order.words(1, "a", 1, 0, 31 * 2000), 30)
    assert abs(flips.mean() - 0.5) < 0.01
    for corner in (x, y):
        counts = np.bincount(corner, minlength=31)
        assert len(counts) == 31
        assert counts.min() > 1800
        assert counts.max() < 2200
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.02
    assert abs(np.corrcoef(x, flips)[0, 1]) < 0.02


def test_corners_reach_their_limits_and_no_further():
    words = np.array([0, 2**64 - 1], np.uint64)
    flips, x, y = flips_and_corners(words, 30)
    assert (flips.tolist(), x.tolist(), y.tolist()) == ([False, True], [0, 30], [0, 30])


def test_steps_per_epoch_counts_the_larger_domain():
    assert order.steps_per_epoch(13, 9, 4) == 4
    assert order.steps_per_epoch(3, 8, 4) == 2


def test_equal_words_keep_the_order_of_their_ids(monkeypatch):
    """The fast sort is not stable; where two words are equal, the stable one decides, on every machine alike."""
    drawn = np.random.default_rng(1).integers(0, 50, 2000).astype(np.uint64)
    monkeypatch.setattr(order, "words", lambda *_: drawn)
    order.permutation.cache_clear()
    found = order.permutation(99, "a", 0, len(drawn))
    order.permutation.cache_clear()
    assert found.tolist() == sorted(range(len(drawn)), key=lambda i: (drawn[i], i))
