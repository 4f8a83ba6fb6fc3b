"""Glyphs for methods with a memory queue: their views, what is probed after training, and how settings are chosen."""

import pandas as pd
import torch

from neural.contrastive.evaluate import knn_accuracy, linear_probe_accuracy, uniformity
from neural.contrastive.images import LabelledImages, Views
from neural.contrastive.pretrain import EncoderEnsemble, encode

__all__ = ["best_settings", "glyph_views", "halves", "probe", "shuffled_labels"]


def glyph_views() -> Views:
    """Views with so much clutter that raw pixels classify three quarters of the glyphs only."""
    return Views(shift=0.5, noise=0.05, erase=2, contrast=0.3, clutter=1.2)


def probe(models: EncoderEnsemble, data: LabelledImages, views: Views | None = None) -> list[dict[str, float]]:
    """Uniformity of projections, and accuracy by neighbours, a linear probe, and one with three labels per class."""
    views = views or glyph_views()
    train, _ = encode(models, views.evaluation_copies(data.train))
    test, projections = encode(models, views.evaluation_copies(data.test))
    return [
        {
            "uniformity": float(u),
            "knn": knn_accuracy(a, data.train_labels, b, data.test_labels),
            "linear": linear_probe_accuracy(a, data.train_labels, b, data.test_labels),
            "few": linear_probe_accuracy(a, data.train_labels, b, data.test_labels, per_class=3),
        }
        for u, a, b in zip(uniformity(projections), train, test, strict=True)
    ]


def shuffled_labels(data: LabelledImages, seed: int) -> LabelledImages:
    """The same images with training labels in another order: what a probe finds by chance."""
    order = torch.randperm(len(data.train_labels), generator=torch.Generator().manual_seed(seed))
    labels = data.train_labels[order.to(data.train_labels.device)]
    return LabelledImages(data.train, labels, data.test, data.test_labels)


def halves(data: LabelledImages, seed: int) -> list[LabelledImages]:
    """The test images in two halves, to choose settings on one and judge on the other."""
    order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(seed)).to(data.test.device)
    return [LabelledImages(data.train, data.train_labels, data.test[h], data.test_labels[h]) for h in order.chunk(2)]


def best_settings(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each method at the setting that is best on the other half of the test images, both ways round."""
    rows = []
    for (replicate, method), group in table.groupby(["replicate", "method"]):
        first, second = group["knn_first"].to_numpy(), group["knn_second"].to_numpy()
        accuracy = (second[first.argmax()] + first[second.argmax()]) / 2
        rows.append({"replicate": replicate, "method": method, "knn": accuracy})
    return pd.DataFrame(rows)
