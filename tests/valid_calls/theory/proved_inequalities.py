"""Valid calls of theory.proved_inequalities."""

TRUSTED = dict.fromkeys(
    ("comp_sum_regret", "comp_sum_transform"), "writes a formula in sympy symbols, whatever they are"
)
