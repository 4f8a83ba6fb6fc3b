"""Calls whose cost is measured: MoCHi with cosines alone, and as it is usually written."""

from collections.abc import Callable


def mixing_pass(batch: int, dim: int, size: int, n_hard: int, n_pairs: int, form: str) -> Callable[[], object]:
    """Forward and backward pass of the loss on random queries against a random queue; ``form`` is ours or naive."""
    import torch
    import torch.nn.functional as F

    from neural.contrastive.mochi import mochi_loss

    query, key = torch.randn(batch, dim, requires_grad=True), torch.randn(batch, dim)
    queue = F.normalize(torch.randn(size, dim), dim=1)
    if form == "naive":
        return lambda: torch.autograd.grad(naive_loss(query, key, queue, n_hard, n_pairs), query)
    return lambda: torch.autograd.grad(mochi_loss(query, key, queue, n_hard, n_pairs, 0), query)


def naive_loss(query, key, queue, n_hard: int, n_pairs: int, temperature: float = 0.2):
    """Every mixture is made as a vector, normalised, and multiplied with its query."""
    import torch
    import torch.nn.functional as F

    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    scores = q @ queue.T
    hardest = scores.topk(n_hard, dim=1).indices
    first, second = (hardest.gather(1, torch.randint(n_hard, (len(q), n_pairs))) for _ in range(2))
    weight = torch.rand(len(q), n_pairs, 1)
    mixed = F.normalize(weight * queue[first] + (1 - weight) * queue[second], dim=-1).detach()
    columns = [(q * k).sum(1, keepdim=True), scores, torch.einsum("bd,bmd->bm", q, mixed)]
    logits = torch.cat(columns, dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
