"""Label noise: frequencies of flips, what stays, and the sizes of long-tailed classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from neural.classification.label_noise import (
    exponential_counts,
    inject_joint_noise,
    inject_pair_noise,
    inject_symmetric_noise,
)

INJECTIONS = (inject_symmetric_noise, inject_pair_noise, inject_joint_noise)
labels = arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 4))
FEW = settings(max_examples=25, deadline=None)


def frequencies(y, noisy, classes):
    """Row i: how often label i became each label."""
    return np.stack([np.bincount(noisy[y == i], minlength=classes) / (y == i).sum() for i in range(classes)])


@FEW
@given(labels, st.integers(0, 10))
def test_rate_0_changes_nothing_and_rate_1_everything_that_has_somewhere_to_go(y, seed):
    for inject in INJECTIONS:
        rng = np.random.default_rng(seed)
        assert np.array_equal(inject(y, 0.0, rng, classes=5), y)
        noisy = inject(y, 1.0, rng, classes=5)
        assert noisy.dtype == np.int64
        assert ((noisy >= 0) & (noisy < 5)).all()
        if inject is not inject_joint_noise or len(np.unique(y)) > 1:
            assert (noisy != y).all()


@FEW
@given(labels, st.floats(0, 1), st.integers(0, 10))
def test_joint_noise_never_invents_a_class(y, rate, seed):
    assert set(inject_joint_noise(y, rate, np.random.default_rng(seed), classes=9)) <= set(y)


def test_transition_frequencies_are_those_of_the_definitions():
    y = np.repeat(np.arange(4), [40_000, 20_000, 8_000, 4_000])
    rate, others = 0.3, ~np.eye(4, dtype=bool)
    counts = np.bincount(y)
    expected = {
        "symmetric": np.where(others, rate / 3, 1 - rate),
        "own": np.where(others, rate / 4, 1 - rate * 3 / 4),
        "pair": (1 - rate) * np.eye(4) + rate * np.roll(np.eye(4), 1, axis=1),
        "joint": np.where(others, rate * counts / (len(y) - counts)[:, None], 1 - rate),
    }
    rng = np.random.default_rng(0)
    seen = {
        "symmetric": inject_symmetric_noise(y, rate, rng),
        "own": inject_symmetric_noise(y, rate, rng, including_own=True),
        "pair": inject_pair_noise(y, rate, rng),
        "joint": inject_joint_noise(y, rate, rng),
    }
    for name, noisy in seen.items():
        sd = np.sqrt(expected[name] * (1 - expected[name]) / counts[:, None])
        assert (np.abs(frequencies(y, noisy, 4) - expected[name]) <= 5 * sd + 1e-12).all(), name


def test_rare_classes_are_polluted_most_by_joint_noise():
    y = np.repeat(np.arange(5), exponential_counts(5000, 5, 50.0))
    noisy = inject_joint_noise(y, 0.4, np.random.default_rng(0))
    wrong = [np.mean(y[noisy == k] != k) for k in range(5)]
    assert_allclose(wrong[1:], 0.4, atol=0.25)
    assert np.bincount(noisy, minlength=5)[4] < 2 * np.bincount(y)[4]


def test_a_single_class_has_nowhere_to_flip_to_and_the_argument_stays_as_it_is():
    y = np.zeros(5, dtype=np.int32)
    for inject in INJECTIONS:
        assert (inject(y, 1.0, np.random.default_rng(0)) == 0).all()
    y = np.array([0, 1, 1])
    inject_pair_noise(y, 1.0, np.random.default_rng(0))
    assert y.tolist() == [0, 1, 1]


@FEW
@given(st.integers(1, 1000), st.integers(1, 30), st.floats(1, 200))
def test_class_sizes_fall_from_the_largest_to_the_ratio_and_none_is_empty(n_max, classes, ratio):
    counts = exponential_counts(n_max, classes, ratio)
    assert counts[0] == n_max
    assert (np.diff(counts) <= 0).all()
    assert counts.min() >= 1
    if classes > 1:
        assert counts[-1] == max(1, np.rint(n_max / ratio))
        assert counts[-1] == pytest.approx(max(1, n_max / ratio), abs=0.5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: inject_joint_noise(np.array([0, 3]), 0.1, rng, classes=3), "y must be in 0 … 2, got 3"),
        (lambda rng: inject_pair_noise(np.array([0.5]), 0.1, rng), "y must be a non-empty vector of whole numbers"),
        (lambda rng: inject_symmetric_noise(np.array([0, 1]), 1.5, rng), r"rate must be a number in \[0, 1\]"),
        (lambda rng: inject_symmetric_noise(np.array([0, 1]), 0.5, 3), "rng must be a numpy.random.Generator, got int"),
        (lambda rng: exponential_counts(10, 3, 0.5), "ratio must be a finite number of at least 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))
