"""Decoupled contrastive learning does not need large batches.

Four experiments. *identities* compares the losses, the coupling q and all gradients with independent
computations on random embeddings, beside a version that leaves the positive among the negatives and must not
pass. *batch growth* follows q as independent features fill larger and larger batches. *free embeddings*
moves 256 points on a sphere with nothing but the loss, from a bunched start, and counts the samples seen until they
are spread out; every sample's step is the same whatever the batch size. *digits* trains small encoders on
augmented handwritten digits: InfoNCE, DCL and DCLW start equal and see the same views in the same order, so that
only the loss differs, and *grid* does so over learning rates and temperatures. Untrained encoders and shuffled
labels show where chance lies.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from neural.contrastive.dcl import dcl_loss, dclw_loss, info_nce_loss, mvmf_weights, npc_multiplier
from neural.contrastive.evaluate import knn_accuracy, linear_probe_accuracy, uniformity
from neural.contrastive.images import Views, digits
from neural.contrastive.pretrain import EncoderEnsemble, ResNetEnsemble, encode, pretrain
from neural.contrastive.similarity import log_negative_mass, positive_similarity, unit_rows
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import exchange
from theory.contrastive import dcl as theory

PAPER = Paper(
    title="Decoupled Contrastive Learning",
    authors="Chun-Hsiao Yeh, Cheng-Yao Hong, Yen-Chi Hsu, Tyng-Luh Liu, Yubei Chen, Yann LeCun",
    venue="ECCV 2022",
    arxiv="2110.06848",
)
DEVIATIONS = [
    "The weights of DCLW are held constant in the gradient; one re-implementation lets gradients flow through them.",
    "Banned similarities are −inf in the log-sum-exp; adding log(1e-45) instead can leak them at small temperatures.",
    "The digit experiments replace ImageNet: they can show the effect on training, not the paper's accuracies.",
]
METHODS = ("InfoNCE", "DCL", "DCLW")


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random embeddings: how many sets, of at most how many samples."""

    sets: int = 200
    max_samples: int = 64


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Largest deviation per identity and set of random embeddings, in float64."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(settings.sets):
        samples, dim = int(rng.integers(2, settings.max_samples + 1)), int(rng.integers(2, 33))
        tau = float(np.exp(rng.uniform(np.log(0.05), 0)))
        z1, z2 = rng.standard_normal((2, samples, dim)) + 0.5 * rng.standard_normal(dim)
        a, b = (torch.tensor(z, device=device, requires_grad=True) for z in (z1, z2))
        errors = _identity_errors(a, b, tau) | _gradient_errors(z1, z2, tau, device)
        rows += [{"identity": k, "samples": samples, "temperature": tau, "error": v} for k, v in errors.items()]
    return pd.DataFrame(rows)


def _identity_errors(z1: torch.Tensor, z2: torch.Tensor, tau: float) -> dict[str, float]:
    """Every identity against exponentials that are summed as they are, in the order of the definition."""
    nce, dcl = (loss(z1, z2, tau, reduction="none") for loss in (info_nce_loss, dcl_loss))
    coupling = npc_multiplier(z1, z2, tau)
    plain_nce, plain_dcl, leaky_dcl, plain_q = _by_definition(z1, z2, tau)
    weights = mvmf_weights(z1, z2)
    one_cosine = torch.cat([z1.detach()[:1]] * len(z1))
    turned = one_cosine.roll(1, dims=1)
    difference = dclw_loss(one_cosine, turned, tau, reduction="none") - dcl_loss(
        one_cosine, turned, tau, reduction="none"
    )
    nce_norms, dcl_norms = _anchor_gradient_norms(nce, z1, z2), _anchor_gradient_norms(dcl, z1, z2)
    ratio = nce_norms / (coupling.detach().flatten() * dcl_norms)
    return {
        "InfoNCE by definition": _largest(nce - plain_nce),
        "DCL by definition": _largest(dcl - plain_dcl),
        "I1": _largest(nce - _softplus(plain_dcl)),
        "I1, positive kept": _largest(nce - _softplus(leaky_dcl)),
        "I2": max(_largest(coupling - plain_q), _largest(coupling + torch.expm1(-plain_nce))),
        "I3": _per_anchor_gradient_gap(nce, dcl, coupling, z1, z2),
        "mean weight": _largest(weights.mean() - 1),
        "DCLW of equal cosines": _largest(difference),
        "gradient norm ratio is q": _largest(ratio - 1),
        "largest gradient norm ratio": float((nce_norms / dcl_norms).max()),
    }


def _by_definition(z1: torch.Tensor, z2: torch.Tensor, tau: float) -> tuple[torch.Tensor, ...]:
    u = F.normalize(torch.cat([z1, z2]).detach(), dim=1)
    n = len(z1)
    exponentials = (u @ u.T / tau).exp()
    positives = torch.cat([exponentials.diagonal(n), exponentials.diagonal(-n)])
    others = ~(
        torch.eye(2 * n, dtype=torch.bool, device=u.device)
        | torch.eye(2 * n, dtype=torch.bool, device=u.device).roll(n, 1)
    )
    mass = (exponentials * others).sum(1)
    shape = (2, n)
    return (
        -(positives / (positives + mass)).log().reshape(shape),
        (mass / positives).log().reshape(shape),
        ((mass + positives) / positives).log().reshape(shape),
        (1 - positives / (positives + mass)).reshape(shape),
    )


def _anchor_jacobian(losses: torch.Tensor, z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
    """Gradient of every anchor's loss, one row each."""
    count = losses.numel()
    basis = torch.eye(count, dtype=losses.dtype, device=losses.device).reshape(count, *losses.shape)
    gradients = torch.autograd.grad(losses, (z1, z2), basis, retain_graph=True, is_grads_batched=True)
    return torch.cat([g.flatten(1) for g in gradients], dim=1)


def _anchor_gradient_norms(losses: torch.Tensor, z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
    return _anchor_jacobian(losses, z1, z2).norm(dim=1)


def _per_anchor_gradient_gap(
    nce: torch.Tensor, dcl: torch.Tensor, coupling: torch.Tensor, z1: torch.Tensor, z2: torch.Tensor
) -> float:
    scaled = coupling.detach().reshape(-1, 1) * _anchor_jacobian(dcl, z1, z2)
    return float((_anchor_jacobian(nce, z1, z2) - scaled).abs().max())


def _gradient_errors(z1: np.ndarray, z2: np.ndarray, tau: float, device: str) -> dict[str, float]:
    """The closed-form gradients in numpy against autograd, on embeddings and on similarities."""
    errors = {}
    for name, loss, closed in (("DCL", dcl_loss, theory.dcl_grad), ("InfoNCE", info_nce_loss, theory.info_nce_grad)):
        a, b = (torch.tensor(z, device=device, requires_grad=True) for z in (z1, z2))
        automatic = torch.autograd.grad(loss(a, b, tau), (a, b))
        gaps = [np.abs(g.cpu().numpy() - c).max() for g, c in zip(automatic, closed(z1, z2, tau), strict=True)]
        errors[f"closed gradient of {name}"] = float(max(gaps))
    u1, u2 = (F.normalize(torch.tensor(z), dim=1) for z in (z1, z2))
    s_positive = (u1 * u2).sum(1).requires_grad_()
    others = ~torch.eye(len(u1), dtype=torch.bool)
    s_negative = torch.cat([(u1 @ u.T)[others].reshape(len(u1), -1) for u in (u1, u2)], dim=1).requires_grad_()
    decoupled = torch.logsumexp(s_negative / tau, 1) - s_positive / tau
    by_positive, by_negative, coupling = theory.similarity_gradients(
        s_positive.detach().numpy(), s_negative.detach().numpy(), tau
    )
    worst = 0.0
    for losses, factor in ((decoupled, np.ones_like(coupling)), (_softplus(decoupled), coupling)):
        automatic = torch.autograd.grad(losses.sum(), (s_positive, s_negative), retain_graph=True)
        worst = max(worst, np.abs(automatic[0].numpy() - factor * by_positive).max())
        worst = max(worst, np.abs(automatic[1].numpy() - factor[:, None] * by_negative).max())
    return errors | {"similarity gradients": float(worst)}


def _softplus(values: torch.Tensor) -> torch.Tensor:
    return torch.logaddexp(values, torch.zeros_like(values))


def _largest(values: torch.Tensor) -> float:
    return float(values.detach().abs().max())


# batch growth -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BatchGrowth:
    """Independent features of dimension ``dim`` in batches that double from ``smallest`` to ``largest``."""

    smallest: int = 8
    largest: int = 1024
    dim: int = 16
    temperature: float = 0.5
    draws: int = 1024


def simulate_batch_growth(settings: BatchGrowth, seed: int, device: str) -> Replicate:
    """Mean of ``(1 − q)(2N − 2)`` and spread of q per batch size; q along nested batches; q as the positive grows.

    ``draws`` samples are averaged at every size: many small batches, few large ones. With independent
    views the positive is distributed like a negative, so that ``(1 − q)(2N − 2)`` tends to 1. The array
    ``coupling_N`` keeps the couplings themselves.
    """
    generator = torch.Generator(device).manual_seed(seed)
    rows, arrays = [], {}
    samples = settings.smallest
    while samples <= settings.largest:
        batches = []
        for _ in range(max(1, settings.draws // samples)):
            z1, z2 = torch.randn(2, samples, settings.dim, generator=generator, device=device, dtype=torch.float64)
            batches.append(npc_multiplier(z1, z2, settings.temperature).flatten().cpu().numpy())
        q = arrays[f"coupling_{samples}"] = np.concatenate(batches)
        rows.append({"quantity": "(1 - q)(2N - 2)", "samples": samples, "value": (1 - q).mean() * (2 * samples - 2)})
        rows.append({"quantity": "coefficient of variation of q", "samples": samples, "value": q.std() / q.mean()})
        samples *= 2
    z1, z2 = torch.randn(2, settings.largest, settings.dim, generator=generator, device=device, dtype=torch.float64)
    sizes = np.unique(np.geomspace(2, settings.largest, 25).round().astype(int))
    nested = [npc_multiplier(z1[:n], z2[:n], settings.temperature)[:, :2] for n in sizes]
    rise = torch.stack(nested).diff(dim=0)
    rows.append(
        {"quantity": "smallest rise of q, nested batches", "samples": settings.largest, "value": float(rise.min())}
    )
    # The first sample's second view turns towards its first: s⁺ rises, and with it only view 1's own positive.
    angles = torch.linspace(torch.pi, 0, 50, dtype=torch.float64, device=device)
    cosines = np.cos(angles.cpu().numpy())
    s_negative = np.tile((F.normalize(z1[:1]) @ F.normalize(z1[1:9]).T).cpu().numpy(), (len(cosines), 1))
    fall = np.diff(theory.similarity_gradients(cosines, s_negative, settings.temperature)[2])
    rows.append({"quantity": "largest rise of q with the positive", "samples": 8, "value": float(fall.max())})
    return Replicate(pd.DataFrame(rows), arrays)


# free embeddings --------------------------------------------------------------------------------


@dataclass(frozen=True)
class FreeEmbeddings:
    """Points on a sphere moved by plain gradient steps on the summed loss of one view's anchors."""

    batch_sizes: tuple[int, ...] = (4, 8, 32, 128)
    points: int = 256
    dim: int = 8
    temperature: float = 0.1
    learning_rate: float = 0.02
    noise: float = 0.15
    target: float = -2.5
    max_samples: int = 40_960
    check_every: int = 64


def simulate_free_embeddings(settings: FreeEmbeddings, seed: int, device: str) -> pd.DataFrame:
    """Samples seen until the points' uniformity is below the target, and mean coupling, per loss and batch size."""
    rows = []
    for number, batch_size in enumerate(settings.batch_sizes):
        for method in ("InfoNCE", "DCL"):
            rng = np.random.default_rng([seed, number])
            seen, reached, coupling = _spread(settings, batch_size, method, rng)
            rows.append(
                {
                    "batch_size": batch_size,
                    "method": method,
                    "samples_to_target": seen,
                    "reached": reached,
                    "mean_coupling": coupling,
                }
            )
    return pd.DataFrame(rows)


def _spread(
    settings: FreeEmbeddings, batch_size: int, method: str, rng: np.random.Generator
) -> tuple[int, bool, float]:
    gradient = {"InfoNCE": theory.info_nce_grad, "DCL": theory.dcl_grad}[method]
    points = _unit(
        0.5 * rng.standard_normal((settings.points, settings.dim)) + 1.5 * _unit(rng.standard_normal((1, settings.dim)))
    )
    one_way = np.stack([np.ones(batch_size), np.zeros(batch_size)])
    every = max(1, settings.check_every // batch_size)
    couplings = []
    for step in range(1, settings.max_samples // batch_size + 1):
        chosen = rng.choice(settings.points, batch_size, replace=False)
        jitter = settings.noise / np.sqrt(settings.dim) * rng.standard_normal((2, batch_size, settings.dim))
        z1, z2 = points[chosen] + jitter
        g1, g2 = gradient(z1, z2, settings.temperature, one_way)
        points[chosen] = _unit(points[chosen] - settings.learning_rate * (g1 + g2))
        if step % every == 0:
            couplings.append(theory.npc_multiplier(z1, z2, settings.temperature)[0].mean())
            if _uniformity(points) < settings.target:
                return step * batch_size, True, float(np.mean(couplings))
    return settings.max_samples, False, float(np.mean(couplings))


def _unit(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def _uniformity(points: np.ndarray) -> float:
    count = len(points)
    kernel = np.exp(4 * (points @ points.T) - 4)
    return float(np.log((kernel.sum() - np.trace(kernel)) / (count * (count - 1))))


# digits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Encoders of handwritten digits, trained with each loss at each batch size."""

    batch_sizes: tuple[int, ...] = (8, 32, 128)
    steps: int = 200
    temperature: float = 0.05
    learning_rate: float = 0.05
    width: int = 96
    network: str = "perceptron"
    last_steps: int = 100


def simulate_digits(settings: Digits, seed: int, device: str) -> pd.DataFrame:
    """Uniformity, alignment by probes and batch size, with chance levels."""
    rows = []
    for batch_size in settings.batch_sizes:
        taus = torch.full((len(METHODS),), settings.temperature, device=device)
        kinds = torch.arange(len(METHODS), device=device)
        trained = _train_and_probe(settings, batch_size, kinds, taus, settings.learning_rate, seed, device)
        for method, row in zip(METHODS, trained, strict=True):
            rows.append({"batch_size": batch_size, "method": method, **row})
    return pd.DataFrame([*rows, *_chance_levels(settings, seed, device)])


@dataclass(frozen=True)
class Grid:
    """Learning rates times temperatures at one small batch size."""

    learning_rates: tuple[float, ...] = (0.01, 0.03, 0.1)
    temperatures: tuple[float, ...] = (0.05, 0.2)
    batch_size: int = 8
    steps: int = 200
    width: int = 96
    last_steps: int = 100


def simulate_grid(settings: Grid, seed: int, device: str) -> pd.DataFrame:
    """Uniformity and nearest-neighbour accuracy of InfoNCE and DCL at every point of the grid."""
    points = [
        (kind, tau, rate) for kind in range(2) for tau in settings.temperatures for rate in settings.learning_rates
    ]
    kinds, taus, rates = (torch.tensor(column, device=device) for column in zip(*points, strict=True))
    rows = _train_and_probe(settings, settings.batch_size, kinds, taus, rates, seed, device)
    return pd.DataFrame(
        [
            {"method": METHODS[kind], "temperature": tau, "learning_rate": rate, **row}
            for (kind, tau, rate), row in zip(points, rows, strict=True)
        ]
    )


def _train_and_probe(
    settings: Digits | Grid,
    batch_size: int,
    kinds: torch.Tensor,
    taus: torch.Tensor,
    rates: float | torch.Tensor,
    seed: int,
    device: str,
) -> list[dict[str, float]]:
    data = digits(seed % 2**31).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    models = _networks(settings, len(kinds), generator, seed, device)
    views = _views()
    couplings: list[torch.Tensor] = []

    def loss(z1: torch.Tensor, z2: torch.Tensor, step: int) -> torch.Tensor:
        u1, u2 = unit_rows(z1), unit_rows(z2)
        positives = positive_similarity(u1, u2, taus)
        mass = log_negative_mass(u1, u2, taus)
        decoupled = mass - positives[:, None]
        if step >= settings.steps - settings.last_steps:
            couplings.append(torch.sigmoid(decoupled.detach()).mean((1, 2)))
        weights = 2 - batch_size * torch.softmax((u1 * u2).sum(-1).detach() / 0.5, dim=-1)
        weighted = mass - (weights * positives)[:, None]
        kind = kinds[:, None, None]
        return torch.where(kind == 0, F.softplus(decoupled), torch.where(kind == 1, decoupled, weighted)).mean((1, 2))

    pretrain(
        models,
        data.train,
        loss,
        views=views,
        batch_size=batch_size,
        steps=settings.steps,
        learning_rate=rates,
        generator=generator,
    )
    return [
        {**row, "mean_coupling": float(q)}
        for row, q in zip(_probe(models, data, views), torch.stack(couplings).mean(0), strict=True)
    ]


def _probe(models: EncoderEnsemble | ResNetEnsemble, data, views: Views) -> list[dict[str, float]]:
    train, _ = encode(models, views.evaluation_copies(data.train))
    test, projections = encode(models, views.evaluation_copies(data.test))
    return [
        {
            "uniformity": float(u),
            "knn": knn_accuracy(a, data.train_labels, b, data.test_labels),
            "linear": linear_probe_accuracy(a, data.train_labels, b, data.test_labels),
        }
        for u, a, b in zip(uniformity(projections), train, test, strict=True)
    ]


def _chance_levels(settings: Digits, seed: int, device: str) -> list[dict[str, object]]:
    """An untrained encoder, and the same probed with training labels that are shuffled."""
    data = digits(seed % 2**31).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    models = _networks(settings, 1, generator, seed, device).eval()
    views = _views()
    untrained = _probe(models, data, views)[0]
    order = torch.randperm(len(data.train_labels), generator=generator, device=device)
    shuffled = _probe(models, type(data)(data.train, data.train_labels[order], data.test, data.test_labels), views)[0]
    return [
        {"batch_size": batch_size, "method": name, "mean_coupling": np.nan, **row}
        for batch_size in settings.batch_sizes
        for name, row in (("untrained", untrained), ("shuffled labels", shuffled))
    ]


def _networks(settings: Digits | Grid, count: int, generator: torch.Generator, seed: int, device: str):
    if isinstance(settings, Digits) and settings.network == "resnet":
        return ResNetEnsemble(count, seed=seed, device=device, width=settings.width)
    return EncoderEnsemble(count, generator=generator, width=settings.width)


def _views() -> Views:
    return Views(shift=0.3, noise=0.05, erase=0, contrast=0.2, clutter=0.15)


EXPERIMENTS = [
    Experiment("identities", simulate_identities, quick=Identities(8), full=Identities(), tiny=Identities(3, 8)),
    Experiment("batch_growth", simulate_batch_growth, quick=BatchGrowth(), tiny=BatchGrowth(largest=32, draws=256)),
    Experiment(
        "free_embeddings", simulate_free_embeddings, quick=FreeEmbeddings(),
        tiny=FreeEmbeddings(batch_sizes=(4, 8, 32, 128), max_samples=1024),
    ),
    Experiment(
        "digits", simulate_digits, quick=Digits(),
        full=Digits(batch_sizes=(8, 32, 128, 512, 1024), steps=2000, width=32, network="resnet"),
        tiny=Digits(batch_sizes=(8, 32, 128), steps=3, width=16, last_steps=2),
    ),
    Experiment(
        "grid", simulate_grid, quick=Grid(),
        full=Grid((0.005, 0.01, 0.03, 0.1, 0.3), (0.05, 0.1, 0.2, 0.5), width=256, steps=1500),
        tiny=Grid(learning_rates=(0.03, 0.1), temperatures=(0.1, 0.2), steps=3, width=16, last_steps=2),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _errors(table: pd.DataFrame, *identities: str) -> np.ndarray:
    errors = table.loc[table["identity"].isin(identities), "error"].to_numpy()
    if len(errors) == 0:
        raise ValueError(f"no errors of {identities} in the table")
    return errors


def _judge_identities(table: pd.DataFrame) -> Verdict:
    parts = [
        statistics.identity(_errors(table, *names), f"largest error of {' and '.join(names)}", tolerance=tolerance)
        for names, tolerance in (
            (("InfoNCE by definition", "DCL by definition", "I1", "I2", "I3"), 1e-12),
            (("closed gradient of DCL", "closed gradient of InfoNCE", "similarity gradients"), 1e-8),
        )
    ]
    leaky = float(_errors(table, "I1, positive kept").max())
    parts.append(statistics.at_least(leaky, "I1's error if the positive stays among the negatives", threshold=1e-3))
    return statistics.all_of(parts)


def _identities_example() -> pd.DataFrame:
    errors = {
        "InfoNCE by definition": 1e-15, "DCL by definition": 1e-15, "I1": 1e-15, "I2": 1e-16, "I3": 1e-15,
        "closed gradient of DCL": 1e-12, "closed gradient of InfoNCE": 1e-12, "similarity gradients": 1e-14,
        "I1, positive kept": 0.3, "mean weight": 1e-16, "DCLW of equal cosines": 1e-16,
        "gradient norm ratio is q": 1e-14, "largest gradient norm ratio": 0.93,
    }  # fmt: skip
    return pd.DataFrame(
        [
            {"replicate": k, "identity": i, "samples": 32, "temperature": 0.1, "error": e}
            for k in range(5)
            for i, e in errors.items()
        ]
    )


def _judge_weights(table: pd.DataFrame) -> Verdict:
    names = ("mean weight", "DCLW of equal cosines")
    return statistics.identity(
        _errors(table, *names), "largest error of the weights' mean and of DCLW = DCL", tolerance=1e-12
    )


def _unweighted(table: pd.DataFrame) -> pd.DataFrame:
    """As if the weights were softmax shares without the factor N: their mean is then 2 − 1/N."""
    shares = 1 - 1 / table["samples"]
    return table.assign(error=table["error"].where(table["identity"] != "mean weight", shares))


def _judge_gradient_norms(table: pd.DataFrame) -> Verdict:
    rows = table[table["identity"] == "largest gradient norm ratio"]
    worst = rows.iloc[int(rows["error"].to_numpy().argmax())]
    return statistics.all_of(
        [
            statistics.bound(
                worst["error"], "largest ratio of an anchor's InfoNCE gradient norm to its DCL gradient norm",
                instances=int(2 * rows["samples"].sum()), required=200,
                witness=f"N = {worst['samples']}, temperature = {worst['temperature']:.3g}",
            ),
            statistics.identity(_errors(table, "gradient norm ratio is q"), "ratio over q, less 1", tolerance=1e-9),
        ]
    )  # fmt: skip


def _stretched(table: pd.DataFrame) -> pd.DataFrame:
    """As if DCL's gradient were the shorter one: every ratio inverted."""
    ratios = table["identity"] == "largest gradient norm ratio"
    return table.assign(error=table["error"].where(~ratios, 1.5 / table["error"]))


def _judge_batch_growth(table: pd.DataFrame) -> Verdict:
    growth = table[table["quantity"] == "(1 - q)(2N - 2)"].sort_values(["replicate", "samples"])
    steps = growth.groupby("replicate")["value"].apply(lambda v: float(np.exp(np.abs(np.diff(np.log(v))).max())))
    by_quantity = table.groupby("quantity")["value"]
    return statistics.all_of(
        [
            statistics.trend(steps, "largest change of (1 − q)(2N − 2) as N doubles, as a factor", below=1.25),
            statistics.at_least(
                by_quantity.min()["smallest rise of q, nested batches"],
                "smallest rise of q, nested batches",
                threshold=0.0,
            ),
            statistics.at_most(
                by_quantity.max()["largest rise of q with the positive"],
                "largest rise of q as the positive's cosine grows",
                threshold=0.0,
            ),
        ]
    )  # fmt: skip


def _batch_growth_example() -> pd.DataFrame:
    rows = []
    for k in range(5):
        rows += [
            {"replicate": k, "quantity": "(1 - q)(2N - 2)", "samples": 8 * 2**n, "value": 3.0 + 0.1 * n + 0.01 * k}
            for n in range(6)
        ]
        rows.append({"replicate": k, "quantity": "smallest rise of q, nested batches", "samples": 256, "value": 1e-6})
        rows.append({"replicate": k, "quantity": "largest rise of q with the positive", "samples": 8, "value": -1e-4})
    return pd.DataFrame(rows)


def _slower_decay(table: pd.DataFrame) -> pd.DataFrame:
    """As if 1 − q fell like 1/√N: the product then grows by √2 with every doubling."""
    growing = table["quantity"] == "(1 - q)(2N - 2)"
    return table.assign(value=table["value"].where(~growing, table["value"] * np.sqrt(table["samples"])))


def _sample_ratio(table: pd.DataFrame, batch_size: int) -> np.ndarray:
    """Samples InfoNCE needs over samples DCL needs, replicate by replicate."""
    needed = table[table["batch_size"] == batch_size].pivot(
        index="replicate", columns="method", values="samples_to_target"
    )
    return (needed["InfoNCE"] / needed["DCL"]).to_numpy()


def _spread_over_batches(table: pd.DataFrame, method: str) -> np.ndarray:
    needed = table[table["method"] == method].groupby("replicate")["samples_to_target"]
    return (needed.max() / needed.min()).to_numpy()


def _free_embeddings_example() -> pd.DataFrame:
    needed = {"InfoNCE": {4: 14000, 8: 7000, 32: 3800, 128: 2600}, "DCL": {4: 1600, 8: 1900, 32: 2400, 128: 2600}}
    return pd.DataFrame(
        [
            {
                "replicate": k,
                "batch_size": b,
                "method": m,
                "samples_to_target": n * (1 + 0.02 * k),
                "reached": True,
                "mean_coupling": 0.3,
            }
            for k in range(5)
            for m, by_batch in needed.items()
            for b, n in by_batch.items()
        ]
    )


def _losses_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    return exchange(table, "method", "InfoNCE", "DCL")


def _judge_batch_sensitivity(table: pd.DataFrame) -> Verdict:
    def sensitivity(method: str) -> np.ndarray:
        return np.abs(statistics.paired(table[table["method"] == method], "uniformity", "batch_size", 8, 32))

    difference = sensitivity("DCL") - sensitivity("InfoNCE")
    return statistics.trend(difference, "|uniformity(8) − uniformity(32)| of DCL less that of InfoNCE", below=0.0)


def _judge_small_batch_coupling(table: pd.DataFrame) -> Verdict:
    difference = statistics.paired(table[table["method"] == "InfoNCE"], "mean_coupling", "batch_size", 8, 32)
    return statistics.trend(difference, "mean q of InfoNCE at batch 8 less that at batch 32", below=0.0)


def _digits_example() -> pd.DataFrame:
    rows = []
    for k in range(5):
        for batch_size in (8, 32, 128):
            for method, uniform, gain in (("InfoNCE", -1.5, 0.0), ("DCL", -2.6, 0.03), ("DCLW", -2.5, 0.03)):
                even = uniform + (0.5 if method == "InfoNCE" else 0.2) * (-1 if batch_size > 8 else 0) + 0.01 * k
                accuracy = 0.9 + gain + 0.002 * ((k * 7 + batch_size) % 3)
                rows.append(
                    {"replicate": k, "batch_size": batch_size, "method": method, "uniformity": even, "knn": accuracy,
                     "linear": accuracy, "mean_coupling": 0.3 + 0.001 * batch_size + 0.001 * k}
                )  # fmt: skip
            for method, accuracy in (("untrained", 0.7), ("shuffled labels", 0.1)):
                rows.append(
                    {"replicate": k, "batch_size": batch_size, "method": method, "uniformity": -0.5,
                     "knn": accuracy + 0.01 * k, "linear": accuracy + 0.01 * k, "mean_coupling": np.nan}
                )  # fmt: skip
    return pd.DataFrame(rows)


def _gain_claim(id: str, batch_size: int, probe: str, name: str) -> Claim:
    def judge(table: pd.DataFrame) -> Verdict:
        gain = statistics.paired(table[table["batch_size"] == batch_size], probe, "method", "DCL", "InfoNCE")
        return statistics.trend(gain, f"{name} accuracy with DCL less that with InfoNCE, batch {batch_size}", above=0.0)

    return Claim(
        id, "digits", "trend", "linear evaluation, abstract",
        f"DCL's representation classifies better than InfoNCE's ({name}, batch {batch_size}).",
        judge, _digits_example, _losses_exchanged,
        paper_value="68.2 against 61.8 % linear top-1 (ImageNet, batch 256, 200 epochs)" if batch_size == 128 else "",
    )  # fmt: skip


def _judge_learning(table: pd.DataFrame) -> Verdict:
    rows = table[table["method"].isin(["DCL", "shuffled labels"])]
    gain = statistics.paired(rows, "knn", "method", "DCL", "shuffled labels")
    return statistics.trend(gain, "nearest-neighbour accuracy with DCL less that with shuffled labels", above=0.0)


def _robustness_claim(id: str, column: str, name: str) -> Claim:
    def judge(table: pd.DataFrame) -> Verdict:
        spread = table.groupby(["replicate", "method"])[column].std().reset_index()
        difference = statistics.paired(spread, column, "method", "DCL", "InfoNCE")
        return statistics.trend(difference, f"standard deviation of {name} over the grid, DCL less InfoNCE", below=0.0)

    return Claim(
        id, "grid", "trend", "robustness to hyper-parameters, abstract",
        f"DCL depends less on learning rate and temperature than InfoNCE does ({name}, batch 8).",
        judge, _grid_example, _losses_exchanged,
    )  # fmt: skip


def _grid_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "method": m, "temperature": tau, "learning_rate": rate,
             "uniformity": -2 + scale * rate + 0.01 * k,
             "knn": 0.9 - scale * rate / 10 - 0.001 * k * tau, "mean_coupling": 0.3}
            for k in range(5)
            for m, scale in (("InfoNCE", 5.0), ("DCL", 1.0))
            for tau in (0.05, 0.2)
            for rate in (0.01, 0.1)
        ]
    )  # fmt: skip


CLAIMS = [
    Claim(
        "C1", "identities", "identity", "Proposition 1",
        "InfoNCE = softplus(DCL), q = sigmoid(DCL) = 1 − exp(−InfoNCE), "
        "and each anchor's InfoNCE gradient is q times its DCL gradient.",
        _judge_identities, _identities_example, lambda t: exchange(t, "identity", "I1", "I1, positive kept"),
    ),
    Claim(
        "C2", "identities", "identity", "definition of L_DCW",
        "The weights of DCLW have mean 1, and DCLW equals DCL where all positives have one cosine.",
        _judge_weights, _identities_example, _unweighted,
    ),
    Claim(
        "C3", "batch_growth", "limit", "Proposition 1; rate derived here",
        "q grows with the batch and falls as the positive becomes easy; 1 − q shrinks like 1/N.",
        _judge_batch_growth, _batch_growth_example, _slower_decay,
    ),
    Claim(
        "C4", "identities", "bound", "Proposition 1",
        "An anchor's InfoNCE gradient is shorter than its DCL gradient, by the factor q.",
        _judge_gradient_norms, _identities_example, _stretched,
    ),
    Claim(
        "C5a", "free_embeddings", "trend", "batch sizes, abstract",
        "At batch 4, InfoNCE needs at least 3 times the samples that DCL needs to spread points out.",
        lambda t: statistics.trend(_sample_ratio(t, 4), "samples of InfoNCE over those of DCL, batch 4", above=3.0),
        _free_embeddings_example, _losses_exchanged,
    ),
    Claim(
        "C5b", "free_embeddings", "trend", "batch sizes, abstract",
        "At batch 128 the two differ little: by at most a factor 2.5.",
        lambda t: statistics.trend(_sample_ratio(t, 128), "samples of InfoNCE over those of DCL, batch 128", below=2.5),
        _free_embeddings_example, lambda t: exchange(t, "batch_size", 4, 128),
    ),
    Claim(
        "C5c", "free_embeddings", "trend", "batch sizes, abstract",
        "InfoNCE depends on the batch size: a factor of at least 3 in samples lies between the best and the worst.",
        lambda t: statistics.trend(_spread_over_batches(t, "InfoNCE"), "most over fewest samples, InfoNCE", above=3.0),
        _free_embeddings_example, _losses_exchanged,
    ),
    Claim(
        "C5d", "free_embeddings", "trend", "batch sizes, abstract",
        "DCL hardly depends on the batch size: between the best and the worst lies a factor of at most 2.",
        lambda t: statistics.trend(_spread_over_batches(t, "DCL"), "most over fewest samples, DCL", below=2.0),
        _free_embeddings_example, _losses_exchanged,
    ),
    Claim(
        "C6a", "digits", "trend", "batch sizes, abstract",
        "With DCL the uniformity that is reached depends less on the batch size than with InfoNCE.",
        _judge_batch_sensitivity, _digits_example, _losses_exchanged,
    ),
    Claim(
        "C6b", "digits", "trend", "coupling and batch size, Proposition 1",
        "Smaller batches have a smaller coupling q.",
        _judge_small_batch_coupling, _digits_example, lambda t: exchange(t, "batch_size", 8, 32),
    ),
    *(
        _gain_claim(f"C7{letter}", batch_size, probe, name)
        for letter, (probe, name, batch_size) in zip(
            "abcdef",
            [(p, n, b) for p, n in (("knn", "nearest-neighbour"), ("linear", "linear probe")) for b in (8, 32, 128)],
            strict=True,
        )
    ),
    Claim(
        "C7g", "digits", "trend", "control of the probe",
        "What the probes measure is learnt: accuracy is far above that of shuffled labels.",
        _judge_learning, _digits_example, lambda t: exchange(t, "method", "DCL", "shuffled labels"),
    ),
    _robustness_claim("C8a", "uniformity", "uniformity"),
    _robustness_claim("C8b", "knn", "nearest-neighbour accuracy"),
]  # fmt: skip
