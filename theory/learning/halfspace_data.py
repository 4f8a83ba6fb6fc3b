"""Points and labels for learning halfspaces: kind marginals, hostile ones, and noise that a halfspace must live with.

    X = gaussian(10_000, 3, rng)
    y, rates = massart_labels(X, w_star, eta=0.1, rng=rng)          # every label wrong with its own rate <= eta
    y = adversarial_labels(X, w_star, share=0.01, rng=rng, pattern="far")

Marginals have mean 0 and, but for ``line``, about unit covariance. ``gaussian`` and ``strongly_log_concave`` are laws
that tests are meant to accept; ``ball`` is neither, but kind; the rest breaks what proofs for Gaussians use: tails
(``laplace``, ``student_t``), mass near hyperplanes (``hypercube``, ``clusters``), spread along them (``line``).

Source: the models of noise are those of Gollakota, Klivans, Stavropoulos and Vasilyan (2023), *An Efficient
Tester-Learner for Halfspaces*; marginals and patterns of noise are ours.
"""

import numpy as np
from jaxtyping import Float, Int

from theory.learning.halfspace_surrogate import Points, Vector, checked_direction
from theory.validation import at_least, in_range, one_of, positive, whole_number

__all__ = [
    "ADVERSARIAL_PATTERNS",
    "MASSART_PATTERNS",
    "adversarial_labels",
    "ball",
    "clusters",
    "gaussian",
    "hypercube",
    "laplace",
    "line",
    "massart_labels",
    "strongly_log_concave",
    "student_t",
]

Signs = Int[np.ndarray, " samples"]
Rates = Float[np.ndarray, " samples"]

MASSART_PATTERNS = ("constant", "boundary", "one side")
ADVERSARIAL_PATTERNS = ("near", "far", "wedge")


def gaussian(samples: int, dim: int, rng: np.random.Generator) -> Points:
    """Standard Gaussian points. Raises ``ValueError`` for no samples or fewer than two dimensions, as all marginals do.

    >>> gaussian(5, 2, np.random.default_rng(0)).shape
    (5, 2)
    """
    return _checked_rng(rng).standard_normal(_shape(samples, dim))


def strongly_log_concave(samples: int, dim: int, rng: np.random.Generator, *, excess: float = 0.5) -> Points:
    """Independent coordinates with density proportional to ``exp(−x²/2) / cosh(x)^excess``.

    The potential's second derivative, ``1 + excess / cosh(x)²``, lies in (1, 1 + excess]: strongly log-concave, even,
    smooth, and not Gaussian for ``excess > 0``. Sampled by rejection from the Gaussian. Raises ``ValueError`` for a
    negative ``excess``.

    >>> points = strongly_log_concave(50_000, 2, np.random.default_rng(0), excess=1.0)
    >>> bool(1 / 2 < points.var() < 1)
    True
    """
    shape, excess = _shape(samples, dim), at_least("excess", excess, 0.0)
    missing, parts = shape[0] * shape[1], []
    while missing > 0:
        proposed = _checked_rng(rng).standard_normal(2 * missing + 64)
        parts.append(proposed[rng.random(len(proposed)) < np.cosh(proposed) ** -excess][:missing])
        missing -= len(parts[-1])
    return np.concatenate(parts).reshape(shape)


def ball(samples: int, dim: int, rng: np.random.Generator) -> Points:
    """Uniform in the ball of radius ``sqrt(dim + 2)``, which has unit covariance."""
    X = gaussian(samples, dim, rng)
    lengths = np.sqrt(dim + 2) * rng.random((samples, 1)) ** (1 / dim)
    return X * (lengths / np.linalg.norm(X, axis=1, keepdims=True))


def laplace(samples: int, dim: int, rng: np.random.Generator) -> Points:
    """Independent Laplace coordinates of variance 1: log-concave, not strongly, with exponential tails."""
    return _checked_rng(rng).laplace(scale=np.sqrt(0.5), size=_shape(samples, dim))


def student_t(samples: int, dim: int, rng: np.random.Generator, *, degrees: float = 3.0) -> Points:
    """Multivariate Student t; with up to 4 ``degrees`` of freedom fourth moments are infinite.

    Of unit covariance if ``degrees > 2``. Raises ``ValueError`` for ``degrees <= 0``.
    """
    degrees = positive("degrees", degrees)
    X = gaussian(samples, dim, rng)
    scale = np.sqrt(max(degrees - 2, 1e-3 * degrees) / degrees)
    return scale * X / np.sqrt(rng.chisquare(degrees, (samples, 1)) / degrees)


def hypercube(samples: int, dim: int, rng: np.random.Generator) -> Points:
    """Uniform on the corners of ``{−1, 1}^dim``."""
    return _checked_rng(rng).choice([-1.0, 1.0], _shape(samples, dim))


def line(samples: int, dim: int, rng: np.random.Generator, *, thickness: float = 0.01) -> Points:
    """Gaussian along a random line, ``thickness`` times that across. Raises ``ValueError`` for ``thickness < 0``."""
    X = at_least("thickness", thickness, 0.0) * gaussian(samples, dim, rng)
    direction = rng.standard_normal(dim)
    return X + rng.standard_normal((samples, 1)) * direction / np.linalg.norm(direction)


def clusters(samples: int, dim: int, rng: np.random.Generator, *, count: int = 2, spread: float = 0.1) -> Points:
    """Equal parts of ``count`` Gaussian clusters of radius ``spread``, centres of mean 0 and mean square length d.

    Raises ``ValueError`` for fewer than two clusters or a negative ``spread``.
    """
    X = at_least("spread", spread, 0.0) * gaussian(samples, dim, rng)
    centres = rng.standard_normal((whole_number("count", count, 2), dim))
    centres -= centres.mean(axis=0)
    centres *= np.sqrt(dim) / np.sqrt((centres**2).sum(axis=1).mean())
    return X + centres[rng.integers(0, count, samples)]


def massart_labels(
    X: Points, w_star: Vector, eta: float, rng: np.random.Generator, *, pattern: str = "constant"
) -> tuple[Signs, Rates]:
    """Labels ``sign<w*, x>``, each flipped with probability ``eta(x) <= eta``; and those probabilities.

    Patterns: ``"constant"``, eta everywhere; ``"boundary"``, eta on the half of the points nearest to the hyperplane,
    0 elsewhere; ``"one side"``, eta where a random direction is positive, 0 elsewhere, which pulls averages aside.
    ``sign(0) = 1``. Raises ``ValueError`` for eta outside [0, 1/2), an unknown pattern, w* = 0, values that are not
    finite or shapes that disagree.

    >>> X, w_star = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([1.0, 0.0])
    >>> y, rates = massart_labels(X, w_star, 0.0, np.random.default_rng(0))
    >>> y.tolist(), rates.tolist()
    ([1, -1], [0.0, 0.0])
    """
    w_star, X, _ = checked_direction(w_star, X, name="w_star")
    if in_range("eta", eta, 0.0, 0.5) == 0.5:
        raise ValueError("eta must be below 0.5, got 0.5")
    one_of("pattern", pattern, MASSART_PATTERNS)
    margin = X @ w_star
    noisy = np.ones(len(X), dtype=bool)
    if pattern == "boundary":
        noisy = np.abs(margin) <= np.median(np.abs(margin))
    elif pattern == "one side":
        noisy = X @ _checked_rng(rng).standard_normal(X.shape[1]) > 0
    rates = np.where(noisy, eta, 0.0)
    flips = np.where(_checked_rng(rng).random(len(X)) < rates, -1, 1)
    return np.where(margin < 0, -1, 1) * flips, rates


def adversarial_labels(
    X: Points, w_star: Vector, share: float, rng: np.random.Generator, *, pattern: str = "far"
) -> Signs:
    """Labels ``sign<w*, x>`` with ``floor(share · N)`` of them flipped by an adversary.

    Patterns: ``"near"``, those nearest to the hyperplane; ``"far"``, those farthest from it; ``"wedge"``, every
    second one of those that a halfspace turned towards a random direction labels otherwise, so that many halfspaces are
    about equally good. Raises ``ValueError`` for a
    share outside [0, 1], an unknown pattern, w* = 0, values that are not finite or shapes that disagree.

    >>> X = np.array([[1.0, 0.0], [-5.0, 0.0]])
    >>> adversarial_labels(X, np.array([1.0, 0.0]), 0.5, np.random.default_rng(0), pattern="far").tolist()
    [1, 1]
    """
    w_star, X, _ = checked_direction(w_star, X, name="w_star")
    count = int(in_range("share", share, 0.0, 1.0) * len(X))
    one_of("pattern", pattern, ADVERSARIAL_PATTERNS)
    margin = X @ w_star
    labels = np.where(margin < 0, -1, 1)
    if pattern == "wedge":
        turn = _checked_rng(rng).standard_normal(X.shape[1])
        across = X @ (turn - (turn @ w_star) * w_star)
        # A turn by tan(theta) changes the label where the two signs differ and |margin| < tan(theta) |across|.
        with np.errstate(divide="ignore", invalid="ignore"):
            rank = np.where(across * margin < 0, np.abs(margin / across), np.inf)
    else:
        rank = np.abs(margin) * (1 if pattern == "near" else -1)
    order = np.argsort(rank, kind="stable")
    flipped = order[: 2 * count : 2] if pattern == "wedge" else order[:count]
    labels[flipped[np.isfinite(rank[flipped])]] *= -1
    return labels


def _shape(samples: int, dim: int) -> tuple[int, int]:
    return whole_number("samples", samples, 1), whole_number("dim", dim, 2)


def _checked_rng(rng: np.random.Generator) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy.random.Generator, got {rng!r:.60}")
    return rng
