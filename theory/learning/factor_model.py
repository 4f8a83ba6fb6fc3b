"""The Gaussian factor model: maximum likelihood, exact risks, and sufficient statistics instead of samples.

    x = B z + e,   z ~ N(0, I_r),   e ~ N(0, I_d),   y = beta^T z + nu,   nu ~ N(0, noise²);     Sigma = B B^T + I.

The maximum likelihood loadings for unit noise come from the eigenvectors of ``S = X^T X/m``:
``B^ = U_r diag(√max(l_i − 1, 0))``, unique up to a rotation of z (probabilistic PCA with known noise). Everything that
follows is exact, since all laws are Gaussian:

    E[z|x] = B^T Sigma^{-1} x = (I + B^T B)^{-1} B^T x
    E[y|x] = a*^T x,    a* = Sigma^{-1} B beta = B (I + B^T B)^{-1} beta
    Var(y|x) = v = noise² + beta^T (I + B^T B)^{-1} beta
    excess risk of x -> a^T x  =  (a − a*)^T Sigma (a − a*)
    least squares on k fixed linear features, n samples:  E excess = e + (v + e) k/(n − k − 1),

where e is the excess of the best predictor in these features: 0 for x itself (k = d) and for E[z|x] (k = r), and for
the fitted loadings, to first order in 1/m, ``(d − r)/m · beta^T [B^T B (I + B^T B)]^{-1} beta``: sample eigenvectors
have errors of variance ``l_j/(m (l_j − 1)²)`` in each of the d − r directions of noise.

Second moments are all that estimators of this model look at, and ``sample_second_moments`` draws them exactly and
without a sample (Bartlett), for all replicates at once.

    X, z, y = sample_factor_model(B, beta, n=200, noise=0.5, rng=rng)
    B_hat = fit_factor_model(X, r=3)
    features = posterior_mean_features(X, B_hat)

Source: Ge, Tang, Fan and Jin (2024), *On the Provable Advantage of Unsupervised Pretraining* (the model, one of its
three examples); Tipping and Bishop (1999) for the likelihood's maximum. The exact risks and the term in m are derived
here.
"""

import numpy as np
from jaxtyping import Float

from theory.learning.gaussian_distances import checked_covariance, checked_generator
from theory.validation import at_least, finite_array, positive, whole_number

__all__ = [
    "conditional_variance",
    "estimated_noise_variance",
    "factor_excess_prediction",
    "factor_excess_risk",
    "factor_loadings",
    "factor_log_likelihood",
    "factor_target",
    "fit_factor_model",
    "least_squares_excess",
    "posterior_mean_features",
    "random_loadings",
    "sample_factor_model",
    "sample_second_moments",
]

Loadings = Float[np.ndarray, "*batch d r"]
Coefficients = Float[np.ndarray, "*batch d"]
Moments = Float[np.ndarray, "*samples d d"]
Values = Float[np.ndarray, "..."] | float


def random_loadings(
    d: int, singular_values: Float[np.ndarray, " r"], rng: np.random.Generator
) -> Float[np.ndarray, "d r"]:
    """Loadings ``U diag(singular_values) V^T`` with uniformly random U and V.

    Raises ``ValueError`` for more singular values than d, or negative ones.

    >>> B = random_loadings(5, np.array([2.0, 1.0]), np.random.default_rng(0))
    >>> np.linalg.svd(B)[1].round(12).tolist()
    [2.0, 1.0]
    """
    d = whole_number("d", d, 1)
    values = finite_array("singular_values", singular_values, 1)
    if len(values) > d or values.min() < 0:
        raise ValueError(f"singular_values must be at most d = {d} numbers of at least 0, got {values!r:.60}")
    left, right = (
        np.linalg.qr(checked_generator(rng).standard_normal((rows, len(values))))[0] for rows in (d, len(values))
    )
    return left * values @ right.T


def sample_factor_model(
    B: Float[np.ndarray, "d r"], beta: Float[np.ndarray, " r"], n: int, noise: float, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n r"], Float[np.ndarray, " n"]]:
    """``n`` independent (x, z, y), as arrays X, Z and y; ``noise`` is the standard deviation of nu.

    Raises ``ValueError`` for r > d, another length of beta, n < 1 or a negative noise.

    >>> X, Z, y = sample_factor_model(np.eye(3)[:, :1], np.array([2.0]), 4, 0.0, np.random.default_rng(0))
    >>> X.shape, bool(np.allclose(y, 2 * Z[:, 0]))
    ((4, 3), True)
    """
    B = _checked_loadings("B", B, 2)
    beta = _checked_beta(beta, B)
    n, noise, rng = whole_number("n", n, 1), at_least("noise", noise, 0.0), checked_generator(rng)
    Z = rng.standard_normal((n, B.shape[1]))
    return Z @ B.T + rng.standard_normal((n, len(B))), Z, Z @ beta + noise * rng.standard_normal(n)


def sample_second_moments(
    covariance: Float[np.ndarray, "d d"], samples: int, replicates: int, rng: np.random.Generator
) -> Float[np.ndarray, "replicates d d"]:
    """``X^T X/samples`` of ``replicates`` independent samples of ``N(0, covariance)``, without drawing them.

    Bartlett: ``X = Q R`` with R upper trapezoidal; below ``L = chol(covariance)``, the entries of ``R^T`` are standard
    normal and the i-th diagonal one is chi with ``samples − i`` degrees (i = 0, 1, …). Exact for any number of samples,
    also below d. O(d³) each. Raises ``ValueError`` for a covariance that is not positive definite or counts below 1.

    >>> moments = sample_second_moments(np.eye(3), 10_000, 5, np.random.default_rng(0))
    >>> moments.shape, bool(np.abs(moments - np.eye(3)).max() < 0.1)
    ((5, 3, 3), True)
    """
    covariance = checked_covariance("covariance", covariance)
    if covariance.ndim != 2:
        raise ValueError(f"covariance must have shape (d, d), got {covariance.shape}")
    samples, replicates = whole_number("samples", samples, 1), whole_number("replicates", replicates, 1)
    rng, d = checked_generator(rng), len(covariance)
    columns = min(d, samples)
    factor = np.zeros((replicates, d, columns))
    rows, lower = np.tril_indices(d, -1, columns)
    factor[:, rows, lower] = rng.standard_normal((replicates, len(rows)))
    diagonal = np.arange(columns)
    factor[:, diagonal, diagonal] = np.sqrt(rng.chisquare(samples - diagonal, (replicates, columns)))
    factor = np.linalg.cholesky(covariance) @ factor
    return factor @ np.swapaxes(factor, 1, 2) / samples


def fit_factor_model(X: Float[np.ndarray, "m d"], r: int) -> Float[np.ndarray, "d r"]:
    """Maximum likelihood loadings for unit noise, columns by falling length; z is determined up to a rotation.

    The mean is taken to be 0 and the noise to be 1: subtract an estimated mean, and divide by the root of
    ``estimated_noise_variance``, where they are not. Raises ``ValueError`` for r > d or an X that is no finite matrix.

    >>> X, _, _ = sample_factor_model(2 * np.eye(3)[:, :1], np.array([1.0]), 50_000, 0.0, np.random.default_rng(0))
    >>> np.abs(fit_factor_model(X, 1)).round(1).ravel().tolist()
    [2.0, 0.0, 0.0]
    """
    X = finite_array("X", X, 2)
    return factor_loadings(X.T @ X / len(X), _checked_rank(r, X.shape[1]))


def factor_loadings(S: Moments, r: int) -> Float[np.ndarray, "*samples d {r}"]:
    """``fit_factor_model`` from second moments ``S``, leading axes are independent models.

    Raises ``ValueError`` for r > d, or an S that is not symmetric and positive semi-definite.

    >>> factor_loadings(np.diag([1.0, 5.0, 0.5]), 2).round(12).tolist()
    [[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]
    """
    values, vectors = np.linalg.eigh(_symmetric_moments(S))
    _require_semidefinite(values)
    r = _checked_rank(r, values.shape[-1])
    leading = vectors[..., ::-1][..., :r] * np.sqrt(np.maximum(values[..., ::-1][..., None, :r] - 1, 0))
    # The sign of an eigenvector is the library's choice: the largest entry shall be positive.
    largest = np.take_along_axis(leading, np.abs(leading).argmax(axis=-2)[..., None, :], axis=-2)
    return np.where(largest < 0, -leading, leading) + 0.0


def estimated_noise_variance(S: Moments, r: int) -> Values:
    """Mean of the ``d − r`` least eigenvalues of S: the maximum likelihood noise variance where it is not known.

    Raises ``ValueError`` for r >= d, or an S that is not symmetric and positive semi-definite.

    >>> float(estimated_noise_variance(np.diag([1.0, 5.0, 0.5]), 1))
    0.75
    """
    values = np.linalg.eigvalsh(_symmetric_moments(S))
    _require_semidefinite(values)
    r = whole_number("r", r, 1)
    if r >= values.shape[-1]:
        raise ValueError(f"r must be below the dimension {values.shape[-1]}, got {r}")
    return np.maximum(values[..., : values.shape[-1] - r].mean(axis=-1), 0.0)[()]


def factor_log_likelihood(B: Loadings, S: Moments) -> Values:
    """Mean log-density ``−½ (d log 2 pi + log det Sigma + tr(Sigma^{-1} S))`` of a sample with second moments S.

    In nats per sample; leading axes broadcast. Raises ``ValueError`` for shapes that do not fit or an S that is no
    second moment.

    >>> round(float(factor_log_likelihood(np.zeros((1, 1)), np.eye(1))), 6)
    -1.418939
    """
    B, S = _checked_loadings("B", B), _symmetric_moments(S)
    _require_semidefinite(np.linalg.eigvalsh(S))
    if S.shape[-1] != B.shape[-2]:
        raise ValueError(f"S must have the {B.shape[-2]} rows of B, got shape {S.shape}")
    core = _latent_precision(B)
    # Woodbury: tr(Sigma^{-1} S) = tr S − tr((I + B^T B)^{-1} B^T S B).
    captured = np.trace(np.linalg.solve(core, _transposed(B) @ S @ B), axis1=-2, axis2=-1)
    trace = np.trace(S, axis1=-2, axis2=-1) - captured
    return (-0.5 * (S.shape[-1] * np.log(2 * np.pi) + np.linalg.slogdet(core)[1] + trace))[()]


def posterior_mean_features(X: Float[np.ndarray, "n d"], B: Float[np.ndarray, "d r"]) -> Float[np.ndarray, "n r"]:
    """``E[z|x] = (I + B^T B)^{-1} B^T x`` for every row of X.

    Raises ``ValueError`` for columns of X other than the rows of B.

    >>> posterior_mean_features(np.array([[2.0, 5.0]]), np.array([[1.0], [0.0]])).tolist()
    [[1.0]]
    """
    X, B = finite_array("X", X, 2), _checked_loadings("B", B, 2)
    if X.shape[1] != len(B):
        raise ValueError(f"X must have the {len(B)} columns that B has rows, got shape {X.shape}")
    return np.linalg.solve(_latent_precision(B), B.T @ X.T).T


def factor_target(B: Loadings, beta: Float[np.ndarray, " r"]) -> Coefficients:
    """``a* = B (I + B^T B)^{-1} beta``: coefficients of the best predictor, ``E[y|x] = a*^T x``.

    Raises ``ValueError`` for shapes that do not fit.

    >>> factor_target(np.array([[1.0], [0.0]]), np.array([3.0])).tolist()
    [1.5, 0.0]
    """
    B = _checked_loadings("B", B)
    beta = _checked_beta(beta, B)
    return (B @ np.linalg.inv(_latent_precision(B)) @ beta[:, None])[..., 0]


def conditional_variance(B: Loadings, beta: Float[np.ndarray, " r"], noise: float) -> Values:
    """``v = Var(y|x) = noise² + beta^T (I + B^T B)^{-1} beta``: the least risk that any predictor has.

    Raises ``ValueError`` for shapes that do not fit or a negative noise.

    >>> float(conditional_variance(np.array([[1.0], [0.0]]), np.array([3.0]), 0.5))
    4.75
    """
    B, noise = _checked_loadings("B", B), at_least("noise", noise, 0.0)
    beta = _checked_beta(beta, B)
    return (noise**2 + np.sum(beta * (np.linalg.inv(_latent_precision(B)) @ beta), axis=-1))[()]


def factor_excess_risk(a: Coefficients, B: Float[np.ndarray, "d r"], beta: Float[np.ndarray, " r"]) -> Values:
    """``(a − a*)^T Sigma (a − a*)``: exact excess square loss of the predictor ``a^T x``; rows of a are predictors.

    Raises ``ValueError`` for shapes that do not fit.

    >>> float(factor_excess_risk(np.array([0.5, 0.0]), np.array([[1.0], [0.0]]), np.array([3.0])))
    2.0
    """
    B = _checked_loadings("B", B, 2)
    a = finite_array("a", a)
    if a.ndim == 0 or a.shape[-1] != len(B):
        raise ValueError(f"a must have shape (..., {len(B)}), the rows of B, got {a.shape}")
    off = a - factor_target(B, beta)
    return (np.sum(off**2, axis=-1) + np.sum((off @ B) ** 2, axis=-1))[()]


def least_squares_excess(variance: float, features: int, n: int) -> float:
    """``variance · features/(n − features − 1)``: mean excess of least squares on Gaussian features that hold E[y|x].

    ``variance`` is that of y given the features; infinite for ``n <= features + 1``. Raises ``ValueError`` for a
    negative variance, no features, or n < 1.

    >>> least_squares_excess(1.0, 50, 101), least_squares_excess(1.0, 50, 51)
    (1.0, inf)
    """
    variance = at_least("variance", variance, 0.0)
    features, n = whole_number("features", features, 1), whole_number("n", n, 1)
    return variance * features / (n - features - 1) if n > features + 1 else float("inf")


def factor_excess_prediction(
    B: Float[np.ndarray, "d r"], beta: Float[np.ndarray, " r"], noise: float, m: float, n: float
) -> float:
    """Mean excess of pretraining on m and least squares on n samples, to first order in 1/m.

    ``e + (v + e) r/(n − r − 1)`` with ``e = (d − r)/m · beta^T [B^T B (I + B^T B)]^{-1} beta``. m and n may be
    infinite; r must be the rank of B. The relative error in m is of order ``d/(m s_min^4)``: a direction of z whose
    loading is below ``(d/m)^{1/4}`` is not found at all. Raises ``ValueError`` for loadings of lower rank, m not above
    0 or ``n <= r + 1``.

    >>> B, beta = 2 * np.eye(11)[:, :1], np.array([1.0])
    >>> round(factor_excess_prediction(B, beta, 0.5, 1000.0, float("inf")), 6)
    0.0005
    """
    B = _checked_loadings("B", B, 2)
    beta = _checked_beta(beta, B)
    d, r = B.shape
    m = m if m == np.inf else positive("m", m)
    n = n if n == np.inf else positive("n", n)
    if n <= r + 1:
        raise ValueError(f"n must be above r + 1 = {r + 1}, got {n}")
    gram = B.T @ B
    if np.linalg.matrix_rank(gram) < r:
        raise ValueError("B must have full column rank: otherwise the pretraining error does not fall as 1/m")
    population = (d - r) / m * float(beta @ np.linalg.solve(gram @ _latent_precision(B), beta))
    return population + (float(conditional_variance(B, beta, noise)) + population) * r / (n - r - 1)


def _latent_precision(B: np.ndarray) -> np.ndarray:
    """``I + B^T B``, the precision of z given x."""
    return np.eye(B.shape[-1]) + _transposed(B) @ B


def _transposed(matrix: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrix, -1, -2)


def _checked_rank(r: int, d: int) -> int:
    r = whole_number("r", r, 1)
    if r > d:
        raise ValueError(f"r must be at most the dimension {d}, got {r}")
    return r


def _checked_loadings(name: str, value: object, dimensions: int | None = None) -> np.ndarray:
    B = finite_array(name, value, dimensions)
    if B.ndim < 2 or B.shape[-1] > B.shape[-2]:
        raise ValueError(f"{name} must have shape (..., d, r) with r <= d, got {B.shape}")
    return B


def _checked_beta(beta: object, B: np.ndarray) -> np.ndarray:
    checked = finite_array("beta", beta, 1)
    if len(checked) != B.shape[-1]:
        raise ValueError(f"beta must have the {B.shape[-1]} entries of z, got {len(checked)}")
    return checked


def _symmetric_moments(S: object) -> np.ndarray:
    checked = finite_array("S", S)
    if checked.ndim < 2 or checked.shape[-1] != checked.shape[-2]:
        raise ValueError(f"S must have shape (..., d, d), got {checked.shape}")
    if np.abs(checked - _transposed(checked)).max() > 1e-9 * np.abs(checked).max():
        raise ValueError("S must be symmetric, got a matrix that is not")
    return checked


def _require_semidefinite(eigenvalues: np.ndarray) -> None:
    least = float(eigenvalues.min())
    if least < -1e-9 * float(np.abs(eigenvalues).max()):
        raise ValueError(f"S must be positive semi-definite, got an eigenvalue of {least:g}")
