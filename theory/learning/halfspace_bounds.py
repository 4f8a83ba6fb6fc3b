"""The inequalities behind ``halfspace_certificates``, on many small samples at once, for fuzzing.

Without loss of generality w is the first axis, v the second, and sigma = 1; ``tangent`` is that of the angle between w
and w*.

    left, right = massart_angle_sides(points, rates, eta, tangent)        # left <= right, whatever the points

``massart_witness`` attains it: two points ``(0, ±r)`` with noise eta, and two noiseless ``±(−1/2, b)`` with b just
below ``1 / (2 tangent)``, on which v and w* disagree; at ``r = b / (2 (1 − 2 eta))`` the gradient vanishes.

Source: the inequalities are derived in ``halfspace_certificates``; the witness is ours.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from theory.fuzz import Bound
from theory.validation import finite_array

__all__ = ["massart_angle_sides", "massart_witness"]

Instances = Float[np.ndarray, " instances"]

_SAMPLES, _DIM = 8, 3
_SOURCE = "derived in theory.learning.halfspace_certificates"


def massart_angle_sides(
    points: Float[np.ndarray, "instances samples dim"],
    rates: Float[np.ndarray, "instances samples"],
    eta: Instances,
    tangent: Instances,
    *,
    with_gradient: bool = True,
) -> tuple[Instances, Instances]:
    """``tan theta ((1 − 2 eta) A_v − g)`` and ``(2 − 2 eta) mean k|t|`` of every instance.

    ``with_gradient=False`` leaves g out, which makes it wrong. Rates are those of noise, in [0, eta]; tangents are
    positive. Raises ``ValueError`` for values not finite, shapes that disagree, ``eta`` outside [0, 1/2), rates
    outside [0, eta] or tangents not above 0.

    >>> left, right = massart_angle_sides(**massart_witness(np.array([0.2]), np.array([0.7])))
    >>> bool(abs(left / right - 1)[0] < 1e-8)
    True
    """
    points, rates = finite_array("points", points, 3), finite_array("rates", rates, 2)
    eta, tangent = _checked_angles(eta, tangent)
    if points.shape[2] < 2 or len(points) != len(eta):
        raise ValueError(f"points must have shape ({len(eta)}, samples, at least 2), got {points.shape}")
    if rates.shape != points.shape[:2] or rates.min() < 0 or (rates > eta[:, None]).any():
        raise ValueError(f"rates must be {points.shape[:2]} numbers in [0, eta], got {rates!r:.60}")
    t, z, k = _kernel(points)
    means = (1 - 2 * rates) * _best_signs(points, tangent)
    spread_along_v = (k * np.abs(z[..., 0])).mean(axis=1)
    left = (1 - 2 * eta) * spread_along_v
    if with_gradient:
        left = left - np.linalg.norm(((k * means)[..., None] * z).mean(axis=1), axis=-1)
    return tangent * left, (2 - 2 * eta) * (k * np.abs(t)).mean(axis=1)


def massart_witness(eta: Instances, tangent: Instances) -> dict[str, np.ndarray]:
    """Four points in the plane for each pair, for which both sides agree up to 1e-9. Errors as ``massart_angle_sides``.

    >>> massart_witness(np.array([0.0]), np.array([1.0]))["points"][0].round(3).tolist()
    [[0.0, 0.25], [0.0, -0.25], [-0.5, 0.5], [0.5, -0.5]]
    """
    eta, tangent = _checked_angles(eta, tangent)
    b = 0.5 / tangent * (1 - 1e-9)
    r = 0.5 * b / (1 - 2 * eta)
    zero, half = np.zeros_like(b), np.full_like(b, 0.5)
    points = np.stack([np.stack([zero, zero, -half, half], 1), np.stack([r, -r, b, -b], 1)], axis=2)
    rates = np.stack([eta, eta, zero, zero], axis=1)
    return {"points": points, "rates": rates, "eta": eta, "tangent": tangent}


def _checked_angles(eta: np.ndarray, tangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    eta, tangent = finite_array("eta", eta, 1), finite_array("tangent", tangent, 1)
    if eta.min() < 0 or eta.max() >= 0.5:
        raise ValueError(f"eta must be in [0, 0.5), got {eta.min()} … {eta.max()}")
    if tangent.shape != eta.shape or tangent.min() <= 0:
        raise ValueError(f"tangent must be {len(eta)} numbers above 0, got {tangent!r:.60}")
    return eta, tangent


def _kernel(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t = points[..., 0]
    return t, points[..., 1:], np.maximum(0.0, 1 - np.abs(t))


def _best_signs(points: np.ndarray, tangent: np.ndarray) -> np.ndarray:
    """``sign<w*, x>`` for ``w*`` proportional to ``w + tangent · v``."""
    return np.where(points[..., 0] + tangent[:, None] * points[..., 1] < 0, -1.0, 1.0)


def _massart(
    points: np.ndarray, shares: np.ndarray, eta: np.ndarray, tangent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The two sides for rates ``shares · eta``, which stay in their range whichever of the two moves."""
    return massart_angle_sides(points, shares * eta[:, None], eta, tangent)


def _massart_sampler(rng: np.random.Generator, count: int) -> Mapping[str, np.ndarray]:
    eta = rng.uniform(0, 0.49, count) * (rng.random(count) < 0.8)
    tangent = 10.0 ** rng.uniform(-2, 1, count)
    points = _points(rng, count)
    shares = rng.choice([0.0, 1.0], (count, _SAMPLES))
    # Now and then the witness, in twice as many points and shaken: the search starts near the worst there is.
    near = np.flatnonzero(rng.random(count) < 0.1)
    if near.size:
        twice = np.tile(massart_witness(eta[near], tangent[near])["points"], (1, 2, 1))
        shaken = 1 + 10.0 ** rng.uniform(-9, 0, (len(near), 1, 1)) * rng.standard_normal((len(near), _SAMPLES, _DIM))
        points[near] = np.concatenate([twice, np.zeros_like(twice[..., :1])], axis=2) * shaken
        shares[near] = [1.0, 1.0, 0.0, 0.0] * 2
    return {"points": points, "shares": shares, "eta": eta, "tangent": tangent}


def _points(rng: np.random.Generator, count: int) -> np.ndarray:
    """Points on all scales across, and mostly in the strip along w."""
    points = rng.standard_normal((count, _SAMPLES, _DIM)) * 10.0 ** rng.uniform(-1.5, 1, (count, _SAMPLES, 1))
    points[..., 0] = rng.uniform(-1.2, 1.2, points.shape[:2]) * 10.0 ** rng.uniform(-2, 0, points.shape[:2])
    return points


def _adversarial_sides(points: np.ndarray, wrong: np.ndarray, tangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``tan theta (A_v − g − 2 c_v)`` and ``2 mean k|t|`` where w* is wrong on the points marked."""
    t, z, k = _kernel(points)
    labels = _best_signs(points, tangent) * np.where(wrong > 0, -1.0, 1.0)
    along = np.abs(z[..., 0])
    second, fourth = ((k * along**p).mean(axis=1) for p in (2, 4))
    share = (wrong > 0).mean(axis=1)
    corrupted = np.minimum(np.sqrt(share * second), share**0.75 * fourth**0.25)
    length = np.linalg.norm(((k * labels)[..., None] * z).mean(axis=1), axis=-1)
    return tangent * ((k * along).mean(axis=1) - length - 2 * corrupted), 2 * (k * np.abs(t)).mean(axis=1)


def _adversarial_sampler(rng: np.random.Generator, count: int) -> Mapping[str, np.ndarray]:
    wrong = (rng.random((count, _SAMPLES)) < rng.choice([0.0, 0.15, 0.4], (count, 1))).astype(np.int64)
    return {"points": _points(rng, count), "wrong": wrong, "tangent": 10.0 ** rng.uniform(-2, 1, count)}


def _holder_sides(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``m_2^3`` and ``m_1² m_4`` of the second coordinate in the strip."""
    _, z, k = _kernel(points)
    first, second, fourth = ((k * np.abs(z[..., 0]) ** p).mean(axis=1) for p in (1, 2, 4))
    return second**3, first**2 * fourth


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "angle at a stationary point, Massart", _SOURCE,
        lambda **s: _massart(**s)[0], lambda **s: _massart(**s)[1], _massart_sampler,
    )  # fmt: skip
    yield Bound(
        "angle at a stationary point, adversarial", _SOURCE,
        lambda **s: _adversarial_sides(**s)[0], lambda **s: _adversarial_sides(**s)[1], _adversarial_sampler,
    )  # fmt: skip
    yield Bound(
        "first from second and fourth moments", _SOURCE + " (Hölder)",
        lambda points: _holder_sides(points)[0], lambda points: _holder_sides(points)[1],
        lambda rng, count: {"points": _points(rng, count)},
    )  # fmt: skip


BOUNDS = list(_bounds())
