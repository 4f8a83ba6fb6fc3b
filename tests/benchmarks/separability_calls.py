"""Calls whose cost is measured: the ICNN loss as it is here and with a vector per pair, and batch-hard triplets."""

from collections.abc import Callable


def icnn_pass(samples: int, dim: int, form: str) -> Callable[[], object]:
    """Forward and backward pass of the loss on random points of ten classes; ``form`` is ours, chunked or pair vectors."""
    import torch

    from neural.contrastive.class_separability import icnn_loss

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(samples, dim, generator=generator, requires_grad=True), torch.arange(samples) % 10
    if form == "pair vectors":
        return lambda: torch.autograd.grad(pair_vector_loss(x, y), x)
    chunk_size = 64 if form == "chunked" else None
    return lambda: torch.autograd.grad(icnn_loss(x, y, 4, 10, chunk_size=chunk_size), x)


def pair_vector_loss(x, y, k: int = 4, inspected: int = 10):
    """The loss from (samples, samples, dim) differences, as it is usually written."""
    import torch

    squared = (x[:, None] - x[None]).pow(2).sum(-1)
    near, places = (squared + 1e-12).sqrt().topk(inspected + 1, largest=False)
    near, places = near[:, 1:], places[:, 1:]
    alike = y[places] == y[:, None]
    stranger = near.masked_fill(alike, torch.inf).amin(1, keepdim=True)
    relative = (near / stranger)[:, :k]
    relative = relative / relative.amax(1, keepdim=True).clamp_min(1)
    near, alike = near[:, :k], alike[:, :k]

    def mean_of_means(values, chosen):
        counts = chosen.sum(1)
        return ((values * chosen).sum(1) / counts.clamp_min(1)).sum() / (counts > 0).sum()

    lambda_same = 1 - mean_of_means(relative, alike)
    lambda_diff = mean_of_means(near / (near * ~alike).max(), ~alike)
    return -(((lambda_same + lambda_diff) / 2 + alike.to(x.dtype).mean()) / 2).log()


def triplet_pass(samples: int, dim: int, form: str) -> Callable[[], object]:
    """Forward and backward pass of batch-hard triplets; ``form`` is ours or peer (pytorch_metric_learning)."""
    import torch

    from neural.contrastive.class_separability import batch_hard_triplet_loss

    x, y = torch.randn(samples, dim, requires_grad=True), torch.arange(samples) % 10
    if form == "ours":
        return lambda: torch.autograd.grad(batch_hard_triplet_loss(x, y), x)
    from pytorch_metric_learning import distances, losses, miners, reducers

    distance = distances.LpDistance(normalize_embeddings=False)
    miner = miners.BatchHardMiner(distance=distance)
    loss = losses.TripletMarginLoss(0.5, distance=distance, reducer=reducers.MeanReducer())
    return lambda: torch.autograd.grad(loss(x, y, miner(x, y)), x)
