"""Per-step advantages: preference optimisation step by step is advantage-weighted reinforcement learning.

Steps y_1 … y_L of a solution lead from prefix to prefix; the answer alone is rewarded. With Q(s, a) the chance of
success after step a, V(s) = sum_a pi(a|s) Q(s, a) and A = Q − V, these have closed forms in every prefix s:

    rft_policy(pi, Q)                  pi(a|s) Q(s, a) / V(s)          likelihood of one's own successful solutions
    awr_policy(pi, A, beta)            ∝ pi(a|s) exp(A(s, a) / beta)   advantage-weighted likelihood
    population_dpo(pi_ref, A, beta)    the same policy: the minimiser of

        E_{a, a' ~ pi_ref} −[sigma(A − A') log sigma(h − h') + sigma(A' − A) log sigma(h' − h)],  h = beta log pi/pi_ref

where a is preferred with probability sigma(A(s, a) − A(s, a')). The loss is convex in h and equals its entropy bound
only where h − h' = A − A': on every pair that can be drawn. So how the pairs are drawn changes nothing, as long as they
connect all steps; the reference and the temperature of the labels do matter. With labels that are never wrong no
minimiser is finite: there is one if and only if from every step a chain of possible losses leads to every other
(Ford 1957). ``population_dpo`` finds it by Newton's method and knows nothing of the closed form.

RFT rewards a spurious step whose Q exceeds V, and leaves one with A = 0 as likely as it was. AWR improves on pi for
every beta: E_pi'[A] = Cov_pi(A, e^{A/beta}) / E_pi[e^{A/beta}] >= 0 in every prefix, and by the performance-difference
lemma J(pi') − J(pi) sums these over what pi' visits. That J rises all the way as beta falls is not a theorem: with
rewards between 0 and 1 there are trees where it falls (``tests``); with rewards 0 and 1 we know none.

    values = tree_values(policies, rewards)             # V of every prefix of a tree
    best_of_k_values(Q, k=5)                            # 1 − (1 − Q)^k
    sample_efficiency(curve, target_acc, size=128)      # how many times more examples the curve needs for that accuracy
    fitted_efficiency(curve, others)                    # one factor for all sizes, least squares

Source: Setlur, Garg, Geng, Garg, Smith and Kumar (2024), *RL on Incorrect Synthetic Data Scales the Efficiency of LLM
Math Reasoning by Eight-Fold*: the equivalence of per-step preference optimisation and advantage-weighted
reinforcement learning, in the form proved above; RFT identity, improvement and Newton's method are derived here.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import expit, log_expit, logsumexp

from theory.fuzz import Bound
from theory.validation import at_least, finite_array, positive, probabilities, same_shape, whole_number

__all__ = [
    "awr_policy",
    "best_of_k_values",
    "dpo_population_loss",
    "fitted_efficiency",
    "population_dpo",
    "rft_policy",
    "sample_efficiency",
    "tree_values",
]

Policy = Float[np.ndarray, "*states actions"]
Pairs = Float[np.ndarray, "*states actions actions"]
Curve = Float[np.ndarray, "sizes 2"]


def awr_policy(policy: Policy, A: Policy, beta: float) -> Policy:
    """``pi(a|s) exp(A(s, a)/beta) / Z(s)``: the maximiser of E_pi[exp(A/beta) log pi'] in every prefix.

    Computed in logarithms: any beta above 0 will do. Raises ``ValueError`` for a policy that is no distribution along
    its last axis, advantages that are not finite or of another shape, beta not above 0.

    >>> awr_policy(np.array([0.5, 0.5]), np.array([0.2, -0.2]), beta=0.4 / np.log(3)).round(6).tolist()
    [0.75, 0.25]
    """
    policy, A = _policy_and(policy, "A", A)
    with np.errstate(divide="ignore"):
        scores = np.log(policy) + (A - A.max(axis=-1, keepdims=True)) / positive("beta", beta)
    return np.exp(scores - logsumexp(scores, axis=-1, keepdims=True))


def rft_policy(policy: Policy, Q: Policy) -> Policy:
    """``pi(a|s) Q(s, a) / V(s)``: what maximum likelihood makes of one's own successful solutions.

    A prefix from which nothing succeeds occurs in none of them: its policy stays. Raises ``ValueError`` for a policy
    that is no distribution along its last axis, Q outside [0, 1] or of another shape.

    >>> rft_policy(np.array([0.5, 0.5]), np.array([0.9, 0.3])).tolist()
    [0.75, 0.25]
    """
    policy, Q = _policy_and(policy, "Q", Q)
    Q = _unit_interval("Q", Q)
    # Dividing by the largest Q first keeps subnormal chances from losing their digits.
    largest = Q.max(axis=-1, keepdims=True)
    weighted = policy * np.divide(Q, largest, out=np.ones_like(Q), where=largest > 0)
    total = weighted.sum(axis=-1, keepdims=True)
    return np.where(total > 0, weighted / np.where(total > 0, total, 1.0), policy)


def population_dpo(
    pi_ref: Policy,
    A: Policy,
    beta: float,
    *,
    pairs: Policy | Pairs | None = None,
    labels: Pairs | None = None,
    reference: Policy | None = None,
) -> Policy:
    """The policy that minimises the population loss of preference optimisation, prefix by prefix, by Newton's method.

    Args:
        pi_ref: where the steps of a pair are drawn from, and the reference of the loss.
        A: advantages; the first of a pair is preferred with probability ``sigma(A − A')``.
        beta: of the loss.
        pairs: other chances of pairs, ``(…, actions, actions)``, or of the steps of a pair, ``(…, actions)``.
        labels: other chances that the first is preferred; ``labels + labels.T = 1``.
        reference: another reference of the loss.

    Raises ``ValueError`` for a pi_ref that is not a distribution with full support, advantages that are not finite or
    of another shape, beta not above 0, labels that do not add up to 1, and where no finite minimiser exists: pairs or
    labels from which some step never loses to others, directly or through a chain.

    >>> population_dpo(np.array([0.5, 0.5]), np.array([0.2, -0.2]), beta=0.4 / np.log(3)).round(6).tolist()
    [0.75, 0.25]
    """
    pi_ref, A, weights, chances = _preferences(pi_ref, A, pairs, labels)
    positive("beta", beta)
    start = _full_support("reference", pi_ref if reference is None else reference)
    same_shape(("pi_ref", "reference"), (pi_ref, start))
    _check_connected(weights * chances)
    h = np.zeros_like(A)
    loss = _loss(h, weights, chances)
    for _ in range(_NEWTON_STEPS):
        slopes = weights * (expit(h[..., :, None] - h[..., None, :]) - chances)
        gradient = slopes.sum(axis=-1) - slopes.sum(axis=-2)
        step = _newton_step(h, weights, gradient)
        # Half steps until the convex loss falls: where its curvature is tiny a full step is too long. Steps too small
        # for the loss to show anything but rounding are taken as they are.
        size = np.ones(h.shape[:-1])
        visible = np.abs(step).max(axis=-1) > 1e-6
        for _ in range(60):
            worse = visible & (_loss(h - size[..., None] * step, weights, chances) > loss + 1e-15)
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        h = h - size[..., None] * step
        loss = _loss(h, weights, chances)
        if np.abs(step).max() < _NEWTON_TOLERANCE:
            break
    scores = np.log(start) + (h - h.max(axis=-1, keepdims=True)) / beta
    return np.exp(scores - logsumexp(scores, axis=-1, keepdims=True))


def dpo_population_loss(
    policy: Policy, pi_ref: Policy, A: Policy, beta: float, *, pairs: Policy | Pairs | None = None
) -> Float[np.ndarray, "*states"]:
    """The loss that ``population_dpo`` minimises, of any policy, in every prefix.

    Raises ``ValueError`` as ``population_dpo``, and for a policy without full support or of another shape.

    >>> half = np.array([0.5, 0.5])
    >>> round(float(dpo_population_loss(half, half, np.array([0.2, -0.2]), beta=1.0)), 4)     # half the pairs differ
    0.3466
    """
    pi_ref, A, weights, chances = _preferences(pi_ref, A, pairs, None)
    policy = _full_support("policy", policy)
    same_shape(("policy", "pi_ref"), (policy, pi_ref))
    return _loss(positive("beta", beta) * (np.log(policy) - np.log(pi_ref)), weights, chances)


def best_of_k_values(Q: Float[np.ndarray, "*shape"], k: int) -> Float[np.ndarray, "*shape"]:
    """``1 − (1 − Q)^k``: the chance that one of k independent completions succeeds.

    Rises with Q, so that it orders steps as Q does, but saturates: steps that still leave a chance look harmless.
    Raises ``ValueError`` for Q outside [0, 1] or k below 1.

    >>> best_of_k_values(np.array([0.5]), k=2).tolist()
    [0.75]
    """
    Q = _unit_interval("Q", finite_array("Q", Q))
    with np.errstate(divide="ignore"):
        return -np.expm1(whole_number("k", k, 1) * np.log1p(-Q))


def tree_values(
    policies: Sequence[Float[np.ndarray, "*trees _ _"]], rewards: Float[np.ndarray, "*trees _"]
) -> list[Float[np.ndarray, "*trees _"]]:
    """``V_0 … V_L`` of all prefixes of trees: ``V_i(s) = sum_a pi_i(a|s) V_{i+1}(s a)``, ``V_L`` being the rewards.

    ``policies[i]`` has a distribution for each prefix of i steps; prefixes are ordered so that the children of one
    stand together. Raises ``ValueError`` for policies that are no distributions or do not fit each other.

    >>> half = np.full((1, 2), 0.5)
    >>> [v.tolist() for v in tree_values([half, np.full((2, 2), 0.5)], np.array([1.0, 0.0, 1.0, 1.0]))[:2]]
    [[0.75], [0.5, 1.0]]
    """
    if not isinstance(policies, Sequence) or not policies:
        raise ValueError(f"policies must be a non-empty sequence of arrays, got {type(policies).__name__}")
    values = [finite_array("rewards", rewards)]
    for depth in reversed(range(len(policies))):
        policy = probabilities("policies", policies[depth])
        if policy.ndim < 2 or (*policy.shape[:-2], policy.shape[-2] * policy.shape[-1]) != values[-1].shape:
            raise ValueError(
                f"policies must fit each other and the rewards: those of depth {depth} have shape {policy.shape}, the "
                f"values below them (rewards {values[0].shape}) {values[-1].shape}"
            )
        values.append((policy * values[-1].reshape(policy.shape)).sum(axis=-1))
    return values[::-1]


def sample_efficiency(curve: Curve, target_acc: float, size: float = 1.0) -> float:
    """How many times ``size`` examples the curve needs for an accuracy of ``target_acc``.

    ``curve`` has rows (examples, accuracy) of the baseline; it is made monotone (least squares) and read linearly in
    the logarithm of the examples. Beyond its last accuracy the answer is infinite, and below its first one the first
    size is all that can be said: an upper bound. Raises ``ValueError`` for fewer than two rows, sizes that do not rise
    from above 0, a target or accuracies outside [0, 1], size not above 0.

    >>> round(sample_efficiency(np.array([[100, 0.2], [200, 0.5], [400, 0.8]]), target_acc=0.5, size=100), 6)
    2.0
    """
    sizes, accuracies = _monotone("curve", curve)
    target = at_least("target_acc", target_acc, 0)
    if target > 1:
        raise ValueError(f"target_acc must be at most 1, got {target_acc!r}")
    positive("size", size)
    if target > accuracies[-1]:
        return float("inf")
    after = int(np.searchsorted(accuracies, target))
    if after == 0:
        return float(sizes[0] / size)
    low, high = accuracies[after - 1], accuracies[after]
    share = (target - low) / (high - low)
    return float(np.exp((1 - share) * np.log(sizes[after - 1]) + share * np.log(sizes[after])) / size)


def fitted_efficiency(curve: Curve, others: Float[np.ndarray, "others 2"]) -> float:
    """The factor f for which ``accuracy of others at n = accuracy of the curve at f n`` fits best, by least squares.

    The curve is made monotone and read linearly in the logarithm of its sizes, and is constant beyond its ends; f is
    looked for from 1/1024 to 1024 on a grid of 1 %, among factors that keep at least half of the other sizes on the
    curve. Raises ``ValueError`` as ``sample_efficiency``, and where no factor does.

    >>> baseline = np.array([[100, 0.2], [200, 0.5], [400, 0.8]])
    >>> round(fitted_efficiency(baseline, np.array([[100, 0.5], [200, 0.8]])), 1)
    2.0
    """
    sizes, accuracies = _monotone("curve", curve)
    own, reached = _rows("others", others)
    logs = np.linspace(-np.log(1024), np.log(1024), 1387)
    places = np.log(own) + logs[:, None]
    inside = ((places >= np.log(sizes[0]) - 1e-9) & (places <= np.log(sizes[-1]) + 1e-9)).mean(axis=1)
    if not (inside >= 0.5).any():
        raise ValueError(f"others must have sizes within a factor of 1024 of the curve's, got {own[0]:g} … {own[-1]:g}")
    errors = ((np.interp(places, np.log(sizes), accuracies) - reached) ** 2).sum(axis=1)
    return float(np.exp(logs[np.where(inside >= 0.5, errors, np.inf).argmin()]))


_NEWTON_STEPS = 100
_NEWTON_TOLERANCE = 1e-8
_ROUNDING = 1e-9


def _loss(h: np.ndarray, weights: np.ndarray, chances: np.ndarray) -> np.ndarray:
    gaps = h[..., :, None] - h[..., None, :]
    return np.asarray(-(weights * (chances * log_expit(gaps) + (1 - chances) * log_expit(-gaps))).sum(axis=(-2, -1)))


def _newton_step(h: np.ndarray, weights: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The Hessian is a graph's Laplacian: constants are its kernel, and adding 1/n everywhere inverts the rest."""
    gaps = h[..., :, None] - h[..., None, :]
    curvature = weights * expit(gaps) * expit(-gaps)
    curvature = curvature + np.swapaxes(curvature, -1, -2)
    diagonal = curvature.sum(axis=-1)
    scale = diagonal.max(axis=-1)[..., None, None]
    laplacian = diagonal[..., :, None] * np.eye(h.shape[-1]) - curvature + scale / h.shape[-1]
    return np.linalg.solve(laplacian, gradient[..., None])[..., 0]


def _preferences(
    pi_ref: np.ndarray, A: np.ndarray, pairs: np.ndarray | None, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reference, advantages, chances of pairs and of the first one's being preferred."""
    _full_support("pi_ref", pi_ref)
    pi_ref, A = _policy_and(pi_ref, "A", A, name="pi_ref")
    square = (*pi_ref.shape, pi_ref.shape[-1])
    drawn = pi_ref if pairs is None else finite_array("pairs", pairs)
    if drawn.shape not in (pi_ref.shape, square) or drawn.min() < 0:
        raise ValueError(f"pairs must be at least 0, of shape {pi_ref.shape} or {square}, got {drawn.shape}")
    if drawn.shape == pi_ref.shape:
        drawn = drawn[..., :, None] * drawn[..., None, :]
    chances = expit(A[..., :, None] - A[..., None, :]) if labels is None else finite_array("labels", labels)
    if chances.shape != square or not np.allclose(chances + np.swapaxes(chances, -1, -2), 1) or chances.min() < 0:
        raise ValueError(f"labels must be chances that add up to 1 with their transpose, of shape {square}")
    total = drawn.sum(axis=(-2, -1), keepdims=True)
    if (total == 0).any():
        raise ValueError("pairs must have a chance above 0 in every state")
    return pi_ref, A, drawn / total * (1 - np.eye(pi_ref.shape[-1])), chances


def _check_connected(wins: np.ndarray) -> None:
    """A step beats another if that can happen in either order of the pair; every step must reach every other."""
    actions = wins.shape[-1]
    reach = (wins > 0).reshape(-1, actions, actions)
    reach = (reach | np.eye(actions, dtype=bool)).astype(np.float64)
    for _ in range(max(1, int(np.ceil(np.log2(actions))))):
        reach = (reach @ reach > 0).astype(np.float64)
    if not reach.all():
        raise ValueError(
            "labels and pairs must let every step lose to every other, at least through a chain of steps, or no finite "
            f"minimiser exists; they do not in state {int((~reach.all(axis=(1, 2))).argmax())}"
        )


def _policy_and(policy: np.ndarray, other: str, values: np.ndarray, name: str = "policy") -> tuple:
    policy = probabilities(name, policy)
    values = finite_array(other, values)
    same_shape((name, other), (policy, values))
    return policy, values


def _full_support(name: str, policy: np.ndarray) -> np.ndarray:
    policy = probabilities(name, policy)
    if policy.min() <= 0:
        raise ValueError(f"{name} must give every step a chance above 0, got {policy.min()}")
    return policy


def _unit_interval(name: str, values: np.ndarray) -> np.ndarray:
    # Chances that are sums of products may exceed 1 by rounding.
    if values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        raise ValueError(f"{name} must lie in [0, 1], got {values.min()} … {values.max()}")
    return np.clip(values, 0.0, 1.0)


def _rows(name: str, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = finite_array(name, curve, 2)
    if rows.shape[1] != 2 or rows[0, 0] <= 0 or (np.diff(rows[:, 0]) <= 0).any():
        raise ValueError(f"{name} must have rows (size, accuracy), sizes rising from above 0, got {rows!r:.80}")
    return rows[:, 0], _unit_interval(name, rows[:, 1])


def _monotone(name: str, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and accuracies that do not fall: neighbours that do are pooled."""
    sizes, accuracies = _rows(name, curve)
    if len(sizes) < 2:
        raise ValueError(f"{name} must have at least two rows, got {len(sizes)}")
    pools: list[tuple[float, int]] = []
    for accuracy in accuracies:
        mean, count = float(accuracy), 1
        while pools and pools[-1][0] > mean:
            before, more = pools.pop()
            mean, count = (mean * count + before * more) / (count + more), count + more
        pools.append((mean, count))
    return sizes, np.repeat([mean for mean, _ in pools], [count for _, count in pools])


def _trees(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Trees of three binary steps: logits of seven prefixes, rewards of eight leaves, the logarithm of beta."""
    spread = 10.0 ** rng.uniform(-1, 1, (count, 1))
    rewards = np.where(
        rng.random((count, 1)) < 0.5, rng.random((count, 8)) < rng.random((count, 1)), rng.random((count, 8))
    )
    return {
        "logits": spread * rng.normal(size=(count, 7, 2)).reshape(count, 14),
        "rewards": rewards.astype(np.float64), "log_beta": rng.uniform(-3.5, 3, count),
    }  # fmt: skip


def _policies(logits: np.ndarray) -> list[np.ndarray]:
    scores = logits.reshape(-1, 7, 2)
    each = np.exp(scores - logsumexp(scores, axis=-1, keepdims=True))
    return [each[:, :1], each[:, 1:3], each[:, 3:]]


def _success(logits: np.ndarray, rewards: np.ndarray, log_beta: np.ndarray) -> np.ndarray:
    return tree_values(_policies(logits), rewards)[0][:, 0]


def _improved_success(logits: np.ndarray, rewards: np.ndarray, log_beta: np.ndarray) -> np.ndarray:
    policies = _policies(logits)
    values = tree_values(policies, rewards)
    improved = []
    for policy, before, after in zip(policies, values[:-1], values[1:], strict=True):
        A = after.reshape(policy.shape) - before[..., None]
        improved.append(awr_policy(policy, A / np.exp(log_beta)[:, None, None], 1.0))
    return tree_values(improved, rewards)[0][:, 0]


def _bounds() -> Iterator[Bound]:
    source = "policy improvement by advantage weighting; derived"
    yield Bound("success of a policy at most its advantage-weighted one's", source, _success, _improved_success, _trees)


BOUNDS = list(_bounds())
