"""Inverse-gap weighting: how the errors of a regression become the regret of a bandit.

In every round K arms have predicted losses y_a in [0, 1]; b is the arm with the smallest. Arms are drawn with

    square:  p_a = 1 / (K + gamma (y_a − y_b)),      fast:  p_a = y_b / (K y_b + gamma (y_a − y_b)),      a != b,

and p_b is what remains, at least 1/K. For *any* true losses f with best arm a*,

    (I1)  sum_a p_a (f_a − f_a*)  <=  2 (K − 1) / gamma + (gamma / 4) sum_a p_a (y_a − f_a)²                   (square)
    (I2)  sum_a p_a (f_a − f_a*)  <=  (5 K / gamma) sum_a p_a f_a + 2 gamma sum_a p_a (y_a − f_a)² / (y_a + f_a)
                                                                                          (fast, gamma >= 2 K)
    (I3)  (p − q)² / (p + q)  <=  2 KL(Ber(p) || Ber(q)).

Summed over T rounds they give sqrt(K T RegSq) and sqrt(K L* RegKL) + K RegKL. (I1) is sharp, and derived so:
for given predictions the right-hand side less the left is smallest over all real f where f_a = y_a + 2/gamma for
a != a* and f_a* = y_a* − 2 (1/p_a* − 1)/gamma, and there regret less estimation error is exactly

    sum_a p_a (y_a − y_b) + (1/p_a* − 1)/gamma − (y_a* − y_b)  <=  sum_a p_a (y_a − y_b) + (K − 1)/gamma,

with equality for every a* other than b; each term of the sum is below 1/gamma. So the customary 2K/gamma can be
2 (K − 1)/gamma and no less, K/gamma is enough for two arms and wrong for more. (I3): the left-hand side is at most
2 (sqrt p − sqrt q)², which is a part of twice the squared Hellinger distance, which is at most 2 KL.

    probs = inverse_gap_weighting(np.array([0.2, 0.5, 0.9]), gamma=20.0)
    igw_bound(predicted, true, gamma=20.0).slack

Source: Deb, Ban, Zuo, He and Banerjee (2024), *Contextual Bandits with Online Neural Regression*; the weightings are
those of Foster and Rakhlin (2020) and of Foster and Krishnamurthy (2021). Constants are derived and checked here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve
from scipy.special import rel_entr

from theory.fuzz import Bound
from theory.validation import at_least, finite_array, one_of, positive, same_shape, whole_number

__all__ = [
    "IGWBound",
    "bernoulli_kl",
    "first_order_regret_bound",
    "igw_bound",
    "inverse_gap_weighting",
    "perturbed_loss_mean",
    "perturbed_square_loss",
    "relu_ntk",
    "square_igw_supremum",
    "square_regret_bound",
    "triangular_discrimination",
    "ucb_complexity",
]

Losses = Float[np.ndarray, "*batch arms"]
Exploration = float | Float[np.ndarray, "*batch"]
Values = Float[np.ndarray, "*batch"]
KINDS = ("square", "fast")


@dataclass(frozen=True)
class IGWBound:
    """Both sides of (I1) or (I2) for every instance: ``regret <= exploration + estimation``."""

    regret: np.ndarray
    exploration: np.ndarray
    estimation: np.ndarray

    @property
    def bound(self) -> np.ndarray:
        """The right-hand side."""
        return np.asarray(self.exploration + self.estimation)

    @property
    def slack(self) -> np.ndarray:
        """``bound − regret``; not negative, up to rounding."""
        return np.asarray(self.bound - self.regret)


def inverse_gap_weighting(losses: Losses, gamma: Exploration, kind: str = "square", floor: float = 1e-6) -> Losses:
    """Probabilities of the arms, from predicted losses ``(..., K)`` in [0, 1]; of equal best arms the first is b.

    ``gamma`` is one number or one per instance; larger explores less. The fast weighting puts all mass on an arm
    whose predicted loss is 0: its losses are first raised to ``floor``. Raises ``ValueError`` for losses outside
    [0, 1], a gamma or floor not above 0, a floor above 1, or another kind.

    >>> inverse_gap_weighting(np.array([0.0, 0.1, 0.8]), gamma=10.0).round(4).tolist()
    [0.6591, 0.25, 0.0909]
    """
    y, g = _checked(losses, gamma, kind, floor)
    return _weights(y, g, kind)


def igw_bound(
    losses: Losses, true_losses: Losses, gamma: Exploration, kind: str = "square", floor: float = 1e-6
) -> IGWBound:
    """Both sides of (I1) (kind square, with 2 (K − 1)/gamma) or (I2) (fast, gamma >= 2K).

    ``losses`` are the predicted, ``true_losses`` the true ones, both ``(..., K)`` in [0, 1]. Raises ``ValueError``
    as ``inverse_gap_weighting``, and for shapes that differ or a gamma below 2K with the fast weighting.

    >>> check = igw_bound(np.array([0.2, 0.4, 0.6]), np.array([0.3, 0.1, 0.6]), gamma=8.0)
    >>> float(check.regret.round(4)), bool(check.slack >= 0)
    (0.2049, True)
    """
    y, g = _checked(losses, gamma, kind, floor)
    f = _in_unit("true_losses", true_losses)
    same_shape(("losses", "true_losses"), (y, f))
    arms = y.shape[-1]
    if kind == "fast" and (g < 2 * arms).any():
        raise ValueError(f"gamma must be at least 2 K = {2 * arms} for the fast weighting, got {gamma!r}")
    p = _weights(y, g, kind)
    regret = np.asarray((p * f).sum(-1) - f.min(-1))
    if kind == "square":
        exploration = np.broadcast_to(2 * (arms - 1) / g, regret.shape)
        return IGWBound(regret, exploration, np.asarray(g / 4 * (p * (y - f) ** 2).sum(-1)))
    exploration = np.asarray(5 * arms / g * (p * f).sum(-1))
    return IGWBound(regret, exploration, np.asarray(2 * g * (p * (y - f) ** 2 / (y + f)).sum(-1)))


def square_igw_supremum(losses: Losses, gamma: Exploration) -> tuple[Values, Losses]:
    """``sup_f regret − (gamma/4) sum_a p_a (y_a − f_a)²`` over all real f, and an f that attains it.

    Exact for the square weighting (see the module): (I1) holds with this number in place of 2 (K − 1)/gamma, and
    with nothing smaller unless losses of f are confined. One arm has no regret. Raises ``ValueError`` as
    ``inverse_gap_weighting``.

    >>> value, f = square_igw_supremum(np.array([0.2, 0.4, 0.6]), gamma=8.0)
    >>> float(value.round(4))
    0.358
    """
    y, g = _checked(losses, gamma, "square", 1.0)
    p = _weights(y, g, "square")
    best = y.min(-1)
    # Every arm but b gives the same supremum, b never a larger one.
    star = np.argmax(y, -1)[..., None]
    p_star = np.take_along_axis(p, star, -1)
    value = (p * (y - best[..., None])).sum(-1) + ((1 / p_star - 1)[..., 0] / g)
    value -= np.take_along_axis(y, star, -1)[..., 0] - best
    f = y + 2 / g[..., None]
    np.put_along_axis(f, star, np.take_along_axis(y, star, -1) - 2 * (1 / p_star - 1) / g[..., None], -1)
    return np.asarray(value), f


def bernoulli_kl(p: Values, q: Values) -> Values:
    """``KL(Ber(p) || Ber(q))`` in nats; infinite where q excludes what p allows.

    Raises ``ValueError`` for numbers outside [0, 1] or shapes that differ.

    >>> float(bernoulli_kl(np.array([0.5]), np.array([0.25]))[0].round(4))
    0.1438
    """
    p, q = _two_in_unit(p, q)
    return rel_entr(p, q) + rel_entr(1 - p, 1 - q)


def triangular_discrimination(p: Values, q: Values) -> Values:
    """``(p − q)²/(p + q)``, the left-hand side of (I3); 0 where both are 0. Raises as ``bernoulli_kl``.

    >>> float(triangular_discrimination(np.array([0.5]), np.array([0.25]))[0].round(4))
    0.0833
    """
    p, q = _two_in_unit(p, q)
    return (p - q) ** 2 / np.where(p + q > 0, p + q, 1.0)


def square_regret_bound(
    rounds: int, arms: int, regression_regret: float, gamma: float | None = None
) -> tuple[float, float]:
    """Regret that (I1) guarantees after ``rounds``, and the gamma used (default: the one that minimises it).

        2 (K − 1) T / gamma + (gamma / 2) RegSq,     least 2 sqrt((K − 1) T RegSq) at gamma = 2 sqrt((K − 1) T / RegSq)

    RegSq is the regression's regret in (y − prediction)²/2: with E[y] = f its expectation is half of the squared
    errors in (I1). Raises ``ValueError`` for fewer than one round or two arms, a regression regret or gamma not
    above 0.

    >>> square_regret_bound(100, 5, 4.0)
    (80.0, 20.0)
    """
    rounds, arms = whole_number("rounds", rounds, 1), whole_number("arms", arms, 2)
    errors = positive("regression_regret", regression_regret)
    best = 2 * np.sqrt((arms - 1) * rounds / errors)
    used = best if gamma is None else positive("gamma", gamma)
    return float(2 * (arms - 1) * rounds / used + used / 2 * errors), float(used)


def first_order_regret_bound(
    best_loss: float, arms: int, regression_regret: float, gamma: float | None = None
) -> tuple[float, float]:
    """Regret that (I2) and (I3) guarantee when the best policy's cumulative loss is L*, and the gamma used.

        Reg <= (5 K/gamma)(L* + Reg) + 4 gamma RegKL,  so  Reg <= 10 K L*/gamma + 8 gamma RegKL  for gamma >= 10 K;

    the default is gamma = max(sqrt(10 K L*/(8 RegKL)), 10 K), which gives sqrt(320 K L* RegKL) + 80 K RegKL at most.
    RegKL is the regression's regret in log loss. Raises ``ValueError`` for a negative ``best_loss``, fewer than one
    arm, a regression regret not above 0, or a gamma below 10 K.

    >>> first_order_regret_bound(0.0, 4, 1.0)
    (320.0, 40.0)
    """
    best_loss, arms = at_least("best_loss", best_loss, 0.0), whole_number("arms", arms, 1)
    errors = positive("regression_regret", regression_regret)
    best = max(np.sqrt(10 * arms * best_loss / (8 * errors)), 10.0 * arms)
    used = best if gamma is None else at_least("gamma", gamma, 10.0 * arms)
    return float(10 * arms * best_loss / used + 8 * used * errors), float(used)


def perturbed_square_loss(
    target: float, output: float, displacement: Float[np.ndarray, " parameters"], c_p: float, width: int
) -> float:
    """Expected square loss of a perturbed prediction: a ridge towards the initialisation.

        E_e (y − f − c_p m^{−1/4} <d, e>)²/2  =  (y − f)²/2 + (c_p²/(2 sqrt(m))) |d|²,      e uniform in {−1, 1}^p,

    where d is theta less its initial value and m the width. Raises ``ValueError`` for numbers that are not finite, a
    negative ``c_p`` or a width below 1.

    >>> perturbed_square_loss(1.0, 0.0, np.array([1.0, 2.0]), c_p=0.1, width=16)
    0.50625
    """
    d, scale = _perturbation(displacement, c_p, width)
    y, f = _real("target", target), _real("output", output)
    return float((y - f) ** 2 / 2 + scale**2 * (d @ d) / 2)


def perturbed_loss_mean(
    target: float,
    output: float,
    displacement: Float[np.ndarray, " parameters"],
    c_p: float,
    width: int,
    loss: str = "square",
) -> float:
    """The same expectation by enumeration of all 2^p signs, for the square or the KL loss softplus(f) − y f.

    Raises ``ValueError`` as ``perturbed_square_loss``, for another loss, or more than 20 parameters.

    >>> round(perturbed_loss_mean(1.0, 0.0, np.array([1.0, 2.0]), c_p=0.1, width=16), 12)
    0.50625
    """
    d, scale = _perturbation(displacement, c_p, width)
    y, f = _real("target", target), _real("output", output)
    one_of("loss", loss, ("square", "kl"))
    if len(d) > 20:
        raise ValueError(f"displacement must have at most 20 entries to enumerate their signs, got {len(d)}")
    outputs = np.array([f])
    for each in scale * d:
        outputs = np.concatenate([outputs - each, outputs + each])
    values = (y - outputs) ** 2 / 2 if loss == "square" else np.logaddexp(0, outputs) - y * outputs
    return float(values.mean())


def relu_ntk(contexts: Float[np.ndarray, "rounds dim"]) -> Float[np.ndarray, "rounds rounds"]:
    """Gram matrix of the tangent kernel of an infinitely wide ReLU network, scaled to a diagonal of 1.

        H = (u k_0(u) + k_1(u))/2,   k_0 = 1 − a/pi,   k_1 = (sin a + (pi − a) cos a)/pi,   u = cos a = <x, x'>,

    for contexts divided by their norms; both layers are trained. Raises ``ValueError`` for contexts that are not
    finite or have a zero row. Source: arc-cosine kernels of Cho and Saul (2009).

    >>> relu_ntk(np.array([[1.0, 0.0], [0.0, 3.0]])).round(4).tolist()
    [[1.0, 0.1592], [0.1592, 1.0]]
    """
    x = finite_array("contexts", contexts, 2)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    if not norms.all():
        raise ValueError("contexts must not have a zero row")
    u = np.clip((x / norms) @ (x / norms).T, -1.0, 1.0)
    np.fill_diagonal(u, 1.0)
    angle = np.arccos(u)
    return (u * (1 - angle / np.pi) + (np.sin(angle) + (np.pi - angle) * u) / np.pi) / 2


def ucb_complexity(
    gram: Float[np.ndarray, "rounds rounds"], losses: Float[np.ndarray, "rounds cases"]
) -> Float[np.ndarray, " cases"]:
    """``h^T H^{-1} h`` for every column h of ``losses``: what the regret bounds of NeuralUCB and NeuralTS grow with.

    With a unit diagonal ``tr H^{-1} >= T²/tr H = T``, and ``h^T H^{-1} h`` averages to that trace over random signs:
    an adversary who chooses signs makes it at least T, and the bound sqrt(d_eff T) sqrt(h^T H^{-1} h) at least T.
    That is a statement about the bound, not about the algorithms. Raises ``ValueError`` for a gram that is not square,
    symmetric and positive definite, or another number of rows.

    >>> ucb_complexity(np.eye(3), np.ones((3, 1))).tolist()
    [3.0]
    """
    H, h = finite_array("gram", gram, 2), finite_array("losses", losses, 2)
    if H.shape[0] != H.shape[1] or not np.allclose(H, H.T, rtol=0, atol=1e-10):
        raise ValueError(f"gram must be a symmetric matrix, got shape {H.shape}")
    if len(h) != len(H):
        raise ValueError(f"losses must have {len(H)} rows, one per round of gram, got {len(h)}")
    try:
        factor = cho_factor(H)
    except np.linalg.LinAlgError as error:
        raise ValueError("gram must be positive definite; are two contexts equal?") from error
    return (h * cho_solve(factor, h)).sum(0)


def _checked(losses: np.ndarray, gamma: Exploration, kind: str, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses, raised to the floor if the weighting is fast, and gamma with the shape of the instances."""
    y, g = _in_unit("losses", losses), finite_array("gamma", gamma)
    if y.ndim == 0:
        raise ValueError("losses must have an axis of arms, got a number")
    if g.min() <= 0:
        raise ValueError(f"gamma must be above 0, got {g.min()}")
    if g.ndim and g.shape != y.shape[:-1]:
        raise ValueError(f"gamma must be one number or have shape {y.shape[:-1]}, got {g.shape}")
    one_of("kind", kind, KINDS)
    if positive("floor", floor) > 1:
        raise ValueError(f"floor must be at most 1, got {floor!r}")
    return (np.maximum(y, floor) if kind == "fast" else y), np.broadcast_to(g, y.shape[:-1])


def _weights(y: np.ndarray, gamma: np.ndarray, kind: str) -> np.ndarray:
    best = y.argmin(-1)[..., None]
    least, arms = np.take_along_axis(y, best, -1), y.shape[-1]
    spread = gamma[..., None] * (y - least)
    p = 1 / (arms + spread) if kind == "square" else least / (arms * least + spread)
    np.put_along_axis(p, best, 0.0, -1)
    np.put_along_axis(p, best, 1 - p.sum(-1, keepdims=True), -1)
    return p


def _in_unit(name: str, values: np.ndarray) -> np.ndarray:
    array = finite_array(name, values)
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"{name} must lie in [0, 1], got {array.min()} … {array.max()}")
    return array


def _two_in_unit(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, q = _in_unit("p", p), _in_unit("q", q)
    same_shape(("p", "q"), (p, q))
    return p, q


def _real(name: str, value: float) -> float:
    return float(finite_array(name, value, 0))


def _perturbation(displacement: np.ndarray, c_p: float, width: int) -> tuple[np.ndarray, float]:
    return finite_array("displacement", displacement, 1), at_least("c_p", c_p, 0.0) / whole_number(
        "width", width, 1
    ) ** 0.25


def _instances(arms: int, kind: str):
    """Predictions and truths from equal to opposite, gammas over four decades (from 2K for the fast weighting)."""

    def sample(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        scale = 10.0 ** rng.uniform(-3, 0, (count, 1))
        y = np.clip(rng.random((count, 1)) * (1 - scale) + scale * rng.random((count, arms)), 0, 1)
        near = np.clip(y + 10.0 ** rng.uniform(-3, 0, (count, 1)) * rng.normal(size=y.shape), 0, 1)
        f = np.where(rng.random((count, 1)) < 0.7, near, rng.random(y.shape))
        low, decades = (2 * arms, 3) if kind == "fast" else (0.1, 4)
        return {"losses": y, "true_losses": f, "gamma": low * 10.0 ** rng.uniform(0, decades, count)}

    return sample


def _bounds() -> Iterator[Bound]:
    for arms in (2, 3, 8):
        for kind, name in (("square", "I1: square regret"), ("fast", "I2: fast regret")):
            yield Bound(
                f"{name} at most exploration and estimation, K = {arms}", "inverse-gap weighting",
                lambda losses, true_losses, gamma, kind=kind: igw_bound(losses, true_losses, gamma, kind).regret,
                lambda losses, true_losses, gamma, kind=kind: igw_bound(losses, true_losses, gamma, kind).bound,
                _instances(arms, kind), "proved above" if kind == "square" else "",
            )  # fmt: skip
    yield Bound(
        "I3: triangular discrimination at most 2 KL", "from square-error to log-loss regret",
        triangular_discrimination, lambda p, q: 2 * bernoulli_kl(p, q),
        lambda rng, n: {"p": rng.random(n) ** rng.choice([1, 4], n), "q": rng.random(n) ** rng.choice([1, 4], n)},
        "proved above",
    )  # fmt: skip


BOUNDS = list(_bounds())
