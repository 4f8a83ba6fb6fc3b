"""Linear scores on finitely many points of the line: a hypothesis set small enough for exact 0-1 minima.

``h_y(x) = slope_y x + intercept_y`` for n labels. The prediction follows the upper envelope of n lines, so on points in
order it is a sequence of blocks with distinct labels, and every such sequence occurs: the best 0-1 risk over the set
is a minimum over finitely many sequences. The set is symmetric and complete (free intercepts), but not rich: its
minimizability gaps are positive, which makes it a test for bounds that mention them.

    model = FiniteLinearModel(np.linspace(-1, 1, 6), classes=3)
    model.best_error(P, w)                     # exact, by enumeration
    model.best_comp_sum_risk(P, w, tau=1.5)    # numerical, from many starts
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import log_softmax

from theory.classification.comp_sum_risk import checked_distribution, checked_tau, conditional_risk
from theory.validation import class_labels, finite_array, whole_number

__all__ = ["FiniteLinearModel"]

Population = Float[np.ndarray, "points classes"]
Weights = Float[np.ndarray, " points"]
Lines = Float[np.ndarray, "*batch classes"]


@dataclass(frozen=True, eq=False)
class FiniteLinearModel:
    """Linear scores of ``classes`` labels on increasing ``points``.

    A population is ``P`` (label distribution at each point) and ``w`` (weights of the points). Raises ``ValueError``
    for points that are not strictly increasing, fewer than two classes, and populations of other sizes or that are
    no distributions.

    >>> model = FiniteLinearModel(np.array([0.0, 1.0, 2.0]), classes=2)
    >>> P = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1]])
    >>> round(float(model.best_error(P, np.full(3, 1 / 3))), 6)
    0.366667
    """

    points: Float[np.ndarray, " points"]
    classes: int

    def __post_init__(self) -> None:
        x = finite_array("points", self.points, 1)
        whole_number("classes", self.classes, 2)
        if (np.diff(x) <= 0).any():
            raise ValueError(f"points must be strictly increasing, got {x.tolist()}")

    def scores(self, slopes: Lines, intercepts: Lines) -> Float[np.ndarray, "*batch points classes"]:
        """Scores of one or many hypotheses, ``(..., classes)`` each, at every point.

        Raises ``ValueError`` for lines that are not finite or not one per class.
        """
        slopes, intercepts = finite_array("slopes", slopes), finite_array("intercepts", intercepts)
        for name, lines in (("slopes", slopes), ("intercepts", intercepts)):
            if lines.ndim == 0 or lines.shape[-1] != self.classes:
                raise ValueError(f"{name} must have {self.classes} classes along its last axis, got {lines.shape}")
        return self.points[:, None] * slopes[..., None, :] + intercepts[..., None, :]

    @cached_property
    def label_sequences(self) -> Int[np.ndarray, "sequences points"]:
        """Every labelling of the points that some hypothesis predicts: consecutive blocks with distinct labels."""
        count = len(self.points)
        rows = []
        for blocks in range(1, min(self.classes, count) + 1):
            for cuts in combinations(range(1, count), blocks - 1):
                lengths = np.diff([0, *cuts, count])
                rows += [np.repeat(labels, lengths) for labels in permutations(range(self.classes), blocks)]
        return np.array(rows)

    def realise(self, sequence: Int[np.ndarray, " points"]) -> tuple[Lines, Lines]:
        """Slopes and intercepts of a hypothesis that predicts one of ``label_sequences``.

        Lines of neighbouring blocks meet half-way between them, with slopes that grow by 1; a label that does not
        occur lies below.
        Raises ``ValueError`` for a labelling that no hypothesis predicts.
        """
        labels = class_labels("sequence", sequence, self.classes, len(self.points))
        starts = np.flatnonzero(np.diff(labels, prepend=-1))
        order = labels[starts]
        if len(set(order.tolist())) < len(order):
            raise ValueError(f"sequence must be consecutive blocks of distinct labels, got {labels.tolist()}")
        cuts = (self.points[starts[1:] - 1] + self.points[starts[1:]]) / 2
        slopes, intercepts = np.zeros(self.classes), np.zeros(self.classes)
        slopes[order] = np.arange(len(order))
        intercepts[order[1:]] = -np.cumsum(cuts)
        unused = ~np.isin(np.arange(self.classes), order)
        intercepts[unused] = self.scores(slopes, intercepts)[:, order].max(axis=1).min() - 1.0
        return slopes, intercepts

    def error(self, P: Population, w: Weights, slopes: Lines, intercepts: Lines) -> Float[np.ndarray, "*batch"] | float:
        """0-1 risk of hypotheses, with ties to the lowest label."""
        P, w = self._checked(P, w)
        predicted = self.scores(slopes, intercepts).argmax(axis=-1)
        return (1 - P[np.arange(len(w)), predicted]) @ w

    def best_error(self, P: Population, w: Weights) -> float:
        """``R*_01(H)``, exactly, by enumeration of ``label_sequences``."""
        P, w = self._checked(P, w)
        return float(((1 - P[np.arange(len(w)), self.label_sequences]) @ w).min())

    def comp_sum_risk(
        self, P: Population, w: Weights, tau: float, slopes: Lines, intercepts: Lines
    ) -> Float[np.ndarray, "*batch"] | float:
        """Risk of hypotheses under ``l_tau``."""
        P, w = self._checked(P, w)
        return conditional_risk(P, self.scores(slopes, intercepts), checked_tau(tau)) @ w

    def best_comp_sum_risk(self, P: Population, w: Weights, tau: float, *, starts: int = 8, seed: int = 0) -> float:
        """``R*_tau(H)`` from above: the least of many local minima and of the limits at infinity.

        For ``tau <= 1`` the risk is convex in the parameters (``S_y^{tau−1}`` is the exponential of a convex function)
        and one start would do. For larger tau it starts ``starts`` times at random, and at the best 0-1 hypotheses at
        two scales. Scores scaled to infinity cost ``R_01/(tau − 1)`` for tau > 1, and 0 for any tau if R_01 = 0: those
        limits count too.

        Raises ``ValueError`` for ``tau < 0`` or ``starts < 1``.
        """
        P, w = self._checked(P, w)
        tau = checked_tau(tau)
        whole_number("starts", starts, 1)
        errors = (1 - P[np.arange(len(w)), self.label_sequences]) @ w
        if errors.min() == 0:
            return 0.0
        free = 2 * (self.classes - 1)
        if tau <= 1:
            return min(self._descend(P, w, tau, start) for start in (np.zeros(free), np.full(free, 0.1)))
        rng = np.random.default_rng(seed)
        candidates = list(rng.normal(size=(starts, free)) * 3)
        spread = 1 / np.diff(self.points).min() if len(self.points) > 1 else 1.0
        for sequence in self.label_sequences[errors.argsort(kind="stable")[:4]]:
            lines = np.concatenate([part[1:] - part[0] for part in self.realise(sequence)])
            candidates += [lines * spread, lines * spread * 4]
        return min(errors.min() / (tau - 1), *(self._descend(P, w, tau, start) for start in candidates))

    def _descend(self, P: np.ndarray, w: np.ndarray, tau: float, start: np.ndarray) -> float:
        """A local minimum of the risk; label 0 has score 0, since a shift of all scores changes nothing."""

        def risk_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            slopes, intercepts = np.concatenate([np.zeros((2, 1)), parameters.reshape(2, -1)], axis=1)
            h = self.scores(slopes, intercepts)
            log_s = log_softmax(h, axis=-1)
            powers = w[:, None] * P * np.exp((tau - 1) * log_s)
            by_score = powers.sum(axis=1, keepdims=True) * np.exp(log_s) - powers
            gradient = np.stack([self.points @ by_score, by_score.sum(axis=0)])[:, 1:]
            return float(w @ conditional_risk(P, h, tau)), gradient.ravel()

        # A line search may try scores whose exponentials overflow; it turns back by itself.
        with np.errstate(over="ignore", invalid="ignore"):
            return float(minimize(risk_and_gradient, start, jac=True, method="BFGS", options={"gtol": 1e-9}).fun)

    def _checked(self, P: Population, w: Weights) -> tuple[np.ndarray, np.ndarray]:
        P, w = checked_distribution(P, "P"), finite_array("w", w, 1)
        if P.shape != (len(self.points), self.classes) or len(w) != len(P):
            raise ValueError(
                f"P and w must have shapes ({len(self.points)}, {self.classes}) and ({len(self.points)},), "
                f"got {P.shape} and {w.shape}"
            )
        if w.min() < 0 or abs(w.sum() - 1) > 1e-6:
            raise ValueError(f"w must be weights that sum to 1, got a minimum of {w.min()} and a sum of {w.sum()}")
        return P, w / w.sum()
