"""RCAL: pollution, robust and borrowed statistics, sampling, discriminants, and training from calibrated features."""

import re
import warnings

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal, norm
from sklearn.covariance import MinCovDet
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import LocalOutlierFactor
from torch import nn

from neural.classification import rcal as neural
from neural.contrastive.images import Views
from neural.ensemble import EnsembleLinear
from simulations.classification.rcal import logistic_regressions
from theory.classification import rcal as theory
from theory.classification import representation_calibration as estimators
from theory.classification.representation_calibration import ClassStats
from theory.fuzz import check_bound

FEW = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 10**6)


def covariance(rng, d):
    root = rng.standard_normal((d, d))
    return root @ root.T + 0.1 * np.eye(d)


def polluted_classes(rng, n=(60, 30, 12), d=3):
    """Three classes apart from each other, a fifth of each from far away."""
    Z = np.concatenate([rng.standard_normal((c, d)) + 6 * k for k, c in enumerate(n)])
    y = np.repeat(np.arange(len(n)), n)
    far = rng.random(len(y)) < 0.2
    return np.where(far[:, None], Z + 20, Z), y


def in_torch(stats):
    return neural.ClassStats(torch.tensor(stats.mean), torch.tensor(stats.cov), torch.tensor(stats.n))


# pollution and discriminants ---------------------------------------------------------------------


@FEW
@given(seeds, st.floats(0, 1))
def test_polluted_moments_are_those_of_an_enumerated_mixture(seed, rho):
    rng = np.random.default_rng(seed)
    points = [rng.standard_normal((m, 3)) for m in (4, 7)]
    weights = [rng.dirichlet(np.ones(m)) for m in (4, 7)]
    means = [w @ p for w, p in zip(weights, points, strict=True)]
    covs = [((p - m).T * w) @ (p - m) for p, w, m in zip(points, weights, means, strict=True)]
    everything, w = np.concatenate(points), np.concatenate([(1 - rho) * weights[0], rho * weights[1]])
    mean = w @ everything
    got = theory.polluted_moments(means[0], covs[0], rho, means[1], covs[1])
    assert_allclose(got[0], mean, atol=1e-12)
    assert_allclose(got[1], ((everything - mean).T * w) @ (everything - mean), atol=1e-12)


def test_variance_of_a_shift_by_three_is_the_card_s_number():
    mean, cov = theory.polluted_moments(np.zeros(1), np.eye(1), 0.3, np.full(1, 3.0), np.eye(1))
    assert_allclose([mean[0], cov[0, 0]], [0.9, 1 + 0.3 * 0.7 * 9])


@FEW
@given(seeds)
def test_error_equals_an_integral_over_scores_and_is_least_for_lda(seed):
    rng = np.random.default_rng(seed)
    mu0, mu1, w = rng.standard_normal((3, 3))
    S, b = covariance(rng, 3), float(rng.standard_normal())
    spread = np.sqrt(w @ S @ w)
    integral = 0.5 * (norm.sf(0, w @ mu0 + b, spread) + norm.cdf(0, w @ mu1 + b, spread))
    assert_allclose(theory.gaussian_error(mu0, mu1, S, w, b), integral, atol=1e-12)
    best = theory.gaussian_error(mu0, mu1, S, *theory.lda_rule(mu0, mu1, S))
    assert_allclose(best, norm.cdf(-0.5 * np.sqrt((mu1 - mu0) @ np.linalg.solve(S, mu1 - mu0))), atol=1e-12)
    assert best <= integral + 1e-12


def test_lda_decides_for_the_denser_class():
    rng = np.random.default_rng(0)
    mu0, mu1, S = *rng.standard_normal((2, 3)), covariance(rng, 3)
    w, b = theory.lda_rule(mu0, mu1, S)
    Z = rng.standard_normal((200, 3))
    denser = multivariate_normal(mu1, S).logpdf(Z) > multivariate_normal(mu0, S).logpdf(Z)
    assert np.array_equal(Z @ w + b > 0, denser)


def test_no_direction_means_a_coin_and_a_zero_score_goes_to_class_0():
    mu = np.zeros(2)
    assert theory.gaussian_error(mu, mu + 1, np.eye(2), mu, 0.0) == 0.5
    assert theory.gaussian_error(mu, mu + 1, np.zeros((2, 2)), np.ones(2), -1.0) == 0.0
    w, b = theory.lda_rule(mu, mu, np.eye(2))
    assert theory.gaussian_error(mu, mu, np.eye(2), w, b) == 0.5
    assert theory.excess_risk_bound(mu, mu, np.eye(2), mu, mu) == 0.0


def test_excess_risk_is_of_second_order_with_the_coefficients_of_a_series():
    size, s, t, a = sympy.symbols("size s t a", positive=True)
    cdf = sympy.Rational(1, 2) * (1 + sympy.erf(-a * sympy.cos(size * t) / sympy.sqrt(2)))
    turned = sympy.series(cdf, size, 0, 3).removeO().coeff(size, 2)
    shifted = sympy.Rational(1, 4) * sum(1 + sympy.erf(-(a + sign * size * s) / sympy.sqrt(2)) for sign in (1, -1))
    shifted = sympy.series(shifted, size, 0, 3).removeO().coeff(size, 2)
    mu0, mu1, eps = np.zeros(2), np.array([2.0, 0.0]), 1e-3
    for e0, e1, coefficient in (
        # An error across turns by |e1 − e0|/Delta, one along shifts the threshold by (e0 + e1)/2.
        (np.array([0.0, -eps]), np.array([0.0, eps]), turned.subs({a: 1, t: 1})),
        (np.array([eps, 0.0]), np.array([eps, 0.0]), shifted.subs({a: 1, s: 1})),
    ):
        rule = theory.lda_rule(mu0 + e0, mu1 + e1, np.eye(2))
        excess = float(theory.gaussian_error(mu0, mu1, np.eye(2), *rule)) - norm.cdf(-1)
        assert_allclose(excess / eps**2, float(coefficient), rtol=1e-3)
        assert excess <= theory.excess_risk_bound(mu0, mu1, np.eye(2), e0, e1)


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda b: b.name)
def test_bounds_hold_and_are_nearly_attained(bound):
    report = check_bound(bound.lhs, bound.rhs, bound.sampler, 10_000, rounds=8)
    assert report.holds
    assert report.worst_ratio > 0.95


def test_the_bound_fails_with_a_tenth_less():
    (bound,) = theory.BOUNDS
    smaller = check_bound(bound.lhs, lambda **sample: 0.9 * bound.rhs(**sample), bound.sampler, 10_000, rounds=8)
    assert not smaller.holds


# robust estimation -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:most labels")
def test_without_outliers_dropped_statistics_are_numpy_s():
    Z, y = polluted_classes(np.random.default_rng(0))
    stats = estimators.robust_class_stats(Z, y, "none")
    for k in range(3):
        assert_allclose(stats.mean[k], Z[y == k].mean(0))
        assert_allclose(stats.cov[k], np.cov(Z[y == k].T))
    assert stats.n.tolist() == np.bincount(y).tolist()


def test_the_local_outlier_factor_drops_what_scikit_learn_s_detector_drops():
    Z, y = polluted_classes(np.random.default_rng(1))
    kept = estimators.inliers(Z, y, "lof", 0.2)
    for k in range(3):
        rows = Z[y == k]
        detector = LocalOutlierFactor(n_neighbors=min(20, len(rows) - 1), contamination=0.2)
        expected = detector.fit_predict(rows) == 1
        # The detector's threshold is an interpolated percentile: at most one sample lies between.
        assert (kept[y == k] != expected).sum() <= 1
    few = np.arange(8.0)[:, None]
    assert estimators.inliers(few, np.zeros(8, dtype=int), "lof", 0.5).all()


@pytest.mark.filterwarnings("ignore:most labels")
def test_the_determinant_method_is_scikit_learn_s_and_small_classes_go_by_the_median():
    Z, y = polluted_classes(np.random.default_rng(2), n=(80, 40, 6))
    stats = estimators.robust_class_stats(Z, y, "mcd", 0.3)
    support = max(0.7, (80 + 3 + 1) / 160)
    expected = MinCovDet(support_fraction=support, random_state=0).fit(Z[y == 0])
    assert_allclose(stats.mean[0], expected.location_)
    assert_allclose(stats.cov[0], expected.covariance_)
    assert_allclose(stats.mean[2], estimators.robust_class_stats(Z, y, "median", 0.3).mean[2])


@pytest.mark.parametrize(("method", "outliers"), [("lof", 15), ("median", 60), ("mcd", 60)])
def test_robust_means_are_nearer_to_the_clean_ones(method, outliers):
    rng = np.random.default_rng(3)
    Z, y = rng.standard_normal((300, 3)), np.zeros(300, dtype=int)
    # Few for the local outlier factor: as many as the neighbours it looks at, outliers pass for a class of their own.
    Z[:outliers] += 5 * rng.standard_normal((outliers, 3)) + 8
    robust = np.linalg.norm(estimators.robust_class_stats(Z, y, method, outliers / 300 + 0.05).mean)
    assert robust < 0.6 * np.linalg.norm(estimators.robust_class_stats(Z, y, "none").mean)


def test_classes_of_one_sample_and_none_are_filled_in():
    Z, y = np.random.default_rng(0).standard_normal((21, 2)), np.repeat([0, 1], [20, 1])
    with pytest.warns(UserWarning, match=re.escape("classes [2] have no samples")):
        stats = estimators.robust_class_stats(Z, y, "none", classes=3)
    assert_allclose(stats.cov[1], stats.cov[0])
    assert_allclose(stats.cov[2], stats.cov[0])
    assert_allclose(stats.mean[1], Z[20])
    assert_allclose(stats.mean[2], Z.mean(0))
    calibrated = estimators.calibrate_tails(stats, tail=np.array([1, 2]))
    assert_allclose(calibrated.cov[1:], stats.cov[[0, 0]])


def test_a_class_whose_majority_is_wrong_is_named():
    rng = np.random.default_rng(0)
    Z = np.concatenate([rng.standard_normal((160, 4)), rng.standard_normal((12, 4)) + 9])
    with pytest.warns(UserWarning, match=re.escape("most labels of classes [1] seem wrong")):
        estimators.robust_class_stats(Z, np.repeat([0, 1], [100, 72]), "median", 0.4)


# tails, sampling, normality ----------------------------------------------------------------------


def random_stats(seed, classes=6, d=3):
    rng = np.random.default_rng(seed)
    covs = np.stack([covariance(rng, d) for _ in range(classes)])
    return ClassStats(rng.standard_normal((classes, d)), covs, rng.integers(0, 30, classes))


@FEW
@given(seeds, st.integers(1, 8), st.floats(0, 1))
def test_borrowed_statistics_are_those_of_a_loop(seed, q, gamma):
    stats = random_stats(seed)
    tails = np.flatnonzero(stats.n < np.median(stats.n))
    heads = [k for k in range(6) if k not in tails and stats.n[k] >= 2]
    if not heads:
        return
    got = estimators.calibrate_tails(stats, q, gamma=gamma)
    for k in range(6):
        mean, cov = stats.mean[k], stats.cov[k]
        if k in tails:
            near = sorted(heads, key=lambda j: np.sum((stats.mean[j] - stats.mean[k]) ** 2))[:q]
            d2 = np.array([np.sum((stats.mean[j] - stats.mean[k]) ** 2) for j in near])
            w = np.exp(-d2 / d2.mean()) / np.exp(-d2 / d2.mean()).sum()
            own = stats.n[k] / (stats.n[k] + 3) if stats.n[k] > 1 else 0.0
            mean = gamma * mean + (1 - gamma) * sum(u * stats.mean[j] for u, j in zip(w, near, strict=True))
            cov = own * cov + (1 - own) * sum(u * stats.cov[j] for u, j in zip(w, near, strict=True))
        assert_allclose(got.mean[k], mean, atol=1e-12)
        assert_allclose(got.cov[k], cov, atol=1e-12)
    torch_twin = neural.calibrate_tails(in_torch(stats), q)
    assert_allclose(torch_twin.cov.numpy(), estimators.calibrate_tails(stats, q).cov, atol=1e-12)


def test_equal_classes_borrow_nothing_and_all_tails_leave_nobody_to_borrow_from():
    stats = random_stats(0)
    equal = ClassStats(stats.mean, stats.cov, np.full(6, 9))
    assert estimators.calibrate_tails(equal) is equal
    with pytest.raises(ValueError, match="tail must leave at least one class"):
        estimators.calibrate_tails(equal, tail=np.arange(6))


def test_borrowing_from_a_class_of_the_same_covariance_lowers_the_expected_error():
    rng = np.random.default_rng(0)
    S, n, d = covariance(rng, 4), 5, 4
    alone, borrowed = [], []
    for _ in range(200):
        y = np.repeat([0, 1], [200, n])
        stats = estimators.robust_class_stats(rng.multivariate_normal(np.zeros(d), S, 205) + 40 * y[:, None], y, "none")
        alone.append(np.sum((stats.cov[1] - S) ** 2))
        borrowed.append(np.sum((estimators.calibrate_tails(stats).cov[1] - S) ** 2))
    expected = (np.trace(S) ** 2 + np.trace(S @ S)) / (n - 1)
    assert abs(np.mean(alone) - expected) < 4 * np.std(alone) / np.sqrt(200)
    assert np.mean(borrowed) < 0.5 * np.mean(alone)


def test_drawn_classes_have_their_moments_and_numbers():
    stats = random_stats(3, classes=3)
    Z, y = estimators.sample_gaussian_classes(stats, np.array([20_000, 0, 30]), np.random.default_rng(0))
    assert np.bincount(y, minlength=3).tolist() == [20_000, 0, 30]
    assert_allclose(Z[y == 0].mean(0), stats.mean[0], atol=5 * np.sqrt(np.trace(stats.cov[0]) / 20_000))
    assert_allclose(np.cov(Z[y == 0].T), stats.cov[0], atol=0.1 * np.abs(stats.cov[0]).max())


def test_singular_covariances_are_drawn_from_and_indefinite_ones_refused():
    flat = np.stack([np.diag([1.0, 0.0]), np.zeros((2, 2))])
    stats = ClassStats(np.zeros((2, 2)), flat, np.array([5, 5]))
    Z, y = estimators.sample_gaussian_classes(stats, 50, np.random.default_rng(0))
    assert np.abs(Z[:, 1]).max() < 1e-3
    assert np.abs(Z[y == 1]).max() < 1e-3
    z, _ = neural.sample_gaussian_classes(in_torch(stats), 50, torch.Generator().manual_seed(0))
    assert float(z[:, 1].abs().max()) < 1e-3
    bad = ClassStats(np.zeros((1, 2)), np.array([[[1.0, 2.0], [2.0, 1.0]]]), np.array([5]))
    with pytest.raises(ValueError, match="must be positive semi-definite"):
        estimators.sample_gaussian_classes(bad, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="must be positive semi-definite"):
        neural.sample_gaussian_classes(in_torch(bad), 5, torch.Generator())


def test_mardia_statistics_are_those_of_a_double_loop_and_affine_invariant():
    rng = np.random.default_rng(0)
    Z = rng.gamma(2.0, size=(30, 3))
    centred = Z - Z.mean(0)
    g = centred @ np.linalg.inv(centred.T @ centred / 30) @ centred.T
    result = estimators.mardia_test(Z)
    assert_allclose([result.skewness, result.kurtosis], [(g**3).mean(), (np.diag(g) ** 2).mean()])
    moved = estimators.mardia_test(Z @ rng.standard_normal((3, 3)) + 5)
    assert_allclose([moved.skewness, moved.kurtosis], [result.skewness, result.kurtosis])


def test_mardia_rejects_gaussian_samples_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    tested = [estimators.mardia_test(rng.standard_normal((40, 4))) for _ in range(600)]
    for p in ("skewness_p", "kurtosis_p"):
        rejected = np.mean([getattr(t, p) < 0.05 for t in tested])
        assert 0.02 < rejected < 0.085
    with pytest.raises(ValueError, match="full rank"):
        estimators.mardia_test(np.ones((10, 2)))


# networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lof", "median", "none"])
def test_both_implementations_estimate_the_same(method):
    Z, y = polluted_classes(np.random.default_rng(5), n=(60, 30, 12, 7, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = estimators.robust_class_stats(Z, y, method, 0.3)
    got = neural.robust_class_stats(torch.tensor(Z), torch.tensor(y), method, 0.3, classes=5)
    assert got.n.tolist() == expected.n.tolist()
    assert_allclose(got.mean.numpy(), expected.mean, atol=1e-10)
    assert_allclose(got.cov.numpy(), expected.cov, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_individual_calibration_is_a_mean_of_squares_that_leaves_its_reference_alone(device, dtype, tolerance):
    z, reference = (torch.randn(5, 3, device=device, dtype=dtype, requires_grad=True) for _ in range(2))
    loss = neural.individual_calibration_loss(z, reference)
    expected = sum(float(((a - b) ** 2).sum()) for a, b in zip(z.detach(), reference.detach(), strict=True)) / 5
    assert_allclose(loss.item(), expected, rtol=tolerance)
    loss.backward()
    assert z.grad is not None
    assert reference.grad is None
    assert neural.individual_calibration_loss(z, z).item() == 0


def stacks(models, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return EnsembleLinear(models, 4, 3, generator), EnsembleLinear(models, 3, 2, generator)


def tuned(models, x, y, **options):
    encoder, head = stacks(models)
    features = encoder(x.expand(models, *x.shape)).detach()
    defaults = {
        "reference": features, "samples": features[:, :10], "sample_labels": y[:, :10], "steps": 8, "batch_size": 8,
        "generator": torch.Generator().manual_seed(1),
    }  # fmt: skip
    neural.fine_tune(encoder, head, x, y, models=models, **(defaults | options))
    return encoder, head, features


def test_every_model_of_a_stack_is_the_one_it_would_be_alone():
    torch.manual_seed(0)
    x, y = torch.randn(20, 4), torch.arange(20) % 2
    settings_of = {"beta": [0.0, 2.0, 1.0], "sample_share": [0.2, 0.5, 1.0], "learning_rate": [0.1, 0.05, 0.02]}
    together, _, _ = tuned(3, x, y.expand(3, 20), **{k: torch.tensor(v) for k, v in settings_of.items()})
    for m in range(3):
        alone, _, _ = tuned(1, x, y[None], **{k: torch.tensor(v[m : m + 1]) for k, v in settings_of.items()})
        assert_allclose(together.weight[m].detach(), alone.weight[0].detach(), atol=1e-6)


def test_strong_calibration_holds_features_in_place_and_samples_alone_leave_them():
    torch.manual_seed(0)
    x, y = torch.randn(20, 4), (torch.arange(20) % 2)[None]
    drift = {}
    for name, options in {"free": {}, "held": {"beta": 5.0}, "samples alone": {"sample_share": 1.0}}.items():
        encoder, _, before = tuned(1, x, y, **({"steps": 60, "weight_decay": 0.0, "learning_rate": 0.02} | options))
        drift[name] = float((encoder(x[None]) - before).detach().square().sum(-1).mean())
    assert drift["held"] < 0.2 * drift["free"]
    assert drift["samples alone"] == 0


def test_mixup_with_itself_is_no_mixup():
    x, y = torch.ones(20, 4), torch.zeros(1, 20, dtype=torch.long)
    plain, _, _ = tuned(1, x, y)
    mixed, _, _ = tuned(1, x, y, mixup=1.0)
    assert not torch.equal(plain.weight, stacks(1)[0].weight)
    # The same input and label everywhere: only the random stream differs, and it chooses among equal rows.
    assert_allclose(plain.weight.detach(), mixed.weight.detach(), atol=1e-6)


def test_rcal_learns_from_wrong_labels_on_every_device(device):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 3
    x = torch.randn(300, 6, generator=generator) + 3 * torch.eye(6)[y] * 2
    noisy = torch.where(torch.rand(300, generator=generator) < 0.3, (y + 1) % 3, y)
    x, y, noisy = x.to(device), y.to(device), noisy.to(device)
    torch.manual_seed(0)
    encoder, head = nn.Linear(6, 5).to(device), nn.Linear(5, 3).to(device)
    model = neural.RCAL(encoder, head, classes=3, method="median", contamination=0.3, steps=150).fit(x, noisy)
    assert float((model.predict(x) == y).float().mean()) > 0.9
    assert model.stats is not None
    assert model.stats.n.tolist() == [70, 70, 70] or int(model.stats.n.sum()) <= 240


def test_pretraining_pulls_views_together_without_labels():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 64, generator=generator)
    views = Views(clutter=0.0, erase=0)
    encoder = EnsembleLinear(2, 64, 8, generator)
    before = encoder.weight.clone()

    def gap():
        seen = (views(x, torch.Generator().manual_seed(s)).expand(2, 40, 64) for s in (1, 2))
        a, b = (encoder(view).detach() for view in seen)
        near = (a - b).square().sum(-1).mean()
        return float(near / (a - b.roll(1, 1)).square().sum(-1).mean())

    start = gap()
    neural.pretrain_encoder(encoder, x, features=8, views=views, generator=generator, models=2, batch_size=20, steps=60)
    assert not torch.equal(encoder.weight, before)
    assert gap() < start


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 1.0, "reference": None}, "reference must be given for beta above 0"),
        ({"sample_share": 0.5, "samples": None}, "samples and sample_labels must be given"),
        ({"sample_share": 1.5}, "sample_share must be at most 1"),
        ({"beta": torch.ones(3)}, "beta must be a number or one for each of 1 models"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        tuned(1, torch.randn(20, 4), (torch.arange(20) % 2)[None], **options)


# the experiment's classifier ---------------------------------------------------------------------


def test_lockstep_regressions_solve_what_scikit_learn_solves():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    X = rng.standard_normal((200, 4)) + np.eye(4)[y] * 1.5
    weights = rng.uniform(0.2, 1.8, 200)
    weights /= weights.sum()
    path = logistic_regressions(
        torch.tensor(X)[None], torch.tensor(y)[None], torch.tensor(weights)[None],
        torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), (0.1, 0.01), 200,
    )  # fmt: skip
    for penalty, W in zip((0.1, 0.01), path[0].numpy(), strict=True):
        peer = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000).fit(X, y, sample_weight=weights)
        scores = X @ W[:-1] + W[-1]
        p = np.exp(scores - scores.max(1, keepdims=True))
        assert_allclose(p / p.sum(1, keepdims=True), peer.predict_proba(X), atol=1e-5)
