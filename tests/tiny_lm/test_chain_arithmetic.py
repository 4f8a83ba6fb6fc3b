"""Chain arithmetic: the verifier against Python's own arithmetic, steps against answers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural.tiny_lm.chain_arithmetic import ChainArithmetic


@st.composite
def chains(draw):
    base, n_ops = draw(st.integers(2, 11)), draw(st.integers(1, 5))
    digits = draw(st.lists(st.integers(0, base - 1), min_size=n_ops + 1, max_size=n_ops + 1))
    operations = draw(st.lists(st.sampled_from("+*"), min_size=n_ops, max_size=n_ops))
    return ChainArithmetic(base, n_ops), digits, operations


def worked(base, digits, operations):
    """The same by Python, from left to right."""
    value, values = digits[0], []
    for operation, digit in zip(operations, digits[1:], strict=True):
        value = eval(f"({value} {operation} {digit}) % {base}")
        values.append(value)
    return values


@given(chains())
def test_solutions_are_pythons(chain):
    world, digits, operations = chain
    prompt = world.encode_problem(digits, operations)
    solution = world.solve(prompt)
    values = worked(world.base, digits, operations)
    steps = [f"{o} {d} {v}" for o, d, v in zip(operations, digits[1:], values, strict=True)]
    assert world.text(solution[0]) == " ".join([*steps, "#", str(values[-1]), "<eos>"])
    assert world.verify(prompt, solution).all()
    assert world.step_ok(prompt, solution).all()
    assert world.first_wrong_step(prompt, solution).item() == world.n_ops


@given(chains(), st.data())
def test_a_wrong_result_is_the_first_wrong_step_and_what_follows_is_judged_by_it(chain, data):
    world, digits, operations = chain
    at = data.draw(st.integers(0, world.n_ops - 1))
    shift = data.draw(st.integers(1, world.base - 1))
    prompt = world.encode_problem(digits, operations)
    solution = world.solve(prompt)
    solution[0, 3 * at + 2] = (solution[0, 3 * at + 2] + shift) % world.base
    value = int(solution[0, 3 * at + 2])
    assert world.first_wrong_step(prompt, solution).item() == at
    # The rest worked from the wrong value is right step by step, though the answer may be wrong.
    rest = worked(world.base, [value, *digits[at + 2 :]], operations[at + 1 :])
    for number, result in enumerate(rest, at + 1):
        solution[0, 3 * number + 2] = result
    ok = world.step_ok(prompt, solution)[0].tolist()
    assert ok == [step != at for step in range(world.n_ops)]
    answer = rest[-1] if rest else value
    solution[0, -2] = answer
    assert world.verify(prompt, solution).item() == (answer == worked(world.base, digits, operations)[-1])


@given(chains(), st.data())
def test_another_answer_is_refused(chain, data):
    world, digits, operations = chain
    prompt = world.encode_problem(digits, operations)
    solution = world.solve(prompt)
    solution[0, -2] = (solution[0, -2] + data.draw(st.integers(1, world.base - 1))) % world.base
    assert not world.verify(prompt, solution).any()
    assert world.step_ok(prompt, solution).all()


def test_a_step_that_is_no_number_spoils_the_next_too():
    world = ChainArithmetic(base=5, n_ops=3)
    prompt = world.encode_problem([3, 4, 2, 0], ["+", "*", "+"])
    solution = world.solve(prompt)
    solution[0, 2] = world.plus
    assert world.step_ok(prompt, solution)[0].tolist() == [False, False, True]
    copied = world.solve(prompt)
    copied[0, 4] = 1
    assert world.step_ok(prompt, copied)[0].tolist() == [True, False, True]


def test_multiplication_by_zero_forgives():
    world = ChainArithmetic(base=5, n_ops=2)
    prompt = world.encode_problem([3, 4, 0], ["+", "*"])
    solution = world.solve(prompt)
    solution[0, 2] = 1
    assert world.verify(prompt, solution).item()
    assert world.first_wrong_step(prompt, solution).item() == 0


def test_problems_are_drawn_evenly_and_by_seed():
    world = ChainArithmetic(base=5, n_ops=3)
    prompts = world.problems(20_000, torch.Generator().manual_seed(0))
    digits, kinds = world.parts(prompts)
    assert (torch.bincount(digits.flatten()).float() / digits.numel() - 0.2).abs().max() < 0.01
    assert abs(kinds.float().mean() - 0.5) < 0.01
    assert torch.equal(prompts, world.problems(20_000, torch.Generator().manual_seed(0)))


def test_texts_have_their_solution_as_target():
    world = ChainArithmetic(base=7, n_ops=2)
    prompts = world.problems(3)
    solutions = world.solve(prompts)
    ids, mask = world.texts(prompts, solutions)
    assert torch.equal(ids[:, 1:][mask].view(3, -1), solutions)


def test_other_ids_are_no_prompts():
    world = ChainArithmetic(base=5, n_ops=2)
    prompts = world.problems(3)
    prompts[1, 2] = world.equals
    with pytest.raises(ValueError, match="row 1"):
        world.solve(prompts)
