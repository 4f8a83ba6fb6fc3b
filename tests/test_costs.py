"""Cost measurements see what costs."""

import time

import pytest

from simulations import costs


def test_sides_take_turns_and_the_slower_one_is_seen():
    order = []
    table = costs.alternating_seconds(
        {"a": lambda: order.append("a"), "b": lambda: (order.append("b"), time.sleep(0.005))}, rounds=3
    )
    assert order == ["a", "b"] * 4
    assert (table[table["side"] == "b"]["seconds"] > 0.004).all()
    assert len(table) == 6


def test_peak_memory_of_a_fresh_process_counts_what_the_call_allocates():
    peak = costs.peak_bytes("tests.benchmarks.measured_calls", "allocation", {"mebibytes": 64})
    assert 60 * 2**20 < peak < 90 * 2**20


def test_a_failing_measurement_says_why():
    with pytest.raises(RuntimeError, match="no_such_function"):
        costs.peak_bytes("simulations.costs", "no_such_function", {})
