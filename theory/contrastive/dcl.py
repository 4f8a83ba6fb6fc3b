"""Decoupled contrastive learning: the multiplier that couples negatives and positives, in closed form.

Two views ``z1, z2`` of N samples, rows normalised. For anchor i of view k let ``p_i`` be the cosine
of the two views over the temperature tau, and ``U_ki`` the sum of ``exp(cosine/tau)`` over all
2(N − 1) embeddings of other samples. With

    InfoNCE_ki = −log( e^{p_i} / (e^{p_i} + U_ki) ),        DCL_ki = −p_i + log U_ki,

    InfoNCE = softplus(DCL),      q = sigmoid(DCL) = 1 − exp(−InfoNCE),      ∇InfoNCE = q · ∇DCL:

InfoNCE is DCL with every anchor's gradient multiplied by ``q`` (negative–positive coupling), which
goes to 0 where the positive is easy or the negatives are few. The third equation is the chain rule
on the first, since softplus′ = sigmoid; it holds anchor by anchor, for any parameters.

Source: Yeh, Hong, Hsu, Liu, Chen and LeCun (2022), *Decoupled Contrastive Learning*: the
definitions of the three losses and Proposition 1. The bounds and the rate of 1 − q in N are derived here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logsumexp

from theory.fuzz import Bound
from theory.validation import finite_array, positive, same_shape, whole_number

__all__ = [
    "dcl_grad",
    "dcl_loss",
    "dcl_loss_range",
    "dclw_loss",
    "info_nce_grad",
    "info_nce_loss",
    "mvmf_weights",
    "npc_multiplier",
    "npc_multiplier_range",
    "similarity_gradients",
]

Views = Float[np.ndarray, "samples dim"]
Anchors = Float[np.ndarray, "2 samples"]


def dcl_loss(z1: Views, z2: Views, temperature: float = 0.1) -> Anchors:
    """DCL of every anchor: ``−p_i + log U_ki``, row k for view k.

    Rows are normalised; a zero row stays zero (all its cosines are 0). The loss is a difference, so
    it can be negative. Raises ``ValueError`` for shapes that differ, fewer than two samples (no
    negatives), elements that are not finite, or ``temperature <= 0``. Source: the definition of L_DC.

    >>> dcl_loss(np.eye(2), np.eye(2), temperature=1.0).round(4).tolist()
    [[-0.3069, -0.3069], [-0.3069, -0.3069]]
    """
    u1, u2 = _unit_views(z1, z2)
    positive("temperature", temperature)
    similarities = _negative_similarities(u1, u2, temperature)
    return logsumexp(similarities, axis=1).reshape(2, -1) - (u1 * u2).sum(1) / temperature


def info_nce_loss(z1: Views, z2: Views, temperature: float = 0.1) -> Anchors:
    """InfoNCE (NT-Xent) of every anchor: ``log(1 + U_ki e^{−p_i}) = softplus(DCL_ki)``. Source: Eq. 2.

    Shapes and errors as in ``dcl_loss``.
    """
    return np.logaddexp(0.0, dcl_loss(z1, z2, temperature))


def dclw_loss(z1: Views, z2: Views, temperature: float = 0.1, sigma: float = 0.5) -> Anchors:
    """DCL with weighted positives, ``−w_i p_i + log U_ki``, ``w`` from ``mvmf_weights``. Source: L_DCW.

    Shapes and errors as in ``dcl_loss``; also ``sigma <= 0``.
    """
    u1, u2 = _unit_views(z1, z2)
    weights = mvmf_weights(z1, z2, sigma)
    return dcl_loss(z1, z2, temperature) + (1 - weights) * (u1 * u2).sum(1) / temperature


def mvmf_weights(z1: Views, z2: Views, sigma: float = 0.5) -> Float[np.ndarray, " samples"]:
    """Negative von Mises–Fisher weights ``w_i = 2 − N softmax_i(cos_i / sigma)``.

    Their mean is 1 exactly. A pair with more than twice the mean mass gets a *negative* weight: its
    views are pushed apart. Raises ``ValueError`` as ``dcl_loss``, and for ``sigma <= 0``.
    """
    u1, u2 = _unit_views(z1, z2)
    scaled = (u1 * u2).sum(1) / positive("sigma", sigma)
    return 2 - len(scaled) * np.exp(scaled - logsumexp(scaled))


def npc_multiplier(z1: Views, z2: Views, temperature: float = 0.1) -> Anchors:
    """The coupling ``q_ki = 1 − e^{p_i}/(e^{p_i} + U_ki) = sigmoid(DCL_ki)`` in (0, 1). Source: Proposition 1.

    Shapes and errors as in ``dcl_loss``.
    """
    return expit(dcl_loss(z1, z2, temperature))


def similarity_gradients(
    positives: Float[np.ndarray, " anchors"],
    negatives: Float[np.ndarray, "anchors negatives"],
    temperature: float = 0.1,
) -> tuple[Float[np.ndarray, " anchors"], Float[np.ndarray, "anchors negatives"], Float[np.ndarray, " anchors"]]:
    """Derivatives of DCL with respect to the cosines, and the coupling that turns them into InfoNCE's.

        ∂DCL/∂s⁺ = −1/tau,   ∂DCL/∂s_j = softmax_j(s/tau)/tau,   ∂InfoNCE = q · ∂DCL.

    Each anchor's derivatives sum to 0. Returns (by positive, by negatives, q). Raises ``ValueError``
    for shapes that do not fit, elements that are not finite, or ``temperature <= 0``.
    """
    s_positive = finite_array("positives", positives, 1)
    s_negative = finite_array("negatives", negatives, 2)
    positive("temperature", temperature)
    if len(s_positive) != len(s_negative):
        raise ValueError(
            f"positives and negatives must have as many anchors, got {len(s_positive)} and {len(s_negative)}"
        )
    mass = logsumexp(s_negative / temperature, axis=1)
    shares = np.exp(s_negative / temperature - mass[:, None])
    coupling = expit(mass - s_positive / temperature)
    return np.full_like(s_positive, -1 / temperature), shares / temperature, coupling


def dcl_grad(
    z1: Views, z2: Views, temperature: float = 0.1, anchor_weights: Anchors | None = None
) -> tuple[Views, Views]:
    """Gradient of ``sum_ki a_ki DCL_ki`` with respect to ``z1`` and ``z2`` (before normalisation).

    ``anchor_weights`` a defaults to 1/(2N), the mean. With ``E_ij = exp(cos_ij/tau)`` over negatives
    and ``a`` as one vector over all 2N embeddings u, the gradient of the negative part at u_i is
    ``(1/tau) sum_j E_ij (a_i/U_i + a_j/U_j) u_j``: one symmetric matrix, one product. Normalisation projects it
    onto the sphere's tangent space and divides by the row's norm; a zero row has gradient 0.
    Raises ``ValueError`` as ``dcl_loss``.
    """
    u1, u2 = _unit_views(z1, z2)
    positive("temperature", temperature)
    similarities = _negative_similarities(u1, u2, temperature)
    log_mass = logsumexp(similarities, axis=1)
    return _grad(z1, z2, u1, u2, temperature, similarities, log_mass, _anchor_weights(anchor_weights, len(u1)))


def info_nce_grad(
    z1: Views, z2: Views, temperature: float = 0.1, anchor_weights: Anchors | None = None
) -> tuple[Views, Views]:
    """Gradient of ``sum_ki a_ki InfoNCE_ki``: that of DCL with each weight multiplied by q (Proposition 1).

    Shapes and errors as in ``dcl_grad``.
    """
    u1, u2 = _unit_views(z1, z2)
    positive("temperature", temperature)
    similarities = _negative_similarities(u1, u2, temperature)
    log_mass = logsumexp(similarities, axis=1)
    coupling = expit(log_mass.reshape(2, -1) - (u1 * u2).sum(1) / temperature)
    weights = _anchor_weights(anchor_weights, len(u1)) * coupling
    return _grad(z1, z2, u1, u2, temperature, similarities, log_mass, weights)


def dcl_loss_range(samples: int, temperature: float) -> tuple[float, float]:
    """The tight range of DCL over all unit embeddings, ``log(2(N − 1)) ∓ 2/tau``.

    Lower end: every negative opposite to the anchor and the positive equal to it. Raises
    ``ValueError`` for ``samples < 2`` or ``temperature <= 0``.
    """
    centre = np.log(2 * (whole_number("samples", samples, 2) - 1))
    half = 2 / positive("temperature", temperature)
    return float(centre - half), float(centre + half)


def npc_multiplier_range(samples: int, temperature: float) -> tuple[float, float]:
    """The range of the coupling, ``sigmoid`` of ``dcl_loss_range``: it tends to 1 as N grows, at a fixed temperature.

    >>> [round(npc_multiplier_range(n, 0.5)[0], 3) for n in (2, 32, 1024)]
    [0.035, 0.532, 0.974]
    """
    low, high = dcl_loss_range(samples, temperature)
    return float(expit(low)), float(expit(high))


def _unit_views(z1: Views, z2: Views) -> tuple[np.ndarray, np.ndarray]:
    first, second = finite_array("z1", z1, 2), finite_array("z2", z2, 2)
    same_shape(("z1", "z2"), (first, second))
    if len(first) < 2:
        raise ValueError(f"z1 and z2 must have at least 2 samples (one has no negatives), got {len(first)}")
    return _unit_rows(first), _unit_rows(second)


def _unit_rows(z: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(z, axis=1, keepdims=True)
    return np.divide(z, norms, out=np.zeros_like(z), where=norms > 0)


def _negative_similarities(u1: np.ndarray, u2: np.ndarray, temperature: float) -> np.ndarray:
    """All cosines over tau, with −inf for an anchor with itself and with its positive."""
    embeddings = np.concatenate([u1, u2])
    similarities = embeddings @ embeddings.T / temperature
    index = np.arange(len(embeddings))
    similarities[index, index] = -np.inf
    similarities[index, (index + len(u1)) % len(embeddings)] = -np.inf
    return similarities


def _anchor_weights(weights: Anchors | None, samples: int) -> np.ndarray:
    if weights is None:
        return np.full((2, samples), 0.5 / samples)
    checked = finite_array("anchor_weights", weights, 2)
    if checked.shape != (2, samples):
        raise ValueError(f"anchor_weights must have shape (2, {samples}), got {checked.shape}")
    return checked


def _grad(
    z1: np.ndarray, z2: np.ndarray, u1: np.ndarray, u2: np.ndarray, temperature: float,
    similarities: np.ndarray, log_mass: np.ndarray, weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    flat = weights.reshape(-1)
    shares = np.exp(similarities - log_mass[:, None]) * flat[:, None]
    pulled = np.concatenate([u2, u1]) * np.tile(weights.sum(0), 2)[:, None]
    by_unit = ((shares + shares.T) @ np.concatenate([u1, u2]) - pulled) / temperature
    by_row = []
    for z, u, g in zip((z1, z2), (u1, u2), np.split(by_unit, 2), strict=True):
        norms = np.linalg.norm(z, axis=1, keepdims=True)
        tangent = g - u * (u * g).sum(1, keepdims=True)
        by_row.append(np.divide(tangent, norms, out=np.zeros_like(u), where=norms > 0))
    return by_row[0], by_row[1]


def _cosine_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Cosines of an anchor with its positive and six negatives (four samples), half of them extreme; temperatures."""
    cosines = rng.uniform(-1, 1, (count, 7))
    extreme = rng.random((count, 1)) < 0.5
    return {
        "cosines": np.where(extreme, np.sign(cosines) * np.abs(cosines) ** 0.05, cosines),
        "temperature": 10 ** rng.uniform(-1, 0.5, count),
    }


def _coupling(cosines: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    mass = logsumexp(cosines[:, 1:] / temperature[:, None], axis=1)
    return expit(mass - cosines[:, 0] / temperature)


def _dcl_gradient_norm(cosines: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    scaled = cosines[:, 1:] / temperature[:, None]
    shares = np.exp(scaled - logsumexp(scaled, axis=1, keepdims=True))
    return np.sqrt(1 + (shares**2).sum(1)) / temperature


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "coupling at most sigmoid(log 2(N − 1) + 2/tau)", "derived", _coupling,
        lambda cosines, temperature: expit(np.log(cosines.shape[1] - 1) + 2 / temperature), _cosine_sampler,
    )  # fmt: skip
    yield Bound(
        "coupling at least sigmoid(log 2(N − 1) − 2/tau)", "derived",
        lambda cosines, temperature: expit(np.log(cosines.shape[1] - 1) - 2 / temperature), _coupling, _cosine_sampler,
    )  # fmt: skip
    yield Bound(
        "an anchor's InfoNCE gradient is no longer than its DCL gradient", "Proposition 1",
        lambda cosines, temperature: _coupling(cosines, temperature) * _dcl_gradient_norm(cosines, temperature),
        lambda cosines, temperature: _dcl_gradient_norm(cosines, temperature), _cosine_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
