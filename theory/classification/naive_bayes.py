"""Gaussian naive Bayes, for many training sets at once, and what its estimation error can change.

Class k has prior ``pi_k`` and independent features, feature i with mean ``mu_ki`` and variance ``v_i`` that all classes
share (*pooled*) or ``v_ki``. The discriminants

    a_k(x) = log pi_k − ½ sum_i (x_i − mu_ki)² / v_i                          (− ½ sum_i log v_ki if not pooled)

are log-posteriors up to a term that all classes share; pooled ones are linear in x but for such a term, so that a
prediction is one matrix product. Estimates are the usual frequencies, means and variances, ``v_i`` the variances of
classes (divided by counts) averaged with the estimated priors. Every array may have leading axes, one training set for
each: the statistics of all seeds and all classes come from one sparse product, O(samples · features).

    model = GaussianNaiveBayes().fit(X, y)          # X: (..., samples, features), y: (..., samples) of 0 … K − 1
    model.predict(X_test)                           # X_test may be shared by all training sets
    nb_margin_bound(X_test, model.parameters, true_parameters).holds

If estimated and true rule disagree at x, the true margin ``a_(1)(x) − a_(2)(x)`` is at most
``2 max_k |a^_k(x) − a_k(x)|``; this turns errors of parameters into errors of decisions.

Source: Zheng, Wu, Bao, Cao, Li and Zhu (2023), *Revisiting Discriminative vs. Generative Classifiers: Theory and
Implications*: naive Bayes with pooled variances and the comparison with its limit; after Ng and Jordan (2001). The
spread that sharpens the margin step is ours.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_array

from theory.validation import at_least, finite_array, probabilities, whole_number

__all__ = ["GaussianNaiveBayes", "MarginBound", "NaiveBayesParameters", "nb_margin_bound"]

Samples = Float[np.ndarray, "*batch samples features"]
Labels = Int[np.ndarray, "*batch samples"]
PerSample = Float[np.ndarray, "*batch samples"]
# What is scored may have other leading axes than the models: they broadcast.
Scored = Float[np.ndarray, "*data samples features"]
Choices = Int[np.ndarray, "*broadcast samples"]
Scores = Float[np.ndarray, "*broadcast samples classes"]

_BLOCK = 2**16  # numbers


@dataclass(frozen=True, eq=False)
class NaiveBayesParameters:
    """Priors ``(..., K)``, means ``(..., K, features)`` and variances ``(..., 1, features)`` or, not pooled,
    ``(..., K, features)``; leading axes are independent models.

    Raises ``ValueError`` for priors that are no distributions over K >= 2 classes or have a 0, variances not above 0,
    and shapes that do not fit together.

    >>> model = NaiveBayesParameters(np.array([0.5, 0.5]), np.array([[-1.0], [1.0]]), np.array([[1.0]]))
    >>> model.predict(np.array([[-0.2], [3.0]])).tolist()
    [0, 1]
    """

    priors: Float[np.ndarray, "*batch classes"]
    means: Float[np.ndarray, "*batch classes features"]
    variances: Float[np.ndarray, "*batch rows features"]

    def __post_init__(self) -> None:
        priors = probabilities("priors", self.priors)
        means, variances = finite_array("means", self.means), finite_array("variances", self.variances)
        if priors.shape[-1] < 2 or priors.min() <= 0:
            raise ValueError(f"priors must be above 0 for at least 2 classes, got {priors!r:.60}")
        if means.ndim < 2 or means.shape[:-1] != priors.shape:
            raise ValueError(f"means must have shape (*{priors.shape}, features), got {means.shape}")
        pooled = (*means.shape[:-2], 1, means.shape[-1])
        if variances.shape not in (pooled, means.shape):
            raise ValueError(f"variances must have shape {pooled} or {means.shape}, got {variances.shape}")
        if variances.min() <= 0:
            raise ValueError(f"variances must be above 0, got {variances.min()}")
        for name, array in (("priors", priors), ("means", means), ("variances", variances)):
            object.__setattr__(self, name, array)

    @property
    def pooled(self) -> bool:
        """All classes share their variances."""
        return self.variances.shape[-2] == 1

    def discriminants(self, X: Scored) -> Scores:
        """``a_k(x)``, shape ``(..., samples, K)``; leading axes of X and of the parameters broadcast.

        ``softmax`` of them is the posterior. Raises ``ValueError`` for samples that are not finite, of another number
        of features or with leading axes that do not broadcast.
        """
        X = self._checked(X)
        # Relative to one sample, features with a large offset keep their digits; X itself is never copied per model.
        origin = X[..., :1, :]
        X = X - origin
        scores = self._affine(X, origin)
        if self.pooled:
            centre, weights = self._centre() - origin, (1 / self.variances).swapaxes(-1, -2)
            shared = X**2 @ weights - 2 * X @ (centre.swapaxes(-1, -2) * weights)
            scores = scores - (shared + (centre**2 / self.variances).sum(axis=-1, keepdims=True)) / 2
        return scores

    def predict(self, X: Scored) -> Choices:
        """The class with the largest discriminant, the first of several. Raises ``ValueError`` as ``discriminants``."""
        scores = self._affine(self._checked(X), 0.0) if self.pooled else self.discriminants(X)
        return scores.argmax(axis=-1)

    def _affine(self, X: np.ndarray, origin: np.ndarray | float) -> np.ndarray:
        """Discriminants of ``X + origin`` but for ``(x − c)²/2v``, which all classes share if pooled: linear in X.

        c is the mean of the means; not pooled, it is 0, and the square, which classes do not share, is included.
        """
        means = self.means - origin
        centre = self._centre() - origin if self.pooled else 0.0
        weights = (means - centre) / self.variances
        bias = np.log(self.priors) - (weights * (means + centre)).sum(axis=-1) / 2
        scores = X @ weights.swapaxes(-1, -2) + bias[..., None, :]
        if self.pooled:
            return scores
        scores = scores - X**2 @ (1 / self.variances).swapaxes(-1, -2) / 2
        return scores - np.log(self.variances).sum(axis=-1)[..., None, :] / 2

    def _centre(self) -> np.ndarray:
        return (self.priors[..., None] * self.means).sum(axis=-2, keepdims=True)

    def _checked(self, X: Scored) -> np.ndarray:
        X = _finite("X", X)
        if X.ndim < 2 or X.shape[-1] != self.means.shape[-1]:
            raise ValueError(f"X must have shape (..., samples, {self.means.shape[-1]} features), got {X.shape}")
        try:
            np.broadcast_shapes(X.shape[:-2], self.means.shape[:-2])
        except ValueError:
            raise ValueError(
                f"X must have leading axes that broadcast with {self.means.shape[:-2]}, got {X.shape[:-2]}"
            ) from None
        return X


class GaussianNaiveBayes:
    """Naive Bayes with Gaussian features, fitted to one or many training sets at once.

    ``pooled`` variances are shared by the classes (linear boundaries, linear discriminant analysis with a diagonal
    covariance); otherwise every class has its own, as in scikit-learn's ``GaussianNB``. ``var_smoothing`` is added to
    every variance, in the squared units of the features; it keeps constant features finite.
    Labels are 0 … K − 1, the same K in all training sets. Raises ``ValueError`` for ``var_smoothing`` not a finite
    number of at least 0 or ``pooled`` not a boolean.

    >>> X, y = np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([0, 0, 1, 1])
    >>> GaussianNaiveBayes().fit(X, y).predict(np.array([[2.0], [2.9]])).tolist()
    [0, 1]
    """

    def __init__(self, var_smoothing: float = 1e-9, pooled: bool = True) -> None:
        self.var_smoothing = at_least("var_smoothing", var_smoothing, 0.0)
        if not isinstance(pooled, bool | np.bool_):
            raise ValueError(f"pooled must be True or False, got {pooled!r}")
        self.pooled = bool(pooled)
        self._statistics: _Statistics | None = None

    def fit(self, X: Samples, y: Labels) -> "GaussianNaiveBayes":
        """Estimate from ``(..., samples, features)`` and ``(..., samples)``; what was seen before is forgotten.

        K is one more than the largest label. Raises ``ValueError`` for samples that are not finite, labels that are
        not whole numbers of at least 0, sizes that differ, fewer than two classes, fewer samples than classes, or a
        class without samples in one of the training sets.
        """
        X, y = _checked_samples(X, y)
        classes = _number_of_classes(y)
        statistics = _Statistics.of(X, y, classes, self.pooled)
        _require_every_class(statistics.counts, "y")
        self._statistics = statistics
        return self

    def partial_fit(self, X: Samples, y: Labels, classes: int | None = None) -> "GaussianNaiveBayes":
        """Add samples to those already seen; the result is that of ``fit`` on all of them, up to rounding.

        The first call sets the number of ``classes`` (default: one more than its largest label) and the leading axes.
        A class may be missing from a batch; ``parameters`` needs all of them. Raises ``ValueError`` as ``fit``, for
        another number of classes, and for batches of other leading axes or features than the first.
        """
        X, y = _checked_samples(X, y)
        seen = self._statistics
        if classes is not None:
            whole_number("classes", classes, 2)
        elif seen is None:
            classes = _number_of_classes(y)
        if seen is not None:
            if classes not in (None, seen.counts.shape[-1]):
                raise ValueError(f"classes must stay {seen.counts.shape[-1]}, got {classes}")
            classes = seen.counts.shape[-1]
            expected = (*seen.means.shape[:-2], X.shape[-2], seen.means.shape[-1])
            if X.shape != expected:
                raise ValueError(f"X must have the leading axes and features {expected} of before, got {X.shape}")
        assert classes is not None
        if y.max() >= classes:
            raise ValueError(f"y must be in 0 … {classes - 1}, got {y.max()}")
        added = _Statistics.of(X, y, classes, self.pooled)
        self._statistics = added if seen is None else seen.merged(added)
        return self

    @property
    def parameters(self) -> NaiveBayesParameters:
        """The estimates. Raises ``ValueError`` before ``fit``, for a class without samples, or a variance of 0."""
        if self._statistics is None:
            raise ValueError("parameters must be estimated first: call fit or partial_fit")
        statistics = self._statistics
        _require_every_class(statistics.counts, "the samples seen")
        samples = statistics.counts.sum(axis=-1, keepdims=True)
        divisors = (samples if self.pooled else statistics.counts)[..., None]
        return NaiveBayesParameters(
            statistics.counts / samples,
            statistics.means,
            statistics.squares / divisors + self.var_smoothing,
        )

    def predict(self, X: Scored) -> Choices:
        """The most probable class of every sample; leading axes of X broadcast with those of the training sets.

        Raises ``ValueError`` as ``parameters``, and for samples that are not finite or of other shapes.
        """
        return self.parameters.predict(X)

    def decision_function(self, X: Scored) -> Scores:
        """The discriminants ``a_k(x)``, whose softmax is the posterior. Raises ``ValueError`` as ``predict``."""
        return self.parameters.discriminants(X)


@dataclass(frozen=True, eq=False)
class MarginBound:
    """Both sides of the margin step at every sample.

    ``deviation`` is ``2 max_k |a^_k − a_k|``, ``spread`` is ``max_k (a^_k − a_k) − min_k (a^_k − a_k)``, at most as
    large and attained: adding to all discriminants the same number changes the former, not the latter.
    """

    disagrees: Bool[np.ndarray, "*batch samples"]
    margin: PerSample
    deviation: PerSample
    spread: PerSample

    @property
    def holds(self) -> Bool[np.ndarray, "*batch samples"]:
        """Agreement, or a margin within the spread (and so within the deviation) up to rounding."""
        return ~self.disagrees | (self.margin <= self.spread + 1e-10 * (1 + self.deviation))


def nb_margin_bound(x: Scored, params_hat: NaiveBayesParameters, params: NaiveBayesParameters) -> MarginBound:
    """Where the estimated rule disagrees with the true one, the true margin is small.

    If j is the estimated and t the true choice, ``a_t − a_j <= (a^_j − a_j) − (a^_t − a_t)``, since
    ``a^_t <= a^_j``; the right side is at most the spread of the errors, and that at most twice the largest. Hence
    ``P(disagreement) <= P(margin <= 2 max_k |a^_k − a_k|)``. Raises ``ValueError`` for samples that are not finite or
    do not fit, or parameters of other classes.

    >>> true = NaiveBayesParameters(np.array([0.5, 0.5]), np.array([[-1.0], [1.0]]), np.array([[1.0]]))
    >>> rough = NaiveBayesParameters(np.array([0.5, 0.5]), np.array([[-1.0], [1.5]]), np.array([[1.0]]))
    >>> bound = nb_margin_bound(np.array([[0.1], [2.0]]), rough, true)
    >>> bound.disagrees.tolist(), bound.margin.round(2).tolist(), bound.spread.round(3).tolist()
    ([True, False], [0.2, 4.0], [0.575, 0.375])
    """
    for name, value in (("params_hat", params_hat), ("params", params)):
        if not isinstance(value, NaiveBayesParameters):
            raise ValueError(f"{name} must be NaiveBayesParameters, got {type(value).__name__}")
    if params_hat.means.shape[-2:] != params.means.shape[-2:]:
        raise ValueError(
            f"params_hat must have the classes and features {params.means.shape[-2:]} of params, "
            f"got {params_hat.means.shape[-2:]}"
        )
    x = finite_array("x", x)
    if x.ndim < 2 or x.shape[-1] != params.means.shape[-1]:
        raise ValueError(f"x must have shape (..., samples, {params.means.shape[-1]} features), got {x.shape}")
    estimated, true = params_hat.discriminants(x), params.discriminants(x)
    error = estimated - true
    chosen, estimated_choice = true.argmax(axis=-1), estimated.argmax(axis=-1)
    top = np.partition(true, -2, axis=-1)[..., -2:]
    return MarginBound(
        np.asarray(chosen != estimated_choice),
        np.broadcast_to(top[..., 1] - top[..., 0], error.shape[:-1]),
        2 * np.abs(error).max(axis=-1),
        np.ptp(error, axis=-1),
    )


@dataclass(frozen=True, eq=False)
class _Statistics:
    """Counts ``(..., K)``, means ``(..., K, n)`` and sums of squares about them, ``(..., K or 1, n)``."""

    counts: np.ndarray
    means: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, y: np.ndarray, classes: int, pooled: bool) -> "_Statistics":
        batch, (samples, features) = X.shape[:-2], X.shape[-2:]
        models = int(np.prod(batch))
        rows = X.reshape(-1, features)
        groups = (y.reshape(models, samples) + classes * np.arange(models)[:, None]).ravel()
        counts = np.bincount(groups, minlength=models * classes)
        means = _sums_by_group(rows, groups, models * classes) / np.maximum(counts, 1)[:, None]
        squares = np.zeros_like(means)
        # Blocks that stay in the cache: X is read once more, but never copied as a whole.
        block = max(1, _BLOCK // features)
        for start in range(0, len(rows), block):
            some = groups[start : start + block]
            residuals = rows[start : start + block] - means[some]
            # Rows are in the order of models, so a block meets few of them.
            first, last = int(some[0]) // classes * classes, (int(some[-1]) // classes + 1) * classes
            np.square(residuals, out=residuals)
            squares[first:last] += _sums_by_group(residuals, some - first, last - first)
        squares = squares.reshape(*batch, classes, features)
        return cls(
            counts.reshape(*batch, classes),
            means.reshape(*batch, classes, features),
            squares.sum(axis=-2, keepdims=True) if pooled else squares,
        )

    def merged(self, other: "_Statistics") -> "_Statistics":
        """Statistics of both sets of samples: squares gain ``N₁N₂/N (mu₁ − mu₂)²``."""
        counts = self.counts + other.counts
        share = (other.counts / np.maximum(counts, 1))[..., None]
        apart = other.means - self.means
        between = self.counts[..., None] * share * apart**2
        if self.squares.shape != between.shape:
            between = between.sum(axis=-2, keepdims=True)
        # The mean of a class that only one side has seen is that side's.
        means = np.where(share == 1, other.means, self.means + share * apart)
        return type(self)(counts, means, self.squares + other.squares + between)


def _sums_by_group(rows: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Sums ``(count, features)`` of the rows of every group: one sparse product, nothing of size rows × groups."""
    membership = csc_array((np.ones(len(groups)), groups, np.arange(len(groups) + 1)), shape=(count, len(groups)))
    return membership @ rows


def _finite(name: str, value: object) -> np.ndarray:
    """``finite_array`` without a copy, for large float64 arrays: a finite sum has finite terms."""
    array = np.asarray(value)
    with np.errstate(over="ignore", invalid="ignore"):
        proven = array.dtype == np.float64 and array.size > 0 and np.isfinite(array.sum())
    return array if proven else finite_array(name, value)


def _checked_samples(X: Samples, y: Labels) -> tuple[np.ndarray, np.ndarray]:
    X, labels = _finite("X", X), np.asarray(y)
    if X.ndim < 2:
        raise ValueError(f"X must have shape (..., samples, features), got {X.shape}")
    if labels.dtype.kind not in "iu" or labels.size == 0:
        raise ValueError(f"y must hold whole numbers, got {labels.dtype} of shape {labels.shape}")
    if labels.shape != X.shape[:-1]:
        raise ValueError(f"y must have the shape {X.shape[:-1]} of X without features, got {labels.shape}")
    if labels.min() < 0:
        raise ValueError(f"y must be at least 0, got {labels.min()}")
    return X, labels.astype(np.int64)


def _number_of_classes(y: np.ndarray) -> int:
    classes, samples = int(y.max()) + 1, y.shape[-1]
    if classes < 2:
        raise ValueError("y must have at least 2 classes, got only 0")
    if samples < classes:
        raise ValueError(
            f"y must have as many samples as classes, got {samples} samples with labels up to {classes - 1}"
        )
    return classes


def _require_every_class(counts: np.ndarray, name: str) -> None:
    if counts.min() == 0:
        where = np.argwhere(counts == 0)[0]
        model = f" of training set {tuple(int(i) for i in where[:-1])}" if len(where) > 1 else ""
        raise ValueError(
            f"{name} must hold every class 0 … {counts.shape[-1] - 1}, got no sample of {where[-1]}{model}"
        )
