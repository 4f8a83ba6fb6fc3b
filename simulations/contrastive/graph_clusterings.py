"""Clusterings of graphs: how each contrast is tuned, trained from one common start, and scored.

All contrasts of a replicate start from the same autoencoders and centres, on the same graphs. Each is trained at every
setting of a grid of the same size on ``held_out`` graphs, and at the setting that is best there on average once on the
graphs that count. Classes serve for nothing but that choice and the final scores.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.metrics import normalized_mutual_info_score

from neural.contrastive.graph_clustering import Contrast, PamCClustering
from neural.contrastive.graphs import Graph, neighbour_graph, normalized_adjacency, stack_graphs

__all__ = [
    "Training",
    "clustering_accuracy",
    "contrast_rows",
    "peer_rows",
    "pretrained",
    "refined_labels",
    "scores",
]


@dataclass(frozen=True)
class Training:
    """The networks, how long they are trained, and the settings that are tried: as many for every contrast.

    ``alphas`` weigh a contrast, with ``learning_rate``; where there is none, ``learning_rates`` are tried instead.
    """

    hidden: tuple[int, ...] = (64, 64)
    dim: int = 10
    beta: float = 2.0
    gamma: float = 1.0
    order: int = 1
    pretrain_steps: int = 100
    pretrain_rate: float = 1e-3
    epochs: int = 30
    restarts: int = 10
    alphas: tuple[float, ...] = (0.25, 1.0, 4.0, 16.0)
    learning_rate: float = 3e-3
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)

    def points(self, contrast: Contrast) -> list[tuple[float, float]]:
        """(alpha, learning rate) of every setting."""
        if contrast == "none":
            return [(0.0, rate) for rate in self.learning_rates]
        return [(alpha, self.learning_rate) for alpha in self.alphas]


def pretrained(graphs: Sequence[Graph], training: Training, seed: int, device: str) -> PamCClustering:
    """Autoencoders and centres of a stack of graphs, one model each."""
    features, _ = stack_graphs(graphs, training.order)
    model = PamCClustering(
        features.shape[2], _clusters(graphs[0]), hidden=training.hidden, dim=training.dim, beta=training.beta,
        gamma=training.gamma, seed=seed, models=len(graphs), device=device,
    )  # fmt: skip
    model.pretrain(features, steps=training.pretrain_steps, learning_rate=training.pretrain_rate)
    return model.initialise(features, restarts=training.restarts)


def contrast_rows(
    contrast: Contrast,
    start: PamCClustering,
    held_out: Sequence[Graph],
    tests: Sequence[Graph],
    training: Training,
) -> list[dict[str, object]]:
    """Scores on every test graph at the setting chosen on the held-out graphs, with all that the search saw.

    ``start`` has one model per held-out graph, then one per test graph.
    """
    points = training.points(contrast)
    searched = [(k, point) for k in range(len(held_out)) for point in points]
    predictions = _refined(start, [*held_out, *tests], searched, contrast, training)
    found = [clustering_accuracy(p, held_out[k].labels) for p, (k, _) in zip(predictions, searched, strict=True)]
    means = np.reshape(found, (len(held_out), len(points))).mean(0)
    best = int(means.argmax())
    final = [(len(held_out) + k, points[best]) for k in range(len(tests))]
    search = {f"held_out_{n}": mean for n, mean in enumerate(means)}
    return [
        {"contrast": contrast, "alpha": points[best][0], "learning_rate": points[best][1], "setting": best, **search,
         **scores(labels, graph)}
        for labels, graph in zip(
            _refined(start, [*held_out, *tests], final, contrast, training), tests, strict=True
        )
    ]  # fmt: skip


def refined_labels(
    contrast: Contrast, start: PamCClustering, graphs: Sequence[Graph], training: Training, alpha: float, rate: float
) -> list[np.ndarray]:
    """Labels of every graph after training at one setting; ``start`` has a model per graph."""
    return _refined(start, graphs, [(k, (alpha, rate)) for k in range(len(graphs))], contrast, training)


def peer_rows(held_out: Sequence[Graph], tests: Sequence[Graph], seed: int, restarts: int) -> list[dict[str, object]]:
    """k-means of the features, and spectral clustering of their neighbour graphs, whose neighbours are tuned as above.

    Without held-out graphs nothing is tuned: spectral clustering is given the graph itself.
    """
    rows = []
    for graph in tests:
        means = KMeans(_clusters(graph), n_init=restarts, random_state=seed % 2**32)  # type: ignore[arg-type]
        labels = means.fit_predict(graph.features.double().cpu().numpy())
        rows.append({"contrast": "k-means of features", **scores(labels, graph)})
    counts = [n for n in (5, 10, 20, 40) if n < min(len(g.labels) for g in [*held_out, *tests])] if held_out else [0]
    found = [[clustering_accuracy(_spectral(g, n, seed), g.labels) for g in held_out] for n in counts]
    averages = [float(np.mean(each)) if each else np.nan for each in found]
    best = int(np.argmax(averages))
    search = {f"held_out_{n}": mean for n, mean in enumerate(averages)}
    return rows + [
        {"contrast": "spectral clustering", "setting": best, **search, **scores(_spectral(g, counts[best], seed), g)}
        for g in tests
    ]


def scores(labels: np.ndarray, graph: Graph) -> dict[str, float]:
    """Accuracy under the best matching of clusters and classes, and normalised mutual information."""
    truth = graph.labels.cpu().numpy()
    return {
        "accuracy": clustering_accuracy(labels, graph.labels),
        "nmi": float(normalized_mutual_info_score(truth, labels)),
        "clusters_used": len(np.unique(labels)),
    }


def clustering_accuracy(labels: np.ndarray, classes: torch.Tensor) -> float:
    """Share of nodes in the class to which their cluster is matched, one to one."""
    truth = classes.cpu().numpy()
    counts = np.zeros((max(labels.max(), truth.max()) + 1,) * 2)
    np.add.at(counts, (labels, truth), 1)
    matched = linear_sum_assignment(counts, maximize=True)
    return float(counts[matched].sum() / len(truth))


def _refined(
    start: PamCClustering,
    graphs: Sequence[Graph],
    runs: Sequence[tuple[int, tuple[float, float]]],
    contrast: Contrast,
    training: Training,
) -> list[np.ndarray]:
    """Labels after training graph k at (alpha, rate), for every run (k, (alpha, rate)), all in lockstep."""
    chosen = [k for k, _ in runs]
    features, influence = stack_graphs([graphs[k] for k in chosen], training.order)
    device = features.device
    model = start.select(chosen)
    model.contrast = contrast
    model.alpha = torch.tensor([alpha for _, (alpha, _) in runs], device=device)
    rates = torch.tensor([rate for _, (_, rate) in runs], device=device)
    model.refine(features, influence, epochs=training.epochs, learning_rate=rates)
    return list(model.predict(features).cpu().numpy())


def _spectral(graph: Graph, neighbours: int, seed: int) -> np.ndarray:
    """Spectral clustering of the graph of so many nearest neighbours, or (0) of the graph's own edges."""
    edges = neighbour_graph(graph.features, neighbours) if neighbours else graph.edge_index
    affinity = normalized_adjacency(edges, len(graph.labels)).to_dense() > 0
    found = SpectralClustering(_clusters(graph), affinity="precomputed", random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")  # its own remark on what it can do then
        return found.fit_predict(affinity.double().cpu().numpy())


def _clusters(graph: Graph) -> int:
    return int(graph.labels.max()) + 1
