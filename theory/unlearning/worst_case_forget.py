"""Worst-case forget sets: the bi-level problem solved by trying every set.

Which m of N training points are hardest to erase? Those that a model still fits after it has unlearned them:

    min over sets F of size m    f(F) = sum_{i in F} l_i(theta(F)),
    theta(F): K steps theta ← theta − b sign(sum_i c_i grad l_i(theta)) from theta_0,    c_i = (1 − w_i) − lambda w_i

with w_i = 1 in F and 0 elsewhere; lambda = 0 is fine-tuning on what is retained. ``exhaustive_search`` evaluates f for
all N!/(m!(N − m)!) sets of a softmax regression, in lockstep: the answer to which a solver can be held. The solver of
the paper lets w be fractional, w in S = {0 ≤ w ≤ 1, sum w = m}, and alternates the lower level with a projected
gradient step. As the sign has derivative 0 almost everywhere, d theta/d w = 0, and the gradient of f + gamma ||w||² is
the direct one, l_i(theta) + 2 gamma w_i.

With theta held fixed, what the upper steps converge to has a closed form, ``fixed_loss_weights``:

    argmin_{w in S} sum w_i l_i + gamma ||w||² = Proj_S(−l / (2 gamma))

which is the set of the m lowest losses exactly if the m-th and the next differ by at least 2 gamma. The worst-case set
is therefore close to the points that are fitted best *after* fine-tuning without them.

    values, sets = exhaustive_search(X, y, m=3, steps=30, lr=0.05)
    sets[values.argmin()]                                   # hardest to forget

Source: Fan, Liu, Hero and Liu (2024), *Challenging Forgets: Unveiling the Worst-Case Forget Sets in Machine
Unlearning*: the bi-level problem with a sign-based lower level. The closed form is derived here.
"""

from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp, softmax

from theory.unlearning.simplex_projection import kkt_violation, project_capped_simplex
from theory.validation import at_least, class_labels, finite_array, in_range, one_of, positive, whole_number

__all__ = [
    "exhaustive_search",
    "fixed_loss_weights",
    "kkt_violation",
    "project_capped_simplex",
    "sign_unlearning",
    "softmax_losses",
]

_MOST_SETS = 200_000


def exhaustive_search(
    X: Float[np.ndarray, "samples dim"],
    y: Int[np.ndarray, " samples"],
    m: int,
    steps: int,
    lr: float,
    theta0: Float[np.ndarray, "dim classes"] | None = None,
    forget_weight: float = 0.0,
) -> tuple[Float[np.ndarray, " sets"], Int[np.ndarray, "sets m"]]:
    """f of every set of m samples, and the sets, in lexicographic order.

    ``theta0`` is the model to be unlearned (default: zeros for the classes of y). Raises ``ValueError`` for arrays that
    do not fit, m not in 1 … N − 1, more than 200,000 sets, steps below 1, lr not above 0 or ``forget_weight`` below 0.

    >>> values, sets = exhaustive_search(np.array([[2.0], [2.0], [-0.1]]), np.array([0, 0, 1]), 1, steps=5, lr=0.1)
    >>> sets[values.argmin()].tolist(), sets[values.argmax()].tolist()
    ([0], [2])
    """
    X, y, theta0 = _classification(X, y, theta0)
    m = whole_number("m", m, 1)
    if m >= len(X):
        raise ValueError(f"m must be below the {len(X)} samples, got {m}")
    if comb(len(X), m) > _MOST_SETS:
        raise ValueError(f"m must leave at most {_MOST_SETS:,} sets, got {comb(len(X), m):,} for m = {m}")
    sets = np.array(list(combinations(range(len(X)), m)))
    w = np.zeros((len(sets), len(X)))
    np.put_along_axis(w, sets, 1.0, axis=1)
    losses = softmax_losses(sign_unlearning(X, y, w, theta0, steps, lr, forget_weight), X, y)
    return (w * losses).sum(1), sets


def sign_unlearning(
    X: Float[np.ndarray, "samples dim"],
    y: Int[np.ndarray, " samples"],
    w: Float[np.ndarray, "sets samples"],
    theta0: Float[np.ndarray, "dim classes"],
    steps: int,
    lr: float,
    forget_weight: float = 0.0,
) -> Float[np.ndarray, "sets dim classes"]:
    """The lower level from ``theta0`` for every row of w: ``steps`` sign steps of size ``lr`` on all samples.

    Raises ``ValueError`` for arrays that do not fit or are not finite, w outside [0, 1], steps below 1, lr not above 0
    or ``forget_weight`` below 0.

    >>> sign_unlearning(np.array([[1.0], [1.0]]), np.array([0, 1]), np.array([[1.0, 0.0]]), np.zeros((1, 2)), 3, 0.5)
    array([[[-1.5,  1.5]]])
    """
    X, y, theta0 = _classification(X, y, theta0)
    w = finite_array("w", w, 2)
    if w.shape[1] != len(X) or w.min() < 0 or w.max() > 1:
        raise ValueError(f"w must hold {len(X)} numbers in [0, 1] in every row, got shape {w.shape} in {_range(w)}")
    steps, lr = whole_number("steps", steps, 1), positive("lr", lr)
    coefficient = (1 - w - at_least("forget_weight", forget_weight, 0) * w)[:, :, None]
    theta, targets = np.repeat(theta0[None], len(w), axis=0), np.eye(theta0.shape[1])[y]
    for _ in range(steps):
        residual = coefficient * (softmax(X @ theta, axis=2) - targets)
        theta = theta - lr * np.sign(X.T @ residual)
    return theta


def softmax_losses(
    theta: Float[np.ndarray, "sets dim classes"], X: Float[np.ndarray, "samples dim"], y: Int[np.ndarray, " samples"]
) -> Float[np.ndarray, "sets samples"]:
    """Cross-entropy of every sample under every model, in nats. Raises ``ValueError`` for arrays that do not fit.

    >>> softmax_losses(np.zeros((1, 1, 2)), np.array([[3.0]]), np.array([1])).round(4)
    array([[0.6931]])
    """
    theta = finite_array("theta", theta, 3)
    X, y, _ = _classification(X, y, theta[0], "theta")
    logits = X @ theta
    return logsumexp(logits, axis=2) - logits[:, np.arange(len(y)), y]


def fixed_loss_weights(
    losses: Float[np.ndarray, " samples"],
    m: float,
    gamma: float = 1e-4,
    direction: Literal["worst", "easiest"] = "worst",
) -> Float[np.ndarray, " samples"]:
    """Where the upper steps lead while the losses stay: ``Proj_S(∓l / (2 gamma))``, low losses (worst) or high ones.

    Raises ``ValueError`` for losses that are not a vector of finite numbers, m outside [0, N], gamma not above 0 or an
    unknown direction.

    >>> fixed_loss_weights(np.array([0.1, 3.0, 0.2]), m=2.0).tolist()
    [1.0, 0.0, 1.0]
    """
    losses = finite_array("losses", losses, 1)
    m = in_range("m", m, 0, len(losses))
    sign = -1.0 if one_of("direction", direction, ("worst", "easiest")) == "worst" else 1.0
    return project_capped_simplex(sign * losses / (2 * positive("gamma", gamma)), m, "sort")


def _classification(
    X: np.ndarray, y: np.ndarray, theta0: np.ndarray | None, name: str = "theta0"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X = finite_array("X", X, 2)
    if theta0 is None:
        y = class_labels("y", y, length=len(X))
        return X, y, np.zeros((X.shape[1], max(int(y.max()) + 1, 2)))
    theta0 = finite_array(name, theta0, 2)
    if theta0.shape[0] != X.shape[1]:
        raise ValueError(f"{name} must have a row for each of the {X.shape[1]} features, got {theta0.shape[0]}")
    return X, class_labels("y", y, theta0.shape[1], len(X)), theta0


def _range(values: np.ndarray) -> str:
    return f"[{values.min():g}, {values.max():g}]"
