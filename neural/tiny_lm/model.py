"""A transformer that one can read in a minute and train in seconds.

Token and position embeddings, pre-norm blocks of causal attention and a fourfold GELU layer, a last norm, a linear head
without bias; no dropout. With ``d_model = 64`` and one block it has some 70,000 parameters.

    model = TinyGPT(vocab_size=50)
    logits = model(ids)                                      # (batch, T, vocabulary)
    caches = [{} for _ in model.blocks]                      # for sampling: keys and values of what has been read
    logits = model(prompt, caches); logits = model(token, caches, pos0=prompt.shape[1])

Source: Radford, Wu, Child, Luan, Amodei and Sutskever (2019), *Language models are unsupervised multitask learners*,
for the architecture. Initial values are chosen for training fast at this size.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.validation import class_indices, indices, whole_number

__all__ = ["LogitsOutput", "TinyGPT", "WithLogits"]

Cache = dict[str, Tensor]


class TinyGPT(nn.Module):
    """A causal language model of ids below ``vocab_size``, on at most ``max_len`` tokens.

    ``tie`` shares the token embedding with the head. Weights are drawn from torch's global generator: token embeddings
    N(0, 0.5²), positions N(0, 0.1²), layers N(0, 1/inputs), the head N(0, 0.02²), which a tied one takes over. Raises
    ``ValueError`` for sizes below 1 (a vocabulary below 2) or a width that ``n_heads`` does not divide.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 64,
        n_layers: int = 1,
        n_heads: int = 4,
        max_len: int = 64,
        tie: bool = False,
    ) -> None:
        super().__init__()
        for name, value, minimum in (
            ("vocab_size", vocab_size, 2), ("d_model", d_model, 1), ("n_layers", n_layers, 1), ("n_heads", n_heads, 1),
            ("max_len", max_len, 1),
        ):  # fmt: skip
            whole_number(name, value, minimum)
        if d_model % n_heads:
            raise ValueError(f"n_heads must divide d_model = {d_model}, got {n_heads}")
        self.vocab_size, self.n_heads, self.max_len = vocab_size, n_heads, max_len
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Embedding(max_len, d_model)
        self.blocks = nn.ModuleList(_Block(d_model, n_heads) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.5)
        nn.init.normal_(self.positions.weight, std=0.1)
        nn.init.normal_(self.head.weight, std=0.02)
        if tie:
            self.tokens.weight = self.head.weight

    def forward(
        self, ids: Int[Tensor, "batch tokens"], caches: list[Cache] | None = None, pos0: int = 0
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of the token after each.

        ``caches``, one dict per block, empty at first, keep keys and values: ids then continue what they hold, from
        position ``pos0``. Raises ``ValueError`` for ids that are not whole numbers of shape (batch, tokens), for a text
        beyond ``max_len``, a wrong number of caches, or (on CPU) ids outside the vocabulary.
        """
        indices("ids", ids)
        if ids.ndim != 2 or ids.numel() == 0:
            raise ValueError(f"ids must have shape (batch ≥ 1, tokens ≥ 1), got {tuple(ids.shape)}")
        whole_number("pos0", pos0, 0)
        if pos0 + ids.shape[1] > self.max_len:
            raise ValueError(f"ids must end within max_len = {self.max_len}, got {ids.shape[1]} from pos0 = {pos0}")
        if caches is not None and (not isinstance(caches, list) or len(caches) != len(self.blocks)):
            raise ValueError(f"caches must be a list of {len(self.blocks)} dicts, one per block, got {caches!r:.60}")
        class_indices("ids", ids.reshape(-1), ids.numel(), self.vocab_size)
        x = self.tokens(ids) + self.positions.weight[pos0 : pos0 + ids.shape[1]]
        for number, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[number])
        return self.head(self.norm(x))


@dataclass(frozen=True)
class LogitsOutput:
    """What a Hugging Face model returns, as far as it is needed here."""

    logits: Tensor


class WithLogits(nn.Module):
    """A TinyGPT in the place of a Hugging Face model: ``model(input_ids=…, attention_mask=…).logits``.

    Padding has to be on the right, where a causal model does not see it. Raises ``ValueError`` for a mask of another
    shape or (on CPU) with padding before a token.
    """

    def __init__(self, model: TinyGPT) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise ValueError(f"model must be a module, got {type(model).__name__}")
        self.model = model

    def forward(
        self,
        input_ids: Int[Tensor, "batch tokens"],
        attention_mask: Int[Tensor, "batch tokens"] | Bool[Tensor, "batch tokens"] | None = None,
    ) -> LogitsOutput:
        indices("input_ids", input_ids)
        if input_ids.ndim != 2 or input_ids.numel() == 0:
            raise ValueError(f"input_ids must have shape (batch ≥ 1, tokens ≥ 1), got {tuple(input_ids.shape)}")
        class_indices("input_ids", input_ids.reshape(-1), input_ids.numel(), self.model.vocab_size)
        if attention_mask is not None:
            _check_padding(attention_mask, input_ids)
        return LogitsOutput(self.model(input_ids))


class _Block(nn.Module):
    """Attention and a two-layer perceptron, each on normalised inputs beside a shortcut."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.up, self.down = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)
        for layer in (self.qkv, self.out, self.up, self.down):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        x = x + self._attention(self.norm_attention(x), cache)
        return x + self.down(F.gelu(self.up(self.norm_mlp(x))))

    def _attention(self, x: Tensor, cache: Cache | None) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        seen = 0
        if cache is not None:
            if cache:
                seen = cache["k"].shape[2]
                k, v = torch.cat([cache["k"], k], dim=2), torch.cat([cache["v"], v], dim=2)
            cache["k"], cache["v"] = k, v
        # is_causal aligns at the first key, so it is right only if nothing came before; one query sees everything.
        mask = None
        if seen and tokens > 1:
            mask = torch.ones(tokens, seen + tokens, dtype=torch.bool, device=x.device).tril(seen)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=not seen and tokens > 1)
        return self.out(y.transpose(1, 2).reshape(batch, tokens, width))


def _check_padding(mask: Tensor, ids: Tensor) -> None:
    if not isinstance(mask, Tensor) or mask.shape != ids.shape or mask.is_floating_point() or mask.is_complex():
        got = f"{mask.dtype} of {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"attention_mask must hold whole numbers in the shape of input_ids, {tuple(ids.shape)}, got {got}"
        )
    if mask.device.type == "cpu":
        if bool(((mask != 0) & (mask != 1)).any()):
            raise ValueError("attention_mask must consist of 0 and 1")
        if bool((mask.long().diff(dim=1) > 0).any()):
            raise ValueError("attention_mask must have its padding on the right")
