"""Top-k consistency and symmetry of losses: what risk minimisers rank, and what label noise does to them.

A loss here maps scores ``(..., K)`` to the losses of all K labels ``(..., K)``. For label probabilities q its
conditional risk is ``sum_y q_y loss_y(f)``. Scores f are *top-k preserving* for q if

    q_l > q_[k+1]  ⇒  f_l > f_[k+1],        q_l < q_[k]  ⇒  f_l < f_[k];

a loss whose risk minimisers are so for every q is top-k calibrated. Minimisers that keep the order of q are so for
every k. For LDR-KL with a finite temperature, ``r = 1 − e^(−margin/lam)`` and shares ``s = softmax(f/lam)``, the
stationary shares satisfy ``s_y (1 − r s_y) = x_y`` with x proportional to q: a quadratic per label, of which all labels
but perhaps the likeliest take the smaller root. That keeps the order of q.

A loss is *symmetric* if ``sum_y loss_y(f)`` is constant C; uniform label noise then leaves the minimiser where it is.
Symmetry and top-k calibration exclude each other on a simplex of losses (the mean absolute error, the linear limit of
LDR on positive scores of fixed sum): the risk is linear there and its minimiser a corner, in which labels 2 … K tie.
They do not exclude each other in general: ``spherical_symmetric_loss`` is symmetric, bounded, and minimised by scores
proportional to ``q − 1/K``.

    f = ldr_kl_minimizer(q, lam=1.0, margin=0.1)
    is_topk_preserving(f, q, k=2)

Source: Zhu, Ying and Yang (2023), *Label Distributionally Robust Losses for Multi-class Classification*: top-k
consistency of LDR-KL, and the conflict of symmetry with it, which is stated here with the hypothesis that it needs.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linprog, minimize

from theory.classification.ldr import ldr_kl, normalized_scores
from theory.fuzz import Bound
from theory.validation import at_least, finite_array, in_range, positive, probabilities, whole_number

__all__ = [
    "crammer_singer_minimizer",
    "is_topk_preserving",
    "ldr_kl_losses",
    "ldr_kl_minimizer",
    "noise_excess_bound",
    "noisy_distribution",
    "population_minimizer",
    "simplex_minimizer",
    "spherical_symmetric_loss",
    "symmetry_defect",
    "symmetry_defect_bound",
]

Rows = Float[np.ndarray, "... classes"]
Loss = Callable[[np.ndarray], np.ndarray]


def is_topk_preserving(f: Rows, q: Rows, k: int) -> Bool[np.ndarray, "..."] | np.bool_:
    """Whether scores f are top-k preserving for q, as defined above; f may hold −inf.

    Raises ``ValueError`` for q that are not distributions, shapes that differ, f that is NaN or +inf, or k outside
    1 … K − 1.

    >>> q = np.array([0.5, 0.3, 0.2])
    >>> [bool(is_topk_preserving(np.array([3.0, 0.0, 0.0]), q, k)) for k in (1, 2)]
    [True, False]
    """
    q = _distributions(q)
    raw = np.asarray(f)
    if raw.dtype.kind not in "fiub" or raw.shape != q.shape:
        raise ValueError(f"f must hold real numbers and have the shape of q, {q.shape}, got {raw.dtype} {raw.shape}")
    scores = raw.astype(np.float64)
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise ValueError("f must be below infinity, got NaN or inf")
    if whole_number("k", k, 1) >= q.shape[-1]:
        raise ValueError(f"k must be a whole number in 1 … {q.shape[-1] - 1}, got {k}")
    falling_q, falling_f = -np.sort(-q, axis=-1), -np.sort(-scores, axis=-1)
    above = (q <= falling_q[..., k, None]) | (scores > falling_f[..., k, None])
    below = (q >= falling_q[..., k - 1, None]) | (scores < falling_f[..., k - 1, None])
    return (above & below).all(axis=-1)


def ldr_kl_losses(scores: Rows, lam: float = 1.0, margin: float = 0.1) -> Rows:
    """LDR-KL of every label: ``(..., K)`` to ``(..., K)``; errors as ``theory.classification.ldr.ldr_kl``.

    >>> ldr_kl_losses(np.zeros(3), lam=1.0, margin=0.0).tolist()
    [0.0, 0.0, 0.0]
    """
    scores = finite_array("scores", scores)
    if scores.ndim == 0:
        raise ValueError("scores must have at least 2 classes along its last axis, got a number")
    return np.asarray(ldr_kl(scores[..., None, :], np.arange(scores.shape[-1]), lam, margin))


def ldr_kl_minimizer(q: Rows, lam: float = 1.0, margin: float = 0.1) -> Rows:
    """The scores that minimise the conditional risk of LDR-KL, exactly, normalised to ``logsumexp(f/lam) = 0``.

    ``margin = 0`` gives ``lam log q``. Labels of probability 0 get −inf. Otherwise the one unknown scale is bisected
    to machine precision. The risk is convex in f, so that the stationary point is its minimum. Raises ``ValueError``
    for q that are not distributions, ``lam`` not above 0 or a negative ``margin``.

    >>> f = ldr_kl_minimizer(np.array([0.5, 0.3, 0.2]), lam=2.0, margin=0.0)
    >>> (np.exp(f / 2.0)).round(6).tolist()
    [0.5, 0.3, 0.2]
    """
    q, lam, margin = _distributions(q), positive("lam", lam), at_least("margin", margin, 0)
    return lam * _minimal_log_shares(q.reshape(-1, q.shape[-1]), min(margin / lam, 1e300)).reshape(q.shape) + 0.0


def crammer_singer_minimizer(q: Float[np.ndarray, " classes"], margin: float = 1.0) -> Float[np.ndarray, " classes"]:
    """Scores that minimise the conditional risk of the hinge ``max_k z_k``, by linear programming; ``f_0 = 0``.

    If no label has a majority, equal scores are among the minimisers, and nothing is ranked. Raises ``ValueError`` for
    q that is no distribution or a negative ``margin``.

    >>> crammer_singer_minimizer(np.array([0.4, 0.35, 0.25])).tolist()
    [0.0, 0.0, 0.0]
    """
    q, margin = _distributions(q, 1), at_least("margin", margin, 0)
    K = len(q)
    # variables f and the K hinges t: f_k − f_y + margin <= t_y
    rows, limits = [], []
    for y in range(K):
        for k in set(range(K)) - {y}:
            row = np.zeros(2 * K)
            row[k], row[y], row[K + y] = 1.0, -1.0, -1.0
            rows.append(row)
            limits.append(-margin)
    bounds = [(0, 0), *[(None, None)] * (K - 1), *[(0, None)] * K]
    found = linprog(np.concatenate([np.zeros(K), q]), A_ub=np.array(rows), b_ub=limits, bounds=bounds)
    return found.x[:K] + 0.0


def simplex_minimizer(q: Float[np.ndarray, " classes"], total: float) -> Float[np.ndarray, " classes"]:
    """Scores ``f >= 0`` of sum ``total`` with the least mean loss ``const − f_y``: a corner, by linear programming.

    For ``total = K`` it is the linear limit of LDR with normalised scores, for ``total = 1`` the mean absolute error of
    probabilities. Raises ``ValueError`` for q that is no distribution or a ``total`` not above 0.

    >>> simplex_minimizer(np.array([0.5, 0.3, 0.2]), 3.0).tolist()
    [3.0, 0.0, 0.0]
    """
    q, total = _distributions(q, 1), positive("total", total)
    return linprog(-q, A_eq=np.ones((1, len(q))), b_eq=[total], bounds=(0, None)).x + 0.0


def population_minimizer(
    q: Float[np.ndarray, " classes"], loss: Loss, *, starts: int = 4, seed: int = 0
) -> Float[np.ndarray, " classes"]:
    """Scores that minimise ``sum_y q_y loss_y(f)`` numerically, for any loss; of mean 0.

    The best of several descents (BFGS, then Nelder–Mead from where it ends): good to about 1e-6 for smooth losses. If
    the infimum is at infinity, the scores are large. Raises ``ValueError`` for q that is no distribution, a loss that
    does not return K values, or fewer than one start.

    >>> f = population_minimizer(np.array([0.7, 0.3]), lambda f: ldr_kl_losses(f, 1.0, 0.0))
    >>> round(float(f[0] - f[1]), 3), round(float(np.log(0.7 / 0.3)), 3)
    (0.847, 0.847)
    """
    q, rng = _distributions(q, 1), np.random.default_rng(whole_number("seed", seed, 0))
    if (shape := np.shape(loss(np.zeros(len(q))))) != q.shape:
        raise ValueError(f"loss must map scores {q.shape} to losses of that shape, got {shape}")

    def risk(f: np.ndarray) -> float:
        return float(q @ loss(f))

    best = np.zeros(len(q))
    for _ in range(whole_number("starts", starts, 1)):
        found = minimize(risk, rng.normal(size=len(q)), method="BFGS", options={"gtol": 1e-9})
        options = {"xatol": 1e-9, "fatol": 1e-14, "maxiter": 200 * len(q)}
        found = minimize(risk, found.x, method="Nelder-Mead", options=options)
        best = found.x if found.fun < risk(best) else best
    return best - best.mean()


def spherical_symmetric_loss(scores: Rows) -> Rows:
    """``1 − u_y / ||u||`` with ``u = scores − mean``, for every label: symmetric, and top-k calibrated for every k.

    Its sum over labels is K; its conditional risk ``1 − <q, u/||u||>`` is least where u is proportional to ``q − 1/K``.
    Constant scores have loss 1 at every label. It shows that symmetry alone does not forbid top-k calibration. Raises
    ``ValueError`` for scores that are not finite or have fewer than 2 classes.

    >>> spherical_symmetric_loss(np.array([1.0, 0.0, -1.0])).round(4).tolist()
    [0.2929, 1.0, 1.7071]
    """
    f = finite_array("scores", scores)
    if f.ndim == 0 or f.shape[-1] < 2:
        raise ValueError(f"scores must have at least 2 classes along its last axis, got shape {f.shape}")
    largest = np.abs(f).max(axis=-1, keepdims=True)
    f = f / np.where(largest > 0, largest, 1.0)  # squares of very small or large scores leave the range of doubles
    u = f - f.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(u, axis=-1, keepdims=True)
    # what rounding leaves of equal scores has no direction
    flat = norm < 1e-15 * f.shape[-1]
    return 1 - np.where(flat, 0.0, u / np.where(flat, 1.0, norm))


def symmetry_defect(loss: Loss, f: Float[np.ndarray, "instances classes"]) -> float:
    """``max − min`` over the given scores of ``sum_y loss_y``: 0 for a symmetric loss.

    Raises ``ValueError`` for scores that are not finite or not of shape (instances, classes), or a loss whose values
    have another shape.

    >>> symmetry_defect(spherical_symmetric_loss, np.array([[1.0, 0.0], [0.0, 3.0]]))
    0.0
    """
    f = finite_array("f", f, 2)
    values = np.asarray(loss(f))
    if values.shape != f.shape:
        raise ValueError(f"loss must map scores {f.shape} to losses of that shape, got {values.shape}")
    return float(np.ptp(values.sum(axis=1)))


def symmetry_defect_bound(classes: int, lam: float, margin: float = 0.1) -> float:
    """A bound on the defect of LDR-KL over scores that are not negative and of sum K: ``K (K + margin)² / (8 lam)``.

    The sum of the K linear limits is ``margin (K − 1)`` for every f; each loss exceeds its limit by between 0 and
    range²/(8 lam), and margins range over at most K + margin. Raises ``ValueError`` for fewer than 2 classes, ``lam``
    not above 0 or a negative ``margin``.

    >>> symmetry_defect_bound(4, lam=8.0, margin=0.0)
    1.0
    """
    K = whole_number("classes", classes, 2)
    return K * (K + at_least("margin", margin, 0)) ** 2 / (8 * positive("lam", lam))


def noisy_distribution(q: Rows, eps: float) -> Rows:
    """Label probabilities after uniform noise: with probability eps a label becomes a uniform *other* one.

    Noise that picks among all K labels at rate ``e`` is this one at ``eps = e (K − 1)/K``. Raises ``ValueError`` for q
    that are not distributions or eps outside [0, 1].

    >>> noisy_distribution(np.array([1.0, 0.0, 0.0]), 0.5).tolist()
    [0.5, 0.25, 0.25]
    """
    q, eps = _distributions(q), in_range("eps", eps, 0, 1)
    return (1 - eps) * q + eps * (1 - q) / (q.shape[-1] - 1)


def noise_excess_bound(eps: float, delta: float, classes: int) -> float:
    """``2 eps delta / ((K − 1)(1 − eps K/(K − 1)))``: excess clean risk of a minimiser of the noisy risk.

    delta is half the range of ``sum_y loss_y`` over the scores in use (``|sum − C| <= delta``), eps the rate of noise
    as in ``noisy_distribution``; the bound holds for ``eps < 1 − 1/K``. From: noisy risk = ``(1 − eps K/(K − 1)) R +
    eps/(K − 1) E sum_y loss_y``, for the noisy minimiser and for the clean one. Raises ``ValueError`` for eps outside
    ``[0, 1 − 1/K)``, negative delta or fewer than 2 classes.

    >>> noise_excess_bound(0.25, 0.1, 2)
    0.1
    """
    K, rate = whole_number("classes", classes, 2), in_range("eps", eps, 0, 1)
    if rate >= 1 - 1 / K:
        raise ValueError(f"eps must be below 1 − 1/classes = {1 - 1 / K:g}, got {eps!r}")
    return 2 * rate * at_least("delta", delta, 0) / ((K - 1) * (1 - rate * K / (K - 1)))


def _distributions(q: object, dimensions: int | None = None) -> np.ndarray:
    q = probabilities("q", q, dimensions)
    if q.shape[-1] < 2:
        raise ValueError(f"q must have at least 2 classes, got shape {q.shape}")
    return q


def _minimal_log_shares(q: np.ndarray, ratio: float) -> np.ndarray:
    """``log softmax(f/lam)`` at the minimum, for ``ratio = margin/lam``.

    With ``x_y = x q_y / max q``, smaller root ``S(x) = 2x / (1 + sqrt(1 − 4 r x))`` and larger root ``1/r − S(x)``,
    shares sum to 1 for one x in (0, 1/(4r)]: with smaller roots throughout if their sum reaches 1 there, and else with
    the larger root for the likeliest label, where ``S(x) − sum of the others = 1/r − 1 = 1/(e^ratio − 1)``. All in
    logarithms: for small temperatures shares are like e^(−ratio).
    """
    order = np.argsort(-q, axis=1, kind="stable")
    relative = np.take_along_axis(q, order, axis=1) / q.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        log_q, log_relative = np.log(q), np.log(relative)
    r = -np.expm1(-ratio)
    if r == 0:
        return log_q

    log_4r = np.log(4 * r)

    def smaller_over_x(log_x: np.ndarray) -> np.ndarray:
        # x alone overflows where the margin is tiny beside the temperature; 4 r x is at most 1.
        return 2 * relative / (1 + np.sqrt(np.maximum(1 - np.exp(log_x + log_4r)[:, None] * relative, 0.0)))

    top = np.full(len(q), -log_4r)
    switched = top + np.log(smaller_over_x(top).sum(axis=1)) < 0
    log_excess = -(ratio + np.log(r))
    low, high = np.minimum(top, log_excess) - 800.0, top
    for _ in range(100):
        middle = (low + high) / 2
        s = smaller_over_x(middle)
        lead = 2 * s[:, 0] - s.sum(axis=1)
        with np.errstate(divide="ignore"):
            log_lead = middle + np.log(np.maximum(lead, 0.0))
        rising = np.where(switched, log_lead < log_excess, middle + np.log(s.sum(axis=1)) < 0)
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    log_x = (low + high) / 2
    s = smaller_over_x(log_x)
    logs = log_x[:, None] + log_relative + np.log(s / np.where(relative > 0, relative, 1.0) + (relative == 0))
    others = np.where(switched, np.exp(logs[:, 1:]).sum(axis=1), 0.0)
    logs[:, 0] = np.where(switched, np.log1p(-others), logs[:, 0])
    share = np.empty_like(logs)
    np.put_along_axis(share, order, logs, axis=1)
    return share


def _score_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    raw = rng.normal(size=(count, 2, 4)) * 10.0 ** rng.uniform(-1, 2, (count, 1, 1))
    pair = normalized_scores(raw)
    q, log_lam = rng.dirichlet(np.ones(4), count), rng.uniform(-1, 3, count)
    return {"f": pair[:, 0], "g": pair[:, 1], "q": q, "log_lam": log_lam, "eps": rng.uniform(0, 0.7, count)}


def _sums(f: np.ndarray, log_lam: np.ndarray, margin: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """All labels' losses for a temperature per instance, and their sums."""
    z = f[:, None, :] - f[:, :, None] + margin * (1 - np.eye(f.shape[1]))
    lam, top = 10.0 ** log_lam[:, None], z.max(axis=2)
    losses = top + lam * np.log1p(np.expm1((z - top[..., None]) / lam[..., None]).mean(axis=2))
    return losses, losses.sum(axis=1)


def _noisy_preference(f, g, q, log_lam, eps) -> np.ndarray:
    """Clean excess of whichever of two scores has the smaller noisy risk."""
    (a, _), (b, _) = _sums(f, log_lam), _sums(g, log_lam)
    noisy = (1 - eps[:, None]) * q + eps[:, None] * (1 - q) / 3
    clean = (q * (a - b)).sum(axis=1)
    return np.maximum(np.where((noisy * (a - b)).sum(axis=1) <= 0, clean, -clean), 0.0)


def _noisy_allowance(f, g, q, log_lam, eps) -> np.ndarray:
    (_, a), (_, b) = _sums(f, log_lam), _sums(g, log_lam)
    return eps * np.abs(a - b) / (3 * (1 - eps * 4 / 3)) + 1e-12


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "symmetry defect of LDR-KL on normalised scores", "Hoeffding's lemma, label by label",
        lambda f, g, log_lam, **_: np.abs(_sums(f, log_lam)[1] - _sums(g, log_lam)[1]),
        lambda f, log_lam, **_: 4 * (4 + 0.1) ** 2 / (8 * 10.0**log_lam), _score_sampler,
    )  # fmt: skip
    yield Bound(
        "clean excess of a noisy minimiser", "uniform label noise; derived here",
        _noisy_preference, _noisy_allowance, _score_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
