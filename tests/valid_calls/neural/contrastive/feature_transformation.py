"""Valid calls of neural.contrastive.feature_transformation."""

import torch

_QUEUE = {
    "queue": torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.5, 1.0], [-1.0, 0.3], [0.2, -1.0]]), dim=1)
}
_PERM = torch.tensor([1, 2, 3, 0])
_EMBEDDINGS = {
    "query": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]]), "key": torch.tensor([[0.9, 0.1], [0.2, 1.1], [1.0, 0.8]]),
    **_QUEUE,
}  # fmt: skip
_LOSS = {
    "temperature": 0.2, "alpha_pos": 2.0, "alpha_neg": 1.6, "per": "sample", "positives": True, "negatives": True,
    "renormalize": False, "reduction": "mean",
}  # fmt: skip
_MASK = {"ignore_mask": torch.tensor([[True, False, False, False]] * 3)}

CALLS = {
    "extrapolate_positives": {
        "q": torch.tensor([[1.0, 0.2], [0.1, 1.0]]), "k": torch.tensor([[0.9, 0.1], [0.2, 1.1]]),
        "lam": torch.tensor([[1.5], [1.2]]),
    },
    "interpolate_negatives": {**_QUEUE, "lam": 0.5, "perm": _PERM},
    "interpolated_scores": {"scores": torch.rand(3, 4), "lam": 0.5, "perm": _PERM},
    "feature_transformation_loss": {**_EMBEDDINGS, **_LOSS, **_MASK},
    "FeatureTransformationLoss": _LOSS,
    "FeatureTransformationLoss.forward": {**_EMBEDDINGS, **_MASK},
    "score_statistics": {"pos": torch.rand(3), "neg": torch.rand(3, 4), "temperature": 0.2},
}  # fmt: skip
