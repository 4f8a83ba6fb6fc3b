"""Bandits in lockstep against one after the other, and weights per arm against dense contexts: time."""

import pytest
import torch

from neural.online.bandit_data import ClassificationBandit, bundled, passes
from neural.online.bandit_networks import BlockNetwork, SharedNetwork, one_hot_contexts
from neural.online.neural_bandit import BanditEnsemble, BanditMethod, run_bandit
from simulations.costs import alternating_seconds

MODELS, ROUNDS = 40, 30


def _environment(models: int) -> ClassificationBandit:
    x, y = passes(bundled("wine"), ROUNDS, generator=torch.Generator().manual_seed(0))
    return ClassificationBandit(x[None], y[None], 3, torch.zeros(models, dtype=torch.int64))


def _play(models: int) -> None:
    method = BanditMethod("fast", 100.0, "kl", 0.6, c_p=0.01)
    net = BlockNetwork(models, 13, 3, generator=torch.Generator().manual_seed(1))
    run_bandit(BanditEnsemble(net, [method] * models), _environment(models), T=ROUNDS, seed=0)


def _ratio(benchmark, sides) -> float:
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 7}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    return float((rounds["slow"] / rounds["fast"]).median())


def test_forty_models_in_lockstep_take_a_fifth_of_the_time_of_one_after_the_other(benchmark):
    sides = {"fast": lambda: _play(MODELS), "slow": lambda: [_play(1) for _ in range(MODELS)]}
    ratio = _ratio(benchmark, sides)
    print(f"\none after the other / in lockstep, {MODELS} models, wine: time {ratio:.1f}", end="")
    assert ratio >= 5


@pytest.mark.parametrize(("arms", "dim"), [(10, 64), (26, 128)])
def test_weights_per_arm_take_a_third_of_the_time_of_dense_contexts(benchmark, arms, dim):
    generator, models = torch.Generator().manual_seed(0), 16
    block = BlockNetwork(models, dim, arms, generator=generator)
    dense = SharedNetwork(models, dim * arms, generator=generator)
    x = torch.rand(models, dim, generator=generator)
    with torch.no_grad():
        sides = {
            "fast": lambda: [block(x) for _ in range(20)],
            "slow": lambda: [dense(one_hot_contexts(x, arms)) for _ in range(20)],
        }
        ratio = _ratio(benchmark, sides)
    print(f"\ndense contexts / weights per arm, {arms} arms, {dim} features: time {ratio:.1f}", end="")
    assert ratio >= 3
