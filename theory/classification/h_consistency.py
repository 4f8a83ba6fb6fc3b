"""Consistency analyser: bring your own loss, and learn what driving it down does for the error.

Given a margin loss phi(z) or a loss of score vectors, as a function on arrays or a sympy expression, it answers

* is the loss calibrated, so that its minimum has the Bayes error? If not: a distribution p and scores to check by hand;
* what does a wrong decision cost? The calibration function, its convex envelope psi and its inverse:
  psi(R_01 − R_01*) <= R_phi − R_phi*;
* what if scores are bounded (clipping, cosine logits, linear models with bounded norm)? Give ``bound``;
* is there a proof? ``prove`` certifies it over the whole domain in interval arithmetic, or makes the counterexample
  exact.

    analysis = analyse_margin_loss(lambda z: np.log1p(np.exp(-z)))
    print(analysis.sentence(), analysis.inverse(0.02))
    z = sympy.Symbol("z")
    analyse_margin_loss(1 / (1 + sympy.exp(z)) ** 2).prove().proof.explain()
    svm = analyse_multiclass_loss(sum_form(sympy.Max(0, 1 - z)), classes=3)
    print(svm.sentence()); svm.prove().proof.explain()
    compare_with_known(analysis)                                   # every closed form of the package

The binary search is in ``margin_analysis``, the multiclass one in ``multiclass_analysis``, forms of score losses in
``multiclass_forms``, proofs in ``calibration_proofs``, closed forms and score bounds in ``known_calibration``.

Sources: Bartlett, Jordan and McAuliffe (2006), *Convexity, Classification, and Risk Bounds*; Tewari and Bartlett
(2007), *On the Consistency of Multiclass Classification Methods*; Steinwart (2007), *How to Compare Different Loss
Functions and Their Risks*; Awasthi, Mao, Mohri and Zhong (2022), *H-Consistency Bounds for Surrogate Loss Minimizers*.
"""

from collections.abc import Callable, Iterator

import numpy as np

from theory.classification.calibration_curve import Counterexample
from theory.classification.calibration_proofs import (
    CalibrationProof,
    SubgradientProof,
    TieProof,
    certify_bounded_ce_tie,
    certify_transform,
)
from theory.classification.known_calibration import (
    KnownMarginLoss,
    KnownMulticlassLoss,
    bounded_ce_ambiguity,
    bounded_ce_calibration,
    compare_with_known,
    linear_score_bound,
    margin_loss_table,
    multiclass_loss_table,
    one_hidden_layer_score_bound,
    small_beta_constant,
    weston_watkins_dead_zone,
)
from theory.classification.margin_analysis import MarginAnalysis, analyse_margin_loss
from theory.classification.multiclass_analysis import MulticlassAnalysis, analyse_multiclass_loss
from theory.classification.multiclass_forms import (
    comp_sum_form,
    constrained_form,
    max_form,
    one_vs_rest_form,
    sum_form,
)
from theory.fuzz import Bound

__all__ = [
    "CalibrationProof",
    "Counterexample",
    "KnownMarginLoss",
    "KnownMulticlassLoss",
    "MarginAnalysis",
    "MulticlassAnalysis",
    "SubgradientProof",
    "TieProof",
    "analyse_margin_loss",
    "analyse_multiclass_loss",
    "bounded_ce_ambiguity",
    "bounded_ce_calibration",
    "certify_bounded_ce_tie",
    "certify_transform",
    "comp_sum_form",
    "compare_with_known",
    "constrained_form",
    "linear_score_bound",
    "margin_loss_table",
    "max_form",
    "multiclass_loss_table",
    "one_hidden_layer_score_bound",
    "one_vs_rest_form",
    "small_beta_constant",
    "sum_form",
    "weston_watkins_dead_zone",
]

# The best margin within |z| <= B, as a function of theta and B.
_BEST: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "hinge": lambda t, B: np.minimum(B, 1.0),
    "logistic": lambda t, B: np.minimum(B, 2 * np.arctanh(t)),
    "exponential": lambda t, B: np.minimum(B, np.arctanh(t)),
    "squared hinge": lambda t, B: np.minimum(B, t),
    "sigmoid": lambda t, B: B,
    "Savage": lambda t, B: np.minimum(B, 2 * np.arctanh(t)),
}


def _sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    reach = 10.0 ** rng.uniform(-1, 1, count)
    return {"theta": rng.uniform(0, 0.999, count), "reach": reach, "z": -reach * rng.random(count) ** 3}


def _bounds() -> Iterator[Bound]:
    for known in margin_loss_table():
        if known.name not in _BEST:
            continue

        def least(theta: np.ndarray, reach: np.ndarray, z: np.ndarray, known: KnownMarginLoss = known) -> np.ndarray:
            assert known.closed_form is not None
            return known.closed_form(theta, reach)

        def regret(theta: np.ndarray, reach: np.ndarray, z: np.ndarray, known: KnownMarginLoss = known) -> np.ndarray:
            best = _BEST[known.name](theta, reach)
            mixed = [(1 + theta) / 2 * known.loss(s) + (1 - theta) / 2 * known.loss(-s) for s in (z, best)]
            return mixed[0] - mixed[1]

        yield Bound(
            f"regret of a wrong margin within B at least psi~_B, {known.name}", "derived here", least, regret, _sampler
        )


BOUNDS = list(_bounds())
