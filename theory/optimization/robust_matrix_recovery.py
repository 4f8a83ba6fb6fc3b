"""Robust low-rank recovery with a rank that is guessed too high: the sub-gradient method from a small start.

Given ``y_i = <A_i, X*> + s_i`` with X* positive semi-definite of rank r and part of the measurements grossly wrong,
SubGM descends the l1 loss over U in R^{d x r'}, where r' >= r may be as large as d:

    f(U) = mean |<A_i, U U'> − y_i|,    D(U) = (1/m) sum_i Sign(<A_i, U U'> − y_i) (A_i + A_i')/2,    U <- U − eta_t D
    U.

It starts at ``alpha B`` with ``B B'`` the r' leading eigenpairs of ``(1/m) sum Sign(y_i) (A_i + A_i')/2``, negative
ones left out: by Sign-RIP a multiple of X* but for noise. Steps:

    geometric   eta_t = eta0 rho^t / |D|_2           with noise of any kind; the error ends near rho^T or alpha's floor
    polyak      eta_t = (pi/2) eta0 f(U_t)           noiseless: eta_t D is about eta0 (U U' − X*), a linear rate
    constant    eta_t = eta0

A small alpha keeps the surplus columns small for as long as the recovery takes, so that r' does not matter: errors end
near ``alpha^c`` with c close to 1. But the start has to be left: ``|U_t| <= |U_0| prod (1 + eta0 rho^t)``, so rho must
let ``escape_growth(eta0, rho, steps)`` exceed ``log(1/alpha)`` well before the end.

    problem = make_robust_recovery_problem(20, 3, 1800, p=0.3, seed=0)
    found = subgm(problem.A, problem.y, 20, X_true=problem.X)       # found.U @ found.U.T, found.error
    gd_l2(problem.A, problem.y, 20)                                 # the same with squares: outliers win
    convex_recovery(problem.A, problem.y)                           # min mean |y − A(X)|, X positive semi-definite

Source: Ma and Fattahi (2022), *Global Convergence of Sub-gradient Method for Robust Matrix Recovery: Small
Initialization, Noisy Measurements, and Over-parameterization*; default steps are ours.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from theory.optimization.matrix_measurements import (
    Problem,
    SymmetricMeasurements,
    make_robust_recovery_problem,
    sign_subgradient,
)
from theory.optimization.sign_rip import sign_rip_deviation, sign_rip_scale
from theory.validation import at_least, finite_array, in_range, one_of, positive, whole_number

__all__ = [
    "Problem",
    "SubGMResult",
    "convex_recovery",
    "escape_growth",
    "gd_l2",
    "make_robust_recovery_problem",
    "random_start",
    "sign_rip_deviation",
    "sign_rip_scale",
    "sign_subgradient",
    "spectral_start",
    "subgm",
]

Schedule = Literal["geometric", "polyak", "constant"]
Init = Literal["spectral", "random"]
_Start = Init | Float[np.ndarray, "dim rank"]
_Callback = Callable[[int, Float[np.ndarray, "dim rank"]], object]


@dataclass(frozen=True)
class SubGMResult:
    """The factor U, and after each step the loss and, if X* was given, the error ``|U U' − X*|`` (Frobenius).

    ``steps_used`` is less than asked for if the sub-gradient (or the polyak step) became zero, the callback said so, or
    the iterate overflowed; the last entries belong to ``U``.
    """

    U: Float[np.ndarray, "dim rank"]
    loss: Float[np.ndarray, " steps"]
    error: Float[np.ndarray, " steps"] | None
    steps_used: int


def subgm(
    A: Float[np.ndarray, "measurements entries"],
    y: Float[np.ndarray, " measurements"],
    rank: int,
    *,
    alpha: float = 1e-6,
    steps: int = 900,
    eta0: float = 0.4,
    rho: float = 0.985,
    schedule: Schedule = "geometric",
    init: _Start = "spectral",
    X_true: Float[np.ndarray, "dim dim"] | None = None,
    callback: _Callback | None = None,
) -> SubGMResult:
    """The sub-gradient method on the l1 loss over factors of ``rank`` columns.

    ``A`` ``(m, d²)`` has one flattened matrix per row, symmetric or not; ``rho`` belongs to the geometric schedule.
    ``init`` is ``spectral``, ``random`` (see ``spectral_start`` and ``random_start``, seed 0), or the factor to start
    from, to which ``alpha`` does not apply. ``callback(t, U)`` is called after step t = 1, 2, … and ends the run if it
    returns True. Computed in the type of ``A``: float32 ends at errors of about 1e-6.

    Raises ``ValueError`` for sizes that do not fit, entries that are not finite, a rank outside 1 … d, alpha or eta0
    not above 0, steps below 1, rho outside (0, 1], or an unknown schedule or init. Warns if the polyak schedule, which
    needs exact measurements, has stalled.

    >>> problem = make_robust_recovery_problem(6, 1, 200, p=0.2, seed=0)
    >>> found = subgm(problem.A, problem.y, 6, steps=800, X_true=problem.X)
    >>> bool(found.error[-1] < 1e-4), found.loss.shape
    (True, (800,))
    """
    return _descend(_l1, A, y, rank, alpha, steps, eta0, rho, schedule, init, X_true, callback)


def gd_l2(
    A: Float[np.ndarray, "measurements entries"],
    y: Float[np.ndarray, " measurements"],
    rank: int,
    *,
    alpha: float = 1e-6,
    steps: int = 900,
    eta0: float = 0.1,
    rho: float = 0.985,
    schedule: Schedule = "constant",
    init: _Start = "spectral",
    X_true: Float[np.ndarray, "dim dim"] | None = None,
    callback: _Callback | None = None,
) -> SubGMResult:
    """Gradient descent on ``mean (<A_i, U U'> − y_i)²/2``, otherwise as ``subgm``: what the l1 loss is compared with.

    ``D = (1/m) sum_i R_i (A_i + A_i')/2`` is about ``U U' − X*`` and stable for constant steps of a few tenths; the
    polyak step is ``2 eta0 f/|D|²``. The spectral start is that of ``subgm``, which outliers do not reach. Raises as
    ``subgm``.

    >>> problem = make_robust_recovery_problem(6, 1, 200, corruption="none", seed=0)
    >>> bool(gd_l2(problem.A, problem.y, 1, eta0=0.2, X_true=problem.X).error[-1] < 1e-9)
    True
    """
    return _descend(_l2, A, y, rank, alpha, steps, eta0, rho, schedule, init, X_true, callback)


def convex_recovery(
    A: Float[np.ndarray, "measurements entries"],
    y: Float[np.ndarray, " measurements"],
    *,
    trace_weight: float = 0.0,
    solver: str = "CLARABEL",
) -> Float[np.ndarray, "dim dim"]:
    """``argmin mean |<A_i, X> − y_i| + trace_weight tr X`` over positive semi-definite X, by cvxpy.

    On such X the trace is the nuclear norm. The convex relaxation of the same problem: no rank, no start, no steps, but
    a conic programme in d(d + 1)/2 + m variables. ``solver`` is one that cvxpy finds, such as ``CLARABEL`` or ``SCS``,
    with its own default accuracy.

    Raises ``ValueError`` as ``subgm``, for a negative weight or a solver that is not installed, and ``RuntimeError`` if
    the solver gives up.

    >>> problem = make_robust_recovery_problem(4, 1, 80, p=0.1, seed=0)
    >>> bool(np.linalg.norm(convex_recovery(problem.A, problem.y) - problem.X) < 1e-5)
    True
    """
    import cvxpy

    operator, y = _checked(A, y)
    trace_weight = at_least("trace_weight", trace_weight, 0.0)
    one_of("solver", solver, cvxpy.installed_solvers())
    X = cvxpy.Variable((operator.dim, operator.dim), PSD=True)
    # Column by column, as cvxpy flattens; both triangles of the symmetric part.
    rows = operator.matrices().reshape(operator.count, -1)
    loss = cvxpy.norm1(rows @ cvxpy.vec(X, order="F") - y) / operator.count
    programme = cvxpy.Problem(cvxpy.Minimize(loss + trace_weight * cvxpy.trace(X)))
    programme.solve(solver=solver)
    if X.value is None:
        raise RuntimeError(f"{solver} found no solution: {programme.status}")
    return (X.value + X.value.T) / 2


def spectral_start(
    A: Float[np.ndarray, "measurements entries"], y: Float[np.ndarray, " measurements"], rank: int, *, alpha: float
) -> Float[np.ndarray, "dim rank"]:
    """``alpha V sqrt(max(lambda, 0))`` from the ``rank`` largest eigenpairs of ``(1/m) sum Sign(y_i) (A_i + A_i')/2``.

    Its expectation is ``phi X*/|X*|``. Warns and falls back on ``random_start`` if no eigenvalue is positive. Raises
    ``ValueError`` as ``subgm``.

    >>> problem = make_robust_recovery_problem(5, 1, 500, seed=0)
    >>> U = spectral_start(problem.A, problem.y, 2, alpha=1.0)
    >>> U.shape, bool(abs(U[:, 0] @ problem.X @ U[:, 0]) > 0.95 * U[:, 0] @ U[:, 0])
    ((5, 2), True)
    """
    operator, y = _checked(A, y)
    return _spectral_start(operator, y, _checked_rank(rank, operator.dim), positive("alpha", alpha))


def random_start(d: int, rank: int, *, alpha: float, seed: int = 0) -> Float[np.ndarray, "dim rank"]:
    """``alpha N(0, 1)/sqrt(d)`` in every entry: with alpha = 1, columns of length one.

    Raises ``ValueError`` for d below 1, a rank outside 1 … d, alpha not above 0, or a negative seed.

    >>> random_start(100, 7, alpha=2.0).shape
    (100, 7)
    """
    d = whole_number("d", d, 1)
    rank, alpha = _checked_rank(rank, d), positive("alpha", alpha)
    return alpha * np.random.default_rng(whole_number("seed", seed, 0)).standard_normal((d, rank)) / np.sqrt(d)


def escape_growth(eta0: float, rho: float, steps: int) -> float:
    """``sum_{t<steps} log(1 + eta0 rho^t)``: the logarithm of the most that the geometric schedule can enlarge U.

    Every step has ``|U − eta_t D U| <= (1 + eta0 rho^t) |U|``, since ``eta_t |D| = eta0 rho^t``. So U cannot get from
    size alpha to size one unless this is above ``log(1/alpha)``; for long runs it is about ``−Li_2(−eta0)/(1 − rho)``,
    with Li_2 the dilogarithm. Raises ``ValueError`` for eta0 not above 0, rho outside (0, 1] or steps below 1.

    >>> [round(escape_growth(0.5, rho, 600), 1) for rho in (0.97, 0.98)], round(float(np.log(1e6)), 1)
    ([14.9, 22.4], 13.8)
    """
    eta0, rho, steps = positive("eta0", eta0), _checked_rho(rho), whole_number("steps", steps, 1)
    return float(np.log1p(eta0 * rho ** np.arange(steps)).sum())


@dataclass(frozen=True)
class _Loss:
    """The value at the residuals with the weights of the matrices in D, and the polyak step from value and D."""

    at: Callable[[np.ndarray], tuple[float, np.ndarray]]
    polyak: Callable[[float, np.ndarray], float]


def _absolute(R: np.ndarray) -> tuple[float, np.ndarray]:
    signs = np.sign(R)
    return float(R @ signs) / len(R), signs


_l1 = _Loss(_absolute, lambda f, D: np.pi / 2 * f)
_l2 = _Loss(lambda R: (float(R @ R) / (2 * len(R)), R), lambda f, D: 2 * f / float((D * D).sum()))


def _descend(
    loss: _Loss,
    A: np.ndarray,
    y: np.ndarray,
    rank: int,
    alpha: float,
    steps: int,
    eta0: float,
    rho: float,
    schedule: Schedule,
    init: _Start,
    X_true: np.ndarray | None,
    callback: _Callback | None,
) -> SubGMResult:
    operator, y = _checked(A, y)
    steps, eta0, rho = whole_number("steps", steps, 1), positive("eta0", eta0), _checked_rho(rho)
    one_of("schedule", schedule, get_args(Schedule))
    U = _started(operator, y, rank, alpha, init)
    if X_true is not None:
        X_true = finite_array("X_true", X_true, 2)
        if X_true.shape != (operator.dim, operator.dim):
            raise ValueError(f"X_true must be {operator.dim} x {operator.dim}, got shape {X_true.shape}")
    spectral_norm = _SpectralNorm(operator.dim)
    f, weights = loss.at(operator.rows_of(U @ U.T) - y)
    losses, errors = [], []
    # An l2 step that is too long overflows; the path then ends at its last finite iterate.
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(steps):
            D = operator.sum_of(weights) / operator.count
            if not D.any() or (schedule == "polyak" and f == 0):
                break
            if schedule == "geometric":
                eta = eta0 * rho**t / spectral_norm(D)
            else:
                eta = eta0 * loss.polyak(f, D) if schedule == "polyak" else eta0
            moved = U - operator.dtype.type(eta) * (D @ U)
            X = moved @ moved.T
            f, weights = loss.at(operator.rows_of(X) - y)
            if not np.isfinite(f):
                break
            U = moved
            losses.append(f)
            if X_true is not None:
                errors.append(float(np.linalg.norm(X - X_true)))
            if callback is not None and callback(t + 1, U) is True:
                break
    if schedule == "polyak":
        _warn_if_stalled(losses)
    return SubGMResult(U, np.array(losses), None if X_true is None else np.array(errors), len(losses))


def _started(operator: SymmetricMeasurements, y: np.ndarray, rank: int, alpha: float, init: _Start) -> np.ndarray:
    rank, alpha = _checked_rank(rank, operator.dim), positive("alpha", alpha)
    if isinstance(init, np.ndarray):
        start = finite_array("init", init, 2)
        if start.shape != (operator.dim, rank):
            raise ValueError(f"init must be {operator.dim} x {rank}, got shape {start.shape}")
        return start.astype(operator.dtype)
    one_of("init", init, get_args(Init))
    if init == "random":
        return random_start(operator.dim, rank, alpha=alpha).astype(operator.dtype)
    return _spectral_start(operator, y, rank, alpha)


def _spectral_start(operator: SymmetricMeasurements, y: np.ndarray, rank: int, alpha: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(operator.sum_of(np.sign(y)) / operator.count)
    if values[-1] <= 0:
        warnings.warn(
            "no direction of the spectral start is positive; starting at random", RuntimeWarning, stacklevel=3
        )
        return random_start(operator.dim, rank, alpha=alpha).astype(operator.dtype)
    leading = slice(None, -rank - 1, -1)
    return alpha * vectors[:, leading] * np.sqrt(np.maximum(values[leading], 0))


class _SpectralNorm:
    """Exact for matrices of moderate size; beyond, power iterations that go on from the last matrix's vector."""

    def __init__(self, d: int) -> None:
        self.vector = None if d <= 100 else np.random.default_rng(0).standard_normal(d)

    def __call__(self, D: np.ndarray) -> float:
        if self.vector is None:
            ends = np.linalg.eigvalsh(D)
            return float(max(-ends[0], ends[-1]))
        for _ in range(5):
            image = D @ self.vector
            self.vector = image / np.linalg.norm(image)
        return float(np.linalg.norm(D @ self.vector))


def _warn_if_stalled(losses: list[float]) -> None:
    quarter = len(losses) // 4
    if quarter >= 10 and min(losses[-quarter:]) > 0.99 * min(losses[:-quarter]) and losses[-1] > 1e-6 * losses[0]:
        warnings.warn(
            f"the polyak step is for exact measurements; the loss stays at {losses[-1]:.3g}, as with noise",
            RuntimeWarning,
            stacklevel=4,
        )


def _checked(A: np.ndarray, y: np.ndarray) -> tuple[SymmetricMeasurements, np.ndarray]:
    operator, y = SymmetricMeasurements(A), finite_array("y", y, 1)
    if len(y) != operator.count:
        raise ValueError(f"y must have one entry for each of {operator.count} matrices, got {len(y)}")
    return operator, y.astype(operator.dtype)


def _checked_rank(rank: int, d: int) -> int:
    rank = whole_number("rank", rank, 1)
    if rank > d:
        raise ValueError(f"rank must be in 1 … {d}, got {rank}")
    return rank


def _checked_rho(rho: float) -> float:
    rho = in_range("rho", rho, 0.0, 1.0)
    if rho == 0:
        raise ValueError("rho must be above 0, got 0")
    return rho
