"""Valid calls of theory.classification.calibration_proofs."""

import sympy

from theory.classification.multiclass_forms import max_form

Z, T = sympy.symbols("z theta")
HINGE = sympy.Max(0, 1 - Z)
CALLS = {
    "prove_margin_loss": {"phi": HINGE, "bound": 2.0},
    "certify_transform": {"phi": 1 / (1 + sympy.exp(Z)) ** 2, "transform": T**2 / 4, "candidate": T, "max_boxes": 100},
    "affine_pieces": {"phi": HINGE},
    "prove_counterexample": {"terms": max_form(HINGE).exact_terms(3), "p": (0.4, 0.35, 0.25), "scores": (0, 0, 0)},
    "certify_bounded_ce_tie": {"p": (0.41, 0.39, 0.2), "bound": 0.25},
}
ACCEPTED = {("prove_margin_loss", "bound", "infinite"): "margins without a bound"}
