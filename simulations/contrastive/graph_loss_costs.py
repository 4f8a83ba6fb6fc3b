"""What contrast over blocks costs beside contrast over all pairs of nodes: seconds and peak memory by number of nodes.

``loss_pass`` and ``training_epoch`` put everything in place and return the call that is measured: a loss with its
gradient, or one epoch of training. The judges read slopes and ratios from the table of ``simulate_cost``.

Memory is what the call's tensors hold at once at most, as torch's allocator counts it (on a GPU too). The resident peak
of a process would miss what blocks add: a few MiB, which fit into memory that building the graph has left behind. For
the same reason the memory of blocks is taken at far larger graphs than that of pairs.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.autograd.profiler import profile

from neural.contrastive import pamc
from neural.contrastive.graph_clustering import Contrast, PamCClustering
from neural.contrastive.graphs import influence_matrix, normalized_adjacency
from simulations import Verdict, statistics
from simulations.costs import alternating_seconds

__all__ = [
    "Cost",
    "cost_example",
    "judge_memory_slopes",
    "judge_ratio",
    "judge_slopes",
    "loss_pass",
    "peak_allocation",
    "simulate_cost",
    "training_epoch",
]


@dataclass(frozen=True)
class Cost:
    """Random graphs of a fixed degree; all losses are compared at ``size``.

    Slopes are those over ``block_nodes`` (time) or ``block_memory_nodes`` (peak memory), and over ``pair_nodes``.
    Losses are timed in ``rounds``, in each of which blocks of any size pass ``passed_nodes`` nodes, in several calls if
    it takes them; an epoch in ``training_rounds``.
    """

    block_nodes: tuple[int, ...] = (8000, 16_000, 32_000, 64_000)
    block_memory_nodes: tuple[int, ...] = (32_000, 64_000, 128_000)
    pair_nodes: tuple[int, ...] = (1500, 2500, 4000)
    size: int = 4000
    chunk_size: int = 256
    degree: int = 8
    clusters: int = 10
    dim: int = 10
    features: int = 64
    hidden: tuple[int, ...] = (128, 128)
    rounds: int = 5
    training_rounds: int = 3
    passed_nodes: int = 32_000


def simulate_cost(settings: Cost, seed: int, device: str) -> pd.DataFrame:
    """Seconds by number of nodes, loss and round, and peak memory (round -1), of losses and of epochs of training.

    ``slope`` marks the rows that slopes are fitted to.
    """
    shape = {"degree": settings.degree, "clusters": settings.clusters, "dim": settings.dim, "device": device}
    training = {**shape, "features": settings.features, "hidden": list(settings.hidden)}
    timed = {"block": settings.block_nodes, "pairs": settings.pair_nodes, "pairs in chunks": ()}
    held = {**timed, "block": settings.block_memory_nodes}
    rows: list[dict[str, object]] = []
    for nodes in sorted({settings.size, *itertools.chain(*timed.values(), *held.values())}):
        counted = [loss for loss in timed if nodes in (settings.size, *timed[loss], *held[loss])]
        calls = {loss: loss_pass(loss=loss, nodes=nodes, chunk_size=settings.chunk_size, **shape) for loss in counted}
        repeats = {"block": max(1, settings.passed_nodes // nodes)}
        run = {loss: calls[loss] for loss in counted if nodes in (settings.size, *timed[loss])}
        rows += [
            {"what": "loss", "nodes": nodes, "slope": nodes in fitted[row["loss"]], **row}
            for fitted, found in (
                (held, _peaks(calls, device)), (timed, _seconds(run, settings.rounds, repeats) if run else []),
            )
            for row in found
        ]  # fmt: skip
    epochs = {
        loss: training_epoch(loss=loss, nodes=settings.size, **training) for loss in ("block", "pairs", "no contrast")
    }
    measured = _peaks(epochs, device) + _seconds(epochs, settings.training_rounds, {})
    return pd.DataFrame(
        rows + [{"what": "training", "nodes": settings.size, "slope": False, **row} for row in measured]
    )


def _peaks(calls: Mapping[str, Callable[[], object]], device: str) -> list[dict[str, Any]]:
    return [{"loss": loss, "round": -1, "bytes": peak_allocation(call, device)} for loss, call in calls.items()]


def _seconds(
    calls: Mapping[str, Callable[[], object]], rounds: int, repeats: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Seconds of every round; calls that are repeated count with their mean."""
    sides = {loss: _repeated(call, repeats.get(loss, 1)) for loss, call in calls.items()}
    table = alternating_seconds(sides, rounds=rounds, warmup=0)  # taking the peaks has warmed up
    return [
        {"loss": side, "round": number, "seconds": seconds / repeats.get(side, 1)}
        for number, side, seconds in zip(table["round"], table["side"], table["seconds"], strict=True)
    ]


def _repeated(call: Callable[[], object], times: int) -> Callable[[], object]:
    def repeated() -> None:
        for _ in range(times):
            call()

    return repeated


def peak_allocation(call: Callable[[], object], device: str = "cpu") -> int:
    """Bytes of the tensors that a call holds at its peak, beyond those that were there before."""
    if device != "cpu":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.max_memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it would print a line whenever it starts and stops
    recorded = profile(profile_memory=True)
    with recorded:
        call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]")
    return int(np.cumsum([size for _, size in changes]).max())


def loss_pass(
    loss: str, nodes: int, degree: int, clusters: int, dim: int, device: str, chunk_size: int
) -> Callable[[], object]:
    """Forward and backward pass of a loss on random embeddings of a random graph."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(nodes, dim, generator=generator).to(device).requires_grad_()
    influence = _random_influence(nodes, degree, generator).to(device)
    assignment = torch.randint(clusters, (nodes,), generator=generator).to(device)
    index, values = influence.indices(), influence.values()

    def call() -> object:
        if loss == "block":
            value = pamc.pamc_loss(z, index, values, assignment)
        else:
            chunk = None if loss == "pairs" else chunk_size
            value = pamc.full_graph_contrastive_loss(z, influence, chunk_size=chunk)
        gradient = torch.autograd.grad(value, z)[0]
        return float(gradient.sum()) if device != "cpu" else gradient  # waits for the device

    return call


def training_epoch(
    loss: str, nodes: int, degree: int, clusters: int, dim: int, device: str, features: int, hidden: list[int]
) -> Callable[[], object]:
    """One epoch of clustering with a contrast: encoder, assignments, loss, gradients and a step of Adam."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(nodes, features, generator=generator).to(device)
    influence = _random_influence(nodes, degree, generator).to(device)
    contrast: Contrast = {"block": "pamc", "pairs": "full", "no contrast": "none"}[loss]  # type: ignore[assignment]
    model = PamCClustering(features, clusters, hidden=hidden, dim=dim, contrast=contrast, device=device)
    model.initialise(x[: 100 * clusters], restarts=1)
    return lambda: float(model.refine(x, influence, epochs=1).centres.detach().sum())


def _random_influence(nodes: int, degree: int, generator: torch.Generator) -> torch.Tensor:
    edges = torch.randint(nodes, (2, nodes * degree), generator=generator)
    return influence_matrix(normalized_adjacency(edges, nodes), 1)


def _slopes(column: str, loss: str) -> Callable[[pd.DataFrame], np.ndarray]:
    def slopes(table: pd.DataFrame) -> np.ndarray:
        rows = table[table["slope"] & (table["loss"] == loss) & table[column].notna()]
        return statistics.log_log_slopes(rows.assign(replicate=rows["round"]), "nodes", column)

    return slopes


def judge_slopes(table: pd.DataFrame) -> Verdict:
    """Linear in the nodes for blocks, quadratic for pairs: slopes of each round."""
    return statistics.all_of(
        [
            statistics.within(
                _slopes("seconds", "block")(table), "slope of log seconds on log nodes, blocks", low=0.7, high=1.3
            ),
            statistics.trend(_slopes("seconds", "pairs")(table), "the same slope, all pairs", above=1.7),
        ]
    )


def judge_memory_slopes(table: pd.DataFrame) -> Verdict:
    """The same of the tensors held at the peak."""
    return statistics.all_of(
        [
            statistics.at_most(
                _slopes("bytes", "block")(table)[0], "slope of log peak memory on log nodes, blocks", threshold=1.3
            ),
            statistics.at_least(_slopes("bytes", "pairs")(table)[0], "the same slope, all pairs", threshold=1.7),
        ]
    )


def judge_ratio(what: str, column: str, threshold: float) -> Callable[[pd.DataFrame], Verdict]:
    """How many times more all pairs take, at the largest number of nodes that both were measured at."""

    def judge(table: pd.DataFrame) -> Verdict:
        rows = table[(table["what"] == what) & table[column].notna()]
        both = rows[rows["loss"].isin(["block", "pairs"])]
        shared = both.groupby("nodes")["loss"].nunique()
        size = shared[shared == 2].index.max()
        wide = both[both["nodes"] == size].pivot(index="round", columns="loss", values=column)
        ratios = wide["pairs"] / wide["block"]
        names = {"seconds": "time", "bytes": "peak memory of tensors"}
        return statistics.at_least(
            float(ratios.median()), f"{names[column]} of all pairs over blocks, {what}, {size} nodes",
            threshold=threshold, instances=len(ratios),
        )  # fmt: skip

    return judge


def cost_example() -> pd.DataFrame:
    """Measurements as they would be without noise from the machine."""
    rows = []
    for what in ("loss", "training"):
        for loss, power, scale in (("block", 1, 1e-6), ("pairs", 2, 1e-7)):
            for nodes in (2000, 4000, 8000):
                rows += [
                    {"replicate": 0, "what": what, "nodes": nodes, "slope": what == "loss", "loss": loss, "round": k,
                     "seconds": scale * nodes**power * (1 + 0.01 * k * nodes / 8000)}
                    for k in range(3)
                ]  # fmt: skip
                rows.append(
                    {"replicate": 0, "what": what, "nodes": nodes, "slope": what == "loss", "loss": loss, "round": -1,
                     "bytes": 1e7 * scale * nodes**power}
                )  # fmt: skip
    return pd.DataFrame(rows)
