"""The order of the samples and their random draws, as pure functions of (seed, domain, position).

All of the data engine's determinism lives here. Random numbers are raw Philox words: NumPy keeps the words of a bit
generator for ever, while the streams behind `Generator` methods may change from one release to the next.

A *position* counts the samples drawn from a domain since step 0. Pass p of a domain with n images is the positions
[p * n, (p + 1) * n); every pass visits every image once, in an order of its own.
"""

from __future__ import annotations

import functools

import numpy as np

DOMAINS = ("a", "b")
_ORDER, _AUGMENT = 0, 1  # the two uses of random words; a stream for each, so that neither shifts the other


def words(seed: int, domain: str, use: int, pass_index: int, count: int) -> np.ndarray:
    """The first `count` random words, uint64 (count,), of one pass of one domain.

    The Philox key is (seed, domain and use), the counter's second word the pass: no two streams can overlap.
    """
    key = np.array([seed, DOMAINS.index(domain) * 2 + use], np.uint64)
    counter = np.array([0, pass_index, 0, 0], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


@functools.lru_cache(maxsize=8)  # the passes in flight: two a domain, for a few loaders
def permutation(seed: int, domain: str, pass_index: int, count: int) -> np.ndarray:
    """The sample ids of one pass in their order, int64 (count,), read-only."""
    drawn = words(seed, domain, _ORDER, pass_index, count)
    order = np.argsort(drawn)  # several times faster than the stable sort, and the same unless two words are equal
    ranked = drawn[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.argsort(drawn, kind="stable")
    order.flags.writeable = False
    return order


def draws(seed: int, domain: str, pass_index: int, count: int) -> np.ndarray:
    """One random word per sample id of a pass, for its augmentation, uint64 (count,)."""
    return words(seed, domain, _AUGMENT, pass_index, count)


def flips_and_corners(drawn: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flip (bool), x and y (int64, each uniform over 0..room) out of random words, uint64 (n,).

    Bit 63 is the flip, bits 0-31 make x, bits 32-62 make y, so that the three are independent. Multiply and shift:
    the bias is below room / 2**31.
    """
    side = np.uint64(room + 1)
    x = ((drawn & np.uint64(0xFFFFFFFF)) * side) >> np.uint64(32)
    y = (((drawn >> np.uint64(32)) & np.uint64(0x7FFFFFFF)) * side) >> np.uint64(31)
    return (drawn >> np.uint64(63)).astype(bool), x.astype(np.int64), y.astype(np.int64)


@functools.lru_cache(maxsize=8)
def augmentations(
    seed: int, domain: str, pass_index: int, count: int, room: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`flips_and_corners` of a whole pass by sample id, each (count,), read-only: for a batch they cost more to make
    than to look up."""
    made = flips_and_corners(draws(seed, domain, pass_index, count), room)
    for values in made:
        values.flags.writeable = False
    return made


def rank_positions(step: int, batch_size: int, rank: int, world: int) -> tuple[int, int]:
    """The positions [start, stop) of one rank at one step: its slice of the global batch."""
    start = (step * world + rank) * batch_size
    return start, start + batch_size


def samples(seed: int, domain: str, count: int, start: int, stop: int, room: int) -> tuple[np.ndarray, ...]:
    """Of the positions [start, stop) of a domain with `count` images: sample ids (int64), and each one's flip and
    corner as `flips_and_corners` gives them."""
    parts = []
    while start < stop:
        pass_index, within = divmod(start, count)
        taken = min(stop - start, count - within)
        ids = permutation(seed, domain, pass_index, count)[within : within + taken]
        flips, xs, ys = augmentations(seed, domain, pass_index, count, room)
        parts.append((ids, flips[ids], xs[ids], ys[ids]))
        start += taken
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def steps_per_epoch(num_a: int, num_b: int, global_batch: int) -> int:
    """Steps until the larger domain has been seen once, rounded up."""
    return -(-max(num_a, num_b) // global_batch)
