"""KID: against a float64 reference written from the paper's formula, against public code, and in known cases."""

import math

import numpy as np
import pytest

from ugatit_train.evaluation import kid


def features(seed, count, d=32, shift=0.0):
    return (np.random.default_rng(seed).gamma(2, 0.4, (count, d)) + shift).astype(np.float32)


def reference_mmd2(x, y):
    """Pair by pair, in plain Python: the U-statistic of Binkowski et al., section 3, with their kernel."""

    def k(a, b):
        return (math.fsum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def within(z):
        return math.fsum(k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j)

    n, m = len(x), len(y)
    across = math.fsum(k(a, b) for a in x for b in y)
    return within(x) / (n * (n - 1)) + within(y) / (m * (m - 1)) - 2 * across / (n * m)


@pytest.mark.parametrize(("n", "m", "shift"), [(7, 7, 0.0), (5, 9, 0.3), (2, 2, -0.2)])
def test_the_estimate_agrees_with_the_reference(n, m, shift):
    x, y = features(1, n, 16), features(2, m, 16, shift)
    assert kid.mmd2(x, y) == pytest.approx(reference_mmd2(x, y), abs=1e-6)
    assert kid.mmd2(x, y) == pytest.approx(reference_mmd2(x, y), rel=1e-11)


def test_subsets_give_the_mean_and_deviation_of_the_reference():
    x, y = features(1, 12, 8), features(2, 11, 8, 0.1)
    found = kid.kernel_distance(x, y, subsets=5, subset_size=4, seed=3)
    estimates = []
    for i in range(5):
        chosen_x = np.argsort(np.random.Philox(key=np.array([3, 2 * i], np.uint64)).random_raw(12))[:4]
        chosen_y = np.argsort(np.random.Philox(key=np.array([3, 2 * i + 1], np.uint64)).random_raw(11))[:4]
        estimates.append(reference_mmd2(x[chosen_x], y[chosen_y]))
    assert found.mean == pytest.approx(np.mean(estimates), abs=1e-6)
    assert found.std == pytest.approx(np.std(estimates), abs=1e-6)


def test_disjoint_halves_of_a_set_are_0_within_the_deviation_and_a_shifted_set_is_not():
    one = features(5, 400)
    halves = kid.kernel_distance(one[:200], one[200:])
    assert abs(halves.mean) < halves.std
    apart = kid.kernel_distance(one[:200], features(6, 200, shift=0.3))
    assert apart.mean > 5 * apart.std
    assert apart.mean > 100 * abs(halves.mean)


def test_it_is_unbiased():
    """Over many pairs of small samples of one distribution, the estimates have mean 0; biased ones do not."""
    estimates = [kid.mmd2(features(2 * i, 6, 8), features(2 * i + 1, 6, 8)) for i in range(1500)]
    error = np.std(estimates) / math.sqrt(len(estimates))
    assert abs(np.mean(estimates)) < 3 * error
    assert min(estimates) < 0
    biased = [e + _diagonal(2 * i) + _diagonal(2 * i + 1) for i, e in enumerate(estimates)]
    assert np.mean(biased) > 10 * error


def _diagonal(seed):
    k, n = kid.kernel(*[features(seed, 6, 8)] * 2), 6
    return k.mean() - (k.sum() - np.trace(k)) / (n * (n - 1))


def test_the_same_seed_gives_the_same_figure_and_another_a_near_one():
    x, y = features(1, 60), features(2, 60, shift=0.1)
    assert kid.kernel_distance(x, y, seed=1) == kid.kernel_distance(x, y, seed=1)
    other = kid.kernel_distance(x, y, seed=2)
    assert other != kid.kernel_distance(x, y, seed=1)
    assert other.mean == pytest.approx(kid.kernel_distance(x, y, seed=1).mean, abs=other.std)


@pytest.mark.parametrize(
    ("n", "m", "size", "words"),
    [(1, 9, None, "two of each"), (8, 9, 9, "give 2 to 8"), (8, 9, 1, "give 2 to 8")],
)
def test_too_few_images(n, m, size, words):
    with pytest.raises(kid.KidError, match=words):
        kid.kernel_distance(features(1, n), features(2, m), subset_size=size)


def test_the_legacy_figure_is_the_sum_of_its_blocks_and_prefers_a_copy_of_the_input():
    source, target, made = features(1, 23, 8), features(2, 21, 8, 0.5), features(3, 23, 8, 0.45)
    blocks = {23: [slice(0, 7), slice(7, 15), slice(15, 23)], 21: [slice(0, 7), slice(7, 14), slice(14, 21)]}
    mean = error = 0.0
    for real, share in ((source, 0.98), (target, 0.02)):
        each = [reference_mmd2(real[i], made[j]) for i, j in zip(blocks[len(real)], blocks[len(made)], strict=True)]
        mean += 100 * share * np.mean(each) / 2
        error += 100 * share * np.std(each, ddof=1) / math.sqrt(3) / 2
    found = kid.legacy_mixed(source, target, made)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    assert found.std == pytest.approx(error, abs=1e-6)
    # The copy of the input wins here. Against the target it loses, as it should.
    copied = kid.legacy_mixed(source, target, source)
    assert copied.mean < found.mean
    assert kid.kernel_distance(source, target).mean > kid.kernel_distance(made, target).mean


def test_the_legacy_figure_of_one_block_has_no_deviation_and_of_too_few_images_is_refused():
    assert math.isnan(kid.legacy_mixed(features(1, 8), features(2, 9), features(3, 8)).std)
    with pytest.raises(kid.KidError, match="fewer than two"):
        kid.legacy_mixed(features(1, 30), features(2, 5), features(3, 30))


@pytest.mark.filterwarnings("ignore:Metric `Kernel:UserWarning")
def test_torchmetrics_agrees():
    torch = pytest.importorskip("torch", reason="torch is not installed: no comparison with torchmetrics")
    kid = pytest.importorskip(
        "torchmetrics.image.kid", reason="torchmetrics is not installed: not compared with its KID"
    )

    class Given(torch.nn.Module):
        """ "Features" that are the images themselves."""

        num_features = 32

        def forward(self, x):
            return x.reshape(len(x), -1)

    x, y = features(1, 40), features(2, 40, shift=0.2)
    theirs = kid.KernelInceptionDistance(feature=Given(), subsets=3, subset_size=40)  # whole sets: nothing random
    theirs.set_dtype(torch.float64)
    theirs.update(torch.tensor(x, dtype=torch.float64), real=True)
    theirs.update(torch.tensor(y, dtype=torch.float64), real=False)
    ours = kid.kernel_distance(x, y, subsets=3, subset_size=40)
    assert ours.mean == pytest.approx(float(theirs.compute()[0]), abs=1e-6)
