"""Valid calls of neural.alignment.flagged_vocabulary."""

from neural.alignment.flagged_vocabulary import FlaggedVocabulary

WORLD = FlaggedVocabulary()
PROMPTS = WORLD.prompts("benign", (0,), (0, 1))
ANSWERS = WORLD.answers(PROMPTS)
CALLS = {
    "FlaggedVocabulary": {"n_topics": 10, "n_tokens": 20, "n_styles": 4, "separate_contexts": False, "seed": 0},
    "FlaggedVocabulary.prompts": {"kind": "flagged", "contexts": (0, 1), "styles": (0, 2)},
    "FlaggedVocabulary.answers": {"prompts": PROMPTS},
    "FlaggedVocabulary.refusals": {"prompts": PROMPTS},
    "FlaggedVocabulary.texts": {"kind": "refusal", "contexts": (1,), "styles": (3,)},
    "FlaggedVocabulary.is_flagged": {"ids": ANSWERS},
    "FlaggedVocabulary.is_refusal": {"ids": ANSWERS},
    "FlaggedVocabulary.is_exact": {"prompts": PROMPTS, "ids": ANSWERS},
}
ACCEPTED = {
    ("FlaggedVocabulary", "seed", "zero"): "a seed",
    **{
        (f"FlaggedVocabulary.{name}", "ids", spoilt): "a model may answer anything, which is then not flagged"
        for name in ("is_flagged", "is_refusal", "is_exact")
        for spoilt in ("negative", "huge")
    },
    **{(f"FlaggedVocabulary.{name}", "ids", "empty"): "no answers, no labels" for name in ("is_flagged", "is_refusal")},
}
