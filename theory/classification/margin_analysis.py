"""Analysis of a binary margin loss phi(z), z = y f(x): is it calibrated, and at what rate?

With eta = P(y = 1 | x) = (1 + theta)/2 and C(eta, z) = eta phi(z) + (1 − eta) phi(−z)

    H(eta) = inf_z C(eta, z),      H^-(eta) = inf_{z <= 0} C(eta, z),      psi~(theta) = H^- − H

is the least regret of a wrong or tied decision (z = 0 may be broken either way, so it counts as wrong). phi is
classification-calibrated iff psi~ > 0 on (0, 1]. The lower convex envelope psi of psi~ bounds the 0-1 excess,
psi(R_01 − R_01*) <= R_phi − R_phi*. Scores bounded by B: the same infima over |z| <= B.

    analysis = analyse_margin_loss(lambda z: np.log1p(np.exp(-z)))
    analysis.calibrated, analysis.inverse(0.02), analysis.counterexample, analysis.notes

How: phi is tabulated once on a grid that reaches 10^12; per theta and half line all local minima that can matter are
refined together, by parabolas for smooth minima and intersections of secants for kinks. The table also tells how the
transform depends on the horizon, which separates an infimum that is approached at one infinity (harmless) from one
that is approached at both (not calibrated), and from a loss that is unbounded below. A search is not a proof:
``prove`` gives one where phi is a sympy expression.

Source: Bartlett, Jordan and McAuliffe (2006), *Convexity, Classification, and Risk Bounds*; bounded scores and the
numerical method are derived here.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from theory.classification.calibration_curve import (
    Counterexample,
    inverse_of_envelope,
    local_exponent,
    lower_convex_envelope,
    lower_hull,
    rising_zeros,
    running_minimum,
)
from theory.classification.line_refinement import refined_minima
from theory.validation import finite_array, in_range, whole_number

__all__ = ["MarginAnalysis", "analyse_margin_loss", "margin_grid", "margin_values"]

Curve = Float[np.ndarray, " points"]

_HORIZONS = (30.0, 1e3, 1e6, 1e12)
_STEP = 0.03  # of the grid, in asinh z
_HUGE = 1e300  # stands for an infinite loss: 0 · inf is 0 here, an event of probability 0
_MODEST = 30.0  # beyond it NaN counts as an overflow, not as a fault of the loss
_MATRIX_ROWS = 2000  # above, the hull of the risk curve picks the grid nodes
_RATE_THETAS = (1e-3, 2e-3)


@dataclass(frozen=True)
class MarginAnalysis:
    """What `analyse_margin_loss` found. ``raw``, ``envelope`` and ``monotone`` are psi~, psi and delta on ``theta``.

    ``status`` is *numerical* (calibrated, by search), *proved* (after ``prove``), *counterexample*, *unbounded below*
    or *undecided* (the horizons of the search disagree). ``local_exponent`` is the log-log slope of psi~ near 0: 1 for
    a linear, 2 for a quadratic rate. ``notes`` say what a reader should know, ``proof`` holds the certificates.
    """

    theta: Curve
    raw: Curve
    envelope: Curve
    monotone: Curve
    status: str
    counterexample: Counterexample | None
    notes: tuple[str, ...]
    local_exponent: float
    bound: float
    proof: Any = None
    loss: Callable[..., Any] = dataclasses.field(repr=False, compare=False, default=np.asarray)
    expression: Any = dataclasses.field(repr=False, compare=False, default=None)
    variable: Any = dataclasses.field(repr=False, compare=False, default=None)

    @property
    def calibrated(self) -> bool | None:
        """True, False, or None where the search could not tell (see ``status``)."""
        return {"numerical": True, "proved": True, "counterexample": False}.get(self.status)

    def transform(self, theta: Float[np.ndarray, "..."] | float) -> Any:
        """psi~ at any theta in [0, 1], computed afresh. Raises ``ValueError`` for other theta."""
        values = _unit_interval("theta", theta)
        return _Search(self.loss, self.bound).transforms(values.ravel())[0].reshape(values.shape)[()]

    def inverse(self, t: Float[np.ndarray, "..."] | float) -> Any:
        """The largest 0-1 excess that a surrogate excess of ``t`` allows: ``psi^{-1}(t)``, 1 above psi(1).

        Between the nodes of ``theta`` the transform is computed afresh where psi follows it. 1 everywhere if the
        loss is not calibrated. Raises ``ValueError`` for negative t, or if there is no transform.
        """
        if self.status == "unbounded below":
            raise ValueError("t has no inverse: the loss is unbounded below and has no transform")
        if self.calibrated is False and not (self.envelope > 0).any():
            return np.ones_like(finite_array("t", t))[()]
        try:
            return inverse_of_envelope(t, self.theta, self.envelope, self.raw, self.transform)
        except ValueError as error:
            raise ValueError(str(error).replace("value", "t", 1)) from None

    def witness(self, theta: float) -> tuple[np.ndarray, np.ndarray]:
        """``(p, scores)`` that attain psi~(theta): p = ((1 + theta)/2, (1 − theta)/2), margin scores[0] − scores[1].

        Where the infimum is approached at infinity the margin is very large. Raises ``ValueError`` for theta outside
        [0, 1].
        """
        theta = in_range("theta", theta, 0.0, 1.0)
        wrong = -float(_Search(self.loss, self.bound).transforms(np.array([theta]))[1][0])
        return np.array([(1 + theta) / 2, (1 - theta) / 2]), np.array([wrong, 0.0])

    def regret(self, theta: float, margin: float) -> float:
        """``C(eta, margin) − H(eta)`` at eta = (1 + theta)/2. Raises ``ValueError`` for theta outside [0, 1]."""
        theta = in_range("theta", theta, 0.0, 1.0)
        z = finite_array("margin", margin, 0)
        values = np.clip(margin_values(self.loss, np.array([float(z), -float(z)])), -_HUGE, _HUGE)
        return float((1 + theta) / 2 * values[0] + (1 - theta) / 2 * values[1]) - float(self.minimal_risk(theta))

    def minimal_risk(self, theta: Float[np.ndarray, "..."] | float) -> Any:
        """H(eta) at eta = (1 + theta)/2. Raises ``ValueError`` for theta outside [0, 1]."""
        values = _unit_interval("theta", theta)
        return _Search(self.loss, self.bound).transforms(values.ravel())[2].reshape(values.shape)[()]

    def compare(self, closed_form: Callable[[np.ndarray], Any]) -> float:
        """The largest distance of ``raw`` from a closed form of psi~ on ``theta``."""
        return float(np.abs(self.raw - np.asarray(closed_form(self.theta))).max())

    def prove(self) -> "MarginAnalysis":
        """This analysis with a proof over the whole domain instead of a search, where one is found.

        Needs a loss given as a sympy expression. Raises ``ValueError`` for a callable.
        """
        from theory.classification.calibration_proofs import prove_margin_loss

        if self.expression is None:
            raise ValueError("phi must be a sympy expression for a proof, got a callable")
        proof = prove_margin_loss(self.expression, self.variable, bound=self.bound, hint=self.counterexample)
        if proof.calibrated is None:
            note = f"no proof was found: {proof.reason}"
            return dataclasses.replace(self, proof=proof, notes=(*self.notes, note))
        if proof.calibrated:
            return dataclasses.replace(self, proof=proof, status="proved", counterexample=None)
        example = proof.counterexample or self.counterexample
        return dataclasses.replace(self, proof=proof, status="counterexample", counterexample=example)

    def sentence(self) -> str:
        """The answer in one sentence."""
        domain = "" if np.isinf(self.bound) else f" with margins bounded by {self.bound:g}"
        if self.status == "unbounded below":
            return f"unbounded below{domain}: the loss has no transform"
        if self.counterexample is not None:
            p, scores = self.counterexample.p, self.counterexample.scores
            return (
                f"not calibrated{domain}: at P(y=1) = {p[0]:.6g} the margin {scores[0] - scores[1]:.6g} is wrong or "
                f"tied and has regret {max(self.counterexample.regret, 0.0):.1g}"
            )
        if self.status == "undecided":
            return f"undecided{domain}: " + "; ".join(self.notes)
        ending = f", psi(1) = {self.envelope[-1]:.6g}; {self.status}"
        if abs(self.local_exponent - 2) < 0.05:
            constant = self.transform(_RATE_THETAS[0]) / _RATE_THETAS[0] ** 2
            rate = f"quadratic: excess error is about sqrt({1 / constant:.4g} · excess risk) when small"
        elif abs(self.local_exponent - 1) < 0.05:
            constant = self.transform(_RATE_THETAS[0]) / _RATE_THETAS[0]
            rate = f"linear: excess error is about {1 / constant:.4g} · excess risk when small"
        else:
            rate = f"psi~ grows like theta^{self.local_exponent:.3g}"
        return f"calibrated{domain}, {rate}{ending}"


def analyse_margin_loss(
    phi: Any,
    *,
    bound: float = float("inf"),
    thetas: int | Float[np.ndarray, " points"] = 201,
    variable: Any = None,
) -> MarginAnalysis:
    """Calibration, transform and counterexample of a margin loss.

    ``phi`` maps an array of margins to losses of the same shape, or is a sympy expression in ``variable`` (by default
    its only symbol). ``bound`` limits |margin|. ``thetas`` is a number of equidistant points of [0, 1] or increasing
    points, to which 0 and 1 are added, since the envelope needs both ends.

    psi~ is accurate to about 1e-12 times the scale of the loss; where an infimum is approached at infinity the error
    is the loss's distance from it at 10^12. A dip narrower than the grid, 0.03 in asinh z, may be missed; one that only
    every other node sees is noted.

    Raises ``ValueError`` for a loss of the wrong shape, not real, or NaN at |z| <= 30 (beyond, NaN counts as an
    overflow to infinity), for ``bound`` not above 0, or ``thetas`` not increasing in [0, 1].

    >>> hinge = analyse_margin_loss(lambda z: np.maximum(0, 1 - z))
    >>> hinge.calibrated, hinge.compare(lambda theta: theta) < 1e-12
    (True, True)
    >>> analyse_margin_loss(lambda z: np.maximum(0, -z)).counterexample.scores
    (0.0, 0.0)
    """
    expression = None
    if hasattr(phi, "free_symbols"):
        expression = phi
        phi, variable = _numeric(phi, variable)
    elif not callable(phi):
        raise ValueError(f"phi must be a callable or a sympy expression, got {phi!r:.60}")
    limit = _checked_bound(bound)
    theta = _checked_thetas(thetas)
    search = _Search(phi, limit)
    everywhere = np.concatenate([theta, np.array(_RATE_THETAS)])
    raw, wrong, smallest = search.transforms(everywhere)
    count = len(theta)
    exponent = local_exponent(np.array(_RATE_THETAS), raw[count:])
    raw, wrong, smallest = raw[:count], wrong[:count], smallest[:count]
    status, notes = search.verdict(everywhere, theta, raw)
    if status == "unbounded below":
        raw = np.full_like(raw, np.nan)
        envelope = monotone = raw
        exponent = float("nan")
    else:
        envelope, monotone = lower_convex_envelope(theta, raw), running_minimum(raw)
    counterexample = search.counterexample(theta, raw, wrong, smallest) if status == "counterexample" else None
    return MarginAnalysis(
        theta, raw, envelope, monotone, status, counterexample, notes, exponent, limit, None, phi, expression, variable
    )


def margin_grid(bound: float = float("inf")) -> Curve:
    """Nodes in [0, bound] on which a loss is tabulated: uniform in asinh z, crowded at 0 and at a finite bound.

    Without a bound they go on to 10^12. Raises ``ValueError`` for a bound that is not above 0.

    >>> bool(margin_grid(2.0).max() == 2.0)
    True
    """
    limit = _checked_bound(bound)
    near = np.array([0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3])
    if np.isinf(limit):
        body = np.sinh(np.arange(0.002, np.arcsinh(_HORIZONS[2]), _STEP))
        nodes = np.concatenate([near, body, np.geomspace(_HORIZONS[2], _HORIZONS[3], 25), _HORIZONS])
    else:
        body = np.sinh(np.linspace(0.0, np.arcsinh(limit), max(202, int(np.arcsinh(limit) / _STEP))))
        nodes = np.concatenate([near * min(1.0, limit), body[1:-1], limit - near * min(1.0, limit)])
    return np.unique(nodes)


def margin_values(phi: Callable[..., Any], z: Curve) -> Curve:
    """``phi(z)``, checked: of the same shape, real, and a number wherever |z| <= 30. NaN beyond becomes infinity.

    >>> margin_values(lambda z: -z, np.array([1.0, 2.0])).tolist()
    [-1.0, -2.0]
    """
    z = finite_array("z", z, 1)
    if not callable(phi):
        raise ValueError(f"phi must be a callable, got {phi!r:.60}")
    with np.errstate(all="ignore"):
        values = np.asarray(phi(z))
    if values.shape != z.shape:
        raise ValueError(f"phi must return the shape of its argument, {z.shape}, got {values.shape}")
    if values.dtype.kind not in "fiub":
        raise ValueError(f"phi must return real numbers, got {values.dtype}")
    values = values.astype(np.float64)
    missing = np.isnan(values)
    if missing.any():
        if (missing & (np.abs(z) <= _MODEST)).any():
            where = z[missing & (np.abs(z) <= _MODEST)][0]
            raise ValueError(f"phi must not be NaN at finite margins, but is at {where:g}")
        values = np.where(missing, np.inf, values)
    return values


class _Search:
    """The infima of ``w_1 phi(z) + w_2 phi(−z)`` over 0 <= z <= bound, for many weights at once.

    Both halves are one problem: with weights (eta, 1 − eta) it is the right half of C, with (1 − eta, eta) the wrong
    one, mirrored.
    """

    def __init__(self, phi: Callable[..., Any], bound: float):
        self.phi, self.bound = phi, bound
        self.nodes = margin_grid(bound)
        self.curve = self._pairs(self.nodes)
        modest = self.curve[:, self.nodes <= 1.0]
        spread = float(modest.max() - modest.min())
        self.scale = spread if 0 < spread < _HUGE else 1.0
        self.sample: np.ndarray = np.zeros(0, dtype=int)  # of theta: where horizons and dips were looked at
        self.dips: np.ndarray = np.zeros(0, dtype=bool)
        self.horizons: np.ndarray = np.zeros((0, 0))
        self.far: np.ndarray = np.zeros(0, dtype=bool)

    def transforms(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """psi~, the wrong margin that attains H^- (as z >= 0), and H."""
        right, wrong = (1 + theta) / 2, (1 - theta) / 2
        weights = np.stack([np.concatenate([right, wrong]), np.concatenate([wrong, right])], axis=1)
        values, places = self._minimum(weights)
        count = len(theta)
        best, worst = values[:count], values[count:]
        smallest = np.minimum(best, worst)
        # At theta = 0 both halves are the same function.
        raw = np.where(theta == 0, 0.0, worst - smallest)
        return raw, places[count:], smallest

    def verdict(self, everywhere: np.ndarray, theta: np.ndarray, raw: np.ndarray) -> tuple[str, tuple[str, ...]]:
        notes = []
        if np.isinf(self.bound):
            count = len(self.sample)
            at_theta, minima = everywhere[self.sample], self.horizons
            falls = -np.diff(minima, axis=1) / np.diff(np.log10(_HORIZONS))
            # A bounded infimum is approached ever more slowly per decade; log tails keep their pace.
            falling = (falls[:, 2] > 1e-6 * self.scale) & (falls[:, 2] >= 0.5 * falls[:, 1])
            if falling.any() or (minima < -_HUGE / 2).any():
                return "unbounded below", ("the conditional risk falls without end as the margin grows",)
            by_horizon = minima[count:] - np.minimum(minima[:count], minima[count:])
            positive = at_theta > 0
            far, both = positive & self.far[:count], positive & self.far[:count] & self.far[count:]
            if far.any():
                first = at_theta[far].min()
                notes.append(f"for theta >= {first:.4g} the infimum lies beyond margin 30 or is approached at infinity")
            if both.any():
                notes.append("the wrong half approaches its infimum at infinity too: horizons were compared")
            vanishing = positive & (by_horizon[:, 3] < 0.9 * by_horizon[:, 2])
            vanishing &= by_horizon[:, 2] > 1e-9 * self.scale
        else:
            vanishing = np.zeros(1, dtype=bool)
        if self.dips.any():
            notes.append("a dip as narrow as the grid was met: the transform may depend on what the grid misses")
        if rising_zeros(raw, theta, self.scale).any():
            return "counterexample", tuple(notes)
        if vanishing.any():
            notes.append("the transform keeps falling as the horizon grows from 1e6 to 1e12")
            return "undecided", tuple(notes)
        return "numerical", tuple(notes)

    def counterexample(
        self, theta: np.ndarray, raw: np.ndarray, wrong: np.ndarray, smallest: np.ndarray
    ) -> Counterexample:
        """The theta in the middle of those that fail, with a tied margin if that will do."""
        failing = np.flatnonzero(rising_zeros(raw, theta, self.scale))
        chosen = failing[len(failing) // 2]
        eta = (1 + theta[chosen]) / 2
        tie = self.curve[0, 0]
        tolerance = 1e-9 * self.scale
        margin = 0.0 if tie - smallest[chosen] <= tolerance else -float(wrong[chosen])
        both = self._pairs(np.array([margin]))
        regret = float(eta * both[0, 0] + (1 - eta) * both[1, 0] - smallest[chosen])
        note = "the margin is at the far end of the grid: the infimum is approached there" if margin < -_MODEST else ""
        return Counterexample((float(eta), float(1 - eta)), (margin, 0.0), regret, note)

    def _pairs(self, z: np.ndarray) -> np.ndarray:
        values = margin_values(self.phi, np.concatenate([z, -z]))
        return np.clip(values, -_HUGE, _HUGE).reshape(2, len(z))

    def _minimum(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, cells = self._seeds(weights)
        window = np.clip(cells[:, None] + np.arange(-2, 3), 0, len(self.nodes) - 1)
        x = self.nodes[window]
        chosen = weights[rows]
        f = chosen[:, :1] * self.curve[0][window] + chosen[:, 1:] * self.curve[1][window]

        def risk(active: np.ndarray, trial: np.ndarray) -> np.ndarray:
            pairs = self._pairs(trial.ravel()).reshape(2, *trial.shape)
            return chosen[active, :1] * pairs[0] + chosen[active, 1:] * pairs[1]

        values, places = refined_minima(risk, x, f, 1e-15 * self.scale)
        if len(rows) == len(weights):
            return values, places
        order = np.lexsort((values, rows))
        first = order[np.unique(rows[order], return_index=True)[1]]
        return values[first], places[first]

    def _seeds(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row, node) of every local minimum on the grid that could hold the global one after refinement."""
        if len(weights) > 2 * _MATRIX_ROWS:
            return self._seeds_from_hull(weights)
        risk = weights @ self.curve
        lowest = risk.min(axis=1)
        self._record(risk, np.arange(len(risk) // 2))
        inner, before, after = risk[:, 1:-1], risk[:, :-2], risk[:, 2:]
        rows, cells = np.nonzero((inner < before) & (inner <= after))
        cells += 1
        here = risk[rows, cells]
        # What a kink between the nodes could still gain.
        gain = np.maximum(risk[rows, cells - 1], risk[rows, cells + 1]) - here
        kept = here - gain <= lowest[rows]
        best = risk.argmin(axis=1)
        ends = np.flatnonzero((best == 0) | (best == len(self.nodes) - 1) | (risk[np.arange(len(best)), best] == 0))
        pairs = np.unique(
            np.concatenate([rows[kept] * len(self.nodes) + cells[kept], np.arange(len(best)) * len(self.nodes) + best])
            if len(ends) or kept.sum() != len(weights)
            else rows[kept] * len(self.nodes) + cells[kept]
        )
        return pairs // len(self.nodes), pairs % len(self.nodes)

    def _is_lowest(self, weights: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Whether the risk at a node is not above that at its neighbours."""
        around = np.clip(node[:, None] + np.array([-1, 0, 1]), 0, len(self.nodes) - 1)
        risk = weights[:, :1] * self.curve[0][around] + weights[:, 1:] * self.curve[1][around]
        return risk[:, 1] <= np.minimum(risk[:, 0], risk[:, 2])

    def _record(self, risk: np.ndarray, sample: np.ndarray) -> None:
        """What the table says about horizons and about dips as narrow as the grid."""
        self.sample = sample
        if np.isinf(self.bound):
            ends = np.searchsorted(self.nodes, _HORIZONS, side="right")
            parts = np.minimum.reduceat(risk, np.concatenate([[0], ends[:-1]]), axis=1)
            self.horizons = np.minimum.accumulate(parts, axis=1)
            self.far = self.horizons[:, 0] > self.horizons[:, -1] + 1e-13 * self.scale
        best, coarse = risk.argmin(axis=1), 2 * risk[:, ::2].argmin(axis=1)
        rows = np.arange(len(risk))
        self.dips = (np.abs(best - coarse) > 2) & (risk[rows, coarse] > risk[rows, best] + 1e-6 * self.scale)

    def _seeds_from_hull(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vertex of the lower-left hull of the risk curve that each pair of weights selects, and its neighbours
        where the hull jumps over a part of the curve."""
        order = np.lexsort((self.curve[1], self.curve[0]))
        x, y = self.curve[0][order], self.curve[1][order]
        distinct = np.concatenate([[True], np.diff(x) > 0])
        order, x, y = order[distinct], x[distinct], y[distinct]
        vertices = np.array(lower_hull(x, y))
        with np.errstate(divide="ignore", over="ignore"):
            slopes = np.diff(y[vertices]) / np.diff(x[vertices])
            ratio = -weights[:, 0] / weights[:, 1]
        position = np.searchsorted(slopes, ratio)
        nodes = order[vertices]
        rows = np.arange(len(weights))
        found = [(rows, nodes[position])]
        for step in (-1, 1):
            other = np.clip(position + step, 0, len(nodes) - 1)
            jumps = (np.abs(nodes[other] - nodes[position]) > 2) & self._is_lowest(weights, nodes[other])
            found.append((rows[jumps], nodes[other][jumps]))
        sample = np.linspace(0, len(weights) // 2 - 1, 201).astype(int)
        self._record(weights[np.concatenate([sample, sample + len(weights) // 2])] @ self.curve, sample)
        return np.concatenate([r for r, _ in found]), np.concatenate([n for _, n in found])


def _numeric(expression: Any, variable: Any) -> tuple[Callable[..., Any], Any]:
    import sympy

    symbols = sorted(expression.free_symbols, key=lambda s: s.name)
    if variable is None:
        if len(symbols) != 1:
            raise ValueError(f"variable must be given unless phi has exactly one symbol, phi has {symbols}")
        variable = symbols[0]
    if any(symbol != variable for symbol in symbols):
        raise ValueError(f"variable must be the only symbol of phi, got {variable} and phi has {symbols}")
    function = sympy.lambdify(variable, expression, "numpy")

    def phi(z: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.asarray(function(z)), np.shape(z))

    return phi, variable


def _checked_bound(bound: float) -> float:
    if isinstance(bound, bool) or not isinstance(bound, int | float | np.number) or not bound > 0:
        raise ValueError(f"bound must be a number above 0 (infinity allowed), got {bound!r:.60}")
    return float(bound)


def _checked_thetas(thetas: Any) -> np.ndarray:
    if np.ndim(thetas) == 0:
        return np.linspace(0.0, 1.0, whole_number("thetas", thetas, 2))
    given = finite_array("thetas", thetas, 1)
    if given.min() < 0 or given.max() > 1 or (np.diff(given) <= 0).any():
        raise ValueError(f"thetas must increase in [0, 1], got {given!r:.60}")
    return np.union1d(given, [0.0, 1.0])


def _unit_interval(name: str, value: Any) -> np.ndarray:
    values = finite_array(name, value)
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"{name} must be in [0, 1], got {values.min()} … {values.max()}")
    return values
