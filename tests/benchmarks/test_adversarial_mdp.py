"""Seeds as a leading axis against a loop over seeds, with the library's own code and with plain pseudo-code."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simulations.costs import alternating_seconds
from simulations.engine import single_thread
from simulations.online.adversarial_mdp import flipping_losses
from tests.online.test_adversarial_mdp import plain_regret
from theory.online.adversarial_mdp import VARIANTS, LinearMDP, policy_optimization, random_linear_mdp
from theory.online.follow_the_regularized_leader import ftrl_log_barrier

SEEDS, K = 12, 300


@pytest.mark.parametrize("variant", VARIANTS)
def test_twelve_seeds_at_once_are_eight_times_faster_than_one_after_the_other(benchmark, variant):
    env = random_linear_mdp(SEEDS, 2, 3, 3, 3, seed=0)
    losses = flipping_losses(np.random.default_rng(0), SEEDS, K, 2, 3)

    def together():
        return policy_optimization(env, losses, K, variant, rng=np.random.default_rng(1).spawn(SEEDS)).regret

    def one_by_one():
        return [
            policy_optimization(
                LinearMDP(env.phi[i : i + 1], env.P[i : i + 1]), losses[i : i + 1], K, variant, rng=[generator]
            ).regret[0]
            for i, generator in enumerate(np.random.default_rng(1).spawn(SEEDS))
        ]

    params = policy_optimization(env, losses, 2, variant).params

    def plain():
        return plain_regret(env, losses, 20, variant, params, np.random.default_rng(1).spawn(SEEDS))

    assert_allclose(together(), one_by_one(), rtol=1e-6)
    with single_thread():
        table = benchmark.pedantic(
            alternating_seconds, ({"at once": together, "loop": one_by_one, "plain": plain},), {"rounds": 11}, rounds=1
        )
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = float((rounds["loop"] / rounds["at once"]).median())
    naive = float((rounds["plain"] / 20 / (rounds["at once"] / K)).median())
    milliseconds = 1e3 * rounds["at once"].median() / K
    print(
        f"\n{variant}, 12 seeds: {milliseconds:.2f} ms per episode; one seed at a time / at once: {ratio:.1f}; "
        f"plain pseudo-code / at once: {naive:.0f}",
        end="",
    )
    assert ratio >= 8
    assert naive >= 8


def test_the_log_barrier_normaliser_takes_few_steps(benchmark):
    """Newton's method on the reciprocal of the sum against the same on the sum itself."""
    x = np.random.default_rng(0).exponential(20.0, (2000, 16))
    x -= x.min(axis=1, keepdims=True)

    def on_the_sum():
        multiplier = np.ones((len(x), 1))
        for _ in range(100):
            p = 1 / (x + multiplier)
            excess = p.sum(axis=1, keepdims=True) - 1
            if np.abs(excess).max() < 1e-12:
                break
            multiplier = multiplier + excess / np.square(p).sum(axis=1, keepdims=True)
        return p / p.sum(axis=1, keepdims=True)

    assert_allclose(on_the_sum(), ftrl_log_barrier(x), rtol=1e-9)
    sides = {"reciprocal": lambda: ftrl_log_barrier(x), "sum": on_the_sum}
    with single_thread():
        table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 21}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = float((rounds["sum"] / rounds["reciprocal"]).median())
    print(f"\nNewton on the sum / on its reciprocal, 2000 states of 16 actions: {ratio:.1f}", end="")
    assert ratio >= 1
