"""Every public function refuses what it cannot use, by name: one table, generated from valid calls (see bad_inputs)."""

import re

import numpy as np
import pytest
import torch

from tests.bad_inputs import Case, accepted, cases, mutations, without_calls

for package in ("sympy", "cvxpy", "flint"):  # what some valid calls are made of
    pytest.importorskip(package)


def test_every_public_name_has_a_valid_call_to_be_spoilt():
    missing = without_calls()
    if missing:
        lines = ["write tests/valid_calls/<room>/<subject>/<module>.py for", *missing]
        pytest.fail("\n".join(lines), pytrace=False)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_a_valid_call_works_and_every_spoilt_argument_is_refused_by_name(case: Case, unchecked):
    case.function()(**case.arguments())
    takes = accepted(case)
    wrong, seen = [], set()
    for argument, mutation, arguments in mutations(case):
        seen.add((argument, mutation))
        answer = _answer(case, arguments, argument)
        if mutation == "one class":
            expected = answer in ("refused", "finite")
        else:
            expected = (answer == "refused") != ((argument, mutation) in takes) and not answer.startswith("raises")
        if not expected:
            wrong.append(f"{argument} {mutation}: {answer}")
    wrong += [
        f"{argument} {mutation} is accepted, but is not tried"
        for argument, mutation in takes
        if (argument, mutation) not in seen
    ]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def _answer(case: Case, arguments: dict, argument: str) -> str:
    try:
        result = case.function()(**arguments)
    except ValueError as error:
        return (
            "refused" if re.search(rf"\b{argument}\b", str(error)) else f"raises ValueError without its name: {error}"
        )
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    return "finite" if _is_finite(result) else "not finite"


def _is_finite(result) -> bool:
    if isinstance(result, torch.Tensor):
        return bool(torch.isfinite(result).all())
    if isinstance(result, np.ndarray | float):
        return bool(np.isfinite(result).all()) if np.asarray(result).dtype.kind == "f" else True
    return all(map(_is_finite, result)) if isinstance(result, tuple | list) else True
