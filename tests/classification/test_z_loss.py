"""The Z-loss and its family, both implementations held together; the factored layer against an explicit one; the words."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from neural.classification import word_prediction as words
from neural.classification import z_loss as neural
from neural.classification.factored_output import FactoredOutputLayer, factored_spherical_loss
from simulations.classification.z_loss import chosen_rates
from theory.classification import z_loss as theory
from theory.fuzz import check_bound

EXAMPLES = settings(max_examples=25, deadline=None)
scores_and_target = st.integers(3, 12).flatmap(
    lambda n: st.tuples(arrays(float, (1, n), elements=st.floats(-50, 50, width=32)), st.integers(0, n - 1))
)
softness, threshold = st.floats(0.03, 3), st.floats(-3, 12)


def spread(scores):
    return float(np.ptp(scores)) > 1e-2


# values -----------------------------------------------------------------------------------------


@EXAMPLES
@given(scores_and_target, softness, threshold)
def test_the_loss_is_its_definition_in_both_rooms(case, a, b):
    scores, c = case
    assume(spread(scores))
    mean = math.fsum(scores[0]) / scores.size
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in scores[0]) / scores.size)
    expected = np.logaddexp(0, a * (b - (scores[0, c] - mean) / deviation)) / a
    assert_allclose(theory.z_loss(scores, np.array([c]), a, b)[0], expected, rtol=1e-10, atol=1e-12)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        found = neural.z_loss(torch.tensor(scores, dtype=dtype), torch.tensor([c]), a, b)
        assert found.dtype == dtype
        assert_allclose(found.item(), expected, rtol=tolerance, atol=tolerance / a)


@EXAMPLES
@given(scores_and_target, softness, threshold, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_shift_and_scale_change_nothing_and_the_sign_does(case, a, b, scale, shift):
    scores, c = case
    assume(spread(scores))
    target, z = np.array([c]), theory.z_scores(scores)[0, c]
    before = theory.z_loss(scores, target, a, b)
    # Adding a shift rounds the scores themselves, by 1e-13 at most against a spread of 1e-4 at least.
    assert_allclose(theory.z_loss(scale * scores + shift, target, a, b), before, rtol=1e-7, atol=1e-7)
    if abs(z) > 0.1:
        assert abs(theory.z_loss(-scores, target, a, b) - before) > 1e-9


@EXAMPLES
@given(scores_and_target)
def test_standard_scores_reach_the_root_of_d_less_one_and_no_further(case):
    scores, c = case
    classes = scores.size
    assert abs(theory.z_scores(scores)[0, c]) <= math.sqrt(classes - 1) * (1 + 1e-12)
    assert_allclose(theory.z_scores(np.eye(classes))[c, c], math.sqrt(classes - 1), rtol=1e-12)
    assert_allclose(
        theory.z_loss(np.eye(classes), np.arange(classes), 0.5, 3.0),
        np.logaddexp(0, 0.5 * (3 - math.sqrt(classes - 1))) / 0.5, rtol=1e-12,
    )  # fmt: skip


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7.7, 1e8 + 0.3])
@pytest.mark.parametrize("classes", [2, 3, 1000, 1001])
def test_constant_scores_have_a_finite_value_and_no_gradient(value, classes, device):
    for dtype in (torch.float32, torch.float64):
        logits = torch.full((2, classes), value, dtype=dtype, device=device, requires_grad=True)
        target = torch.tensor([0, classes - 1], device=device)
        loss = neural.z_loss(logits, target, a=0.5, b=3.0)
        loss.backward()
        assert_allclose(loss.item(), math.log1p(math.exp(1.5)) / 0.5, rtol=1e-6)
        assert logits.grad is not None
        assert not logits.grad.any()
    scores = np.full((1, classes), value)
    assert not theory.z_loss_grad(scores, np.array([0])).any()
    assert not theory.z_loss_gradient_norm(scores, np.array([0])).any()


def test_two_classes_give_a_piecewise_constant_loss():
    scores = np.array([[0.0, 1e-3], [0.0, 40.0]])
    assert_allclose(theory.z_scores(scores), [[-1, 1], [-1, 1]], rtol=1e-12)
    assert_allclose(theory.z_loss_grad(scores, np.array([0, 1])), 0, atol=1e-9)


def test_a_large_mean_costs_no_digits():
    offsets = np.array([[0.0, 1.0, 2.0, -3.0]])
    target = torch.tensor([2])
    for dtype, mean in ((torch.float32, 2.0**20), (torch.float64, 2.0**40)):
        near, far = (torch.tensor(offsets + m, dtype=dtype) for m in (0.0, mean))
        assert_allclose(neural.z_loss(far, target).item(), neural.z_loss(near, target).item(), rtol=1e-6)


def test_scores_of_any_size_stay_finite():
    scores = np.array([[0.0, 1.0, 3.0]])
    for scale in (1e-300, 1e300):
        assert_allclose(theory.z_scores(scale * scores), theory.z_scores(scores), rtol=1e-12)
    logits = torch.tensor(scores, dtype=torch.float32) * 1e15
    assert_allclose(neural.z_loss(logits, torch.tensor([2])).item(), theory.z_loss(scores, np.array([2]))[0], rtol=1e-5)


def test_scores_that_spread_by_less_than_eps_count_as_constant_and_others_are_not_biased():
    logits = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    target = torch.tensor([2])
    expected = theory.z_loss(logits.numpy(), target.numpy())[0]
    assert_allclose(neural.z_loss(1e-11 * logits, target).item(), expected, rtol=1e-12)
    assert_allclose(neural.z_loss(1e-13 * logits, target).item(), math.log(2), rtol=1e-12)
    assert_allclose(neural.z_loss(logits, target, eps=0.5).item(), math.log(2), rtol=1e-12)


@pytest.mark.parametrize("far", [30.0, 39.0, 41.0, 700.0])
def test_softplus_loses_no_digit_far_from_the_threshold(far):
    logits, target = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64), torch.tensor([2])
    expected = theory.z_loss(logits.numpy(), target.numpy(), 1.0, far)[0]
    assert_allclose(neural.z_loss(logits, target, 1.0, far).item(), expected, rtol=1e-15)


def test_half_precision_is_computed_in_single():
    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    target = torch.arange(8)
    loss = neural.z_loss(logits, target)
    loss.backward()
    assert loss.dtype == torch.float32
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16
    assert_allclose(loss.item(), neural.z_loss(logits.detach().float(), target).item(), rtol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = torch.randn(8, 4) @ torch.randn(4, 50)
        assert neural.z_loss(product, target).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relatives_agree_in_scores_and_in_coordinates(dtype, device):
    logits = torch.randn(6, 9, generator=torch.Generator().manual_seed(1), dtype=dtype).to(device)
    target = torch.tensor([0, 3, 8, 2, 2, 5], device=device)
    oc, q, s = logits.gather(1, target[:, None])[:, 0], logits.square().sum(1), logits.sum(1)
    expected_of = theory.spherical_coordinates(logits.double().cpu().numpy(), target.cpu().numpy())
    nll = partial(F.nll_loss, reduction="none")
    for kind, dense, coordinates in (
        ("z", neural.z_loss(logits, target, 0.3, 2.0, reduction="none"),
         neural.z_loss_of_coordinates(oc, q, s, 9, 0.3, 2.0)),
        ("mse", neural.spherical_mse(logits, target, "none"), neural.spherical_mse_of_coordinates(oc, q, s, 9)),
        ("log_taylor", nll(neural.log_taylor_softmax(logits), target), neural.taylor_nll_of_coordinates(oc, q, s, 9)),
        ("log_spherical", nll(neural.log_spherical_softmax(logits), target),
         neural.spherical_nll_of_coordinates(oc, q, s, 9)),
    ):  # fmt: skip
        expected = theory.spherical_loss(*expected_of, 9, kind, 0.3, 2.0)
        tolerance = 1e-10 if dtype == torch.float64 else 2e-5
        assert_allclose(dense.cpu().numpy(), expected, rtol=tolerance, atol=tolerance)
        assert_allclose(coordinates.cpu().numpy(), expected, rtol=tolerance, atol=tolerance)


def test_log_probabilities_are_normalised():
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 10
    for log_probabilities in (neural.log_taylor_softmax(logits), neural.log_spherical_softmax(logits)):
        assert_allclose(log_probabilities.exp().sum(1).numpy(), 1, rtol=1e-12)


def test_squared_error_is_the_distance_to_the_one_hot_vector():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    target = torch.tensor([0, 1, 2, 3, 0])
    expected = (logits - F.one_hot(target, 4)).square().sum(1)
    assert_allclose(neural.spherical_mse(logits, target, "none").numpy(), expected.numpy(), rtol=1e-12)


def test_the_linear_part_of_the_loss_is_symmetric():
    # The sum of the standard scores over all labels is 0: a symmetric loss.
    assert_allclose(theory.z_scores(np.random.default_rng(0).standard_normal((5, 9))).sum(1), 0, atol=1e-12)


def test_the_module_is_the_function():
    logits, target = torch.randn(4, 5), torch.tensor([0, 1, 2, 4])
    module = neural.ZLoss(a=0.2, b=4.0, reduction="sum")
    assert module(logits, target) == neural.z_loss(logits, target, 0.2, 4.0, reduction="sum")
    assert "b=4.0" in repr(module)


# gradients --------------------------------------------------------------------------------------


@EXAMPLES
@given(scores_and_target, softness, threshold)
def test_the_gradient_is_autograds_in_four_ways(case, a, b):
    scores, c = case
    assume(spread(scores))
    target = np.array([c])
    o = torch.tensor(scores, requires_grad=True)
    z = (o - o.mean(1, keepdim=True)) / o.std(1, correction=0, keepdim=True)
    automatic = torch.autograd.grad((a * (b - z[:, c])).exp().log1p().sum() / a, o)[0].numpy()
    closed = theory.z_loss_grad(scores, target, a, b)
    ours = torch.autograd.grad(neural.z_loss(o, torch.tensor([c]), a, b), o)[0].numpy()
    # Coordinates lose what the mean has above the deviation, squared.
    lost = 1e-13 * (1 + (scores**2).sum() / scores.var()) ** 2
    parts = theory.spherical_grad(*theory.spherical_coordinates(scores, target), scores.size, a=a, b=b)
    size = 1 / scores.std()
    assert_allclose(closed, automatic, rtol=1e-8, atol=1e-10 * size)
    assert_allclose(ours, automatic, rtol=1e-8, atol=1e-10 * size)
    assert_allclose(theory.scores_gradient(scores, target, *parts), automatic, atol=lost * size)
    assert_allclose(closed.sum(), 0, atol=1e-12 * size)
    assert_allclose((closed * (scores - scores.mean())).sum(), 0, atol=1e-12)
    # At an extreme z the norm is the root of a difference that rounding may leave at 1e-16.
    assert_allclose(theory.z_loss_gradient_norm(scores, target, a, b)[0], np.linalg.norm(closed), atol=1e-7 * size)


@pytest.mark.parametrize("kind", theory.SPHERICAL_LOSSES)
def test_partial_derivatives_are_finite_differences(kind):
    scores = np.random.default_rng(0).standard_normal((5, 7))
    s, q, oc = theory.spherical_coordinates(scores, np.arange(5))
    step = 1e-6
    for number, partial_derivative in enumerate(theory.spherical_grad(s, q, oc, 7, kind, 0.7, 1.0)):
        moved = [[part + sign * step * (k == number) for k, part in enumerate((s, q, oc))] for sign in (1, -1)]
        high, low = (theory.spherical_loss(*parts, 7, kind, 0.7, 1.0) for parts in moved)
        assert_allclose(partial_derivative, (high - low) / (2 * step), rtol=1e-6, atol=1e-8)


def test_gradients_of_a_batch_pass_gradcheck():
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 5, 2])
    for reduction in ("mean", "sum", "none"):
        assert torch.autograd.gradcheck(lambda o, r=reduction: neural.z_loss(o, target, 0.5, 1.0, reduction=r), logits)


# the certificate --------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda bound: bound.name)
def test_bounds_survive_a_search(bound):
    assert bound.check(20_000).holds


def test_the_certificate_is_attained_for_every_k():
    for classes in (3, 8, 31):
        for k in range(1, classes - 1):
            witness = theory.rank_witness(classes, k)
            z = theory.z_scores(witness[None])[0, 0]
            assert_allclose(z, theory.b_for_topk(classes, k), rtol=1e-12)
            assert theory.rank_certificate(z, classes) == k + 1 == (witness >= witness[0]).sum()
            assert theory.rank_certificate(z * (1 + 1e-9), classes) == k


def test_a_tighter_certificate_is_found_out():
    bound = theory.BOUNDS[0]
    assert not check_bound(bound.lhs, lambda **s: 0.97 * bound.rhs(**s), bound.sampler, 20_000).holds


def test_thresholds_for_two_thousand_classes():
    # The values of b for D = 2000 that the experiments start from.
    assert [round(theory.b_for_topk(2000, k), 1) for k in (1, 5, 10, 100)] == [31.6, 18.2, 13.4, 4.3]
    assert theory.rank_certificate(math.sqrt(1999), 2000) == 1
    assert theory.b_for_topk(2, 1) == 0


def test_operations_do_not_depend_on_the_classes_and_break_even_is_where_they_meet():
    d, m = 128, 64
    classes = theory.break_even_classes(d, m)
    assert theory.dense_step_flops(math.floor(classes), d, m) <= theory.factored_step_flops(d, m)
    assert theory.dense_step_flops(math.ceil(classes), d, m) >= theory.factored_step_flops(d, m)
    assert_allclose(classes, 3 * d + 2 * m + m * m / (3 * d))


# the factored layer -----------------------------------------------------------------------------

COORDINATE_LOSSES = {
    "z": partial(neural.z_loss_of_coordinates, a=0.1, b=10.0),
    "mse": neural.spherical_mse_of_coordinates,
    "taylor": neural.taylor_nll_of_coordinates,
    "spherical": neural.spherical_nll_of_coordinates,
}


def side_by_side(loss, *, steps=60, targets=1, dtype=torch.float64, device="cpu", rate=0.05, **layer_options):
    """A factored layer and explicit weights after the same steps, and the largest gap of scores or hidden gradients."""
    classes, hidden, batch = 60, 7, 5
    generator = torch.Generator().manual_seed(steps)
    start = (torch.randn(classes, hidden, generator=generator, dtype=torch.float64) / hidden**0.5).to(device, dtype)
    layer = FactoredOutputLayer.from_weight(start, rate, **layer_options)
    explicit = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([explicit], rate, weight_decay=layer_options.get("weight_decay", 0.0))
    gap = 0.0
    for _ in range(steps):
        h = torch.randn(batch, hidden, generator=generator, dtype=torch.float64).to(device, dtype)
        idx = torch.randint(classes, (batch, targets), generator=generator).to(device)
        idx[1] = idx[0]
        theirs = h.clone().requires_grad_()
        o = theirs @ explicit.T
        scores, q, s = layer(h, idx)
        gap = max(gap, deviation(scores, o.detach().gather(1, idx)), deviation(s, o.detach().sum(1)))
        coordinates = [part.requires_grad_() for part in (scores, q, s)]
        total = sum(loss(coordinates[0][:, k], *coordinates[1:], classes).sum() for k in range(targets))
        ours = layer.backward_update(*torch.autograd.grad(total, coordinates, materialize_grads=True))
        dense = sum(loss(o.gather(1, idx)[:, k], o.square().sum(1), o.sum(1), classes).sum() for k in range(targets))
        optimizer.zero_grad()
        dense.backward()
        optimizer.step()
        gap = max(gap, float((ours - theirs.grad).abs().max() / theirs.grad.abs().max()))
    return layer, explicit.detach(), gap


def deviation(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", COORDINATE_LOSSES)
@pytest.mark.parametrize("options", [{}, {"stabilize_every": 3}, {"weight_decay": 0.1}], ids=str)
def test_factored_steps_are_those_of_the_explicit_layer(name, options, device):
    rate = 0.01 if name == "mse" else 0.05
    layer, explicit, gap = side_by_side(COORDINATE_LOSSES[name], device=device, rate=rate, **options)
    assert deviation(layer.dense_weight(), explicit) < 1e-10
    assert gap < 1e-10
    assert deviation(layer.Q, explicit.T @ explicit) < 1e-10
    assert deviation(layer.class_sum, explicit.sum(0)) < 1e-9
    identity = layer.U.T @ layer.U_inverse_T
    assert_allclose(identity.cpu(), np.eye(7), atol=1e-10)


def test_several_targets_per_example_are_exact_too():
    layer, explicit, gap = side_by_side(COORDINATE_LOSSES["z"], targets=3)
    assert deviation(layer.dense_weight(), explicit) < 1e-10
    assert gap < 1e-10


def test_single_precision_stays_close(device):
    layer, explicit, gap = side_by_side(COORDINATE_LOSSES["z"], dtype=torch.float32, device=device)
    assert layer.V.dtype == torch.float32
    assert layer.U.dtype == torch.float64
    assert deviation(layer.dense_weight(), explicit) < 1e-4
    assert gap < 1e-4


def test_mending_the_factor_keeps_the_weights_and_what_is_not_mended_falls_apart():
    mended, explicit, _ = side_by_side(COORDINATE_LOSSES["mse"], rate=0.025, steps=200, stabilize_every=10)
    assert mended.repairs > 0
    assert deviation(mended.dense_weight(), explicit) < 1e-10
    never, _, _ = side_by_side(COORDINATE_LOSSES["mse"], rate=0.025, steps=200, stabilize_every=0)
    assert deviation(never.dense_weight(), explicit) > 1


def test_stabilizing_and_unfactorizing_leave_the_weights_as_they_are():
    layer, _, _ = side_by_side(COORDINATE_LOSSES["z"])
    before, gram = layer.dense_weight(), layer.Q.clone()
    skew = torch.eye(7, dtype=torch.float64)
    skew[2, 2], skew[5, 5] = 1e-4, 30.0
    layer.V.copy_(layer.V @ torch.linalg.inv(skew))
    layer.U.copy_(skew @ layer.U)
    layer.U_inverse_T.copy_(torch.linalg.inv(layer.U).T)
    assert layer.stabilize() == 2
    assert deviation(layer.dense_weight(), before) < 1e-11
    assert float(torch.linalg.cond(layer.U)) < 4
    layer.unfactorize()
    assert deviation(layer.dense_weight(), before) < 1e-11
    assert torch.equal(layer.U, torch.eye(7, dtype=torch.float64))
    assert deviation(layer.Q, gram) < 1e-10


def test_a_step_that_makes_the_factor_singular_is_exact_or_refused():
    # 2 eta gq ||h||^2 = 1: the step projects h out of all weights.
    weight = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h, target = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64), torch.tensor([4])
    gq = torch.tensor([1 / (2 * 0.1 * 9)], dtype=torch.float64)
    ones = torch.ones(1, dtype=torch.float64)
    layer = FactoredOutputLayer.from_weight(weight, 0.1)
    layer(h, target)
    layer.backward_update(ones, gq, ones)
    gradient = 2 * gq * (weight @ h.T) + 1
    gradient[4] += 1
    expected = weight - 0.1 * gradient @ h
    assert_allclose(layer.dense_weight(), expected, atol=1e-13)
    assert_allclose(layer.Q, expected.T @ expected, atol=1e-12)
    assert layer.repairs == 1
    refused = FactoredOutputLayer.from_weight(torch.ones(2, 1, dtype=torch.float64), 0.5, stabilize_every=0)
    refused(torch.ones(1, 1, dtype=torch.float64), torch.tensor([0]))
    with pytest.raises(RuntimeError, match="singular"):
        refused.backward_update(ones, ones, ones)


def test_a_network_above_explicit_weights_and_above_the_factored_layer_learns_the_same():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    weight = (torch.randn(6, 3, generator=generator, dtype=torch.float64)).numpy()
    layer = FactoredOutputLayer.from_weight(start, 0.1)
    ours, theirs = (torch.nn.Parameter(torch.tensor(weight)) for _ in range(2))
    explicit = torch.nn.Parameter(start.clone())
    below, all_of = torch.optim.Adam([ours], 0.01), torch.optim.Adam([theirs], 0.01)
    for _ in range(30):
        x = torch.randn(8, 3, generator=generator, dtype=torch.float64)
        target = torch.randint(40, (8,), generator=generator)
        below.zero_grad()
        first = factored_spherical_loss((x @ ours.T).tanh(), target, COORDINATE_LOSSES["z"], layer)
        first.backward()
        below.step()
        all_of.zero_grad()
        second = neural.z_loss((x @ theirs.T).tanh() @ explicit.T, target, 0.1, 10.0)
        second.backward()
        all_of.step()
        assert explicit.grad is not None
        with torch.no_grad():
            explicit.sub_(0.1 * explicit.grad)
        explicit.grad = None
        assert_allclose(first.item(), second.item(), rtol=1e-10)
    assert_allclose(ours.detach(), theirs.detach(), rtol=1e-9, atol=1e-11)
    assert deviation(layer.dense_weight(), explicit.detach()) < 1e-10


def test_a_factor_on_the_loss_scales_the_step():
    weight = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h, target = (
        torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
        torch.tensor([0, 1, 2, 3]),
    )
    moved = []
    for factor, rate in ((3.0, 0.01), (1.0, 0.03)):
        layer = FactoredOutputLayer.from_weight(weight, rate)
        (factor * factored_spherical_loss(h.clone().requires_grad_(), target, COORDINATE_LOSSES["z"], layer)).backward()
        moved.append(layer.dense_weight())
    assert_allclose(moved[0], moved[1], rtol=1e-12)


def test_nothing_is_updated_without_gradients_nor_twice_nor_too_late():
    layer = FactoredOutputLayer(30, 4, 0.1)
    loss = partial(factored_spherical_loss, target=torch.tensor([1, 2]), loss_fn=COORDINATE_LOSSES["z"], layer=layer)
    loss(torch.randn(2, 4))
    assert layer.steps == 0
    h = torch.randn(2, 4, requires_grad=True)
    once = loss(h)
    once.backward(retain_graph=True)
    assert layer.steps == 1
    with pytest.raises(RuntimeError, match="once"):
        once.backward()
    early = loss(h)
    loss(h)
    with pytest.raises(RuntimeError, match="before the layer's next forward"):
        early.backward()
    fresh = FactoredOutputLayer(30, 4, 0.1)
    with pytest.raises(RuntimeError, match="follow a forward"):
        fresh.backward_update(torch.ones(2), torch.ones(2), torch.ones(2))


def test_the_largest_scores_are_those_of_the_explicit_weights(monkeypatch):
    monkeypatch.setattr("neural.classification.factored_output._ROWS", 16)
    layer, _, _ = side_by_side(COORDINATE_LOSSES["z"])
    h = torch.randn(5, 7, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    values, classes = layer.topk(h, 20)
    expected = (h @ layer.dense_weight().T).topk(20)
    assert_allclose(values, expected.values, atol=1e-12)
    assert torch.equal(classes, expected.indices)


def test_state_is_saved_and_conversion_spares_what_must_be_double():
    layer, _, _ = side_by_side(COORDINATE_LOSSES["z"])
    other = FactoredOutputLayer(60, 7, 0.05, dtype=torch.float64)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.dense_weight(), layer.dense_weight())
    assert other.float().Q.dtype == torch.float64
    assert other.V.dtype == torch.float32
    assert not list(layer.parameters())


def test_a_schedule_may_change_the_rate():
    layer = FactoredOutputLayer(30, 4, 0.1)
    before = layer.dense_weight()
    layer.eta = 1e-9
    factored_spherical_loss(
        torch.randn(2, 4, requires_grad=True), torch.tensor([1, 2]), COORDINATE_LOSSES["z"], layer
    ).backward()
    assert_allclose(layer.dense_weight(), before, atol=1e-6)


# words ------------------------------------------------------------------------------------------


def test_the_split_keeps_its_parts_apart_and_crosses_no_block():
    corpus = words.documentation_corpus(200)
    assert len(corpus.digest) == 64
    assert corpus.words[1] == "the"
    parts = words.split_windows(corpus, 4, seed=1)
    assert all((part.targets != 0).all() for part in parts)
    assert sum(len(part.targets) for part in parts) <= len(corpus.classes)
    text = corpus.classes.tolist()
    found = {tuple(text[i : i + 4]) for i in range(len(text) - 3)}
    first = parts[0]
    assert {(*c.tolist(), int(t)) for c, t in zip(first.contexts[:50], first.targets[:50], strict=True)} <= found
    assert len(words.split_windows(corpus, 4, seed=1, limit=10)[0].targets) == 10


def test_training_learns_and_depends_on_the_seed_alone():
    corpus = words.documentation_corpus(100)
    train, valid, _ = words.split_windows(corpus, 3, seed=0, limit=2000)

    def trained():
        model = words.WordPredictor(100, 2, 8, 16, torch.Generator().manual_seed(0))
        untrained = words.topk_accuracy(model, valid, (1, 10))
        words.fit(model, train, F.cross_entropy, learning_rate=0.02, batch_size=64)
        return untrained, words.topk_accuracy(model, valid, (1, 10))

    (before, after), (_, again) = trained(), trained()
    assert after == again
    assert after[10] > before[10] + 0.1
    assert after[1] <= after[10]


@EXAMPLES
@given(arrays(float, (3, 6), elements=st.integers(-3, 3)))
def test_ranks_count_ties_against_the_target(scores):
    targets = torch.tensor([0, 3, 5])
    expected = [sum(other >= row[t] for other in row) for row, t in zip(scores, targets.tolist(), strict=True)]
    assert words.ranks(torch.tensor(scores), targets).tolist() == expected


def test_a_link_ranks_by_what_the_loss_means():
    model = words.WordPredictor(3, 1, 2, 2)
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(torch.tensor([0.0, -5.0, 1.0]))
    windows = words.Windows(torch.tensor([[0]]), torch.tensor([1]))
    assert words.topk_accuracy(model, windows, (1, 3)) == {1: 0.0, 3: 1.0}
    assert words.topk_accuracy(model, windows, (1, 3), neural.log_spherical_softmax) == {1: 1.0, 3: 1.0}


def test_the_rate_is_chosen_on_validation_scores_and_test_scores_are_reported():
    import pandas as pd

    scores = {"loss": "softmax", "rate": [0.01, 0.1] * 2, "replicate": [0, 0, 1, 1]}
    table = pd.DataFrame({**scores, "valid_top1": [0.1, 0.3, 0.4, 0.3], "test_top1": [0.9, 0.2, 0.8, 0.1]})
    chosen = chosen_rates(table, "top1")
    assert set(chosen["rate"]) == {0.1}
    assert chosen["score"].tolist() == [0.2, 0.1]


# bad input --------------------------------------------------------------------------------------

LOGITS, TARGET = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 3])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neural.z_loss(LOGITS[:, :1], TARGET), "logits must have at least 2 classes"),
        (lambda: neural.z_loss(LOGITS * math.nan, TARGET), "logits"),
        (lambda: neural.z_loss(LOGITS[0], TARGET), "logits must have 2 axes"),
        (lambda: neural.z_loss(LOGITS, TARGET[:2]), "target must have shape"),
        (lambda: neural.z_loss(LOGITS, TARGET + 1), "target must be in 0"),
        (lambda: neural.z_loss(LOGITS, TARGET.float()), "target must be a tensor of class indices"),
        (lambda: neural.z_loss(LOGITS, TARGET, a=0.0), "a must be"),
        (lambda: neural.z_loss(LOGITS, TARGET, b=math.nan), "b must be"),
        (lambda: neural.z_loss(LOGITS, TARGET, eps=-1.0), "eps must be"),
        (lambda: neural.z_loss(LOGITS, TARGET, reduction="median"), "reduction must be"),
        (lambda: neural.ZLoss(reduction="median"), "reduction must be"),
        (lambda: neural.log_spherical_softmax(LOGITS, 0.0), "eps must be"),
        (lambda: neural.z_loss_of_coordinates(LOGITS[0], LOGITS[1], LOGITS[2][:2], 4), "s must have shape"),
        (lambda: neural.z_loss_of_coordinates(*(LOGITS * math.inf), 4), "oc must be finite"),
        (lambda: neural.z_loss_of_coordinates(*LOGITS, 1), "classes must be"),
        (lambda: FactoredOutputLayer(1, 4, 0.1), "D must be"),
        (lambda: FactoredOutputLayer(9, 0, 0.1), "d must be"),
        (lambda: FactoredOutputLayer(9, 4, -0.1), "eta must be"),
        (lambda: FactoredOutputLayer(9, 4, 0.1, weight_decay=20.0), "weight_decay must be below"),
        (lambda: FactoredOutputLayer(9, 4, 0.1, stabilize_every=-1), "stabilize_every must be"),
        (lambda: FactoredOutputLayer(9, 4, 0.1, dtype=torch.float16), "dtype must be"),
        (lambda: FactoredOutputLayer(9, 4, 0.1)(torch.ones(2, 3), TARGET[:2]), "H must have d = 4"),
        (lambda: FactoredOutputLayer(9, 4, 0.1)(torch.ones(2, 4) * math.nan, TARGET[:2]), "H must be finite"),
        (lambda: FactoredOutputLayer(9, 4, 0.1)(torch.ones(2, 4), TARGET), "idx must have shape"),
        (lambda: FactoredOutputLayer(9, 4, 0.1)(torch.ones(3, 4), TARGET + 9), "idx must be in 0"),
        (lambda: FactoredOutputLayer(9, 4, 0.1).topk(torch.ones(2, 4), 10), "k must be at most"),
        (lambda: words.documentation_corpus(10**6), "vocabulary must be at most"),
        (lambda: words.split_windows(words.documentation_corpus(50), 500, 0), "order must be below"),
        (lambda: words.ranks(LOGITS, TARGET + 1), "targets must be in 0"),
        (lambda: theory.z_loss(np.ones((2, 1)), np.zeros(2, int)), "scores must have at least 2"),
        (lambda: theory.z_loss(np.array([[np.nan, 1.0]]), np.array([0])), "scores must be finite"),
        (lambda: theory.z_scores(np.array([[1e308, -1e308]])), "scores must differ"),
        (lambda: theory.z_loss(np.ones((1, 3)), np.array([3])), "targets must be in 0"),
        (lambda: theory.rank_certificate(99.0, 10), "z_c must lie within"),
        (lambda: theory.b_for_topk(10, 10), "k must be below"),
        (lambda: theory.b_for_topk(1, 1), "D must be"),
        (lambda: theory.spherical_loss(np.ones(1), np.zeros(1), np.ones(1), 3), "q must be at least"),
        (lambda: theory.spherical_loss(np.ones(1), np.ones(1), np.ones(1), 3, "hinge"), "loss must be one of"),
        (lambda: theory.scores_gradient(np.ones((2, 3)), np.array([0, 1]), *np.ones((3, 1))), "by_s must have 2"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.usefixtures("unchecked")
def test_bad_derivatives_and_losses_are_named():
    layer = FactoredOutputLayer(9, 4, 0.1)
    layer(torch.ones(3, 4), TARGET)
    for name, parts in (("gA", (2, 3, 3)), ("gq", (3, 2, 3)), ("gs", (3, 3, 2))):
        with pytest.raises(ValueError, match=f"{name} must have shape"):
            layer.backward_update(*(torch.ones(n) for n in parts))
    for number, name in enumerate(("gA", "gq", "gs")):
        for spoilt in (torch.full((3,), math.nan), torch.full((3,), math.inf), torch.ones(3) * 1j, "text"):
            parts = [spoilt if k == number else torch.ones(3) for k in range(3)]
            with pytest.raises(ValueError, match=f"{name} must be"):
                layer.backward_update(*parts)
    assert layer.steps == 0
    with pytest.raises(ValueError, match="loss_fn must return"):
        factored_spherical_loss(torch.ones(3, 4), TARGET, lambda oc, q, s, classes: oc.sum(), layer)
    with pytest.raises(ValueError, match="reduction must be"):
        factored_spherical_loss(torch.ones(3, 4), TARGET, neural.z_loss_of_coordinates, layer, "none")
