"""Contrastive pre-training against a memory queue whose keys come from a slowly following encoder (MoCo).

Queries are the trained encoder's projections of one view; keys are those of the other view by an encoder whose
weights follow as a running mean. Past keys wait in a queue and serve as negatives. Several encoders are trained at
once on the same views, each with a queue of its own.

    models = EncoderEnsemble(3, generator=generator)
    pretrain_with_queue(models, data.train, loss, views=Views(), batch_size=64, queue_size=512, steps=400, ...)

Source: He, Fan, Wu, Xie and Girshick (2020), *Momentum Contrast for Unsupervised Visual Representation Learning*.
"""

import copy
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.contrastive.images import Views
from neural.contrastive.pretrain import EncoderEnsemble
from neural.contrastive.similarity import unit_rows
from neural.ensemble import EnsembleSGD
from neural.validation import finite_contents, floating, in_range, indices, whole_number

__all__ = ["MemoryQueue", "QueueLoss", "follow", "pretrain_with_queue"]

_VIEWS_AT_ONCE = 2**15


class MemoryQueue:
    """The newest ``size`` keys of every model, as unit rows in a ring, and the image that each is of.

    Starts with random unit rows of no image (owner −1). Raises ``ValueError`` for whole numbers below 1.
    """

    def __init__(self, models: int, size: int, dim: int, *, generator: torch.Generator) -> None:
        for name, number in (("models", models), ("size", size), ("dim", dim)):
            whole_number(name, number, 1)
        device = generator.device
        self.rows = unit_rows(torch.randn(models, size, dim, generator=generator, device=device))
        self.owners = torch.full((size,), -1, dtype=torch.long, device=device)
        self._ages = torch.arange(size, device=device)
        self._next = 0

    def push(self, keys: Float[Tensor, "models batch dim"], owners: Int[Tensor, " batch"]) -> None:
        """Put the newest keys (normalised here) in the place of the oldest.

        Raises ``ValueError`` for keys of other models or dimensions, more than the queue holds, or owners that are
        not as many whole numbers.
        """
        floating("keys", keys, 3)
        finite_contents("keys", keys)
        indices("owners", owners)
        models, size, dim = self.rows.shape
        if keys.shape[0] != models or keys.shape[2] != dim or keys.shape[1] > size:
            raise ValueError(
                f"keys must have shape ({models}, at most {size}, {dim}) as the queue has, got {tuple(keys.shape)}"
            )
        if owners.shape != keys.shape[1:2]:
            raise ValueError(f"owners must have {keys.shape[1]} elements, one per key, got shape {tuple(owners.shape)}")
        places = (self._next + torch.arange(keys.shape[1], device=self.rows.device)) % size
        self.rows[:, places] = unit_rows(keys.detach()).to(self.rows.dtype)
        self.owners[places] = owners
        self._next = (self._next + keys.shape[1]) % size
        self._ages = (self._next - 1 - torch.arange(size, device=self.rows.device)) % size

    def newest(self, count: int) -> Bool[Tensor, " size"]:
        """Marks the ``count`` newest rows. Raises ``ValueError`` for a count outside 1 … size."""
        whole_number("count", count, 1)
        if count > len(self.owners):
            raise ValueError(f"count must be at most the queue's {len(self.owners)} rows, got {count}")
        return self._ages < count


QueueLoss = Callable[
    [Float[Tensor, "models batch dim"], Float[Tensor, "models batch dim"], MemoryQueue, Int[Tensor, " batch"], int],
    Float[Tensor, " models"],
]
"""Losses of all models from queries, keys, the queue, the images that the queries are of, and the step's number."""


@torch.no_grad()
def follow(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """Move every parameter of ``follower`` to ``momentum`` of itself plus ``1 − momentum`` of the leader's.

    Running statistics are the follower's own. Raises ``ValueError`` for a momentum outside [0, 1].
    """
    in_range("momentum", momentum, 0, 1)
    for followed, parameter in zip(follower.parameters(), leader.parameters(), strict=True):
        followed.lerp_(parameter, 1 - momentum)


def pretrain_with_queue(
    models: EncoderEnsemble,
    images: Float[Tensor, "samples pixels"],
    loss: QueueLoss,
    *,
    views: Views,
    batch_size: int,
    queue_size: int,
    steps: int,
    learning_rate: float | Float[Tensor, " models"],
    generator: torch.Generator,
    encoder_momentum: float = 0.95,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
) -> None:
    """Train all models in place against a queue of the keys of past steps; leaves them in evaluation mode.

    A step's own keys join the queue after it. An image may be in the queue more than once: the loss must leave
    out what belongs to the query's own image, ``queue.owners``. Raises ``ValueError`` for a batch of fewer than two
    images or more than there are or than the queue holds, and for numbers out of range.
    """
    floating("images", images, 2)
    finite_contents("images", images)
    whole_number("batch_size", batch_size, 2)
    whole_number("queue_size", queue_size, 1)
    whole_number("steps", steps, 0)
    in_range("encoder_momentum", encoder_momentum, 0, 1)
    if batch_size > min(len(images), queue_size):
        raise ValueError(
            f"batch_size must be at most the {len(images)} images and queue_size = {queue_size}, got {batch_size}"
        )
    key_models = copy.deepcopy(models).train()
    models.train()
    dim = list(models.projector.parameters())[-1].shape[-1]
    queue = MemoryQueue(models.models, queue_size, dim, generator=generator)
    optimiser = EnsembleSGD(models.parameters(), learning_rate, momentum, weight_decay)
    at_once = max(1, _VIEWS_AT_ONCE // batch_size)
    for start in range(0, steps, at_once):
        chosen = _batches(len(images), batch_size, min(at_once, steps - start), generator)
        first, second = views(images[chosen.flatten()], generator), views(images[chosen.flatten()], generator)
        for step, (owners, x1, x2) in enumerate(
            zip(chosen, first.split(batch_size), second.split(batch_size), strict=True), start
        ):
            with torch.no_grad():
                keys = unit_rows(key_models(x2)[1])
            optimiser.step(loss(unit_rows(models(x1)[1]), keys, queue, owners, step).sum())
            follow(key_models, models, encoder_momentum)
            queue.push(keys, owners)
    models.eval()


def _batches(samples: int, batch_size: int, count: int, generator: torch.Generator) -> Int[Tensor, "count batch"]:
    """Batches along random permutations, so that none holds an image twice."""
    per_pass = samples // batch_size
    passes = -(-count // per_pass)
    orders = [
        torch.randperm(samples, generator=generator, device=generator.device)[: per_pass * batch_size]
        for _ in range(passes)
    ]
    return torch.cat(orders).reshape(-1, batch_size)[:count]
