"""The dilated bonus: exploration that counts a little more in every layer it is looked ahead.

For bonuses b >= 0 of states and actions and a policy pi,

    B_h(s, a) = b_h(s, a) + (1 + 1/H) E_{s'|s,a} <pi, B>(s'),       B = b in the last layer.

**Telescoping.** For every other policy pi*, since (s_{h+1}) follows (s_h, a_h),

    sum_h E_{pi*} [ (1 + 1/H) <pi, B>(s_h) − B(s_h, a_h) + b(s_h, a_h) ] = (1 + 1/H) <pi, B>(s_0),

and ``<pi, B>(s_0) = sum_h (1 + 1/H)^h E_pi b_h``, so the right side is at most ``(1 + 1/H)^H V^pi(b) <= 3 V^pi(b)``.
A learner whose regret in every state, weighted by pi*, exceeds R by no more than ``E_{pi*} [b + <pi, B>/H]`` thus has
regret at most ``R + 3 V^pi(b)``, summed over episodes: the unknown visits of pi* are traded for its own.

Source: Luo, Wei and Lee (2021), *Policy Optimization in Adversarial MDPs: Improved Exploration via Dilated Bonuses*;
used by Dai, Luo, Wei and Zimmert (2023). The identity is derived here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from theory.fuzz import Bound
from theory.online.episodic_mdp import checked_policy, occupancy_measure
from theory.validation import finite_array

__all__ = ["bonus_value", "dilated_bonus", "telescoped_bonus"]

Transitions = Float[np.ndarray, "*batch layers states actions states"]
Table = Float[np.ndarray, "*batch layers states actions"]


def dilated_bonus(P: Transitions, pi: Table, b: Table) -> Table:
    """B of every layer, state and action.

    Raises ``ValueError`` where ``P`` or ``pi`` does not hold distributions, or ``b`` is negative, not finite, or of
    another shape.

    >>> P, one = np.ones((2, 1, 1, 1)), np.ones((2, 1, 1))
    >>> dilated_bonus(P, one, one)[:, 0, 0].tolist()
    [2.5, 1.0]
    """
    P, pi, b = _checked(P, pi, b)
    B = b.copy()
    layers = b.shape[-3]
    for h in reversed(range(layers - 1)):
        ahead = (pi[..., h + 1, :, :] * B[..., h + 1, :, :]).sum(axis=-1)
        B[..., h, :, :] += (1 + 1 / layers) * np.einsum("...sat,...t->...sa", P[..., h, :, :, :], ahead)
    return B


def telescoped_bonus(P: Transitions, pi: Table, b: Table, comparator: Table) -> Float[np.ndarray, "*batch"]:
    """The left side of the identity, ``sum_h E_{pi*} [(1 + 1/H) <pi, B>(s_h) − B(s_h, a_h) + b(s_h, a_h)]``.

    It does not depend on the ``comparator`` pi*. Raises ``ValueError`` as ``dilated_bonus``.

    >>> P, one = np.ones((2, 1, 1, 1)), np.ones((2, 1, 1))
    >>> float(telescoped_bonus(P, one, one, one))
    3.75
    """
    B = dilated_bonus(P, pi, b)
    _, comparator = checked_policy(P, finite_array("comparator", comparator))
    played = (1 + 1 / B.shape[-3]) * (np.asarray(pi) * B).sum(axis=-1, keepdims=True)
    return np.asarray((occupancy_measure(P, comparator) * (played - B + b)).sum(axis=(-3, -2, -1)))


def bonus_value(P: Transitions, pi: Table, b: Table) -> Float[np.ndarray, "*batch"]:
    """``V^pi(b) = sum_h E_pi b_h``, what the policy itself collects. Raises ``ValueError`` as ``dilated_bonus``.

    >>> P, one = np.ones((2, 1, 1, 1)), np.ones((2, 1, 1))
    >>> float(bonus_value(P, one, one))
    2.0
    """
    P, pi, b = _checked(P, pi, b)
    return np.asarray((occupancy_measure(P, pi) * b).sum(axis=(-3, -2, -1)))


def _checked(P: np.ndarray, pi: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    P, pi = checked_policy(P, pi)
    b = finite_array("b", b)
    if b.shape != pi.shape or b.min() < 0:
        raise ValueError(f"b must be at least 0 and of shape {pi.shape}, got shape {b.shape}, least {b.min()}")
    return P, pi, b


def random_bonuses(
    rng: np.random.Generator, count: int, layers: int = 3, states: int = 3, actions: int = 2
) -> dict[str, np.ndarray]:
    """Transitions, two policies and bonuses over six orders of magnitude."""
    table = (count, layers, states, actions)
    concentrations = rng.choice([0.1, 1.0], 3)
    return {
        "P": rng.dirichlet(np.full(states, concentrations[0]), table),
        "pi": rng.dirichlet(np.full(actions, concentrations[1]), table[:-1]),
        "comparator": rng.dirichlet(np.full(actions, concentrations[2]), table[:-1]),
        "b": 10.0 ** rng.uniform(-6, 0, table),
    }


def _at_start(P: np.ndarray, pi: np.ndarray, b: np.ndarray, comparator: np.ndarray) -> np.ndarray:
    B = dilated_bonus(P, pi, b)
    return (1 + 1 / b.shape[-3]) * (pi * B).sum(axis=-1)[..., 0, 0]


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "(1 + 1/H) <pi, B>(s_0) is at most 3 V^pi(b)", "dilated bonus",
        _at_start, lambda P, pi, b, comparator: 3 * bonus_value(P, pi, b), random_bonuses, "(1 + 1/H)^H <= e",
    )  # fmt: skip


BOUNDS = list(_bounds())
