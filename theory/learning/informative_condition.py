"""The informative condition: how far matching the law of what is seen forces matching the latent.

A class is kappa^{-1}-informative (for H, the Hellinger distance; the theorem's other form has TV) if every phi has a
transformation T that the downstream class can absorb, with

    H( p_{T phi}(x, z), p_{phi*}(x, z) )  <=  kappa · H( p_phi(x, s), p_{phi*}(x, s) ).

Factor model, x = B z + e: T rotates z, and ``informative_ratio`` is the left side over the right after the rotation
that brings B^ closest to B (Procrustes). The joint distance has a closed form: given z only the mean of x differs, so

    H²_joint = 1 − E exp(−‖D z‖²/8) = 1 − det(I + D^T D/4)^{−1/2},                D = B^ O − B.

As B^ -> B the largest ratio is exact, with singular values s_j of B and ``l_j = 1 + s_j²``:

    kappa_local² = max{ l_j/s_j² (if d > r),  l_i l_j/(s_i² + s_j²), i <= j }           ~ 1/s_min² as s_min -> 0:

an error in the column space is seen through s_j, one within it through the product B B^T. For pairs at any distance,
with all singular values in [s_min, s_max] and ``t = ‖D‖_F² <= 4 r s_max²``,

    kappa² <= sup_t (1 − e^{−t/8}) / (1 − (1 + c t)^{−1/4}),        c = (√2 − 1) s_min² / (2 (1 + s_max²)²),

so the condition holds for loadings bounded away from 0, and fails without (kappa = infinity), or with T restricted to
the identity: then p(x) does not tell B from B O.

Contrastive pairs, x, x' ~ N(0, I), P(s = 1) = sigmoid(<W x, W x'>), z | x ~ N(W x, I_r): the same joint distance, with
``D = O W^ − W``, and the marginal one is the mean Hellinger distance of two coins. Without the side information s, the
law of what is seen does not depend on W at all: kappa is infinite.

    informative_ratio(B, B_hat), local_informative_ratio(B), informative_ratio_bound(s_min, s_max, r)

Source: Ge, Tang, Fan and Jin (2024), *On the Provable Advantage of Unsupervised Pretraining*, for the condition and its
two examples. Closed forms, the local value and the bound are derived here; the bound uses the inequality
``‖B B^T − B^ B^^T‖² >= 2(√2 − 1) s_min² ‖D‖²`` of Tu, Boczar, Simchowitz, Soltanolkotabi and Recht (2016).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from theory.fuzz import Bound
from theory.validation import finite_array, positive, whole_number

__all__ = [
    "contrastive_hellinger2",
    "informative_ratio",
    "informative_ratio_bound",
    "joint_covariance",
    "joint_hellinger2",
    "local_informative_ratio",
    "marginal_hellinger2",
    "procrustes_rotation",
]

Loadings = Float[np.ndarray, "*batch d r"]
Rotations = Float[np.ndarray, "*batch r r"]
Values = Float[np.ndarray, "..."] | float

_ROUNDING = 1e-12
"""Hellinger distances below this are rounding."""


def informative_ratio(B: Loadings, B_hat: Loadings, *, rotate: bool = True) -> Values:
    """``H_joint/H_marginal`` of two factor models after the Procrustes rotation of B_hat; leading axes are pairs.

    The least kappa with which this pair satisfies the condition, but for the choice of rotation, which minimises
    ``‖D‖_F`` and not H_joint itself. ``rotate=False`` restricts T to the identity. Equal laws give 0, different joint
    laws with the same marginal (within 1e-12) infinity. Raises ``ValueError`` for shapes that differ, or r > d.

    >>> B, turned = np.eye(3)[:, :2], np.eye(3)[:, 1::-1]
    >>> informative_ratio(B, turned), informative_ratio(B, turned, rotate=False)
    (0.0, inf)
    """
    B, B_hat = _checked_pair(B, B_hat)
    aligned = B_hat @ procrustes_rotation(B, B_hat) if rotate else B_hat
    joint = np.sqrt(np.asarray(joint_hellinger2(B, aligned)))
    marginal = np.sqrt(np.asarray(marginal_hellinger2(B, aligned)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(marginal > _ROUNDING, joint / marginal, np.inf)
    ratio = np.where((marginal <= _ROUNDING) & (joint <= 1e3 * _ROUNDING), 0.0, ratio)
    return _scalar(ratio)


def procrustes_rotation(B: Loadings, B_hat: Loadings) -> Rotations:
    """The orthogonal O with the least ``‖B_hat O − B‖_F``: ``U V^T`` of the singular value decomposition of B_hat^T B.

    Raises ``ValueError`` for shapes that differ, or r > d.

    >>> B, turned = np.eye(3)[:, :2], np.eye(3)[:, 1::-1]
    >>> (turned @ procrustes_rotation(B, turned) == B).all().item()
    True
    """
    B, B_hat = _checked_pair(B, B_hat)
    left, _, right = np.linalg.svd(np.swapaxes(B_hat, -1, -2) @ B)
    return left @ right


def joint_hellinger2(B: Loadings, B_hat: Loadings) -> Values:
    """Squared Hellinger distance of the laws of (x, z): ``1 − det(I + D^T D/4)^{−1/2}`` with ``D = B_hat − B``.

    Also that of contrastive models ``z | x ~ N(W x, I)``, for ``B = W^T``. Raises ``ValueError`` for shapes that
    differ, or r > d.

    >>> round(joint_hellinger2(np.zeros((2, 1)), np.array([[2.0], [0.0]])), 6)
    0.292893
    """
    B, B_hat = _checked_pair(B, B_hat)
    values = np.linalg.svd(B_hat - B, compute_uv=False)
    return _scalar(-np.expm1(-0.5 * np.log1p(values**2 / 4).sum(axis=-1)))


def marginal_hellinger2(B: Loadings, B_hat: Loadings) -> Values:
    """Squared Hellinger distance of the laws of x, ``N(0, B B^T + I)`` and the same for B_hat; exact for near pairs.

    Raises ``ValueError`` for shapes that differ, or r > d.

    >>> round(marginal_hellinger2(np.zeros((1, 1)), np.array([[np.sqrt(3)]])), 6)
    0.105573
    """
    B, B_hat = _checked_pair(B, B_hat)
    # In an orthonormal basis of both column spaces, the rest of x has the same law.
    basis = np.linalg.qr(np.concatenate([B, B_hat], axis=-1))[0]
    first, difference = (np.swapaxes(basis, -1, -2) @ each for each in (B, B_hat - B))
    cross = first @ np.swapaxes(difference, -1, -2)
    change = cross + np.swapaxes(cross, -1, -2) + difference @ np.swapaxes(difference, -1, -2)
    covariance = np.eye(basis.shape[-1]) + first @ np.swapaxes(first, -1, -2)
    factor = np.linalg.cholesky(covariance)
    half = np.linalg.solve(factor, change)
    relative = np.linalg.solve(factor, np.swapaxes(half, -1, -2))
    eigenvalues = np.linalg.eigvalsh((relative + np.swapaxes(relative, -1, -2)) / 2)
    # Both covariances are at least I, so 1 + eigenvalue is at least 1/‖covariance‖.
    shifted = np.maximum(1 + eigenvalues, 1 / np.linalg.norm(covariance, 2, axis=(-2, -1))[..., None])
    return _scalar(-np.expm1(-0.25 * np.log1p(eigenvalues**2 / (4 * shifted)).sum(axis=-1)))


def joint_covariance(B: Loadings) -> Float[np.ndarray, "*batch joint joint"]:
    """Covariance ``[[B B^T + I, B], [B^T, I]]`` of (x, z).

    Raises ``ValueError`` for r > d.

    >>> joint_covariance(np.array([[2.0]])).tolist()
    [[5.0, 2.0], [2.0, 1.0]]
    """
    B = _checked_loadings("B", B)
    transposed = np.swapaxes(B, -1, -2)
    d, r = B.shape[-2:]
    top = np.concatenate([B @ transposed + np.eye(d), B], axis=-1)
    bottom = np.concatenate([transposed, np.broadcast_to(np.eye(r), (*B.shape[:-2], r, r))], axis=-1)
    return np.concatenate([top, bottom], axis=-2)


def local_informative_ratio(B: Loadings) -> Values:
    """The supremum of ``informative_ratio(B, B_hat)`` as B_hat approaches B; infinite for loadings of lower rank.

    Raises ``ValueError`` for r > d.

    >>> round(local_informative_ratio(np.eye(3)[:, :1]), 6), local_informative_ratio(np.zeros((3, 1)))
    (1.414214, inf)
    """
    B = _checked_loadings("B", B)
    squared = np.linalg.svd(B, compute_uv=False) ** 2
    first, second = squared[..., :, None], squared[..., None, :]
    with np.errstate(divide="ignore"):
        # For i != j as well as i = j; a direction that is never seen makes it infinite.
        within = ((1 + first) * (1 + second) / (first + second)).max(axis=(-2, -1))
        across = (1 + 1 / squared).max(axis=-1)
    return _scalar(np.sqrt(np.maximum(within, across) if B.shape[-2] > B.shape[-1] else within))


def informative_ratio_bound(s_min: float, s_max: float, r: int) -> float:
    """A kappa that is valid for all pairs of loadings with r singular values in ``[s_min, s_max]``, whatever d.

    ``H²_marginal >= 1 − (1 + F/4)^{−1/4}`` with ``F = tr(Sigma^{-1} Delta Sigma^^{-1} Delta) >= ‖Delta‖²/(1 +
    s_max²)²``, and ``‖Delta‖² >= 2(√2 − 1) s_min² t``; ``H²_joint <= 1 − e^{−t/8}``. The supremum over t is taken on a
    fine grid, after a bound of each interval by its ends: numerator at the right, denominator at the left. Raises
    ``ValueError`` for s_min not above 0, s_max < s_min or r < 1.

    >>> round(informative_ratio_bound(1.0, 2.0, 2), 2)
    7.77
    """
    s_min, s_max, r = positive("s_min", s_min), positive("s_max", s_max), whole_number("r", r, 1)
    if s_max < s_min:
        raise ValueError(f"s_max must be at least s_min = {s_min}, got {s_max}")
    c = (np.sqrt(2) - 1) * s_min**2 / (2 * (1 + s_max**2) ** 2)
    t = np.geomspace(1e-6, 4 * r * s_max**2, 20_001)
    numerator = -np.expm1(-t / 8)
    denominator = -np.expm1(-0.25 * np.log1p(c * t))
    # Below the first point: t/8 over the chord of the concave denominator.
    first = t[0] / 8 / denominator[0]
    return float(np.sqrt(max(first, (numerator[1:] / denominator[:-1]).max())))


def contrastive_hellinger2(
    W: Float[np.ndarray, "r d"],
    W_hat: Float[np.ndarray, "r d"],
    X: Float[np.ndarray, "pairs d"],
    X_prime: Float[np.ndarray, "pairs d"],
) -> float:
    """Mean squared Hellinger distance of the coins ``sigmoid(<W x, W x'>)`` and those of W_hat over the given pairs.

    For x, x' ~ N(0, I) this estimates the squared distance of the laws of (x, x', s). Raises ``ValueError`` for shapes
    that do not fit.

    >>> pairs = np.random.default_rng(0).standard_normal((2, 10, 3))
    >>> contrastive_hellinger2(np.eye(3)[:2], np.eye(3)[1::-1], *pairs)
    0.0
    """
    W, W_hat = finite_array("W", W, 2), finite_array("W_hat", W_hat, 2)
    X, X_prime = finite_array("X", X, 2), finite_array("X_prime", X_prime, 2)
    if W.shape[1] != W_hat.shape[1]:
        raise ValueError(f"W_hat must have the {W.shape[1]} columns of W, got shape {W_hat.shape}")
    if X.shape[1] != W.shape[1]:
        raise ValueError(f"X must have the {W.shape[1]} columns of W, got shape {X.shape}")
    if X_prime.shape != X.shape:
        raise ValueError(f"X_prime must have the shape {X.shape} of X, got {X_prime.shape}")
    logits, other = (np.sum((X @ w.T) * (X_prime @ w.T), axis=1) for w in (W, W_hat))
    # 1 − √(p q) − √((1−p)(1−q)) = ½ (√p − √q)² + ½ (√(1−p) − √(1−q))²: no cancellation where p is near q.
    roots = [(np.sqrt(expit(sign * logits)) - np.sqrt(expit(sign * other))) ** 2 for sign in (1, -1)]
    return float((roots[0] + roots[1]).mean() / 2)


def _scalar(values: Values) -> Values:
    return float(values) if np.ndim(values) == 0 else values


def _checked_loadings(name: str, value: object) -> np.ndarray:
    B = finite_array(name, value)
    if B.ndim < 2 or B.shape[-1] > B.shape[-2]:
        raise ValueError(f"{name} must have shape (..., d, r) with r <= d, got {B.shape}")
    return B


def _checked_pair(B: object, B_hat: object) -> tuple[np.ndarray, np.ndarray]:
    first, second = _checked_loadings("B", B), _checked_loadings("B_hat", B_hat)
    if first.shape != second.shape:
        raise ValueError(f"B_hat must have the shape {first.shape} of B, got {second.shape}")
    return first, second


def pair_sampler(
    d: int, r: int, s_min: float, s_max: float
) -> Callable[[np.random.Generator, int], dict[str, np.ndarray]]:
    """Sampler of pairs of loadings as factors, singular values in [s_min, s_max], from independent to nearly equal."""

    def sample(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        apart = 10.0 ** rng.uniform(-4, 0.5, (count, 1, 1))
        U, V = rng.standard_normal((count, d, r)), rng.standard_normal((count, r, r))
        singular = rng.uniform(s_min, s_max, (count, r))
        nearby = np.clip(singular + apart[..., 0] * rng.standard_normal((count, r)), s_min, s_max)
        return {
            "U": U, "V": V, "s": singular, "s_hat": nearby,
            "U_hat": U + apart * rng.standard_normal((count, d, r)),
            "V_hat": V + apart * rng.standard_normal((count, r, r)),
        }  # fmt: skip

    return sample


def loadings_of(U: np.ndarray, s: np.ndarray, V: np.ndarray) -> np.ndarray:
    """``orth(U) diag(s) orth(V)^T``, with the orthonormal factors closest to U and V."""
    left, right = (np.matmul(*np.linalg.svd(each, full_matrices=False)[::2]) for each in (U, V))
    return left * s[..., None, :] @ np.swapaxes(right, -1, -2)


def _aligned_joint(U, V, s, U_hat, V_hat, s_hat) -> np.ndarray:
    B, B_hat = loadings_of(U, s, V), loadings_of(U_hat, s_hat, V_hat)
    return np.sqrt(np.asarray(joint_hellinger2(B, B_hat @ procrustes_rotation(B, B_hat))))


def _proved_bound(U, V, s, U_hat, V_hat, s_hat) -> np.ndarray:
    marginal = marginal_hellinger2(loadings_of(U, s, V), loadings_of(U_hat, s_hat, V_hat))
    return _KAPPA * np.sqrt(np.asarray(marginal))


_KAPPA = informative_ratio_bound(1.0, 2.0, 2)
# Any pair of rank 2 lies in four dimensions.
BOUNDS = [
    Bound(
        "informative condition of the factor model, singular values in [1, 2]", "informative condition, factor model",
        _aligned_joint, _proved_bound, pair_sampler(4, 2, 1.0, 2.0),
    ),
]  # fmt: skip
