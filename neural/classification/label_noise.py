"""Label noise and class imbalance for experiments: which labels get flipped, and to what.

    symmetric   y -> a uniformly chosen other class          with probability rate
    pair        y -> y + 1 mod K                             with probability rate
    joint       y -> j ≠ y with probability N_j / (N - N_y)  with probability rate

Joint noise flips in proportion to class frequency, so that rare classes fill up with samples of frequent ones; its
transition matrix is that of picking the label of a random sample of another class. Every function takes the clean
labels and a ``numpy.random.Generator`` and returns a new vector; the argument stays as it is.

    noisy = inject_joint_noise(y, 0.4, np.random.default_rng(0))

Source: the three transition matrices are those of the literature on noisy labels; joint noise as used for long-tailed
data by Zhang, Zhao, Yao, Yuan and Huang (2023), "When Noisy Labels Meet Long Tail Dilemmas".
"""

import numpy as np
from jaxtyping import Int

from neural.validation import at_least, in_range, whole_number

__all__ = ["exponential_counts", "inject_joint_noise", "inject_pair_noise", "inject_symmetric_noise"]


def inject_symmetric_noise(
    y: Int[np.ndarray, " samples"],
    rate: float,
    rng: np.random.Generator,
    *,
    classes: int | None = None,
    including_own: bool = False,
) -> Int[np.ndarray, " samples"]:
    """With probability ``rate`` a label becomes uniform over the other classes, or over all if ``including_own``.

    ``classes`` is the largest label plus one if not given. A single class has no other: its labels stay.
    Raises ``ValueError`` for labels that are no non-empty vector of whole numbers in 0 … classes − 1 or a rate
    outside [0, 1].

    >>> inject_symmetric_noise(np.array([0, 1, 0, 1]), 1.0, np.random.default_rng(0)).tolist()
    [1, 0, 1, 0]
    """
    labels, classes = _checked(y, rate, rng, classes)
    flipped = rng.random(len(labels)) < rate
    if including_own:
        replacement = rng.integers(0, classes, len(labels))
    elif classes == 1:
        return labels
    else:
        replacement = (labels + rng.integers(1, classes, len(labels))) % classes
    return np.where(flipped, replacement, labels)


def inject_pair_noise(
    y: Int[np.ndarray, " samples"], rate: float, rng: np.random.Generator, *, classes: int | None = None
) -> Int[np.ndarray, " samples"]:
    """With probability ``rate`` a label moves on to the next class, the last one to class 0.

    Arguments and errors as in :func:`inject_symmetric_noise`.

    >>> inject_pair_noise(np.array([0, 1, 2]), 1.0, np.random.default_rng(0)).tolist()
    [1, 2, 0]
    """
    labels, classes = _checked(y, rate, rng, classes)
    return np.where(rng.random(len(labels)) < rate, (labels + 1) % classes, labels)


def inject_joint_noise(
    y: Int[np.ndarray, " samples"], rate: float, rng: np.random.Generator, *, classes: int | None = None
) -> Int[np.ndarray, " samples"]:
    """With probability ``rate`` a label of class i becomes j ≠ i with probability ``N_j / (N - N_i)``.

    N_j counts the clean labels of class j in ``y``. If all samples are of one class, their labels stay.
    Arguments and errors as in :func:`inject_symmetric_noise`.

    >>> inject_joint_noise(np.array([0, 0, 2, 2]), 1.0, np.random.default_rng(0), classes=4).tolist()
    [2, 2, 0, 0]
    """
    labels, classes = _checked(y, rate, rng, classes)
    counts = np.bincount(labels, minlength=classes)
    if counts.max() == len(labels):
        return labels
    flipped = rng.random(len(labels)) < rate
    ends = np.cumsum(counts)
    # A uniform rank among the samples sorted by class, with the own class' block skipped, has the wanted frequencies.
    rank = rng.integers(0, len(labels) - counts[labels])
    rank += np.where(rank >= (ends - counts)[labels], counts[labels], 0)
    return np.where(flipped, np.searchsorted(ends, rank, side="right"), labels)


def exponential_counts(n_max: int, classes: int, ratio: float) -> Int[np.ndarray, " classes"]:
    """Long-tailed class sizes ``n_max · ratio^(−k / (K − 1))`` for k = 0 … K − 1, rounded, at least 1 each.

    ``ratio`` (≥ 1) is that of the largest class to the smallest. Raises ``ValueError`` for sizes or numbers of
    classes below 1 or a ratio below 1.

    >>> exponential_counts(100, 3, 25.0).tolist()
    [100, 20, 4]
    """
    whole_number("n_max", n_max, 1)
    whole_number("classes", classes, 1)
    at_least("ratio", ratio, 1.0)
    position = np.arange(classes) / max(classes - 1, 1)
    return np.maximum(np.rint(n_max * ratio**-position), 1).astype(np.int64)


def _checked(y: np.ndarray, rate: float, rng: np.random.Generator, classes: int | None) -> tuple[np.ndarray, int]:
    labels = np.asarray(y)
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"y must be a non-empty vector of whole numbers, got {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0:
        raise ValueError(f"y must be at least 0, got {labels.min()}")
    if classes is None:
        classes = int(labels.max()) + 1
    whole_number("classes", classes, 1)
    if labels.max() >= classes:
        raise ValueError(f"y must be in 0 … {classes - 1}, got {labels.max()}")
    in_range("rate", rate, 0.0, 1.0)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
    return labels.astype(np.int64), classes
