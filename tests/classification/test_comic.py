"""COMIC: losses and gradients against other computations, what recovery promises, balance, normalised classifiers, data."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from neural.classification.comic import (
    CausalNormClassifier,
    LabelCorrector,
    MultiFocalLoss,
    causal_norm_logits,
    class_modifier,
    head_tail_balance_loss,
    head_tail_weights,
    multi_focal_loss,
    multi_label_targets,
    recover_labels,
)
from neural.classification.multi_label_losses import (
    asymmetric_loss,
    distribution_balanced_loss,
    focal_multilabel_loss,
    splc_loss,
)
from simulations.classification import comic as simulation
from theory.classification import comic as theory

SEEDS = st.integers(0, 2**32 - 1)
OPTIONS = [
    {"gamma_pos": gamma_pos, "gamma_neg": gamma_neg, "clip": clip}
    for gamma_pos, gamma_neg, clip in itertools.product((0.0, 1.5), (0.0, 3.0), (0.0, 0.05))
]


def sample(seed=0, shape=(60, 5), spread=4.0, dtype=torch.float64, device="cpu"):
    """Logits, labels, and class weights of counts that fall."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(spread * rng.standard_normal(shape), dtype=dtype, device=device)
    y = torch.tensor(rng.random(shape) < 0.3, device=device)
    return x, y, class_modifier(torch.tensor([1000, 300, 90, 20, 1][: shape[-1]], device=device)).to(dtype)


def by_definition(x, y, weight, gamma_pos, gamma_neg, clip, eps=0.0):
    """The loss as the paper's program writes it: probabilities, clamps, logarithms of both, sums."""
    p = torch.sigmoid(x)
    q = (1 - p + clip).clamp_max(1)
    one = y.to(x.dtype)
    omega = torch.ones_like(x) if weight is None else weight.expand_as(x)
    exponent = gamma_pos * one + (gamma_neg + (0 if weight is None else omega)) * (1 - one)
    with torch.no_grad():
        focusing = (1 - (p * one + q * (1 - one))).clamp_min(0) ** exponent
    return -omega * focusing * torch.where(y, p.clamp_min(eps).log(), q.clamp_min(eps).log())


# class weights ----------------------------------------------------------------------------------


def test_the_most_frequent_class_weighs_one_and_a_thousandth_of_it_1_41():
    weight = theory.class_modifier(np.array([5000, 5]))
    assert weight[0] == 1
    assert weight[1] == pytest.approx((1 + math.log(1000)) ** (1 / 6))
    assert round(weight[1], 2) == 1.41


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=20), st.floats(0.05, 1.0))
@settings(max_examples=50, deadline=None)
def test_weights_fall_with_counts_and_are_the_same_in_both_rooms(counts, exponent):
    n = np.sort(np.array(counts))
    weight = theory.class_modifier(n, exponent)
    assert weight[-1] == 1
    assert (np.diff(weight) <= 0).all()
    ours = class_modifier(torch.tensor(n, dtype=torch.float64), exponent)
    np.testing.assert_allclose(ours.numpy(), weight, rtol=1e-12)


def test_a_class_without_positives_counts_as_one_with_a_single_positive_and_is_warned_of():
    with pytest.warns(UserWarning, match="without positives"):
        numpy = theory.class_modifier(np.array([100, 0]))
    with pytest.warns(UserWarning, match="without positives"):
        ours = class_modifier(torch.tensor([100, 0]))
    np.testing.assert_allclose(numpy, theory.class_modifier(np.array([100, 1])))
    np.testing.assert_allclose(ours, numpy, rtol=1e-6)


# the loss ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("weighted", [True, False])
def test_loss_and_gradient_are_those_of_the_definition_and_of_the_theory(options, weighted):
    x, y, omega = sample()
    weight = omega if weighted else None
    x.requires_grad_()
    ours = multi_focal_loss(x, y, weight, **options, reduction="none", eps=0.0)
    plain = by_definition(x, y, weight, **options)
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-7)  # the definition loses digits where q is small
    gradient = torch.autograd.grad(ours.sum(), x)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(plain.sum(), x)[0], rtol=1e-9, atol=1e-10)
    arrays = x.detach().numpy(), y.numpy(), None if weight is None else weight.numpy()
    np.testing.assert_allclose(ours.detach().numpy(), theory.multi_focal(*arrays, **options), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        gradient.numpy(), theory.multi_focal_gradient(*arrays, **options), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_both_precisions_agree_with_the_theory_on_every_device(device, dtype, tolerance):
    x, y, omega = sample(1, spread=8.0, dtype=dtype, device=device)
    ours = multi_focal_loss(x.requires_grad_(), y, omega, reduction="none", eps=0.0)
    gradient = torch.autograd.grad(ours.sum(), x)[0]
    arrays = x.detach().cpu().double().numpy(), y.cpu().numpy(), omega.cpu().double().numpy()
    np.testing.assert_allclose(ours.detach().cpu(), theory.multi_focal(*arrays), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient.cpu(), theory.multi_focal_gradient(*arrays), rtol=tolerance, atol=tolerance)


def test_special_cases_are_cross_entropy_focal_and_asymmetric_loss():
    x, y, _ = sample(2)
    torch.testing.assert_close(
        multi_focal_loss(x, y, gamma_neg=0.0, clip=0.0, eps=0.0),
        F.binary_cross_entropy_with_logits(x, y.double(), reduction="sum"),
    )
    focal = multi_focal_loss(x, y, gamma_pos=2.0, gamma_neg=2.0, clip=0.0, eps=0.0)
    torch.testing.assert_close(focal, focal_multilabel_loss(x, y, 2.0))
    torch.testing.assert_close(multi_focal_loss(x, y, gamma_pos=1.0, gamma_neg=4.0), asymmetric_loss(x, y, 1.0, 4.0))
    # With weights of 1 omega is on: the exponent of negatives grows by 1.
    on = multi_focal_loss(x, y, torch.ones(5, dtype=torch.float64), gamma_neg=3.0)
    torch.testing.assert_close(on, asymmetric_loss(x, y, gamma_neg=4.0))


def test_focal_gradient_differentiates_the_factor_and_the_multi_focal_gradient_does_not():
    x, y, _ = sample(3)
    x.requires_grad_()
    focal = torch.autograd.grad(focal_multilabel_loss(x, y, 2.0), x)[0]
    constant = torch.autograd.grad(multi_focal_loss(x, y, gamma_pos=2.0, gamma_neg=2.0, clip=0.0), x)[0]
    signed = torch.where(y, x, -x).detach().requires_grad_()
    log_p = F.logsigmoid(signed)
    expected = torch.autograd.grad((-((1 - log_p.exp()) ** 2) * log_p).sum(), signed)[0]
    torch.testing.assert_close(focal, torch.where(y, expected, -expected))
    assert float((focal - constant).abs().max()) > 0.01


def test_negatives_below_the_clip_are_ignored():
    x = torch.tensor([[-3.0, -2.9]], requires_grad=True)  # p = 0.0474 and 0.0522
    loss = multi_focal_loss(x, torch.zeros(1, 2), gamma_neg=0.0, reduction="none")
    gradient = torch.autograd.grad(loss.sum(), x)[0]
    assert loss[0, 0] == gradient[0, 0] == 0
    assert loss[0, 1] > 0 < gradient[0, 1]


@pytest.mark.parametrize("magnitude", [50.0, 200.0, 1e4])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_extreme_logits_have_finite_losses_and_exact_ones_without_a_floor(magnitude, clip):
    x = torch.tensor([[-magnitude, magnitude]], requires_grad=True)
    for labels in ([[1, 0]], [[0, 1]]):
        y = torch.tensor(labels)
        loss = multi_focal_loss(x, y, gamma_neg=0.0, clip=clip, reduction="none", eps=0.0)
        gradient = torch.autograd.grad(loss.sum(), x)[0]
        arrays = x.detach().double().numpy(), y.numpy()
        options = {"gamma_neg": 0.0, "clip": clip}
        np.testing.assert_allclose(loss.detach(), theory.multi_focal(*arrays, **options), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(gradient, theory.multi_focal_gradient(*arrays, **options), rtol=1e-6, atol=1e-6)


def test_the_floor_bounds_the_loss_and_stops_its_gradient():
    x = torch.tensor([[-30.0, -10.0]], requires_grad=True)
    loss = multi_focal_loss(x, torch.ones(1, 2), reduction="none")
    gradient = torch.autograd.grad(loss.sum(), x)[0]
    assert loss[0, 0].item() == pytest.approx(-math.log(1e-8))
    assert gradient[0, 0] == 0
    assert gradient[0, 1].item() == pytest.approx(-1, abs=1e-4)
    assert loss[0, 1].item() == pytest.approx(10, abs=1e-4)


@given(SEEDS, st.floats(0, 6), st.floats(0, 6), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_gradient_of_an_entry_is_at_most_its_weight(seed, gamma_pos, gamma_neg, clip):
    x, y, omega = sample(seed, spread=10.0)
    x.requires_grad_()
    loss = multi_focal_loss(x, y, omega, gamma_pos, gamma_neg, clip, eps=0.0)
    assert (torch.autograd.grad(loss, x)[0].abs() <= omega * (1 + 1e-12)).all()


@given(st.floats(0.06, 0.99), st.floats(0, 2), st.floats(0, 5), st.sampled_from([0.0, 0.05]), st.floats(1, 1.5))
@settings(max_examples=40, deadline=None)
def test_the_expected_gradient_vanishes_at_the_stationary_posterior(p, gamma_pos, gamma_neg, clip, omega):
    eta = theory.posterior_at(p, gamma_pos, gamma_neg, clip, omega)
    x, weight = np.array([[math.log(p / (1 - p))]]), np.array([omega])
    options = {"class_weight": weight, "gamma_pos": gamma_pos, "gamma_neg": gamma_neg, "clip": clip}
    up = theory.multi_focal_gradient(x, np.array([[1]]), **options)[0, 0]
    down = theory.multi_focal_gradient(x, np.array([[0]]), **options)[0, 0]
    assert abs(eta * up + (1 - eta) * down) < 1e-12


def test_asymmetric_probabilities_are_inflated_and_cross_entropy_is_calibrated():
    p = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(theory.posterior_at(p, gamma_neg=0.0, clip=0.0), p)
    assert (theory.posterior_at(p, gamma_neg=3.0, omega=1.0) < p).all()
    assert theory.posterior_at(0.04) == 0.0


def test_descent_on_repeated_samples_ends_at_the_stationary_probability():
    eta, count = 0.25, 4000
    y = (torch.arange(count) < eta * count)[:, None]
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for _ in range(400):
        loss = multi_focal_loss(x.expand(count, 1), y, gamma_neg=2.0, reduction="mean")
        x = (x - 4 * torch.autograd.grad(loss, x)[0]).detach().requires_grad_()
    assert theory.posterior_at(torch.sigmoid(x).item(), gamma_neg=2.0) == pytest.approx(eta, abs=1e-6)


def test_reductions_and_modules_agree_and_half_precision_is_computed_in_float32():
    x, y, omega = sample(4, dtype=torch.float32)
    entries = multi_focal_loss(x, y, omega, gamma_neg=4.0, reduction="none")
    torch.testing.assert_close(multi_focal_loss(x, y, omega, gamma_neg=4.0), entries.sum())
    torch.testing.assert_close(multi_focal_loss(x, y, omega, gamma_neg=4.0, reduction="mean"), entries.mean())
    module = MultiFocalLoss(torch.tensor([1000, 300, 90, 20, 1]))
    torch.testing.assert_close(module(x, y), entries.sum())
    half = x.bfloat16().requires_grad_()
    loss = multi_focal_loss(half, y, omega)
    assert loss.dtype == torch.float32
    assert torch.autograd.grad(loss, half)[0].dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(module(half, y))


def test_a_stack_of_models_is_its_models_one_by_one():
    x, y, omega = sample(5, (3, 20, 5))
    exponents = torch.tensor([0.0, 2.0, 5.0], dtype=torch.float64)[:, None, None]
    weight = torch.stack([omega, torch.ones_like(omega), omega**2])[:, None]
    stacked = multi_focal_loss(x, y, weight, gamma_neg=exponents, reduction="none")
    taus = torch.tensor([0.5, 0.7, 0.9], dtype=torch.float64)[:, None, None]
    for k in range(3):
        alone = multi_focal_loss(x[k], y[k], weight[k, 0], gamma_neg=float(exponents[k]), reduction="none")
        torch.testing.assert_close(stacked[k], alone)
        torch.testing.assert_close(recover_labels(x, y, taus)[0][k], recover_labels(x[k], y[k], float(taus[k]))[0])
        torch.testing.assert_close(
            head_tail_balance_loss(x, x.flip(1), x.flip(2), y)[k],
            head_tail_balance_loss(x[k], x[k].flip(0), x[k].flip(1), y[k]),
        )


def test_it_agrees_with_autograd_by_differences():
    x, y, _ = sample(6, (4, 5), 2.0)
    # Without focus of negatives and clip nothing is held constant, so that differences of the value are the gradient.
    assert torch.autograd.gradcheck(lambda z: multi_focal_loss(z, y, gamma_neg=0.0, clip=0.0), x.requires_grad_())
    for loss in (
        lambda z: focal_multilabel_loss(z, y, 1.5),
        lambda z: splc_loss(z, y, 0.7),
        lambda z: distribution_balanced_loss(z, y, torch.tensor([50, 20, 9, 3, 1]), 100),
    ):
        assert torch.autograd.gradcheck(loss, x)


# recovery ---------------------------------------------------------------------------------------


@given(SEEDS, st.floats(0.05, 0.95), st.floats(0, 2), st.booleans())
@settings(max_examples=50, deadline=None)
def test_recovery_keeps_positives_and_adds_only_with_reason(seed, tau, margin, class_aware):
    x, y, _ = sample(seed)
    recovered, added = recover_labels(x, y, tau, margin, class_aware)
    p = torch.sigmoid(x - margin * y.double())
    expected = ~y & (p > tau)
    if class_aware:
        expected &= p > p.mean(0)
    assert (recovered == (y | added)).all()
    assert not (added & y).any()
    assert (added == expected).all()


@given(st.floats(-3, 12), st.integers(1, 300), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=50, deadline=None)
def test_a_class_of_equal_scores_gets_nothing_and_without_the_class_mean_everything(score, count, dtype):
    x, y = torch.full((count, 2), score, dtype=dtype), torch.zeros(count, 2)
    assert not recover_labels(x, y, tau=0.01)[1].any()
    assert recover_labels(x, y, tau=0.01, class_aware=False)[1].all()


def test_corrector_counts_what_it_recovers_and_forgets_it_with_the_epoch():
    counts = torch.tensor([30.0, 10.0])
    corrector = LabelCorrector(counts)
    x = torch.tensor([[4.0, -1.0], [-4.0, 2.0], [-4.0, -2.0], [-4.0, 1.0]], requires_grad=True)
    y = torch.tensor([[0, 0], [0, 1], [0, 0], [0, 0]])
    loss = corrector(x, y)
    assert corrector.added.nonzero().tolist() == [[0, 0], [3, 1]]
    assert corrector.epoch_counts.tolist() == [31.0, 11.0]
    weight = class_modifier(torch.tensor([31.0, 11.0]))
    recovered = torch.tensor([[1, 0], [0, 1], [0, 0], [0, 1]])
    torch.testing.assert_close(loss, 4 / 3 * multi_focal_loss(x - y, recovered, weight))
    corrector.reset_epoch()
    assert corrector.epoch_counts.tolist() == [30.0, 10.0]
    assert counts.tolist() == [30.0, 10.0]


def test_corrector_without_any_positive_stays_finite():
    x = torch.full((3, 2), -5.0, requires_grad=True)
    loss = LabelCorrector(torch.tensor([5, 5]))(x, torch.zeros(3, 2))
    assert torch.isfinite(torch.autograd.grad(loss, x)[0]).all()


# balance ----------------------------------------------------------------------------------------


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 5))
@settings(max_examples=50, deadline=None)
def test_branch_weights_share_one_and_the_worse_branch_weighs_more(head, tail, gamma):
    w_head, w_tail = (float(w) for w in head_tail_weights(head, tail, gamma))
    assert w_head + w_tail == pytest.approx(1)
    assert (w_head >= 0.5) == (head >= tail) or abs(w_head - 0.5) < 1e-6
    if min(head, tail) > 0 and max(head, tail) < 1e3 * min(head, tail):
        assert w_head == pytest.approx(head**gamma / (head**gamma + tail**gamma), rel=1e-4)


def test_equal_and_vanishing_losses_share_equally():
    assert [float(w) for w in head_tail_weights(0.0, 0.0)] == [0.5, 0.5]
    assert [float(w) for w in head_tail_weights(torch.tensor(2.0), torch.tensor(2.0))] == [0.5, 0.5]


def test_guidance_is_its_definition_and_moves_the_balanced_branch_alone():
    x, y, omega = sample(7, (6, 5))
    head, tail, balanced = (v.clone().requires_grad_() for v in (x, x.flip(0), x.flip(1)))
    loss = head_tail_balance_loss(head, tail, balanced, y, omega)
    a, b = (multi_focal_loss(v, y, omega).detach() for v in (head, tail))
    products = [torch.softmax(v.detach(), 1) * torch.softmax(balanced, 1) for v in (head, tail)]
    parts = [multi_focal_loss(v, y, omega) for v in products]
    torch.testing.assert_close(loss, (a**2 * parts[0] + b**2 * parts[1]) / (a**2 + b**2))
    gradients = torch.autograd.grad(loss, (head, tail, balanced), allow_unused=True)
    assert gradients[0] is gradients[1] is None
    assert gradients[2].abs().max() > 0


# the classifier ---------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_normalised_logits_ignore_the_length_of_features_and_are_bounded(heads):
    rng = torch.Generator().manual_seed(0)
    features, weight = torch.randn(10, 8, generator=rng), torch.randn(3, 8, generator=rng)
    logits = causal_norm_logits(features, weight, heads)
    torch.testing.assert_close(logits, causal_norm_logits(7 * features, weight, heads))
    assert logits.abs().max() <= 16
    expected = torch.zeros(10, 3)
    for part in torch.arange(8).chunk(heads):
        f, w = features[:, part], weight[:, part]
        expected += F.normalize(f, dim=1) @ (w / (w.norm(dim=1, keepdim=True) + 1 / 32)).T
    torch.testing.assert_close(logits, 16 / heads * expected)


def test_features_along_the_removed_direction_vanish():
    direction = torch.tensor([3.0, 0.0, 4.0, 0.0])
    features = torch.stack([2 * direction, torch.tensor([0.0, 1.0, 0.0, 0.0])])
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    logits = causal_norm_logits(features, weight, direction=direction)
    torch.testing.assert_close(logits[0], torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(logits[1], causal_norm_logits(features, weight)[1])


def test_zero_features_have_zero_logits_and_finite_gradients():
    features = torch.zeros(2, 4, requires_grad=True)
    logits = CausalNormClassifier(4, 3, heads=2)(features)
    assert (logits == 0).all()
    assert torch.isfinite(torch.autograd.grad(logits.sum(), features)[0]).all()


def test_the_classifier_follows_the_mean_feature_in_training_only():
    classifier = CausalNormClassifier(2, 3, alpha=1.0, momentum=0.5)
    features = torch.tensor([[2.0, 0.0], [4.0, 0.0]])
    classifier(features)
    assert classifier.direction.tolist() == [3.0, 0.0]
    classifier.eval()(features)
    assert classifier.direction.tolist() == [3.0, 0.0]
    torch.testing.assert_close(classifier(features), torch.zeros(2, 3), atol=1e-5, rtol=0)


# baselines --------------------------------------------------------------------------------------


def test_distribution_balanced_loss_is_its_definition_for_one_sample():
    x, y = torch.tensor([[0.5, -1.0]], dtype=torch.float64), torch.tensor([[1, 0]])
    counts, samples = torch.tensor([40, 5]), 100
    sigmoid = [1 / (1 + math.exp(-v)) for v in (10 * (1 - 0.2), 10 * ((1 / 5) / (1 / 40) - 0.2))]
    nu = [0.05 * math.log(100 / n - 1) / 2 for n in (40, 5)]
    p = 1 / (1 + math.exp(-(0.5 - nu[0])))
    q = 1 / (1 + math.exp(2 * (-1.0 - nu[1])))
    expected = (0.1 + sigmoid[0]) * -((1 - p) ** 2) * math.log(p) + (0.1 + sigmoid[1]) * -((1 - q) ** 2) * math.log(
        q
    ) / 2
    assert distribution_balanced_loss(x, y, counts, samples).item() == pytest.approx(expected)


def test_samples_without_positives_have_the_limiting_weight():
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, 2)
    loss = distribution_balanced_loss(x, y, torch.tensor([50, 50]), 100, gamma=0.0, neg_scale=1.0, bias_scale=0.0)
    assert loss.item() == pytest.approx(2 * 1.1 * math.log(2))


def test_splc_takes_confident_negatives_for_positives():
    x = torch.tensor([[3.0, -3.0]])
    confident = splc_loss(x, torch.zeros(1, 2), tau=0.6, reduction="none")
    torch.testing.assert_close(confident[0, 0], splc_loss(x, torch.ones(1, 2), reduction="none")[0, 0])
    torch.testing.assert_close(confident[0, 1], focal_multilabel_loss(x, torch.zeros(1, 2), 2.0, "none")[0, 1])


# data and evaluation ----------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 40), st.integers(1, 6), st.booleans())
@settings(max_examples=50, deadline=None)
def test_average_precision_is_that_of_sklearn_with_and_without_ties(seed, count, classes, tied):
    rng = np.random.default_rng(seed)
    y = rng.random((count, classes)) < 0.4
    scores = rng.integers(0, 4, (count, classes)).astype(float) if tied else rng.standard_normal((count, classes))
    ours = theory.average_precision(y, scores)
    for c in range(classes):
        if y[:, c].any():
            assert ours[c] == pytest.approx(average_precision_score(y[:, c], scores[:, c]), abs=1e-12)
        else:
            assert math.isnan(ours[c])


def test_shot_map_groups_classes_by_counts_and_leaves_out_those_without_positives():
    y = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    scores = np.array([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    with pytest.warns(UserWarning, match="1 classes without positives"):
        shot = theory.shot_map(y, scores, np.array([100, 99, 19, 20]))
    assert (shot.many, shot.medium, shot.few) == (1.0, 1.0, pytest.approx(1 / 3))
    assert shot.total == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert math.isnan(shot.per_class[3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(theory.shot_map(y[:, :2], scores[:, :2], np.array([200, 200])).few)


@given(st.integers(2, 50), st.floats(1, 1000), st.floats(0.1, 1e6))
@settings(max_examples=50, deadline=None)
def test_the_prior_falls_from_head_to_head_over_imbalance(classes, imbalance, alpha):
    prior = theory.long_tail_prior(classes, imbalance, head=0.3, alpha=alpha)
    assert prior[0] == pytest.approx(0.3)
    assert prior[-1] == pytest.approx(0.3 / imbalance, rel=1e-6)
    assert (np.diff(prior) <= 1e-12).all()


def test_a_large_alpha_is_the_geometric_prior():
    geometric = 0.35 * 0.03 ** (np.arange(20) / 19)
    np.testing.assert_allclose(theory.long_tail_prior(20, 1 / 0.03, alpha=1e7), geometric, rtol=1e-5)


def test_generated_data_have_the_prior_the_missing_rate_and_the_means_asked_for():
    rng = np.random.default_rng(0)
    means = rng.standard_normal((4, 6))
    data = theory.make_plt(40_000, 4, 10.0, 0.4, rng, means=means, noise=0.1)
    np.testing.assert_allclose(data.Y_true.mean(0), theory.long_tail_prior(4, 10.0), atol=0.01)
    assert data.Y_observed.sum() / data.Y_true.sum() == pytest.approx(0.6, abs=0.01)
    assert not (data.Y_observed & ~data.Y_true).any()
    assert (data.counts == data.Y_observed.sum(0)).all()
    np.testing.assert_allclose(np.linalg.lstsq(data.Y_true.astype(float), data.X, rcond=None)[0], means, atol=0.01)


def test_canvases_show_their_digits_and_parts_share_none():
    settings = simulation.Training(
        data="canvases", parts=("conditions",), samples=40, held_out=30, test=30, classes=10, rows=2, columns=2,
        jitter=2, stride=1, noise=0.0, test_prior=0.4,
    )  # fmt: skip
    data = simulation._make_data(settings, 3, "cpu")
    ink = [(x.amax((1, 2)) > 0.5, y.any(1)) for x, y in (data.held_out, data.test)]
    ink += [(data.inputs[k].amax((1, 2)) > 0.5, data.labels[k, 0].any(1)) for k in range(2)]
    assert all((dark == labelled).all() for dark, labelled in ink)
    assert data.test[1].sum(1).max() <= 4
    assert data.inputs.shape[2:] == (13 * 13, 64)
    shown = [
        {window.numpy().tobytes() for canvas in x for window in canvas if window.max() > 0.5}
        for x in (data.held_out[0], data.test[0])
    ]
    digits = {(image / 16).astype(np.float32).tobytes() for image in load_digits(return_X_y=True)[0]}
    whole = [seen & digits for seen in shown]
    assert all(whole)
    assert not whole[0] & whole[1]
    assert not (data.labels[:, 1] & ~data.labels[:, 0]).any()


def test_equal_recall_compares_a_fixed_threshold_with_itself_as_equal():
    rng = np.random.default_rng(0)
    p, true = rng.random(500), rng.random(500) < 0.3
    aware, fixed = simulation._at_equal_recall(p, true, p > 0.7)
    assert aware == fixed
    clever = (p > 0.5) & true
    assert simulation._at_equal_recall(p, true, clever)[1] < 1.0 == simulation._at_equal_recall(p, true, clever)[0]
    assert simulation._at_equal_recall(p, true, np.zeros(500, bool)) == (0.0, 0.0)


# bad input --------------------------------------------------------------------------------------

X, Y = torch.zeros(3, 2), torch.tensor([[0, 1], [1, 0], [0, 0]])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: multi_focal_loss(X, Y[:, :1]), "targets must have the shape of logits"),
        (lambda: multi_focal_loss(X, 2 * Y), "targets must be 0 or 1, got 2"),
        (lambda: multi_focal_loss(X, Y * float("nan")), "targets must be 0 or 1"),
        (lambda: multi_focal_loss(X * float("nan"), Y), "logits must be finite"),
        (lambda: multi_focal_loss(Y, Y), "logits must be a non-empty floating-point"),
        (lambda: multi_focal_loss(X[0], Y[0]), "logits must have shape"),
        (lambda: multi_focal_loss(X[:0], Y[:0]), "logits must be a non-empty"),
        (lambda: multi_focal_loss(X, Y, torch.ones(3)), "class_weight must broadcast"),
        (lambda: multi_focal_loss(X, Y, torch.zeros(2)), "class_weight must be above 0"),
        (lambda: multi_focal_loss(X, Y, gamma_neg=-1.0), "gamma_neg must be"),
        (lambda: multi_focal_loss(X, Y, clip=1.5), "clip must be"),
        (lambda: multi_focal_loss(X, Y, reduction="total"), "reduction must be"),
        (lambda: MultiFocalLoss(torch.tensor([-1])), "counts must be at least 0"),
        (lambda: MultiFocalLoss(torch.tensor([3]), gamma_pos=-1.0), "gamma_pos must be"),
        (lambda: class_modifier(torch.tensor([])), "counts must be a non-empty"),
        (lambda: recover_labels(X, Y, tau=1.5), "tau must be"),
        (lambda: recover_labels(X, Y, margin=-1.0), "margin must be"),
        (lambda: recover_labels(X, Y, class_aware="yes"), "class_aware must be a bool"),
        (lambda: LabelCorrector(torch.tensor([1, 2, 3]))(X, Y), "logits must have classes"),
        (lambda: head_tail_weights(-1.0, 1.0), "loss_head must be"),
        (lambda: head_tail_weights(1.0, torch.tensor(-1.0)), "loss_tail must be at least 0"),
        (lambda: head_tail_balance_loss(X[:2], X, X, Y), "head_logits must have shape"),
        (lambda: CausalNormClassifier(5, 2, heads=2), "heads must divide"),
        (lambda: causal_norm_logits(X, torch.ones(2, 3)), "features"),
        (lambda: causal_norm_logits(X, torch.ones(4, 2), direction=torch.ones(3)), "direction must have"),
        (lambda: distribution_balanced_loss(X, Y, torch.tensor([0, 1]), 10), "counts must be in 1"),
        (lambda: distribution_balanced_loss(X, Y, torch.tensor([1]), 10), "counts must have one number"),
        (lambda: splc_loss(X, Y, tau=-0.1), "tau must be"),
        (lambda: focal_multilabel_loss(X, Y, gamma=float("nan")), "gamma must be"),
        (lambda: multi_label_targets(X, "no"), "targets must be a tensor"),
        (lambda: theory.multi_focal(np.zeros((2, 2)), np.full((2, 2), 0.5)), "targets must be 0 or 1"),
        (lambda: theory.multi_focal(np.zeros((2, 2)), np.zeros((2, 2)), np.ones(3)), "class_weight must hold 2"),
        (lambda: theory.class_modifier(np.array([1, -2])), "counts must be at least 0"),
        (lambda: theory.posterior_at(1.0), "probability must be in"),
        (lambda: theory.long_tail_prior(3, 0.5), "imbalance must be"),
        (lambda: theory.long_tail_prior(3, 2.0, head=0.0), "head must be in"),
        (lambda: theory.make_plt(5, 2, 2.0, 1.5, np.random.default_rng(0)), "missing_rate must be"),
        (lambda: theory.make_plt(5, 2, 2.0, 0.5, 3), "rng must be"),
        (lambda: theory.make_plt(5, 2, 2.0, 0.5, np.random.default_rng(0), means=np.ones((3, 4))), "means must have"),
        (lambda: theory.average_precision(np.ones((2, 1)), np.ones((2, 2))), "y must have the shape of scores"),
        (lambda: theory.shot_map(np.ones((2, 1)), np.ones((2, 1)), np.array([1, 2])), "counts must have one entry"),
        (lambda: theory.shot_map(np.ones((2, 1)), np.ones((2, 1)), np.array([1]), many=1, few=2), "many must be"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
