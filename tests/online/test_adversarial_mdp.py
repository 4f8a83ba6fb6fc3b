"""Policy optimisation: against its pseudo-code one seed at a time, its parameters, its regret, what it refuses."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simulations import discovery
from simulations.online import adversarial_mdp as simulation
from theory.online import adversarial_mdp as theory
from theory.online.regret_growth import regret_slope
from theory.online.value_estimates import regularized_inverse

EXAMPLES = settings(max_examples=15, deadline=None)
NAN = float("nan")


def instance(seed, n=2, H=2, S=3, A=3, d=3, K=30):
    env = theory.random_linear_mdp(n, H, S, A, d, seed=seed)
    return env, np.random.default_rng(seed).uniform(0, 1, (n, K, H, d))


def plain_policy_optimization(phi, P, losses, K, variant, params, rng, trajectories=None):
    """One seed, written as the pseudo-code reads, from the checked public functions; the learner's loss per episode."""
    (H, S, A), d = P.shape[:3], phi.shape[-1]
    uniforms = rng.random((K, H, 2))
    cum, spent = np.zeros((H, S, A)), np.empty(K)
    flat = phi.reshape(S * A, d)
    regularizer = theory.ftrl_log_barrier if variant == "logbarrier" else theory.ftrl_entropy
    for k in range(K):
        loss = phi @ losses[k].T
        pi = regularizer(params.eta * cum)
        w = theory.occupancy_measure(P, pi)
        spent[k] = sum((w[h] * loss[..., h]).sum() for h in range(H))
        seen = w.reshape(H, S * A)
        if trajectories:
            seen = np.stack([rng.multinomial(trajectories, each / each.sum()) for each in seen]) / trajectories
        state, path, tail = 0, [], np.zeros(H)
        for h in range(H):
            action = int(np.searchsorted(np.cumsum(pi[h, state])[:-1], uniforms[k, h, 0]))
            path.append((state, action))
            tail[: h + 1] += loss[state, action, h]
            state = int(np.searchsorted(np.cumsum(P[h, state, action])[:-1], uniforms[k, h, 1]))
        b, Q = np.empty_like(pi), np.empty_like(pi)
        for h, (s, a) in enumerate(path):
            Sd = regularized_inverse(flat, seen[h], params.gamma)
            if variant == "magreduced":
                estimate = theory.magnitude_reduced_estimate(flat, Sd, phi[s, a], tail[h], seen[h], H - h)
            else:
                estimate = theory.linear_q_estimate(flat, Sd, phi[s, a], tail[h])
            Q[h] = estimate.reshape(S, A)
            norms = np.array([[phi[i, j] @ Sd @ phi[i, j] for j in range(A)] for i in range(S)])
            b[h] = params.beta * (norms + (pi[h] * norms).sum(axis=1, keepdims=True))
        cum += Q - theory.dilated_bonus(P, pi, b)
    return spent


def plain_regret(env, losses, K, variant, params, generators, trajectories=None):
    """Regret after each episode, seed by seed, against all policies enumerated or by dynamic programming."""
    curves = []
    for phi, P, coefficients, rng in zip(env.phi, env.P, losses, generators, strict=True):
        spent = plain_policy_optimization(phi, P, coefficients, K, variant, params, rng, trajectories)
        tables = np.einsum("sad,khd->khsa", phi, coefficients[:K])
        best = theory.best_fixed_policy(P, tables.sum(axis=0))
        w = theory.occupancy_measure(P, np.eye(P.shape[2])[best.actions])
        curves.append(np.cumsum(spent - (w * tables).sum(axis=(1, 2, 3))))
    return np.array(curves)


# the algorithms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", theory.VARIANTS)
@pytest.mark.parametrize("shape", [(1, 1, 4, 2), (2, 3, 3, 3), (3, 2, 2, 4)])
def test_all_seeds_at_once_do_what_the_pseudo_code_does_for_each(variant, shape):
    env, losses = instance(5, 3, *shape, K=40)
    result = theory.policy_optimization(env, losses, 40, variant, rng=np.random.default_rng(3))
    plain = plain_regret(env, losses, 40, variant, result.params, np.random.default_rng(3).spawn(3))
    assert_allclose(result.curve, plain, rtol=1e-8, atol=1e-8)
    assert_array_equal(result.regret, result.curve[:, -1])


@pytest.mark.parametrize("variant", theory.VARIANTS)
def test_with_simulated_visits_too(variant):
    env, losses = instance(6, 2, K=20)
    run = theory.policy_optimization(env, losses, 20, variant, rng=np.random.default_rng(1), trajectories=40)
    plain = plain_regret(env, losses, 20, variant, run.params, np.random.default_rng(1).spawn(2), trajectories=40)
    assert_allclose(run.curve, plain, rtol=1e-8, atol=1e-8)
    many = theory.policy_optimization(env, losses, 20, variant, rng=np.random.default_rng(1), trajectories=10**8)
    exact = theory.policy_optimization(env, losses, 20, variant, rng=np.random.default_rng(1))
    assert_allclose(many.curve, exact.curve, atol=0.05)


def test_a_seed_does_not_depend_on_the_others_beside_it_and_constants_may_differ():
    env, losses = instance(7, 3, K=60)
    generators = np.random.default_rng(0).spawn(3)
    alone = [
        theory.policy_optimization(
            theory.LinearMDP(env.phi[i : i + 1], env.P[i : i + 1]), losses[i : i + 1], 60, "magreduced", 1.0 + i,
            rng=[generator],
        ).regret[0]
        for i, generator in enumerate(generators)
    ]  # fmt: skip
    together = theory.policy_optimization(
        env, losses, 60, "magreduced", np.array([1.0, 2.0, 3.0]), rng=np.random.default_rng(0).spawn(3)
    )
    assert_allclose(together.regret, alone, rtol=1e-9)
    assert np.shape(together.params.eta) == (3,)


def test_regret_is_against_the_best_of_all_policies():
    env, losses = instance(8, 1, 2, 2, 2, 3, K=25)
    result = theory.policy_optimization(env, losses, 25, "logbarrier")
    P, phi = env.P[0], env.phi[0]
    spent = plain_policy_optimization(
        phi, P, losses[0], 25, "logbarrier", result.params, np.random.default_rng(0).spawn(1)[0]
    )
    tables = np.einsum("sad,khd->khsa", phi, losses[0]).sum(axis=0)
    costs = [
        (theory.occupancy_measure(P, np.eye(2)[np.reshape(choice, (2, 2))]) * tables).sum()
        for choice in itertools.product(range(2), repeat=4)
    ]
    assert_allclose(result.regret[0], spent.sum() - min(costs), rtol=1e-9)


def test_losses_that_single_out_one_arm_are_learned():
    env = theory.tabular_mdp(np.ones((4, 1, 1, 3, 1)))
    losses = np.broadcast_to(np.array([0.9, 0.1, 0.9]), (4, 1500, 1, 3))
    for variant in ("logbarrier", "magreduced"):
        curve = theory.policy_optimization(env, losses, 1500, variant).curve
        first, last = curve[:, 299], curve[:, -1] - curve[:, -301]
        assert (last < first / 3).all()
    # A beginner's regret per episode is that of the uniform policy.
    assert_allclose(curve[:, 0], 1.9 / 3 - 0.1)


def test_one_action_leaves_nothing_to_regret():
    env, losses = instance(9, 2, 2, 3, 1, 3)
    for variant in theory.VARIANTS:
        assert_allclose(theory.policy_optimization(env, losses, 30, variant).curve, 0, atol=1e-12)


@EXAMPLES
@given(
    st.integers(2, 10**6), st.integers(1, 5), st.integers(1, 50), st.integers(1, 20),
    st.floats(-2, 2).map(lambda e: 10.0**e),
)  # fmt: skip
def test_parameters_keep_what_the_analyses_ask_for(K, H, A, d, c):
    for variant in theory.VARIANTS:
        constants = (min(c, 1.0) if variant == "conservative" else c, 0.1, c)
        params = theory.learning_parameters(variant, K, H, A, d, *constants)
        assert 0 < params.gamma <= 1
        assert params.eta >= 0
        assert params.beta >= 0
        if variant == "conservative":
            assert params.eta * H / params.gamma <= 0.5 + 1e-12
        if variant == "magreduced" and params.gamma < 1:
            assert params.eta * H / math.sqrt(params.gamma) <= 0.5 + 1e-12


def test_parameters_are_the_formulas():
    K, H, A, d = 1000, 2, 3, 5
    log, mag, old = (theory.learning_parameters(v, K, H, A, d, 2.0, 0.1, 1.5) for v in theory.VARIANTS)
    found = np.array([[p.eta, p.beta, p.gamma] for p in (log, mag, old)])
    eta = [math.sqrt(3 * math.log(1000) / 5000), math.sqrt(math.log(3) / 5000), 0.0075]
    assert_allclose(found[:, 0], eta)
    assert_allclose(found[:, 1], [0.4 * eta[0], 0.4 * eta[1], 0.01])
    assert_allclose(found[:, 2], [4.5 * math.log(1000) / 1000, 7.5 * math.log(1000) / 1000, 0.015])
    assert theory.learning_parameters("magreduced", K, H, A, d, 40.0, 0.1, 1.0).gamma == 1
    wide = theory.learning_parameters("magreduced", K, H, A, d, 10.0, 0.1, 1.0)
    assert wide.gamma == (2 * wide.eta * H) ** 2


@pytest.mark.parametrize("variant", ["magreduced", "conservative"])
def test_entropy_meets_its_condition_within_its_analysis(variant):
    env, losses = instance(11, 6, K=300)
    assert theory.policy_optimization(env, losses, 300, variant).least_exponent.min() >= -1
    bold = theory.policy_optimization(env, losses, 300, "conservative", c_eta=60.0)
    assert bold.least_exponent.min() < -1


# what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": np.full((2, 30, 2, 3), 1.01)}, r"losses must lie in \[0, 1\]"),
        ({"losses": np.full((2, 30, 2, 3), -0.01)}, r"losses must lie in \[0, 1\]"),
        ({"losses": np.full((2, 30, 2, 3), NAN)}, "losses must be finite"),
        ({"losses": np.zeros((2, 29, 2, 3))}, "losses must have shape"),
        ({"losses": np.zeros((3, 30, 2, 3))}, "losses must have shape"),
        ({"K": 1}, "K must be a whole number of at least 2"),
        ({"variant": "entropy"}, "variant must be one of"),
        ({"c_eta": 0.0}, "c_eta must be above 0"),
        ({"c_gamma": -1.0}, "c_gamma must be above 0"),
        ({"c_eta": np.ones(2), "c_beta": np.ones(3)}, "c_eta, c_beta and c_gamma must have one entry for each seed"),
        ({"c_beta": np.ones(3)}, "c_beta must be a number or one for each of 2 seeds"),
        ({"rng": [np.random.default_rng(0)]}, "rng must be a generator or 2"),
        ({"trajectories": 0}, "trajectories must be a whole number"),
    ],
)
def test_bad_arguments_are_named(change, message, unchecked):
    env, losses = instance(0)
    arguments = {"env": env, "losses": losses, "K": 30, "variant": "logbarrier", **change}
    with pytest.raises(ValueError, match=message):
        theory.policy_optimization(**arguments)


# growth of regret ----------------------------------------------------------------------------------


@EXAMPLES
@given(st.floats(0.1, 1.5), st.integers(0, 1000))
def test_the_slope_of_a_power_law_is_its_exponent(power, seed):
    episodes = np.array([100, 300, 1000])
    scale = np.random.default_rng(seed).uniform(0.5, 2, (12, 1))
    growth = regret_slope(episodes, scale * episodes**power, resamples=50)
    assert_allclose([growth.slope, growth.low, growth.high], power, atol=1e-10)


def test_the_interval_of_a_slope_covers_the_truth_as_often_as_it_says():
    rng, episodes = np.random.default_rng(0), np.array([256, 512, 1024, 2048])
    covered = []
    for _ in range(300):
        noise = rng.gamma(4.0, 0.25, (40, 1)) * rng.gamma(10.0, 0.1, (40, 4))
        growth = regret_slope(episodes, noise * episodes**0.5, resamples=400)
        covered.append(growth.low <= 0.5 <= growth.high)
    assert 0.88 < np.mean(covered) < 0.99


def test_regret_without_a_logarithm_is_refused():
    with pytest.raises(ValueError, match="regret must have means above 0"):
        regret_slope(np.array([10, 20]), np.array([[1.0, -3.0], [1.0, 2.0]]))
    with pytest.raises(ValueError, match="two different"):
        regret_slope(np.array([10, 10]), np.ones((2, 2)))


# the simulation ------------------------------------------------------------------------------------


def test_flipping_losses_alternate_around_a_fixed_base():
    losses = simulation.flipping_losses(np.random.default_rng(0), 3, 6, 2, 3)
    assert_allclose(losses[:, 0], losses[:, 2])
    assert_allclose(np.abs(losses[:, 0] - losses[:, 1]), 0.4)
    assert set(np.round(losses[:, :2].mean(axis=1), 12).ravel()) <= {0.25, 0.75}
    assert losses.min() >= 0
    assert losses.max() <= 1


def test_regret_of_the_uniform_policy_is_that_of_a_learner_who_never_moves():
    env, losses = instance(12, 3, K=40)
    still = theory.policy_optimization(env, losses, 40, "logbarrier", c_eta=1e-12)
    assert_allclose(simulation.uniform_regret(env, losses), still.regret, rtol=1e-6)


def test_every_judge_is_inconclusive_or_wrong_where_evidence_is_mixed():
    paper = discovery.load("online/adversarial_mdp")
    claims = {claim.id: claim for claim in paper.claims}
    table = claims["C4a"].example()
    spread = table.assign(
        regret=table["regret"] * np.where(table["problem"] % 2, 1.0, (table["episodes"] / 256) ** 0.5)
    )
    assert claims["C4a"].judge(spread).outcome != "supported"
    assert isinstance(table, pd.DataFrame)
