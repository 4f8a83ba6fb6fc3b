"""Certificates for halfspaces: each inequality against brute force, attained where it is tight, on any points."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from theory.learning import halfspace_bounds, halfspace_data
from theory.learning.halfspace_certificates import (
    agnostic_angle_certificate,
    angle_certificate,
    disagreement_certificate,
    fourth_moment_bound,
    stationary_angle_bound,
)
from theory.learning.halfspace_surrogate import localized_sgd, ramp_grad, ramp_loss, triangle_kernel
from theory.learning.localized_moments import StronglyLogConcave

EXAMPLES = settings(max_examples=60, deadline=None)
coordinates = st.floats(-5, 5).map(lambda v: round(v, 3))
MARGINALS = [
    halfspace_data.gaussian, halfspace_data.strongly_log_concave, halfspace_data.ball, halfspace_data.laplace,
    halfspace_data.student_t, halfspace_data.hypercube, halfspace_data.line, halfspace_data.clusters,
]  # fmt: skip


def directions(dim, count=400, seed=0):
    v = np.random.default_rng(seed).standard_normal((count, dim))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def signs(w, X):
    return np.where(X @ w < 0, -1, 1)


def hostile_sample(seed, dim=None):
    rng = np.random.default_rng(seed)
    dim = dim or int(rng.integers(2, 5))
    X = MARGINALS[seed % len(MARGINALS)](int(rng.integers(5, 300)), dim, rng)
    return X * 10.0 ** rng.uniform(-1, 1, dim), rng


# the surrogate ------------------------------------------------------------------------------------


def test_kernel_is_even_integrates_to_one_and_is_at_most_one_over_sigma():
    t = np.linspace(-2, 2, 400_001)
    for sigma in (0.1, 1.0, 1.7):
        k = triangle_kernel(t, sigma)
        assert_allclose(np.trapezoid(k, t), 1.0, rtol=1e-6)
        assert_allclose(k, k[::-1], atol=1e-9)
        assert k.max() <= 1 / sigma


@EXAMPLES
@given(
    arrays(float, (6, 3), elements=coordinates),
    st.integers(0, 63),
    st.floats(0.05, 3),
    arrays(float, 3, elements=coordinates),
)
def test_gradient_is_the_derivative_of_the_loss_along_the_sphere(X, bits, sigma, direction):
    y = np.array([1 if bits >> i & 1 else -1 for i in range(6)])
    w = np.array([1.0, -0.5, 0.3])
    w /= np.linalg.norm(w)
    tangent = direction - (direction @ w) * w
    step = 1e-6
    ahead, behind = (ramp_loss(w + s * step * tangent, X, y, sigma) for s in (1, -1))
    slope = ramp_grad(w, X, y, sigma) @ tangent
    # The kernel has corners, where one-sided slopes differ by what one step crosses.
    assert abs((ahead - behind) / (2 * step) - slope) <= 1e-5 * (1 + 100 / sigma**2)
    assert abs(ramp_grad(w, X, y, sigma) @ w) <= 1e-9 / sigma * (1 + np.abs(X).max())


def test_loss_tends_to_the_share_of_errors_and_is_linear_in_the_labels():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 3)), rng.choice([-1, 1], 500)
    w = np.array([0.3, -1.0, 0.5])
    assert_allclose(ramp_loss(w, X, y, 1e-9), (signs(w, X) != y).mean(), atol=1e-12)
    other = rng.choice([-1, 1], 500)
    mixed = ramp_loss(w, X, 0.3 * y + 0.7 * other, 0.4)
    assert_allclose(mixed, 0.3 * ramp_loss(w, X, y, 0.4) + 0.7 * ramp_loss(w, X, other, 0.4), rtol=1e-12)


def test_weights_do_what_repeated_points_do():
    X, y, w = np.array([[0.1, 1.0], [0.2, -2.0]]), np.array([1, -1]), np.array([1.0, 0.1])
    repeated, labels = X[[0, 0, 0, 1]], y[[0, 0, 0, 1]]
    weights = np.array([0.75, 0.25])
    assert_allclose(ramp_loss(w, X, y, 0.5, weights=weights), ramp_loss(w, repeated, labels, 0.5), rtol=1e-12)
    assert_allclose(ramp_grad(w, X, y, 0.5, weights=weights), ramp_grad(w, repeated, labels, 0.5), rtol=1e-12)
    assert_allclose(
        disagreement_certificate(w, X, 0.3, weights=weights), disagreement_certificate(w, repeated, 0.3), rtol=1e-12
    )


def test_descent_does_not_depend_on_the_scale_of_points_and_finds_the_halfspace():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20_000, 4))
    w_star = directions(4)[0]
    y, _ = halfspace_data.massart_labels(X, w_star, 0.2, rng, pattern="one side")
    path = localized_sgd(X, y, (0.8, 0.4, 0.2, 0.1))
    assert_allclose(np.linalg.norm(path, axis=1), 1.0, rtol=1e-12)
    assert path[-1] @ w_star > 0.999
    assert_allclose(localized_sgd(1000 * X, y, (800.0, 400.0, 200.0, 100.0)), path, atol=1e-9)


@pytest.mark.parametrize("X", [np.zeros((8, 2)), np.ones((8, 2)), np.tile([[1.0, 2.0], [-1.0, -2.0]], (4, 1))])
def test_descent_on_degenerate_points_stays_on_the_sphere(X):
    for y in (np.ones(8), np.tile([1.0, -1.0], 4)):
        assert_allclose(np.linalg.norm(localized_sgd(X, y, (0.5, 0.1)), axis=1), 1.0, rtol=1e-12)


# moments ------------------------------------------------------------------------------------------


@EXAMPLES
@given(st.integers(0, 10_000))
def test_fourth_moments_in_no_direction_exceed_the_bound(seed):
    X, rng = hostile_sample(seed)
    weights = rng.dirichlet(np.ones(len(X))) * rng.uniform(0.1, 10)
    found = (weights @ (X @ directions(X.shape[1]).T) ** 4).max()
    bound = fourth_moment_bound(X, weights)
    assert found <= bound * (1 + 1e-9)
    # Rounding aside, the bound is no worse than the naive one, the largest eigenvalue of the flattened tensor.
    pairs = np.einsum("ni,nj->nij", X, X).reshape(len(X), -1)
    naive = np.linalg.eigvalsh(pairs.T @ (weights[:, None] * pairs))[-1]
    assert bound <= naive * (1 + 1e-9)


def test_fourth_moment_bound_is_exact_in_one_dimension_and_for_rotationally_symmetric_laws():
    z = np.random.default_rng(0).normal(size=(50, 1))
    assert_allclose(fourth_moment_bound(z, np.full(50, 0.02)), (z**4).mean(), rtol=1e-12)
    # A design whose fourth moments are those of a Gaussian: the 24-cell's vertices and their duals, scaled.
    axes = np.concatenate([np.eye(4), -np.eye(4)])
    corners = np.array(np.meshgrid(*[[-0.5, 0.5]] * 4)).reshape(4, -1).T
    for radius in (1.0, 3.0):
        X = radius * np.concatenate([axes, corners])
        exact = (X @ directions(4).T) ** 4
        assert np.ptp(exact.mean(axis=0)) < 1e-9 * radius**4  # the same in all directions
        assert_allclose(fourth_moment_bound(X, np.full(24, 1 / 24)), exact.mean(axis=0)[0], rtol=1e-9)


def test_naive_bound_of_a_gaussian_is_too_large_by_a_third_of_d_plus_one():
    d = 9
    X = np.random.default_rng(0).normal(size=(200_000, d))
    pairs = (X[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    naive = np.linalg.eigvalsh(pairs.T @ pairs / len(X))[-1]
    assert_allclose(naive / 3, (d + 2) / 3, rtol=0.05)
    assert fourth_moment_bound(X, np.full(len(X), 1 / len(X))) < 3.4


# angles -------------------------------------------------------------------------------------------


@EXAMPLES
@given(st.integers(0, 100_000))
def test_angle_bound_holds_on_any_points_with_known_noise(seed):
    X, rng = hostile_sample(seed)
    w, w_star = directions(X.shape[1], 2, seed)
    if rng.random() < 0.7:  # close to it, where something is certified
        w = w_star + 10.0 ** rng.uniform(-3, 0) * w
        w /= np.linalg.norm(w)
    eta = float(rng.uniform(0, 0.49))
    rates = eta * rng.choice([0.0, 1.0], len(X))
    sigma = 10.0 ** rng.uniform(-1.5, 1)
    weights = rng.dirichlet(np.ones(len(X)))
    certificate = stationary_angle_bound(w, X, (1 - 2 * rates) * signs(w_star, X), sigma, eta, weights=weights)
    tangent = abs(math.tan(math.acos(np.clip(w @ w_star, -1, 1))))
    assert tangent <= certificate.tangent * (1 + 1e-9)


@EXAMPLES
@given(st.integers(0, 100_000))
def test_angle_bound_holds_for_every_halfspace_that_misses_few_labels(seed):
    rng = np.random.default_rng(seed)
    X = halfspace_data.gaussian(300, 2, rng) * [1.0, 10.0 ** rng.uniform(-0.5, 0.5)]
    w_star = directions(2, 1, seed)[0]
    wrong = rng.choice(300, int(rng.integers(0, 4)), replace=False)
    y = signs(w_star, X)
    y[wrong] *= -1
    w = w_star + 0.02 * rng.standard_normal(2)
    certificate = agnostic_angle_certificate(w, X, y, 0.5, len(wrong) / 300)
    # All halfspaces in the plane, not only the one that made the labels.
    angles = np.linspace(0, np.pi, 500, endpoint=False)
    every = np.column_stack([np.cos(angles), np.sin(angles)])
    errors = (np.where(X @ every.T < 0, -1, 1) != y[:, None]).mean(axis=0)
    turned = np.abs(every @ w) / np.linalg.norm(w)
    for error, cosine in zip(np.minimum(errors, 1 - errors), turned, strict=True):
        if error <= len(wrong) / 300:
            assert math.acos(min(cosine, 1.0)) <= certificate.angle + 1e-9


def test_massart_bound_is_attained_by_four_points_and_fails_with_a_smaller_constant():
    for eta, theta in ((0.0, 0.4), (0.3, 0.4), (0.3, 0.05), (0.45, 1.0)):
        witness = halfspace_bounds.massart_witness(np.array([eta]), np.array([math.tan(theta)]))
        left, right = halfspace_bounds.massart_angle_sides(**witness)
        assert_allclose(left, right, rtol=1e-8)
        assert left[0] > 0.999 * right[0]
        # The gradient vanishes, computed by the library's own function.
        points, rates = witness["points"][0], witness["rates"][0]
        w_star = np.array([math.cos(theta), math.sin(theta)])
        gradient = ramp_grad(np.array([1.0, 0.0]), points, (1 - 2 * rates) * signs(w_star, points), 1.0)
        assert_allclose(gradient, 0, atol=1e-8)


def test_massart_bound_without_the_gradient_fails_on_random_points():
    sample = halfspace_bounds.BOUNDS[0].sampler(np.random.default_rng(0), 5000)
    sample["rates"] = sample.pop("shares") * sample["eta"][:, None]
    left, right = halfspace_bounds.massart_angle_sides(**sample)
    loose, _ = halfspace_bounds.massart_angle_sides(**sample, with_gradient=False)
    assert (left <= right + 1e-12).all()
    assert (loose > 2 * right).any()


@pytest.mark.parametrize("bound", halfspace_bounds.BOUNDS, ids=lambda bound: bound.name)
def test_listed_bounds_hold_under_a_short_search(bound):
    assert bound.check(5000).holds


def test_label_noise_is_covered_with_the_promised_probability():
    """The gradient of labels in the direction that matters against that of their means, at the same points."""
    rng = np.random.default_rng(0)
    X, w, w_star, eta, sigma, delta = (
        rng.normal(size=(800, 3)),
        np.eye(3)[0],
        np.array([0.99, 0.14, 0.0]),
        0.2,
        0.3,
        0.1,
    )
    w_star = w_star / np.linalg.norm(w_star)
    v = w_star - (w_star @ w) * w
    v /= np.linalg.norm(v)
    y = signs(w_star, X)
    expected = ramp_grad(w, X, (1 - 2 * eta) * y, sigma) @ v
    noise = angle_certificate(w, X, y, sigma, eta, delta).noise
    deviations = []
    for _ in range(2000):
        labels = y * np.where(rng.random(800) < eta, -1, 1)
        deviations.append(ramp_grad(w, X, labels, sigma) @ v - expected)
    assert np.mean(np.array(deviations) > noise) <= delta
    assert np.quantile(deviations, 1 - delta / 10) > 0.5 * noise  # and it is not idle


def test_label_noise_matters_more_at_larger_rates_and_not_at_all_without_noise():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    y, w = signs(np.eye(3)[0], X), np.eye(3)[0]
    noise = [angle_certificate(w, X, y, 0.3, eta, 0.05).noise for eta in (0.0, 1e-12, 0.1, 0.3, 0.4999999)]
    assert noise[0] == 0
    assert (np.diff(noise) > 0).all()
    felt = triangle_kernel(X @ w, 0.3)
    largest = np.linalg.eigvalsh((X[:, 1:] * felt[:, None] ** 2).T @ X[:, 1:] / 500**2)[-1]
    assert_allclose(noise[-1], math.sqrt(2 * largest * math.log(20)), rtol=1e-5)  # proxy 1, Hoeffding's


def test_gaussian_strip_has_the_moments_that_integration_gives():
    X = np.random.default_rng(0).normal(size=(400_000, 3))
    certificate = agnostic_angle_certificate(np.eye(3)[0], X, signs(np.eye(3)[0], X), 0.1, 0.0)
    assert_allclose(certificate.mass, 1 / math.sqrt(2 * math.pi), rtol=0.02)
    assert_allclose(certificate.spread, 0.1 / 3 / math.sqrt(2 * math.pi), rtol=0.03)
    assert_allclose(certificate.anticoncentration, 1 / math.sqrt(2 * math.pi) / math.sqrt(3), rtol=0.06)
    tangent = 2 * certificate.spread / (certificate.anticoncentration - certificate.gradient)
    assert_allclose(certificate.tangent, tangent, rtol=1e-12)


@pytest.mark.parametrize("X", [np.ones((10, 2)), np.zeros((10, 3)), np.eye(2)[[0, 0, 0, 0]] * 5])
def test_an_empty_or_flat_strip_certifies_nothing(X):
    y = np.ones(len(X), dtype=int)
    for certificate in (
        angle_certificate(np.eye(X.shape[1])[0], X, y, 0.1, 0.1, 0.05),
        agnostic_angle_certificate(np.eye(X.shape[1])[0], X, y, 0.1, 0.01),
    ):
        assert not certificate.holds
        assert certificate.tangent == math.inf


# disagreement -------------------------------------------------------------------------------------


@EXAMPLES
@given(st.integers(0, 100_000), st.floats(1e-3, 1.5))
def test_no_halfspace_within_the_angle_disagrees_more_than_certified(seed, theta):
    X, rng = hostile_sample(seed)
    w = directions(X.shape[1], 1, seed)[0]
    across = directions(X.shape[1], 300, seed + 1)
    across -= np.outer(across @ w, w)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    turned = w + np.tan(theta * rng.random((300, 1)) ** 0.2) * across
    disagree = (np.where(X @ turned.T < 0, -1, 1) != signs(w, X)[:, None]).mean(axis=0)
    assert disagree.max() <= disagreement_certificate(w, X, theta) + 1e-12


@pytest.mark.parametrize("seed", range(8))
def test_in_the_plane_the_certificate_bounds_the_exact_largest_disagreement(seed):
    X, _ = hostile_sample(seed, dim=2)
    theta, w = 0.3, np.array([1.0, 0.0])
    # Halfspaces of the plane change where their normal is orthogonal to a point.
    critical = np.concatenate([np.arctan2(-X[:, 0], X[:, 1]), np.arctan2(X[:, 0], -X[:, 1]), [-theta, theta]])
    angles = np.concatenate([critical + e for e in (-1e-9, 0, 1e-9)])
    angles = angles[np.abs(angles) <= theta]
    every = np.column_stack([np.cos(angles), np.sin(angles)])
    exact = (np.where(X @ every.T < 0, -1, 1) != signs(w, X)[:, None]).mean(axis=0).max()
    assert exact <= disagreement_certificate(w, X, theta) + 1e-12


def test_disagreement_of_a_gaussian_is_between_the_truth_and_the_promise():
    X = np.random.default_rng(0).normal(size=(200_000, 4))
    for theta in (0.05, 0.1, 0.2):
        bound = disagreement_certificate(np.eye(4)[0], X, theta)
        assert theta / math.pi < bound < 1.6 * theta
        assert bound < 1.03 * StronglyLogConcave().disagreement(theta)


def test_disagreement_is_nothing_at_angle_zero_and_everything_from_a_right_angle_on():
    X = np.random.default_rng(0).normal(size=(50, 2))
    assert disagreement_certificate(np.eye(2)[0], X, 0.0) == 0
    for theta in (math.pi / 2, 3.0, math.pi):
        assert disagreement_certificate(np.eye(2)[0], X, theta) == 1
    assert disagreement_certificate(np.eye(2)[0], np.zeros((5, 2)), 0.1) == 1  # all on the hyperplane
    assert_allclose(disagreement_certificate(np.eye(2)[0], 5 * np.eye(2)[[0, 0]], 0.1), 0, atol=1e-12)


def test_certificates_do_not_depend_on_the_length_of_w_or_the_choice_of_axes():
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(3000, 4)), rng.normal(size=4)
    y = signs(w, X)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    one, other = (
        agnostic_angle_certificate(*each, y, 0.3, 0.001) for each in ((w, X), (7e-200 * w @ rotation, X @ rotation))
    )
    assert_allclose([one.angle, one.gradient], [other.angle, other.gradient], rtol=1e-9)
    assert_allclose(
        disagreement_certificate(w, X, 0.2), disagreement_certificate(-3 * w @ rotation, X @ rotation, 0.2), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"eta": 0.5}, "eta"), ({"eta": -0.1}, "eta"), ({"delta": 0.0}, "delta"), ({"delta": 1.0}, "delta"),
        ({"sigma": 0.0}, "sigma"), ({"w": np.zeros(2)}, "w"), ({"w": np.ones(3)}, "w"), ({"X": np.ones((4, 1))}, "X"),
        ({"y": np.array([1, 0, 1, 1])}, "y"), ({"y": np.ones(3)}, "y"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(change, name, unchecked):
    good = {"w": np.ones(2), "X": np.eye(2)[[0, 1, 0, 1]], "y": np.ones(4), "sigma": 0.1, "eta": 0.1, "delta": 0.1}
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        angle_certificate(**{**good, **change})
