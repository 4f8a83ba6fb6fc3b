"""Valid calls of neural.tiny_lm.chain_arithmetic."""

import torch

from neural.tiny_lm.chain_arithmetic import ChainArithmetic

WORLD = ChainArithmetic(base=5, n_ops=2)
PROMPTS = WORLD.problems(3, torch.Generator().manual_seed(0))
BOTH = {"prompts": PROMPTS, "solutions": WORLD.solve(PROMPTS)}
CALLS = {
    "ChainArithmetic": {"base": 5, "n_ops": 2},
    "ChainArithmetic.problems": {"n": 4, "generator": None},
    "ChainArithmetic.encode_problem": {"digits": [3, 4, 2], "operations": ["+", "*"]},
    "ChainArithmetic.solve": {"prompts": PROMPTS},
    "ChainArithmetic.verify": BOTH,
    "ChainArithmetic.step_ok": BOTH,
    "ChainArithmetic.first_wrong_step": BOTH,
    "ChainArithmetic.texts": BOTH,
    "ChainArithmetic.parts": {"prompts": PROMPTS},
    "ChainArithmetic.text": {"ids": PROMPTS[0]},
}
ACCEPTED = {("ChainArithmetic.text", "ids", "empty"): "nothing to say"}
INSTANCES = {"ChainArithmetic": lambda: ChainArithmetic(base=5, n_ops=2)}
