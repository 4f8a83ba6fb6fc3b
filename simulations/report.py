"""The ledger as people read it on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from simulations.engine import Failure
from simulations.judging import LedgerRow, chance_line

__all__ = ["number", "show_failures", "show_ledger"]

_COLOURS = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}


def number(value: float | None) -> str:
    """A number with four digits, as the ledger and the gallery print it."""
    return "" if value is None else f"{value:.4g}"


def show_ledger(console: Console, rows: list[LedgerRow]) -> None:
    """Two lines per claim, then what multiple testing says of the trends."""
    address = None
    for row in rows:
        if row.address != address:
            address = row.address
            console.print(
                f"\n[bold]{address}[/] ({row.preset}{', ' + row.origin if row.origin not in ('', 'computed') else ''})"
            )
        console.print(
            f"  {row.claim.id:<5} {_outcome(row)}  [dim]{row.claim.kind}[/]  {_numbers(row)}", highlight=False
        )
        sentence = row.verdict.compared if row.verdict else row.claim.statement
        console.print(Padding(escape(sentence), (0, 0, 0, 8)), style="dim", highlight=False)
    console.print()
    console.print(chance_line(rows), highlight=False)


def _outcome(row: LedgerRow) -> str:
    outcome = row.verdict.outcome if row.verdict else ("judge failed" if row.error else "not computed")
    return f"[{_COLOURS.get(outcome, 'dim')}]{outcome:<12}[/]"


def _numbers(row: LedgerRow) -> str:
    if row.verdict is None:
        return ""
    verdict = row.verdict
    spread = f" in [{number(verdict.low)}, {number(verdict.high)}]" if verdict.low < verdict.high else ""
    lost = (
        " (does not survive Benjamini–Hochberg)"
        if row.survives_multiple_testing is False and verdict.outcome == "supported"
        else ""
    )
    control = f"; control {row.control.outcome}" if row.control else ""
    return escape(f"{number(verdict.measured)}{spread} against {number(verdict.threshold)}{control}{lost}")


def show_failures(console: Console, failures: list[Failure]) -> None:
    """Every failure with its traceback, at the end where it is seen."""
    for failure in failures:
        console.rule(f"[red]{escape(failure.where)} failed")
        console.print(failure.trace, highlight=False, markup=False)
