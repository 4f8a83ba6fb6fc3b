"""Marginals and noise for halfspaces: moments as stated, noise within its rates, adversaries within their share."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from theory.learning import halfspace_data as data

MARGINALS = [
    data.gaussian, data.strongly_log_concave, data.ball, data.laplace, data.student_t, data.hypercube, data.line,
    data.clusters,
]  # fmt: skip


@pytest.mark.parametrize("marginal", MARGINALS)
def test_marginals_have_mean_zero_the_right_shape_and_are_reproducible(marginal):
    X = marginal(50_000, 3, np.random.default_rng(0))
    assert X.shape == (50_000, 3)
    assert X.dtype == np.float64
    assert np.abs(X.mean(axis=0)).max() < 0.05
    assert np.array_equal(X, marginal(50_000, 3, np.random.default_rng(0)))
    assert marginal(1, 2, np.random.default_rng(0)).shape == (1, 2)


@pytest.mark.parametrize("marginal", [data.gaussian, data.ball, data.laplace, data.hypercube])
def test_these_marginals_have_unit_covariance(marginal):
    assert_allclose(np.cov(marginal(100_000, 3, np.random.default_rng(0)).T), np.eye(3), atol=0.03)


def test_the_ball_ends_at_its_radius_and_a_line_is_thin():
    assert np.linalg.norm(data.ball(10_000, 4, np.random.default_rng(0)), axis=1).max() <= np.sqrt(6)
    spectrum = np.linalg.svd(data.line(5000, 3, np.random.default_rng(0)), compute_uv=False)
    assert spectrum[1] < 0.02 * spectrum[0]


@pytest.mark.parametrize("pattern", data.MASSART_PATTERNS)
def test_massart_labels_are_flipped_at_rates_of_at_most_eta(pattern):
    rng = np.random.default_rng(0)
    X, w_star = data.gaussian(60_000, 2, rng), np.array([3.0, 4.0])
    y, rates = data.massart_labels(X, w_star, 0.3, rng, pattern=pattern)
    assert set(np.unique(rates)) <= {0.0, 0.3}
    flipped = y != np.where(X @ w_star < 0, -1, 1)
    assert not flipped[rates == 0].any()
    assert_allclose(flipped[rates > 0].mean(), 0.3, atol=0.01)


@pytest.mark.parametrize("pattern", data.ADVERSARIAL_PATTERNS)
def test_an_adversary_flips_exactly_its_share(pattern):
    rng = np.random.default_rng(0)
    X, w_star = data.gaussian(2000, 3, rng), np.array([0.0, 1.0, -1.0])
    right = np.where(X @ w_star < 0, -1, 1)
    for share, count in ((0.0, 0), (0.0004, 0), (0.01, 20), (0.2, 400)):
        assert (data.adversarial_labels(X, w_star, share, rng, pattern=pattern) != right).sum() == count


def test_adversaries_flip_where_they_say():
    rng = np.random.default_rng(0)
    X, w_star = data.gaussian(1000, 2, rng), np.array([1.0, 0.0])
    right, margin = np.where(X @ w_star < 0, -1, 1), np.abs(X @ w_star)
    near, far = (data.adversarial_labels(X, w_star, 0.05, rng, pattern=p) != right for p in ("near", "far"))
    assert margin[near].max() <= margin[~near].min()
    assert margin[far].min() >= margin[~far].max()
    wedge = data.adversarial_labels(X, w_star, 0.05, rng, pattern="wedge") != right
    angles = np.arctan2(X[wedge, 0], X[wedge, 1] * np.sign(X[wedge][0, 1]))
    assert np.ptp(np.tan(angles)) < 1.0  # all on one side of the hyperplane's direction, in a double cone


def test_points_on_the_hyperplane_are_positive():
    X = np.array([[0.0, 1.0], [0.0, -1.0]])
    y, _ = data.massart_labels(X, np.array([1.0, 0.0]), 0.0, np.random.default_rng(0))
    assert y.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda rng: data.gaussian(0, 2, rng), "samples"), (lambda rng: data.ball(5, 1, rng), "dim"),
        (lambda rng: data.gaussian(5, 2, 0), "rng"), (lambda rng: data.clusters(5, 2, rng, count=1), "count"),
        (lambda rng: data.massart_labels(np.eye(2), np.ones(2), 0.5, rng), "eta"),
        (lambda rng: data.massart_labels(np.eye(2), np.zeros(2), 0.1, rng), "w_star"),
        (lambda rng: data.adversarial_labels(np.eye(2), np.ones(2), 1.1, rng), "share"),
        (lambda rng: data.adversarial_labels(np.eye(2), np.ones(2), 0.1, rng, pattern="odd"), "pattern"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, name, unchecked):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        call(np.random.default_rng(0))
