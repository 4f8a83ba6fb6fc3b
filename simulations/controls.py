"""Turning evidence into its opposite: what a claim's ``control`` usually does to a table."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

__all__ = ["columns_exchanged", "exchange", "shifted"]


def exchange(table: pd.DataFrame, column: str, first: object, second: object) -> pd.DataFrame:
    """The same measurements with the names of two conditions exchanged."""
    return table.assign(**{column: table[column].replace({first: second, second: first})})


def columns_exchanged(first: str, second: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A control that exchanges two measurements."""
    return lambda table: table.rename(columns={first: second, second: first})


def shifted(
    column: str, condition: str, names: tuple[object, ...], by: float
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A control that moves a measurement of some conditions by a constant."""
    return lambda table: table.assign(**{column: table[column] + by * table[condition].isin(names)})
