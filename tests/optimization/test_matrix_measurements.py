"""Symmetric measurements: packed storage against sums over matrices, the sub-gradient, and random instances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from theory.optimization.matrix_measurements import (
    SymmetricMeasurements,
    make_robust_recovery_problem,
    sign_subgradient,
)

EXAMPLES = settings(max_examples=30, deadline=None)
SIZES = {"seed": st.integers(0, 10**6), "d": st.integers(1, 7), "m": st.integers(1, 12)}


def instance(seed, d, m):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((d, d))
    return rng, rng.standard_normal((m, d * d)), (X + X.T) / 2


def symmetrised(A, d):
    matrices = A.reshape(-1, d, d)
    return (matrices + matrices.swapaxes(1, 2)) / 2


@EXAMPLES
@given(**SIZES)
def test_measurements_are_inner_products_and_combinations_are_their_adjoint(seed, d, m):
    rng, A, X = instance(seed, d, m)
    operator = SymmetricMeasurements(A)
    weights = rng.standard_normal(m)
    assert_allclose(operator.measure(X), np.einsum("ijk,jk->i", A.reshape(m, d, d), X), atol=1e-12)
    expected = np.einsum("i,ijk->jk", weights, symmetrised(A, d))
    assert_allclose(operator.combine(weights), expected, atol=1e-12)
    assert_allclose(operator.measure(X) @ weights, (operator.combine(weights) * X).sum(), atol=1e-11)
    assert_allclose(operator.matrices(), symmetrised(A, d), atol=1e-15)


@EXAMPLES
@given(**SIZES)
def test_only_the_symmetric_part_of_a_matrix_matters(seed, d, m):
    rng, A, X = instance(seed, d, m)
    skew = rng.standard_normal((m, d, d))
    other = A + (skew - skew.swapaxes(1, 2)).reshape(m, -1)
    residual = rng.standard_normal(m)
    assert_allclose(SymmetricMeasurements(other).measure(X), SymmetricMeasurements(A).measure(X), atol=1e-11)
    assert_allclose(sign_subgradient(other, residual), sign_subgradient(A, residual), atol=1e-12)


def test_batches_and_float32_give_the_same_numbers():
    rng, A, X = instance(0, 5, 40)
    batch = np.stack([X, X @ X, np.eye(5)])
    operator, single = SymmetricMeasurements(A), SymmetricMeasurements(A.astype(np.float32))
    for i, each in enumerate(batch):
        assert_allclose(operator.measure(batch)[i], operator.measure(each), rtol=1e-13)
    weights = rng.standard_normal((3, 40))
    assert_allclose(operator.combine(weights)[1], operator.combine(weights[1]), rtol=1e-12)
    for ours, exact in ((single.measure(batch), operator.measure(batch)), (single.combine(weights), operator.combine(weights))):  # fmt: skip
        assert ours.dtype == np.float32
        assert_allclose(ours, exact, rtol=1e-5, atol=1e-4)


@EXAMPLES
@given(**SIZES)
def test_the_sign_subgradient_supports_the_loss_from_below(seed, d, m):
    rng, A, X = instance(seed, d, m)
    y = rng.standard_normal(m)
    loss = lambda Z: np.abs(A @ Z.ravel() - y).mean()  # noqa: E731
    D = sign_subgradient(A, A @ X.ravel() - y)
    for _ in range(10):
        Z = X + 10.0 ** rng.uniform(-3, 1) * symmetrised(rng.standard_normal((1, d * d)), d)[0]
        assert loss(Z) >= loss(X) + (D * (Z - X)).sum() - 1e-12


def test_twice_d_times_u_is_the_derivative_of_the_loss():
    rng, A, _ = instance(1, 4, 30)
    U, y = rng.standard_normal((4, 2)), rng.standard_normal(30)
    loss = lambda V: np.abs(A @ (V @ V.T).ravel() - y).mean()  # noqa: E731
    D = sign_subgradient(A, A @ (U @ U.T).ravel() - y)
    step = 1e-6
    for i, j in np.ndindex(4, 2):
        shift = np.zeros_like(U)
        shift[i, j] = step
        assert_allclose((loss(U + shift) - loss(U - shift)) / (2 * step), 2 * (D @ U)[i, j], rtol=1e-6, atol=1e-8)


def test_the_sign_of_zero_is_zero():
    A = np.array([[1.0], [5.0]])
    assert_array_equal(sign_subgradient(A, np.array([2.0, 0.0])), [[0.5]])


@pytest.mark.parametrize("kappa", [1.0, 50.0])
def test_instances_are_what_they_are_asked_to_be(kappa):
    problem = make_robust_recovery_problem(7, 3, 4000, p=0.3, scale=5.0, kappa=kappa, seed=1)
    eigenvalues = np.linalg.eigvalsh(problem.X)
    assert_allclose(eigenvalues[-3:], np.sort(np.geomspace(1, 1 / kappa, 3)), rtol=1e-10)
    assert_allclose(eigenvalues[:-3], 0, atol=1e-14)
    assert_allclose(problem.A @ problem.X.ravel() + problem.s, problem.y, atol=1e-12)
    assert abs((problem.s != 0).mean() - 0.3) < 0.03
    assert abs(problem.s[problem.s != 0].std() - 5) < 0.5
    assert abs(problem.A.mean()) < 0.01
    assert abs(problem.A.std() - 1) < 0.01


def test_settings_of_the_noise_leave_everything_else_as_it_is():
    reference = make_robust_recovery_problem(5, 2, 60, p=0.2, seed=3)
    longer = make_robust_recovery_problem(5, 2, 90, p=0.2, seed=3)
    assert_array_equal(longer.A[:60], reference.A)
    for change in ({"p": 0.6}, {"scale": 1.0}, {"outlier": "cauchy"}, {"corruption": "gaussian"}):
        other = make_robust_recovery_problem(5, 2, 60, seed=3, **{"p": 0.2, **change})
        assert_array_equal(other.A, reference.A)
        assert_array_equal(other.X, reference.X)
    more = make_robust_recovery_problem(5, 2, 60, p=0.6, seed=3)
    assert set(np.flatnonzero(reference.s)) <= set(np.flatnonzero(more.s))
    assert_allclose(make_robust_recovery_problem(5, 2, 60, p=0.2, scale=1e6, seed=3).s, reference.s * 1e5, rtol=1e-12)


def test_every_law_of_noise():
    make = lambda **noise: make_robust_recovery_problem(3, 1, 5000, seed=0, **noise).s  # noqa: E731
    assert not make(corruption="none").any()
    assert abs(make(corruption="gaussian", scale=2.0).std() - 2) < 0.1
    constant = make(p=0.5, outlier="constant", scale=7.0)
    assert set(np.unique(constant)) == {0.0, 7.0}
    cauchy = make(p=0.5, outlier="cauchy", scale=7.0)
    assert abs(np.median(np.abs(cauchy[cauchy != 0])) - 7) < 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 5}, "r must be at most d = 4"),
        ({"p": 1.0}, "p must be below 1"),
        ({"p": -0.1}, "p must be a number in"),
        ({"kappa": 0.5}, "kappa must be a finite number of at least 1"),
        ({"kappa": 2.0, "r": 1}, "kappa must be 1"),
        ({"corruption": "salt"}, "corruption must be one of"),
        ({"outlier": "laplace"}, "outlier must be one of"),
        ({"m": 0}, "m must be a whole number of at least 1"),
    ],
)
def test_an_impossible_instance_is_refused_by_name(change, message, unchecked):
    with pytest.raises(ValueError, match=message):
        make_robust_recovery_problem(**{"d": 4, "r": 2, "m": 5, "seed": 0, **change})


def test_sizes_that_do_not_fit_are_named(unchecked):
    operator = SymmetricMeasurements(np.ones((3, 4)))
    with pytest.raises(ValueError, match="A must have one flattened square matrix per row, got shape \\(3, 5\\)"):
        SymmetricMeasurements(np.ones((3, 5)))
    with pytest.raises(ValueError, match="X must be 2 x 2"):
        operator.measure(np.eye(3))
    with pytest.raises(ValueError, match="weights must be 3 numbers"):
        operator.combine(np.ones(2))
    with pytest.raises(ValueError, match="residual must have one entry for each of 3"):
        sign_subgradient(np.ones((3, 4)), np.ones(2))
    with pytest.raises(ValueError, match="A must be finite, got nan"):
        SymmetricMeasurements(np.full((3, 4), np.nan))
