"""The harness of contrastive papers: images, views, pre-training and probes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from neural.contrastive import evaluate
from neural.contrastive.dcl import dcl_loss
from neural.contrastive.images import Views, clutter, digits, glyphs
from neural.contrastive.pretrain import EncoderEnsemble, ResNetEnsemble, encode, pretrain


def _seeded(seed, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def _stacked_dcl(z1, z2, step):
    return torch.stack([dcl_loss(a, b, 0.1) for a, b in zip(z1, z2, strict=True)])


def test_digits_are_split_by_class_and_seed():
    data = digits(0)
    assert data.train.shape == (1257, 64)
    assert data.test.shape == (540, 64)
    assert data.train.min() == 0
    assert data.train.max() == 1
    shares = np.bincount(data.test_labels) / len(data.test_labels)
    np.testing.assert_allclose(shares, np.bincount(data.train_labels) / 1257, atol=0.002)
    assert torch.equal(digits(0).test, data.test)
    assert not torch.equal(digits(1).test, data.test)


def test_glyphs_have_their_classes_and_variation():
    data = glyphs(classes=10, per_class=10, within=0.0)
    assert data.train.shape == (70, 64)
    same = data.train[data.train_labels == 3]
    assert torch.equal(same[0], same[1])
    assert same[0].std().item() == pytest.approx(0.6, rel=1e-5)
    with pytest.raises(ValueError, match="at least 2"):
        glyphs(classes=1)


def test_clutter_has_the_amplitude_asked_for():
    added = clutter(torch.zeros(20_000, 64), 0.3, _seeded(0))
    # twelve unit patterns, each in an amount of variance 0.09
    assert added.pow(2).sum(1).mean().item() == pytest.approx(12 * 0.09, rel=0.03)
    assert torch.equal(clutter(torch.ones(2, 64), 0.0, _seeded(0)), torch.ones(2, 64))


def test_views_are_seeded_and_the_identity_when_nothing_varies(monkeypatch):
    images = digits(0).train[:32]
    views = Views()
    assert torch.equal(views(images, _seeded(1)), views(images, _seeded(1)))
    assert not torch.equal(views(images, _seeded(1)), views(images, _seeded(2)))
    assert torch.equal(views.evaluation_copies(images), views.evaluation_copies(images))


def test_erasing_removes_one_square():
    erased = Views(shift=0, noise=0, erase=3, contrast=0, clutter=0)(torch.ones(50, 64), _seeded(0)).reshape(50, 8, 8)
    whole = Views(shift=0, noise=0, erase=0, contrast=0, clutter=0)(torch.ones(50, 64), _seeded(0)).reshape(50, 8, 8)
    assert (((erased == 0) & (whole != 0)).sum((1, 2)) <= 9).all()
    assert (((erased == 0) | (whole == 0)).sum((1, 2)) >= 9).all()


def test_a_shift_moves_by_pixels():
    image = torch.zeros(1, 64)
    image[0, 4 * 8 + 3] = 1.0
    moved = torch.stack(
        [Views(shift=2.0, noise=0, erase=0, contrast=0, clutter=0)(image, _seeded(s))[0] for s in range(200)]
    ).reshape(200, 8, 8)
    columns = (moved.sum(1) * torch.arange(8)).sum(1) / moved.sum((1, 2)).clamp_min(1e-6)
    inside = moved.sum((1, 2)) > 0.3
    assert 1.0 < (columns[inside].max() - columns[inside].min()).item() < 5.6


@pytest.mark.parametrize("steps", [12])
def test_pretraining_is_reproducible_and_models_with_one_loss_stay_equal(steps, device):
    data = digits(0).to(device)
    runs = []
    for _ in range(2):
        generator = _seeded(5, device)
        models = EncoderEnsemble(2, generator=generator, width=32)
        pretrain(
            models,
            data.train,
            _stacked_dcl,
            views=Views(),
            batch_size=16,
            steps=steps,
            learning_rate=0.05,
            generator=generator,
        )
        runs.append(encode(models, data.test)[1])
    assert torch.equal(runs[0], runs[1])
    torch.testing.assert_close(runs[0][0], runs[0][1])
    torch.testing.assert_close(runs[0].norm(dim=-1), torch.ones(2, 540, device=device))


def test_pretraining_lowers_the_loss_and_no_batch_holds_an_image_twice():
    data, generator, losses = digits(0), _seeded(0), []

    def loss(z1, z2, step):
        value = _stacked_dcl(z1, z2, step)
        losses.append(value.item())
        return value

    models = EncoderEnsemble(1, generator=generator, width=32)
    pretrain(models, data.train, loss, views=Views(), batch_size=64, steps=60, learning_rate=0.05, generator=generator)
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.2
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 2"):
        pretrain(models, data.train, loss, views=Views(), batch_size=1, steps=1, learning_rate=0.1, generator=generator)


def test_the_residual_network_trains_on_any_device(device):
    data = digits(0).to(device)
    models = ResNetEnsemble(2, seed=0, device=device, width=4)
    before = encode(models, data.test[:8])[0]
    assert torch.equal(before[0], before[1])
    pretrain(
        models,
        data.train,
        _stacked_dcl,
        views=Views(),
        batch_size=8,
        steps=2,
        learning_rate=0.05,
        generator=_seeded(0, device),
    )
    features, projections = encode(models, data.test[:8])
    assert features.shape == (2, 8, 128)
    assert projections.shape == (2, 8, 64)
    assert not torch.equal(features, before)


def test_separate_networks_take_one_learning_rate():
    models = ResNetEnsemble(2, seed=0, device="cpu", width=4)
    with pytest.raises(ValueError, match="learning_rate must be one number"):
        pretrain(
            models, digits(0).train, _stacked_dcl, views=Views(), batch_size=8, steps=1,
            learning_rate=torch.tensor([0.1, 0.2]), generator=_seeded(0),
        )  # fmt: skip


def test_uniformity_of_known_configurations():
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert evaluate.uniformity(opposite).item() == pytest.approx(-8)
    assert evaluate.uniformity(torch.ones(5, 1)).item() == pytest.approx(0, abs=1e-6)
    points = F.normalize(torch.randn(30, 4, generator=_seeded(0), dtype=torch.float64), dim=1)
    squared = torch.cdist(points, points) ** 2
    expected = torch.exp(-2 * squared)[~torch.eye(30, dtype=torch.bool)].mean().log()
    torch.testing.assert_close(evaluate.uniformity(points), expected)


def test_tolerance_alignment_and_proxy_accuracy_by_hand():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert evaluate.tolerance(z, torch.tensor([0, 1, 1])).item() == pytest.approx(-1)
    assert evaluate.alignment(z, z.roll(1, 0)).item() == pytest.approx(-1 / 3, abs=1e-6)
    assert evaluate.proxy_accuracy(z, z).item() == 1
    assert evaluate.proxy_accuracy(z, -z).item() == 0


def test_probes_know_separable_features_from_noise():
    labels = torch.arange(200) % 4
    features = F.one_hot(labels, 4) + 0.05 * torch.randn(200, 4, generator=_seeded(0))
    noise = torch.randn(200, 4, generator=_seeded(1))
    for probe in (evaluate.knn_accuracy, evaluate.linear_probe_accuracy):
        assert probe(features[:100], labels[:100], features[100:], labels[100:]) == 1
        assert probe(noise[:100], labels[:100], noise[100:], labels[100:]) < 0.5
    few = evaluate.linear_probe_accuracy(features[:100], labels[:100], features[100:], labels[100:], per_class=3)
    assert few > 0.95
    assert math.isclose(
        few, evaluate.linear_probe_accuracy(features[:100], labels[:100], features[100:], labels[100:], 3)
    )
