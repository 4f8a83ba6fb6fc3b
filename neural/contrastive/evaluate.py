"""What a representation is worth: probes that classify with it, and the shape of its distribution.

All raise ``ValueError`` for tensors that are empty, not floating-point, of other shapes or (on CPU) not finite, for
labels of another number or negative, and for whole numbers out of range.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from neural.validation import class_indices, finite_contents, floating, whole_number

__all__ = ["alignment", "knn_accuracy", "linear_probe_accuracy", "proxy_accuracy", "tolerance", "uniformity"]

Features = Float[Tensor, "samples features"]


def knn_accuracy(
    train: Features, train_labels: Int[Tensor, " samples"], test: Float[Tensor, "tests features"],
    test_labels: Int[Tensor, " tests"], neighbours: int = 5,
) -> float:  # fmt: skip
    """Share of test samples that a vote of the nearest unit features classifies rightly."""
    _check_probe(train, train_labels, test, test_labels)
    whole_number("neighbours", neighbours, 1)
    probe = KNeighborsClassifier(neighbours).fit(F.normalize(train, dim=1).cpu().numpy(), train_labels.cpu().numpy())
    return float(probe.score(F.normalize(test, dim=1).cpu().numpy(), test_labels.cpu().numpy()))


def linear_probe_accuracy(
    train: Features, train_labels: Int[Tensor, " samples"], test: Float[Tensor, "tests features"],
    test_labels: Int[Tensor, " tests"], per_class: int | None = None, seed: int = 0,
) -> float:  # fmt: skip
    """Share of test samples that a ridge classifier on standardised features classifies rightly.

    ``per_class`` labels per class are used if given (penalty 1), all otherwise (penalty 10).
    """
    _check_probe(train, train_labels, test, test_labels)
    whole_number("seed", seed, 0)
    if per_class is not None:
        whole_number("per_class", per_class, 1)
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
    _check_stack("z", z)
    samples = z.shape[-2]
    # |a − b|² = 2 − 2<a, b> for unit vectors
    exponents = 4 * (z @ z.mT) - 4
    exponents.diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
    return exponents.flatten(-2).logsumexp(-1) - float(np.log(samples * (samples - 1)))


def alignment(
    z1: Float[Tensor, "*stack samples dim"], z2: Float[Tensor, "*stack samples dim"]
) -> Float[Tensor, "*stack"]:
    """Mean cosine of the two views of a sample."""
    _check_views(z1, z2)
    return F.cosine_similarity(z1, z2, dim=-1).mean(-1)


def tolerance(z: Float[Tensor, "*stack samples dim"], labels: Int[Tensor, " samples"]) -> Float[Tensor, "*stack"]:
    """Mean cosine over pairs of different samples of one class (unit vectors); NaN if every class is a single one."""
    _check_stack("z", z)
    class_indices("labels", labels, z.shape[-2])
    same = (labels[:, None] == labels) & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return ((z @ z.mT) * same).sum((-2, -1)) / same.sum()


def proxy_accuracy(
    z1: Float[Tensor, "*stack samples dim"], z2: Float[Tensor, "*stack samples dim"]
) -> Float[Tensor, "*stack"]:
    """Share of anchors of the first view whose positive is nearer than every other sample's second view."""
    _check_views(z1, z2)
    cosines = F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).mT
    positives = cosines.diagonal(dim1=-2, dim2=-1)
    cosines = cosines.clone()
    cosines.diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
    return (positives > cosines.amax(-1)).float().mean(-1)


def _check_stack(name: str, z: Tensor) -> None:
    floating(name, z)
    if z.ndim < 2 or z.shape[-2] < 2:
        raise ValueError(f"{name} must have shape (..., samples >= 2, dim), got {tuple(z.shape)}")
    finite_contents(name, z)


def _check_views(z1: Tensor, z2: Tensor) -> None:
    _check_stack("z1", z1)
    _check_stack("z2", z2)
    if z1.shape != z2.shape:
        raise ValueError(f"z1 and z2 must have one shape, got {tuple(z1.shape)} and {tuple(z2.shape)}")


def _check_probe(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> None:
    for name, features in (("train", train), ("test", test)):
        floating(name, features, 2)
        finite_contents(name, features)
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"train and test must have equally many features, got {train.shape[1]} and {test.shape[1]}")
    class_indices("train_labels", train_labels, len(train))
    class_indices("test_labels", test_labels, len(test))
