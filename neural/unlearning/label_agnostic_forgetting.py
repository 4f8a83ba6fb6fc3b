"""Label-agnostic forgetting (LAF): a classifier unlearns data by its representations alone, without any labels.

    laf = LAF(model, extractor, classifier, unlearning_rate=5e-4, alignment_rate=1e-3)  # model = classifier ∘ extractor
    laf.fit(x_forget, x_remain)              # no labels
    laf.repair(x_few, y_few)                 # optional (LAF+R): the classifier alone, on a few labelled points
    laf.model                                # the unlearned copy; the model that was given stays as it is

Two small VAEs learn the original embeddings: h those of all data (which stand for the remaining ones), h_f those of the
data to forget. Then, batch by batch, with e = extractor(x), t the original embedding and 1 − cos = 1 − cos(e, t),

    L_UE = sum_remain phi(||h(e) − e||²) − sum_forget phi(||h_f(e) − e||²),          phi(u) = exp(u/(u + 1)) in [1, e)
    L_RA = sum_remain (1 − cos) − B_r log sum_forget exp((1 − cos)/tau)              one Adam step on each, in turn

Remaining data stay where the untouched classifier expects them, data to forget leave their distribution. At the
original model the gradient of L_RA is 0, as all cosines are at their maximum: a saddle that L_UE (or rounding, which
Adam magnifies) leaves.

All losses take embeddings with leading axes for the models of an ensemble, (models, batch, dim), and return a loss for
each; an ``extractor`` that maps (models, batch, …) to such embeddings is unlearned in lockstep, each model as it would
be alone. ``distil_bad_teacher`` is another method without labels, to compare with.

Source: Shen, Zhang, Zhao, Bialkowski, Chen and Xu (2024), *Label-Agnostic Forgetting: A Supervision-Free Unlearning in
Deep Models*, and its published code, for sums instead of means, the KL weight and h on all data. Its decoder ends in a
sigmoid; as embeddings need not lie in (0, 1), the output is linear here unless ``sigmoid_output`` is set. Chundawat,
Tarun, Mandal and Kankanhalli (2023), *Can bad teaching induce forgetting?*, for the bad teacher. Closed forms and
bounds: ``theory.unlearning.label_agnostic_forgetting``.
"""

import copy
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.ensemble import EnsembleLinear
from neural.tiny_lm.ensemble import EnsembleAdamW
from neural.unlearning.unlearning_methods import untrained
from neural.validation import at_least, class_indices, finite_contents, floating, indices, positive, whole_number

__all__ = [
    "LAF",
    "PassLosses",
    "Reconstruction",
    "RepresentationVAE",
    "bounded_reconstruction_penalty",
    "distil_bad_teacher",
    "extractor_unlearning_loss",
    "representation_alignment_loss",
    "vae_loss",
]

Embeddings = Float[Tensor, "*models batch dim"]
Latents = Float[Tensor, "*models batch latent"]
Losses = Float[Tensor, "*models"]


class Reconstruction(NamedTuple):
    """What a VAE makes of embeddings: ``recon`` like them, ``mu`` and ``sigma`` (…, batch, latent)."""

    recon: Tensor
    mu: Tensor
    sigma: Tensor


class PassLosses(NamedTuple):
    """Means over one pass of L_UE and L_RA per batch, one for every model of an ensemble; NaN for a step left out."""

    extractor: Tensor
    alignment: Tensor


# losses -------------------------------------------------------------------------------------------


def vae_loss(x: Embeddings, recon: Embeddings, mu: Latents, sigma: Latents, kl_weight: float = 0.025) -> Losses:
    """``mean_batch ||recon − x||² + kl_weight KL``, KL = mean_batch −½ sum_latent (log sigma² + 1 − mu² − sigma²).

    Raises ``ValueError`` for tensors that are empty, do not fit or (on CPU) are not finite, sigma not above 0, and a
    negative weight.

    >>> zero, one = torch.zeros(4, 3), torch.ones(4, 3)
    >>> float(vae_loss(zero, one, zero, one)), float(vae_loss(zero, zero, one, one, kl_weight=2.0))
    (3.0, 3.0)
    """
    _same_embeddings("recon", recon, "x", x)
    _same_embeddings("sigma", sigma, "mu", mu)
    if mu.shape[:-1] != x.shape[:-1]:
        raise ValueError(f"mu must have the batch of x, shape {(*x.shape[:-1], 'latent')}, got {tuple(mu.shape)}")
    if sigma.device.type == "cpu" and float(sigma.detach().min()) <= 0:
        raise ValueError(f"sigma must be above 0, got {float(sigma.detach().min()):g}")
    at_least("kl_weight", kl_weight, 0)
    error = (recon - x).square().sum(-1).mean(-1)
    kl = 0.5 * (mu.square() + sigma.square() - 1 - 2 * sigma.log()).sum(-1).mean(-1)
    return error + kl_weight * kl


def bounded_reconstruction_penalty(recon: Embeddings, e: Embeddings) -> Losses:
    """``sum_batch phi(||recon − e||²)`` with phi(u) = exp(u/(u + 1)): from the batch's size up to e times that.

    phi is increasing, concave and flat for large u, where its derivative phi/(1 + u)² goes to 0: data that are already
    reconstructed badly pull no more. Raises ``ValueError`` for tensors that are empty, differ in shape or (on CPU) are
    not finite.

    >>> e = torch.zeros(2, 3)
    >>> round(float(bounded_reconstruction_penalty(e, e)), 4), round(float(bounded_reconstruction_penalty(e + 1, e)), 4)
    (2.0, 4.234)
    """
    _same_embeddings("recon", recon, "e", e)
    return _penalty(recon, e)


def extractor_unlearning_loss(
    e_r: Float[Tensor, "*models remain dim"],
    recon_r: Float[Tensor, "*models remain dim"],
    e_f: Float[Tensor, "*models forget dim"],
    recon_f: Float[Tensor, "*models forget dim"],
) -> Losses:
    """``L_UE = sum_remain phi(||recon_r − e_r||²) − sum_forget phi(||recon_f − e_f||²)``.

    Between B_r − e B_f and e B_r − B_f: for equal batches its size stays below B (e − 1). Raises ``ValueError`` as
    ``bounded_reconstruction_penalty``, and for embeddings of different width.

    >>> near, far = torch.zeros(2, 3), torch.full((2, 3), 10.0)
    >>> -2 * (math.e - 1) < float(extractor_unlearning_loss(near, near, near, far)) < -3.4
    True
    """
    _same_embeddings("recon_r", recon_r, "e_r", e_r)
    _same_embeddings("recon_f", recon_f, "e_f", e_f)
    _same_width("e_f", e_f, "e_r", e_r)
    return _penalty(recon_r, e_r) - _penalty(recon_f, e_f)


def representation_alignment_loss(
    e_r: Float[Tensor, "*models remain dim"],
    t_r: Float[Tensor, "*models remain dim"],
    e_f: Float[Tensor, "*models forget dim"],
    t_f: Float[Tensor, "*models forget dim"],
    temperature: float,
) -> Losses:
    """``L_RA = sum_i [c_i − log sum_j exp(k_j/tau)]``, c = 1 − cos(e_r, t_r) and k = 1 − cos(e_f, t_f) in [0, 2].

    ``t``: original embeddings of the same points; no gradient goes there. Norms are at least 1e-8, so that an embedding
    of norm 0 has c = 1. Raises ``ValueError`` for tensors that are empty, do not fit, differ in width or (on CPU) are
    not finite, and for a temperature not above 0.

    >>> e = torch.eye(2)
    >>> round(float(representation_alignment_loss(e, e, e, -e, temperature=2.0)), 4)     # −2 log(2 exp(2/2))
    -3.3863
    """
    _same_embeddings("t_r", t_r, "e_r", e_r)
    _same_embeddings("t_f", t_f, "e_f", e_f)
    _same_width("e_f", e_f, "e_r", e_r)
    positive("temperature", temperature)
    c, k = _cosine_distance(e_r, t_r), _cosine_distance(e_f, t_f)
    return c.sum(-1) - c.shape[-1] * torch.logsumexp(k / temperature, -1)


# models -------------------------------------------------------------------------------------------


class RepresentationVAE(nn.Module):
    """A VAE of embeddings: dim → hidden → latent → hidden reversed → dim, ReLU between, a normal law on the latents.

    Args:
        dim: width of the embeddings.
        latent: dimensions of z.
        hidden: widths between.
        sigmoid_output: end in a sigmoid, for embeddings in (0, 1).
        models: as many VAEs in lockstep, for embeddings (models, batch, dim). All start equal.
        seed: of the weights at the start.

    Raises ``ValueError`` for numbers below 1, or a negative seed.

    >>> vae = RepresentationVAE(dim=6, latent=2)
    >>> recon, mu, sigma = vae(torch.randn(5, 6))
    >>> recon.shape, mu.shape
    (torch.Size([5, 6]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        dim: int,
        latent: int = 8,
        hidden: tuple[int, ...] = (128, 32),
        sigmoid_output: bool = False,
        *,
        models: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, number, least in (("dim", dim, 1), ("latent", latent, 1), ("models", models, 1), ("seed", seed, 0)):
            whole_number(name, number, least)
        if not isinstance(hidden, tuple) or not hidden:
            raise ValueError(f"hidden must be a tuple of widths, got {hidden!r}")
        for width in hidden:
            whole_number("hidden", width, 1)
        generator = torch.Generator().manual_seed(seed)
        self.dim, self.latent, self.models, self.sigmoid_output = dim, latent, models, sigmoid_output

        def layers(*widths: int) -> nn.ModuleList:
            return nn.ModuleList(EnsembleLinear(models, a, b, generator) for a, b in pairwise(widths))

        self.encoder = layers(dim, *hidden, 2 * latent)
        self.decoder = layers(latent, *reversed(hidden), dim)

    def forward(self, e: Embeddings, generator: torch.Generator | None = None) -> Reconstruction:
        """Reconstruct embeddings through one draw of z per point; the models of an ensemble share the draws.

        Raises ``ValueError`` for embeddings that are empty, of another width, of other models or (on CPU) not finite.
        """
        self._check("e", e)
        stacked = e if e.ndim == 3 else e[None]
        mu, log_variance = _through(self.encoder, stacked).chunk(2, -1)
        sigma = (0.5 * log_variance).exp()
        noise = torch.randn(mu.shape[1:], generator=generator, device=e.device, dtype=e.dtype)
        recon = _through(self.decoder, mu + sigma * noise)
        recon = recon.sigmoid() if self.sigmoid_output else recon
        return Reconstruction(*(each.reshape(*e.shape[:-1], -1) for each in (recon, mu, sigma)))

    def fit(
        self,
        e: Embeddings,
        *,
        epochs: int = 10,
        learning_rate: float = 1e-3,
        batch_size: int = 32,
        kl_weight: float = 0.025,
        seed: int = 0,
    ) -> "RepresentationVAE":
        """Minimise ``vae_loss`` on embeddings with Adam; returns itself.

        Raises ``ValueError`` for embeddings that do not fit or (on CPU) are not finite, and numbers out of range.
        """
        self._check("e", e)
        for name, number, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
            whole_number(name, number, least)
        positive("learning_rate", learning_rate)
        at_least("kl_weight", kl_weight, 0)
        e, order = e.detach(), torch.Generator().manual_seed(seed)
        generator = torch.Generator(e.device).manual_seed(seed)
        optimizer = torch.optim.Adam(self.parameters(), learning_rate, fused=True)
        for _ in range(epochs):
            for rows in _batches(e.shape[-2], batch_size, order, e.device):
                batch = e.index_select(-2, rows)
                recon, mu, sigma = self(batch, generator)
                _step(optimizer, vae_loss(batch, recon, mu, sigma, kl_weight))
        optimizer.zero_grad()
        return self

    def _check(self, name: str, e: Tensor) -> None:
        floating(name, e)
        finite_contents(name, e)
        if e.shape[-1] != self.dim or e.ndim not in (2, 3) or (e.shape[0] if e.ndim == 3 else 1) != self.models:
            wanted = ("models", "batch", self.dim) if self.models > 1 else ("batch", self.dim)
            raise ValueError(f"{name} must have shape {wanted} for {self.models} models, got {tuple(e.shape)}")


class LAF:
    """Label-agnostic forgetting of a model that is ``classifier(extractor(x))``.

    Args:
        model: the classifier to unlearn, a module that contains the other two. It stays as it is.
        extractor: its part that maps inputs to embeddings (batch, dim), or (models, batch, dim) for an ensemble.
        classifier: its part that maps embeddings to logits; only ``repair`` changes it.
        latent: width of the VAEs' latents; ``hidden`` and ``sigmoid_output`` as in ``RepresentationVAE``.
        vae_epochs: passes of the VAEs over their embeddings, with ``vae_learning_rate`` and ``kl_weight``.
        passes: passes over the data to forget (batches of remaining data are drawn beside them; whichever ends first
            ends the pass).
        batch_size: of both. Losses are sums: it scales the gradients, though hardly Adam's steps.
        unlearning_rate: Adam's learning rate for L_UE; 0 leaves that step out. For an ensemble also one per model.
        alignment_rate: that for L_RA; 0 leaves that step out. For an ensemble also one per model.
        temperature: tau of L_RA.
        seed: of the VAEs, their draws, and the order of batches.

    After ``fit``: ``model``, ``extractor``, ``classifier`` (unlearned copies), ``vaes`` (h, h_f) and ``history`` (one
    ``PassLosses`` per pass). Batch normalisation keeps its running statistics and dropout is off throughout, so that
    student and teacher differ by their weights alone. Raises ``ValueError`` for numbers out of range, or
    parts that are not the model's.

    >>> extractor, classifier = nn.Linear(4, 6), nn.Linear(6, 3)
    >>> laf = LAF(nn.Sequential(extractor, classifier), extractor, classifier, passes=2)
    >>> laf.fit(torch.randn(8, 4), torch.randn(20, 4)).repair(torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]))
    ... # doctest: +ELLIPSIS
    <...LAF object at ...>
    """

    def __init__(
        self,
        model: nn.Module,
        extractor: nn.Module,
        classifier: nn.Module,
        *,
        latent: int = 8,
        hidden: tuple[int, ...] = (128, 32),
        sigmoid_output: bool = False,
        vae_epochs: int = 10,
        vae_learning_rate: float = 1e-3,
        kl_weight: float = 0.025,
        passes: int = 20,
        batch_size: int = 32,
        unlearning_rate: float | Float[Tensor, " models"] = 5e-5,
        alignment_rate: float | Float[Tensor, " models"] = 1e-4,
        temperature: float = 20.0,
        seed: int = 0,
    ) -> None:
        inside = {id(part) for part in model.modules()}
        for name, part in (("extractor", extractor), ("classifier", classifier)):
            if id(part) not in inside:
                raise ValueError(f"{name} must be a part of model, got a module that is not: {type(part).__name__}")
        for name, number in (
            ("latent", latent), ("vae_epochs", vae_epochs), ("passes", passes), ("batch_size", batch_size),
        ):  # fmt: skip
            whole_number(name, number, 1)
        RepresentationVAE(1, 1, hidden)
        whole_number("seed", seed, 0)
        positive("vae_learning_rate", vae_learning_rate)
        at_least("kl_weight", kl_weight, 0)
        _check_rate("unlearning_rate", unlearning_rate)
        _check_rate("alignment_rate", alignment_rate)
        positive("temperature", temperature)
        self.latent, self.hidden, self.sigmoid_output, self.seed = latent, hidden, sigmoid_output, seed
        self.vae_epochs, self.vae_learning_rate, self.kl_weight = vae_epochs, vae_learning_rate, kl_weight
        self.passes, self.batch_size, self.temperature = passes, batch_size, temperature
        self.unlearning_rate, self.alignment_rate = unlearning_rate, alignment_rate
        self.original = (model, extractor, classifier)
        # One copy of the three keeps the two parts within the whole.
        self.model, self.extractor, self.classifier = copy.deepcopy(self.original)
        self.vaes: tuple[RepresentationVAE, RepresentationVAE] | None = None
        self.history: list[PassLosses] = []

    def fit(
        self,
        x_forget: Float[Tensor, "..."],
        x_remain: Float[Tensor, "..."],
        vaes: tuple[RepresentationVAE, RepresentationVAE] | None = None,
    ) -> "LAF":
        """Unlearn ``x_forget``, keep ``x_remain``, from the model that was given; returns itself.

        ``vaes``: those of an earlier fit to the same data, trained anew where None. Raises ``ValueError`` for inputs
        that are empty, differ in their axes or (on CPU) are not finite.
        """
        for _ in self.iterate(x_forget, x_remain, vaes):
            pass
        return self

    def iterate(
        self,
        x_forget: Float[Tensor, "..."],
        x_remain: Float[Tensor, "..."],
        vaes: tuple[RepresentationVAE, RepresentationVAE] | None = None,
    ) -> Iterator[PassLosses]:
        """``fit``, pass by pass: ``model`` may be looked at after each."""
        t_f, t_r = self._targets(x_forget, x_remain)
        self.model, self.extractor, self.classifier = copy.deepcopy(self.original)
        self.vaes, self.history = (self._fit_vaes(t_f, t_r) if vaes is None else vaes), []
        return self._passes(x_forget, x_remain, t_f, t_r, self.vaes)

    def fit_vaes(
        self, x_forget: Float[Tensor, "..."], x_remain: Float[Tensor, "..."]
    ) -> tuple[RepresentationVAE, RepresentationVAE]:
        """The VAEs h of all and h_f of the forgotten data's original embeddings, as ``fit`` trains them."""
        return self._fit_vaes(*self._targets(x_forget, x_remain))

    def _targets(self, x_forget: Tensor, x_remain: Tensor) -> tuple[Tensor, Tensor]:
        """Original embeddings: neither they nor the inputs change, so that they are computed once."""
        extractor = copy.deepcopy(self.original[1]).eval()
        with torch.no_grad():
            t_f, t_r = _embeddings(extractor, "x_forget", x_forget), _embeddings(extractor, "x_remain", x_remain)
        _same_width("x_remain", t_r, "x_forget", t_f)
        return t_f, t_r

    def _fit_vaes(self, t_f: Tensor, t_r: Tensor) -> tuple[RepresentationVAE, RepresentationVAE]:
        models = t_f.shape[0] if t_f.ndim == 3 else 1
        found = []
        for embeddings in (torch.cat([t_r, t_f], -2), t_f):
            vae = RepresentationVAE(
                t_f.shape[-1], self.latent, self.hidden, self.sigmoid_output, models=models, seed=self.seed
            ).to(t_f)
            vae.fit(
                embeddings, epochs=self.vae_epochs, learning_rate=self.vae_learning_rate, batch_size=self.batch_size,
                kl_weight=self.kl_weight, seed=self.seed,
            )  # fmt: skip
            found.append(vae.requires_grad_(False).eval())
        return found[0], found[1]

    def _passes(
        self, x_forget: Tensor, x_remain: Tensor, t_f: Tensor, t_r: Tensor,
        vaes: tuple[RepresentationVAE, RepresentationVAE],
    ) -> Iterator[PassLosses]:  # fmt: skip
        training, extractor, axis, device = self.model.training, self.extractor, t_f.ndim - 2, t_f.device
        self.model.eval()
        order, draws = torch.Generator().manual_seed(self.seed), torch.Generator(device).manual_seed(self.seed)
        parameters = [p for p in extractor.parameters() if p.requires_grad]
        away, near = _Adam(parameters, self.unlearning_rate), _Adam(parameters, self.alignment_rate)
        missing = t_f.new_full(t_f.shape[:-2], math.nan)
        for _ in range(self.passes):
            sums, steps = [missing, missing], 0
            forget, remain = (_batches(t.shape[-2], self.batch_size, order, device) for t in (t_f, t_r))
            for f, r in zip(forget, remain, strict=False):
                x = torch.cat([x_forget.index_select(axis, f), x_remain.index_select(axis, r)], axis)
                if away.moves:
                    e_f, e_r = extractor(x).split([len(f), len(r)], -2)
                    loss = extractor_unlearning_loss(e_r, vaes[0](e_r, draws).recon, e_f, vaes[1](e_f, draws).recon)
                    sums[0] = away.step(loss) + (sums[0] if steps else 0)
                if near.moves:
                    e_f, e_r = extractor(x).split([len(f), len(r)], -2)
                    originals = t_r.index_select(-2, r), t_f.index_select(-2, f)
                    loss = representation_alignment_loss(e_r, originals[0], e_f, originals[1], self.temperature)
                    sums[1] = near.step(loss) + (sums[1] if steps else 0)
                steps += 1
            self.history.append(PassLosses(sums[0] / steps, sums[1] / steps))
            yield self.history[-1]
        self.model.train(training)

    def repair(
        self,
        x: Float[Tensor, "..."],
        y: Int[Tensor, "..."],
        *,
        epochs: int = 10,
        learning_rate: float = 1e-3,
        batch_size: int = 32,
    ) -> "LAF":
        """Cross-entropy of the classifier alone on a few labelled points that remain (LAF+R); returns itself.

        Raises ``ValueError`` for data that do not fit the model, and numbers out of range.
        """
        for name, number in (("epochs", epochs), ("batch_size", batch_size)):
            whole_number(name, number, 1)
        positive("learning_rate", learning_rate)
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            e = _embeddings(self.extractor, "x", x)
            classes = self.classifier(e.narrow(-2, 0, 1)).shape[-1]
        indices("y", y)
        if y.shape != e.shape[:-1]:
            raise ValueError(f"y must have shape {tuple(e.shape[:-1])}, a label per input, got {tuple(y.shape)}")
        class_indices("y", y.flatten(), y.numel(), classes)
        order = torch.Generator().manual_seed(self.seed)
        optimizer = torch.optim.Adam(self.classifier.parameters(), learning_rate, fused=True)
        for _ in range(epochs):
            for rows in _batches(y.shape[-1], batch_size, order, y.device):
                logits, labels = self.classifier(e.index_select(-2, rows)), y.index_select(-1, rows)
                _step(optimizer, F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="sum") / len(rows))
        self.model.train(training)
        return self


def distil_bad_teacher(
    model: nn.Module,
    x_forget: Float[Tensor, "..."],
    x_remain: Float[Tensor, "..."],
    *,
    epochs: int = 5,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
) -> nn.Module:
    """A copy of ``model`` distilled from itself on what remains and from an untrained network on what is forgotten.

    ``KL(teacher || student)`` at a temperature, averaged over batches of all data in random order. It needs no labels,
    either. Models and ensembles as in ``neural.unlearning.unlearning_methods``.

    Raises ``ValueError`` for inputs that are empty, differ in their axes or (on CPU) are not finite, numbers out of
    range, and layers without ``reset_parameters``.

    >>> model = nn.Linear(2, 3)
    >>> distil_bad_teacher(model, torch.randn(4, 2), torch.randn(9, 2), epochs=1) is model
    False
    """
    whole_number("epochs", epochs, 1)
    whole_number("batch_size", batch_size, 1)
    whole_number("seed", seed, 0)
    positive("learning_rate", learning_rate)
    positive("temperature", temperature)
    student, bad = copy.deepcopy(model).train(), untrained(model, seed)
    with torch.no_grad():
        good = copy.deepcopy(model).eval()
        kept, lost = _embeddings(good, "x_remain", x_remain), _embeddings(bad, "x_forget", x_forget)
    _same_width("x_forget", lost, "x_remain", kept)
    axis = kept.ndim - 2
    x, targets = torch.cat([x_remain, x_forget], axis), torch.cat([kept, lost], -2)
    targets = (targets / temperature).log_softmax(-1)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([p for p in student.parameters() if p.requires_grad], learning_rate, fused=True)
    for _ in range(epochs):
        for rows in _batches(targets.shape[-2], batch_size, order, targets.device):
            q = (student(x.index_select(axis, rows)) / temperature).log_softmax(-1)
            p = targets.index_select(-2, rows)
            _step(
                optimizer, temperature**2 * F.kl_div(q, p, reduction="none", log_target=True).sum((-2, -1)) / len(rows)
            )
    for parameter in student.parameters():
        parameter.grad = None
    return student.train(model.training)


# parts --------------------------------------------------------------------------------------------


def _penalty(recon: Tensor, e: Tensor) -> Tensor:
    # 1 − 1/(u + 1) instead of u/(u + 1): finite where u is not.
    return (1 - 1 / (1 + (recon - e).square().sum(-1))).exp().sum(-1)


def _cosine_distance(e: Tensor, t: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(e, t.detach(), dim=-1, eps=1e-8)


def _through(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers[:-1]:
        x = layer(x).relu()
    return layers[-1](x)


def _batches(count: int, size: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, ...]:
    """One pass in random order; what is left at its end makes a smaller batch."""
    return torch.randperm(count, generator=generator).to(device).split(size)


def _step(optimizer: torch.optim.Optimizer, losses: Tensor) -> None:
    """One step on the sum over models."""
    optimizer.zero_grad()
    losses.sum().backward()
    optimizer.step()


class _Adam:
    """Adam with one learning rate, or one for each model; at 0 parameters stay."""

    def __init__(self, parameters: list[nn.Parameter], rate: float | Tensor) -> None:
        self.moves = bool(rate.any()) if isinstance(rate, Tensor) else rate > 0
        if isinstance(rate, Tensor):
            # The smallest rate is lost in rounding: a step of it moves nothing.
            rates = rate.to(parameters[0].device).clamp_min(1e-30)
            self.optimizer = EnsembleAdamW(parameters, rates, weight_decay=0.0, clip_norm=1e30)
        else:
            self.optimizer = torch.optim.Adam(parameters, rate, fused=True)

    def step(self, losses: Tensor) -> Tensor:
        """One step on the sum over models; returns the losses before."""
        if isinstance(self.optimizer, EnsembleAdamW):
            self.optimizer.step(losses.sum())
        else:
            _step(self.optimizer, losses)
        return losses.detach()


def _check_rate(name: str, rate: float | Tensor) -> None:
    if not isinstance(rate, Tensor):
        at_least(name, rate, 0)
        return
    floating(name, rate, 1)
    if not bool((rate.isfinite() & (rate >= 0)).all()):
        raise ValueError(f"{name} must be finite and at least 0, got {rate}")


def _embeddings(extractor: nn.Module, name: str, x: Tensor) -> Tensor:
    """What the extractor makes of all inputs, once they are known to be inputs."""
    floating(name, x)
    finite_contents(name, x)
    try:
        e = extractor(x)
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"{name} must be inputs of the model, got shape {tuple(x.shape)}: {error}") from error
    if e.ndim not in (2, 3) or e.shape[:-1] != x.shape[: e.ndim - 1]:
        expected = "embeddings (batch, dim) or (models, batch, dim)"
        raise ValueError(f"{name} must be mapped to {expected}, got {tuple(x.shape)} → {tuple(e.shape)}")
    return e


def _same_embeddings(name: str, value: Tensor, other: str, like: Tensor) -> None:
    for each, tensor in ((name, value), (other, like)):
        floating(each, tensor)
        finite_contents(each, tensor)
    if value.ndim < 2 or value.shape != like.shape:
        raise ValueError(
            f"{name} must have the shape of {other} and two axes, got {tuple(value.shape)} and {tuple(like.shape)}"
        )


def _same_width(name: str, value: Tensor, other: str, like: Tensor) -> None:
    for each, tensor in ((name, value), (other, like)):
        floating(each, tensor)
    if value.ndim != like.ndim or value.shape[:-2] != like.shape[:-2] or value.shape[-1] != like.shape[-1]:
        raise ValueError(
            f"{name} must have the models and the width of {other}, got {tuple(value.shape)} and {tuple(like.shape)}"
        )
