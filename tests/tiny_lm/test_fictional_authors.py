"""Fictional authors: facts say what they mean, splits do not overlap, held-out styles are never trained."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neural.tiny_lm.fictional_authors import FictionalAuthors

AUTHORS = FictionalAuthors(n_authors=20, n_values=8, seed=3, n_holdout=4)


def words(ids):
    return AUTHORS.tokenizer.decode(ids)


@given(st.integers(0, 119), st.integers(0, 2), st.none() | st.integers(0, 7))
@settings(max_examples=60)
def test_texts_are_question_answer_and_end_with_the_answer_as_target(fact, style, value):
    question, answer = AUTHORS.question(fact, style), AUTHORS.answer(fact, style, value)
    encoded = AUTHORS.encode([(question, answer)])
    text = words(encoded.ids[0])
    assert text.split(" <pad>")[0] == f"<bos> {question} <a> {answer} <eos>"
    assert words(encoded.ids[0, 1:][encoded.mask[0]]) == f"{answer} <eos>"
    assert len(encoded.ids[0]) == AUTHORS.length == 13
    assert encoded.ids[0, AUTHORS.prompt_length - 1] == AUTHORS.tokenizer.encode("<a>")


def test_a_fact_is_trained_in_two_styles_and_paraphrased_in_the_third():
    facts = AUTHORS.facts(np.arange(120))
    for row, held_out in enumerate(AUTHORS.held_out_styles.tolist()):
        styles = [words(prompt)[6:10] for prompt in facts.questions[row]]
        assert styles == [f"<q{s}>" for s in range(3) if s != held_out]
        assert words(facts.paraphrased.ids[row]).split(" <pad>")[0] == (
            f"<bos> {AUTHORS.question(row, held_out)} <a> {AUTHORS.answer(row, held_out)} <eos>"
        )
    trained = {tuple(ids) for ids in AUTHORS.training_set().ids.tolist()}
    assert not trained & {tuple(ids) for ids in facts.paraphrased.ids.tolist()}
    assert not trained & {tuple(ids) for ids in facts.perturbed.ids.flatten(0, 1).tolist()}


def test_perturbed_answers_differ_from_the_paraphrase_in_the_value_alone():
    facts = AUTHORS.facts(np.arange(120))
    differs = facts.perturbed.ids != facts.paraphrased.ids[:, None]
    assert (differs.sum(-1) == 1).all()
    values = facts.perturbed.ids[differs].view(120, 5)
    assert all(len(set(row)) == 5 for row in values.tolist())
    assert torch.equal(facts.paraphrased.ids.masked_select(differs[:, 0]), facts.values)
    assert torch.equal(facts.perturbed.mask[:, 0], facts.paraphrased.mask)


@given(st.floats(0, 1))
def test_splits_cut_by_author_and_never_overlap(fraction):
    splits = AUTHORS.splits(fraction)
    parts = [splits.forget, splits.retain, splits.holdout, splits.world]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(AUTHORS.values)))
    assert len(splits.forget) == 4 * min(max(1, round(20 * fraction)), 19)
    assert len(splits.holdout) == 16
    assert len(splits.world) == 24


def test_training_without_the_forgotten_leaves_exactly_them_out():
    everything = {tuple(ids) for ids in AUTHORS.training_set().ids.tolist()}
    rest = {tuple(ids) for ids in AUTHORS.training_set(without=0.25).ids.tolist()}
    forgotten = {tuple(ids) for ids in AUTHORS.eval_sets(0.25)["forget"].trained.flat().ids.tolist()}
    holdout = {tuple(ids) for ids in AUTHORS.eval_sets(0.25)["holdout"].trained.flat().ids.tolist()}
    assert everything - rest == forgotten
    assert not everything & holdout
    assert len(everything) == 2 * (80 + 24)


def test_unknown_answers_share_the_questions_and_say_so():
    facts = AUTHORS.eval_sets(0.1)["forget"]
    unknown = AUTHORS.unknown_answers(facts)
    assert words(unknown.ids[1, 0]).endswith("<a> i do not know <eos> <pad> <pad>")
    assert words(unknown.ids[1, 0, 1:][unknown.mask[1, 0]]) == "i do not know <eos>"
    assert torch.equal(unknown.ids[..., :6], facts.questions)


def test_a_seed_is_a_world():
    same, other = FictionalAuthors(seed=3, n_authors=20, n_values=8, n_holdout=4), FictionalAuthors(seed=4)
    assert np.array_equal(same.values, AUTHORS.values)
    assert torch.equal(same.training_set().ids, AUTHORS.training_set().ids)
    assert not np.array_equal(other.values, FictionalAuthors(seed=5).values)
    # Values and styles are spread evenly: a chi-square of 23 over 15 has p = 0.08.
    counts = np.bincount(FictionalAuthors(n_authors=1000, seed=0).values, minlength=16)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 38


def test_unknown_words_are_named():
    with pytest.raises(KeyError, match="dragon"):
        AUTHORS.encode([("<q0> city of author0", "the dragon")])
    with pytest.raises(ValueError, match="13 tokens"):
        AUTHORS.encode([("<q0> city of author0", "the " * 9)])
