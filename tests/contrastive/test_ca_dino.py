"""Cluster-aware DINO and the loss gate: losses written out, closed gradients, crossings by search, gates, samplers, voices."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.mixture import GaussianMixture

from neural.contrastive import ca_dino, loss_gate, speakers
from neural.contrastive.japanese_vowels import japanese_vowels, resampled
from neural.ensemble import EnsembleBatchNorm
from theory.contrastive import ca_dino as theory
from theory.fuzz import check_bound

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}


def _crops(seed, teachers, students, batch, outputs, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    shapes = (teachers, batch, outputs), (students, batch, outputs), (outputs,)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype) for shape in shapes)


crops = {
    "seed": st.integers(0, 2**31), "teachers": st.integers(1, 4), "students": st.integers(2, 6),
    "batch": st.integers(1, 5), "outputs": st.integers(2, 12),
}  # fmt: skip
temperatures = {"t_teacher": st.floats(0.03, 1.0), "t_student": st.floats(0.08, 1.0)}


# the DINO loss ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=40, deadline=None)
@given(**crops, **temperatures)
def test_theory_and_neural_agree_in_loss_and_gradient(
    dtype, seed, teachers, students, batch, outputs, t_teacher, t_student
):
    teacher, student, center = _crops(seed, teachers, students, batch, outputs, dtype)
    student.requires_grad_()
    loss = ca_dino.dino_loss(list(teacher), list(student), center, t_teacher, t_student)
    (gradient,) = torch.autograd.grad(loss, student)
    arrays = [x.detach().double().numpy() for x in (teacher, student, center)]
    assert loss.dtype == dtype
    # A logit is only as exact as its rounding over the temperature.
    tolerance = 4 * TOLERANCE[dtype] / min(t_teacher, t_student)
    assert loss.item() == pytest.approx(theory.dino_loss(*arrays, t_teacher, t_student), rel=tolerance, abs=tolerance)
    closed = theory.dino_loss_grad(*arrays, t_teacher, t_student)
    np.testing.assert_allclose(gradient.double().numpy(), closed, rtol=tolerance, atol=tolerance / t_student)


@settings(max_examples=40, deadline=None)
@given(**crops)
def test_the_loss_is_the_mean_over_pairs_of_different_crops(seed, teachers, students, batch, outputs):
    teacher, student, center = _crops(seed, teachers, students, batch, outputs)
    terms = [
        -(F.softmax((teacher[a] - center) / 0.04, 1) * F.log_softmax(student[b] / 0.1, 1)).sum(1)
        for a in range(teachers)
        for b in range(students)
        if a != b
    ]
    each = ca_dino.dino_loss(teacher, student, center, reduction="none")
    torch.testing.assert_close(each, torch.stack(terms).mean(0), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ca_dino.dino_loss(teacher, student, center, reduction="sum"), each.sum())
    if teachers == 2:
        assert len(terms) == 2 * students - 2


def test_gradient_passes_gradcheck_and_does_not_reach_the_teacher():
    teacher, student, center = _crops(0, 2, 3, 2, 4)
    assert torch.autograd.gradcheck(lambda y: ca_dino.dino_loss(teacher, y, center, 0.3, 0.5), student.requires_grad_())
    teacher.requires_grad_()
    loss = ca_dino.dino_loss(teacher, student, center)
    assert torch.autograd.grad(loss, teacher, allow_unused=True)[0] is None


def test_a_student_that_echoes_the_teacher_pays_its_entropy_and_a_uniform_one_log_k():
    teacher, student, center = _crops(1, 2, 4, 3, 7)
    same = teacher[:1].expand(4, -1, -1)
    p = F.softmax((teacher[0] - center) / 0.04, 1)
    echo = ca_dino.dino_loss(same[:2], (same - center) * 2.5, center)
    assert echo.item() == pytest.approx(torch.special.entr(p).sum(1).mean().item(), abs=1e-10)
    uniform = ca_dino.dino_loss(teacher, torch.zeros_like(student), center)
    assert uniform.item() == pytest.approx(math.log(7), abs=1e-12)


def test_module_uses_the_centre_of_calls_before_and_updates_it_after(device):
    teacher, student, _ = _crops(2, 2, 4, 5, 6, torch.float32, device)
    criterion = ca_dino.DINOLoss(6).to(device)
    first, second = criterion(list(teacher), list(student)), criterion(list(teacher), list(student))
    zero, moved = torch.zeros(6, device=device), 0.1 * teacher.mean(dim=(0, 1))
    torch.testing.assert_close(first, ca_dino.dino_loss(teacher, student, zero))
    torch.testing.assert_close(second, ca_dino.dino_loss(teacher, student, moved))
    torch.testing.assert_close(criterion.center, 0.9 * moved + 0.1 * teacher.mean(dim=(0, 1)))
    before = criterion.center.clone()
    criterion.eval()(list(teacher), list(student), 0.07)
    assert torch.equal(criterion.center, before)


def test_stacked_problems_are_the_single_ones():
    teacher, student, center = (torch.stack(x) for x in zip(*(_crops(k, 2, 3, 4, 5) for k in range(3)), strict=True))
    stacked = ca_dino.dino_loss(teacher.transpose(0, 1), student.transpose(0, 1), center, reduction="none").mean(-1)
    single = [ca_dino.dino_loss(t, s, c) for t, s, c in zip(teacher, student, center, strict=True)]
    torch.testing.assert_close(stacked, torch.stack(single))
    moved = ca_dino.updated_center(center, teacher.transpose(0, 1), 0.8)
    torch.testing.assert_close(moved[1], ca_dino.updated_center(center[1], teacher[1], 0.8))


def test_half_precision_outputs_are_computed_in_float32(device):
    teacher, student, center = _crops(3, 2, 4, 8, 16, torch.float32, device)
    exact = ca_dino.dino_loss(teacher, student, center, 0.1, 0.2)
    rounded = ca_dino.dino_loss(teacher.bfloat16(), student.bfloat16(), center, 0.1, 0.2)
    assert rounded.dtype == torch.float32
    # bfloat16 keeps 8 bits: logits of about 3 over a temperature of 0.1 move by up to 0.1.
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0)


def test_extreme_outputs_stay_finite():
    huge = torch.tensor([[[1e4, 0.0]], [[-1e4, 1e4]]]).requires_grad_()
    loss = ca_dino.dino_loss(huge.detach(), huge, torch.zeros(2))
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, huge)[0]).all()


# head, average, sampler -------------------------------------------------------------------------


def test_head_gives_cosines_whose_directions_have_length_one():
    head = ca_dino.DINOHead(8, 5, hidden=16, bottleneck=4)
    x = torch.randn(7, 8, generator=torch.Generator().manual_seed(0))
    assert head(x).abs().max() <= 1 + 1e-6
    torch.testing.assert_close(head.directions.weight.norm(dim=1), torch.ones(5))
    assert not head.directions.parametrizations.weight.original0.requires_grad


def test_ensemble_is_the_head_on_the_encoder_with_the_same_weights():
    models = ca_dino.EnsembleDINO(2, 6, 5, generator=torch.Generator().manual_seed(0), width=8, dim=7, bottleneck=4)
    head = ca_dino.DINOHead(7, 5, hidden=7, bottleneck=4)
    with torch.no_grad():
        for mine, theirs in zip(head.layers[::2], models.head[::2], strict=True):
            mine.weight.copy_(theirs.weight[1].T)
            mine.bias.copy_(theirs.bias[1, 0])
        head.directions.parametrizations.weight.original1.copy_(models.directions[1].T)
    x = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(models(x)[1], head(models.embed(x)[1]), rtol=1e-5, atol=1e-6)
    assert torch.equal(models.encoder[0].weight[0], models.encoder[0].weight[1])


def test_average_moves_parameters_and_copies_running_statistics():
    student = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    teacher = copy.deepcopy(student)
    with torch.no_grad():
        student[0].weight.add_(1.0)
    student(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    start = teacher[0].weight.clone()
    ca_dino.ema_update(teacher, student, 0.9)
    torch.testing.assert_close(teacher[0].weight, start + 0.1)
    assert torch.equal(teacher[1].running_mean, student[1].running_mean)
    assert teacher[1].num_batches_tracked == 1
    for m, expected in ((1.0, teacher[0].weight.clone()), (0.0, student[0].weight)):
        ca_dino.ema_update(teacher, student, m)
        torch.testing.assert_close(teacher[0].weight, expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), items=st.integers(1, 30), clusters=st.integers(1, 8), crops=st.integers(2, 6))
def test_partners_come_from_the_anchors_cluster(seed, items, clusters, crops):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(clusters, (2, items), generator=generator)
    anchors = torch.randperm(items, generator=generator)
    drawn = ca_dino.ClusterAwareSampler(labels).draw(anchors, crops, generator)
    assert drawn.shape == (2, items, crops)
    assert (drawn[..., 0] == anchors).all()
    of_drawn = labels.gather(1, drawn.flatten(1)).unflatten(1, (items, crops))
    assert (of_drawn == labels[:, anchors, None]).all()


def test_every_member_of_a_cluster_is_drawn_equally_often_and_singletons_only_themselves():
    labels = torch.tensor([4, 0, 4, 4, 0, 9])
    sampler, generator = ca_dino.ClusterAwareSampler(labels), torch.Generator().manual_seed(0)
    drawn = sampler.draw(torch.tensor([2, 5]), 30_001, generator)[:, 1:]
    counts = torch.bincount(drawn[0], minlength=6)
    assert counts[[1, 4, 5]].sum() == 0
    assert stats.chisquare(counts[[0, 2, 3]].numpy()).pvalue > 1e-4
    assert (drawn[1] == 5).all()


# crossings and mixtures -------------------------------------------------------------------------

mixtures = {
    "w1": st.floats(0.02, 0.98), "gap": st.floats(0.01, 20), "s1": st.floats(0.05, 5), "s2": st.floats(0.05, 5),
    "m1": st.floats(-5, 5),
}  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(**mixtures)
def test_the_crossing_is_the_one_that_a_root_finder_finds(w1, gap, s1, s2, m1):
    mixture = (w1, m1, s1, 1 - w1, m1 + gap, s2)
    found = theory.gaussian_crossing(*mixture)
    assert loss_gate.gaussian_crossing(*mixture) == pytest.approx(found, abs=1e-9 * (1 + gap))
    assert theory.gaussian_crossing(*mixture[3:], *mixture[:3]) == found
    ends = theory.log_density_ratio(np.array([m1, m1 + gap]), *mixture)
    if ends[0] > 0 > ends[1]:
        root = optimize.brentq(lambda x: float(theory.log_density_ratio(x, *mixture)), m1, m1 + gap, xtol=1e-13)
        # Where the ratio is almost 0 at an end, rounding of it moves the root by its size over the slope.
        slope = gap / max(s1, s2) ** 2
        assert found == pytest.approx(root, abs=1e-9 + 1e-13 * (1 + gap**2 / min(s1, s2) ** 2) / slope)
    else:
        assert found == m1 + gap


@settings(max_examples=60, deadline=None)
@given(**mixtures)
def test_the_log_ratio_falls_between_the_means(w1, gap, s1, s2, m1):
    x = np.linspace(0, gap, 200)
    values = theory.log_density_ratio(m1 + x, w1, m1, s1, 1 - w1, m1 + gap, s2)
    assert (np.diff(values) < 1e-9 * np.abs(values).max()).all()
    densities = np.log(w1) + stats.norm.logpdf(x, 0, s1) - np.log(1 - w1) - stats.norm.logpdf(x, gap, s2)
    np.testing.assert_allclose(values, densities, rtol=1e-7, atol=1e-6)


def test_special_crossings():
    assert theory.gaussian_crossing(0.3, -1.0, 2.0, 0.3, 5.0, 2.0) == pytest.approx(2.0, abs=1e-14)
    # Equal deviations: the crossing moves by s² log(w1/w2)/gap.
    assert theory.gaussian_crossing(0.8, 0.0, 0.5, 0.2, 2.0, 0.5) == pytest.approx(1 + 0.125 * math.log(4), abs=1e-14)
    assert theory.gaussian_crossing(0.5, 1.0, 1.0, 0.5, 1.0, 1.0) == 1.0
    assert theory.gaussian_crossing(0.999, 0.0, 3.0, 0.001, 0.1, 3.0) == 0.1
    assert theory.gaussian_crossing(0.5, 0.0, 1e-12, 0.5, 1.0, 1.0) == pytest.approx(1e-12 * math.sqrt(56.26), rel=1e-3)


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda bound: bound.name)
def test_bounds_hold(bound):
    assert check_bound(bound.lhs, bound.rhs, bound.sampler, 20_000).holds


def test_gate_quality_is_what_samples_show():
    rng = np.random.default_rng(0)
    mixture = (0.7, 0.0, 1.0, 0.3, 3.0, 0.8)
    good, bad = rng.normal(0, 1, 70_000) < 1.4, rng.normal(3, 0.8, 30_000) < 1.4
    precision, recall = theory.gate_quality(1.4, *mixture)
    assert precision == pytest.approx(good.sum() / (good.sum() + bad.sum()), abs=4e-3)
    assert recall == pytest.approx(good.mean(), abs=4e-3)
    assert theory.gate_error(1.4, *mixture) == pytest.approx((~good).sum() / 1e5 + bad.sum() / 1e5, abs=4e-3)
    assert theory.gate_quality(-1e6, *mixture) == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_both_fits_find_the_same_maximum_as_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(-2, 1, 600), rng.normal(1.5, 0.6, 400)])
    slow = theory.two_gaussian_em(x)
    fast = loss_gate.fit_gaussian_pair(torch.from_numpy(x), tolerance=1e-10)
    ours = [float(each[k]) for k in range(2) for each in fast]
    np.testing.assert_allclose(ours, slow, atol=1e-7)
    peer = GaussianMixture(2, tol=1e-12, max_iter=5000, reg_covar=0, random_state=0).fit(x[:, None])
    order = peer.means_[:, 0].argsort()
    theirs = [(peer.weights_[k], peer.means_[k, 0], peer.covariances_[k, 0, 0] ** 0.5) for k in order]
    np.testing.assert_allclose(slow, np.ravel(theirs), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), shift=st.floats(-100, 100), scale=st.floats(1e-3, 1e3))
def test_the_fit_follows_shift_and_scale(seed, shift, scale):
    x = torch.randn(60, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:20] += 4
    plain, moved = loss_gate.fit_gaussian_pair(x), loss_gate.fit_gaussian_pair(shift + scale * x)
    torch.testing.assert_close(moved.means, shift + scale * plain.means, rtol=1e-4, atol=1e-4 * scale)
    torch.testing.assert_close(moved.stds, scale * plain.stds, rtol=1e-3, atol=1e-4 * scale)


def test_bins_change_nothing_and_stacks_are_fitted_one_by_one():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 12_000, generator=generator, dtype=torch.float64)
    x[:, :5000] += torch.tensor([[4.0], [2.5]])
    both = loss_gate.fit_gaussian_pair(x, tolerance=1e-9)
    for k in range(2):
        alone, written_out = loss_gate.fit_gaussian_pair(x[k], tolerance=1e-9), theory.two_gaussian_em(x[k].numpy())
        for part, single in zip(both, alone, strict=True):
            torch.testing.assert_close(part[k], single, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose([float(p[j]) for j in range(2) for p in alone], written_out, atol=1e-5)


# the gate ---------------------------------------------------------------------------------------


def test_gate_lies_between_two_modes_and_scales_with_the_losses():
    losses = torch.cat([torch.linspace(0.01, 0.1, 70), torch.linspace(3, 9, 30)]).double()
    gate = loss_gate.loss_gate_threshold(losses)
    assert 0.1 < gate < 3
    assert loss_gate.loss_gate_threshold(7 * losses) == pytest.approx(7 * gate, rel=1e-4)
    assert 0.1 < loss_gate.loss_gate_threshold(losses, log=False) < 9
    assert loss_gate.loss_gate_threshold(losses, method="fixed", threshold=1.25) == 1.25


def test_few_or_equal_losses_are_not_gated():
    assert loss_gate.loss_gate_threshold(torch.linspace(1, 2, 9)) == math.inf
    assert loss_gate.loss_gate_threshold(torch.full((50,), 0.7)) == math.inf
    stacked = torch.stack([torch.full((50,), 0.7), torch.linspace(0.1, 3, 50)])
    gates = loss_gate.dynamic_loss_gate(stacked)
    assert gates[0] == math.inf
    assert gates[1] == pytest.approx(loss_gate.loss_gate_threshold(stacked[1]))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), samples=st.integers(10, 60))
def test_at_least_the_share_of_the_reliable_gaussian_is_kept(seed, samples):
    losses = torch.randn(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).exp()
    pair = loss_gate.fit_gaussian_pair(losses.log(), tolerance=1e-5, max_iterations=200)  # as far as a gate's fit goes
    kept = (losses < loss_gate.loss_gate_threshold(losses) * (1 + 1e-12)).double().mean()
    assert kept >= pair.weights[0] - 1 / samples


# margin and correction --------------------------------------------------------------------------


def _cosines(seed, *shape, dtype=torch.float64):
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) - 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), batch=st.integers(1, 8), classes=st.integers(2, 9), margin=st.floats(0, 1.5))
def test_margin_turns_the_angle_of_the_label_alone(dtype, seed, batch, classes, margin):
    cos = _cosines(seed, batch, classes, dtype=dtype)
    y = torch.randint(classes, (batch,), generator=torch.Generator().manual_seed(seed))
    logits = loss_gate.aam_softmax_logits(cos, y, margin, 8.0)
    expected = 8 * cos
    for i, label in enumerate(y.tolist()):
        angle = math.acos(cos[i, label].item())
        turned = math.cos(angle + margin) if angle + margin <= math.pi else math.cos(angle) - margin * math.sin(margin)
        expected[i, label] = 8 * turned
    torch.testing.assert_close(logits, expected, rtol=0, atol=8e-7 if dtype == torch.float64 else 2e-5)


@settings(max_examples=20, deadline=None)
@given(margin=st.floats(0.01, 1.5))
def test_the_label_s_logit_falls_with_the_angle(margin):
    angle = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    cos = torch.stack([angle.cos(), torch.zeros_like(angle)], 1)
    logit = loss_gate.aam_softmax_logits(cos, torch.zeros(2001, dtype=torch.long), margin, 1.0)[:, 0]
    assert (logit.diff() < 1e-12).all()


def test_margin_at_the_ends_of_the_cosine_is_exact_with_finite_gradient(device):
    cos = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.5]], device=device, requires_grad=True)
    logits = loss_gate.aam_softmax_logits(cos, torch.tensor([0, 0, 1], device=device), 0.3, 1.0)
    assert logits[0, 0].item() == pytest.approx(math.cos(0.3), abs=1e-7)
    assert logits[1, 0].item() == pytest.approx(-1 - 0.3 * math.sin(0.3), abs=1e-7)
    assert torch.isfinite(torch.autograd.grad(logits.sum(), cos)[0]).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), margin=st.floats(0, 0.5), scale=st.floats(1, 64))
def test_the_loss_is_the_cross_entropy_of_the_logits(seed, margin, scale):
    cos, y = _cosines(seed, 6, 5), torch.randint(5, (6,), generator=torch.Generator().manual_seed(seed))
    logits = loss_gate.aam_softmax_logits(cos, y, margin, scale)
    losses = loss_gate.aam_softmax_loss(cos, y, margin, scale, reduction="none")
    torch.testing.assert_close(losses, F.cross_entropy(logits, y, reduction="none"), rtol=1e-9, atol=1e-10)
    assert (losses > 0).all()


def test_easy_samples_keep_a_loss_whose_logarithm_exists():
    cos = torch.tensor([[1.0, -1.0], [0.9, -0.9]])
    losses = loss_gate.aam_softmax_loss(cos, torch.tensor([0, 0]), 0.0, 40.0, reduction="none")
    assert F.cross_entropy(40 * cos, torch.tensor([0, 0])) == 0
    torch.testing.assert_close(losses.log(), torch.tensor([-80.0, -72.0]))


def test_half_precision_cosines_are_computed_in_float32():
    cos, y = _cosines(0, 9, 4, dtype=torch.float32), torch.arange(9) % 4
    rounded = loss_gate.aam_softmax_loss(cos.bfloat16(), y, 0.2, 4.0, reduction="none")
    assert rounded.dtype == torch.float32
    # Cosines rounded to 8 bits move a logit by 4/256 at most.
    torch.testing.assert_close(
        rounded, loss_gate.aam_softmax_loss(cos, y, 0.2, 4.0, reduction="none"), atol=0.06, rtol=0
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(2, 9), sharpen=st.floats(0.05, 1.0))
def test_correction_sharpens_and_keeps_the_order(seed, classes, sharpen):
    p = torch.softmax(
        3 * torch.randn(5, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), 1
    )
    targets, mask = loss_gate.label_correction_targets(p, 0.5, sharpen)
    expected = p ** (1 / sharpen) / (p ** (1 / sharpen)).sum(1, keepdim=True)
    torch.testing.assert_close(targets, expected, rtol=1e-8, atol=1e-12)
    assert torch.equal(mask, p.amax(1) > 0.5)
    assert (torch.special.entr(targets).sum(1) <= torch.special.entr(p).sum(1) + 1e-12).all()


def test_powers_that_underflow_together_still_make_a_distribution():
    targets, mask = loss_gate.label_correction_targets(torch.full((1, 2000), 1 / 2000), 0.5, 0.01)
    torch.testing.assert_close(targets, torch.full((1, 2000), 1 / 2000))
    assert not mask.any()
    assert loss_gate.label_correction_targets(torch.tensor([[1.0, 0.0]]))[0].tolist() == [[1.0, 0.0]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), gate=st.floats(0.01, 20))
def test_the_gated_loss_is_its_definition(seed, gate):
    generator = torch.Generator().manual_seed(seed)
    cos, y = _cosines(seed, 12, 4), torch.randint(4, (12,), generator=generator)
    p = torch.softmax(3 * torch.randn(12, 4, generator=generator, dtype=torch.float64), 1)
    loss = loss_gate.dlg_lc_loss(cos, y, gate, p, margin=0.1, scale=6.0, confidence=0.6, sharpen=0.2)
    total = 0.0
    predicted = F.log_softmax(6 * cos, 1)
    for i, own in enumerate(loss_gate.aam_softmax_loss(cos, y, 0.1, 6.0, reduction="none").tolist()):
        if own < gate:
            total += own
        elif p[i].max() > 0.6:
            total -= float((p[i] ** 5 / (p[i] ** 5).sum() * predicted[i]).sum())
    assert loss.item() == pytest.approx(total / 12, rel=1e-9)


def test_an_open_gate_is_plain_training_and_a_closed_one_leaves_corrections():
    cos, y, p = (
        _cosines(1, 8, 3),
        torch.arange(8) % 3,
        torch.tensor([[0.8, 0.1, 0.1]], dtype=torch.float64).expand(8, 3),
    )
    torch.testing.assert_close(loss_gate.dlg_lc_loss(cos, y, math.inf, p), loss_gate.aam_softmax_loss(cos, y))
    assert loss_gate.dlg_lc_loss(cos, y, 0.0).item() == 0
    assert loss_gate.dlg_lc_loss(cos, y, 0.0, p).item() > 0
    assert loss_gate.dlg_lc_loss(cos, y, 0.0, p, confidence=0.9).item() == 0


def test_stacked_gates_are_the_single_ones():
    cos, y = _cosines(2, 3, 8, 4), torch.arange(24).reshape(3, 8) % 4
    gates = torch.tensor([0.5, 5.0, math.inf], dtype=torch.float64)
    p = torch.softmax(4 * cos, -1)
    together = loss_gate.dlg_lc_loss(cos, y, gates, p, reduction="none")
    for k in range(3):
        torch.testing.assert_close(
            together[k], loss_gate.dlg_lc_loss(cos[k], y[k], float(gates[k]), p[k], reduction="none")
        )


def test_module_gates_by_the_losses_it_has_seen():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(100) % 5
    cos = 0.3 * _cosines(3, 100, 5, dtype=torch.float32)
    cos[torch.arange(100), torch.where(torch.arange(100) < 70, y, (y + 1) % 5)] = 0.9
    criterion = loss_gate.DLGLCLoss(120, margin=0.1, scale=10.0)
    index = torch.randperm(120, generator=generator)[:100]
    assert criterion.update_gate() == math.inf
    plain = criterion(cos, y, index)
    torch.testing.assert_close(plain, loss_gate.aam_softmax_loss(cos, y, 0.1, 10.0))
    gate = criterion.update_gate()
    own = loss_gate.aam_softmax_loss(cos, y, 0.1, 10.0, reduction="none")
    assert torch.equal(own < gate, torch.arange(100) < 70)
    gated = criterion(cos, y, index)
    torch.testing.assert_close(gated, own[:70].sum() / 100)
    corrected = criterion(cos, y, index, cos)
    assert corrected > gated
    fixed = loss_gate.DLGLCLoss(100, method="fixed", fixed_threshold=3.0)
    fixed(cos, y, torch.arange(100))
    assert fixed.update_gate() == 3.0


# voices -----------------------------------------------------------------------------------------


def test_clean_crops_are_the_map_and_crops_share_noise_along_stacks():
    world = speakers.synthetic_speakers(6, 3, 0.5, generator=torch.Generator().manual_seed(0), channel=0.0)
    chosen = torch.tensor([[0, 5, 17], [0, 5, 16]])
    generator = torch.Generator().manual_seed(1)
    long = world.crop(chosen, "long", generator)
    assert long.shape == (2, 3, world.features)
    torch.testing.assert_close(long[0, :2], long[1, :2])
    assert not torch.allclose(long[0, 2], long[1, 2])
    many = torch.zeros(4000, dtype=torch.long)
    spread = {kind: world.crop(many, kind, generator).std(0).mean().item() for kind in speakers.KINDS}
    # tanh bends, but short crops are noisier by about the root of the ratio of frames.
    assert 1.4 < spread["short"] / spread["long"] <= 2.0
    assert spread["clean"] == pytest.approx(spread["long"], rel=0.05)


def test_sessions_move_utterances_in_their_subspace_only():
    def of(session):
        generator = torch.Generator().manual_seed(3)
        return speakers.synthetic_speakers(40, 10, session, generator=generator, background=0.0).factors

    offsets = of(2.0) - of(0.0)
    assert torch.linalg.matrix_rank(offsets, atol=1e-3) == 8
    assert offsets.square().sum(1).mean().item() == pytest.approx(4 * 8, rel=0.1)
    quiet = of(0.0).unflatten(0, (40, 10))
    torch.testing.assert_close(quiet, quiet[:, :1].expand_as(quiet))


def test_a_part_of_the_speakers_is_renumbered_in_the_same_world():
    world = speakers.synthetic_speakers(5, 2, 0.5, generator=torch.Generator().manual_seed(0))
    part = world.of(2, 4)
    assert part.speakers.tolist() == [0, 0, 1, 1]
    assert torch.equal(part.factors, world.factors[4:8])
    assert len(part) == 4


def test_vowels_are_cropped_as_resampled_series():
    vowels = japanese_vowels()
    world = speakers.vowel_utterances(vowels, vowels.train, points=5)
    assert len(world) == 270
    assert world.features == 60
    clean = world.crop(torch.arange(270), "clean", torch.Generator().manual_seed(0)).reshape(270, 5, 12)
    expected = resampled(vowels.series[vowels.train], vowels.lengths[vowels.train], 5).mT
    spoken = torch.cat(
        [s[:, :n] for s, n in zip(vowels.series[vowels.train], vowels.lengths[vowels.train], strict=True)], 1
    )
    torch.testing.assert_close(clean, (expected - spoken.mean(1)) / spoken.std(1), rtol=1e-4, atol=1e-4)
    for kind in ("long", "short"):
        crop = world.crop(torch.arange(270), kind, torch.Generator().manual_seed(0))
        assert torch.isfinite(crop).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), items=st.integers(1, 40))
def test_purity_is_counted_and_does_not_depend_on_names(seed, items):
    generator = torch.Generator().manual_seed(seed)
    clusters, spoken = torch.randint(5, (2, items), generator=generator)
    counted = sum(int(spoken[clusters == c].bincount().max()) for c in clusters.unique()) / items
    assert speakers.cluster_purity(clusters, spoken).item() == pytest.approx(counted)
    assert speakers.cluster_purity(100 - 7 * clusters, spoken).item() == pytest.approx(counted)
    assert speakers.cluster_purity(torch.arange(items), spoken).item() == 1
    stacked = speakers.cluster_purity(torch.stack([clusters, spoken]), spoken)
    torch.testing.assert_close(stacked, torch.tensor([counted, 1.0]))


# bad input --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
def test_bad_calls_are_refused_by_name():
    teacher, student, center = _crops(0, 2, 3, 2, 4)
    for wrong, name in (
        ((teacher[:1], student[:1], center), "student_out"),
        ((teacher, student[..., :1], center), "student_out"),
        (([], student, center), "teacher_out"),
        (([teacher[0], teacher[1, :1]], student, center), "teacher_out"),
        ((teacher, student, center[:2]), "center"),
    ):
        with pytest.raises(ValueError, match=name):
            ca_dino.dino_loss(*wrong)
    with pytest.raises(ValueError, match="student_out"):
        theory.dino_loss(teacher[:1].numpy(), student[:1].numpy(), center.numpy())
    with pytest.raises(ValueError, match="teacher must have the parameters of student"):
        ca_dino.ema_update(torch.nn.Linear(2, 3), torch.nn.Linear(3, 3), 0.9)
    with pytest.raises(ValueError, match="losses must be above 0"):
        loss_gate.loss_gate_threshold(torch.tensor([0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="values must not all be equal"):
        theory.two_gaussian_em(np.ones(5))
    with pytest.raises(ValueError, match="first and last"):
        speakers.synthetic_speakers(2, 2, 0.1, generator=torch.Generator()).of(5, 9)


def test_ensemble_normalises_each_model_by_its_own_batch():
    models = ca_dino.ensemble_encoder(3, 4, 6, 2, generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, 10, 4, generator=torch.Generator().manual_seed(1))
    together = models(x)
    alone = ca_dino.ensemble_encoder(3, 4, 6, 2, generator=torch.Generator().manual_seed(0))(x[:1].expand(3, -1, -1))
    torch.testing.assert_close(together[0], alone[0])
    assert sum(isinstance(layer, EnsembleBatchNorm) for layer in models) == 1
