"""Random networks in batches: the same functions as modules, readouts with the right law, all classes, both dtypes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose

from neural.learning import hypothesis_batches as batches
from neural.learning.hypothesis_batches import Architecture, hypothesis_errors, random_features, readout_error_laws
from theory.learning.inductive_bias import gp_error_law, gp_posterior
from theory.learning.quadratic_form_tails import weighted_ncx2_cumulants

ALL = [
    Architecture("linear"), Architecture("mlp", 12), Architecture("mlp", 10, 3, "tanh"), Architecture("conv", 6),
    Architecture("attention", 5), Architecture("forest", 7, 3),
]  # fmt: skip


def data(dtype=torch.float64, device="cpu", train=6, test=5, inputs=16, outputs=2):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(train + test, inputs, generator=generator, dtype=torch.float64)
    y = torch.stack([x[:, 0].sin(), x[:, 1] * x[:, 2]], 1)[:, :outputs]
    x, y = x.to(device, dtype), y.to(device, dtype)
    return x[:train], y[:train], x[train:], y[train:]


def seeded(device="cpu", seed=0):
    return torch.Generator(device).manual_seed(seed)


@pytest.mark.parametrize("architecture", ALL, ids=lambda a: f"{a.kind}{a.depth}")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_class_interpolates_and_its_law_is_that_of_draws(architecture, dtype, device):
    arguments = data(dtype, device)
    w, b, fits = readout_error_laws(*arguments, architecture, 400, generator=seeded(device, 1), tolerance=0.05)
    errors = hypothesis_errors(*arguments, architecture, 4000, generator=seeded(device, 2), tolerance=0.05)
    assert errors.test.dtype == w.dtype == dtype
    expected = (w * (1 + b**2)).sum(1)
    if architecture.kind in ("linear", "mlp"):  # narrow ones of the others may fail to fit
        assert fits.all()
        assert errors.fits.all()
    spread = 5 * (expected.std() / math.sqrt(400) + errors.test.std() / math.sqrt(4000)) + 1e-3
    assert abs(expected.mean() - errors.test.mean()) < spread


def test_the_law_of_one_network_is_that_of_a_gaussian_process_with_its_kernel():
    x, y, z, y_test = data()
    architecture = Architecture("mlp", 9, 2)
    w, b, _ = readout_error_laws(x, y, z, y_test, architecture, 1, generator=seeded(), noise=1e-3)
    phi = random_features(torch.cat([x, z]), architecture, 1, seeded())[0].numpy()
    phi = np.concatenate([phi, np.ones((len(phi), 1))], 1)
    phi /= np.sqrt((phi[: len(x)] ** 2).sum(1).mean())
    posterior = gp_posterior(
        phi[: len(x)], y.numpy(), phi[len(x) :], lambda a, b: a @ b.T, jitter=1e-3
    )  # the mean diagonal is 1
    expected = weighted_ncx2_cumulants(*gp_error_law(*posterior, y_test.numpy()))
    assert_allclose(weighted_ncx2_cumulants(w[0].numpy(), b[0].numpy()), expected, rtol=1e-6)


def test_conditioning_is_rejection_in_the_limit():
    """Two training points, many prior draws: those that nearly fit have the test errors of conditioned ones."""
    x, y, z, y_test = (t[:, :1] if t.shape[1] < 16 else t for t in data(train=1, test=3))
    architecture = Architecture("linear")
    prior = hypothesis_errors(
        x, y, z, y_test, architecture, 200_000, generator=seeded(), condition="prior", tolerance=1e-3, chunk_size=20_000
    )
    conditioned = hypothesis_errors(x, y, z, y_test, architecture, 20_000, generator=seeded(), noise=1e-6)
    kept = prior.test[prior.fits]
    assert len(kept) > 2000
    quantiles = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert_allclose(kept.quantile(quantiles), conditioned.test.quantile(quantiles), rtol=0.12)
    assert prior.test.median() > 1.02 * kept.median() or prior.test.median() < 0.98 * kept.median()


def test_each_hidden_layer_is_the_module_with_the_same_weights(monkeypatch):
    """The weights that the batch drew, put into torch's own layers one network at a time."""
    drawn = []
    plain = batches._uniform

    def recorded(*arguments):
        drawn.append(plain(*arguments))
        return drawn[-1].clone()

    monkeypatch.setattr(batches, "_uniform", recorded)
    x = data()[0]
    count, width = 3, 4
    features = random_features(x, Architecture("mlp", width, 2), count, seeded())
    bias1, weight1, bias2, weight2 = drawn
    for k in range(count):
        part = slice(k * width, (k + 1) * width)
        h = F.relu(F.linear(x, weight1[:, part].T, bias1[part]))
        assert_allclose(features[k], F.relu(F.linear(h, weight2[k].T, bias2[k, 0])), atol=1e-12)

    drawn.clear()
    features = random_features(x, Architecture("conv", width), count, seeded())
    weight, bias = drawn
    for k in range(count):
        part = slice(k * width, (k + 1) * width)
        image = F.conv2d(x.reshape(-1, 1, 4, 4), weight[:, part].T.reshape(width, 1, 3, 3), bias[part])
        assert_allclose(features[k], F.avg_pool2d(image.relu(), 2, ceil_mode=True).flatten(1), atol=1e-12)

    drawn.clear()
    features = random_features(x, Architecture("attention", width), count, seeded())
    weight = drawn[0].reshape(3, count, width, 4)
    tokens = x.reshape(-1, 4, 4)
    for k in range(count):
        query, key, value = (tokens @ weight[part, k].T for part in range(3))
        attended = F.scaled_dot_product_attention(query, key, value).relu()
        assert_allclose(features[k], attended.flatten(1), atol=1e-12)


def test_every_sample_is_in_one_leaf_of_every_tree_and_leaves_are_boxes():
    x = data(train=40)[0]
    features = random_features(x, Architecture("forest", 5, 3), 6, seeded()).reshape(6, 40, 5, 8)
    assert torch.equal(features.sum(3), torch.ones(6, 40, 5, dtype=torch.float64))
    one = random_features(x, Architecture("forest", 1, 1), 200, seeded())
    # A single split: the samples of one leaf lie above those of the other in some coordinate.
    for network in one:
        above = network[:, 1] > 0
        if above.any() and not above.all():
            assert (x[above].amin(0) >= x[~above].amax(0)).any()


def test_weights_are_uniform_and_symmetric():
    drawn = batches._uniform((400_001,), 4, torch.zeros(1, dtype=torch.float64), seeded())
    assert drawn.abs().max() <= 0.5
    assert_allclose(drawn.mean(), 0, atol=0.002)
    assert_allclose(drawn.var(), 1 / 12, rtol=0.01)
    assert_allclose((drawn[1:] * drawn[:-1]).mean(), 0, atol=0.001)


def test_chunks_do_not_change_how_many_and_narrow_networks_are_flagged():
    arguments = data(train=6)
    errors = hypothesis_errors(*arguments, Architecture("mlp", 2), 37, generator=seeded(), chunk_size=10)
    assert len(errors.test) == 37
    assert not errors.fits.any()
    assert not readout_error_laws(*arguments, Architecture("mlp", 2), 5, generator=seeded())[2].any()


def test_bad_input_is_named(unchecked):
    x, y, z, y_test = data()
    for kind, options in (("mlp", {"width": 0}), ("mlp", {"depth": 0}), ("tree", {}), ("forest", {"depth": 13})):
        with pytest.raises(ValueError, match=next(iter(options), "kind")):
            Architecture(kind, **options)
    with pytest.raises(ValueError, match="square"):
        random_features(x[:, :15], Architecture("conv"), 1, seeded())
    with pytest.raises(ValueError, match="y_test"):
        hypothesis_errors(x, y, z, y_test[:, :1], ALL[0], 2, generator=seeded())
    with pytest.raises(ValueError, match="condition"):
        hypothesis_errors(x, y, z, y_test, ALL[0], 2, generator=seeded(), condition="posterior")
    with pytest.raises(ValueError, match="architecture"):
        hypothesis_errors(x, y, z, y_test, "mlp", 2, generator=seeded())
