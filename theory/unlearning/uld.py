"""Arithmetic of logits: what is left of a distribution after an assistant's is divided out of it.

ULD subtracts the logits of an assistant, which remembers what is to be forgotten, from those of the target:

    p ∝ p_t · p_a^(−α),        log p(v)/p(u) = log p_t(v)/p_t(u) − α log p_a(v)/p_a(u)

* Where the assistant is uniform, the target is untouched, for every α.
* Where the assistant is the target, p ∝ p_t^(1−α): uniform at α = 1.
* Where the assistant is nearly uniform, so is the change small: with ε = max_v |log p_a(v) + log V|,

      |log p(v) − log p_t(v)| ≤ 2αε        for every v,

  because p_a^(−α) and the normaliser both lie in V^α · [e^(−αε), e^(αε)]. So KL(p_t ‖ p) ≤ 2αε: what the assistant does
  not know costs no utility.

    p = combined(p_target, p_assistant, alpha=0.8)
    deviation_bound(p_assistant, alpha=0.8)

Source: Ji, Liu, Zhang, Liu, Kompella, Liu and Chang (2024), *Reversing the forget–retain objectives: an efficient LLM
unlearning framework from logit difference*, combination rule; the identities and the bound are derived here.
"""

import numpy as np
from jaxtyping import Float

from theory.fuzz import Bound
from theory.validation import at_least, probabilities, same_shape

__all__ = ["BOUNDS", "combined", "deviation_bound"]

Distributions = Float[np.ndarray, "*rows words"]


def combined(p_target: Distributions, p_assistant: Distributions, alpha: float = 0.8) -> Distributions:
    """``p ∝ p_target · p_assistant^(−alpha)`` along the last axis.

    Raises ``ValueError`` for what is no distribution, shapes that differ, an assistant with a probability of 0, or
    alpha below 0.

    >>> combined(np.array([0.9, 0.1]), np.array([0.9, 0.1]), alpha=1.0)
    array([0.5, 0.5])
    """
    target, assistant = probabilities("p_target", p_target), _positive(p_assistant)
    same_shape(("p_target", "p_assistant"), (target, assistant))
    at_least("alpha", alpha, 0.0)
    with np.errstate(divide="ignore"):
        logits = np.log(target) - alpha * np.log(assistant)
    return np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))


def deviation_bound(p_assistant: Distributions, alpha: float = 0.8) -> Float[np.ndarray, "*rows"]:
    """``2 α max_v |log p_assistant(v) + log V|``: most that any log-probability can change.

    Raises ``ValueError`` as ``combined``.

    >>> float(deviation_bound(np.full(4, 0.25)))
    0.0
    """
    assistant = _positive(p_assistant)
    at_least("alpha", alpha, 0.0)
    return np.asarray(2 * alpha * np.abs(np.log(assistant * assistant.shape[-1])).max(-1))


def _positive(p_assistant: Distributions) -> np.ndarray:
    assistant = probabilities("p_assistant", p_assistant)
    if assistant.min() <= 0:
        raise ValueError("p_assistant must be above 0 everywhere, or nothing could be divided by it")
    return assistant


def _instances(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Random pairs of distributions over six words, from nearly uniform to nearly certain."""
    sharpness = 10.0 ** rng.uniform(-2, 1, size=(2, count, 1))
    logits = sharpness * rng.normal(size=(2, count, 6))
    # An assistant of two values meets the extremes of the proof.
    two = rng.random(count) < 0.3
    logits[1, two] = sharpness[1, two] * np.sign(logits[1, two])
    return {"target": logits[0], "assistant": logits[1], "alpha": rng.uniform(0, 2, size=count)}


def _changed(target: np.ndarray, assistant: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    before, own = _normalised(target), _normalised(assistant)
    return np.abs(_normalised(before - alpha[:, None] * own) - before).max(1)


def _allowed(target: np.ndarray, assistant: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    own = _normalised(assistant)
    return 2 * alpha * np.abs(own + np.log(own.shape[1])).max(1)


def _normalised(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


BOUNDS = [
    Bound(
        "No log-probability moves by more than 2 alpha max |log p_a + log V|", "derived here",
        _changed, _allowed, _instances,
    ),
]  # fmt: skip
