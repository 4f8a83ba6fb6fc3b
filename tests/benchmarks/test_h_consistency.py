"""The consistency analyser against loops of scipy: every binary loss, and the multiclass search.

The loop minimises the conditional risk per theta and half line with ``minimize_scalar`` from three brackets, without
which it misses minima of losses that are not convex; the whole of ours is timed, horizons and envelope included. The
loop runs for every twentieth theta of 201 and is extrapolated; so is SLSQP, which runs for four
of the distributions p.
"""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from simulations.costs import alternating_seconds
from theory.classification.h_consistency import analyse_margin_loss, analyse_multiclass_loss, margin_loss_table
from theory.classification.h_consistency import multiclass_loss_table as table
from theory.classification.multiclass_analysis import _ScoreSearch

KNOWN = {known.name: known for known in margin_loss_table()}
THETAS = np.linspace(0, 1, 201)
BRACKETS = ((0.0, 1.0), (1.0, 10.0), (10.0, 1000.0))


def scipy_transform(loss, theta):
    eta = (1 + theta) / 2

    def least(sign):
        def risk(z):
            return eta * loss(sign * z) + (1 - eta) * loss(-sign * z)

        found = [minimize_scalar(risk, bounds=b, method="bounded", options={"xatol": 1e-9}).fun for b in BRACKETS]
        return min(*found, risk(0.0))

    wrong = least(-1.0)
    return wrong - min(wrong, least(1.0))


@pytest.mark.parametrize("name", KNOWN)
def test_margin_analysis_is_fifty_times_faster_than_a_loop(benchmark, name):
    loss = KNOWN[name].loss
    few = THETAS[10:200:20]

    def loop():
        with np.errstate(all="ignore"):
            return [scipy_transform(loss, theta) for theta in few]

    analysis = analyse_margin_loss(loss)
    if name not in ("linear", "bump"):
        np.testing.assert_allclose(analysis.raw[10:200:20], loop(), atol=1e-6)
    sides = {"ours": lambda: analyse_margin_loss(loss), "loop": loop}
    rounds = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 9, "warmup": 2}, rounds=1)
    pairs = rounds.pivot(index="round", columns="side", values="seconds")
    ratio = (pairs["loop"] / pairs["ours"]).median() * len(THETAS) / len(few)
    print(
        f"\n{name}: loop of scipy / ours, 201 thetas: {ratio:.0f} (ours {pairs['ours'].median() * 1e3:.1f} ms)", end=""
    )
    assert ratio >= 50


@pytest.mark.parametrize("name", ["logistic", "Savage", "hinge"])
def test_many_thetas_by_the_hull(benchmark, name):
    loss = KNOWN[name].loss
    few = THETAS[10:200:20]
    sides = {
        "ours": lambda: analyse_margin_loss(loss, thetas=20_001),
        "loop": lambda: [scipy_transform(loss, theta) for theta in few],
    }
    rounds = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 3}, rounds=1)
    pairs = rounds.pivot(index="round", columns="side", values="seconds")
    ratio = (pairs["loop"] / pairs["ours"]).median() * 20_001 / len(few)
    print(f"\n{name}: loop of scipy / ours, 20,001 thetas: {ratio:.0f}", end="")
    assert ratio >= 50


def slsqp_regret(loss, p, starts):
    """C^-(p) − C*(p) with label 1 predicted, five starts each."""
    others = [k for k in range(len(p)) if k != 1]
    wrong = [{"type": "ineq", "fun": lambda s, k=k: s[1] - s[k]} for k in others]

    def risk(s):
        return float(p @ loss(s))

    values = [
        min(
            minimize(risk, start, method="SLSQP", constraints=limits, bounds=[(-40, 40)] * len(p)).fun
            for start in starts
        )
        for limits in ([], wrong)
    ]
    return values[1] - values[0]


@pytest.mark.parametrize("name", [known.name for known in table(3)])
def test_multiclass_analysis_is_fifty_times_faster_than_slsqp(benchmark, monkeypatch, name):
    """The loop solves each of the distributions that the analyser looks at once; it is timed on four of them."""
    known = {known.name: known for known in table(3)}[name]
    betas = np.linspace(0.025, 1.0, 40)
    looked_at: list[np.ndarray] = []
    search = _ScoreSearch.regrets

    def recorded(self, p, **options):
        looked_at.append(np.round(p, 12))
        return search(self, p, **options)

    with monkeypatch.context() as patch:
        patch.setattr(_ScoreSearch, "regrets", recorded)
        analyse_multiclass_loss(known.loss, 3, betas=betas)
    family = np.unique(np.concatenate(looked_at), axis=0)
    starts = np.random.default_rng(0).normal(size=(5, 3))
    few = family[len(family) // 8 :: len(family) // 4][:4]

    def loop():
        with np.errstate(all="ignore"):
            return [slsqp_regret(known.loss, p, starts) for p in few]

    sides = {"ours": lambda: analyse_multiclass_loss(known.loss, 3, betas=betas), "loop": loop}
    rounds = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 3}, rounds=1)
    pairs = rounds.pivot(index="round", columns="side", values="seconds")
    ratio = (pairs["loop"] / pairs["ours"]).median() * len(family) / len(few)
    print(
        f"\n{name}: SLSQP / ours, n = 3, {len(family)} distributions: {ratio:.0f} "
        f"(ours {pairs['ours'].median() * 1e3:.0f} ms)", end="",
    )  # fmt: skip
    assert ratio >= 50
