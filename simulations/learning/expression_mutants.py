"""Random boolean formulas and their mutants, checked on some of the 256 inputs: programs whose every test can be run.

A task is a formula over eight inputs, a complete binary tree of two-input gates; small trees are easy, large ones hard.
A model of error rate m writes the formula down and gets every gate and every leaf wrong with probability m. A mutant is
correct if it agrees on all 256 inputs, and accepted if it agrees on the visible ones: a subset drawn per task. Truth
tables are 256 bits in four words, so that a thousand mutants are evaluated at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["BooleanTask", "draw_task", "judged_mutants", "truth_tables"]

_INPUTS = 256
_ONES = np.uint64(2**64 - 1)
_GATES = 16  # all functions of two bits, numbered by their truth table


@dataclass(frozen=True)
class BooleanTask:
    """Leaves are numbers 0 … 15 (input, then its negation), gates 0 … 15 in the order of a heap; tests are inputs."""

    leaves: np.ndarray
    gates: np.ndarray
    visible: np.ndarray


def draw_task(rng: np.random.Generator, depths: tuple[int, ...], tests: tuple[int, int]) -> BooleanTask:
    """A formula that is not constant, of a depth drawn from ``depths``, with a number of visible tests in a range."""
    depth = int(rng.choice(depths))
    while True:
        leaves = rng.integers(0, 16, 2**depth)
        # Neither constant nor one of its inputs alone: AND, OR, XOR and their relatives.
        gates = rng.choice([1, 2, 4, 6, 7, 8, 9, 11, 13, 14], 2**depth - 1)
        table = truth_tables(leaves[None], gates[None])[0]
        if table.any() and (table != _ONES).any():
            break
    visible = rng.choice(_INPUTS, int(rng.integers(tests[0], tests[1] + 1)), replace=False)
    return BooleanTask(leaves, gates, visible)


def truth_tables(leaves: np.ndarray, gates: np.ndarray) -> np.ndarray:
    """Truth tables ``(formulas, 4)`` of 64 bits each; ``leaves (formulas, 2^d)``, ``gates (formulas, 2^d − 1)``.

    >>> first_input = truth_tables(np.array([[0, 0]]), np.array([[8]]))
    >>> int(np.bitwise_count(first_input).sum())
    128
    """
    values = _literals()[leaves]
    last = gates.shape[1]
    while values.shape[1] > 1:
        width = values.shape[1] // 2
        level = gates[:, last - width : last]
        last -= width
        values = _gate(level, values[:, 0::2], values[:, 1::2])
    return values[:, 0]


def judged_mutants(
    task: BooleanTask, rng: np.random.Generator, error_rates: np.ndarray, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """``(correct, accepted)``, boolean ``(models, samples)``: mutants of every model and what the tests say."""
    rates = np.repeat(error_rates, samples)[:, None]
    leaves, gates = (_spoilt(rng, original, rates, 16) for original in (task.leaves, task.gates))
    wrong_on = truth_tables(leaves, gates) ^ truth_tables(task.leaves[None], task.gates[None])
    seen = np.zeros(4, dtype=np.uint64)
    np.bitwise_or.at(seen, task.visible // 64, np.uint64(1) << (task.visible % 64).astype(np.uint64))
    shape = (len(error_rates), samples)
    return (wrong_on == 0).all(axis=1).reshape(shape), (wrong_on & seen == 0).all(axis=1).reshape(shape)


def _spoilt(rng: np.random.Generator, original: np.ndarray, rates: np.ndarray, kinds: int) -> np.ndarray:
    """Every entry replaced, with its row's probability, by one of the other kinds."""
    shape = (len(rates), len(original))
    other = (original + rng.integers(1, kinds, shape)) % kinds
    return np.where(rng.random(shape) < rates, other, original)


def _gate(kind: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bit 2a + b of ``kind`` for every pair of bits."""
    on = [(((kind >> bit) & 1).astype(np.uint64) * _ONES)[..., None] for bit in range(4)]
    return (on[0] & ~a & ~b) | (on[1] & ~a & b) | (on[2] & a & ~b) | (on[3] & a & b)


def _literals() -> np.ndarray:
    """Truth tables of the eight inputs and their negations, ``(16, 4)``."""
    bits = ((np.arange(_INPUTS)[None, :] >> np.arange(8)[:, None]) & 1).astype(np.uint64)
    words = (bits.reshape(8, 4, 64) << np.arange(64, dtype=np.uint64)).sum(axis=2, dtype=np.uint64)
    return np.concatenate([words, ~words])
