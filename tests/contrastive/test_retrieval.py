"""Retrieval and verification: ranked by brute force, held against scikit-learn's ROC and a peer's calculator."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from neural.contrastive.japanese_vowels import japanese_vowels, resampled
from neural.contrastive.retrieval import mean_average_precision_at_r, r_precision, recall_at_k
from neural.contrastive.verification import cosine_trials, equal_error_rate

METRICS = (recall_at_k, r_precision, mean_average_precision_at_r)


def _items(seed, dtype=torch.float64, device="cpu", classes=7, items=40):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (items,), generator=generator)
    means = torch.randn(classes, 5, generator=generator, dtype=torch.float64)
    features = means[labels] + torch.randn(items, 5, generator=generator, dtype=torch.float64)
    return features.to(device, dtype), labels.to(device)


def _by_hand(features, labels, k):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    recalls, precisions, averages = [], [], []
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if j != i]
        others.sort(key=lambda j: -unit[i] @ unit[j])
        hits = [labels[j] == labels[i] for j in others]
        if not any(hits):
            continue
        r = sum(hits)
        recalls.append(any(hits[:k]))
        precisions.append(sum(hits[:r]) / r)
        averages.append(sum(sum(hits[: n + 1]) / (n + 1) for n in range(r) if hits[n]) / r)
    return np.mean(recalls), np.mean(precisions), np.mean(averages)


@given(seed=st.integers(0, 10**6), k=st.integers(1, 50), chunk=st.none() | st.integers(1, 45))
def test_metrics_are_those_of_a_ranking_by_hand(seed, k, chunk):
    features, labels = _items(seed)
    ours = (recall_at_k(features, labels, k, chunk=chunk), r_precision(features, labels, chunk=chunk))
    ours += (mean_average_precision_at_r(features, labels, chunk=chunk),)
    np.testing.assert_allclose(ours, _by_hand(features.numpy(), labels.numpy(), k), atol=1e-12)
    assert ours[2] <= ours[1] + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_models_are_scored_at_once_in_any_chunks(dtype, device):
    stacked = torch.stack([_items(seed, dtype, device)[0] for seed in range(3)])
    labels = _items(0, device=device)[1]
    for metric in METRICS:
        together = metric(stacked, labels, chunk=7)
        assert together.dtype == dtype
        torch.testing.assert_close(together, torch.stack([metric(z, labels) for z in stacked]))


def test_metrics_are_those_of_a_peer():
    pml = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    accuracy = pytest.importorskip("pytorch_metric_learning.utils.inference")
    features, labels = _items(3, torch.float32, items=200)
    knn = accuracy.CustomKNN(pytest.importorskip("pytorch_metric_learning.distances").CosineSimilarity())
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    calculator = pml.AccuracyCalculator(names, k="max_bin_count", knn_func=knn)
    theirs = calculator.get_accuracy(features, labels)
    assert recall_at_k(features, labels) == pytest.approx(theirs["precision_at_1"], abs=1e-6)
    assert r_precision(features, labels) == pytest.approx(theirs["r_precision"], abs=1e-6)
    assert mean_average_precision_at_r(features, labels) == pytest.approx(
        theirs["mean_average_precision_at_r"], abs=1e-6
    )


def test_a_class_of_one_asks_nothing():
    features = torch.eye(3).repeat_interleave(2, 0)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    lonely = torch.tensor([0, 0, 1, 1, 2, 3])
    for metric in METRICS:
        assert metric(features, labels) == 1
        assert metric(features, lonely) == 1


def test_zero_vectors_are_scored():
    features = torch.zeros(6, 3)
    for metric in METRICS:
        assert 0 <= metric(features, torch.tensor([0, 0, 0, 1, 1, 1])) <= 1


def test_retrieval_refuses_what_it_cannot_score(unchecked):
    features, labels = _items(0)
    with pytest.raises(ValueError, match="labels must have two items"):
        recall_at_k(features, torch.arange(len(labels)))
    with pytest.raises(ValueError, match="chunk must be"):
        r_precision(features, labels, chunk=0)
    with pytest.raises(ValueError, match="features must be"):
        r_precision(features[0], labels)


@given(seed=st.integers(0, 10**6), trials=st.integers(2, 60), decimals=st.integers(0, 3))
def test_the_equal_error_rate_is_where_the_roc_meets_the_diagonal(seed, trials, decimals):
    generator = torch.Generator().manual_seed(seed)
    is_target = torch.rand(trials, generator=generator) < 0.4
    is_target[0], is_target[1] = True, False
    scores = (torch.randn(2, trials, generator=generator, dtype=torch.float64) + is_target).round(decimals=decimals)
    ours = equal_error_rate(scores, is_target)
    for row, rate in zip(scores, ours, strict=True):
        far, tpr, _ = roc_curve(is_target, row, drop_intermediate=False)
        # Where the curve rises vertically through the line, interpolation over FAR is ambiguous: the line decides.
        gap = 1 - tpr - far
        i = np.flatnonzero(gap >= 0)[-1]
        expected = far[i] if gap[i] == 0 else far[i] + (far[i + 1] - far[i]) * gap[i] / (gap[i] - gap[i + 1])
        assert rate == pytest.approx(expected, abs=1e-12)


def test_known_equal_error_rates(device):
    is_target = torch.tensor([True, True, False, False], device=device)

    def rate(*scores):
        return float(equal_error_rate(torch.tensor(scores, device=device), is_target))

    assert rate(2.0, 3.0, 0.0, 1.0) == 0
    assert rate(0.0, 1.0, 2.0, 3.0) == 1
    assert rate(1.0, 1.0, 1.0, 1.0) == 0.5
    assert rate(0.0, 2.0, 1.0, -1.0) == 0.5
    generator = torch.Generator().manual_seed(0)
    normal = torch.cat([torch.randn(10**5, generator=generator) + 2, torch.randn(10**5, generator=generator)])
    kinds = torch.arange(2 * 10**5) < 10**5
    assert float(equal_error_rate(normal, kinds)) == pytest.approx(0.158655, abs=0.003)  # Phi(-1)


def test_the_rate_depends_on_the_order_alone():
    generator = torch.Generator().manual_seed(1)
    scores, kinds = torch.randn(50, generator=generator), torch.rand(50, generator=generator) < 0.5
    assert equal_error_rate(scores, kinds) == equal_error_rate(3 * scores.exp() + 1, kinds)
    opposite = equal_error_rate(-scores, kinds)
    torch.testing.assert_close(opposite, 1 - equal_error_rate(scores, kinds))


def test_trials_are_all_pairs_once():
    features, labels = _items(5, items=9)
    scores, is_target = cosine_trials(torch.stack([features, 2 * features]), labels)
    assert scores.shape == (2, 36)
    torch.testing.assert_close(scores[0], scores[1])
    pairs = [(i, j) for i in range(9) for j in range(i + 1, 9)]
    expected = [F.cosine_similarity(features[i], features[j], dim=0) for i, j in pairs]
    torch.testing.assert_close(scores[0], torch.stack(expected))
    assert is_target.tolist() == [bool(labels[i] == labels[j]) for i, j in pairs]


def test_verification_refuses_trials_of_one_kind(unchecked):
    scores = torch.zeros(3)
    for kinds in (torch.zeros(3).bool(), torch.ones(3).bool()):
        with pytest.raises(ValueError, match="both kinds"):
            equal_error_rate(scores, kinds)
    with pytest.raises(ValueError, match="is_target must be a boolean"):
        equal_error_rate(scores, torch.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match="two items"):
        cosine_trials(torch.zeros(1, 2), torch.zeros(1).long())


def test_utterances_are_those_that_the_data_set_describes():
    vowels = japanese_vowels()
    assert torch.bincount(vowels.speakers[vowels.train]).tolist() == [30] * 9
    assert torch.bincount(vowels.speakers[~vowels.train]).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert int(vowels.lengths.min()) == 7
    assert int(vowels.lengths.max()) == vowels.series.shape[2] == 29
    assert int(vowels.lengths.sum()) == 9961
    padding = torch.arange(29) >= vowels.lengths[:, None, None]
    assert (vowels.series.masked_select(padding) == 0).all()
    assert vowels.series[0, 0, :2].tolist() == pytest.approx([1.860936, 1.891651])


@given(length=st.integers(2, 40), index=st.integers(0, 639))
def test_resampling_is_linear_interpolation_between_first_and_last_frame(length, index):
    vowels = japanese_vowels()
    series, lengths = vowels.series[index : index + 1], vowels.lengths[index : index + 1]
    frames = int(lengths[0])
    expected = [
        np.interp(np.linspace(0, frames - 1, length), np.arange(frames), channel[:frames])
        for channel in series[0].numpy()
    ]
    np.testing.assert_allclose(resampled(series, lengths, length)[0], expected, atol=2e-6)


def test_one_frame_is_repeated_and_none_refused(unchecked):
    series = torch.tensor([[[3.0, 0.0]]])
    assert resampled(series, torch.tensor([1]), 4).tolist() == [[[3.0] * 4]]
    for length in (0, 3):
        with pytest.raises(ValueError, match="lengths"):
            resampled(series, torch.tensor([length]), 4)
