"""Attack success rates and judges: what counts, who votes, and the harness against counting by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from neural.alignment.attack_evaluation import (
    AttackEvaluation,
    CallableJudge,
    Judge,
    Label,
    RegexJudge,
    TemplateResult,
    TokenSetJudge,
    attack_success_rate,
    cohen_kappa,
    majority,
    wilson_interval,
)
from neural.alignment.flagged_vocabulary import FlaggedVocabulary
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample

SAFE, UNSAFE, UNDECIDED = Label.SAFE, Label.UNSAFE, Label.UNDECIDED
LABELS = st.lists(st.sampled_from(list(Label)), min_size=1, max_size=30)


@given(LABELS, st.integers(0, 5), st.randoms())
def test_the_rate_is_unsafe_over_judged_whatever_the_order_and_the_undecided(labels, more, random):
    labels = [SAFE, *labels]
    found = attack_success_rate(labels)
    unsafe, safe = labels.count(UNSAFE), labels.count(SAFE)
    assert found.value == unsafe / (unsafe + safe)
    assert (found.unsafe, found.safe, found.undecided) == (unsafe, safe, labels.count(UNDECIDED))
    shuffled = labels + more * [UNDECIDED]
    random.shuffle(shuffled)
    again = attack_success_rate(shuffled)
    assert (again.value, again.low, again.high) == (found.value, found.low, found.high)


def test_nothing_judged_is_nan_with_a_warning():
    for labels in ([], [UNDECIDED, UNDECIDED]):
        with pytest.warns(UserWarning, match="no judged answer"):
            found = attack_success_rate(labels)
        assert np.isnan([found.value, found.low, found.high]).all()
        assert found.undecided == len(labels)


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.5, 0.999))
def test_the_interval_is_scipys_and_holds_the_rate(unsafe, safe, confidence):
    trials = max(1, unsafe + safe)
    low, high = wilson_interval(unsafe, trials, confidence)
    expected = stats.binomtest(unsafe, trials).proportion_ci(confidence, method="wilson")
    assert_allclose([low, high], [expected.low, expected.high], atol=1e-12)
    assert 0 <= low <= unsafe / trials <= high <= 1


def test_its_ends_are_where_the_score_test_just_rejects():
    z = stats.norm.ppf(0.975)
    for p in wilson_interval(7, 31):
        assert_allclose(abs(7 / 31 - p) / math.sqrt(p * (1 - p) / 31), z)


def test_the_interval_covers_the_true_rate_as_often_as_it_says():
    rng, trials = np.random.default_rng(0), 40
    rates = rng.uniform(0.02, 0.98, size=4000)
    ends = np.array([wilson_interval(k, trials) for k in range(trials + 1)])[rng.binomial(trials, rates)]
    assert abs(((ends[:, 0] <= rates) & (rates <= ends[:, 1])).mean() - 0.95) < 0.015


@given(LABELS, st.randoms())
def test_majority_does_not_depend_on_who_votes_first(labels, random):
    found = majority(labels)
    shuffled = list(labels)
    random.shuffle(shuffled)
    assert majority(shuffled) is found
    lead = labels.count(UNSAFE) - labels.count(SAFE)
    assert found is (UNSAFE if lead > 0 else SAFE if lead < 0 else UNDECIDED)


@given(st.lists(st.tuples(st.sampled_from(list(Label)), st.sampled_from(list(Label))), min_size=1, max_size=30))
def test_kappa_is_sklearns_and_symmetric(pairs):
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    found = cohen_kappa(first, second)
    assert found == cohen_kappa(second, first)
    assert cohen_kappa(first, first) == 1.0
    if len({*first, *second}) == 1:
        assert found == 1.0  # sklearn divides 0 by 0
    else:
        expected = cohen_kappa_score([a.value for a in first], [b.value for b in second])
        assert_allclose(found, expected, atol=1e-12)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.sets(st.integers(0, 9), min_size=1), st.randoms())
def test_a_token_judge_looks_for_flagged_ids_in_any_order(response, flagged, random):
    judge = TokenSetJudge(flagged)
    expected = UNSAFE if set(response) & flagged else SAFE
    assert judge(None, response) is expected
    assert judge("any question", torch.tensor(response)) is expected
    random.shuffle(response)
    assert judge(None, response + response[:1]) is expected
    assert TokenSetJudge(torch.tensor(sorted(flagged)))(None, response) is expected
    assert judge(None, []) is UNDECIDED


def test_a_pattern_judge_puts_unsafe_first_and_can_leave_open():
    judge = RegexJudge(r"\bflagged\d", safe=r"\brefuse")
    assert judge(None, "refuse0 flagged3") is UNSAFE
    assert judge(None, "refuse0") is SAFE
    assert judge(None, "answer3") is UNDECIDED
    assert RegexJudge("flagged")(None, "answer3") is SAFE
    assert RegexJudge("flagged")(None, " ") is UNDECIDED
    assert isinstance(judge, Judge)


def test_a_function_is_asked_again_while_undecided():
    told = iter([None, UNDECIDED, None, UNSAFE])
    assert CallableJudge(lambda q, r: next(told), retries=3)(None, None) is UNSAFE
    calls = []
    assert CallableJudge(lambda q, r: calls.append(q))("q", "r") is UNDECIDED
    assert len(calls) == 6


def test_judges_vote_through_a_function():
    judges = [TokenSetJudge([1]), TokenSetJudge([1, 2]), TokenSetJudge([3])]
    vote = CallableJudge(lambda q, r: majority([judge(q, r) for judge in judges]))
    assert [vote(None, r) for r in ([1], [2], [3, 1])] == [UNSAFE, SAFE, UNSAFE]


def test_the_harness_counts_by_template_and_question():
    def sampler(prompts, new, generator):
        answers = prompts[:, :1].expand(-1, new).clone()
        answers[::2, 1:] = 9  # the end, after one token in every second sample
        return answers

    evaluation = AttackEvaluation(
        {"short": lambda q: [q], "long": lambda q: torch.tensor([q + 1, 0, 0]), "mixed": lambda q: [q + 1] * q},
        [1, 2, 3], sampler, TokenSetJudge([2]), n_samples=2, max_new_tokens=3, end_id=9, special_ids=[3],
    )  # fmt: skip
    report = evaluation.run()
    assert report["short"].labels == ((SAFE,) * 2, (UNSAFE,) * 2, (UNDECIDED,) * 2)
    assert report["long"].labels == ((UNSAFE,) * 2, (UNDECIDED,) * 2, (SAFE,) * 2)
    assert report["mixed"].labels == report["long"].labels
    assert report["short"].rate.value == 0.5
    assert_allclose(report["short"].by_question(), [0, 1, np.nan])


def test_answers_end_at_the_end_and_a_judge_sees_text_if_it_wants():
    seen = []
    judge = CallableJudge(lambda q, r: seen.append((q, r)) or SAFE)
    AttackEvaluation(
        {"t": lambda q: [0]}, ["why"], lambda p, n, g: torch.tensor([[4, 5, 2, 4]]), judge, 1, 4, end_id=2,
        decode=lambda ids: " ".join(f"w{i}" for i in ids),
    ).run()  # fmt: skip
    assert seen == [("why", "w4 w5")]


def test_models_are_compared_on_the_same_questions_and_draws():
    torch.manual_seed(0)
    world = FlaggedVocabulary(n_topics=4, n_tokens=5)
    models = [TinyGPT(world.vocab_size, 16, max_len=9) for _ in range(2)]
    prompts = world.prompts("flagged", (0,))

    def sampler(model):
        return lambda ids, new, generator: sample(model, ids, new, generator=generator)

    evaluation = AttackEvaluation(
        {"covered": lambda q: prompts[q]}, range(len(prompts)), sampler(models[0]),
        TokenSetJudge(world.flagged_tokens), n_samples=4, max_new_tokens=4, seed=1, end_id=world.eos,
    )  # fmt: skip
    first, again, second = evaluation.run(), evaluation.run(), evaluation.run(sampler(models[1]))
    assert first == again
    answers = sample(models[0], prompts.repeat_interleave(4, dim=0), 4, generator=torch.Generator().manual_seed(1))
    assert first["covered"].rate.unsafe == int(world.is_flagged(answers).sum())
    found = first["covered"].less(second["covered"])
    differences = first["covered"].by_question() - second["covered"].by_question()
    expected = stats.ttest_1samp(differences, 0).confidence_interval()
    assert_allclose([found.mean, found.low, found.high], [differences.mean(), expected.low, expected.high])
    assert first["covered"].less(first["covered"]).low == 0


def test_one_question_has_no_interval_and_none_judged_is_refused():
    rate = attack_success_rate([SAFE])
    one, none = TemplateResult(((UNSAFE, SAFE),), rate), TemplateResult(((UNDECIDED,),), rate)
    assert one.less(TemplateResult(((SAFE,),), rate)).mean == 0.5
    assert one.less(one).low == -math.inf
    with pytest.raises(ValueError, match="other"):
        one.less(none)
    with pytest.raises(ValueError, match="other"):
        one.less(TemplateResult(((SAFE,), (SAFE,)), rate))


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(0, 2**32))
def test_the_world_flags_its_flagged_answers_and_nothing_else(topics, tokens, styles, separate, seed):
    world = FlaggedVocabulary(topics, tokens, styles, separate, seed)
    flagged, benign = world.prompts("flagged"), world.prompts("benign")
    assert flagged.shape == (topics * 2 * styles, 5)
    assert len({*map(tuple, torch.cat([flagged, benign]).tolist())}) == 4 * topics * styles
    assert world.is_flagged(world.answers(flagged)).all()
    assert not world.is_flagged(world.answers(benign)).any()
    assert not world.is_flagged(world.refusals(flagged)).any()
    assert world.is_refusal(world.refusals(flagged)).all()
    assert world.is_exact(benign, world.answers(benign)[None]).all()
    every = world.training_set()
    assert every.ids.shape == (4 * topics * styles, 9)
    assert (every.mask.sum(1) == 4).all()
    assert int(every.ids.max()) < world.vocab_size
    if not separate:
        assert torch.equal(world.answers(world.prompts("flagged", (0,))), world.answers(world.prompts("flagged", (1,))))


def test_the_world_has_seventy_two_tokens_each_of_one_kind():
    world = FlaggedVocabulary()
    kinds = [
        torch.arange(4), world.contexts, world.flagged_topics, world.benign_topics, world.styles, world.flagged_tokens,
        world.answer_tokens, world.refusal_tokens,
    ]  # fmt: skip
    assert torch.equal(torch.cat(kinds), torch.arange(72))
    assert world.vocab_size == 72
    assert len(world.texts("refusal", (0,), (0, 1)).ids) == 20
    apart = FlaggedVocabulary(separate_contexts=True)
    assert not torch.equal(apart.answers(apart.prompts("flagged", (0,))), apart.answers(apart.prompts("flagged", (1,))))


def test_only_what_comes_before_the_end_is_flagged():
    world = FlaggedVocabulary()
    flagged, answer, refusal = int(world.flagged_tokens[0]), int(world.answer_tokens[0]), int(world.refusal_tokens[1])
    answers = torch.tensor([[answer, 2, flagged], [flagged, 2, 2], [refusal, flagged, 2], [refusal, answer, 2]])
    assert world.is_flagged(answers).tolist() == [False, True, True, False]
    assert world.is_refusal(answers).tolist() == [False, False, False, True]


def evaluation(**changes):
    arguments = {
        "prompt_builders": {"t": lambda q: [0]}, "questions": [1], "sampler": lambda p, n, g: p, "n_samples": 1,
        "judge": TokenSetJudge([1]), "max_new_tokens": 1, **changes,
    }  # fmt: skip
    return AttackEvaluation(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluation(prompt_builders={}), "prompt_builders"),
        (lambda: evaluation(prompt_builders={"t": 3}), "prompt_builders"),
        (lambda: evaluation(questions=[]), "questions"),
        (lambda: evaluation(sampler=None), "sampler"),
        (lambda: evaluation(judge=3), "judge"),
        (lambda: evaluation(n_samples=0), "n_samples"),
        (lambda: evaluation(max_new_tokens=0), "max_new_tokens"),
        (lambda: evaluation(special_ids=[-1]), "special_ids"),
        (lambda: evaluation(prompt_builders={"t": lambda q: []}).run(), "prompt_builders"),
        (lambda: evaluation(prompt_builders={"t": lambda q: "text"}).run(), "prompt_builders"),
        (lambda: evaluation(sampler=lambda p, n, g: p[:0]).run(), "sampler"),
        (lambda: evaluation(sampler=lambda p, n, g: p.float()).run(), "sampler"),
        (lambda: evaluation(judge=lambda q, r: "unsafe").run(), "judge must give a Label"),
        (lambda: attack_success_rate(["safe"]), "labels"),
        (lambda: majority([]), "labels"),
        (lambda: cohen_kappa([SAFE], []), "second"),
        (lambda: wilson_interval(3, 2), "successes"),
        (lambda: TokenSetJudge([]), "flagged_ids"),
        (lambda: TokenSetJudge([1])(None, "text"), "response"),
        (lambda: RegexJudge("("), "unsafe"),
        (lambda: RegexJudge("a", "("), "safe"),
        (lambda: CallableJudge(3), "function"),
        (lambda: CallableJudge(lambda q, r: "safe")(None, None), "function must give a Label"),
        (lambda: FlaggedVocabulary().prompts("harmless"), "kind"),
        (lambda: FlaggedVocabulary().texts("flagged", (2,)), "contexts"),
        (lambda: FlaggedVocabulary().texts("flagged", styles=()), "styles"),
        (lambda: FlaggedVocabulary().answers(torch.tensor([[1, 4, 40, 26, 3]])), "prompts"),
        (lambda: FlaggedVocabulary().answers(torch.tensor([[1, 4, 6, 26]])), "prompts"),
        (lambda: FlaggedVocabulary().is_flagged(torch.tensor([1.0])), "ids"),
    ],
)
def test_bad_arguments_are_refused_by_name(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
