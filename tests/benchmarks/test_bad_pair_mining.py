"""An epoch's bookkeeping for 100,000 pairs: sums and masks against lists of losses and membership in lists."""

import pytest

from simulations.contrastive.bad_pair_mining import LISTS, SUMS, Bookkeeping, bookkeeping_sides
from simulations.costs import alternating_seconds

BOOKKEEPING = Bookkeeping(batches=20)


def test_sums_and_masks_are_fifty_times_as_fast_as_lists(benchmark):
    sides = bookkeeping_sides(BOOKKEEPING, 0)
    assert sides[SUMS]() == pytest.approx(sides[LISTS](), rel=1e-9)
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5, "warmup": 0}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    faster = (rounds[LISTS] / rounds[SUMS]).median()
    print(
        f"\nlists / sums and masks, {BOOKKEEPING.pairs} pairs, flags and {BOOKKEEPING.batches} batches of "
        f"{BOOKKEEPING.batch_size}: time {faster:.0f}",
        end="",
    )
    assert faster >= 50
