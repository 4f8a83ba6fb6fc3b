"""Second moments without a sample, EM for all restarts at once, and the two pipelines' fits against scikit-learn."""

import warnings

import numpy as np
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from simulations.costs import alternating_seconds
from theory.learning.factor_model import factor_loadings, fit_factor_model, random_loadings, sample_second_moments
from theory.learning.spherical_mixture import fit_gmm_spherical, mixture_log_likelihood, sample_spherical_mixture


def median_ratio(benchmark, sides, rounds):
    """Median over rounds of the second side's seconds over the first's."""
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds}, rounds=1)
    first, second = sides
    by_round = table.pivot(index="round", columns="side", values="seconds")
    return float((by_round[second] / by_round[first]).median())


def _factor_world(m=20_000, d=50, replicates=10):
    rng = np.random.default_rng(0)
    B = random_loadings(d, np.array([2.0, 1.5, 1.0]), rng)
    covariance = B @ B.T + np.eye(d)
    factor = np.linalg.cholesky(covariance)

    def drawn():
        samples = (rng.standard_normal((m, d)) @ factor.T for _ in range(replicates))
        return np.stack([X.T @ X / m for X in samples])

    return covariance, drawn, lambda: sample_second_moments(covariance, m, replicates, rng)


def test_second_moments_are_fifty_times_faster_than_drawing_the_samples(benchmark):
    _, drawn, without = _factor_world()
    ratio = median_ratio(benchmark, {"Bartlett": without, "drawn": drawn}, 7)
    print(f"\ndrawing the samples / Bartlett, m = 20000, d = 50: {ratio:.0f}", end="")
    assert ratio >= 50


def test_whole_replicates_of_pretraining_are_faster_without_samples(benchmark):
    _, drawn, without = _factor_world()
    sides = {"Bartlett": lambda: factor_loadings(without(), 3), "drawn": lambda: factor_loadings(drawn(), 3)}
    ratio = median_ratio(benchmark, sides, 7)
    print(f"\nmaximum likelihood from samples / from Bartlett's moments, m = 20000, d = 50: {ratio:.0f}", end="")
    assert ratio >= 20


def test_maximum_likelihood_is_no_slower_than_pca_and_factor_analysis(benchmark):
    X = np.random.default_rng(0).standard_normal((20_000, 50)) @ np.diag(np.linspace(0.5, 2, 50))
    sides = {"ours": lambda: fit_factor_model(X, 3), "PCA": lambda: PCA(3, svd_solver="covariance_eigh").fit(X)}
    ratio = median_ratio(benchmark, sides, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        slow = alternating_seconds({"ours": sides["ours"], "FA": lambda: FactorAnalysis(3).fit(X)}, rounds=3)
    seconds = slow.groupby("side")["seconds"].median()
    print(f"\nPCA / ours: {ratio:.1f}; FactorAnalysis / ours: {seconds['FA'] / seconds['ours']:.0f}", end="")
    assert ratio >= 1


def test_em_is_faster_than_that_of_sklearn_and_no_less_likely(benchmark):
    """The same data, restarts and tolerance; scikit-learn also estimates weights and variances."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((8, 20))
    centres *= 4 / np.linalg.norm(centres, axis=1, keepdims=True)
    X, _ = sample_spherical_mixture(centres, 4000, rng)
    peer = GaussianMixture(
        8, covariance_type="spherical", n_init=10, tol=1e-6, max_iter=1000, init_params="k-means++", random_state=0
    )
    sides = {
        "ours": lambda: fit_gmm_spherical(X, 8, 10, np.random.default_rng(0), tolerance=1e-6),
        "sklearn": lambda: peer.fit(X),
    }
    ratio = median_ratio(benchmark, sides, 5)
    ours = sides["ours"]().log_likelihood
    theirs = mixture_log_likelihood(X, peer.means_)
    print(f"\nGaussianMixture / ours, 10 restarts: {ratio:.1f}; log-likelihood {ours:.4f} against {theirs:.4f}", end="")
    assert ours >= theirs - 1e-6
    assert ratio >= 1
