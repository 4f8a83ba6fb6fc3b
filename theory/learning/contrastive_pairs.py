"""Contrastive pairs: a representation learned from which pairs belong together.

    x, x' ~ N(0, I_d) independent,   P(s = 1 | x, x') = sigmoid(<W x, W x'>),   y = beta^T W x + nu,   W: r x d.

The law of x says nothing about W; the side information s does, up to a rotation of W x. Maximum likelihood is logistic
loss over pairs,

    min_W  mean log(1 + exp(−(2s − 1) <W x, W x'>)),

which is not convex. For small signals ``E[(s − ½) x x'^T] = W^T W/4``, so L-BFGS starts from four times the leading
eigenpairs of that matrix. Downstream, least squares on W^ x; since x ~ N(0, I), a predictor ``a^T x`` has the exact
excess ``‖a − W^T beta‖²``.

    W_hat = fit_contrastive_pairs(X, Xp, s, r=2)
    a = W_hat.T @ np.linalg.lstsq(X_labelled @ W_hat.T, y)[0]
    contrastive_excess_risk(a, W, beta)

Source: Ge, Tang, Fan and Jin (2024), *On the Provable Advantage of Unsupervised Pretraining* (the model, one of its
three examples). The start and the exact risk are derived here.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import expit

from theory.learning.gaussian_distances import checked_generator
from theory.validation import class_labels, finite_array, whole_number

__all__ = [
    "contrastive_excess_risk",
    "contrastive_log_loss",
    "contrastive_start",
    "fit_contrastive_pairs",
    "sample_contrastive_pairs",
]

Pairs = Float[np.ndarray, "pairs d"]
Together = Int[np.ndarray, " pairs"]
Projection = Float[np.ndarray, "r d"]


def sample_contrastive_pairs(
    W: Projection, m: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "m d"], Int[np.ndarray, " m"]]:
    """``m`` independent (x, x', s), as arrays X, Xp and s in {0, 1}.

    Raises ``ValueError`` for r > d, m < 1 or no random Generator.

    >>> X, Xp, s = sample_contrastive_pairs(9 * np.eye(2)[:1], 1000, np.random.default_rng(0))
    >>> bool(np.mean((X[:, 0] * Xp[:, 0] > 0) == s) > 0.95)
    True
    """
    W, m, rng = _checked_projection("W", W), whole_number("m", m, 1), checked_generator(rng)
    X, Xp = rng.standard_normal((2, m, W.shape[1]))
    s = rng.random(m) < expit(np.sum((X @ W.T) * (Xp @ W.T), axis=1))
    return X, Xp, s.astype(np.int64)


def fit_contrastive_pairs(X: Pairs, Xp: Pairs, s: Together, r: int) -> Projection:
    """Maximum likelihood W, r rows: L-BFGS from the spectral start, whose loss it never exceeds.

    Raises ``ValueError`` for r > d, shapes that do not fit, or s other than 0 and 1.

    >>> W = np.eye(4)[:1] * 1.5
    >>> fitted = fit_contrastive_pairs(*sample_contrastive_pairs(W, 40_000, np.random.default_rng(0)), r=1)
    >>> np.abs(fitted).round(1).tolist()
    [[1.5, 0.0, 0.0, 0.0]]
    """
    start = contrastive_start(X, Xp, s, r)
    X, Xp, s = _checked_pairs(X, Xp, s)
    signs = 2.0 * s - 1
    shape = start.shape

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W = flat.reshape(shape)
        u, v = X @ W.T, Xp @ W.T
        logits = signs * np.sum(u * v, axis=1)
        slope = (-signs * expit(-logits) / len(s))[:, None]
        return float(np.logaddexp(0, -logits).mean()), ((slope * v).T @ X + (slope * u).T @ Xp).ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-8})
    return found.x.reshape(shape)


def contrastive_start(X: Pairs, Xp: Pairs, s: Together, r: int) -> Projection:
    """Rows ``2 √l_j v_j`` for the r largest eigenpairs (l_j, v_j) of the symmetric part of ``mean (s − ½) x x'^T``.

    Eigenvalues are taken to be at least ``1/(16 d)``: at W = 0 the loss has no slope. Raises ``ValueError`` as
    ``fit_contrastive_pairs``.

    >>> X = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> contrastive_start(X, X, np.array([1, 1]), 1).round(12).tolist()
    [[2.0, 0.0]]
    """
    X, Xp, s = _checked_pairs(X, Xp, s)
    d, r = X.shape[1], whole_number("r", r, 1)
    if r > d:
        raise ValueError(f"r must be at most the dimension {d}, got {r}")
    cross = (X * (s - 0.5)[:, None]).T @ Xp / len(s)
    values, vectors = np.linalg.eigh((cross + cross.T) / 2)
    leading = vectors[:, ::-1][:, :r]
    leading = leading * np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(r)])
    return (leading * 2 * np.sqrt(np.maximum(values[::-1][:r], 1 / (16 * d)))).T


def contrastive_log_loss(W: Projection, X: Pairs, Xp: Pairs, s: Together) -> float:
    """``mean log(1 + exp(−(2s − 1) <W x, W x'>))``, in nats per pair.

    Raises ``ValueError`` as ``fit_contrastive_pairs``.

    >>> round(contrastive_log_loss(np.zeros((1, 2)), np.ones((3, 2)), np.ones((3, 2)), np.array([0, 1, 1])), 6)
    0.693147
    """
    W = _checked_projection("W", W)
    X, Xp, s = _checked_pairs(X, Xp, s)
    if X.shape[1] != W.shape[1]:
        raise ValueError(f"X must have the {W.shape[1]} columns of W, got shape {X.shape}")
    return float(np.logaddexp(0, (1.0 - 2 * s) * np.sum((X @ W.T) * (Xp @ W.T), axis=1)).mean())


def contrastive_excess_risk(
    a: Float[np.ndarray, "*batch d"], W: Projection, beta: Float[np.ndarray, " r"]
) -> Float[np.ndarray, "*batch"] | float:
    """``‖a − W^T beta‖²``: exact excess square loss of the predictor ``a^T x``; rows of a are predictors.

    Raises ``ValueError`` for shapes that do not fit.

    >>> float(contrastive_excess_risk(np.array([1.0, 1.0]), np.array([[1.0, 0.0]]), np.array([1.0])))
    1.0
    """
    W, a, beta = _checked_projection("W", W), finite_array("a", a), finite_array("beta", beta, 1)
    if len(beta) != len(W):
        raise ValueError(f"beta must have the {len(W)} entries of W x, got {len(beta)}")
    if a.ndim == 0 or a.shape[-1] != W.shape[1]:
        raise ValueError(f"a must have shape (..., {W.shape[1]}), the columns of W, got {a.shape}")
    return np.sum((a - beta @ W) ** 2, axis=-1)[()]


def _checked_projection(name: str, value: object) -> np.ndarray:
    W = finite_array(name, value, 2)
    if len(W) > W.shape[1]:
        raise ValueError(f"{name} must have shape (r, d) with r <= d, got {W.shape}")
    return W


def _checked_pairs(X: object, Xp: object, s: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second = finite_array("X", X, 2), finite_array("Xp", Xp, 2)
    if first.shape != second.shape:
        raise ValueError(f"Xp must have the shape {first.shape} of X, got {second.shape}")
    return first, second, class_labels("s", s, 2, len(first))
