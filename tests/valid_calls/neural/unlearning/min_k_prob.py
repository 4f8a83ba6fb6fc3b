"""Valid calls of neural.unlearning.min_k_prob."""

import torch

LOG_PROBS = torch.tensor([[-1.0, -2.0, -0.5], [-3.0, -0.1, -2.0]])
MASK = torch.tensor([[True, True, False], [True, True, True]])
SCORES = torch.tensor([0.3, -0.2, 0.9])
NLL = torch.tensor([1.0, 2.0])
CALLS = {
    "min_k_prob": {"token_logps": LOG_PROBS, "mask": MASK, "k": 0.5},
    "min_k_plus_plus": {
        "logits": torch.linspace(-1, 1, 40).reshape(2, 4, 5),
        "input_ids": torch.tensor([[0, 1, 2, 3], [4, 3, 2, 1]]),
        "mask": MASK,
        "k": 0.5,
    },
    "perplexity_score": {"token_logps": LOG_PROBS, "mask": MASK},
    "zlib_score": {"nll": NLL, "texts": ["one text", "another"]},
    "lowercase_score": {"nll": NLL, "nll_lower": NLL + 1},
    "reference_score": {"lp": -NLL, "lp_ref": -NLL},
    "neighbour_score": {"lp": -NLL, "lp_neighbours": -torch.ones(2, 3)},
    "membership_report": {"member_scores": SCORES, "nonmember_scores": SCORES - 1},
    "MembershipDetector": {"score": "min_k", "k": 0.5},
    "MembershipDetector.scores": {"token_logps": LOG_PROBS, "mask": MASK},
    "MembershipDetector.fit_threshold": {"scores": SCORES, "labels": torch.tensor([True, False, True])},
}
TRUSTED = {
    "MembershipReport": "a result",
    "MembershipDetector.predict": "refuses before a threshold is there; contents are checked as those of fit_threshold",
}
ACCEPTED = {
    ("membership_report", "member_scores", "infinite"): "an impossible text has score −inf",
    ("membership_report", "nonmember_scores", "infinite"): "an impossible text has score −inf",
    ("MembershipDetector.fit_threshold", "scores", "infinite"): "an impossible text has score −inf",
}  # fmt: skip
