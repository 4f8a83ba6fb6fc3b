"""cDPO: contrasts, losses by hand and in trl's formula, critical tokens by rollouts and exactly, rollouts' economy."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from neural.alignment.cdpo import (
    cdpo_loss,
    contrastive_estimation,
    find_critical_token,
    pass_at_k,
    rollout_scores,
    rpo_loss,
    tdpo_loss,
    token_dpo_weights,
    token_forward_kl,
)
from neural.tiny_lm.chain_arithmetic import ChainArithmetic
from neural.tiny_lm.logprobs import sequence_logps, token_logps
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample
from neural.unlearning.losses import dpo_loss
from simulations.alignment.critical_tokens import _CachedLaws, _continued, _first_wrong_token
from theory.alignment import cdpo as theory
from theory.alignment.chain_mdp import ChainMDP, ChainProblems, TabularChainPolicy

GAMMAS = st.floats(0.01, 3)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 6))
BATCHES = SHAPES.flatmap(
    lambda shape: st.tuples(
        *(arrays(float, shape, elements=st.floats(-20, 0)) for _ in range(4)),
        arrays(float, shape, elements=st.floats(0, 1)),
    )
)


def tensors(batch):
    return [torch.tensor(part) for part in batch]


def all_of(like):
    return torch.ones_like(like, dtype=torch.bool)


def pairs(rows=3, tokens=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    texts = [-4 * torch.rand(rows, tokens, generator=generator, dtype=torch.float64) for _ in range(4)]
    scores = torch.rand(rows, tokens, generator=generator, dtype=torch.float64)
    masks = [torch.rand(rows, tokens, generator=generator) < 0.6 for _ in range(2)]
    for mask in masks:
        mask[:, 0] = True
    return [part.to(dtype) for part in texts], masks, scores.to(dtype)


# contrast ---------------------------------------------------------------------------------------


@given(
    arrays(float, (2, 3, 4), elements=st.floats(-30, 30)), arrays(float, (2, 3, 4), elements=st.floats(-30, 30)),
    st.floats(0, 3), st.floats(-100, 100),
)  # fmt: skip
def test_logits_and_log_probabilities_give_one_contrast_that_no_constant_changes(pos, neg, beta, constant):
    ids = torch.tensor([[0, 1, 3], [2, 2, 0]])
    first, second = torch.tensor(pos), torch.tensor(neg)
    found = contrastive_estimation(first, second, ids, beta)
    for other in (
        contrastive_estimation(first.log_softmax(-1), second.log_softmax(-1), ids, beta),
        contrastive_estimation(first + constant, second - 3 * constant, ids, beta),
    ):
        assert_allclose(other, found, atol=1e-10)
    combined = (1 + beta) * first.log_softmax(-1) - beta * second.log_softmax(-1)
    by_hand = (combined - combined.logsumexp(-1, keepdim=True))[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
    assert_allclose(found, by_hand, atol=1e-10)
    assert found.max() <= 1e-12


@given(
    arrays(float, 5, elements=st.floats(0.01, 1)), arrays(float, 5, elements=st.floats(0.01, 1)), st.floats(0, 3)
)  # fmt: skip
def test_the_normaliser_is_a_renyi_divergence_and_the_rooms_agree(pos, neg, beta):
    pos, neg = pos / pos.sum(), neg / neg.sum()
    direct = (pos ** (1 + beta) * neg**-beta).sum()
    assert_allclose(theory.contrast_log_normaliser(pos, neg, beta), math.log(direct), atol=1e-12)
    assert_allclose(theory.contrast(pos, neg, beta), pos ** (1 + beta) * neg**-beta / direct, rtol=1e-10)
    logits = [torch.tensor(np.log(law)).expand(1, 2, 5) for law in (pos, neg)]
    each = [contrastive_estimation(*logits, torch.tensor([[0, v]]), beta).exp().item() for v in range(5)]
    assert_allclose(each, theory.contrast(pos, neg, beta), rtol=1e-10)
    assert_allclose(sum(each), 1, rtol=1e-12)


def test_the_normalisers_bound_holds_and_is_attained_by_equal_laws():
    for bound in theory.BOUNDS:
        assert bound.check(20_000).holds
    law = np.array([0.2, 0.8])
    assert abs(theory.contrast_log_normaliser(law, law, 2.0)) < 1e-12


def test_equal_models_have_no_contrast_but_their_own_probabilities():
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ids = torch.tensor([[0, 1, 2, 3], [5, 4, 3, 2]])
    assert_allclose(contrastive_estimation(logits, logits, ids, 1.7), token_logps(logits, ids), atol=1e-12)


def test_tokens_that_wrong_answers_prefer_score_low():
    pos, neg = torch.tensor([[[0.5, 0.5], [0.0, 0.0]]]).log(), torch.tensor([[[0.1, 0.9], [0.0, 0.0]]]).log()
    pos[0, 1] = neg[0, 1] = 0.0
    scores = [contrastive_estimation(pos, neg, torch.tensor([[0, v]])).exp().item() for v in (0, 1)]
    assert_allclose(scores, [0.9, 0.1], rtol=1e-5)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 2))
def test_normal_laws_contrast_to_a_normal_law_further_on(mu_pos, mu_neg, beta):
    x = np.linspace(-40, 40, 40_001)
    logs = -((1 + beta) * (x - mu_pos) ** 2 - beta * (x - mu_neg) ** 2) / 2
    density = np.exp(logs - logs.max())
    density /= density.sum()
    mean = theory.gaussian_contrast_mean(mu_pos, mu_neg, beta)
    assert_allclose((density * x).sum(), mean, atol=1e-8)
    assert_allclose((density * (x - mean) ** 2).sum(), 1, atol=1e-8)


# losses -----------------------------------------------------------------------------------------


@given(BATCHES, GAMMAS, st.floats(0, 0.5))
def test_both_rooms_agree_in_both_forms(batch, gamma, smoothing):
    pol_w, pol_l, ref_w, ref_l, scores = batch
    *texts, weights = tensors(batch)
    for form in ("sequence", "token"):
        for scores_w in (None, scores):
            expected = theory.cdpo_loss(pol_w - ref_w, pol_l - ref_l, scores, gamma, form, scores_w, smoothing)
            found = cdpo_loss(
                *texts, all_of(weights), all_of(weights), weights, gamma, None if scores_w is None else weights, form,
                smoothing, reduction="none",
            )  # fmt: skip
            assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@given(BATCHES, GAMMAS)
def test_no_score_is_dpo_and_full_scores_leave_wrong_answers_alone(batch, gamma):
    *texts, scores = tensors(batch)
    mask = all_of(scores)
    sums = [each.sum(1) for each in texts]
    zero = cdpo_loss(*texts, mask, mask, torch.zeros_like(scores), gamma)
    assert_allclose(zero, dpo_loss(*sums, beta=gamma, scale=gamma), rtol=1e-9)
    one = cdpo_loss(*texts, mask, mask, torch.ones_like(scores), gamma)
    assert_allclose(one, -torch.nn.functional.logsigmoid(gamma * (sums[0] - sums[2])).mean(), rtol=1e-9, atol=1e-12)


def test_dpo_with_label_smoothing_and_rpo_are_as_trl_writes_them():
    (pol_w, pol_l, ref_w, ref_l), (mask_w, mask_l), scores = pairs()
    beta, smoothing, alpha = 0.3, 0.2, 0.7

    def total(values, mask):
        return (values * mask).sum(-1)

    # The sigmoid loss of trl's DPOTrainer: log-ratio of policies less that of references, smoothed towards the reverse.
    logratios = total(pol_w, mask_w) - total(pol_l, mask_l)
    logits = logratios - (total(ref_w, mask_w) - total(ref_l, mask_l))
    losses = -torch.nn.functional.logsigmoid(beta * logits) * (1 - smoothing)
    losses = losses - torch.nn.functional.logsigmoid(-beta * logits) * smoothing
    texts = (pol_w, pol_l, ref_w, ref_l, mask_w, mask_l)
    ours = cdpo_loss(*texts, torch.zeros_like(scores), beta, label_smoothing=smoothing, reduction="none")
    assert_allclose(ours, losses, rtol=1e-12)
    plain = -torch.nn.functional.logsigmoid(beta * logits) - alpha * total(pol_w, mask_w) / mask_w.sum(-1)
    assert_allclose(rpo_loss(*texts, beta, alpha, reduction="none"), plain, rtol=1e-12)
    weighted = cdpo_loss(*texts, scores, beta, nll_weight=alpha) - cdpo_loss(*texts, scores, beta)
    assert_allclose(weighted, -(alpha * total(pol_w, mask_w) / mask_w.sum(-1)).mean(), rtol=1e-10)


def test_the_token_form_is_the_authors_where_nothing_is_padded_and_leaves_padding_out():
    texts, _, scores = pairs()
    pol_w, pol_l, ref_w, ref_l = texts
    every = all_of(scores)
    by_hand = [
        -math.log(1 / (1 + math.exp(-0.1 * ((pol_w - ref_w)[b, t] - (1 - scores[b, t]) * (pol_l - ref_l)[b, t]))))
        for b, t in itertools.product(range(3), range(5))
    ]
    assert_allclose(cdpo_loss(*texts, every, every, scores, form="token"), np.mean(by_hand), rtol=1e-12)
    padded = [torch.nn.functional.pad(part, (0, 4), value=-torch.inf) for part in texts]
    mask = torch.nn.functional.pad(every, (0, 4))
    longer = torch.nn.functional.pad(scores, (0, 4), value=0.3)
    assert_allclose(cdpo_loss(*padded, mask, mask, longer, form="token"), np.mean(by_hand), rtol=1e-12)
    with_padding = (15 * np.mean(by_hand) + 12 * math.log(2)) / 27
    assert abs(with_padding - np.mean(by_hand)) > 1e-3


@given(BATCHES, GAMMAS)
def test_the_gradient_at_a_rejected_token_is_weighted_and_reaches_neither_reference_nor_scores(batch, gamma):
    pol_w, pol_l, ref_w, ref_l, scores = tensors(batch)
    for part in (pol_w, pol_l, ref_w, ref_l, scores):
        part.requires_grad_()
    mask = all_of(scores)
    cdpo_loss(pol_w, pol_l, ref_w, ref_l, mask, mask, scores, gamma, reduction="sum").backward()
    with torch.no_grad():
        h = gamma * ((pol_w - ref_w).sum(1) - ((1 - scores) * (pol_l - ref_l)).sum(1))
        push = gamma * torch.sigmoid(-h)[:, None]
        assert_allclose(pol_l.grad, push * (1 - scores), atol=1e-12)
        assert_allclose(pol_w.grad, -push.expand_as(pol_w), atol=1e-12)
    assert ref_w.grad is ref_l.grad is scores.grad is None


def test_weights_of_both_sides():
    scores, mask = torch.tensor([[0.25, 0.5, 9.0]]), torch.tensor([[True, True, False]])
    assert token_dpo_weights(scores, mask).tolist() == [[0.75, 0.5, 0.0]]
    assert token_dpo_weights(scores, mask, side="chosen").tolist() == [[0.25, 0.5, 0.0]]


def test_tdpo_by_hand_and_its_gradient_through_one_divergence_only():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    ref_logits = torch.randn(2, 2, 5, 7, generator=generator, dtype=torch.float64)
    ids = torch.randint(7, (2, 2, 5), generator=generator)
    pol, ref = ([token_logps(part[side], ids[side]) for side in (0, 1)] for part in (logits, ref_logits))
    kls = [token_forward_kl(logits[side], ref_logits[side]) for side in (0, 1)]
    mask = torch.tensor([[True, True, True, False]] * 2)
    loss = tdpo_loss(pol[0], pol[1], ref[0], ref[1], kls[0], kls[1], mask, mask, gamma=0.3, alpha=0.4)
    p, q = ref_logits.softmax(-1), logits.softmax(-1)
    divergence = (p * (p.log() - q.log())).sum(-1)[:, :, :3].sum(-1)
    ratio = [(pol[side] - ref[side])[:, :3].sum(-1) for side in (0, 1)]
    margin = ratio[0] - ratio[1] - 0.4 * (divergence[1] - divergence[0].detach())
    expected = -torch.nn.functional.logsigmoid(0.3 * margin).mean()
    assert_allclose(loss.item(), expected.item(), rtol=1e-12)
    gradients = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (loss, expected)]
    assert_allclose(gradients[0], gradients[1], atol=1e-12)
    whole = tdpo_loss(pol[0], pol[1], ref[0], ref[1], kls[0], kls[1], mask, mask, gamma=0.3, alpha=0.0)
    assert_allclose(whole.item(), dpo_loss(*(sequence_logps(t, mask) for t in (*pol, *ref)), 0.3, 0.3).item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", ["sequence", "token"])
def test_precisions_agree_on_every_device(dtype, form, device):
    texts, masks, scores = pairs()
    expected = cdpo_loss(*texts, *masks, scores, form=form)
    inputs = [part.to(dtype).to(device) for part in texts]
    found = cdpo_loss(*inputs, *(m.to(device) for m in masks), scores.to(dtype).to(device), form=form)
    assert found.dtype == dtype
    assert_allclose(found.cpu(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-12)
    halves = [part.to(torch.bfloat16).to(device) for part in texts]
    assert cdpo_loss(*halves, *(m.to(device) for m in masks), scores.to(device), form=form).dtype == torch.float32
    logits = torch.randn(2, 2, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(device)
    ids = torch.tensor([[0, 1, 2], [4, 3, 2]], device=device)
    low = contrastive_estimation(*logits.to(dtype), ids)
    assert low.dtype == dtype
    assert_allclose(low.cpu(), contrastive_estimation(*logits, ids).cpu(), rtol=1e-5, atol=1e-5)


def test_a_hugging_face_model_gives_the_same_scores_and_loss_by_hand():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32, n_positions=16)
    policy, reference, pos, neg = (transformers.GPT2LMHeadModel(config).eval() for _ in range(4))
    chosen, rejected = torch.randint(2, 32, (2, 8)), torch.randint(2, 32, (2, 8))
    mask = (torch.arange(7) >= 2).expand(2, -1)

    def by_hand(network, ids):
        logs = network(input_ids=ids).logits.log_softmax(-1)
        return torch.stack([torch.stack([logs[b, t, ids[b, t + 1]] for t in range(2, 7)]) for b in range(2)])

    with torch.no_grad():
        log_s = contrastive_estimation(pos(input_ids=rejected).logits, neg(input_ids=rejected).logits, rejected)
        texts = [
            token_logps(network(input_ids=ids).logits, ids)
            for network in (policy, reference) for ids in (chosen, rejected)
        ]  # fmt: skip
        ours = cdpo_loss(*texts, mask, mask, log_s.exp(), gamma=0.7)
        laws = [network(input_ids=rejected).logits.softmax(-1) for network in (pos, neg)]
        tilted = laws[0] ** 2 / laws[1]
        tilted = tilted / tilted.sum(-1, keepdim=True)
        s = torch.stack([torch.stack([tilted[b, t, rejected[b, t + 1]] for t in range(2, 7)]) for b in range(2)])
        up = (by_hand(policy, chosen) - by_hand(reference, chosen)).sum(1)
        down = ((1 - s) * (by_hand(policy, rejected) - by_hand(reference, rejected))).sum(1)
        assert_allclose(log_s[:, 2:].exp(), s, rtol=1e-4, atol=1e-7)
        assert_allclose(ours, torch.nn.functional.softplus(-0.7 * (up - down)).mean(), rtol=1e-5)


# critical tokens --------------------------------------------------------------------------------


@given(
    arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 8)), elements=st.sampled_from([0.0, 0.01, 0.04, 0.05, 0.3])),
    st.sampled_from([0.02, 0.05, 0.3]), st.sampled_from([0.0, 0.01]),
)  # fmt: skip
def test_the_critical_token_is_the_first_without_success_and_without_recovery(scores, later, none):
    found = find_critical_token(torch.tensor(scores), later, none)
    assert found.tolist() == [theory.critical_token(row, later, none) for row in scores]
    assert find_critical_token(torch.tensor(scores[0]), later, none).item() == found[0].item()
    for row, place in zip(scores, found.tolist(), strict=True):
        candidates = [t for t in range(len(row)) if row[t] <= none and all(row[t + 1 :] < later)]
        assert place == (candidates[0] if candidates else -1)


def test_a_later_success_sets_the_search_back():
    assert find_critical_token(torch.tensor([0.0, 0.2, 0.0, 0.0])).item() == 2
    assert find_critical_token(torch.tensor([0.0, 4 / 64, 0.0])).item() == 2
    assert find_critical_token(torch.tensor([0.0, 3 / 64, 0.0])).item() == 0
    assert find_critical_token(torch.tensor([0.0, 0.0, 0.1])).item() == -1


@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n):
    for k in range(1, n + 1):
        subsets = list(itertools.combinations(range(n), k))
        direct = [sum(min(subset) < c for subset in subsets) / len(subsets) for c in range(n + 1)]
        assert_allclose(pass_at_k(n, torch.arange(n + 1), k), direct, atol=1e-12)
        assert_allclose([theory.pass_at_k(n, c, k) for c in range(n + 1)], direct, atol=1e-12)
        assert_allclose(pass_at_k(n, 1, k).item(), k / n, atol=1e-12)


def test_half_of_all_rollouts_miss_a_chance_at_the_level_of_no_success():
    for n in (1, 8, 64):
        assert_allclose((1 - theory.no_success_level(n)) ** n, 0.5)


def tiny_model():
    world = ChainArithmetic(3, 2)
    torch.manual_seed(0)
    model = TinyGPT(world.vocab_size, d_model=8, n_heads=2, max_len=world.prompt_length + world.solution_length)
    with torch.no_grad():
        model.head.weight.mul_(20)
    return world, model


def test_rollout_scores_are_unbiased_for_exact_chances_on_every_device(device):
    """Two tokens are enumerated one by one: the tree, the rollouts and the sum over all continuations agree."""
    _, model = tiny_model()
    model = model.to(device)
    prompts, answers = torch.tensor([[7, 0], [7, 2]]), torch.tensor([[1, 0, 2], [2, 2, 1]])

    def verify(given, texts):
        return (texts.sum(1) + given[:, 1]) % 2 == 0

    generator = torch.Generator(device).manual_seed(0)
    texts = torch.cat([prompts, answers], 1).to(device)
    found = rollout_scores(
        lambda ids, n: sample(model, ids, n, generator=generator), texts, verify, 4000, prompt_length=2
    )
    direct = torch.zeros(2, 4, dtype=torch.float64)
    words = torch.arange(model.vocab_size)
    for b in range(2):
        for t in range(4):
            rest = torch.cartesian_prod(*[words] * (3 - t)).view(-1, 3 - t) if t < 3 else torch.zeros(1, 0).long()
            whole = torch.cat([prompts[b].expand(len(rest), 2), answers[b, :t].expand(len(rest), t), rest], 1)
            with torch.no_grad():
                logps = token_logps(model(whole.to(device)).double(), whole.to(device)).cpu()[:, 1 + t :].sum(1)
            right = verify(whole[:, :2], whole[:, 2:])
            direct[b, t] = (logps.exp() * right).sum()
    exact = theory.prefix_success(
        lambda ids: model(torch.from_numpy(ids).to(device))[:, -1].detach().double().softmax(-1).cpu().numpy(),
        prompts.numpy(), answers.numpy(), lambda p, a: verify(torch.from_numpy(p), torch.from_numpy(a)).numpy(), 0.0,
    )  # fmt: skip
    assert_allclose(exact.lower, direct, atol=1e-6)
    assert_allclose(exact.lower, exact.upper)
    spread = (direct[:, 1:] * (1 - direct[:, 1:]) / 4000).sqrt()
    assert ((found.cpu() - direct[:, 1:]).abs() <= 5 * spread + 1e-3).all()


def test_pruning_only_opens_bounds_and_forbidding_a_token_is_the_rest_of_the_tree():
    world, model = tiny_model()
    prompts = world.problems(3, torch.Generator().manual_seed(1))
    answers = sample(model, prompts, world.solution_length, generator=torch.Generator().manual_seed(2))

    def verify(given, texts):
        return texts[:, -1] % 2 == given[:, 1] % 2

    def found(prune, laws):
        return theory.prefix_success(laws, prompts.numpy(), answers.numpy(), verify, prune)

    def plain(ids):
        return model(torch.from_numpy(ids))[:, -1].detach().double().softmax(-1).numpy()

    fine, coarse = found(2e-3, plain), found(2e-2, plain)
    assert (coarse.lower <= fine.lower + 1e-12).all()
    assert (fine.upper <= coarse.upper + 1e-12).all()
    assert coarse.nodes < fine.nodes
    cached = found(2e-3, _CachedLaws(model, torch.device("cpu")))
    assert_allclose(cached.lower, fine.lower, atol=1e-5)
    rest = theory.success_without_token(fine.lower[:, 0], fine.lower[:, 1], fine.probs[:, 0])
    mean = fine.probs[:, 0] * fine.lower[:, 1] + (1 - fine.probs[:, 0]) * rest
    assert_allclose(mean, fine.lower[:, 0], atol=1e-12)


def test_tables_have_the_chances_of_their_enumeration():
    """The policy as a language model that copies without error, its continuations enumerated token by token."""
    base, steps = 3, 2
    world, tokens = ChainMDP(base, steps), ChainArithmetic(base, steps)
    rng = np.random.default_rng(0)
    policy = TabularChainPolicy(rng.normal(size=(2, base, base, base)))
    problems = world.problems(6, rng)
    results = policy.sample(problems, 1, rng)[:, 0]
    prompts = np.stack(
        [
            tokens.encode_problem(d.tolist(), ["+*"[o] for o in ops.tolist()])[0].numpy()
            for d, ops in zip(problems.digits, problems.operations, strict=True)
        ]
    )
    parts = []
    for i in range(steps):
        parts += [base + problems.operations[:, i], problems.digits[:, i + 1], results[:, i]]
    ends = [np.full(6, tokens.answer), results[:, -1], np.full(6, tokens.eos)]
    responses = np.stack([*parts, *ends], axis=1)

    def laws(prefixes):
        found = np.zeros((len(prefixes), tokens.vocab_size))
        place = prefixes.shape[1] - tokens.prompt_length
        for row, text in enumerate(prefixes):
            written, step = text[tokens.prompt_length :], place // 3
            if place < 3 * steps:
                op, digit = text[2 + 2 * step] - base, text[3 + 2 * step]
                value = written[3 * step - 1] if step else text[1]
                if place % 3 == 2:
                    found[row, :base] = policy.table[op, value, digit]
                else:
                    found[row, base + op if place % 3 == 0 else digit] = 1.0
            else:
                found[row, (tokens.answer, written[3 * steps - 1], tokens.eos)[place - 3 * steps]] = 1.0
        return found

    def verify(given, texts):
        return tokens.verify(torch.from_numpy(given), torch.from_numpy(texts)).numpy()

    exact = theory.prefix_success(laws, prompts, responses, verify, 0.0)
    assert_allclose(exact.lower, theory.chain_prefix_success(policy, problems, results), atol=1e-12)
    assert_allclose(exact.upper, exact.lower, atol=1e-12)


def test_the_simulations_sampler_samples_from_the_model_and_never_what_is_forbidden():
    _, model = tiny_model()
    with torch.no_grad():  # what was read before must matter for the second token
        model.blocks[0].get_submodule("out").weight.mul_(20)
    prefixes = torch.tensor([[1, 2, 3], [4, 0, 1]]).repeat_interleave(4000, 0)
    forbidden = torch.tensor([0, 1]).repeat_interleave(4000)
    with torch.no_grad():
        laws = model(prefixes[::4000])[:, -1].softmax(-1)
        new = _continued(model, prefixes, 2, torch.Generator().manual_seed(0), forbidden).view(2, 4000, 2)
        free = _continued(model, prefixes, 1, torch.Generator().manual_seed(0)).view(2, 4000)
        laws_banned = laws.scatter(1, torch.tensor([[0], [1]]), 0.0)
        laws_banned = laws_banned / laws_banned.sum(1, keepdim=True)
        after = model(torch.cat([prefixes[::4000], torch.tensor([[2], [2]])], 1))[:, -1].softmax(-1)
    for row in range(2):
        for drawn, law in ((free[row], laws[row]), (new[row, :, 0], laws_banned[row])):
            shares = torch.bincount(drawn, minlength=model.vocab_size) / 4000
            assert_allclose(shares, law, atol=5 * 0.5 / math.sqrt(4000))
        assert not (new[row, :, 0] == row).any()
        second = new[row, new[row, :, 0] == 2, 1]
        shares = torch.bincount(second, minlength=model.vocab_size) / len(second)
        assert_allclose(shares, after[row], atol=5 * 0.5 / math.sqrt(len(second)))


def test_the_first_wrong_token_reads_copies_as_well_as_results():
    world = ChainArithmetic(5, 2)
    prompt = world.encode_problem([3, 4, 2], ["+", "*"])
    right = world.solve(prompt)
    for place in range(6):
        spoilt = right.clone()
        spoilt[0, place] = world.times if spoilt[0, place] == world.plus else (spoilt[0, place] + 1) % 5
        assert _first_wrong_token(world, prompt, spoilt).item() == place
    assert _first_wrong_token(world, prompt, right).item() == 6


# bad arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_l": torch.tensor([[True, True], [False, False]])}, "mask_l must have a target in every row, row 1"),
        ({"mask_w": torch.zeros(2, 2)}, "mask_w must have a target in every row, row 0"),
        ({"mask_w": torch.ones(2, 3)}, "mask_w must be bool or float of shape"),
        ({"ref_w_tok": None}, "ref_w_tok must be the reference's log-probabilities, got None"),
        ({"ref_l_tok": None}, "ref_l_tok must be the reference's log-probabilities, got None"),
        ({"pol_w_tok": torch.tensor([[-1.0, 0.5], [-1.0, -1.0]])}, "pol_w_tok must be log-probabilities, at most 0"),
        ({"pol_l_tok": torch.tensor([[-1.0, torch.nan], [-1.0, -1.0]])}, "pol_l_tok"),
        ({"ref_l_tok": torch.full((2, 3), -1.0)}, "ref_l_tok must have shape"),
        ({"scores_l": torch.full((2, 3), 0.5)}, "scores_l must have shape"),
        ({"scores_l": torch.full((2, 2), 1.5)}, r"scores_l must lie in \[0, 1\]"),
        ({"scores_w": torch.full((2, 2), -0.5)}, r"scores_w must lie in \[0, 1\]"),
        ({"gamma": 0.0}, "gamma"),
        ({"form": "sentence"}, "form must be one of"),
        ({"label_smoothing": 0.7}, "label_smoothing"),
        ({"nll_weight": -1.0}, "nll_weight"),
        ({"reduction": "median"}, "reduction"),
    ],
)
def test_bad_arguments_of_the_loss_are_refused_by_name(unchecked, change, message):
    logps = torch.full((2, 2), -1.0)
    good = dict.fromkeys(("pol_w_tok", "pol_l_tok", "ref_w_tok", "ref_l_tok"), logps)
    good |= {"mask_w": all_of(logps), "mask_l": all_of(logps), "scores_l": torch.full((2, 2), 0.5)}
    with pytest.raises(ValueError, match=message):
        cdpo_loss(**{**good, **change})


def test_lengths_may_differ_in_the_papers_form_only():
    short, long = torch.full((2, 2), -1.0), torch.full((2, 3), -1.0)
    arguments = (short, long, short, long, all_of(short), all_of(long), torch.zeros(2, 3))
    assert_allclose(cdpo_loss(*arguments), math.log(2), rtol=1e-6)
    with pytest.raises(ValueError, match=r"pol_l_tok must have shape .* for form 'token'"):
        cdpo_loss(*arguments, form="token")


def test_numbers_that_cannot_be_are_refused_by_name(unchecked):
    with pytest.raises(ValueError, match=r"k must be at most n = 4 \(use min\(k, n\)\)"):
        pass_at_k(4, 1, 5)
    with pytest.raises(ValueError, match="c must be in 0 … n = 4"):
        pass_at_k(4, torch.tensor([5]), 2)
    with pytest.raises(ValueError, match="scores must lie in"):
        find_critical_token(torch.tensor([0.5, 1.5]))
    with pytest.raises(ValueError, match="neg_logits must have shape"):
        contrastive_estimation(torch.zeros(1, 3, 4), torch.zeros(1, 3, 5), torch.tensor([[0, 1, 2]]))
    with pytest.raises(ValueError, match="prefixes must have shape"):
        rollout_scores(lambda ids, n: ids, torch.tensor([[1, 2]]), lambda p, a: p, prompt_length=2)
    with pytest.raises(ValueError, match="neg must be above 0 wherever pos is"):
        theory.contrast(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="prob must be below 1"):
        theory.success_without_token(np.array([0.5]), np.array([0.5]), np.array([1.0]))
    with pytest.raises(ValueError, match="policy must be a TabularChainPolicy"):
        theory.chain_prefix_success(None, ChainProblems(np.array([[1, 1]]), np.array([[0]])), np.array([[1]]))
