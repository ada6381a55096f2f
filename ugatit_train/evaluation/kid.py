"""KID, the kernel inception distance (Binkowski et al., "Demystifying MMD GANs", ICLR 2018), from feature vectors.

It is the unbiased estimate of the squared maximum mean discrepancy under k(x, y) = (x . y / d + 1)^3, which is 0 for
two samples of one distribution, on average: a single estimate may be negative. NumPy in float64 only.

Legend: features float (N, D), one row an image.
"""

import dataclasses
import math

import numpy as np

SUBSETS = 100
LARGEST_SUBSET = 1000  # these two are the usual ones, of the paper's code and of torch-fidelity
LEGACY_SOURCE_SHARE = 0.98
LEGACY_BLOCK = 10


@dataclasses.dataclass(frozen=True)
class Distance:
    """The mean of the estimates over random subsets, and their standard deviation."""

    mean: float
    std: float


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x . y / d + 1)^3 of every pair of rows, float64 (N, M)."""
    return (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1) ** 3


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of the squared MMD of two sets of features (N, D), (M, D); N and M from 2."""

    def within(z: np.ndarray) -> float:
        k, n = kernel(z, z), len(z)
        return (k.sum() - np.trace(k)) / (n * (n - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def default_subset_size(x: np.ndarray, y: np.ndarray) -> int:
    """1000, or half of the smaller set: with whole sets every subset would be the same one, and the deviation 0."""
    return max(2, min(LARGEST_SUBSET, len(x) // 2, len(y) // 2))


def kernel_distance(
    x: np.ndarray, y: np.ndarray, *, subsets: int = SUBSETS, subset_size: int | None = None, seed: int = 1
) -> Distance:
    """Mean and standard deviation of `mmd2` over random subsets of both sets, drawn without replacement.

    This is KID where the features are InceptionV3's; a function of its arguments alone.

    Raises:
        ValueError: fewer than two rows in a set, or a subset larger than a set.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"a distance of {len(x)} and {len(y)} images: two of each are the least")
    size = default_subset_size(x, y) if subset_size is None else subset_size
    if not 2 <= size <= min(len(x), len(y)):
        raise ValueError(f"subsets of {size} from sets of {len(x)} and {len(y)}: give 2 to {min(len(x), len(y))}")
    estimates = [mmd2(x[_subset(seed, 2 * i, len(x), size)], y[_subset(seed, 2 * i + 1, len(y), size)])
                 for i in range(subsets)]  # fmt: skip
    return Distance(float(np.mean(estimates)), float(np.std(estimates)))


def _subset(seed: int, stream: int, count: int, size: int) -> np.ndarray:
    """`size` different indices below `count`; raw Philox words, which stay the same in every release of NumPy."""
    words = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(count)
    return np.argsort(words, kind="stable")[:size]


def legacy_mixed(source: np.ndarray, target: np.ndarray, made: np.ndarray) -> Distance:
    """The figure that the model zoo and the paper print as KID x 100: to compare with theirs, and for nothing else.

    It mixes 0.98 of the distance to the *source* domain with 0.02 of that to the target, and halves the sum: a
    translation that copies its input scores best. Each distance is the mean over blocks of at most 10 images in the
    order given, its deviation the standard error of that mean (NaN for a single block).

    Raises:
        ValueError: too few images for two in each block.
    """
    near, far = _over_blocks(source, made), _over_blocks(target, made)
    share = LEGACY_SOURCE_SHARE
    mean, std = (share * s + (1 - share) * t for s, t in zip(near, far, strict=True))
    return Distance(100 * mean / 2, 100 * std / 2)


def _over_blocks(real: np.ndarray, made: np.ndarray) -> tuple[float, float]:
    """Mean of `mmd2` over blocks in order, and its standard error."""
    count = math.ceil(max(len(real), len(made)) / LEGACY_BLOCK)
    if min(len(real), len(made)) < 2 * count:
        raise ValueError(f"the legacy figure of {len(real)} and {len(made)} images: a block would hold fewer than two")
    pairs = zip(_blocks(real, count), _blocks(made, count), strict=True)
    estimates = np.array([mmd2(x, y) for x, y in pairs])
    error = float(estimates.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return float(estimates.mean()), error


def _blocks(features: np.ndarray, count: int) -> list[np.ndarray]:
    """`count` consecutive blocks as equal as can be; the larger ones come last."""
    small, larger = divmod(len(features), count)
    sizes = [small] * (count - larger) + [small + 1] * larger
    return np.split(features, np.cumsum(sizes)[:-1])
