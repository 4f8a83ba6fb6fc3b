"""Unsupervised pretraining: maximum likelihood on unlabelled data, then empirical risk minimisation on a few labels.

    phi^ = argmax sum_{i <= m} log p_phi(x_i, s_i)            (the large class, paid for with unlabelled data)
    psi^ = argmin (1/n) sum_{j <= n} loss(g_{phi^, psi}(x_j), y_j)                      (the small class, with labels)

If the model is *informative* (``theory.learning.informative_condition``), the excess risk is of the order

    √(C_Phi/m) + √(C_Psi/n),     against √(C_{Phi o Psi}/n) for supervised learning alone:

    model                          C_Phi    C_Psi    C_{Phi o Psi}
    factor model, rank r            d r       r           d
    K spherical Gaussians           K d       K          K d
    contrastive pairs, rank r       d r       r           d

up to constants and logarithms, which the theorem leaves open and ``predicted_excess`` leaves out. In the Gaussian
models both parts in fact fall as 1/m and 1/n (squared loss, linear predictors): their exact values are in
``theory.learning.factor_model``.

    fit = pretrain_then_erm(FactorModel(r=3), X_unlabeled, X, y)
    fit.predict(X_new)
    supervised_baseline(X, y)                       # least squares on x, or ridge

Models: ``FactorModel``, ``SphericalMixture``, ``ContrastivePairs``; one with ``pretrain(X_unlabeled)`` and
``head(parameters, X, y)`` of its own works as well.

Source: Ge, Tang, Fan and Jin (2024), *On the Provable Advantage of Unsupervised Pretraining*: two-phase MLE+ERM, its
guarantee and its three examples. C_{Phi o Psi} counts the parameters of the supervised predictors.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from theory.learning.contrastive_pairs import fit_contrastive_pairs
from theory.learning.factor_model import (
    factor_excess_risk,
    fit_factor_model,
    posterior_mean_features,
    sample_factor_model,
)
from theory.learning.gaussian_distances import gaussian_hellinger2
from theory.learning.informative_condition import informative_ratio
from theory.learning.spherical_mixture import assign_clusters, cluster_vote, fit_gmm_spherical
from theory.validation import at_least, class_labels, finite_array, one_of, positive, whole_number

__all__ = [
    "ClusterPredictor",
    "ContrastivePairs",
    "FactorModel",
    "LatentModel",
    "LinearPredictor",
    "SphericalMixture",
    "factor_excess_risk",
    "fit_contrastive_pairs",
    "fit_factor_model",
    "fit_gmm_spherical",
    "gaussian_hellinger2",
    "informative_ratio",
    "posterior_mean_features",
    "predicted_excess",
    "predicted_supervised_excess",
    "pretrain_then_erm",
    "sample_factor_model",
    "supervised_baseline",
]

_COMPLEXITIES = {
    "factor": lambda d, r: (d * r, r, d),
    "mixture": lambda d, r: (r * d, r, r * d),
    "contrastive": lambda d, r: (d * r, r, d),
}


@dataclass(frozen=True)
class LinearPredictor:
    """``x -> coefficients^T x``, from least squares on the features that ``parameters`` (B or W) define."""

    parameters: Float[np.ndarray, "rows columns"]
    coefficients: Float[np.ndarray, " d"]

    def predict(self, X: Float[np.ndarray, "samples d"]) -> Float[np.ndarray, " samples"]:
        """Predicted y. Raises ``ValueError`` for another number of columns."""
        X = finite_array("X", X, 2)
        if X.shape[1] != len(self.coefficients):
            raise ValueError(f"X must have {len(self.coefficients)} columns, got shape {X.shape}")
        return X @ self.coefficients


@dataclass(frozen=True)
class ClusterPredictor:
    """The label of the closest centre; ``parameters`` are the centres."""

    parameters: Float[np.ndarray, "K d"]
    labels: Int[np.ndarray, " K"]

    def predict(self, X: Float[np.ndarray, "samples d"]) -> Int[np.ndarray, " samples"]:
        """Predicted labels. Raises ``ValueError`` for another number of columns."""
        return self.labels[assign_clusters(X, self.parameters)]


@runtime_checkable
class LatentModel(Protocol):
    """What ``pretrain_then_erm`` needs of a model: phase one, and phase two given the result of phase one."""

    def pretrain(self, X_unlabeled: Any) -> np.ndarray:
        """Maximum likelihood parameters."""
        ...

    def head(self, parameters: np.ndarray, X: Any, y: Any) -> Any:
        """The predictor with the least empirical risk, given the parameters."""
        ...


@dataclass(frozen=True)
class FactorModel:
    """Factor model of rank r with unit noise; downstream least squares on ``E[z|x]``.

    Raises ``ValueError`` for r < 1.
    """

    r: int

    def __post_init__(self) -> None:
        whole_number("r", self.r, 1)

    def pretrain(self, X_unlabeled: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "d r"]:
        """Maximum likelihood loadings. Raises ``ValueError`` for r > d."""
        return fit_factor_model(finite_array("X_unlabeled", X_unlabeled, 2), self.r)

    def head(
        self, parameters: Float[np.ndarray, "d r"], X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"]
    ) -> LinearPredictor:
        """Least squares on ``posterior_mean_features``; with n <= r the solution of least norm, and a warning."""
        B = finite_array("parameters", parameters, 2)
        X, y = _checked_regression(X, y)
        if X.shape[1] != len(B):
            raise ValueError(f"X must have the {len(B)} columns that were pretrained on, got shape {X.shape}")
        weights = _least_squares(posterior_mean_features(X, B), y)
        return LinearPredictor(B, B @ np.linalg.solve(np.eye(B.shape[1]) + B.T @ B, weights))


@dataclass(frozen=True)
class SphericalMixture:
    """K spherical Gaussians, by EM from ``restarts`` seeded starts; downstream the majority label of each cluster.

    Raises ``ValueError`` for K or restarts < 1, or a negative seed.
    """

    K: int
    restarts: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        whole_number("K", self.K, 1)
        whole_number("restarts", self.restarts, 1)
        whole_number("seed", self.seed, 0)

    def pretrain(self, X_unlabeled: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "K d"]:
        """Maximum likelihood centres. Raises ``ValueError`` for fewer samples than K."""
        X = finite_array("X_unlabeled", X_unlabeled, 2)
        if len(X) < self.K:
            raise ValueError(f"X_unlabeled must have at least K = {self.K} samples, got {len(X)}")
        return fit_gmm_spherical(X, self.K, self.restarts, np.random.default_rng(self.seed)).means

    def head(
        self, parameters: Float[np.ndarray, "K d"], X: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"]
    ) -> ClusterPredictor:
        """Majority votes of clusters. Raises ``ValueError`` for labels other than 0 and 1."""
        centres = finite_array("parameters", parameters, 2)
        X = finite_array("X", X, 2)
        if X.shape[1] != centres.shape[1]:
            raise ValueError(f"X must have the {centres.shape[1]} columns that were pretrained on, got shape {X.shape}")
        y = class_labels("y", y, 2, len(X))
        return ClusterPredictor(centres, cluster_vote(assign_clusters(X, centres), y, len(centres)))


@dataclass(frozen=True)
class ContrastivePairs:
    """Logistic model of pairs with a projection W of rank r; downstream least squares on ``W x``.

    Raises ``ValueError`` for r < 1.
    """

    r: int

    def __post_init__(self) -> None:
        whole_number("r", self.r, 1)

    def pretrain(self, X_unlabeled: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Float[np.ndarray, "r d"]:
        """Maximum likelihood W from pairs ``(X, Xp, s)``. Raises ``ValueError`` for anything else, or r > d."""
        if not isinstance(X_unlabeled, tuple) or len(X_unlabeled) != 3:
            raise ValueError(f"X_unlabeled must be the tuple (X, Xp, s) of pairs, got {type(X_unlabeled).__name__}")
        return fit_contrastive_pairs(*X_unlabeled, self.r)

    def head(
        self, parameters: Float[np.ndarray, "r d"], X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"]
    ) -> LinearPredictor:
        """Least squares on ``W x``; with n <= r the solution of least norm, and a warning."""
        W = finite_array("parameters", parameters, 2)
        X, y = _checked_regression(X, y)
        if X.shape[1] != W.shape[1]:
            raise ValueError(f"X must have the {W.shape[1]} columns that were pretrained on, got shape {X.shape}")
        return LinearPredictor(W, W.T @ _least_squares(X @ W.T, y))


def pretrain_then_erm(
    model: LatentModel, X_unlabeled: Any, X: Float[np.ndarray, "n d"], y: np.ndarray
) -> LinearPredictor | ClusterPredictor:
    """Two-phase MLE+ERM: ``model.head(model.pretrain(X_unlabeled), X, y)``.

    ``X_unlabeled`` is (m, d), or the tuple (X, Xp, s) for contrastive pairs; y holds numbers, or labels 0 and 1 for a
    mixture. Raises ``ValueError`` for a model without the two phases, and as the model does; warns where n <= r.

    >>> rng = np.random.default_rng(0)
    >>> B, beta = 2 * np.eye(20)[:, :1], np.array([1.0])
    >>> unlabelled = sample_factor_model(B, beta, 5000, 0.5, rng)[0]
    >>> X, _, y = sample_factor_model(B, beta, 60, 0.5, rng)
    >>> fit = pretrain_then_erm(FactorModel(r=1), unlabelled, X, y)
    >>> bool(factor_excess_risk(fit.coefficients, B, beta) < factor_excess_risk(supervised_baseline(X, y), B, beta))
    True
    """
    if not isinstance(model, LatentModel):
        raise ValueError(f"model must have the methods pretrain and head, got {model!r:.60}")
    return model.head(model.pretrain(X_unlabeled), X, y)


def supervised_baseline(
    X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"], ridge: float = 0.0
) -> Float[np.ndarray, " d"]:
    """Least squares on x alone: ``argmin ‖y − X a‖²/n + ridge ‖a‖²``.

    Without ridge and with n <= d it is the solution of least norm, and a warning. Raises ``ValueError`` for shapes that
    do not fit or a negative ridge.

    >>> supervised_baseline(np.array([[1.0], [2.0]]), np.array([2.0, 4.0])).round(12).tolist()
    [2.0]
    """
    X, y = _checked_regression(X, y)
    ridge = at_least("ridge", ridge, 0.0)
    if ridge == 0:
        return _least_squares(X, y)
    n, d = X.shape
    # As an augmented least-squares problem, whose condition number is not squared.
    stacked = np.concatenate([X, np.sqrt(n * ridge) * np.eye(d)])
    return np.linalg.lstsq(stacked, np.concatenate([y, np.zeros(d)]))[0]


def predicted_excess(kind: str, m: float, n: float, d: int, r: int) -> float:
    """``√(C_Phi/m) + √(C_Psi/n)``: the order that the guarantee gives, without constants and logarithms.

    ``kind`` is "factor", "mixture" (with r centres) or "contrastive"; m and n may be infinite. Raises ``ValueError``
    for another kind, m or n not above 0, d < 1, or r < 1 or, but for mixtures, above d.

    >>> predicted_excess("factor", 15_000.0, 300.0, 50, 3)
    0.2
    """
    large, small, _ = _complexities(kind, d, r)
    m, n = (v if v == np.inf else positive(name, v) for name, v in (("m", m), ("n", n)))
    return float(np.sqrt(large / m) + np.sqrt(small / n))


def predicted_supervised_excess(kind: str, n: float, d: int, r: int) -> float:
    """``√(C_{Phi o Psi}/n)``, the order of supervised learning alone; arguments as ``predicted_excess``.

    >>> predicted_supervised_excess("factor", 5000.0, 50, 3)
    0.1
    """
    n = n if n == np.inf else positive("n", n)
    return float(np.sqrt(_complexities(kind, d, r)[2] / n))


def _complexities(kind: str, d: int, r: int) -> tuple[int, int, int]:
    one_of("kind", kind, tuple(_COMPLEXITIES))
    d, r = whole_number("d", d, 1), whole_number("r", r, 1)
    if kind != "mixture" and r > d:
        raise ValueError(f"r must be at most d = {d}, got {r}")
    return _COMPLEXITIES[kind](d, r)


def _checked_regression(X: object, y: object) -> tuple[np.ndarray, np.ndarray]:
    X, y = finite_array("X", X, 2), finite_array("y", y, 1)
    if len(X) != len(y):
        raise ValueError(f"y must have the {len(X)} entries that X has rows, got {len(y)}")
    return X, y


def _least_squares(features: np.ndarray, y: np.ndarray) -> np.ndarray:
    n, k = features.shape
    if n <= k:
        warnings.warn(f"{n} samples for {k} coefficients: the solution of least norm", UserWarning, stacklevel=4)
    return np.linalg.lstsq(features, y)[0]
