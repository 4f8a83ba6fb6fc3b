"""From stored replicates to verdicts, and the ledger that lists them.

Judging reads what is on disk and costs seconds: it never computes a replicate.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulations import statistics, store
from simulations.contract import Claim, Preset, Verdict
from simulations.discovery import LoadedPaper
from simulations.engine import replicate_seed, settings_of, sources_of

__all__ = ["Evidence", "LedgerRow", "Results", "chance_line", "evidence", "judge", "ledger"]


@dataclass(frozen=True)
class Evidence:
    """All replicates of one experiment, concatenated, and where they come from."""

    table: pd.DataFrame
    arrays: list[dict[str, np.ndarray]]
    replicates: int
    origin: str


@dataclass(frozen=True)
class Results:
    """What ``run`` returns and ``draw`` receives.

    ``tables[experiment]`` holds all replicates with a ``replicate`` column, ``arrays[experiment][k]``
    the named arrays of replicate k, ``verdicts[claim]`` the judgement (absent if its experiment failed).
    """

    tables: dict[str, pd.DataFrame]
    arrays: dict[str, list[dict[str, np.ndarray]]]
    verdicts: dict[str, Verdict]


@dataclass(frozen=True)
class LedgerRow:
    """One claim with its verdict, if there is one yet."""

    address: str
    claim: Claim
    preset: Preset
    verdict: Verdict | None
    control: Verdict | None
    origin: str = ""
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """The row as the ledger keeps it: plain JSON data, None for what is not there."""
        verdict = self.verdict
        return {
            "address": self.address,
            "claim": self.claim.id,
            "experiment": self.claim.experiment,
            "kind": self.claim.kind,
            "statement": self.claim.statement,
            "source": self.claim.source,
            "paper_value": self.claim.paper_value,
            "preset": self.preset,
            "verdict": verdict.outcome if verdict else None,
            "measured": _finite(verdict.measured) if verdict else None,
            "threshold": _finite(verdict.threshold) if verdict else None,
            "low": _finite(verdict.low) if verdict else None,
            "high": _finite(verdict.high) if verdict else None,
            "compared": verdict.compared if verdict else None,
            "p_value": verdict.p_value if verdict else None,
            "witness": verdict.witness if verdict else None,
            "instances": verdict.instances if verdict else None,
            "control_verdict": self.control.outcome if self.control else None,
            "origin": self.origin,
            "error": self.error,
        }


def evidence(
    paper: LoadedPaper,
    folder: Path,
    preset: Preset,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    replicates: int | None = None,
) -> dict[str, Evidence]:
    """Stored replicates of every experiment that has all of them, as computed from the present source.

    Looked for in ``folder`` first, then among the recorded results; those count even where the
    source has moved on, and say from which commit they are.
    """
    found = {}
    for name, settings in settings_of(paper, preset, changes or {}).items():
        experiment = paper.experiments[name]
        sources = sources_of(experiment)
        keys = [
            store.Key(paper.address, name, store.variant(experiment, preset, settings), k)
            for k in range(replicates or experiment.replicates)
        ]
        for place in (folder, store.recorded_folder()):
            stored = [s for s in map(partial(_read_whole, place), keys) if s is not None]
            stale = any(
                store.reason_to_compute(s.record, settings, replicate_seed(key.replicate), sources)
                for key, s in zip(keys, stored, strict=False)
            )
            recorded = place == store.recorded_folder()
            if len(stored) < len(keys) or (stale and not recorded):
                continue
            origin = "computed"
            if recorded:
                origin = f"recorded at commit {stored[0].record['commit']}" + (
                    ", the source has changed since" if stale else ""
                )
            tables = [s.table.assign(replicate=k) for k, s in enumerate(stored)]
            found[name] = Evidence(pd.concat(tables, ignore_index=True), [s.arrays for s in stored], len(keys), origin)
            break
    return found


def _read_whole(folder: Path, key: store.Key) -> store.Stored | None:
    try:
        return store.read(folder, key)
    except store.Damaged:
        return None


def judge(paper: LoadedPaper, preset: Preset, found: Mapping[str, Evidence]) -> list[LedgerRow]:
    """Every claim of a paper with its verdict and its control's, from the evidence there is.

    The control is applied to the evidence if that supports the claim, else to the claim's example.
    """
    rows = []
    for claim in paper.claims:
        evidence_of = found.get(claim.experiment)
        verdict = control = None
        error = ""
        try:
            table = claim.example() if evidence_of is None else evidence_of.table
            verdict = None if evidence_of is None else claim.judge(table.copy())
            supported = verdict is not None and verdict.outcome == "supported"
            control = claim.judge(claim.control(table.copy() if supported else claim.example()))
        except Exception:  # a judge that fails on its evidence is reported with its claim
            error = traceback.format_exc()
        rows.append(
            LedgerRow(paper.address, claim, preset, verdict, control, evidence_of.origin if evidence_of else "", error)
        )
    return rows


def results(found: Mapping[str, Evidence], rows: Iterable[LedgerRow]) -> Results:
    """Evidence and verdicts in the form that figures and notebooks use."""
    return Results(
        {name: each.table for name, each in found.items()},
        {name: each.arrays for name, each in found.items()},
        {row.claim.id: row.verdict for row in rows if row.verdict is not None},
    )


def ledger(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the trend claims marked that survive Benjamini–Hochberg at 5 % over all of them.

    The mark is true or false for a judged trend and None for everything else.
    """
    marked = [{**row, "survives_multiple_testing": None} for row in rows]
    trends = [row for row in marked if _is_judged_trend(row)]
    for row, survives in zip(trends, statistics.benjamini_hochberg([r["p_value"] for r in trends]), strict=True):
        row["survives_multiple_testing"] = survives
    return marked


def chance_line(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many trend claims of a ledger were judged, and how many of them chance alone would support."""
    trends = [row for row in rows if _is_judged_trend(row)]
    supported = [row for row in trends if row["verdict"] == "supported"]
    survivors = sum(bool(row["survives_multiple_testing"]) for row in supported)
    by_chance = len(trends) * statistics.CHANCE_OF_SUPPORT
    return (
        f"{len(trends)} trend claims judged, {len(supported)} supported; chance alone would support {by_chance:.1f}. "
        f"{survivors} of the supported survive Benjamini–Hochberg at 5 %."
    )


def _is_judged_trend(row: Mapping[str, Any]) -> bool:
    return row["kind"] == "trend" and row["p_value"] is not None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
