"""Probes of many representations at once: the accuracies of ``neural.contrastive.evaluate``, model by model.

Small probes are bound by the number of calls, not by arithmetic: twenty at once cost little more than one. Both
raise ``ValueError`` for tensors that are empty, not floating-point, of other shapes or (on CPU) not finite, for labels
of another number or negative, and for whole numbers out of range.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from neural.validation import class_indices, finite_contents, floating, whole_number

__all__ = ["stacked_knn_accuracy", "stacked_linear_probe_accuracy"]

Stack = Float[Tensor, "models samples features"]
Tests = Float[Tensor, "models tests features"]


def stacked_linear_probe_accuracy(
    train: Stack, train_labels: Int[Tensor, " samples"], test: Tests, test_labels: Int[Tensor, " tests"],
    per_class: int | None = None, seed: int = 0,
) -> Float[Tensor, " models"]:  # fmt: skip
    """``linear_probe_accuracy`` of every model: ridge regression on ±1 targets, the largest output wins.

    ``per_class`` labels per class are used if given (penalty 1), all otherwise (penalty 10); the same for every model,
    and those that ``linear_probe_accuracy`` draws with this seed. Solved in float64.
    """
    _check(train, train_labels, test, test_labels)
    whole_number("seed", seed, 0)
    features, labels = train.double(), train_labels
    if per_class is not None:
        whole_number("per_class", per_class, 1)
        known = train_labels.cpu().numpy()
        shuffled = np.random.default_rng(seed).permutation(len(known))
        chosen = np.concatenate([shuffled[known[shuffled] == c][:per_class] for c in np.unique(known)])
        places = torch.as_tensor(chosen, device=train.device)
        features, labels = features[:, places], labels[places]
    variance, mean = torch.var_mean(features, dim=1, keepdim=True, correction=0)
    scale = torch.where(variance > 0, variance, 1.0).sqrt()
    standardised = (features - mean) / scale
    classes, members = labels.unique(return_inverse=True)
    targets = 2 * F.one_hot(members, len(classes)).double() - 1
    # Standardised features have mean 0, so that the intercept is the targets' mean.
    gram = standardised.mT @ standardised
    gram.diagonal(dim1=-2, dim2=-1).add_(10.0 if per_class is None else 1.0)
    weights = torch.linalg.solve(gram, standardised.mT @ (targets - targets.mean(0)))
    outputs = (test.double() - mean) / scale @ weights + targets.mean(0)
    return (classes[outputs.argmax(-1)] == test_labels).float().mean(-1)


def stacked_knn_accuracy(
    train: Stack, train_labels: Int[Tensor, " samples"], test: Tests, test_labels: Int[Tensor, " tests"],
    neighbours: int = 5,
) -> Float[Tensor, " models"]:  # fmt: skip
    """``knn_accuracy`` of every model: a vote of the nearest unit features, the smallest label among equals."""
    _check(train, train_labels, test, test_labels)
    whole_number("neighbours", neighbours, 1)
    if neighbours > train.shape[1]:
        raise ValueError(f"neighbours must be at most the {train.shape[1]} samples, got {neighbours}")
    classes, members = train_labels.unique(return_inverse=True)
    cosines = F.normalize(test, dim=-1) @ F.normalize(train, dim=-1).mT
    nearest = members[cosines.topk(neighbours, dim=-1).indices]
    votes = torch.zeros(*nearest.shape[:2], len(classes), device=train.device)
    votes.scatter_add_(2, nearest, torch.ones_like(nearest, dtype=votes.dtype))
    return (classes[votes.argmax(-1)] == test_labels).float().mean(-1)


def _check(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> None:
    for name, features in (("train", train), ("test", test)):
        floating(name, features, 3)
        finite_contents(name, features)
    if train.shape[::2] != test.shape[::2]:
        raise ValueError(
            "train and test must have equally many models and features, "
            f"got {tuple(train.shape)} and {tuple(test.shape)}"
        )
    class_indices("train_labels", train_labels, train.shape[1])
    class_indices("test_labels", test_labels, test.shape[1])
