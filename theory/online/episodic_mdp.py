"""Episodic Markov decision processes with linear losses: occupancies, the best fixed policy, random instances.

H layers, S states, A actions, d features ``phi(s, a)`` with ``|phi| <= 1``; every episode starts in state 0. The chance
of a next state is linear in the features, ``P_h(s'|s, a) = sum_j phi_j(s, a) mu_{h,j}(s')``, and so is the loss,
``phi(s, a)·theta_h``. Then the value ``Q_h^pi(s, a)`` of every policy is linear too, which is all that learning with
linear function approximation asks for.

    env = random_linear_mdp(12, 2, 3, 3, 3, seed=0)      # 12 instances: arrays carry a leading axis of seeds
    occupancy_measure(env.P, pi)                         # chance of (s, a) in each layer
    best_fixed_policy(env.P, loss_sum).value             # dynamic programming on the summed loss

Source: linear MDPs as in Jin, Yang, Wang and Jordan (2020), *Provably Efficient Reinforcement Learning with Linear
Function Approximation*; the random family is ours.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from theory.validation import finite_array, positive, probabilities, whole_number

__all__ = [
    "BestPolicy",
    "LinearMDP",
    "best_fixed_policy",
    "occupancy_measure",
    "random_linear_mdp",
    "tabular_mdp",
]


@dataclass(frozen=True)
class LinearMDP:
    """Instances side by side: features ``phi`` and transitions ``P``, the same for all episodes.

    ``P[n, h, s, a]`` is the distribution of the state in layer h + 1; that of the last layer leads out of the episode
    and is not used. Raises ``ValueError`` for features with ``|phi| > 1``, rows of ``P`` that do not sum to 1, or
    transitions between layers that are not linear in the features.
    """

    phi: Float[np.ndarray, "seeds states actions dim"]
    P: Float[np.ndarray, "seeds layers states actions states"]

    def __post_init__(self) -> None:
        phi, P = finite_array("phi", self.phi, 4), probabilities("P", self.P, 5)
        if (P.shape[0], *P.shape[2:]) != (*phi.shape[:3], phi.shape[1]):
            raise ValueError(f"P must have shape (seeds, layers, states, actions, states) of phi, got {P.shape}")
        if np.linalg.norm(phi, axis=-1).max() > 1 + 1e-12:
            raise ValueError(f"phi must have norms of at most 1, got {np.linalg.norm(phi, axis=-1).max()}")
        flat = phi.reshape(len(phi), 1, -1, phi.shape[-1])
        used = P[:, :-1].reshape(len(P), P.shape[1] - 1, flat.shape[2], P.shape[2])
        residual = np.abs(flat @ (np.linalg.pinv(flat) @ used) - used)
        if residual.size and residual.max() > 1e-8:
            raise ValueError(f"P must be linear in phi, got a distance of {residual.max():.2g} from linear")
        object.__setattr__(self, "phi", phi)
        object.__setattr__(self, "P", P)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Numbers of seeds, layers, states, actions and features."""
        return (*self.P.shape[:4], self.phi.shape[-1])


@dataclass(frozen=True)
class BestPolicy:
    """The best policy without randomness, ``actions[..., h, s]``, and its loss from state 0."""

    actions: Int[np.ndarray, "*batch layers states"]
    value: Float[np.ndarray, "*batch"]


def random_linear_mdp(
    n: int, H: int, S: int, A: int, d: int, *, concentration: float = 0.15, seed: int = 0
) -> LinearMDP:
    """``n`` random instances whose features are distributions over d latent kernels.

    ``phi(s, a)`` is drawn from the symmetric Dirichlet distribution with this ``concentration``, the kernels mu from
    that with 1/2. The k-th instance is the same whatever ``n``. Raises ``ValueError`` for sizes below 1, a
    concentration that is not above 0, or a negative seed.

    >>> random_linear_mdp(5, 2, 3, 4, 3, seed=1).shape
    (5, 2, 3, 4, 3)
    """
    for name, size in (("n", n), ("H", H), ("S", S), ("A", A), ("d", d)):
        whole_number(name, size, 1)
    positive("concentration", concentration)
    whole_number("seed", seed, 0)
    generators = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(n)]
    phi = np.stack([g.dirichlet(np.full(d, concentration), (S, A)) for g in generators])
    kernels = np.stack([g.dirichlet(np.full(S, 0.5), (H, d)) for g in generators])
    return LinearMDP(phi, np.einsum("nsaj,nhjt->nhsat", phi, kernels))


def tabular_mdp(P: Float[np.ndarray, "seeds layers states actions states"]) -> LinearMDP:
    """Any transitions at all, as a linear MDP with one feature for each pair of state and action, ``d = S A``.

    Raises ``ValueError`` as ``LinearMDP``.

    >>> tabular_mdp(np.full((1, 2, 3, 2, 3), 1 / 3)).shape
    (1, 2, 3, 2, 6)
    """
    checked = probabilities("P", P, 5)
    n, _, S, A, _ = checked.shape
    return LinearMDP(np.broadcast_to(np.eye(S * A).reshape(S, A, S * A), (n, S, A, S * A)).copy(), checked)


def occupancy_measure(
    P: Float[np.ndarray, "*batch layers states actions states"], pi: Float[np.ndarray, "*batch layers states actions"]
) -> Float[np.ndarray, "*batch layers states actions"]:
    """The chance ``w_h(s, a)`` of being in s and doing a in layer h, from state 0 in layer 0.

    Linear losses l cost the policy ``sum w·l``. Raises ``ValueError`` where ``P`` or ``pi`` does not hold
    distributions or their shapes do not fit.

    >>> occupancy_measure(np.full((2, 2, 1, 2), 0.5), np.ones((2, 2, 1)))[..., 0].tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    P, pi = checked_policy(P, pi)
    w = np.empty_like(pi)
    state = np.zeros(pi.shape[:-3] + pi.shape[-2:-1])
    state[..., 0] = 1.0
    for h in range(pi.shape[-3]):
        w[..., h, :, :] = state[..., None] * pi[..., h, :, :]
        state = np.einsum("...sa,...sat->...t", w[..., h, :, :], P[..., h, :, :, :])
    return w


def best_fixed_policy(
    P: Float[np.ndarray, "*batch layers states actions states"],
    loss_sum: Float[np.ndarray, "*batch layers states actions"],
) -> BestPolicy:
    """The policy of least summed loss, by dynamic programming from the last layer: regret is measured against it.

    Values are linear in losses, so the best fixed policy for many episodes is the best one for the sum of their losses.
    Raises ``ValueError`` where ``P`` does not hold distributions or ``loss_sum`` is not finite or of another shape.

    >>> best = best_fixed_policy(np.full((2, 1, 2, 1), 1.0), np.array([[[3.0, 1.0]], [[0.0, 5.0]]]))
    >>> best.actions.tolist(), float(best.value)
    ([[1], [0]], 1.0)
    """
    P, loss_sum = probabilities("P", P), finite_array("loss_sum", loss_sum)
    _same_table(P, "loss_sum", loss_sum)
    actions = np.empty(loss_sum.shape[:-1], dtype=np.int64)
    value = np.zeros(loss_sum.shape[:-3] + loss_sum.shape[-2:-1])
    for h in reversed(range(loss_sum.shape[-3])):
        Q = loss_sum[..., h, :, :].copy()
        if h < loss_sum.shape[-3] - 1:
            Q += np.einsum("...sat,...t->...sa", P[..., h, :, :, :], value)
        actions[..., h, :], value = Q.argmin(axis=-1), Q.min(axis=-1)
    return BestPolicy(actions, np.asarray(value[..., 0]))


def checked_policy(P: np.ndarray, pi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transitions and a policy, or ``ValueError``."""
    P, pi = probabilities("P", P), probabilities("pi", pi)
    _same_table(P, "pi", pi)
    return P, pi


def _same_table(P: np.ndarray, name: str, table: np.ndarray) -> None:
    if P.ndim < 4 or P.shape[-1] != P.shape[-3]:
        raise ValueError(f"P must have shape (..., layers, states, actions, states), got {P.shape}")
    if table.shape != P.shape[:-1]:
        raise ValueError(f"{name} must have shape {P.shape[:-1]} like P, got {table.shape}")
