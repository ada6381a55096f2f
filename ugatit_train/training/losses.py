"""The losses of U-GAT-IT (paper, section 2.2, equations 2 to 5) on logits; each returns a float32 scalar."""

from mindspore import ops


def _mean(x):
    """By the sum, which Ascend launches directly (aclnn), where it compiles ReduceMean and its gradient (aclop)."""
    return x.sum() * (1 / x.size)


def lsgan(logit, target: float):
    """Least squares to the target, 1 for real and 0 for fake (equation 2)."""
    difference = logit - target
    return _mean(difference * difference)


def l1(x, y):
    """Mean absolute difference: cycle and identity (equations 3 and 4)."""
    return _mean(ops.abs(x - y))


def bce(logit, target: float):
    """Binary cross entropy on logits, in the form that cannot overflow (equation 5)."""
    return _mean(ops.relu(logit) - logit * target + ops.log1p(ops.exp(-ops.abs(logit))))
