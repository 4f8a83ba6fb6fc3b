"""Per-step advantages: the tabular chain, closed forms against other computations, losses, rollouts, judges."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from neural.alignment import per_step_advantage as neural
from neural.alignment.rollouts import mc_step_q
from neural.tiny_lm.chain_arithmetic import ChainArithmetic
from neural.tiny_lm.logprobs import labels_to_mask, token_logps
from neural.tiny_lm.model import TinyGPT
from simulations.alignment import per_step_advantage as simulation
from simulations.alignment.arithmetic_preferences import exact_step_q
from simulations.alignment.chain_learning import METHODS, successful_counts, teacher_counts
from simulations.alignment.data_scaling import _middle_of_the_best, efficiency_factors
from simulations.alignment.sampled_preferences import TABLE_ARMS, SampledPreferences, _masks, _trained
from theory.alignment import per_step_advantage as theory
from theory.alignment.chain_mdp import (
    ChainMDP,
    ChainProblems,
    TabularChainPolicy,
    exact_advantages,
    exact_values,
    expected_counts,
    fit_sft,
    step_values,
)

EXAMPLES = settings(max_examples=30)
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = [torch.float32, torch.float64]


def chain(seed: int, base: int = 4, n_ops: int = 3, n: int = 6):
    rng = np.random.default_rng(seed)
    world = ChainMDP(base, n_ops)
    return world, world.problems(n, rng), TabularChainPolicy(rng.normal(size=(2, base, base, base))), rng


def prefixes(seed: int, states: int = 5, actions: int = 4):
    rng = np.random.default_rng(seed)
    pi = 0.05 / actions + 0.95 * rng.dirichlet(np.ones(actions), states)
    Q = rng.random((states, actions))
    return pi, Q - (pi * Q).sum(axis=1, keepdims=True), Q


# the chain ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "n_ops"), [(5, 3), (7, 1), (2, 4)])
def test_tables_and_tokens_are_the_same_world(base, n_ops):
    tokens, tables = ChainArithmetic(base, n_ops), ChainMDP(base, n_ops)
    prompts = tokens.problems(200, torch.Generator().manual_seed(0))
    digits, operations = (part.numpy() for part in tokens.parts(prompts))
    problems = ChainProblems(digits, operations)
    solutions = tokens.solve(prompts)
    assert_array_equal(tables.results(problems), solutions[:, 2:-3:3].numpy())
    written = torch.randint(base, (200, n_ops), generator=torch.Generator().manual_seed(1))
    solutions[:, 2:-3:3], solutions[:, -2] = written, written[:, -1]
    assert_array_equal(tables.verify(problems, written.numpy()), tokens.verify(prompts, solutions).numpy())
    assert_array_equal(tables.step_ok(problems, written.numpy()), tokens.step_ok(prompts, solutions).numpy())
    first = tokens.first_wrong_step(prompts, solutions).numpy()
    assert_array_equal(tables.first_wrong_step(problems, written.numpy()), first)


@EXAMPLES
@given(SEEDS)
def test_exact_values_are_sums_over_all_solutions(seed):
    world, problems, policy, _ = chain(seed, base=3, n=4)
    values, table = exact_values(policy, problems), policy.table
    answers = world.results(problems)[:, -1]
    for x in range(len(problems)):
        total = 0.0
        for results in itertools.product(range(3), repeat=3):
            chance, value = 1.0, problems.digits[x, 0]
            for i, r in enumerate(results):
                chance *= table[problems.operations[x, i], value, problems.digits[x, i + 1], r]
                value = r
            total += chance * (value == answers[x])
        assert values[0][x, problems.digits[x, 0]] == pytest.approx(total, abs=1e-12)
        assert policy.success(problems)[x] == pytest.approx(total, abs=1e-12)


def test_sampled_solutions_succeed_and_use_entries_as_often_as_computed():
    world, problems, policy, rng = chain(0, n=20)
    samples = policy.sample(problems, 4000, rng)
    rate = world.verify(problems, samples).mean(axis=1)
    truth = policy.success(problems)
    assert np.abs((rate - truth) / np.sqrt(truth * (1 - truth) / 4000)).max() < 4.5
    mean = world.counts(problems, samples) / 4000
    assert_allclose(mean, expected_counts(policy, problems), atol=0.06)


@EXAMPLES
@given(SEEDS)
def test_advantages_vanish_on_average_and_telescope_to_the_reward(seed):
    world, problems, policy, rng = chain(seed)
    A, values = exact_advantages(policy, problems), exact_values(policy, problems)
    assert_allclose((policy.transitions(problems) * A).sum(axis=-1), 0, atol=1e-12)
    results = policy.sample(problems, 3, rng)
    along = step_values(values, problems, results)
    assert_array_equal(along[..., -1], world.verify(problems, results))
    assert_allclose(np.diff(along).sum(axis=-1), along[..., -1] - along[..., 0], atol=1e-12)
    assert_allclose(along[..., 0], np.broadcast_to(policy.success(problems)[:, None], along.shape[:2]))


def test_a_confident_teacher_is_always_right_and_a_greedy_policy_follows_it():
    world, problems, _, _ = chain(0, n=300)
    policy = fit_sft(world.counts(problems, world.results(problems)), kappa=1e-9)
    assert_allclose(policy.success(problems), 1, atol=1e-6)
    assert_array_equal(policy.greedy(problems), world.results(problems))


def test_own_transitions_of_every_problem_are_taken_as_they_are():
    _, problems, policy, _ = chain(3)
    for one, other in zip(
        exact_values(policy, problems), exact_values(policy.transitions(problems), problems), strict=True
    ):
        assert_array_equal(one, other)


# closed forms ------------------------------------------------------------------------------------


@EXAMPLES
@given(SEEDS, st.floats(0.05, 20))
def test_preference_minimiser_is_the_advantage_weighted_policy_however_pairs_are_drawn(seed, beta):
    pi, A, _ = prefixes(seed)
    rng = np.random.default_rng(seed)
    target = theory.awr_policy(pi, A, beta)
    for pairs in (None, np.full_like(pi, 0.25), rng.dirichlet(np.ones(16), 5).reshape(5, 4, 4) + 1e-3):
        assert_allclose(np.log(theory.population_dpo(pi, A, beta, pairs=pairs)), np.log(target), atol=1e-8)


@pytest.mark.parametrize("beta", [0.2, 1.0, 3.0])
def test_a_general_optimiser_finds_the_same_minimiser(beta):
    pi, A, _ = prefixes(0, states=1)

    def loss(logits):
        policy = np.exp(logits - np.logaddexp.reduce(logits))
        return float(theory.dpo_population_loss(policy, pi[0], A[0], beta))

    found = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-7}).x
    target = theory.awr_policy(pi, A, beta)[0]
    assert_allclose(np.exp(found - np.logaddexp.reduce(found)), target, atol=1e-5)


@EXAMPLES
@given(SEEDS, st.floats(0.1, 5))
def test_advantage_weighted_likelihood_has_no_better_policy(seed, beta):
    pi, A, _ = prefixes(seed)
    weights = pi * np.exp(A / beta)
    best = (weights * np.log(theory.awr_policy(pi, A, beta))).sum(axis=1)
    other = np.random.default_rng(seed).dirichlet(np.ones(4), (50, 5)) + 1e-300
    assert ((weights * np.log(other)).sum(axis=-1) <= best + 1e-12).all()


def test_wrong_reference_or_labels_give_another_policy_and_hard_labels_none():
    pi, A, _ = prefixes(1)
    target = theory.awr_policy(pi, A, 1.0)
    gaps = A[..., :, None] - A[..., None, :]
    half = theory.population_dpo(pi, A, 1.0, labels=1 / (1 + np.exp(-gaps / 2)))
    assert_allclose(half, theory.awr_policy(pi, A, 2.0), atol=1e-10)
    assert np.abs(half - target).max() > 1e-2
    uniform = theory.population_dpo(pi, A, 1.0, reference=np.full_like(pi, 0.25))
    assert_allclose(uniform, theory.awr_policy(np.full_like(pi, 0.25), A, 1.0), atol=1e-10)
    with pytest.raises(ValueError, match="labels"):
        theory.population_dpo(pi, A, 1.0, labels=(gaps > 0) + 0.5 * (gaps == 0))


def test_hard_labels_that_form_a_cycle_have_a_minimiser_and_disconnected_pairs_none():
    pi, A = np.full((1, 3), 1 / 3), np.zeros((1, 3))
    cycle = np.array([[[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]]])
    assert_allclose(theory.population_dpo(pi, A, 1.0, labels=cycle), pi, atol=1e-10)
    with pytest.raises(ValueError, match="pairs"):
        theory.population_dpo(pi, A, 1.0, pairs=np.array([[[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]]))


@EXAMPLES
@given(SEEDS, st.floats(0.05, 20))
def test_advantage_weighting_improves_every_chain(seed, beta):
    _, problems, policy, _ = chain(seed)
    transitions = policy.transitions(problems)
    improved = theory.awr_policy(transitions, exact_advantages(policy, problems), beta)
    rows, first = np.arange(len(problems)), problems.digits[:, 0]
    assert (exact_values(improved, problems)[0][rows, first] >= policy.success(problems) - 1e-12).all()


def test_limits_of_beta_are_the_policy_itself_and_the_greedy_one():
    pi, A, _ = prefixes(2)
    assert_allclose(theory.awr_policy(pi, A, 1e12), pi, atol=1e-10)
    assert_allclose(theory.awr_policy(pi, A, 1e-9), np.eye(4)[A.argmax(axis=1)], atol=1e-12)
    assert_allclose(theory.awr_policy(pi, np.zeros_like(A), 1.0), pi, rtol=1e-15)


def test_success_need_not_rise_as_beta_falls_once_rewards_are_graded():
    """The first step's better branch gains nothing from weighting; the other's final step gains everything."""
    # 0.6 for sure, against a chain that has 0.59 and could have 1.
    policies = [np.array([[0.5, 0.5]]), np.array([[0.5, 0.5], [0.41, 0.59]])]
    rewards = np.array([0.6, 0.6, 0.0, 1.0])
    success = []
    for inverse in (0.0, 10.0, 2000.0):
        values = theory.tree_values(policies, rewards)
        weighted = [
            theory.awr_policy(p, inverse * (after.reshape(p.shape) - before[:, None]), 1.0)
            for p, before, after in zip(policies, values[:-1], values[1:], strict=True)
        ]
        success.append(float(theory.tree_values(weighted, rewards)[0][0]))
    assert success[0] < success[2] < success[1] - 0.1


@EXAMPLES
@given(SEEDS)
def test_rft_is_likelihood_of_successes_and_keeps_hopeless_prefixes(seed):
    pi, _, Q = prefixes(seed)
    Q[0] = 0.0
    found = theory.rft_policy(pi, Q)
    assert_allclose(found[0], pi[0], rtol=1e-14)
    V = (pi * Q).sum(axis=1, keepdims=True)
    assert_allclose(found[1:], (pi * Q / np.where(V > 0, V, 1))[1:], atol=1e-14)
    # A step gains exactly where its Q exceeds V.
    assert ((found > pi + 1e-15) == (Q > V + 1e-14))[1:].all()


def test_rft_of_a_chain_is_the_counts_of_its_successful_samples():
    world, problems, policy, rng = chain(5, base=3, n=1)
    samples = policy.sample(problems, 200_000, rng)
    right = world.verify(problems, samples)
    counts = world.counts(problems, samples, np.repeat(right[..., None], 3, axis=-1).astype(float))
    values = exact_values(policy, problems)
    q = np.stack([np.broadcast_to(v[:, None, :], (1, 3, 3)) for v in values[1:]], axis=1)
    assert_allclose(counts / 200_000, expected_counts(policy, problems, q), atol=5e-3)


@EXAMPLES
@given(st.floats(0, 1), st.integers(1, 8))
def test_best_of_k_keeps_the_order_and_its_digits(Q, k):
    found = theory.best_of_k_values(np.array([Q, 1e-18]), k)
    assert found[0] == pytest.approx(1 - (1 - Q) ** k, abs=1e-12)
    assert found[1] == pytest.approx(k * 1e-18, rel=1e-9)


def test_bound_of_improvement_holds_and_is_attained_without_advantages():
    report = theory.BOUNDS[0].check(1000)
    assert report.holds
    assert report.worst_ratio > 0.99


def test_efficiency_is_read_off_the_curve():
    curve = np.array([[10, 0.2], [20, 0.15], [40, 0.6], [80, 0.9]])
    assert theory.sample_efficiency(curve, 0.6, size=10) == pytest.approx(4)
    assert theory.sample_efficiency(curve, 0.95) == np.inf
    assert theory.sample_efficiency(curve, 0.0) == 10
    shifted = curve * [0.25, 1]
    assert theory.fitted_efficiency(curve, shifted) == pytest.approx(4, rel=0.02)
    assert theory.fitted_efficiency(curve, curve) == pytest.approx(1, rel=0.02)


def test_a_single_prefix_makes_rl_and_preferences_agree_and_shared_entries_do_not():
    world = ChainMDP(4, 1)
    problems = ChainProblems(np.array([[1, 2]]), np.array([[0]]))
    start = fit_sft(teacher_counts(world, problems))
    entry = (0, 1, 2)
    found = {name: METHODS[name](start, 0 * start.table, problems, (3.0,), 1e-9)[0].table[entry] for name in METHODS}
    A = exact_advantages(start, problems)[0, 0, 1]
    expected = theory.awr_policy(start.table[entry], A, 1 / 3)
    assert_allclose(found["per-step dpo"], expected, atol=1e-8)
    assert_allclose(found["awr"], expected, atol=1e-6)
    q = A + start.success(problems)[0]
    assert_allclose(found["rft"], theory.rft_policy(start.table[entry], np.clip(q, 0, 1)), atol=1e-6)


def test_one_minimisation_serves_every_beta_of_per_step_dpo():
    world, problems, start, _ = chain(1, base=3, n=40)
    inverses = (0.5, 20.0)
    together = METHODS["per-step dpo"](start, teacher_counts(world, problems), problems, inverses, 3.0)
    for inverse, policy in zip(inverses, together, strict=True):
        (alone,) = METHODS["per-step dpo"](start, teacher_counts(world, problems), problems, (inverse,), 3.0)
        assert_allclose(policy.table, alone.table, rtol=1e-12)
    # h = beta log(pi/pi_ref) is the same for both.
    h = [np.log(p.table / start.table) / x for p, x in zip(together, inverses, strict=True)]
    assert_allclose(np.diff(h[0]), np.diff(h[1]), atol=1e-6)


def test_infinite_weight_is_the_limit_of_fine_tuning_on_own_solutions():
    world = ChainMDP(4, 3)
    problems, own = world.problems(20, np.random.default_rng(0)), world.problems(80, np.random.default_rng(1))
    start = fit_sft(teacher_counts(world, problems))
    teachers, successes = teacher_counts(world, problems), successful_counts(start, own)
    twice, much, limit = METHODS["rft"](start, teachers, own, (2.0, 1e9, np.inf), 3.0)
    assert_allclose(twice.table, fit_sft(teachers + 2 * successes, 3.0).table, atol=1e-12)
    assert_allclose(much.table, limit.table, atol=1e-5)
    met = successes.sum(axis=-1, keepdims=True) > 0
    shares = successes / np.where(met, successes.sum(axis=-1, keepdims=True), 1)
    assert_allclose(limit.table, np.where(met, shares, 0.25), atol=1e-8)


def test_of_equally_good_settings_the_middle_one_is_chosen():
    assert _middle_of_the_best(np.array([0.1, 0.5, 0.5, 0.5, 0.2])) == 2
    assert _middle_of_the_best(np.array([0.5, 0.1, 0.6])) == 2


def test_what_is_blamed_in_each_arm_of_sampled_pairs():
    q = torch.tensor([[0.5, 0.6, 0.1, 0.0], [0.5, 0.1, 0.1, 0.0]])
    masks = _masks(SampledPreferences(), q, torch.Generator().manual_seed(0))
    assert masks["standard"].all()
    assert masks["per step"].tolist() == [[True, True, False], [True, False, False]]
    assert masks["pit only"].tolist() == [[False, True, False], [True, False, False]]
    random = masks["random step"].int()
    assert (random[:, 0] == 1).all()
    assert (random.diff(dim=1) <= 0).all()


def test_tables_trained_together_move_as_the_loss_of_each_says():
    """One small step of Adam: every member moves against the sign of its own gradient, by finite differences."""
    world, rng = ChainMDP(3, 2), np.random.default_rng(0)
    start = fit_sft(teacher_counts(world, world.problems(8, rng)))
    problems = world.problems(5, rng)
    right, wrong = world.results(problems), start.sample(problems, 1, rng)[:, 0]
    settings_ = SampledPreferences(base=3, n_ops=2, betas=(0.5, 3.0), steps=1, lr=1e-3)
    masks = _masks(settings_, torch.tensor(rng.random((5, 3))), torch.Generator().manual_seed(0))
    trained = _trained(start, problems, dict.fromkeys(TABLE_ARMS, right), wrong, masks, settings_, "cpu")
    members = itertools.product(TABLE_ARMS, settings_.betas)
    for (arm, beta), policy in zip(members, trained, strict=True):

        def loss(logits, arm=arm, beta=beta):
            ratio = np.log(TabularChainPolicy(logits).table) - np.log(start.table)
            use = [
                (ratio[problems.operations, before, problems.digits[:, 1:], results] * mask).sum(axis=1)
                for results, mask in ((right, np.ones((5, 2))), (wrong, masks[arm].numpy()))
                for before in (np.concatenate([problems.digits[:, :1], results[:, :-1]], axis=1),)
            ]
            return float(np.log1p(np.exp(-beta * (use[0] - use[1]))).mean())

        moved = policy.logits - start.logits.astype(np.float32)
        for place in rng.choice(moved.size, 12, replace=False):
            nudge = np.zeros(moved.size)
            nudge[place] = 1e-4
            nudge = nudge.reshape(moved.shape)
            slope = (loss(start.logits + nudge) - loss(start.logits - nudge)) / 2e-4
            if abs(slope) > 1e-4:
                assert moved.ravel()[place] == pytest.approx(-1e-3 * np.sign(slope), rel=0.02)
            else:
                assert abs(moved.ravel()[place]) <= 1.01e-3


# losses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_per_step_loss_is_its_formula_and_pushes_no_token_after_the_pit(dtype, device):
    generator = torch.Generator().manual_seed(0)
    w, lost, ref_w, ref_l = (-torch.rand(3, 5, generator=generator, dtype=dtype).to(device) for _ in range(4))
    mask_w = torch.ones(3, 5, dtype=torch.bool, device=device)
    mask_l = neural.prefix_mask(torch.tensor([2, 4, 5], device=device), torch.tensor([0, 1, 2], device=device), 5)
    w.requires_grad_()
    lost.requires_grad_()
    loss = neural.per_step_dpo_loss(w, lost, ref_w, ref_l, mask_w, mask_l, beta=0.7, reduction="none")
    h = 0.7 * ((w - ref_w).sum(1) - ((lost - ref_l) * mask_l).sum(1))
    assert_allclose(loss.detach().cpu(), torch.log1p(torch.exp(-h)).detach().cpu(), rtol=1e-5)
    loss.sum().backward()
    assert lost.grad is not None
    assert w.grad is not None
    assert (lost.grad[~mask_l] == 0).all()
    assert_allclose(
        lost.grad[mask_l].cpu(), (0.7 * torch.sigmoid(-h)[:, None] * mask_l)[mask_l].detach().cpu(), rtol=1e-5
    )
    assert (w.grad < 0).all()
    assert loss.dtype == dtype


def test_equal_policies_cost_log_two_and_huge_margins_stay_finite():
    w = torch.full((1, 3), -2.0)
    ones = torch.ones(1, 3)
    assert neural.per_step_dpo_loss(w, w, w, w, ones, ones, 0.1).item() == pytest.approx(np.log(2))
    far = torch.full((1, 3), -1e4)
    assert neural.per_step_dpo_loss(far, w, w, far, ones, ones, 1.0).item() == pytest.approx(6e4, rel=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_advantage_weighted_likelihood_is_minimised_by_the_closed_form(dtype):
    """The loss is convex in logits: where its gradient is zero, it is smallest."""
    pi, A, _ = prefixes(3, states=1)

    def loss(logits):
        logps = torch.log_softmax(logits, 0)
        # Each step is its own row, drawn as often as pi says: weights of rows are copies of the loss.
        each = [
            float(pi[0, a]) * neural.advantage_weighted_nll(
                logps[a].view(1, 1), torch.zeros(1, 1, dtype=torch.long), torch.tensor([[A[0, a]]], dtype=dtype), 0.5
            )
            for a in range(4)
        ]  # fmt: skip
        return torch.stack(each).sum()

    logits = torch.tensor(np.log(theory.awr_policy(pi, A, 0.5)[0]), dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(logits), logits)
    assert_allclose(slope, 0, atol=1e-12 if dtype == torch.float64 else 1e-6)
    (elsewhere,) = torch.autograd.grad(loss(start := torch.zeros(4, dtype=dtype, requires_grad=True)), start)
    assert elsewhere.abs().max() > 1e-2
    assert loss(logits) < loss(start)


def test_weights_are_clipped_and_tokens_outside_steps_do_not_count():
    logps = torch.tensor([[-1.0, -2.0, float("-inf")]], requires_grad=True)
    ids = torch.tensor([[0, 1, -1]])
    loss = neural.advantage_weighted_nll(logps, ids, torch.tensor([[1.0, -1.0]]), beta=1e-3, clip=2.0)
    assert loss.item() == pytest.approx((np.exp(2) + 2 * np.exp(-2)) / 2, rel=1e-6)
    loss.backward()
    assert logps.grad is not None
    assert logps.grad[0, 2] == 0


def test_pits_by_each_rule_and_ties_to_the_first():
    q = torch.tensor([[0.6, 0.0, 0.0], [0.5, 0.5, 0.5]])
    adv = neural.step_advantages(q, torch.tensor([0.5, 0.5]))
    assert neural.first_pit(q, adv).tolist() == [1, 0]
    assert neural.first_pit(q, adv, "first_argmin_q").tolist() == [1, 0]
    assert neural.first_pit(q, adv, ("threshold", 0.55)).tolist() == [1, 0]
    assert_allclose(adv.sum(1), q[:, -1] - 0.5)


def test_pairs_join_each_wrong_answer_with_a_right_one_of_its_problem():
    correct = torch.rand(50, 6, generator=torch.Generator().manual_seed(0)) < 0.4
    pairs = neural.preference_pairs(correct, torch.Generator().manual_seed(1))
    assert correct[pairs[:, 0], pairs[:, 1]].all()
    assert not correct[pairs[:, 0], pairs[:, 2]].any()
    mixed = correct.any(1)
    assert len(pairs) == (~correct[mixed]).sum()
    with pytest.warns(UserWarning, match="no pairs"):
        assert neural.preference_pairs(torch.ones(2, 3, dtype=torch.bool)).shape == (0, 3)


# rollouts ----------------------------------------------------------------------------------------


def tiny_model(world: ChainArithmetic) -> TinyGPT:
    torch.manual_seed(0)
    model = TinyGPT(world.vocab_size, d_model=8, max_len=world.prompt_length + world.solution_length)
    with torch.no_grad():
        model.head.weight.normal_(0, 0.5)
    return model


def test_rollouts_estimate_the_exact_values_of_a_table():
    tokens = ChainArithmetic(3, 2)
    prompts = tokens.problems(5, torch.Generator().manual_seed(0))
    problems = ChainProblems(*(part.numpy() for part in tokens.parts(prompts)))
    rng = np.random.default_rng(0)
    policy = TabularChainPolicy(rng.normal(size=(2, 3, 3, 3)))
    results = policy.sample(problems, 1, rng)
    exact = step_values(exact_values(policy, problems), problems, results)[:, 0]
    responses = written(tokens, prompts, results[:, 0])

    def sampler(prefixes, n_new):
        """The table's own rollouts, in tokens."""
        given, done = prefixes[:, : tokens.prompt_length], (prefixes.shape[1] - tokens.prompt_length) // 3
        some = ChainProblems(*(part.numpy() for part in tokens.parts(given)))
        table, value = policy.table, some.digits[:, 0]
        columns = [prefixes[:, tokens.prompt_length + 2 + 3 * i].numpy() for i in range(done)]
        for i in range(done, 2):
            before = columns[-1] if columns else value
            chances = table[some.operations[:, i], before, some.digits[:, i + 1]].cumsum(-1)
            columns.append((rng.random((len(given), 1)) * chances[:, -1:] >= chances).sum(-1))
        return written(tokens, given, np.stack(columns, axis=1))[:, 3 * done :]

    q = mc_step_q(sampler, prompts, responses, torch.tensor([0, 3, 6]), tokens.verify, n_rollouts=2000, max_batch=3000)
    assert np.abs(q.numpy() - exact).max() < 0.05
    best = mc_step_q(sampler, prompts, responses, torch.tensor([0, 3]), tokens.verify, n_rollouts=2000, best_of=3)
    assert_allclose(best.numpy(), theory.best_of_k_values(exact, 3)[:, :2], atol=0.06)


def written(tokens: ChainArithmetic, prompts: torch.Tensor, results: np.ndarray) -> torch.Tensor:
    responses = tokens.solve(prompts)
    responses[:, 2:-3:3] = torch.from_numpy(np.asarray(results))
    responses[:, -2] = responses[:, 3 * tokens.n_ops - 1]
    return responses


def test_best_of_k_by_rollouts_is_unbiased_over_all_outcomes():
    from math import comb

    n, k, q = 6, 3, 0.3
    mean = 0.0
    for c in range(n + 1):
        rollouts = torch.tensor([1] * c + [0] * (n - c))
        found = mc_step_q(
            lambda prefixes, n_new, rows=rollouts: rows[:, None].repeat(1, n_new),
            torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long), torch.tensor([1]),
            lambda prompts, responses: responses[:, -1] == 1, n_rollouts=n, best_of=k,
        )  # fmt: skip
        mean += comb(n, c) * q**c * (1 - q) ** (n - c) * float(found[0, 0])
    assert mean == pytest.approx(1 - (1 - q) ** k, abs=1e-6)


def test_enumeration_of_a_transformer_agrees_with_its_rollouts():
    world = ChainArithmetic(2, 2)
    model = tiny_model(world)
    prompts = world.problems(3, torch.Generator().manual_seed(0))
    responses = world.solve(prompts)
    exact, formed = exact_step_q(model, world, prompts, responses)
    assert (exact <= formed + 1e-6).all()
    assert (formed <= 1 + 1e-5).all()
    # The whole solution but for its end is given: what is left are three tokens.
    ids, _ = world.texts(prompts, responses)
    last = token_logps(model(ids), ids)[:, -3:].sum(1).exp()
    assert_allclose(exact[:, -1], last.detach(), rtol=1e-5)


def test_steps_of_own_ends_and_common_ones_give_the_same():
    sampler = lambda prefixes, n_new: torch.ones(len(prefixes), n_new, dtype=torch.long)  # noqa: E731
    right = lambda prompts, responses: responses.sum(1) > 2  # noqa: E731
    prompts, responses = torch.zeros(2, 1, dtype=torch.long), torch.tensor([[0, 1, 0, 1], [0, 0, 0, 1]])
    common = mc_step_q(sampler, prompts, responses, torch.tensor([1, 2]), right, 2)
    assert torch.equal(common, mc_step_q(sampler, prompts, responses, torch.tensor([[1, 2], [1, 2]]), right, 2))
    own = mc_step_q(sampler, prompts, responses, torch.tensor([[1, 3], [2, 4]]), right, 2)
    assert own.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_losses_work_with_a_real_causal_model():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=64, n_positions=32)
    model, reference = (transformers.GPT2LMHeadModel(config).eval() for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    ids_w, ids_l = (torch.randint(2, 64, (3, 12), generator=generator) for _ in range(2))
    labels = ids_l.clone()
    labels[:, :4] = -100
    mask, _ = labels_to_mask(labels)
    cut = mask & neural.prefix_mask(torch.tensor([5, 8, 11]), torch.tensor([0, 1, 2]), 11)

    def ours(net, ids):
        return token_logps(net(input_ids=ids).logits, ids)

    def by_hand(net, ids, chosen):
        picked = torch.log_softmax(net(input_ids=ids).logits[:, :-1], -1).gather(-1, ids[:, 1:, None])[..., 0]
        return torch.stack([picked[b][chosen[b]].sum() for b in range(3)])

    with torch.no_grad():
        ref_w, ref_l = ours(reference, ids_w), ours(reference, ids_l)
    loss = neural.per_step_dpo_loss(ours(model, ids_w), ours(model, ids_l), ref_w, ref_l, mask, cut, beta=0.5)
    margin = (by_hand(model, ids_w, mask) - by_hand(reference, ids_w, mask)) - (
        by_hand(model, ids_l, cut) - by_hand(reference, ids_l, cut)
    )
    assert loss.item() == pytest.approx(-torch.nn.functional.logsigmoid(0.5 * margin).mean().item(), rel=1e-5)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    steps = torch.where(mask, 0, -1)
    weighted = neural.advantage_weighted_nll(ours(model, ids_l), steps, torch.full((3, 1), 0.2), beta=0.5)
    plain = -(by_hand(model, ids_l, mask).sum() / mask.sum())
    assert weighted.item() == pytest.approx(np.exp(0.4) * plain.item(), rel=1e-5)


# refusals ----------------------------------------------------------------------------------------


def test_bad_input_is_named(unchecked):
    w, mask = -torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)
    empty = mask.clone()
    empty[1] = False
    for change, name in (
        ({"ref_l_tok": None}, "ref_l_tok"), ({"pol_w_tok": -w}, "pol_w_tok"), ({"mask_l_prefix": empty}, "mask_l_prefix"),
        ({"mask_w": mask[:, :2]}, "mask_w"), ({"ref_w_tok": w[:1]}, "ref_w_tok|mask_w"), ({"beta": 0}, "beta"),
    ):  # fmt: skip
        arguments = {
            "pol_w_tok": w, "pol_l_tok": w, "ref_w_tok": w, "ref_l_tok": w, "mask_w": mask, "mask_l_prefix": mask,
            "beta": 1.0, **change,
        }  # fmt: skip
        with pytest.raises(ValueError, match=name):
            neural.per_step_dpo_loss(**arguments)
    with pytest.raises(ValueError, match="pit"):
        neural.prefix_mask(torch.tensor([1, 2]), torch.tensor([2]), 3)
    with pytest.raises(ValueError, match="step_ends"):
        neural.prefix_mask(torch.tensor([2, 2]), torch.tensor([0]), 3)
    ids = torch.zeros(1, 2, dtype=torch.long)
    with pytest.raises(ValueError, match="n_rollouts"):
        mc_step_q(lambda p, n: p, ids, ids, torch.tensor([1]), lambda p, r: p, n_rollouts=0)
    with pytest.raises(ValueError, match="rule"):
        neural.first_pit(torch.zeros(1, 2), torch.zeros(1, 2), "lowest")  # type: ignore[arg-type]


# judges ------------------------------------------------------------------------------------------


def test_factors_of_the_example_are_found():
    table = simulation._efficiency_example()
    assert_allclose(efficiency_factors(table, "rft", "accuracy").mean(), 2.0, rtol=0.05)
    assert_allclose(efficiency_factors(table, "sft", "accuracy").mean(), 1.0, rtol=0.05)
