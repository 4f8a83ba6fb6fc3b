"""What TCM and OPIS must satisfy exactly, measured: each function returns deviations by name.

``loss_errors`` compares the loss and its gradient with pairs written out one by one; ``score_properties`` changes
embeddings in ways that OPIS must not notice; ``separated_properties`` looks at classes that TCM is satisfied with.
"""

import numpy as np
import torch

from neural.contrastive.tcm import threshold_consistent_margin_loss
from theory.contrastive import tcm as theory

__all__ = ["loss_errors", "score_properties", "separated_properties"]


def loss_errors(
    z: np.ndarray, labels: np.ndarray, memory: np.ndarray, memory_labels: np.ndarray,
    margins: tuple[float, float, float, float], device: str,
) -> dict[str, float]:  # fmt: skip
    batch, other = (torch.tensor(a, device=device, requires_grad=True) for a in (z, memory))
    y, y_other = (torch.tensor(a, device=device) for a in (labels, memory_labels))
    value = threshold_consistent_margin_loss(batch, y, *margins)
    chunked = threshold_consistent_margin_loss(batch, y, *margins, chunk_size=7)
    crossed = threshold_consistent_margin_loss(batch, y, *margins, other, y_other)
    (gradient,), (chunk_gradient,) = (torch.autograd.grad(loss, batch, retain_graph=True) for loss in (value, chunked))
    pairs = _pairs(z, labels, z, labels, itself=False)
    positives, negatives = (pairs[1][pairs[2] == kind] for kind in (True, False))
    by_positive, by_negative = theory.tcm_pair_gradient(
        positives if len(positives) else np.zeros(1), negatives if len(negatives) else np.zeros(1), *margins
    )
    soft = (positives <= margins[0]).any(), (negatives >= margins[1]).any()
    expected_sums = -margins[2] * soft[0], margins[3] * soft[1]
    sums = by_positive.sum() if len(positives) else 0.0, by_negative.sum() if len(negatives) else 0.0
    # The gradient at row i is the sum over its partners of the pair's derivative times the projected partner.
    by_hand = np.zeros_like(z)
    weights = np.zeros(len(pairs[1]))
    weights[pairs[2]], weights[~pairs[2]] = by_positive[: len(positives)], by_negative[: len(negatives)]
    units = z / np.linalg.norm(z, axis=1, keepdims=True)
    for (i, j), cosine, weight in zip(pairs[0], pairs[1], weights, strict=True):
        by_hand[i] += 2 * weight * (units[j] - cosine * units[i]) / np.linalg.norm(z[i])
    value, chunked, crossed = value.item(), chunked.item(), crossed.item()
    violated = (positives < margins[0]).any() or (negatives > margins[1]).any()
    weighted = threshold_consistent_margin_loss(batch, y, margins[0], margins[1])
    wrong = _by_definition(*_pairs(z, labels, z, memory_labels, itself=True)[1:], margins)
    right = _by_definition(*_pairs(z, labels, memory, memory_labels, itself=True)[1:], margins)
    return {
        "value by definition": abs(value - _by_definition(*pairs[1:], margins)),
        "numpy version": abs(value - theory.threshold_consistent_margin_loss(z, labels, *margins)),
        "in chunks": abs(value - chunked) + float((gradient - chunk_gradient).abs().max()),
        "with references": abs(crossed - right),
        "sums of pair gradients": max(abs(a - b) for a, b in zip(sums, expected_sums, strict=True)),
        "gradient by hand": float(np.abs(gradient.cpu().numpy() - by_hand).max()),
        "zero if and only if no margin is violated": float((weighted.item() > 0) != violated),
        "partners looked up in the batch": abs(crossed - wrong),
    }


def score_properties(rng: np.random.Generator, z: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    score = theory.exact_opis(z, labels)
    rotation = np.linalg.qr(rng.standard_normal((z.shape[1], z.shape[1])))[0]
    order, names = rng.permutation(len(z)), rng.permutation(labels.max() + 1)
    scales = rng.exponential(1.0, (len(z), 1)) + 0.1
    by_share = [theory.exact_opis(z, labels, eps=eps) for eps in (0.1, 0.25, 0.5, 0.75, 1.0)]
    on_grids = [theory.opis(z, labels, n_thresholds=count) for count in (11, 101, 1001)]
    turned = _turned_classes(rng, int(labels.max()) + 1, int((labels == 0).sum()))
    return {
        "OPIS / (1/4)": 4 * score,
        "smallest OPIS": score,
        "extreme OPIS / (1/4)": 4 * _half_perfect_half_useless(rng),
        "rotation": abs(theory.exact_opis(z @ rotation, labels) - score),
        "relabelling and order": abs(theory.exact_opis(z[order], names[labels[order]]) - score),
        "length": abs(theory.exact_opis(z * scales, labels) - score),
        "equal pair distributions": theory.exact_opis(*turned),
        "largest rise of eps-OPIS with eps": float(np.diff(by_share).max()),
        "largest OPIS less eps-OPIS": float(max(score - each for each in by_share)),
        **{f"grid of {n}, relative error": abs(g / score - 1) for n, g in zip((11, 101, 1001), on_grids, strict=True)},
    }


def separated_properties(rng: np.random.Generator, classes: int, per_class: int) -> dict[str, float]:
    """Classes that TCM is satisfied with: consistency between the margins, and in the calibration range."""
    labels = np.repeat(np.arange(classes), per_class)
    # Some centres huddle together, so that false accepts are shared unevenly.
    huddle = int(rng.integers(2, classes))
    centres = (
        np.eye(classes) + 0.4 * (np.arange(classes) < huddle)[:, None] * (np.arange(classes) < huddle) / huddle**0.5
    )
    z = centres[labels] + 0.02 * rng.random((classes, 1))[labels] * rng.standard_normal((len(labels), classes))
    units = z / np.linalg.norm(z, axis=1, keepdims=True)
    cosines, same = units @ units.T, labels[:, None] == labels
    margin_pos, margin_neg = float(cosines[same].min()), float(cosines[~same].max())
    band = np.sqrt(2 - 2 * np.linspace(margin_pos, margin_neg, 23)[1:-1])
    low, high = theory.calibration_range(z, labels)
    score = theory.exact_opis(z, labels)
    return {
        "TCM of separated classes": theory.threshold_consistent_margin_loss(
            z, labels, margin_pos - 1e-9, margin_neg + 1e-9
        ),
        "least utility between the margins": float(theory.utility_curves(z, labels, band).min()),
        "utility between exchanged margins": float(theory.utility_curves(z, labels, np.array([low, high])).min()),
        "range's distance beyond the margins": low - float(band.max()),
        "OPIS of separated classes": score,
        "OPIS / f(1 - f), separated": score / theory.separated_opis_bound(0.1),
    }  # fmt: skip


def _pairs(
    z: np.ndarray, labels: np.ndarray, memory: np.ndarray, memory_labels: np.ndarray, *, itself: bool
) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:
    """Ordered pairs, their cosines, and whether they are of one class."""
    index = [(i, j) for i in range(len(z)) for j in range(len(memory)) if itself or i != j]
    cosines = [float(z[i] @ memory[j] / np.linalg.norm(z[i]) / np.linalg.norm(memory[j])) for i, j in index]
    return index, np.array(cosines), np.array([labels[i] == memory_labels[j] for i, j in index])


def _by_definition(cosines: np.ndarray, same: np.ndarray, margins: tuple[float, float, float, float]) -> float:
    low = [margins[0] - s for s, positive in zip(cosines, same, strict=True) if positive and s <= margins[0]]
    high = [s - margins[1] for s, positive in zip(cosines, same, strict=True) if not positive and s >= margins[1]]
    return sum(w * sum(part) / len(part) for w, part in ((margins[2], low), (margins[3], high)) if part)


def _turned_classes(rng: np.random.Generator, classes: int, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Class k is class 0 with coordinates shifted k times: all have the same distances to themselves and the rest."""
    first = rng.standard_normal((per_class, classes)) + 3 * np.eye(classes)[0]
    return np.concatenate([np.roll(first, k, axis=1) for k in range(classes)]), np.repeat(np.arange(classes), per_class)


def _half_perfect_half_useless(rng: np.random.Generator) -> float:
    """OPIS where half of the classes are points of their own, and the other half share two points far apart.

    Utilities are 1 and 0 throughout the calibration range, which is made of the second half's pairs: 1/4 is attained.
    """
    perfect = np.repeat(np.eye(42)[:40], 2, axis=0)
    useless = np.tile(np.eye(42)[40:], (40, 1))
    z = np.concatenate([perfect, useless])
    return theory.exact_opis(z + 1e-3 * rng.standard_normal(z.shape) * (np.arange(len(z)) >= 80)[:, None],
                             np.repeat(np.arange(80), 2))  # fmt: skip
