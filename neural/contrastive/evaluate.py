"""What a representation is worth: probes that classify with it, and the shape of its distribution."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

__all__ = ["alignment", "knn_accuracy", "linear_probe_accuracy", "proxy_accuracy", "tolerance", "uniformity"]

Features = Float[Tensor, "samples features"]


def knn_accuracy(
    train: Features, train_labels: Int[Tensor, " samples"], test: Float[Tensor, "tests features"],
    test_labels: Int[Tensor, " tests"], neighbours: int = 5,
) -> float:  # fmt: skip
    """Share of test samples that a vote of the nearest unit features classifies rightly."""
    probe = KNeighborsClassifier(neighbours).fit(F.normalize(train, dim=1).cpu().numpy(), train_labels.cpu().numpy())
    return float(probe.score(F.normalize(test, dim=1).cpu().numpy(), test_labels.cpu().numpy()))


def linear_probe_accuracy(
    train: Features, train_labels: Int[Tensor, " samples"], test: Float[Tensor, "tests features"],
    test_labels: Int[Tensor, " tests"], per_class: int | None = None, seed: int = 0,
) -> float:  # fmt: skip
    """Share of test samples that a ridge classifier on standardised features classifies rightly.

    ``per_class`` labels per class are used if given (penalty 1), all otherwise (penalty 10).
    """
    features, labels = train.cpu().numpy(), train_labels.cpu().numpy()
    if per_class is not None:
        shuffled = np.random.default_rng(seed).permutation(len(labels))
        chosen = np.concatenate([shuffled[labels[shuffled] == c][:per_class] for c in np.unique(labels)])
        features, labels = features[chosen], labels[chosen]
    scaler = StandardScaler().fit(features)
    probe = RidgeClassifier(alpha=10.0 if per_class is None else 1.0).fit(scaler.transform(features), labels)
    return float(probe.score(scaler.transform(test.cpu().numpy()), test_labels.cpu().numpy()))


def uniformity(z: Float[Tensor, "*stack samples dim"]) -> Float[Tensor, "*stack"]:
    """``log mean exp(−2 |z_i − z_j|²)`` over pairs i ≠ j of unit vectors; lower is more uniform.

    Source: Wang and Isola (2020), the uniformity loss with t = 2.
    """
    samples = z.shape[-2]
    # |a − b|² = 2 − 2<a, b> for unit vectors
    exponents = 4 * (z @ z.mT) - 4
    exponents.diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
    return exponents.flatten(-2).logsumexp(-1) - float(np.log(samples * (samples - 1)))


def alignment(
    z1: Float[Tensor, "*stack samples dim"], z2: Float[Tensor, "*stack samples dim"]
) -> Float[Tensor, "*stack"]:
    """Mean cosine of the two views of a sample."""
    return F.cosine_similarity(z1, z2, dim=-1).mean(-1)


def tolerance(z: Float[Tensor, "*stack samples dim"], labels: Int[Tensor, " samples"]) -> Float[Tensor, "*stack"]:
    """Mean cosine over pairs of different samples of one class (unit vectors)."""
    same = (labels[:, None] == labels) & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return ((z @ z.mT) * same).sum((-2, -1)) / same.sum()


def proxy_accuracy(
    z1: Float[Tensor, "*stack samples dim"], z2: Float[Tensor, "*stack samples dim"]
) -> Float[Tensor, "*stack"]:
    """Share of anchors of the first view whose positive is nearer than every other sample's second view."""
    cosines = F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).mT
    positives = cosines.diagonal(dim1=-2, dim2=-1)
    cosines = cosines.clone()
    cosines.diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
    return (positives > cosines.amax(-1)).float().mean(-1)
