"""The order of the samples and their random words, as pure functions of (seed, domain, position).

All of the data engine's determinism is here. Random numbers are raw Philox words: NumPy keeps the words of a bit
generator for ever, while the streams behind `Generator` methods may change from one release to the next.

A *position* counts the samples taken from a domain since step 0. Pass p of a domain with n images is the positions
[p * n, (p + 1) * n); every pass visits every image once, in an order of its own.
"""

from __future__ import annotations

import functools

import numpy as np

from ugatit_data.errors import BadInputError
from ugatit_data.loading.augment import Augmentation

DOMAINS = ("a", "b")
ORDER = 0  # the use of random words that shuffles; those from 1 on are `Augmentation.uses`


def words(seed: int, domain: str, use: int, pass_index: int, count: int) -> np.ndarray:
    """The first `count` random words, uint64 (count,), of one pass of one domain for one use.

    The Philox key is (seed, a word for each pair of domain and use), the counter's second word the pass: no two streams
    overlap.
    """
    key = np.array([seed, _key_word(DOMAINS.index(domain), use)], np.uint64)
    counter = np.array([0, pass_index, 0, 0], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def _key_word(domain: int, use: int) -> int:
    """0 to 3 for the first two uses, as version 0.1 had them; from 4 on for the others."""
    return 2 * domain + use if use < 2 else 2 * use + domain


@functools.lru_cache(maxsize=8)  # the passes in flight: two a domain, for a few loaders
def permutation(seed: int, domain: str, pass_index: int, count: int) -> np.ndarray:
    """The sample ids of one pass in their order, int64 (count,), read-only."""
    drawn = words(seed, domain, ORDER, pass_index, count)
    order = np.argsort(drawn)  # several times faster than the stable sort, and the same unless two words are equal
    ranked = drawn[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.argsort(drawn, kind="stable")
    order.flags.writeable = False
    return order


@functools.lru_cache(maxsize=8)
def draws(seed: int, domain: str, pass_index: int, count: int, augmentation: Augmentation) -> tuple[np.ndarray, ...]:
    """What an augmentation draws for a whole pass, by sample id: its arrays, each (count,), read-only.

    For the images of one batch they take longer to make than to look up.

    Raises:
        BadInputError: `draw` gives something else.
    """
    made = augmentation.draw(*(words(seed, domain, use, pass_index, count) for use in augmentation.uses))
    arrays = isinstance(made, tuple | list) and all(isinstance(values, np.ndarray) for values in made)
    if not arrays or any(values.shape != (count,) for values in made):
        raise BadInputError(f"augmentation: `draw` gives no tuple of arrays ({count},), a value an image. Mend `draw`.")
    for values in made:
        values.flags.writeable = False
    return made


def rank_positions(step: int, batch_size: int, rank: int, world: int) -> tuple[int, int]:
    """The positions [start, stop) of one rank at one step: its slice of the global batch."""
    start = (step * world + rank) * batch_size
    return start, start + batch_size


def samples(
    seed: int, domain: str, count: int, start: int, stop: int, augmentation: Augmentation, shuffle: bool = True
) -> tuple[np.ndarray, ...]:
    """Of the positions [start, stop) of a domain with `count` images: sample ids (int64), and what is drawn for each.

    Without `shuffle` every pass is in the order of the ids.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    while start < stop or not parts:
        pass_index, within = divmod(start, count)
        taken = min(stop - start, count - within)
        if shuffle:
            ids = permutation(seed, domain, pass_index, count)[within : within + taken]
        else:
            ids = np.arange(within, within + taken)
        drawn = draws(seed, domain, pass_index, count, augmentation)
        parts.append((ids, *(values[ids] for values in drawn)))
        start += taken
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def steps_per_epoch(num_a: int, num_b: int, global_batch: int) -> int:
    """Steps until the larger domain has been seen once, rounded up."""
    return -(-max(num_a, num_b) // global_batch)
