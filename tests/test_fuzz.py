"""Fuzzing finds what is false, near and far, and finds nothing in what is true."""

import numpy as np
import pytest

from theory.fuzz import bound_ratio, check_bound


def _box(rng, count):
    return {"x": rng.uniform(0, 1, (count, 3)), "k": rng.integers(1, 4, count)}


def test_a_true_bound_holds_and_its_equality_case_is_found():
    report = check_bound(lambda x, k: np.prod(x, 1) ** k, lambda x, k: (x.mean(1) ** 3) ** k, _box, 20_000)
    assert report.holds
    assert report.worst_ratio > 0.9999
    assert np.ptp(report.witness["x"]) < 0.05
    assert report.instances > 20_000


def test_the_search_finds_a_violation_that_samples_miss():
    """A peak that exceeds the bound within 3e-4 of a point: 10⁻¹⁰ of the volume."""
    centre = np.array([0.31, 0.72, 0.55])

    def lhs(x, k):
        return 1 / (1 + 1e4 * ((x - centre) ** 2).sum(1))

    def rhs(x, k):
        return np.full(len(x), 0.999)

    assert check_bound(lhs, rhs, _box, 20_000, rounds=1).holds
    searched = check_bound(lhs, rhs, _box, 20_000)
    assert not searched.holds
    np.testing.assert_allclose(searched.witness["x"], centre, atol=4e-4)


def test_a_hair_too_sharp_a_constant_is_found():
    def sample(rng, count):
        return {"t": rng.uniform(-3, 3, count)}

    assert check_bound(lambda t: np.log(np.cosh(t)), lambda t: t**2 / 2, sample, 100_000).holds
    assert not check_bound(lambda t: np.log(np.cosh(t)), lambda t: t**2 / 2.001, sample, 100_000).holds


@pytest.mark.parametrize(
    ("lhs", "rhs", "ratio"),
    [(1, 2, 0.5), (2, 1, 2), (-1, 1, 0), (0, 0, 0), (1, 0, np.inf), (-2, -1, 0.5), (-1, -2, 2), (1, -1, np.inf),
     (1, np.inf, 0), (np.inf, 1, np.inf), (1 + 1e-13, 1, 1)],
)  # fmt: skip
def test_the_ratio_is_at_most_one_exactly_where_the_bound_holds(lhs, rhs, ratio):
    assert bound_ratio(np.array([float(lhs)]), np.array([float(rhs)]))[0] == pytest.approx(ratio)


def test_whole_numbers_and_convex_domains_are_kept():
    seen = []

    def lhs(p, k):
        seen.append((p.sum(1).max(), p.min(), k.dtype.kind))
        return p.max(1)

    def simplex(rng, count):
        return {"p": rng.dirichlet(np.ones(4), count), "k": rng.integers(1, 4, count)}

    check_bound(lhs, lambda p, k: np.ones(len(p)), simplex, 5000)
    assert all(total == pytest.approx(1) and low >= -1e-15 and kind == "i" for total, low, kind in seen)


def test_bad_input_is_named(unchecked):
    one = {"sampler": lambda rng, n: {"x": rng.random(n)}, "instances": 10}
    with pytest.raises(ValueError, match="lhs must return one value per instance"):
        check_bound(lambda x: x.sum(), lambda x: x, **one)
    with pytest.raises(ValueError, match="rhs must not be NaN"):
        check_bound(lambda x: x, lambda x: x * np.nan, **one)
    with pytest.raises(ValueError, match="instances must be"):
        check_bound(lambda x: x, lambda x: x, one["sampler"], 0)
