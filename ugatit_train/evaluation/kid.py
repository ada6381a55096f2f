"""KID, the kernel inception distance (Binkowski et al., "Demystifying MMD GANs", ICLR 2018), from feature vectors.

It is the unbiased estimate of the squared maximum mean discrepancy (MMD) under k(x, y) = (x . y / d + 1)^3. For two
samples of one distribution its mean is 0, so a single estimate may be negative. All in float64.

Features are float (N, D), a row for each image.
"""

import dataclasses
import math

import numpy as np

from ugatit_train.errors import UgatitError

SUBSETS = 100
LARGEST_SUBSET = 1000  # both as in the paper's code and in torch-fidelity
LEGACY_SOURCE_SHARE = 0.98
LEGACY_BLOCK = 10


class KidError(UgatitError):
    """Sets of features that have no such distance; the message is one line."""

    exit_code = 2


@dataclasses.dataclass(frozen=True)
class Distance:
    """The mean of several estimates, and their standard deviation."""

    mean: float
    std: float


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x . y / d + 1)^3 of every pair of rows, float64 (N, M)."""
    return (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1) ** 3


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of the squared MMD of two sets of features (N, D) and (M, D); N and M are 2 or more."""

    def within(z: np.ndarray) -> float:
        k, n = kernel(z, z), len(z)
        return (k.sum() - np.trace(k)) / (n * (n - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def default_subset_size(x: np.ndarray, y: np.ndarray) -> int:
    """1000, or half of the smaller set if that is less: subsets as large as their set would all be the same."""
    return max(2, min(LARGEST_SUBSET, len(x) // 2, len(y) // 2))


def kernel_distance(
    x: np.ndarray, y: np.ndarray, *, subsets: int = SUBSETS, subset_size: int | None = None, seed: int = 1
) -> Distance:
    """Mean and standard deviation of `mmd2` over random subsets of both sets, drawn without replacement.

    With InceptionV3's features this is KID. The result depends on nothing but the arguments.

    Raises:
        KidError: a set has fewer than two rows, or a subset would be larger than its set.
    """
    if min(len(x), len(y)) < 2:
        raise KidError(f"a distance of {len(x)} and {len(y)} images: two of each are the least")
    size = default_subset_size(x, y) if subset_size is None else subset_size
    if not 2 <= size <= min(len(x), len(y)):
        raise KidError(f"subsets of {size} from sets of {len(x)} and {len(y)}: give 2 to {min(len(x), len(y))}")
    estimates = [mmd2(x[_subset(seed, 2 * i, len(x), size)], y[_subset(seed, 2 * i + 1, len(y), size)])
                 for i in range(subsets)]  # fmt: skip
    return Distance(float(np.mean(estimates)), float(np.std(estimates)))


def _subset(seed: int, stream: int, count: int, size: int) -> np.ndarray:
    """`size` different indices below `count`, from raw Philox words: they are the same in every release of NumPy."""
    words = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(count)
    return np.argsort(words, kind="stable")[:size]


def legacy_mixed(source: np.ndarray, target: np.ndarray, made: np.ndarray) -> Distance:
    """The figure that the model zoo and the paper print as KID x 100. Use it only to compare with theirs.

    It is half of 0.98 of the distance to the *source* domain plus 0.02 of the distance to the target: a translation
    that copies its input scores best. Each distance is a mean over blocks of at most 10 images in the order given; its
    deviation is the standard error of that mean, NaN for a single block.

    Raises:
        KidError: a block would hold fewer than two images.
    """
    near, far = _over_blocks(source, made), _over_blocks(target, made)
    share = LEGACY_SOURCE_SHARE
    mean, std = (share * s + (1 - share) * t for s, t in zip(near, far, strict=True))
    return Distance(100 * mean / 2, 100 * std / 2)


def _over_blocks(real: np.ndarray, made: np.ndarray) -> tuple[float, float]:
    """Mean of `mmd2` over blocks in order, and its standard error."""
    count = math.ceil(max(len(real), len(made)) / LEGACY_BLOCK)
    if min(len(real), len(made)) < 2 * count:
        raise KidError(f"the legacy figure of {len(real)} and {len(made)} images: a block would hold fewer than two")
    pairs = zip(_blocks(real, count), _blocks(made, count), strict=True)
    estimates = np.array([mmd2(x, y) for x, y in pairs])
    error = float(estimates.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return float(estimates.mean()), error


def _blocks(features: np.ndarray, count: int) -> list[np.ndarray]:
    """`count` consecutive blocks of nearly equal size; the larger ones come last."""
    small, larger = divmod(len(features), count)
    sizes = [small] * (count - larger) + [small + 1] * larger
    return np.split(features, np.cumsum(sizes)[:-1])
