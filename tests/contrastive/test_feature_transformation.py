"""Feature transformation: algebra by hand, the loss by definition, gradients, masks, degenerate cases."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neural.contrastive.feature_transformation import (
    FeatureTransformationLoss,
    extrapolate_positives,
    feature_transformation_loss,
    interpolate_negatives,
    interpolated_scores,
    score_statistics,
)
from theory.contrastive import feature_transformation as theory

shapes = {"batch": st.integers(1, 6), "dim": st.integers(2, 12), "seed": st.integers(0, 2**31)}


def _case(batch, dim, size, seed, dtype=torch.float64, device="cpu", stack=()):
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, *stack, batch, dim, generator=generator, dtype=torch.float64)
    queue = F.normalize(torch.randn(*stack, size, dim, generator=generator, dtype=torch.float64), dim=-1)
    return tuple(x.to(device, dtype) for x in (query, key, queue))


def _draws(device="cpu"):
    return torch.Generator(device).manual_seed(3)


@given(**shapes, excess=st.floats(0, 1))
def test_scores_norms_and_cosines_are_closed_forms_of_the_original_cosine(batch, dim, seed, excess):
    q, k, _ = _case(batch, dim, 2, seed)
    q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
    s = (q * k).sum(1).clamp(-1, 1).numpy()
    far_q, far_k = extrapolate_positives(q, k, 1 + excess)
    np.testing.assert_allclose((far_q * far_k).sum(1), theory.extrapolated_score(s, 1 + excess), atol=1e-12)
    for far in (far_q, far_k):
        np.testing.assert_allclose(far.norm(dim=1), theory.extrapolated_norm(s, 1 + excess), atol=1e-12)
    cosines = F.cosine_similarity(far_q, far_k)
    np.testing.assert_allclose(cosines, theory.renormalised_score(s, 1 + excess), atol=1e-12)


@given(s=st.floats(-1, 1), lam=st.floats(1, 2))
def test_extrapolation_lowers_the_score_to_at_least_five_s_less_four(s, lam):
    score = float(theory.extrapolated_score(s, lam))
    assert 5 * s - 4 - 1e-12 <= score <= s + 1e-12
    assert float(theory.extrapolated_score(s, 1.0)) == s
    assert float(theory.extrapolated_score(1.0, lam)) == 1
    assert float(theory.extrapolated_norm(s, lam)) >= 1


@given(**shapes)
def test_a_weight_for_each_dimension_has_its_closed_form(batch, dim, seed):
    q, k, _ = _case(batch, dim, 2, seed)
    lam = 1 + torch.rand(batch, dim, dtype=torch.float64, generator=_draws())
    far_q, far_k = extrapolate_positives(q, k, lam)
    expected = theory.extrapolated_score_by_dimension(q.numpy(), k.numpy(), lam.numpy())
    np.testing.assert_allclose((far_q * far_k).sum(1), expected, atol=1e-11)


@given(**shapes, lam=st.floats(0, 1), tau=st.floats(0.05, 2))
def test_interpolation_mixes_scores_keeps_their_mean_and_lowers_their_mass(batch, dim, seed, lam, tau):
    q, _, queue = _case(batch, dim, 9, seed)
    perm = torch.randperm(9, generator=_draws())
    scores = q @ queue.T
    mixed = interpolated_scores(scores, lam, perm)
    torch.testing.assert_close(mixed, q @ interpolate_negatives(queue, lam, perm).T)
    torch.testing.assert_close(mixed.mean(1), scores.mean(1))
    before, after = (theory.log_mean_mass(x.numpy(), tau) for x in (scores, mixed))
    assert (after <= before + 1e-12).all()


def test_moments_of_the_weights_are_those_of_the_beta_distribution():
    for alpha in (0.4, 1.6, 2.0, 7.0):
        b = stats.beta(alpha, alpha)
        assert theory.mean_gap_multiplier(alpha) == pytest.approx(1 + b.expect(lambda x: 2 * (1 + x) * x))
        assert theory.interpolation_variance_factor(alpha) == pytest.approx(b.expect(lambda x: x**2 + (1 - x) ** 2))


def test_the_variance_factor_is_exact_over_all_permutations_and_fixed_points_included():
    from itertools import permutations

    scores = np.array([0.3, -0.8, 0.5, 0.1])
    lam = 0.3
    mean = np.mean([np.var(lam * scores + (1 - lam) * scores[list(p)]) for p in permutations(range(4))])
    assert mean == pytest.approx(np.var(scores) * (lam**2 + (1 - lam) ** 2))


def test_extrapolation_multiplies_what_turns_the_query():
    q, k, _ = _case(5, 6, 2, 0)
    q, k = F.normalize(q, dim=1).requires_grad_(), F.normalize(k, dim=1)
    lam = torch.tensor([[1.0], [1.2], [1.5], [1.8], [2.0]], dtype=torch.float64)
    far_q, far_k = extrapolate_positives(q, k, lam)
    (gradient,) = torch.autograd.grad((far_q * far_k).sum(), q)

    def tangent(v):
        return v - (v * q).sum(1, keepdim=True) * q

    torch.testing.assert_close(tangent(gradient), (1 + 2 * lam * (lam - 1)) * tangent(k))


@pytest.mark.parametrize("renormalize", [False, True])
@pytest.mark.parametrize("per", ["batch", "sample", "dim"])
def test_the_loss_is_its_definition_with_the_same_draws(per, renormalize, device):
    query, key, queue = _case(4, 6, 11, 1, device=device)
    arguments = {"temperature": 0.3, "per": per, "renormalize": renormalize, "reduction": "none"}
    only = {name: FeatureTransformationLoss(0.3, per=per, positives=name == "positives", negatives=name == "negatives",
                                            renormalize=renormalize, generator=_draws(device), reduction="none")
            for name in ("positives", "negatives")}  # fmt: skip
    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    lam = _first_weight(2.0, {"batch": (), "sample": (4, 1), "dim": (4, 6)}[per], device)
    far_q, far_k = extrapolate_positives(q, k, 1 + lam)
    if renormalize:
        far_q, far_k = F.normalize(far_q, dim=1), F.normalize(far_k, dim=1)
    expected = _cross_entropy((far_q * far_k).sum(1), far_q @ queue.T)
    torch.testing.assert_close(only["positives"](query, key, queue), expected)
    generator = _draws(device)
    perm = torch.randperm(11, generator=generator, device=device)
    lam = _first_weight(1.6, {"batch": (), "sample": (11, 1), "dim": (11, 6)}[per], device, generator)
    mixed = interpolate_negatives(queue, lam, perm)
    expected = _cross_entropy((q * k).sum(1), q @ (F.normalize(mixed, dim=1) if renormalize else mixed).T)
    torch.testing.assert_close(only["negatives"](query, key, queue), expected)
    plain = feature_transformation_loss(query, key, queue, positives=False, negatives=False, **arguments)
    torch.testing.assert_close(plain, _cross_entropy((q * k).sum(1), q @ queue.T))


def _first_weight(alpha, shape, device, generator=None):
    shapes = torch.full((2, *shape), alpha, dtype=torch.float64, device=device)
    gammas = torch._standard_gamma(shapes, generator=generator or _draws(device))  # pyright: ignore[reportPrivateImportUsage]
    return gammas[0] / gammas.sum(0)


def _cross_entropy(positives, negatives, tau=0.3):
    logits = torch.cat([positives[:, None], negatives], 1) / tau
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device), reduction="none")


@pytest.mark.parametrize("per", ["batch", "sample", "dim"])
def test_gradients_reach_the_query_alone_and_are_right(per):
    query, key, queue = (x.requires_grad_() for x in _case(3, 4, 7, 2))

    def loss(q):
        return feature_transformation_loss(q, key, queue, per=per, generator=_draws())

    assert torch.autograd.gradcheck(loss, (query,))
    value = loss(query)
    assert torch.autograd.grad(value, (key, queue), allow_unused=True) == (None, None)


def test_many_rows_are_mixed_in_parts_without_a_difference(monkeypatch):
    query, key, queue = _case(3, 4, 50, 4)
    whole = feature_transformation_loss(query, key, queue, per="sample", generator=_draws())
    monkeypatch.setattr("neural.contrastive.feature_transformation._ROWS_AT_ONCE", 7)
    torch.testing.assert_close(feature_transformation_loss(query, key, queue, per="sample", generator=_draws()), whole)


def test_mixtures_of_ignored_rows_are_left_out():
    query, key, queue = _case(3, 4, 8, 5)
    ignored = torch.zeros(3, 8, dtype=torch.bool)
    ignored[0, 2] = True
    generator = _draws()
    perm = torch.randperm(8, generator=generator)
    lam = _first_weight(1.6, (), "cpu", generator)
    loss = feature_transformation_loss(
        query, key, queue, 0.3, positives=False, generator=_draws(), ignore_mask=ignored, reduction="none"
    )
    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    scores = (q @ interpolate_negatives(queue, lam, perm).T).masked_fill(ignored | ignored[:, perm], -torch.inf)
    torch.testing.assert_close(loss, _cross_entropy((q * k).sum(1), scores))
    absent = interpolated_scores((q @ queue.T).masked_fill(ignored, -torch.inf), lam, perm)
    assert torch.isneginf(absent).sum() == (ignored | ignored[:, perm]).sum()
    torch.testing.assert_close(absent, scores)


def test_the_identity_permutation_and_weight_one_change_nothing():
    query, _, queue = _case(3, 4, 8, 6)
    scores = query @ queue.T
    torch.testing.assert_close(interpolated_scores(scores, 0.3, torch.arange(8)), scores)
    torch.testing.assert_close(interpolated_scores(scores, 1.0, torch.randperm(8)), scores)
    unchanged = extrapolate_positives(query, query.flip(0), 1.0)
    torch.testing.assert_close(unchanged[0], query)
    query, key, one_row = _case(3, 4, 1, 6)
    assert torch.isfinite(feature_transformation_loss(query, key, one_row, generator=_draws()))


def test_stacked_problems_are_independent():
    query, key, queue = _case(3, 4, 8, 7, stack=(2,))
    stacked = feature_transformation_loss(query, key, queue, generator=_draws(), reduction="none")
    for model in range(2):
        alone = feature_transformation_loss(
            query[model], key[model], queue[model], generator=_draws(), reduction="none"
        )
        torch.testing.assert_close(stacked[model], alone)


def test_float32_and_mixed_precision_are_close_to_float64(device):
    def loss(dtype):
        query, key, queue = _case(5, 16, 40, 8, dtype, device)
        return feature_transformation_loss(query, key, queue, 0.1, generator=_draws(device))

    exact = loss(torch.float64)
    torch.testing.assert_close(loss(torch.float32).double(), exact, rtol=1e-5, atol=1e-5)
    with torch.autocast(device, dtype=torch.bfloat16):
        inside = loss(torch.float32)
    torch.testing.assert_close(inside.double(), exact, rtol=1e-5, atol=1e-5)


def test_statistics_are_those_of_the_scores_that_count():
    pos, neg = torch.tensor([0.5, 0.7]), torch.tensor([[0.1, 0.3, -torch.inf], [0.2, 0.0, 0.4]])
    seen = score_statistics(pos, neg, 0.5)
    rows = [np.array([0.1, 0.3]), np.array([0.2, 0.0, 0.4])]
    expected = {
        "negative_mean": np.mean([r.mean() for r in rows]), "negative_variance": np.mean([r.var() for r in rows]),
        "positive": 0.6, "log_negative_mass": np.log(np.mean([np.exp(r / 0.5).mean() for r in rows])),
        "log_positive_mass": np.log(np.exp(np.array([0.5, 0.7]) / 0.5).mean()),
    }  # fmt: skip
    for name, value in expected.items():
        assert float(seen[name]) == pytest.approx(value, rel=1e-5)


def test_zero_rows_and_equal_views_stay_finite():
    query, key, queue = _case(3, 5, 12, 9)
    query = (query * torch.tensor([[0.0], [1.0], [1.0]])).requires_grad_()
    (gradient,) = torch.autograd.grad(FeatureTransformationLoss(renormalize=True)(query, key, queue), query)
    assert torch.isfinite(gradient).all()
    same = query.detach()[1:]
    assert torch.isfinite(FeatureTransformationLoss()(same, same, queue))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: extrapolate_positives(torch.ones(2, 3), torch.ones(2, 3), 0.9), "lam"),
        (lambda: extrapolate_positives(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([[0.5], [1.0]])), "lam"),
        (lambda: interpolate_negatives(torch.eye(3), 0.5, torch.tensor([0, 0, 1])), "perm"),
        (lambda: interpolate_negatives(torch.eye(3), 1.5, torch.arange(3)), "lam"),
        (lambda: FeatureTransformationLoss(alpha_pos=0.0), "alpha_pos"),
        (lambda: FeatureTransformationLoss(per="row"), "per"),  # type: ignore[arg-type]
        (lambda: feature_transformation_loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(4, 3)), "queue"),
        (lambda: theory.extrapolated_score(0.5, -0.1), "lam"),
    ],
)  # fmt: skip
def test_bad_input_is_named(unchecked, call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_interpolating_a_positive_pair_has_to_be_asked_for():
    near, _ = extrapolate_positives(torch.eye(2), torch.eye(2).flip(0), 0.5, allow_interpolation=True)
    torch.testing.assert_close(near, torch.full((2, 2), 0.5))


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda b: b.name)
def test_bounds_hold_on_random_instances(bound):
    assert bound.check(20_000).holds
