"""Calls whose cost is measured: each function puts everything in place and returns the call."""

from collections.abc import Callable


def allocation(mebibytes: int) -> Callable[[], object]:
    """A call that touches this much memory."""
    return lambda: bytearray(mebibytes * 2**20).count(1)


def contrastive_pass(samples: int, dim: int, loss: str, chunk_size: int | None = None) -> Callable[[], object]:
    """Forward and backward pass of a loss on two random views."""
    import torch

    from neural.contrastive import dcl

    z1, z2 = (torch.randn(samples, dim, requires_grad=True) for _ in range(2))
    if loss == "naive":
        return lambda: torch.autograd.grad(naive_dcl(z1, z2), (z1, z2))
    function = {"dcl": dcl.dcl_loss, "info_nce": dcl.info_nce_loss}[loss]
    return lambda: torch.autograd.grad(function(z1, z2, 0.1, chunk_size=chunk_size), (z1, z2))


def naive_dcl(z1, z2, temperature: float = 0.1):
    """DCL as it is usually written: four similarity matrices, negatives picked out and concatenated."""
    import torch
    import torch.nn.functional as F

    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    others = ~torch.eye(len(u1), dtype=torch.bool)
    losses = []
    for a, b in ((u1, u2), (u2, u1)):
        across, within = a @ b.T / temperature, a @ a.T / temperature
        negatives = torch.cat([m[others].reshape(len(a), -1) for m in (within, across)], dim=1)
        losses.append(torch.logsumexp(negatives, dim=1) - across.diagonal())
    return torch.stack(losses).mean()


def peer_pass(samples: int, dim: int, package: str, loss: str) -> Callable[[], object]:
    """Forward and backward pass of a package's contrastive loss on the views that ``contrastive_pass`` takes."""
    import torch

    z1, z2 = (torch.randn(samples, dim, requires_grad=True) for _ in range(2))
    function = peer_loss(package, loss)
    return lambda: torch.autograd.grad(function(z1, z2), (z1, z2))


def peer_loss(package: str, loss: str, temperature: float = 0.1):
    """A package's NT-Xent or DCL as a function of two views."""
    import torch

    if package == "lightly":
        from tests.benchmarks.peers import lightly_losses

        losses = lightly_losses()
        return {"info_nce": losses.NTXentLoss, "dcl": losses.DCLLoss}[loss](temperature)
    from pytorch_metric_learning.losses import NTXentLoss

    pairs = NTXentLoss(temperature)
    return lambda z1, z2: pairs(torch.cat([z1, z2]), torch.arange(len(z1)).repeat(2))
