"""Cluster-aware DINO: self-distillation whose positives come from the same cluster.

A student follows a teacher that sees other crops of the same item; there are no negatives, so that none can be false.
With T teacher and V student crops and a centre that removes what the teacher says of everything,

    L = mean over crops a ≠ b of H(softmax((teacher_a − centre)/t_teacher), softmax(student_b/t_student))
    centre ← 0.9 centre + 0.1 mean teacher output, after the loss
    teacher ← m teacher + (1 − m) student, after the step

Without the centre one output takes all; with it, the teacher's lower temperature keeps outputs from becoming uniform.
Once clusters of the embeddings mean something, crops are drawn from different items of one cluster, so that the
student also learns what items of one speaker share across recordings.

    criterion = DINOLoss(outputs=256)
    partners = ClusterAwareSampler(labels).draw(anchors, crops=6, generator=generator)       # (batch, 6) items
    loss = criterion([teacher(x) for x in long_crops], [student(x) for x in long_crops + short_crops])
    loss.backward(); optimiser.step(); ema_update(teacher, student, 0.99)

Leading axes stack independent problems. ``EnsembleDINO`` holds several networks that train in lockstep.

Source: Caron, Touvron, Misra, Jégou, Mairal, Bojanowski and Joulin (2021), *Emerging Properties in Self-Supervised
Vision Transformers* (DINO); Han, Chen and Qian (2023), *Self-Supervised Learning with Cluster-Aware-DINO for
High-Performance Robust Speaker Verification*.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from neural.ensemble import EnsembleBatchNorm, EnsembleLinear
from neural.validation import (
    Reduction,
    finite_contents,
    floating,
    in_range,
    indices,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "ClusterAwareSampler",
    "DINOHead",
    "DINOLoss",
    "EnsembleDINO",
    "dino_loss",
    "ema_update",
    "ensemble_encoder",
    "updated_center",
]

Taught = Sequence[Float[Tensor, "*stack batch outputs"]] | Float[Tensor, "teacher_crops *stack batch outputs"]
Learnt = Sequence[Float[Tensor, "*stack batch outputs"]] | Float[Tensor, "student_crops *stack batch outputs"]
Center = Float[Tensor, "*stack outputs"]


def dino_loss(
    teacher_out: Taught,
    student_out: Learnt,
    center: Center,
    t_teacher: float = 0.04,
    t_student: float = 0.1,
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """Cross-entropy of student crops with the teacher's centred and sharpened other crops.

    Args:
        teacher_out: outputs of the teacher for its crops, the first of the student's crops in the same order.
        student_out: outputs of the student for all crops. Two teacher and V student crops make 2 V − 2 pairs.
        center: the centre before this batch; see ``updated_center``.
        t_teacher, t_student: temperatures; the teacher's is the lower one.
        reduction: ``"mean"`` over the batch, ``"sum"``, or ``"none"`` for a loss per item; always the mean over pairs.

    The gradient reaches the student's outputs alone. Each student crop is normalised once and no pair is formed: with
    P and log S summed over crops, the pairs are (sum P)(sum log S) less those of a crop with itself. Half precision is
    computed in float32.

    Raises ``ValueError`` for crops of different shapes, fewer than two student crops or two outputs, no pair of
    different crops, temperatures not above 0, an unknown reduction, or (on CPU) outputs that are not finite.

    >>> crop = torch.zeros(1, 4)
    >>> round(dino_loss([crop, crop], [crop, crop, crop], torch.zeros(4)).item(), 4)  # log 4: both are uniform
    1.3863
    """
    teacher, student = _stacked("teacher_out", teacher_out), _stacked("student_out", student_out)
    _check_crops(teacher, student, center)
    positive("t_teacher", t_teacher)
    positive("t_student", t_student)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    with torch.no_grad():
        p = torch.softmax((teacher - center.to(teacher.dtype)[..., None, :]) / t_teacher, dim=-1)
    log_s = torch.log_softmax(student / t_student, dim=-1)
    itself = min(len(teacher), len(student))
    pairs = len(teacher) * len(student) - itself
    everything = (p.sum(0) * log_s.sum(0)).sum(-1)
    return reduce((torch.einsum("c...k,c...k->...", p[:itself], log_s[:itself]) - everything) / pairs, reduction)


def updated_center(center: Center, teacher_out: Taught, momentum: float = 0.9) -> Center:
    """``momentum`` of the centre plus ``1 − momentum`` of the mean of the teacher's outputs over crops and batch.

    Raises ``ValueError`` for shapes that do not fit, a momentum outside [0, 1], or (on CPU) values that are not finite.
    """
    teacher = _stacked("teacher_out", teacher_out)
    _check_crops(teacher, None, center)
    in_range("momentum", momentum, 0, 1)
    return torch.lerp(teacher.detach().mean(dim=(0, -2)).to(center.dtype), center, momentum)


class DINOLoss(nn.Module):
    """``dino_loss`` with its centre: a call uses the centre of the calls before and, in training, updates it."""

    center: Tensor

    def __init__(
        self,
        outputs: int,
        t_teacher: float = 0.04,
        t_student: float = 0.1,
        center_momentum: float = 0.9,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        whole_number("outputs", outputs, 2)
        positive("t_teacher", t_teacher)
        positive("t_student", t_student)
        in_range("center_momentum", center_momentum, 0, 1)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        self.t_teacher, self.t_student, self.center_momentum = t_teacher, t_student, center_momentum
        self.reduction: Reduction = reduction
        self.register_buffer("center", torch.zeros(outputs))

    def forward(
        self,
        teacher_out: Sequence[Float[Tensor, "batch outputs"]],
        student_out: Sequence[Float[Tensor, "batch outputs"]],
        t_teacher: float | None = None,
    ) -> Float[Tensor, "..."]:
        """Loss of a batch; ``t_teacher`` overrides the temperature, for a warm-up of it."""
        temperature = self.t_teacher if t_teacher is None else t_teacher
        loss = dino_loss(teacher_out, student_out, self.center, temperature, self.t_student, reduction=self.reduction)
        if self.training:
            self.center.copy_(updated_center(self.center, teacher_out, self.center_momentum))
        return loss


class DINOHead(nn.Module):
    """Linear–GELU–Linear–GELU–Linear, unit vectors, and cosines with ``outputs`` learnt directions."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 256, bottleneck: int = 64) -> None:
        super().__init__()
        for name, number, least in (
            ("inputs", inputs, 1), ("outputs", outputs, 2), ("hidden", hidden, 1), ("bottleneck", bottleneck, 1)
        ):  # fmt: skip
            whole_number(name, number, least)
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        self.directions: nn.Module = weight_norm(nn.Linear(bottleneck, outputs, bias=False))
        # The length of a direction would only compete with the temperature.
        lengths = self.directions.get_parameter("parametrizations.weight.original0")
        nn.init.ones_(lengths).requires_grad_(False)

    def forward(self, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        return self.directions(F.normalize(self.layers(x), dim=-1))


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, m: float) -> None:
    """Move the teacher's parameters to ``m`` of themselves plus ``1 − m`` of the student's; copy the buffers.

    Running statistics belong to the student's weights, and counters have no mean. Raises ``ValueError`` for an ``m``
    outside [0, 1] or networks of different architecture.
    """
    in_range("m", m, 0, 1)
    for kind in ("parameters", "buffers"):
        pairs = list(getattr(teacher, kind)()), list(getattr(student, kind)())
        if [each.shape for each in pairs[0]] != [each.shape for each in pairs[1]]:
            raise ValueError(f"teacher must have the {kind} of student, got other numbers or shapes")
        for followed, leader in zip(*pairs, strict=True):
            followed.lerp_(leader, 1 - m) if kind == "parameters" else followed.copy_(leader)


class ClusterAwareSampler:
    """For an anchor, further items of its cluster; with every item a cluster of its own it is DINO's sampling.

    Raises ``ValueError`` for labels that are not whole numbers of at least 0, one per item.
    """

    def __init__(self, labels: Int[Tensor, "*stack items"]) -> None:
        indices("labels", labels)
        if labels.ndim == 0 or labels.numel() == 0:
            raise ValueError(f"labels must hold an element per item, got shape {tuple(labels.shape)}")
        if labels.device.type == "cpu" and int(labels.min()) < 0:
            raise ValueError(f"labels must be at least 0, got {int(labels.min())}")
        self.labels = labels
        # Members of a cluster stand side by side in this order.
        self._order = labels.argsort(dim=-1, stable=True)
        ordered = labels.gather(-1, self._order).contiguous()
        self._first = torch.searchsorted(ordered, labels.contiguous())
        self._size = torch.searchsorted(ordered, labels.contiguous(), right=True) - self._first

    def draw(
        self, anchors: Int[Tensor, " batch"], crops: int, generator: torch.Generator | None = None
    ) -> Int[Tensor, "*stack batch crops"]:
        """The anchor itself, then ``crops − 1`` items of its cluster, with replacement; the same draws for every stack.

        Raises ``ValueError`` for anchors that are not items or fewer than two crops.
        """
        indices("anchors", anchors)
        whole_number("crops", crops, 2)
        items = self.labels.shape[-1]
        if anchors.ndim != 1 or len(anchors) == 0:
            raise ValueError(f"anchors must be a non-empty vector, got shape {tuple(anchors.shape)}")
        if anchors.device.type == "cpu" and (int(anchors.min()) < 0 or int(anchors.max()) >= items):
            raise ValueError(f"anchors must be in 0 … {items - 1}, got {int(anchors.min())} … {int(anchors.max())}")
        uniform = torch.rand(len(anchors), crops - 1, generator=generator, device=anchors.device)
        size, first = self._size[..., anchors, None], self._first[..., anchors, None]
        places = first + (uniform * size).long().minimum(size - 1)
        partners = self._order.gather(-1, places.flatten(-2)).unflatten(-1, places.shape[-2:])
        return torch.cat([anchors[:, None].expand(*partners.shape[:-1], 1), partners], dim=-1)


def ensemble_encoder(models: int, inputs: int, width: int, dim: int, *, generator: torch.Generator) -> nn.Sequential:
    """Perceptrons with a hidden layer and batch normalisation, all equal at the start.

    Raises ``ValueError`` for whole numbers below 1.
    """
    for name, number in (("models", models), ("inputs", inputs), ("width", width), ("dim", dim)):
        whole_number(name, number, 1)
    return nn.Sequential(
        EnsembleLinear(models, inputs, width, generator),
        EnsembleBatchNorm(models, width, generator.device),
        nn.ReLU(),
        EnsembleLinear(models, width, dim, generator),
    )


class EnsembleDINO(nn.Module):
    """Encoders (``ensemble_encoder``) with DINO heads; all models start equal.

    ``forward`` returns outputs, ``embed`` the encoder's embeddings. Raises ``ValueError`` for fewer than one model,
    input or unit, or fewer than two outputs.
    """

    def __init__(
        self, models: int, inputs: int, outputs: int, *, generator: torch.Generator, width: int = 128, dim: int = 64,
        bottleneck: int = 32,
    ) -> None:  # fmt: skip
        super().__init__()
        whole_number("outputs", outputs, 2)
        whole_number("bottleneck", bottleneck, 1)
        self.models, self.outputs = models, outputs
        self.encoder = ensemble_encoder(models, inputs, width, dim, generator=generator)
        self.head = nn.Sequential(
            EnsembleLinear(models, dim, dim, generator), nn.GELU(), EnsembleLinear(models, dim, dim, generator),
            nn.GELU(), EnsembleLinear(models, dim, bottleneck, generator),
        )  # fmt: skip
        self.directions = nn.Parameter(EnsembleLinear(models, bottleneck, outputs, generator).weight.detach())

    def embed(self, x: Float[Tensor, "models batch inputs"]) -> Float[Tensor, "models batch dim"]:
        """What verification compares."""
        return self.encoder(x)

    def forward(self, x: Float[Tensor, "models batch inputs"]) -> Float[Tensor, "models batch outputs"]:
        return torch.bmm(F.normalize(self.head(self.encoder(x)), dim=-1), F.normalize(self.directions, dim=1))


def _stacked(name: str, crops: Taught | Learnt) -> Tensor:
    """Crops along a first axis, in float32 at least."""
    if not isinstance(crops, Tensor):
        if not isinstance(crops, Sequence) or not crops or not all(isinstance(crop, Tensor) for crop in crops):
            raise ValueError(f"{name} must be a tensor or a non-empty sequence of tensors, got {type(crops).__name__}")
        if len({(crop.shape, crop.dtype) for crop in crops}) > 1:
            raise ValueError(f"{name} must hold crops of one shape, got {[tuple(crop.shape) for crop in crops]}")
        crops = torch.stack(list(crops))
    floating(name, crops)
    if crops.ndim < 3 or crops.shape[-1] < 2:
        raise ValueError(f"{name} must hold (…, batch, outputs) with 2 outputs at least, got {tuple(crops.shape)}")
    finite_contents(name, crops)
    return crops if crops.dtype == torch.float64 else crops.float()


def _check_crops(teacher: Tensor, student: Tensor | None, center: Tensor) -> None:
    floating("center", center)
    finite_contents("center", center)
    if center.shape != (*teacher.shape[1:-2], teacher.shape[-1]):
        expected = (*teacher.shape[1:-2], teacher.shape[-1])
        raise ValueError(f"center must have shape {expected}, got {tuple(center.shape)}")
    if student is None:
        return
    if teacher.shape[1:] != student.shape[1:]:
        raise ValueError(
            f"teacher_out and student_out must agree in batch and outputs, got crops of {tuple(teacher.shape[1:])} "
            f"and {tuple(student.shape[1:])}"
        )
    if len(student) < 2 or len(teacher) * len(student) == min(len(teacher), len(student)):
        raise ValueError(f"student_out must hold at least 2 crops, got {len(student)}")
