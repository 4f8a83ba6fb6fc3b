"""The ledger as people read it on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from simulations.engine import Failure
from simulations.judging import chance_line
from simulations.store import CannotKeep

__all__ = ["number", "show_failures", "show_ledger", "show_stop"]

_COLOURS = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}


def number(value: float | None) -> str:
    """A number with four digits, as the ledger and the gallery print it."""
    return "" if value is None else f"{value:.4g}"


def show_ledger(console: Console, rows: list[dict[str, Any]]) -> None:
    """Two lines per claim, then what multiple testing says of the trends."""
    heading = None
    for row in rows:
        origin = f", {row['origin']}" if row["origin"] not in ("", "computed") else ""
        if heading != (heading := f"\n[bold]{row['address']}[/] ({row['preset']}{origin})"):
            console.print(heading, highlight=False)
        console.print(
            f"  {row['claim']:<5} {_outcome(row)}  [dim]{row['kind']:<8}[/]  {escape(_numbers(row))}",
            highlight=False,
            soft_wrap=True,
        )
        console.print(Padding(escape(row["compared"] or row["statement"]), (0, 0, 0, 8)), style="dim", highlight=False)
    console.print()
    console.print(chance_line(rows), highlight=False)


def show_failures(console: Console, failures: list[Failure]) -> None:
    """Every failure with its traceback, at the end where it is seen."""
    for failure in failures:
        console.rule(f"[red]{escape(failure.where)} failed")
        console.print(failure.trace, highlight=False, markup=False)


def show_stop(console: Console, error: CannotKeep) -> None:
    """Why the run ends here, in one line without a traceback."""
    console.print(f"Stopped: {error}.", style="red", highlight=False, markup=False, soft_wrap=True)


def _outcome(row: Mapping[str, Any]) -> str:
    outcome = row["verdict"] or ("judge failed" if row["error"] else "not computed")
    return f"[{_COLOURS.get(outcome, 'dim')}]{outcome:<12}[/]"


def _numbers(row: Mapping[str, Any]) -> str:
    if row["verdict"] is None:
        return ""
    is_point = row["low"] == row["high"] is not None
    spread = "" if is_point else f" in [{number(row['low']) or '−∞'}, {number(row['high']) or '∞'}]"
    lost = row["survives_multiple_testing"] is False and row["verdict"] == "supported"
    return (
        f"{number(row['measured'])}{spread} against {number(row['threshold'])}; control {row['control_verdict']}"
        f"{' (does not survive Benjamini–Hochberg)' if lost else ''}"
    )
