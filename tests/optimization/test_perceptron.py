"""The batch perceptron and its relatives: exact ties, bounds, many runs at once, bad input."""

import itertools
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.linear_model import Perceptron

from theory.optimization import perceptron as theory
from theory.optimization.separable_data import hard_instance, margin, radius, random_problems, separability
from theory.optimization.separation import logistic_loss, perceptron_loss, separate

EXAMPLES = settings(max_examples=25, deadline=None)
TIES = np.array([[1.0, 0.0], [-1.0, 1.0]])
lattice = st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**32)).map(
    lambda t: np.random.default_rng(t[2]).integers(-2, 3, t[:2]).astype(float)
)


def logistic(margins):
    return expit(-margins)


def naive_batch_perceptron(Z, tie=0.5):
    """As it is defined, one sample after the other."""
    theta, path = np.zeros(Z.shape[1]), [np.zeros(Z.shape[1])]
    while not all(z @ theta > 0 for z in Z):
        step = np.zeros(Z.shape[1])
        for z in Z:
            m = z @ theta
            step += (1.0 if m < 0 else tie if m == 0 else 0.0) * z
        theta = theta + step / len(Z)
        path.append(theta)
    return np.array(path)


@EXAMPLES
@given(lattice, st.booleans())
def test_on_lattice_data_floats_follow_rational_arithmetic(Z, normalized):
    if not separability(Z).separable:
        return
    exact = theory.rational_batch_perceptron([[int(x) for x in row] for row in Z], normalized)
    ours = theory.batch_perceptron(Z, normalized, record="path")
    if normalized and ours.iterations != len(exact) - 1:
        return  # a mean of three is rounded, and a tie with it
    assert ours.iterations == len(exact) - 1
    expected = np.array([[float(x) for x in theta] for theta in exact])
    assert_allclose(ours.path, expected, rtol=0, atol=1e-12 if normalized else 0)
    assert_array_equal(ours.theta, ours.path[-1])


def test_example_with_ties_takes_four_iterations_in_rational_arithmetic():
    path = theory.rational_batch_perceptron([[1, 0], [-1, 1]])
    quarter = Fraction(1, 4)
    assert path == [
        (0, 0), (0, quarter), (quarter, quarter), (0, 2 * quarter), (quarter, 2 * quarter)
    ]  # fmt: skip
    assert theory.batch_perceptron(TIES).iterations == 4
    assert_array_equal(theory.batch_perceptron(TIES, tie=1.0).theta, [0.5, 1.0])


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(2, 4), st.sampled_from([0.5, 0.25, 1.0]))
def test_batch_perceptron_is_what_its_definition_says(seed, n, dim, tie):
    Z = random_problems(np.random.default_rng(seed), 1, n, dim, 8.0)[0]
    ours = theory.batch_perceptron(Z, tie=tie, record="path")
    assert_allclose(ours.path, naive_batch_perceptron(Z, tie), atol=1e-10)
    losses = [np.maximum(-Z @ theta, 0).mean() for theta in ours.path]
    assert_allclose(ours.losses, losses, atol=1e-12)
    assert_allclose(ours.losses, perceptron_loss(Z, ours.path), atol=1e-12)


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 6), st.floats(1.5, 30))
def test_iterations_keep_within_their_bounds(seed, n, dim, ratio):
    Z = random_problems(np.random.default_rng(seed), 1, n, dim, ratio)[0]
    (mu, _), R = margin(Z), float(radius(Z))
    assert theory.batch_perceptron(Z).iterations <= theory.bound_batch_perceptron(n, R, mu)
    # A single sample needs one iteration, which is the bound up to rounding.
    classic = theory.bound_batch_perceptron(n, R, mu, True) * (1 + 1e-9)
    assert theory.batch_perceptron(Z, normalized=True).iterations <= classic
    assert theory.classic_perceptron(Z).iterations <= classic


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(2, 6))
def test_without_ties_the_bound_is_half_as_large(seed, n, dim):
    Z = random_problems(np.random.default_rng(seed), 1, n, dim, 20.0)[0]
    run = theory.batch_perceptron(Z, record="path")
    if (run.path[1:] @ Z.T == 0).any():
        return
    assert run.iterations <= n * (float(radius(Z)) / margin(Z)[0]) ** 2 + 1 - n / 2


def test_one_sample_takes_one_iteration_which_is_the_bound():
    Z = np.array([[3.0, 4.0]])
    assert theory.batch_perceptron(Z, normalized=True).iterations == 1
    assert_allclose(theory.bound_batch_perceptron(1, 5.0, margin(Z)[0], True), 1.0)


def test_classic_perceptron_makes_the_updates_of_scikit_learns():
    Z = random_problems(np.random.default_rng(4), 1, 30, 3, 10.0)[0]
    # Signs are random, so that both labels occur; z = y·a gives the same updates.
    y = np.where(np.arange(30) % 2, 1, -1)
    peer = Perceptron(fit_intercept=False, shuffle=False, tol=None, max_iter=1000, eta0=1.0).fit(Z * y[:, None], y)
    ours = theory.classic_perceptron(Z)
    assert_allclose(ours.theta, peer.coef_[0], rtol=1e-12)
    assert len(ours.path) == ours.iterations + 1
    assert (Z @ ours.theta > 0).all()


def test_every_run_of_a_batch_is_the_run_alone():
    noise = 0.01 * np.random.default_rng(0).normal(size=(5, 30, 2))
    Z = np.stack([hard_instance(30, phi) for phi in (0.3, 0.5, 0.8, 1.0, 1.3)]) + noise
    scale = np.array([0.1, 1.0, 50.0])
    together = separate(Z[:, None], logistic, scale=scale, factor=scale, max_iter=10_000, record="path")
    assert together.iterations.shape == (5, 3)
    assert len(np.unique(together.iterations)) > 5
    for (p, g), T in np.ndenumerate(together.iterations):
        alone = separate(Z[p], logistic, scale=scale[g], factor=scale[g], max_iter=10_000, record="path")
        assert alone.iterations == T
        assert_allclose(together.path[p, g, : T + 1], alone.path, rtol=1e-9, atol=1e-12)
        assert_allclose(together.losses[p, g, : T + 1], alone.losses, rtol=1e-9)
        assert np.isnan(together.path[p, g, T + 1 :]).all()
        assert_allclose(together.theta[p, g], alone.theta, rtol=1e-9)


def test_axes_broadcast_as_in_numpy():
    Z = random_problems(np.random.default_rng(1), 3, 8, 2, 5.0)
    scale = np.arange(1.0, 5.0)[:, None] * np.ones((1, 3))
    run = separate(Z, logistic, scale=scale, factor=scale, max_iter=1000, record="nothing")
    assert run.iterations.shape == (4, 3)
    assert run.losses is None
    assert run.path is None
    for i, p in itertools.product(range(4), range(3)):
        alone = separate(Z[p], logistic, scale=i + 1.0, factor=1.0, max_iter=1000)
        assert alone.iterations == run.iterations[i, p]


def test_unseparable_samples_are_reported_not_solved():
    Z = np.array([[[1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [1.0, 1.0]]])
    with pytest.warns(RuntimeWarning, match="1 of 2 runs are not separated after max_iter = 7"):
        run = theory.batch_perceptron(Z, max_iter=7)
    assert run.solved.tolist() == [False, True]
    assert run.iterations[0] == 7
    with pytest.warns(RuntimeWarning, match="not separated after max_iter = 7 updates"):
        assert not theory.classic_perceptron(Z[0], max_iter=7).solved


def test_zero_vectors_are_never_separated_and_losses_stay_finite():
    Z = np.array([[0.0, 0.0], [1.0, 0.0]])
    with pytest.warns(RuntimeWarning):
        run = theory.batch_perceptron(Z, max_iter=3)
    assert np.isfinite(run.losses).all()
    assert np.isfinite(logistic_loss(Z, np.array([1e300, 0.0])))


NAN, INF = float("nan"), float("inf")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "options", "message"), [
    (theory.batch_perceptron, (TIES[0],), {}, "Z must have shape (..., samples, dim)"),
    (theory.batch_perceptron, (TIES * NAN,), {}, "Z must be finite"),
    (theory.batch_perceptron, (np.zeros((0, 2)),), {}, "Z must not be empty"),
    (theory.batch_perceptron, (TIES, False, 0.0), {}, "tie must be a finite number above 0"),
    (theory.batch_perceptron, (TIES, False, 1.5), {}, "tie must be a number in (0, 1]"),
    (theory.batch_perceptron, (TIES, False, 0.5, 0), {}, "max_iter must be a whole number"),
    (theory.classic_perceptron, (TIES[None],), {}, "Z must have shape (samples, dim)"),
    (theory.classic_perceptron, (TIES, 0), {}, "max_iter must be a whole number"),
    (theory.rational_batch_perceptron, ([[0.5]],), {}, "rows must be"),
    (theory.rational_batch_perceptron, ([[1], [1, 2]],), {}, "rows must be"),
    (theory.rational_batch_perceptron, ([],), {}, "rows must be"),
    (theory.rational_batch_perceptron, ([[1], [-1]], False, 5), {}, "max_iter must be enough"),
    (theory.bound_batch_perceptron, (0, 1.0, 0.5), {}, "n must be a whole number"),
    (theory.bound_batch_perceptron, (3, 1.0, 1.5), {}, "mu must not be above R"),
    (theory.bound_batch_perceptron, (3, INF, 1.5), {}, "R must be"),
    (logistic_loss, (TIES, np.zeros(3)), {}, "theta must have shape"),
    (logistic_loss, (TIES[None].repeat(2, 0), np.zeros((3, 2))), {}, "theta's leading axes"),
    (separate, (TIES, abs), {"scale": -1.0, "factor": 1.0, "max_iter": 3}, "scale must be above 0"),
    (separate, (TIES, abs), {"scale": np.ones(3), "factor": np.ones(2), "max_iter": 3}, "scale"),
    (separate, (TIES, None), {"scale": 1.0, "factor": 1.0, "max_iter": 3}, "weight and loss must be functions"),
    (separate, (TIES, abs), {"scale": 1.0, "factor": 1.0, "max_iter": 3, "record": "all"}, "record must be one of"),
    (separate, (TIES, abs), {"scale": 1.0, "factor": 1.0, "max_iter": 3, "start": np.ones(3)}, "start must broadcast"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments, **options)
