"""Contextual bandits with online neural regression: weightings, regrets, networks against autograd, ensembles against one."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from neural.online import neural_bandit as neural
from neural.online.bandit_data import ClassificationBandit, Round, bundled, passes, quad5
from neural.online.bandit_networks import BlockNetwork, Chosen, SharedNetwork, one_hot_contexts
from neural.online.linear_bandit import LinUCB
from neural.online.neural_bandit import BanditEnsemble, BanditMethod, PerturbedRegressor, run_bandit
from simulations.online.class_bandits import PLAIN, tuned
from theory.online import neural_bandit as theory
from theory.online.online_regression import best_in_ball, online_gradient_descent

seeds = st.integers(0, 2**31)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def _instance(seed, arms):
    rng = np.random.default_rng(seed)
    y = rng.random(arms) * 10.0 ** rng.uniform(-3, 0)
    f = np.clip(y + rng.normal(size=arms) * 10.0 ** rng.uniform(-3, 0), 0, 1)
    return y, f, float(10.0 ** rng.uniform(-1, 3))


def _generator(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def _block(models=2, dim=3, arms=4, width=6, dtype=torch.float64, seed=0, device="cpu"):
    net = BlockNetwork(models, dim, arms, width, generator=_generator(seed, device)).to(dtype)
    with torch.no_grad():  # away from the start, where mirrored units cancel
        for parameter in net.parameters():
            noise = torch.randn(parameter.shape, generator=_generator(seed + 1, device), device=device)
            parameter += 0.3 * noise.to(dtype)
    return net


# inverse-gap weighting -------------------------------------------------------------------------


@given(seed=seeds, arms=st.integers(1, 8), kind=st.sampled_from(theory.KINDS))
def test_weights_are_the_formula_and_a_distribution_with_at_least_one_kth_on_the_best(seed, arms, kind):
    y, _, gamma = _instance(seed, arms)
    p = theory.inverse_gap_weighting(y, gamma, kind)
    b = int(np.argmin(y))
    z = np.maximum(y, 1e-6) if kind == "fast" else y
    for a in set(range(arms)) - {b}:
        gap = gamma * (z[a] - z[b])
        expected = 1 / (arms + gap) if kind == "square" else z[b] / (arms * z[b] + gap)
        assert p[a] == pytest.approx(expected, rel=1e-12)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert p[b] >= 1 / arms - 1e-12
    assert p.min() >= 0


def test_one_arm_is_certain_and_equal_arms_are_equally_likely():
    for kind in theory.KINDS:
        assert theory.inverse_gap_weighting(np.array([0.4]), 5.0, kind).tolist() == [1.0]
        np.testing.assert_allclose(theory.inverse_gap_weighting(np.full(4, 0.3), 5.0, kind), 0.25, rtol=1e-12)
        np.testing.assert_allclose(theory.inverse_gap_weighting(np.zeros(4), 5.0, kind), 0.25, rtol=1e-12)


def test_a_free_arm_gets_nearly_everything_from_the_fast_weighting():
    p = theory.inverse_gap_weighting(np.array([0.0, 0.5]), 10.0, "fast")
    assert p[0] == pytest.approx(1 - 1e-6 / (2e-6 + 10 * (0.5 - 1e-6)), abs=1e-15)


@given(seed=seeds, arms=st.integers(2, 8))
def test_regret_is_at_most_exploration_and_estimation(seed, arms):
    y, f, gamma = _instance(seed, arms)
    assert theory.igw_bound(y, f, gamma).slack >= -1e-12
    assert theory.igw_bound(y, f, max(gamma, 2 * arms), "fast").slack >= -1e-12


@given(p=st.floats(0, 1), q=st.floats(0, 1))
def test_relative_squares_are_at_most_twice_hellinger_and_that_at_most_twice_kl(p, q):
    triangular = float(theory.triangular_discrimination(np.array([p]), np.array([q]))[0])
    hellinger = (p**0.5 - q**0.5) ** 2 + ((1 - p) ** 0.5 - (1 - q) ** 0.5) ** 2
    assert triangular <= 2 * hellinger + 1e-15
    assert hellinger <= float(theory.bernoulli_kl(np.array([p]), np.array([q]))[0]) + 1e-12


@settings(max_examples=25)
@given(seed=seeds, arms=st.integers(2, 6))
def test_the_supremum_over_true_losses_is_exact(seed, arms):
    """For every comparator the objective is a concave quadratic: a numerical maximum must agree."""
    y, _, gamma = _instance(seed, arms)
    p = theory.inverse_gap_weighting(y, gamma)

    def objective(f, star):
        return p @ f - f[star] - gamma / 4 * p @ (y - f) ** 2

    best = max(
        -minimize(lambda f, s=star: -objective(f, s), y, method="BFGS", options={"gtol": 1e-9}).fun
        for star in range(arms)
    )
    value, worst = theory.square_igw_supremum(y, gamma)
    assert value == pytest.approx(best, rel=1e-4, abs=1e-7)
    assert p @ worst - worst.min() - gamma / 4 * p @ (y - worst) ** 2 == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert value <= 2 * (arms - 1) / gamma


def test_k_over_gamma_is_wrong_from_three_arms_on_and_right_for_two():
    gamma = 1e4
    for arms in (2, 3, 8):
        y = np.array([0.3, *[0.5] * (arms - 1)])
        value, f = theory.square_igw_supremum(y, gamma)
        assert f.min() >= 0
        assert f.max() <= 1
        assert (value > arms / gamma) == (arms > 2)
        assert value > 1.99 * (arms - 1) / gamma


@given(
    T=st.integers(1, 10**5), K=st.integers(2, 50), errors=st.floats(1e-3, 1e3), factor=st.floats(0.1, 10),
    best_loss=st.floats(0, 1e4),
)  # fmt: skip
def test_the_default_gamma_minimises_the_regret_bounds(T, K, errors, factor, best_loss):
    least, gamma = theory.square_regret_bound(T, K, errors)
    assert least == pytest.approx(2 * np.sqrt((K - 1) * T * errors))
    assert theory.square_regret_bound(T, K, errors, factor * gamma)[0] >= least * (1 - 1e-12)
    least, gamma = theory.first_order_regret_bound(best_loss, K, errors)
    assert gamma >= 10 * K
    assert least <= np.sqrt(320 * K * best_loss * errors) + 80 * K * errors + 1e-9
    assert theory.first_order_regret_bound(best_loss, K, errors, gamma * max(factor, 1))[0] >= least * (1 - 1e-12)


# perturbations, kernels, online regression ----------------------------------------------------------


@given(seed=seeds, p=st.integers(1, 12), m=st.integers(1, 64), c=st.floats(0, 1))
def test_perturbations_add_a_ridge_on_average(seed, p, m, c):
    rng = np.random.default_rng(seed)
    y, f, d = float(rng.random()), float(rng.normal()), rng.normal(size=p)
    mean = theory.perturbed_loss_mean(y, f, d, c, m)
    assert mean == pytest.approx(theory.perturbed_square_loss(y, f, d, c, m), abs=1e-12)
    assert mean - (y - f) ** 2 / 2 == pytest.approx(c**2 / np.sqrt(m) * (d @ d) / 2, abs=1e-12)


def test_the_tangent_kernel_is_that_of_a_wide_network():
    x = torch.randn(5, 3, generator=_generator(), dtype=torch.float64)
    x /= x.norm(dim=1, keepdim=True)
    net = SharedNetwork(5, 3, 60_000, generator=_generator(1)).double()
    gradient = net.linearise(net.select(x[:, None], torch.zeros(5, dtype=torch.int64)))
    flat = torch.cat([gradient.by_weight.flatten(1), gradient.by_output], 1)
    np.testing.assert_allclose((flat @ flat.T).numpy(), theory.relu_ntk(x.numpy()), atol=0.02)


@given(seed=seeds, T=st.integers(2, 12))
def test_random_signs_cost_the_trace_on_average_which_is_at_least_t(seed, T):
    rng = np.random.default_rng(seed)
    H = theory.relu_ntk(rng.normal(size=(T, 4))) + 1e-6 * np.eye(T)
    H /= 1 + 1e-6
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * T)).reshape(T, -1)
    trace = np.trace(np.linalg.inv(H))
    assert theory.ucb_complexity(H, signs).mean() == pytest.approx(trace, rel=1e-6)
    assert trace >= T - 1e-9


@settings(max_examples=30)
@given(seed=seeds, strength=st.sampled_from([0.0, 0.05, 1.0]), radius=st.floats(0.1, 5))
def test_no_regret_exceeds_its_bound_and_the_best_in_hindsight_is_the_best(seed, strength, radius):
    rng = np.random.default_rng(seed)
    phi, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    steps = rng.uniform(0.01, 1, 30)
    best = best_in_ball(phi, y, strength, radius)
    assert np.linalg.norm(best.parameters) <= radius * (1 + 1e-9)

    def total(theta):
        return ((phi @ theta - y) ** 2).sum() / 2 + 15 * strength * theta @ theta

    assert best.loss == pytest.approx(total(best.parameters), rel=1e-9)
    for _ in range(20):
        theta = best.parameters + rng.normal(size=4) * 10.0 ** rng.uniform(-4, 0)
        assert total(theta / max(1, np.linalg.norm(theta) / radius)) >= best.loss - 1e-9 * max(1, best.loss)
    run = online_gradient_descent(phi, y, strength, radius, steps)
    assert run.losses.sum() - best.loss <= run.regret_bound[-1] * (1 + 1e-9)


def test_descent_and_its_losses_by_hand():
    run = online_gradient_descent(np.array([[1.0], [2.0]]), np.array([3.0, 0.0]), 0.5, 1.0, np.array([1.0, 1.0]))
    # The first step leads to 3, projected onto 1: loss (2 · 1)²/2 + 0.25, gradient 4 + 0.5.
    assert run.losses.tolist() == [4.5, 2.25]
    assert run.gradient_norms.tolist() == [3.0, 4.5]


# networks ---------------------------------------------------------------------------------------


@given(seed=seeds, models=st.integers(1, 3), arms=st.integers(1, 5), kind=st.sampled_from(theory.KINDS))
def test_both_weightings_agree(seed, models, arms, kind):
    rng = np.random.default_rng(seed)
    y, gamma = rng.random((models, arms)), rng.uniform(1, 100, models)
    ours = neural.inverse_gap_weighting(torch.tensor(y), torch.tensor(gamma), kind)
    np.testing.assert_allclose(ours.numpy(), theory.inverse_gap_weighting(y, gamma, kind), atol=1e-12)
    rough = neural.inverse_gap_weighting(torch.tensor(y).float(), torch.tensor(gamma).float(), kind)
    np.testing.assert_allclose(rough.numpy(), ours.numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gradients_are_those_of_autograd(dtype, device):
    net = _block(dtype=dtype, device=device)
    x = torch.rand(2, 3, dtype=dtype, device=device)
    arm = torch.tensor([3, 1], device=device)
    found = net.linearise(net.select(x, arm))
    value = net(x)[torch.arange(2, device=device), arm]
    by_weight, by_output = torch.autograd.grad(value.sum(), (net.weight, net.output))
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(found.value, value.detach(), atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(found.by_output, by_output, atol=tolerance, rtol=tolerance)
    for model, a in enumerate(arm.tolist()):
        torch.testing.assert_close(found.by_weight[model], by_weight[model, a], atol=tolerance, rtol=tolerance)
        assert by_weight[model].abs().sum() == pytest.approx(by_weight[model, a].abs().sum().item())


@pytest.mark.parametrize("loss", ["square", "kl"])
@pytest.mark.parametrize("expected", [False, True])
def test_an_update_is_a_gradient_step_on_the_perturbed_loss(loss, expected):
    net, rates, strengths = _block(), torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.5])
    regressor = PerturbedRegressor(net, strengths, 5, loss, expected, learning_rate=rates, radius=50.0)
    x, y = net.select(torch.rand(2, 3, dtype=torch.float64), torch.tensor([0, 2])), torch.tensor([0.2, 1.0]).double()
    before = [p.detach().clone().requires_grad_() for p in (net.weight, net.output)]
    hidden = torch.einsum("md,mdw->mw", x.features, before[0][torch.arange(2), x.block])
    output = (hidden.relu() * before[1]).sum(1) * net.width**-0.5
    scale = strengths.double() * net.width**-0.25
    shifts = [(before[0] - net.initial_weight).flatten(1), before[1] - net.initial_output]
    if expected:
        squares = sum(s.square().sum(1) for s in shifts)
        sigma = output.sigmoid()
        curvature = sigma * (1 - sigma) if loss == "kl" else torch.ones(2)
        base = (output - y) ** 2 / 2 if loss == "square" else torch.nn.functional.softplus(output) - y * output
        total = (base + curvature * scale**2 * squares / 2).sum()
    else:
        inner = sum(s @ e.double() for s, e in zip(shifts, regressor._signs, strict=True))
        shifted = output[:, None] + scale[:, None] * inner
        each = (
            (shifted - y[:, None]) ** 2 / 2
            if loss == "square"
            else torch.nn.functional.softplus(shifted) - y[:, None] * shifted
        )
        total = each.mean(1).sum()
        assert {float(v) for e in regressor._signs for v in e.unique()} == {-1.0, 1.0}
    gradients = torch.autograd.grad(total, before)
    regressor.update(x, y)
    for after, start, gradient in zip((net.weight, net.output), before, gradients, strict=True):
        wanted = start - rates.double().view(-1, *(1,) * (start.ndim - 1)) * gradient
        torch.testing.assert_close(after.detach(), wanted.detach(), atol=1e-10, rtol=1e-9)


def test_a_square_network_starts_at_zero_and_a_kl_network_at_one_half():
    for loss, start in (("square", 0.0), ("kl", 0.5)):
        net = BlockNetwork(2, 3, 4, 8, generator=_generator())
        assert PerturbedRegressor(net, 0.1, loss=loss).predict(torch.rand(2, 3)).sub(start).abs().max() < 1e-6


def test_parameters_stay_in_their_balls():
    net = BlockNetwork(2, 3, 2, 8, generator=_generator())
    regressor = PerturbedRegressor(net, 0.3, learning_rate=1.0, radius=0.5)
    for _ in range(50):
        regressor.update(net.select(torch.rand(2, 3), torch.tensor([0, 1])), torch.ones(2))
        for parameter, start in ((net.weight, net.initial_weight), (net.output, net.initial_output)):
            assert (parameter - start).flatten(1).norm(dim=1).max() <= 0.5 * (1 + 1e-5)


@pytest.mark.parametrize("exploration", ["square", "fast", "ucb", "thompson", "epsilon"])
def test_a_block_network_is_the_dense_one_on_one_hot_contexts(exploration):
    block = BlockNetwork(1, 3, 4, 6, generator=_generator()).double()
    dense = SharedNetwork(1, 12, 6, generator=_generator(9)).double()
    for name in ("weight", "initial_weight"):
        getattr(dense, name).data = getattr(block, name).data.reshape(getattr(dense, name).shape).clone()
    for name in ("output", "initial_output"):
        getattr(dense, name).data = getattr(block, name).data.clone()
    method = [BanditMethod(exploration, 0.5, learning_rate=0.5, c_p=0.1)]
    agents = BanditEnsemble(block, method), BanditEnsemble(dense, method)
    rng = _generator(2)
    for _ in range(30):
        x = torch.rand(1, 3, generator=rng, dtype=torch.float64)
        (arm, probs), (other, others) = agents[0].act(x), agents[1].act(one_hot_contexts(x, 4))
        torch.testing.assert_close(probs, others, atol=1e-10, rtol=0)
        assert arm.tolist() == other.tolist()
        loss = (arm != 2).double()
        agents[0].learn(agents[0].select(x, arm), loss)
        agents[1].learn(agents[1].select(one_hot_contexts(x, 4), other), loss)


METHODS = (
    BanditMethod("square", 30.0, learning_rate=0.5, c_p=0.1), BanditMethod("fast", 30.0, "kl", 1.0, 0.05),
    BanditMethod("ucb", 0.1, learning_rate=0.3), BanditMethod("thompson", 0.1, learning_rate=0.3),
    BanditMethod("epsilon", 0.1, "kl", 0.5), BanditMethod("ucb", 0.01, ridge=0.1),
)  # fmt: skip


def _stream(rounds, models, seed=3):
    x, y = passes(bundled("wine"), rounds, generator=_generator(seed))
    return ClassificationBandit(x[None], y[None], 3, torch.zeros(models, dtype=torch.int64))


def test_every_model_of_an_ensemble_is_what_it_would_be_alone():
    together = run_bandit(
        BanditEnsemble(BlockNetwork(6, 13, 3, 8, generator=_generator()), METHODS), _stream(60, 6), T=60, seed=5
    )
    for k, method in enumerate(METHODS):
        net = BlockNetwork(1, 13, 3, 8, generator=_generator())
        alone = run_bandit(BanditEnsemble(net, [method]), _stream(60, 1), T=60, seed=5)
        torch.testing.assert_close(together.probs[k], alone.probs[0], atol=2e-4, rtol=0)
        assert together.loss[k].tolist() == alone.loss[0].tolist()


def test_the_named_agents_are_ensembles_of_their_method():
    def net():
        return BlockNetwork(2, 3, 4, 6, generator=_generator())

    assert {m.exploration for m in neural.NeuSquareCB(net(), 10.0).methods} == {"square"}
    assert {(m.exploration, m.loss) for m in neural.NeuFastCB(net(), 10.0).methods} == {("fast", "kl")}
    assert [m.amount for m in neural.NeuralUCB(net(), torch.tensor([0.25, 0.5])).methods] == [0.25, 0.5]
    assert {m.exploration for m in neural.NeuralTS(net(), 0.1).methods} == {"thompson"}
    assert {m.amount for m in neural.EpsGreedy(net(), 0.0).methods} == {0.0}


def test_confidence_is_the_sum_of_squared_gradients():
    net = _block(models=1)
    agent = BanditEnsemble(net, [BanditMethod("ucb", 0.2, ridge=0.5, learning_rate=0.1)])
    weight, output = torch.full((4, 3, 6), 0.5).double(), torch.full((6,), 0.5).double()
    rng = _generator(4)
    for _ in range(10):
        x = torch.rand(1, 3, generator=rng, dtype=torch.float64)
        scores = []
        for a in range(4):
            gradient = net.linearise(Chosen(x, torch.tensor([a])))
            g = gradient.by_weight[0].square() / weight[a], gradient.by_output[0].square() / output
            scores.append(float(gradient.value) - (0.2 * 0.5 * float(g[0].sum() + g[1].sum())) ** 0.5)
        arm, _ = agent.act(x)
        assert arm.item() == int(np.argmin(scores))
        gradient = net.linearise(agent.select(x, arm))
        weight[arm.item()] += gradient.by_weight[0].square()
        output += gradient.by_output[0].square()
        agent.learn(agent.select(x, arm), torch.ones(1, dtype=torch.float64))


def test_linucb_is_ridge_regression_per_arm():
    agent, rng = LinUCB(2, 3, 4, torch.tensor([0.3, 0.0]), 2.0), _generator(6)
    past: dict[tuple[int, int], list] = {(m, a): [] for m in range(2) for a in range(4)}
    for _ in range(25):
        x = torch.randn(2, 3, generator=rng)
        arm, _ = agent.act(x)
        for m, alpha in enumerate((0.3, 0.0)):
            scores = []
            for a in range(4):
                A, b = 2 * np.eye(3), np.zeros(3)
                for features, loss in past[m, a]:
                    A, b = A + np.outer(features, features), b + loss * features
                z = x[m].numpy()
                scores.append(z @ np.linalg.solve(A, b) - alpha * np.sqrt(z @ np.linalg.solve(A, z)))
            assert scores[arm[m]] == pytest.approx(min(scores), abs=1e-4)
        loss = (arm != 1).float()
        for m in range(2):
            past[m, int(arm[m])].append((x[m].numpy().astype(float), float(loss[m])))
        agent.learn(agent.select(x, arm), loss)


def test_both_algorithms_learn_wine_and_nobody_learns_shuffled_labels(device):
    x, y = passes(bundled("wine"), 200, generator=_generator())
    streams = torch.stack([x, x]), torch.stack([y, y[torch.randperm(200, generator=_generator(1))]])
    stream = torch.tensor([0, 0, 1, 1], device=device)
    env = ClassificationBandit(*(s.to(device) for s in streams), 3, stream)
    methods = [BanditMethod("square", 300.0, learning_rate=0.6), BanditMethod("fast", 300.0, "kl", 1.2)] * 2
    net = BlockNetwork(4, 13, 3, generator=_generator(0, device))
    trace = run_bandit(BanditEnsemble(net, methods), env, T=200, seed=0)
    rate = trace.loss[:, 50:].mean(1).tolist()
    assert max(rate[:2]) < 0.3 < 0.5 < min(rate[2:])
    torch.testing.assert_close(trace.regret, trace.loss)
    torch.testing.assert_close(trace.probs.sum(2), torch.ones(4, 200, device=device))


def test_passes_show_every_sample_once_before_any_twice_and_labels_can_be_sorted():
    data = bundled("iris")
    x, y = passes(data, 300, generator=_generator(), by_label=True)
    assert y.tolist() == sorted(y.tolist())
    assert y.bincount().tolist() == [100, 100, 100]
    x, _ = passes(data, 150, generator=_generator())
    assert sorted(map(tuple, x.tolist())) == sorted(map(tuple, data.features.tolist()))


def test_labels_of_the_quadratic_set_do_not_change_with_the_sign_of_the_features():
    data = quad5(500, generator=_generator())
    torch.testing.assert_close(data.features.norm(dim=1), torch.ones(500))
    assert len(data.labels.unique()) == 5
    # A linear rule sees features and their negatives alike: the class means nearly vanish.
    assert max(data.features[data.labels == k].mean(0).norm().item() for k in range(5)) < 0.35


def test_a_round_without_finite_contexts_is_named():
    class Broken:
        arms = 3

        def round(self, t: int) -> Round:
            losses = torch.zeros(1, 3)
            return Round(torch.full((1, 2), float("nan") if t == 3 else 1.0), losses, losses)

    agent = neural.NeuSquareCB(BlockNetwork(1, 2, 3, 4, generator=_generator()), 10.0)
    with pytest.raises(ValueError, match=r"round 3.*contexts"):
        run_bandit(agent, Broken(), T=5, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.inverse_gap_weighting(np.array([0.5, 1.5]), 1.0), "losses must lie"),
        (lambda: theory.inverse_gap_weighting(np.array([0.5]), 0.0), "gamma must be above 0"),
        (lambda: theory.inverse_gap_weighting(np.array([[0.5, 0.1]]), np.ones(3)), "gamma must be one number"),
        (lambda: theory.igw_bound(np.array([0.5, 0.1]), np.array([0.5, 0.1]), 3.0, "fast"), "gamma must be at least"),
        (lambda: theory.relu_ntk(np.zeros((1, 2))), "contexts must not have a zero row"),
        (lambda: theory.ucb_complexity(np.ones((2, 2)), np.ones((2, 1))), "gram must be positive definite"),
        (lambda: theory.perturbed_loss_mean(0.0, 0.0, np.ones(21), 0.1, 4), "displacement must have at most 20"),
        (lambda: BlockNetwork(1, 2, 3, 5, generator=_generator()), "width must be even"),
        (lambda: BanditMethod("epsilon", 1.5), "amount"),
        (lambda: BanditEnsemble(_block(), [BanditMethod("ucb", 1.0)]), "methods must be 2"),
        (lambda: PerturbedRegressor(_block(), loss=["kl"]), "loss must be one word or 2"),
        (lambda: neural.NeuFastCB(_block(), torch.tensor([1.0, -1.0])), "gamma must be above 0"),
        (lambda: neural.EpsGreedy(_block(), 1.5), "epsilon must be a probability"),
        (lambda: ClassificationBandit(torch.ones(1, 2, 2), torch.tensor([[0, 3]]), 3), "labels must be in 0 … 2"),
    ],
)
def test_wrong_arguments_are_named(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_replicate_never_chooses_its_own_setting_by_its_own_loss():
    losses = {0: (1.0, 5.0, 3.0), 1: (6.0, 2.0, 3.0), 2: (6.0, 7.0, 3.0)}
    table = pd.DataFrame(
        [
            {"replicate": k, "data": "a", "method": "m", "order": PLAIN, "setting": s, "loss": loss}
            for k, row in losses.items() for s, loss in enumerate(row)
        ]
    )  # fmt: skip
    chosen = tuned(table).set_index("replicate")["setting"]
    for k in losses:
        others = [np.mean([losses[j][s] for j in losses if j != k]) for s in range(3)]
        assert chosen[k] == int(np.argmin(others))
