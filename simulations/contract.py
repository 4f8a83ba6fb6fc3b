"""What a simulation module is made of: a paper, its experiments, its claims.

A simulation module assigns ``PAPER``, ``DEVIATIONS``, ``EXPERIMENTS`` and ``CLAIMS`` at top level and
defines the pure functions they name. Everything here is data; the engine does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

__all__ = ["Claim", "Experiment", "Kind", "Outcome", "Paper", "Preset", "Replicate", "Verdict"]

Outcome = Literal["supported", "refuted", "inconclusive"]
Kind = Literal["identity", "bound", "limit", "rate", "trend", "cost"]
Preset = Literal["quick", "full", "tiny"]


@dataclass(frozen=True)
class Paper:
    """The source: title, authors (one string), venue with year, arXiv number if there is one."""

    title: str
    authors: str
    venue: str
    arxiv: str | None = None


@dataclass(frozen=True)
class Replicate:
    """One replicate that has more to keep than a table: named arrays (images, trajectories)."""

    table: pd.DataFrame
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A simulation with its settings.

    ``simulate(settings, seed, device)`` is a top-level function of its module and returns one
    independent replicate. ``quick`` fits the budget of two cores, ``full`` (default: the same) is
    the size at which the claim deserves to be judged, ``tiny`` (default: ``quick``) is the
    smallest size that runs every line; continuous integration uses it as a smoke test.
    """

    name: str
    simulate: Callable[[Any, int, str], pd.DataFrame | Replicate]
    quick: Any
    full: Any = None
    tiny: Any = None
    replicates: int = 5

    def settings(self, preset: Preset) -> Any:
        chosen = {"quick": self.quick, "full": self.full, "tiny": self.tiny}[preset]
        return self.quick if chosen is None else chosen

    def variant(self, preset: Preset) -> Preset:
        """The preset whose results these settings are: an experiment without its own ``full`` is ``quick``."""
        return preset if {"quick": self.quick, "full": self.full, "tiny": self.tiny}[preset] is not None else "quick"


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a claim, with the numbers that say it.

    ``measured`` is compared with ``threshold``; ``[low, high]`` is its 95 % interval (a point where
    nothing is random). ``compared`` says in one line what was compared. Trends carry the one-sided
    ``p_value`` of the claim's opposite; bounds carry the ``witness`` of their worst ratio.
    """

    outcome: Outcome
    measured: float
    threshold: float
    low: float
    high: float
    compared: str
    p_value: float | None = None
    witness: str | None = None
    instances: int | None = None

    def __post_init__(self) -> None:
        if self.outcome not in get_args(Outcome):
            raise ValueError(f"outcome must be one of {get_args(Outcome)}, got {self.outcome!r}")
        if np.isnan([self.measured, self.threshold, self.low, self.high]).any():
            raise ValueError(f"a verdict must not rest on NaN: {self.compared!r} gave {self!r}")


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper that the evidence can support, refute or leave open.

    ``judge(table)`` is a pure function of all replicates (with a ``replicate`` column).
    ``example()`` is a small synthetic table on which the judge must say *supported* and
    ``control(table)`` turns such evidence into its opposite, on which it must say *refuted*.
    """

    id: str
    experiment: str
    kind: Kind
    source: str
    statement: str
    judge: Callable[[pd.DataFrame], Verdict]
    example: Callable[[], pd.DataFrame]
    control: Callable[[pd.DataFrame], pd.DataFrame]
    paper_value: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind of claim {self.id} must be one of {get_args(Kind)}, got {self.kind!r}")
