"""Policy optimisation in adversarial MDPs with linear function approximation: three ways to survive bad estimates.

K episodes of an MDP with known transitions (``theory.online.episodic_mdp``); an adversary picks new losses for each,
and only those on the learner's trajectory are seen. In every state a copy of *follow the regularised leader* plays
against estimates of the value function less a dilated bonus:

    for k = 1 … K
        pi = FTRL(eta · cum)                               all layers and states at once
        w  = occupancy of pi;  Sd_h = (gamma I + sum_{s,a} w_h(s, a) phi phiᵀ)⁻¹
        roll out one trajectory;  L_h = loss_h + … + loss_{H−1} on it
        x  = phi(s, a)ᵀ Sd_h phi(s_h, a_h);  Q = x L_h     (magreduced: − H_h (x)₋ + H_h E_w (x)₋, value_estimates)
        b  = beta (|phi(s, a)|² + sum_a' pi(a'|s) |phi(s, a')|²), norms of Sd_h;  B = dilated_bonus(P, pi, b)
        cum += Q − B

Q can be as low as −H/gamma, and entropy tolerates only ``eta Q >= −1``. That is what the three variants differ in:

    conservative   entropy, eta <= gamma/(2H): safe but slow, K^{2/3}                            (earlier work)
    logbarrier     the log-barrier tolerates anything (follow_the_regularized_leader): K^{1/2}, a factor A^{1/2}
    magreduced     entropy, with estimates of at least −H/sqrt(gamma): K^{1/2}, A only in a logarithm

    env = random_linear_mdp(12, 2, 3, 3, 3, seed=0)
    result = policy_optimization(env, losses, K, "logbarrier", rng=np.random.default_rng(0))
    result.regret                                          # one number per seed, without sampling noise

The 2/3 is what the earlier analysis allows, not a lower bound on its algorithm: nothing stops one from running it with
a larger eta. Without a simulator the paper proves K^{8/9}; at sizes that can be run that bound exceeds H K, so only
its ingredient is here (``theory.online.inverse_covariance``).

Source: Dai, Luo, Wei and Zimmert (2023), *Refined Regret for Adversarial MDPs with Linear Function Approximation*;
``conservative`` after Luo, Wei and Lee (2021), *Policy Optimization in Adversarial MDPs: Improved Exploration via
Dilated Bonuses*. Tuning derived up to constants, which are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from theory.online.dilated_bonus import bonus_value, dilated_bonus, telescoped_bonus
from theory.online.episodic_mdp import (
    BestPolicy,
    LinearMDP,
    best_fixed_policy,
    occupancy_measure,
    random_linear_mdp,
    tabular_mdp,
)
from theory.online.follow_the_regularized_leader import (
    entropy_plays,
    ftrl_entropy,
    ftrl_log_barrier,
    log_barrier_plays,
)
from theory.online.inverse_covariance import matrix_geometric_resampling, regularized_inverse_covariance
from theory.online.value_estimates import linear_q_estimate, magnitude_reduced_estimate
from theory.validation import finite_array, one_of, whole_number

__all__ = [
    "PRACTICAL_CONSTANTS",
    "VARIANTS",
    "BestPolicy",
    "LinearMDP",
    "Parameters",
    "PolicyOptimizationResult",
    "best_fixed_policy",
    "bonus_value",
    "dilated_bonus",
    "ftrl_entropy",
    "ftrl_log_barrier",
    "learning_parameters",
    "linear_q_estimate",
    "magnitude_reduced_estimate",
    "matrix_geometric_resampling",
    "occupancy_measure",
    "policy_optimization",
    "random_linear_mdp",
    "regularized_inverse_covariance",
    "tabular_mdp",
    "telescoped_bonus",
]

PRACTICAL_CONSTANTS = {
    "logbarrier": (4.0, 0.02, 1.0), "magreduced": (2.0, 0.05, 1.0), "conservative": (1.0, 0.02, 1.0),
}  # fmt: skip
"""``c_eta, c_beta, c_gamma`` of each variant. With c_beta = 1 the bonus drowns the losses for ten thousand episodes."""

VARIANTS = tuple(PRACTICAL_CONSTANTS)
Constant = float | Float[np.ndarray, " seeds"]


@dataclass(frozen=True)
class Parameters:
    """Learning rate, size of the bonus, and regularisation of the covariance: numbers, or one for each seed."""

    eta: Constant
    beta: Constant
    gamma: Constant


@dataclass(frozen=True)
class PolicyOptimizationResult:
    """Regret of every seed after K episodes, and ``curve``, the same after each of them.

    Both are sums of exact expected losses less those of the policy that is best for the losses of all K episodes.
    ``least_exponent`` is the lowest ``eta (Q − B)`` of the run: entropy's analysis asks for at least −1.
    """

    regret: Float[np.ndarray, " seeds"]
    curve: Float[np.ndarray, "seeds episodes"]
    params: Parameters
    least_exponent: Float[np.ndarray, " seeds"]


def learning_parameters(
    variant: str, K: int, H: int, A: int, d: int, c_eta: Constant, c_beta: Constant, c_gamma: Constant
) -> Parameters:
    """eta, beta and gamma <= 1 for K episodes of H layers with A actions and d features.

        logbarrier     eta = (c_eta/H) sqrt(A ln K/(d K))    gamma = c_gamma A ln K/K
        magreduced     eta = (c_eta/H) sqrt(ln A/(d K))      gamma = max(c_gamma d ln K/K, (2 eta H)²)
        conservative   eta = c_eta gamma/(2H)                gamma = c_gamma K^{−2/3}

    and ``beta = c_beta eta H²``, for conservative ``c_beta K^{−1/3}``. The maximum keeps ``eta H/sqrt(gamma) <= 1/2``
    as long as gamma is not cut at 1; ``c_eta <= 1`` keeps the conservative ``eta H/gamma <= 1/2``. Constants are
    numbers, or arrays with one for each seed. Raises ``ValueError`` for an unknown variant, K < 2, other sizes below 1,
    or constants not above 0.

    >>> round(learning_parameters("conservative", 1000, 2, 3, 3, 1.0, 0.02, 1.0).eta, 12)
    0.0025
    """
    one_of("variant", variant, VARIANTS)
    for name, size, least in (("K", K, 2), ("H", H, 1), ("A", A, 1), ("d", d, 1)):
        whole_number(name, size, least)
    c_eta, c_beta, c_gamma = (
        _constant(name, value) for name, value in (("c_eta", c_eta), ("c_beta", c_beta), ("c_gamma", c_gamma))
    )
    lengths = [len(constant) for constant in (c_eta, c_beta, c_gamma) if isinstance(constant, np.ndarray)]
    if len(set(lengths)) > 1:
        raise ValueError(f"c_eta, c_beta and c_gamma must have one entry for each seed, got {lengths}")
    log_K = math.log(K)
    if variant == "conservative":
        gamma = np.minimum(c_gamma * K ** (-2 / 3), 1.0)
        eta, beta = c_eta * gamma / (2 * H), c_beta * K ** (-1 / 3)
    else:
        spread = A * log_K if variant == "logbarrier" else math.log(A)
        eta = c_eta / H * math.sqrt(spread / (d * K))
        beta = c_beta * eta * H**2
        if variant == "logbarrier":
            gamma = np.minimum(c_gamma * A * log_K / K, 1.0)
        else:
            gamma = np.minimum(np.maximum(c_gamma * d * log_K / K, (2 * eta * H) ** 2), 1.0)
    return Parameters(_plain(eta), _plain(beta), _plain(gamma))


def policy_optimization(
    env: LinearMDP,
    losses: Float[np.ndarray, "seeds episodes layers dim"],
    K: int,
    variant: str,
    c_eta: Constant | None = None,
    c_beta: Constant | None = None,
    c_gamma: Constant | None = None,
    rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    *,
    trajectories: int | None = None,
) -> PolicyOptimizationResult:
    """Run one variant for K episodes on all instances of ``env`` at once.

    ``losses`` holds coefficients: the loss of episode k in layer h is ``phi(s, a)·losses[seed, k, h]``, linear as the
    setting demands; the first K episodes are used. Constants that are None are the variant's ``PRACTICAL_CONSTANTS``;
    an array gives each seed its own, so that a search over constants is one run.
    ``rng`` is one generator, of which each instance gets a child, or one per instance; then an instance has the same
    results whatever the others beside it; the default is ``np.random.default_rng(0)``. With ``trajectories`` the
    occupancy in Sd and in the magnitude reduction is that of so many simulated visits per layer and episode instead of
    the exact one.

    Raises ``ValueError`` for losses outside [0, 1], not finite, or of another shape, K < 2, an unknown variant,
    constants not above 0, or another number of generators.

    >>> env = random_linear_mdp(2, 2, 3, 3, 3, seed=0)
    >>> losses = np.random.default_rng(0).uniform(0, 1, (2, 50, 2, 3))
    >>> policy_optimization(env, losses, 50, "magreduced").curve.shape
    (2, 50)
    """
    n, H, _, A, d = env.shape
    one_of("variant", variant, VARIANTS)
    chosen = [
        default if value is None else value
        for value, default in zip((c_eta, c_beta, c_gamma), PRACTICAL_CONSTANTS[variant], strict=True)
    ]
    params = learning_parameters(variant, K, H, A, d, *chosen)
    for name, value in (("c_eta", c_eta), ("c_beta", c_beta), ("c_gamma", c_gamma)):
        if value is not None and np.shape(value) not in ((), (n,)):
            raise ValueError(f"{name} must be a number or one for each of {n} seeds, got {value!r:.60}")
    coefficients = _checked_losses(env, losses, K)
    generators = _generators(rng, n)
    if trajectories is not None:
        whole_number("trajectories", trajectories, 1)
    uniforms = np.stack([g.random((K, H, 2)) for g in generators], axis=-1)[..., None]
    features, least = _run(env, coefficients, variant, params, uniforms, generators, trajectories)
    best = best_fixed_policy(env.P, np.einsum("nsad,nhd->nhsa", env.phi, coefficients.sum(axis=1)))
    w = occupancy_measure(env.P, np.eye(A)[best.actions])
    features -= np.einsum("nhsa,nsad->nhd", w, env.phi)[:, None]
    curve = np.cumsum(np.einsum("nkhd,nkhd->nk", features, coefficients), axis=1)
    return PolicyOptimizationResult(curve[:, -1].copy(), curve, params, least)


def _run(
    env: LinearMDP,
    coefficients: np.ndarray,
    variant: str,
    params: Parameters,
    uniforms: np.ndarray,
    generators: Sequence[np.random.Generator],
    trajectories: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Expected features of the learner, (seeds, episodes, layers, dim), and the least exponent of each seed."""
    n, H, S, A, d = env.shape
    K = coefficients.shape[1]
    phi = env.phi.reshape(n, S * A, d)
    columns = np.ascontiguousarray(np.swapaxes(phi, -1, -2))
    squares = (phi[..., :, None] * phi[..., None, :]).reshape(n, S * A, d * d)
    square_columns = np.ascontiguousarray(np.swapaxes(squares, -1, -2))
    P = env.P[:, :-1].reshape(n, H - 1, S * A, S)
    edges = np.cumsum(env.P, axis=-1)[..., :-1].reshape(n, H, S * A, S - 1)
    seeds, layers = np.arange(n), np.arange(H)
    eta, beta, gamma = (np.broadcast_to(each, n).reshape(n, 1, 1) for each in (params.eta, params.beta, params.gamma))
    ridge = gamma[..., None] * np.eye(d)
    remaining = np.arange(H, 0, -1.0)[:, None]  # H_h
    scaled, multiplier = np.zeros((n * H * S, A)), np.full((n * H * S, 1), float(A))
    w, visited = np.empty((n, H, S, A)), np.empty((n, H), dtype=np.int64)
    occupancies, features = np.empty((min(K, _CHUNK), n, H, S * A)), np.empty((n, K, H, d))
    lowest = np.full((n, H, S * A), np.inf)
    # Sums over the few actions of a state: a product with ones takes a fraction of the time of np.sum.
    ones = np.ones((A, 1))
    for k in range(K):
        if variant == "logbarrier":
            plays, multiplier = log_barrier_plays(scaled, multiplier)
        else:
            plays = entropy_plays(scaled)
        pi = plays.reshape(n, H, S, A)

        w[:, 0] = 0.0
        w[:, 0, 0] = pi[:, 0, 0]
        for h in range(1, H):
            state = w[:, h - 1].reshape(n, 1, S * A) @ P[:, h - 1]
            np.multiply(state.reshape(n, S, 1), pi[:, h], out=w[:, h])
        exact = w.reshape(n, H, S * A)
        occupancies[k % _CHUNK] = exact
        measure = exact if trajectories is None else _visits(exact, generators, trajectories)
        Sd = np.linalg.inv((measure @ squares).reshape(n, H, d, d) + ridge)

        choices = np.cumsum(pi[..., :-1], axis=-1)
        state = np.zeros(n, dtype=np.int64)
        for h in range(H):
            action = (uniforms[k, h, 0] > choices[seeds, h, state]).sum(axis=1)
            visited[:, h] = state * A + action
            if h < H - 1:
                state = (uniforms[k, h, 1] > edges[seeds, h, visited[:, h]]).sum(axis=1)
        met = phi[seeds[:, None], visited]
        loss = np.einsum("nhd,nhd->nh", met, coefficients[:, k])
        tail = np.cumsum(loss[:, ::-1], axis=1)[:, ::-1, None]

        norms = Sd.reshape(n, H, d * d) @ square_columns
        if variant == "magreduced":
            kernel = (phi[:, None] @ Sd) @ columns[:, None]
            x = kernel[seeds[:, None], layers, visited]  # a row, which is a column: the kernel is symmetric
            mean = (np.minimum(kernel, 0.0) @ measure[..., None])[..., 0]
            Q = x * tail + remaining * (mean - np.minimum(x, 0.0))
        else:
            Q = ((met[:, :, None] @ Sd)[:, :, 0] @ columns) * tail

        norms = norms.reshape(n * H * S, A)
        B = beta * (norms + (plays * norms) @ ones).reshape(n, H, S * A)
        for h in range(H - 2, -1, -1):
            ahead = (pi[:, h + 1] * B[:, h + 1].reshape(n, S, A)) @ ones
            B[:, h] += (1 + 1 / H) * (P[:, h] @ ahead)[..., 0]
        change = eta * (Q - B)
        np.minimum(lowest, change, out=lowest)
        scaled += change.reshape(n * H * S, A)

        if k % _CHUNK == _CHUNK - 1 or k == K - 1:
            done = k % _CHUNK + 1
            features[:, k + 1 - done : k + 1] = np.einsum("knhp,npd->nkhd", occupancies[:done], phi, optimize=True)
    return features, lowest.min(axis=(1, 2))


def _visits(exact: np.ndarray, generators: Sequence[np.random.Generator], trajectories: int) -> np.ndarray:
    """Frequencies of pairs, (seeds, layers, pairs), among independent visits of each layer."""
    chances = exact / exact.sum(axis=-1, keepdims=True)
    return np.stack([g.multinomial(trajectories, each) for g, each in zip(generators, chances, strict=True)]) / (
        1.0 * trajectories
    )


def _checked_losses(env: LinearMDP, losses: np.ndarray, K: int) -> np.ndarray:
    n, H, _, _, d = env.shape
    coefficients = finite_array("losses", losses, 4)[:, :K]
    if coefficients.shape != (n, K, H, d):
        raise ValueError(f"losses must have shape ({n}, at least {K}, {H}, {d}), got {np.shape(losses)}")
    for start in range(0, K, _CHUNK):
        values = np.einsum("nsad,nkhd->nkhsa", env.phi, coefficients[:, start : start + _CHUNK])
        if values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
            raise ValueError(f"losses must lie in [0, 1], got values in [{values.min():.4g}, {values.max():.4g}]")
    return coefficients


def _constant(name: str, value: Constant) -> float | np.ndarray:
    array = finite_array(name, value)
    if array.ndim > 1 or array.min() <= 0:
        raise ValueError(f"{name} must be above 0, a number or one for each seed, got {value!r:.60}")
    return array if array.ndim else float(array)


def _plain(value: float | np.ndarray) -> Constant:
    return float(value) if np.ndim(value) == 0 else np.asarray(value)


def _generators(
    rng: np.random.Generator | Sequence[np.random.Generator] | None, count: int
) -> Sequence[np.random.Generator]:
    if rng is None:
        rng = np.random.default_rng(0)
    if isinstance(rng, np.random.Generator):
        return rng.spawn(count)
    if isinstance(rng, str) or len(rng) != count or not all(isinstance(g, np.random.Generator) for g in rng):
        raise ValueError(f"rng must be a generator or {count} of them, got {rng!r:.60}")
    return rng


_CHUNK = 512
_ROUNDING = 1e-9
