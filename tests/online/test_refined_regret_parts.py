"""Episodic MDPs, dilated bonuses, value estimates and inverse covariances: each against enumeration or a definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from theory.online import dilated_bonus as bonuses
from theory.online import episodic_mdp as mdp
from theory.online import inverse_covariance as covariances
from theory.online import value_estimates as estimates

EXAMPLES = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 10**9)


def paths(P, pi):
    """All trajectories of one instance with their chances, as (chance, states, actions)."""
    H, S, A = pi.shape
    for states in itertools.product(range(S), repeat=H):
        for actions in itertools.product(range(A), repeat=H):
            chance = float(states[0] == 0)
            for h in range(H):
                chance *= pi[h, states[h], actions[h]]
                if h < H - 1:
                    chance *= P[h, states[h], actions[h], states[h + 1]]
            yield chance, states, actions


# episodic MDPs ---------------------------------------------------------------------------------------


@EXAMPLES
@given(seeds)
def test_occupancies_are_what_all_trajectories_add_up_to(seed):
    sample = bonuses.random_bonuses(np.random.default_rng(seed), 1, 3, 2, 2)
    P, pi = sample["P"][0], sample["pi"][0]
    w = np.zeros_like(pi)
    for chance, states, actions in paths(P, pi):
        for h in range(3):
            w[h, states[h], actions[h]] += chance
    assert_allclose(mdp.occupancy_measure(P, pi), w, atol=1e-12)
    assert_allclose(w.sum(axis=(1, 2)), 1)


@EXAMPLES
@given(seeds)
def test_the_best_fixed_policy_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    P, loss = rng.dirichlet(np.ones(2), (2, 2, 3)), rng.normal(size=(2, 2, 3))
    best = mdp.best_fixed_policy(P, loss)
    costs = [
        (mdp.occupancy_measure(P, np.eye(3)[np.reshape(choice, (2, 2))]) * loss).sum()
        for choice in itertools.product(range(3), repeat=4)
    ]
    assert_allclose(best.value, min(costs), atol=1e-12)
    assert_allclose((mdp.occupancy_measure(P, np.eye(3)[best.actions]) * loss).sum(), best.value, atol=1e-12)


@EXAMPLES
@given(seeds)
def test_values_of_every_policy_are_linear_in_the_features(seed):
    rng = np.random.default_rng(seed)
    env = mdp.random_linear_mdp(1, 3, 4, 5, 3, seed=seed)
    phi, P = env.phi[0], env.P[0]
    theta, pi = rng.uniform(0, 1, (3, 3)), rng.dirichlet(np.ones(5), (3, 4))
    value = np.zeros(4)
    for h in (2, 1, 0):
        Q = phi @ theta[h] + (P[h] @ value if h < 2 else 0.0)
        flat = phi.reshape(20, 3)
        assert_allclose(flat @ np.linalg.lstsq(flat, Q.ravel(), rcond=None)[0], Q.ravel(), atol=1e-9)
        value = (pi[h] * Q).sum(axis=1)


def test_an_instance_does_not_depend_on_how_many_are_drawn():
    few, many = (mdp.random_linear_mdp(n, 2, 3, 3, 3, seed=4) for n in (2, 5))
    assert_array_equal(few.phi, many.phi[:2])
    assert_array_equal(few.P, many.P[:2])


def test_a_table_is_linear_with_one_feature_per_pair():
    P = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 3, 2))
    env = mdp.tabular_mdp(P)
    assert env.shape == (2, 4, 3, 2, 6)
    assert_array_equal(env.phi.reshape(2, 6, 6), np.stack([np.eye(6)] * 2))


def test_what_is_no_linear_mdp_is_refused(unchecked):
    P = np.random.default_rng(0).dirichlet(np.ones(3), (1, 2, 3, 2))
    phi = np.random.default_rng(1).dirichlet(np.ones(2), (1, 3, 2))
    with pytest.raises(ValueError, match="P must be linear in phi"):
        mdp.LinearMDP(phi, P)
    with pytest.raises(ValueError, match="phi must have norms of at most 1"):
        mdp.LinearMDP(2 * phi, P[:, :1])
    with pytest.raises(ValueError, match="P must hold distributions"):
        mdp.LinearMDP(phi, 0.9 * P)
    with pytest.raises(ValueError, match="P must have shape"):
        mdp.LinearMDP(phi[:, :2], P)
    mdp.LinearMDP(phi, P[:, :1])  # the last layer leads nowhere
    with pytest.raises(ValueError, match="pi must have shape"):
        mdp.occupancy_measure(P[0], np.full((2, 3, 3), 1 / 3))


# dilated bonuses -------------------------------------------------------------------------------------


@EXAMPLES
@given(seeds, st.integers(1, 4))
def test_bonuses_telescope_along_every_comparator(seed, layers):
    sample = bonuses.random_bonuses(np.random.default_rng(seed), 20, layers)
    P, pi, b = sample["P"], sample["pi"], sample["b"]
    B = bonuses.dilated_bonus(P, pi, b)
    start = (1 + 1 / layers) * (pi * B).sum(axis=-1)[:, 0, 0]
    assert_allclose(bonuses.telescoped_bonus(P, pi, b, sample["comparator"]), start, rtol=1e-10)
    value = bonuses.bonus_value(P, pi, b)
    assert (start <= np.e * value * (1 + 1e-12)).all()
    assert (start >= (1 + 1 / layers) * value * (1 - 1e-12)).all()


def test_the_dilated_bonus_is_its_recursion_and_weights_each_layer_ahead():
    sample = bonuses.random_bonuses(np.random.default_rng(3), 1, 3, 2, 2)
    P, pi, b = (sample[name][0] for name in ("P", "pi", "b"))
    B = bonuses.dilated_bonus(P, pi, b)
    for h, s, a in itertools.product(range(3), range(2), range(2)):
        ahead = 0.0 if h == 2 else sum(P[h, s, a, t] * pi[h + 1, t] @ B[h + 1, t] for t in range(2))
        assert_allclose(B[h, s, a], b[h, s, a] + 4 / 3 * ahead)
    collected = sum(
        chance * sum((4 / 3) ** h * b[h, states[h], actions[h]] for h in range(3))
        for chance, states, actions in paths(P, pi)
    )
    assert_allclose((pi[0, 0] * B[0, 0]).sum(), collected)


def test_negative_bonuses_are_refused(unchecked):
    one = np.ones((2, 1, 1))
    with pytest.raises(ValueError, match="b must be at least 0"):
        bonuses.dilated_bonus(np.ones((2, 1, 1, 1)), one, -one)


# value estimates -------------------------------------------------------------------------------------


def drawn(seed, pairs=6, dim=3):
    """Features, occupancy, gamma, loss per visited pair, inverse: one instance."""
    sample = {k: v[0] for k, v in estimates.random_estimates(np.random.default_rng(seed), 1, pairs, dim).items()}
    w = sample["weights"] / sample["weights"].sum()
    gamma = float(sample["gamma"])
    return sample["phi"], w, gamma, sample["loss"], estimates.regularized_inverse(sample["phi"], w, gamma)


@EXAMPLES
@given(seeds, st.integers(1, 4))
def test_the_magnitude_reduced_estimate_has_the_mean_of_the_standard_one_and_never_falls_below_m(seed, horizon):
    phi, w, gamma, loss, Sd = drawn(seed)
    raw = np.stack([estimates.linear_q_estimate(phi, Sd, v, horizon * each) for v, each in zip(phi, loss, strict=True)])
    reduced = np.stack(
        [
            estimates.magnitude_reduced_estimate(phi, Sd, v, horizon * each, w, horizon)
            for v, each in zip(phi, loss, strict=True)
        ]
    )
    scale = horizon / gamma
    assert_allclose(w @ reduced, w @ raw, atol=1e-11 * scale)
    m = horizon * estimates.reduction_mean(phi, Sd, w)
    norms = np.sqrt(np.einsum("id,de,ie->i", phi, Sd, phi))
    assert (reduced >= m - 1e-11 * scale).all()
    assert (m <= 0).all()
    assert (m >= -horizon * norms * (1 + 1e-9)).all()
    assert (norms <= gamma**-0.5 * (1 + 1e-9)).all()
    assert (w @ reduced**2 <= (horizon * norms) ** 2 * (1 + 1e-9)).all()
    assert (w @ raw**2 <= (horizon * norms) ** 2 * (1 + 1e-9)).all()
    assert np.abs(raw).max() <= horizon / gamma * (1 + 1e-9)


def test_estimates_are_their_formulas():
    phi, w, _, _, Sd = drawn(7)
    x = np.array([sum(phi[i, j] * Sd[j, k] * phi[2, k] for j in range(3) for k in range(3)) for i in range(6)])
    assert_allclose(estimates.linear_q_estimate(phi, Sd, phi[2], 1.5), 1.5 * x)
    m = np.array([sum(w[k] * min(phi[i] @ Sd @ phi[k], 0) for k in range(6)) for i in range(6)])
    assert_allclose(estimates.reduction_mean(phi, Sd, w), m)
    expected = 1.5 * x - 2 * np.minimum(x, 0) + 2 * m
    assert_allclose(estimates.magnitude_reduced_estimate(phi, Sd, phi[2], 1.5, w, 2), expected)
    assert (estimates.magnitude_reduced_estimate(phi, Sd, phi[2], 0.5, w, 3) - 3 * m >= -1e-12).all()


def test_the_bias_of_the_standard_estimate_is_that_of_the_regularisation():
    phi, w, gamma, _, Sd = drawn(11)
    theta = np.array([0.5, 0.2, 0.9])
    mean = w @ np.stack([estimates.linear_q_estimate(phi, Sd, v, 10 + v @ theta) for v in phi])
    offset = w @ np.stack([estimates.linear_q_estimate(phi, Sd, v, 10.0) for v in phi])
    bias = mean - offset - phi @ theta
    assert_allclose(bias, -gamma * phi @ Sd @ theta, atol=1e-10)
    norms = np.sqrt(np.einsum("id,de,ie->i", phi, Sd, phi))
    assert (np.abs(bias) <= np.sqrt(gamma) * norms * np.linalg.norm(theta) + 1e-12).all()


def test_the_pointwise_step_of_the_second_moment_holds_for_every_share_of_the_loss():
    x, n, share = np.meshgrid(np.linspace(0, 5, 101), np.linspace(0, 5, 101), np.linspace(0, 1, 21))
    assert ((x * share - n) ** 2 <= x**2 - 2 * n * (x - n) + 1e-12).all()


def test_regularized_inverse_is_that_of_the_mean_of_outer_products():
    phi, w, gamma, _, Sd = drawn(5)
    sigma = sum(w[i] * np.outer(phi[i], phi[i]) for i in range(6))
    assert_allclose(Sd @ (gamma * np.eye(3) + sigma), np.eye(3), atol=1e-8)


# inverse covariances ---------------------------------------------------------------------------------


def test_the_direct_inverse_of_samples_is_its_definition():
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 50, 3))
    found = covariances.regularized_inverse_covariance(samples, 0.2)
    for each, inverse in zip(samples, found, strict=True):
        assert_allclose(inverse @ (0.2 * np.eye(3) + each.T @ each / 50), np.eye(3), atol=1e-12)


def test_resampling_is_its_series_of_products():
    rows = np.random.default_rng(1).uniform(-0.5, 0.5, (3, 4, 2))  # draws of 4 repeats
    queue = iter(rows)
    found = covariances.matrix_geometric_resampling(lambda k: next(queue), 0.3, 3, 4)
    series = []
    for repeat in range(4):
        product, total = np.eye(2), np.eye(2)
        for i in range(3):
            product = product @ (np.eye(2) - 0.5 * (0.3 * np.eye(2) + np.outer(rows[i, repeat], rows[i, repeat])))
            total = total + product
        series.append(0.5 * total)
    assert_allclose(found, np.mean(series, axis=0))


@EXAMPLES
@given(seeds, st.floats(0.01, 1.0), st.integers(1, 60))
def test_the_mean_of_resampling_is_the_truncated_neumann_series(seed, gamma, N):
    phi = np.random.default_rng(seed).dirichlet(np.ones(3), 4)
    Sigma = phi.T @ phi / 4
    step = np.eye(3) - 0.5 * (gamma * np.eye(3) + Sigma)
    series = 0.5 * sum(np.linalg.matrix_power(step, k) for k in range(N + 1))
    assert_allclose(covariances.resampling_mean(Sigma, gamma, N), series, atol=1e-10)


def test_long_series_reach_the_inverse_to_the_accuracy_asked_for():
    Sigma = np.diag([0.5, 0.1, 0.0])
    for gamma, accuracy in ((0.1, 0.1), (0.02, 0.01)):
        mean = covariances.resampling_mean(Sigma, gamma, covariances.resampling_length(gamma, accuracy))
        off = np.abs(mean - np.linalg.inv(gamma * np.eye(3) + Sigma)).max()
        assert 0.3 * accuracy < off <= accuracy


def test_resampling_averages_to_its_mean():
    rng = np.random.default_rng(2)
    phi = rng.dirichlet(np.ones(3), 5)
    Sigma = phi.T @ phi / 5
    found = np.array(
        [covariances.matrix_geometric_resampling(lambda k: phi[rng.integers(0, 5, k)], 0.2, 8, 40) for _ in range(50)]
    )
    standard_error = found.std(axis=0, ddof=1) / np.sqrt(50)
    assert (np.abs(found.mean(axis=0) - covariances.resampling_mean(Sigma, 0.2, 8)) <= 5 * standard_error).all()


def test_multiplicative_errors_are_those_of_scaled_inverses():
    Sigma = np.diag([0.3, 0.2])
    inverse = np.linalg.inv(0.1 * np.eye(2) + Sigma)
    for scale in (1.0, 1.5, 0.2):
        assert_allclose(covariances.multiplicative_error(scale * inverse, Sigma, 0.1), abs(scale - 1), atol=1e-12)


def test_bad_samples_are_named(unchecked):
    with pytest.raises(ValueError, match="sampler must return 3 rows"):
        covariances.matrix_geometric_resampling(lambda k: np.full((k, 2), 2.0), 0.1, 2, 3)
    with pytest.raises(ValueError, match="gamma must be a finite number above 0"):
        covariances.regularized_inverse_covariance(np.ones((2, 2)), 0.0)
    with pytest.raises(ValueError, match="c must be at most"):
        covariances.resampling_mean(np.eye(2), 0.5, 3, c=0.9)


@pytest.mark.parametrize("bound", [*bonuses.BOUNDS, *estimates.BOUNDS], ids=lambda b: b.name)
def test_fuzzing_finds_no_violation(bound):
    report = bound.check(4000, seed=1)
    assert report.holds, report.witness
    assert report.worst_ratio > 0.5
