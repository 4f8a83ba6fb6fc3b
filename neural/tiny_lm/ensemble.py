"""Many copies of one TinyGPT, trained in lockstep on the same batches as one batched computation.

    together = TinyGPTEnsemble(TinyGPT(vocab_size=50), models=16)
    optimizer = EnsembleAdamW(together.parameters(), learning_rates)   # one per model
    logits = together(ids)                                             # (models, batch, T, vocabulary); ids shared
    TinyGPTEnsemble.stacked_from(models)                               # or own: (models, batch, T)
    optimizer.step(losses.sum(), scale=0.5)                            # losses: one per model

Copies start equal and share nothing but the calls: each is the model that it would be alone.

Source: Loshchilov and Hutter (2019), *Decoupled weight decay regularization*, for the optimiser.
"""

import copy
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.tiny_lm.model import TinyGPT
from neural.validation import at_least, class_indices, floating, in_range, indices, positive, whole_number

__all__ = ["EnsembleAdamW", "TinyGPTEnsemble"]


class TinyGPTEnsemble(nn.Module):
    """``models`` copies of a TinyGPT (without tied weights), every parameter stacked along a first axis.

    Raises ``ValueError`` for something else than a TinyGPT, one with tied weights, or a number of models below 1.
    """

    def __init__(self, model: TinyGPT, models: int) -> None:
        super().__init__()
        if not isinstance(model, TinyGPT) or model.tokens.weight is model.head.weight:
            raise ValueError(f"model must be a TinyGPT without tied weights, got {type(model).__name__}")
        whole_number("models", models, 1)
        self.models, self.vocab_size, self.max_len = models, model.vocab_size, model.max_len
        self.blocks, self.heads = len(model.blocks), model.n_heads
        self._pattern = [copy.deepcopy(model)]  # in a list, so that its weights are not the ensemble's
        self.stacked = nn.ParameterDict(
            {
                name.replace(".", "_"): nn.Parameter(value.detach().expand(models, *value.shape).clone())
                for name, value in model.named_parameters()
            }
        )

    @classmethod
    def stacked_from(cls, models: Sequence[TinyGPT]) -> "TinyGPTEnsemble":
        """An ensemble of models that differ. Raises ``ValueError`` for none, or models of different sizes."""
        if not isinstance(models, Sequence) or not models:
            raise ValueError(f"models must be a non-empty sequence of TinyGPT, got {models!r:.60}")
        together = cls(models[0], len(models))
        shapes = {name: value.shape for name, value in models[0].named_parameters()}
        for number, model in enumerate(models):
            if not isinstance(model, TinyGPT) or {n: v.shape for n, v in model.named_parameters()} != shapes:
                raise ValueError(f"models must be TinyGPTs of one size, number {number} differs from the first")
            with torch.no_grad():
                for name, value in model.named_parameters():
                    together.stacked[name.replace(".", "_")][number] = value
        return together

    def model(self, number: int) -> TinyGPT:
        """One of the models by itself, with weights of its own. Raises ``ValueError`` for a number beyond the last."""
        whole_number("number", number, 0)
        if number >= self.models:
            raise ValueError(f"number must be below models = {self.models}, got {number}")
        alone = copy.deepcopy(self._pattern[0])
        with torch.no_grad():
            for name, value in alone.named_parameters():
                value.data = self.stacked[name.replace(".", "_")][number].detach().clone()
        return alone

    def forward(
        self, ids: Int[Tensor, "batch tokens"] | Int[Tensor, "models batch tokens"]
    ) -> Float[Tensor, "models batch tokens vocabulary"]:
        """Every model's logits, of the same texts or of its own. Raises ``ValueError`` as ``TinyGPT.forward``."""
        indices("ids", ids)
        own_texts = ids.ndim == 3 and len(ids) == self.models
        if (ids.ndim != 2 and not own_texts) or ids.numel() == 0 or ids.shape[-1] > self.max_len:
            raise ValueError(f"ids must have shape (batch ≥ 1, 1 … {self.max_len} tokens), got {tuple(ids.shape)}")
        class_indices("ids", ids.reshape(-1), ids.numel(), self.vocab_size)
        batch, length = ids.shape[-2:]
        own = torch.arange(self.models, device=ids.device)[:, None, None] * self.vocab_size + ids
        x = F.embedding(own, self.stacked["tokens_weight"].flatten(0, 1))
        x = x + self.stacked["positions_weight"][:, None, :length]
        x = x.reshape(self.models, batch * length, -1)
        for number in range(self.blocks):
            name = f"blocks_{number}_"
            qkv = self._affine(self._norm(x, name + "norm_attention"), name + "qkv")
            # Attention does not mix samples, so models and batch are one axis to it.
            q, k, v = qkv.view(self.models * batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
            x = x + self._affine(y.reshape(x.shape), name + "out")
            hidden = F.gelu(self._affine(self._norm(x, name + "norm_mlp"), name + "up"))
            x = x + self._affine(hidden, name + "down")
        logits = torch.bmm(self._norm(x, "norm"), self.stacked["head_weight"].transpose(1, 2))
        return logits.view(self.models, batch, length, -1)

    def _affine(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.stacked[name + "_weight"], self.stacked[name + "_bias"]
        return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.stacked[name + "_weight"], self.stacked[name + "_bias"]
        return torch.addcmul(bias[:, None], F.layer_norm(x, x.shape[-1:]), weight[:, None])


class EnsembleAdamW:
    """AdamW with a learning rate, and a limit of the gradient's norm, for every model of an ensemble.

    ``clip_norm`` limits the Euclidean norm of each model's gradient, as ``clip_grad_norm_`` does for one model. Weight
    decay is ``learning_rate · weight_decay`` per step. Raises ``ValueError`` for numbers out of range.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rates: Float[Tensor, " models"],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        clip_norm: float = 1.0,
    ) -> None:
        floating("learning_rates", learning_rates, 1)
        if learning_rates.device.type == "cpu" and not bool(
            (learning_rates > 0).all() & learning_rates.isfinite().all()
        ):
            raise ValueError(f"learning_rates must be finite and above 0, got {learning_rates}")
        for beta in betas:
            in_range("betas", beta, 0, 1 - 1e-9)
        positive("eps", eps)
        at_least("weight_decay", weight_decay, 0)
        positive("clip_norm", clip_norm)
        self.parameters = list(parameters)
        self.learning_rates, self.betas, self.eps = learning_rates, betas, eps
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, loss: Float[Tensor, ""], scale: float = 1.0) -> None:
        """One step along the gradient of ``loss``, the sum of the models' losses; ``scale`` multiplies the rates."""
        with torch.enable_grad():
            gradients = list(torch.autograd.grad(loss, self.parameters))
        norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
        clip = (self.clip_norm / norms.clamp_min(1e-30)).clamp_max(1.0)
        self.steps += 1
        rates = scale * self.learning_rates
        decay = 1 - rates * self.weight_decay
        size = rates / (1 - self.betas[0] ** self.steps)
        second_size = (1 - self.betas[1] ** self.steps) ** -0.5
        for p, g, first, second in zip(self.parameters, gradients, self.first, self.second, strict=True):
            each = (-1, *(1,) * (p.ndim - 1))
            g = g * clip.view(each)
            first.lerp_(g, 1 - self.betas[0])
            second.mul_(self.betas[1]).addcmul_(g, g, value=1 - self.betas[1])
            p.mul_(decay.view(each))
            p.addcdiv_(first * size.view(each), (second.sqrt() * second_size).add_(self.eps), value=-1)
