"""All certificates of the house, symbolic work included."""

from theory.proved_inequalities import statements


def test_all_certificates_take_less_than_ten_seconds(benchmark):
    def certify_all():
        return [(statement.expected, statement.certify().proved) for statement in statements()]

    outcomes = benchmark.pedantic(certify_all, rounds=1)
    assert all(expected is proved for expected, proved in outcomes)
    print(f"\n{len(outcomes)} certificates: {benchmark.stats.stats.total:.1f} s", end="")
    assert benchmark.stats.stats.total < 10
