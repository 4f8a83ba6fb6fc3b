"""Hard negative mixing with cosines alone against mixtures held as vectors: time and peak memory."""

from simulations.costs import alternating_seconds, peak_bytes
from tests.benchmarks.mixing_calls import mixing_pass

SIZE = {"batch": 256, "dim": 128, "size": 16_384, "n_hard": 1024, "n_pairs": 1024}


def test_cosines_take_less_time_and_a_quarter_of_the_memory_of_vectors(benchmark):
    sides = {form: mixing_pass(**SIZE, form=form) for form in ("ours", "naive")}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 9}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    peaks = {form: peak_bytes("tests.benchmarks.mixing_calls", "mixing_pass", {**SIZE, "form": form}) for form in sides}
    faster = (rounds["naive"] / rounds["ours"]).median()
    print(
        f"\nvectors / cosines, batch 256, queue 16,384, 1024 pairs: time {faster:.2f}, "
        f"peak memory {peaks['naive'] / peaks['ours']:.1f} of {peaks['ours'] / 2**20:.0f} MiB",
        end="",
    )
    assert faster >= 1.5
    assert peaks["naive"] >= 4 * peaks["ours"]
