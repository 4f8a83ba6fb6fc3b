"""Known answers: calibration functions of the usual losses in closed form, with bounded scores included.

Binary, psi~(theta) over all margins and over |z| <= B (`margin_loss_table`); multiclass, delta(beta) and how it starts
at 0 (`multiclass_loss_table`). `compare_with_known` holds an analysis against every closed form of the package.

    for known in margin_loss_table():
        analysis = analyse_margin_loss(known.loss, bound=0.8)
        print(known.name, known.calibrated, analysis.compare(lambda t: known.transform(t, 0.8)))

Three traps, each with the formula behind it: cross-entropy with bounded scores and n >= 3 labels is not calibrated
(`bounded_ce_ambiguity`); the small-beta constants of constrained and sum losses depend on n (`small_beta_constant`);
the Weston–Watkins hinge has a dead zone (`weston_watkins_dead_zone`).

Scores are bounded in practice: `linear_score_bound` and `one_hidden_layer_score_bound` give B for a hypothesis set.
Where psi_B grows with B, as in all losses below with a closed form, B = inf over x of the bound at x is the right one,
and psi_B(R_01(h) − R*_01(H) + M_01) <= R_phi(h) − R*_phi(H) + M_phi for every h in H and every distribution, with the
minimizability gaps M.

Sources: Bartlett, Jordan and McAuliffe (2006) for the unbounded binary transforms; Mao, Mohri and Zhong (2023) for
comp-sum losses; the bounded forms, the multiclass constants and the dead zones are derived here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from theory.classification.comp_sum_calibration import calibration_function, transform
from theory.classification.margin_analysis import MarginAnalysis
from theory.classification.multiclass_analysis import MulticlassAnalysis
from theory.classification.multiclass_forms import (
    comp_sum_form,
    constrained_form,
    max_form,
    one_vs_rest_form,
    sum_form,
)
from theory.validation import at_least, finite_array, one_of, positive, whole_number

__all__ = [
    "KnownMarginLoss",
    "KnownMulticlassLoss",
    "bounded_ce_ambiguity",
    "bounded_ce_calibration",
    "compare_with_known",
    "linear_score_bound",
    "margin_loss_table",
    "multiclass_loss_table",
    "one_hidden_layer_score_bound",
    "small_beta_constant",
    "weston_watkins_dead_zone",
]

Values = Float[np.ndarray, "..."]
_FAR = 700.0  # margins at which tanh is 1 and exp does not overflow
Closed = Callable[[np.ndarray, Any], np.ndarray]


@dataclass(frozen=True)
class KnownMarginLoss:
    """A margin loss with its known answer. ``formula`` is the loss in z for sympy.

    ``calibrated`` is None for a loss that is unbounded below. ``closed_form(theta, bound)`` is psi~, None where none is
    known; ``bounded`` says whether it holds for finite bounds too.
    """

    name: str
    loss: Callable[[np.ndarray], np.ndarray]
    formula: str
    calibrated: bool | None
    closed_form: Closed | None
    bounded: bool = True

    def transform(self, theta: Any, bound: float = float("inf")) -> Any:
        """psi~(theta) for |z| <= bound. Raises ``ValueError`` for theta outside [0, 1], or where none is known."""
        t = finite_array("theta", theta)
        if t.min() < 0 or t.max() > 1:
            raise ValueError(f"theta must be in [0, 1], got {t.min()} … {t.max()}")
        if not isinstance(bound, int | float | np.number) or not bound > 0:
            raise ValueError(f"bound must be a number above 0 (infinity allowed), got {bound!r:.60}")
        if self.closed_form is None or (np.isfinite(bound) and not self.bounded):
            raise ValueError(f"bound must be another one: no closed form of {self.name} is known for {bound}")
        return np.asarray(self.closed_form(t, float(bound)))[()]

    def expression(self) -> Any:
        """The loss as a sympy expression in z."""
        import sympy

        return sympy.parse_expr(self.formula, local_dict={"z": sympy.Symbol("z")})


@dataclass(frozen=True)
class KnownMulticlassLoss:
    """A score-vector loss for ``classes`` labels with its known answer.

    ``delta(beta)`` is None where no closed form is known; ``slope`` is the constant c of delta ~ c beta^2 as beta -> 0
    where it is known and delta is not.
    """

    name: str
    loss: Callable[..., Any]
    classes: int
    calibrated: bool
    delta: Callable[[np.ndarray], np.ndarray] | None
    slope: float | None = None


def margin_loss_table() -> Iterator[KnownMarginLoss]:
    """The binary table: name, loss, formula, whether calibrated, psi~ with and without a bound on the margin.

    >>> {known.name: known.calibrated for known in margin_loss_table()}["perceptron"]
    False
    """
    # fmt: off
    yield KnownMarginLoss("hinge", _hinge, "Max(0, 1 - z)", True, lambda t, B: np.minimum(B, 1.0) * t)
    yield KnownMarginLoss("logistic", lambda z: np.logaddexp(0, -z), "log(1 + exp(-z))", True, _logistic)
    yield KnownMarginLoss("exponential", lambda z: np.exp(-z), "exp(-z)", True, _exponential)
    yield KnownMarginLoss(
        "squared hinge", lambda z: _hinge(z) ** 2, "Max(0, 1 - z)**2", True,
        lambda t, B: _parabola(t, np.minimum(B, 1.0)))
    yield KnownMarginLoss(
        "modified Huber", lambda z: np.where(z < -1, -4 * z, _hinge(z) ** 2),
        "Piecewise((-4*z, z < -1), ((1 - z)**2, z < 1), (0, True))", True,
        lambda t, B: _parabola(t, np.minimum(B, 1.0)))
    yield KnownMarginLoss("squared", lambda z: (1 - z) ** 2, "(1 - z)**2", True, _parabola)
    yield KnownMarginLoss("absolute", lambda z: np.abs(1 - z), "Abs(1 - z)", True, lambda t, B: np.minimum(B, 1.0) * t)
    yield KnownMarginLoss("sigmoid", lambda z: expit(-z), "1/(1 + exp(z))", True, lambda t, B: t * np.tanh(B / 2) / 2)
    yield KnownMarginLoss(
        "rho-margin, rho = 2", lambda z: np.clip(1 - z / 2, 0, 1), "Min(1, Max(0, 1 - z/2))", True,
        lambda t, B: t * np.minimum(B, 2.0) / 2)
    yield KnownMarginLoss("Savage", lambda z: expit(-z) ** 2, "1/(1 + exp(z))**2", True, _savage)
    yield KnownMarginLoss(
        "tangent", lambda z: (2 * np.arctan(z) - 1) ** 2, "(2*atan(z) - 1)**2", True,
        lambda t, B: _parabola(t, 2 * np.arctan(B)))
    yield KnownMarginLoss(
        "GCE, q = 1/2", lambda z: 2 * (1 - np.sqrt(expit(z))), "2*(1 - sqrt(1/(1 + exp(-z))))", True,
        lambda t, B: np.asarray(calibration_function(t, 1.5, 2)), bounded=False)
    yield KnownMarginLoss(
        "GCE, q = 2", lambda z: (1 - expit(z) ** 2) / 2, "(1 - (1/(1 + exp(-z)))**2)/2", True,
        lambda t, B: np.minimum(t / 2, 1 / 8 + t / 4), bounded=False)
    yield KnownMarginLoss("perceptron", lambda z: np.maximum(0, -z), "Max(0, -z)", False, lambda t, B: 0 * t)
    yield KnownMarginLoss(
        "kinked hinge", lambda z: np.maximum(_hinge(z), 1 - 2 * z), "Max(0, 1 - z, 1 - 2*z)", False,
        lambda t, B: np.maximum(0, (3 * t - 1) / 2), bounded=False)
    yield KnownMarginLoss(
        "bump", lambda z: (2 - np.tanh(z)) / (1 + z**2), "(2 - tanh(z))/(1 + z**2)", False, lambda t, B: 0 * t,
        bounded=False)
    yield KnownMarginLoss(
        "linear", lambda z: -z, "-z", None, lambda t, B: t * B if np.isfinite(B) else np.full_like(t, np.nan))
    # fmt: on


def multiclass_loss_table(classes: int = 3) -> Iterator[KnownMulticlassLoss]:
    """The multiclass table for n labels: loss, whether calibrated, delta(beta) or the way it starts.

    delta of the Weston–Watkins loss is given for n = 3 only, (6 beta − 1)/5 above the dead zone, where the search
    agrees to 1e-10; there is no proof of that piece here. Raises ``ValueError`` for fewer than two classes.

    >>> [known.name for known in multiclass_loss_table(3) if not known.calibrated]
    ['one-versus-rest hinge', 'Crammer-Singer', 'Weston-Watkins']
    """
    return _multiclass_losses(whole_number("classes", classes, 2))


def compare_with_known(analysis: MarginAnalysis | MulticlassAnalysis) -> dict[str, float]:
    """The largest distance of ``raw`` from every closed form of the package for this setting, nearest first.

    Distances below rounding mean that the loss has this transform; a loss scaled by a has it times a. Raises
    ``ValueError`` for anything but an analysis with a transform.

    >>> from theory.classification.margin_analysis import analyse_margin_loss
    >>> errors = compare_with_known(analyse_margin_loss(lambda z: (1 - z) ** 2))
    >>> sorted(name for name, error in errors.items() if error < 1e-9)
    ['modified Huber', 'squared', 'squared hinge', 'tangent']
    """
    if not isinstance(analysis, MarginAnalysis | MulticlassAnalysis) or np.isnan(analysis.raw).any():
        raise ValueError(f"analysis must be a margin or multiclass analysis with a transform, got {analysis!r:.60}")
    if isinstance(analysis, MarginAnalysis):
        bound = analysis.bound
        forms: dict[str, Callable[[np.ndarray], Any]] = {
            known.name: lambda t, known=known: known.transform(t, bound)
            for known in margin_loss_table()
            if known.calibrated is not None and (known.bounded or np.isinf(bound))
        }
        if np.isinf(bound):
            for tau in (0.0, 0.5, 1.5, 1.7, 2.0):
                forms[f"comp-sum, tau = {tau:g}"] = lambda t, tau=tau: calibration_function(t, tau, 2)
    else:
        n, bound = analysis.classes, analysis.bound
        if np.isinf(bound):
            forms = {known.name: known.delta for known in multiclass_loss_table(n) if known.delta is not None}
        else:
            forms = {"bounded cross-entropy": lambda b: bounded_ce_calibration(b, n, bound)}
    return dict(sorted(((name, analysis.compare(form)) for name, form in forms.items()), key=lambda item: item[1]))


def bounded_ce_ambiguity(n: int, B: float) -> float:
    """``beta_0 = (n − 2)/(2 e^{2B} + n − 2)``: 0-1 regret that costs cross-entropy nothing, scores in [−B, B].

    If the two top labels have p >= e^{2B}/(2 e^{2B} + n − 2), the optimum clips both scores at B and they tie. A number
    to remember: cosine logits without a temperature (B = 1) and n = 1000 labels. Raises ``ValueError`` for n < 2 or a
    bound that is not above 0.

    >>> round(bounded_ce_ambiguity(1000, 1.0), 3), bounded_ce_ambiguity(2, 1.0)
    (0.985, 0.0)
    """
    labels, bound = whole_number("n", n, 2), positive("B", B)
    # Multiplied by e^{−2B}, which cannot overflow.
    rest = (labels - 2) * np.exp(-2 * bound)
    return float(rest / (2 + rest))


def bounded_ce_calibration(beta: Values | float, n: int, B: float) -> Any:
    """delta(beta) of cross-entropy with n labels and scores in [−B, B]: 0 up to `bounded_ce_ambiguity`, then

        log(2 e^B + r) − B − [log(e^B + e^{s*} + r) − p_0 B − p_1 s*],      r = (n − 2) e^{−B},  p_{0,1} = (1 ± beta)/2,

    s* = clip(log(p_1/p_0 (e^B + r)), −B, B). For n = 2 it is the bounded logistic transform of margins within 2B.
    Raises ``ValueError`` for beta outside [0, 1], n < 2 or a bound that is not above 0.

    >>> round(float(bounded_ce_calibration(0.3, 3, 1.0)), 6), float(bounded_ce_calibration(0.05, 3, 1.0))
    (0.028674, 0.0)
    """
    b = finite_array("beta", beta)
    if b.min() < 0 or b.max() > 1:
        raise ValueError(f"beta must be in [0, 1], got {b.min()} … {b.max()}")
    labels, bound = whole_number("n", n, 2), positive("B", B)
    p, q = (1 + b) / 2, (1 - b) / 2
    log_rest = np.log(labels - 2.0) - bound if labels > 2 else -np.inf
    with np.errstate(divide="ignore"):
        s = np.clip(np.log(q / p) + np.logaddexp(bound, log_rest), -bound, bound)
    tied = np.logaddexp(np.logaddexp(bound, bound), log_rest) - bound
    best = np.logaddexp(np.logaddexp(bound, s), log_rest) - p * bound - q * s
    return np.where(b > bounded_ce_ambiguity(labels, bound), np.maximum(tied - best, 0.0), 0.0)[()]


def small_beta_constant(loss: str, n: int) -> float:
    """The constant c of ``delta(beta) ~ c beta^2`` as beta -> 0 for n labels, for one of

        constrained exponential      n / (4 (n − 1))
        constrained squared hinge    n / (2 (n − 1))
        sum of squared hinges        4 / (n + 2)

    They fall with n, below the two-label values 1/2, 1, 1: Gamma(t) = sqrt(2 t) or sqrt(t) would be wrong for n >= 3.
    Safe for every n are 2 sqrt(t), sqrt(2 t), and nothing for the sum, whose constant tends to 0. Raises ``ValueError``
    for another loss or n < 2.

    >>> small_beta_constant("constrained exponential", 2), small_beta_constant("constrained exponential", 3)
    (0.5, 0.375)
    """
    labels = whole_number("n", n, 2)
    constants = {
        "constrained exponential": labels / (4 * (labels - 1)),
        "constrained squared hinge": labels / (2 * (labels - 1)),
        "sum of squared hinges": 4 / (labels + 2),
    }
    return constants[one_of("loss", loss, tuple(constants))]


def weston_watkins_dead_zone(n: int) -> float:
    """``1/2 − 1/n``: up to this 0-1 regret, the Weston–Watkins hinge has a minimiser that ties the wrong label.

    For any p with 1/n <= p_1 < p_0 <= 1/2 and equal other labels, s = (0, 0, −1, …, −1) minimises the conditional risk:
    with the weights lambda = ((1 − p_0)/p_0 − 1)/(n − 2) and mu = ((1 − p_1)/p_1 − 1)/(n − 2) on the kinks towards the
    other labels, both in [0, 1], the subgradient is 0. Raises ``ValueError`` for n < 2.

    >>> round(weston_watkins_dead_zone(3), 6)
    0.166667
    """
    return 0.5 - 1 / whole_number("n", n, 2)


def linear_score_bound(W: float, B0: float, min_norm: float = 0.0) -> float:
    """``W min ||x||_p + B0``: how far scores ``w x + b`` with ||w||_q <= W, |b| <= B0 reach at every x.

    ``min_norm`` is the least norm of an input. Raises ``ValueError`` for negative or infinite numbers, or a reach of 0.

    >>> linear_score_bound(1.0, 0.3)
    0.3
    """
    reach = at_least("W", W, 0.0) * at_least("min_norm", min_norm, 0.0) + at_least("B0", B0, 0.0)
    if reach == 0:
        raise ValueError("B0 must be above 0 where W or min_norm is 0: all scores would be 0")
    return reach


def one_hidden_layer_score_bound(Lam: float, W: float, B0: float, min_norm: float = 0.0) -> float:
    """``Lam (W min ||x||_p + B0)``: the reach of ``sum_j u_j (w_j x + b_j)_+`` with ||u||_1 <= Lam at every x.

    Raises ``ValueError`` as ``linear_score_bound``, and for a Lam that is not above 0.

    >>> one_hidden_layer_score_bound(2.0, 1.0, 0.5, 1.0)
    3.0
    """
    return positive("Lam", Lam) * linear_score_bound(W, B0, min_norm)


def _multiclass_losses(n: int) -> Iterator[KnownMulticlassLoss]:
    many = n > 2

    def pooled(tau: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda b: np.asarray(calibration_function(b, tau, n))

    def binary(tau: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda b: np.asarray(transform(b, tau, 2))

    # fmt: off
    yield KnownMulticlassLoss("cross-entropy", comp_sum_form(np.log1p), n, True, binary(1.0))
    yield KnownMulticlassLoss("sum-exponential", comp_sum_form(lambda u: u), n, True, binary(0.0))
    yield KnownMulticlassLoss("sum-logistic", sum_form(lambda z: np.logaddexp(0, -z)), n, True, binary(1.0))
    yield KnownMulticlassLoss(
        "comp-sum, tau = 3/2", comp_sum_form(lambda u: 2 * (1 - 1 / np.sqrt(1 + u))), n, True, pooled(1.5))
    yield KnownMulticlassLoss("MAE", comp_sum_form(lambda u: 1 - 1 / (1 + u)), n, True, pooled(2.0))
    yield KnownMulticlassLoss(
        "one-versus-rest logistic", one_vs_rest_form(lambda z: np.logaddexp(0, -z)), n, True,
        lambda b: 2 * binary(1.0)(b))
    yield KnownMulticlassLoss(
        "one-versus-rest exponential", one_vs_rest_form(lambda z: np.exp(-z)), n, True,
        lambda b: 2 * (1 - np.sqrt(1 - b**2)))
    yield KnownMulticlassLoss(
        "one-versus-rest squared hinge", one_vs_rest_form(lambda z: _hinge(z) ** 2), n, True, lambda b: 2 * b**2)
    yield KnownMulticlassLoss(
        "one-versus-rest hinge", one_vs_rest_form(_hinge), n, not many,
        (lambda b: np.maximum(0, 2 * (2 * b - 1))) if many else (lambda b: 2 * b))
    yield KnownMulticlassLoss(
        "Crammer-Singer", max_form(_hinge), n, not many,
        (lambda b: np.maximum(0, 2 * b - 1)) if many else (lambda b: b))
    yield KnownMulticlassLoss(
        "Weston-Watkins", sum_form(_hinge), n, not many,
        (lambda b: np.maximum(0, (6 * b - 1) / 5)) if n == 3 else None if many else (lambda b: b))
    yield KnownMulticlassLoss("Lee-Lin-Wahba", constrained_form(_hinge), n, True, lambda b: n * pooled(2.0)(b))
    # fmt: on
    for name, loss in (
        ("constrained exponential", constrained_form(lambda z: np.exp(-z))),
        ("constrained squared hinge", constrained_form(lambda z: _hinge(z) ** 2)),
        ("sum of squared hinges", sum_form(lambda z: _hinge(z) ** 2)),
    ):
        yield KnownMulticlassLoss(name, loss, n, True, None, small_beta_constant(name, n))


def _hinge(z: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - z)


def _parabola(t: np.ndarray, reach: Any) -> np.ndarray:
    """t² as far as the optimum is within reach, then the tangent."""
    touched = np.minimum(reach, 2.0)
    return np.where(t <= touched, t**2, 2 * touched * t - touched**2)


def _logistic(t: np.ndarray, B: Any) -> np.ndarray:
    reach = np.minimum(B, _FAR)
    at_bound = np.log(2.0) - (1 + t) / 2 * np.logaddexp(0, -reach) - (1 - t) / 2 * np.logaddexp(0, reach)
    return np.where(t <= np.tanh(reach / 2), transform(t, 1.0, 2), at_bound)


def _exponential(t: np.ndarray, B: Any) -> np.ndarray:
    reach = np.minimum(B, _FAR)
    # 1 − sqrt(1 − t²) without its cancellation at small t.
    free = t**2 / (1 + np.sqrt((1 - t) * (1 + t)))
    return np.where(t <= np.tanh(reach), free, 1 - (1 + t) / 2 * np.exp(-reach) - (1 - t) / 2 * np.exp(reach))


def _savage(t: np.ndarray, B: Any) -> np.ndarray:
    at_bound = 0.25 - (1 + t) / 2 * expit(-B) ** 2 - (1 - t) / 2 * expit(B) ** 2
    return np.where(t <= np.tanh(B / 2), t**2 / 4, at_bound)
