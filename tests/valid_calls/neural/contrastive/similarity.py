"""Valid calls of neural.contrastive.similarity."""

TRUSTED = dict.fromkeys(
    ("log_negative_mass", "positive_similarity", "unit_rows"),
    "the core of every contrastive loss, called on views that the loss has checked; another look would cost as much again",
)
