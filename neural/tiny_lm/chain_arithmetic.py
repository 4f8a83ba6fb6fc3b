"""Arithmetic step by step, with a verifier that is never wrong.

A problem is a chain of operations modulo ``base``, worked from left to right; its solution writes one step for each:

    <bos> 3 + 4 * 2 + 0 =        + 4 2   * 2 4   + 0 4   # 4 <eos>

A step is the operation, its operand and the result: ``+ 4 2`` says 3 + 4 = 2 (mod 5). A wrong result spoils what
follows, but not surely: multiplication by 0 forgets it, and two errors may cancel. So an answer can be right for wrong
reasons, and ``verify``, which reads the answer only, accepts it.

    world = ChainArithmetic(base=5, n_ops=3)
    prompts = world.problems(100, torch.Generator().manual_seed(0))    # (100, 9)
    solutions = world.solve(prompts)                                   # (100, 12)
    world.verify(prompts, solutions), world.step_ok(prompts, solutions), world.first_wrong_step(prompts, solutions)
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from neural.validation import indices, whole_number

__all__ = ["ChainArithmetic"]


class ChainArithmetic:
    """Chains of ``n_ops`` additions and multiplications modulo ``base``.

    Tokens: the digits are 0 … ``base`` − 1, then ``plus``, ``times``, ``equals``, ``answer`` (#), ``bos``, ``eos``.
    Raises ``ValueError`` for a base or a number of operations below 2 and 1.

    >>> world = ChainArithmetic(base=5, n_ops=2)
    >>> prompt = world.encode_problem([3, 4, 2], ["+", "*"])
    >>> world.text(prompt[0]), world.text(world.solve(prompt)[0])
    ('<bos> 3 + 4 * 2 =', '+ 4 2 * 2 4 # 4 <eos>')
    """

    def __init__(self, base: int = 5, n_ops: int = 3) -> None:
        whole_number("base", base, 2)
        whole_number("n_ops", n_ops, 1)
        self.base, self.n_ops = base, n_ops
        self.plus, self.times, self.equals, self.answer, self.bos, self.eos = range(base, base + 6)
        self.vocab_size = base + 6
        self.prompt_length, self.solution_length = 2 * n_ops + 3, 3 * n_ops + 3
        self._words = [*map(str, range(base)), "+", "*", "=", "#", "<bos>", "<eos>"]

    def problems(self, n: int, generator: torch.Generator | None = None) -> Int[Tensor, "n prompt"]:
        """``n`` prompts of random digits and operations. Raises ``ValueError`` for n below 1."""
        whole_number("n", n, 1)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise ValueError(f"generator must be a torch.Generator, got {type(generator).__name__}")
        digits = torch.randint(self.base, (n, self.n_ops + 1), generator=generator)
        return self._prompts(digits, torch.randint(2, (n, self.n_ops), generator=generator))

    def encode_problem(self, digits: list[int], operations: list[str]) -> Int[Tensor, "1 prompt"]:
        """The prompt of one problem. Raises ``ValueError`` for digits or operations that do not fit."""
        if len(digits) != self.n_ops + 1 or any(d not in range(self.base) for d in digits):
            raise ValueError(f"digits must be {self.n_ops + 1} numbers below base = {self.base}, got {digits}")
        if len(operations) != self.n_ops or any(o not in ("+", "*") for o in operations):
            raise ValueError(f"operations must be {self.n_ops} of '+' and '*', got {operations}")
        kinds = torch.tensor([["+*".index(operation) for operation in operations]])
        return self._prompts(torch.tensor([digits]), kinds)

    def solve(self, prompts: Int[Tensor, "batch prompt"]) -> Int[Tensor, "batch solution"]:
        """The right solution, step by step. Raises ``ValueError`` for ids that are not prompts."""
        digits, kinds = self.parts(prompts)
        value, steps = digits[:, 0], []
        for i in range(self.n_ops):
            value = self._result(kinds[:, i], value, digits[:, i + 1])
            steps += [self.plus + kinds[:, i], digits[:, i + 1], value]
        ends = [torch.full_like(value, self.answer), value, torch.full_like(value, self.eos)]
        return torch.stack(steps + ends, dim=1)

    def verify(
        self, prompts: Int[Tensor, "batch prompt"], solutions: Int[Tensor, "batch solution"]
    ) -> Bool[Tensor, " batch"]:
        """Whether the solution ends in ``# r <eos>`` with the right r; its steps are not looked at.

        Raises ``ValueError`` for ids that are not prompts, or solutions of another length.
        """
        self._check_solutions(prompts, solutions)
        return (solutions[:, -3:] == self.solve(prompts)[:, -3:]).all(1)

    def step_ok(
        self, prompts: Int[Tensor, "batch prompt"], solutions: Int[Tensor, "batch solution"]
    ) -> Bool[Tensor, "batch steps"]:
        """Whether each step copies its operation and operand and is right *given the value written before it*.

        A step after something that is no digit is wrong. Raises ``ValueError`` as ``verify``.
        """
        self._check_solutions(prompts, solutions)
        digits, kinds = self.parts(prompts)
        steps = solutions[:, : 3 * self.n_ops].unflatten(1, (self.n_ops, 3))
        written = steps[:, :, 2]
        before = torch.cat([digits[:, :1], written[:, :-1]], dim=1)
        right = self._result(kinds, before, digits[:, 1:])
        copied = (steps[:, :, 0] == self.plus + kinds) & (steps[:, :, 1] == digits[:, 1:])
        return copied & (before < self.base) & (written == right)

    def first_wrong_step(
        self, prompts: Int[Tensor, "batch prompt"], solutions: Int[Tensor, "batch solution"]
    ) -> Int[Tensor, " batch"]:
        """Number of the first step that is not ``step_ok``, ``n_ops`` if all are. Raises as ``verify``."""
        return self.step_ok(prompts, solutions).long().cumprod(1).sum(1)

    def texts(
        self, prompts: Int[Tensor, "batch prompt"], solutions: Int[Tensor, "batch solution"]
    ) -> tuple[Int[Tensor, "batch tokens"], Bool[Tensor, "batch targets"]]:
        """Ids of problem and solution, and the mask of the solution's targets. Raises ``ValueError`` as ``verify``."""
        self._check_solutions(prompts, solutions)
        ids = torch.cat([prompts, solutions], dim=1)
        mask = torch.zeros(len(ids), ids.shape[1] - 1, dtype=torch.bool, device=ids.device)
        mask[:, self.prompt_length - 1 :] = True
        return ids, mask

    def parts(
        self, prompts: Int[Tensor, "batch prompt"]
    ) -> tuple[Int[Tensor, "batch digits"], Int[Tensor, "batch operations"]]:
        """Digits d₀ … d_L and operations (0 for +, 1 for *) of prompts. Raises ``ValueError`` for other ids."""
        indices("prompts", prompts)
        if prompts.ndim != 2 or len(prompts) == 0 or prompts.shape[1] != self.prompt_length:
            raise ValueError(f"prompts must have shape (batch ≥ 1, {self.prompt_length}), got {tuple(prompts.shape)}")
        digits, kinds = prompts[:, 1:-1:2], prompts[:, 2:-1:2] - self.plus
        if prompts.device.type == "cpu":
            fits = (digits >= 0) & (digits < self.base)
            fits_too = (kinds >= 0) & (kinds <= 1)
            ends = (prompts[:, 0] == self.bos) & (prompts[:, -1] == self.equals)
            bad = ~(fits.all(1) & fits_too.all(1) & ends)
            if bool(bad.any()):
                row = int(bad.nonzero()[0])
                raise ValueError(f"prompts must be '<bos> d + d * … =', row {row} is {prompts[row].tolist()}")
        return digits, kinds

    def text(self, ids: Int[Tensor, " tokens"]) -> str:
        """Tokens as a line of text. Raises ``ValueError`` for ids beyond the vocabulary."""
        indices("ids", ids)
        if ids.ndim != 1 or (ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size)):
            raise ValueError(f"ids must be a vector of numbers below {self.vocab_size}, got {ids.tolist()}")
        return " ".join(self._words[number] for number in ids.tolist())

    def _prompts(self, digits: Tensor, kinds: Tensor) -> Tensor:
        prompts = torch.empty(len(digits), self.prompt_length, dtype=torch.long)
        prompts[:, 0], prompts[:, -1] = self.bos, self.equals
        prompts[:, 1:-1:2], prompts[:, 2:-1:2] = digits, self.plus + kinds
        return prompts

    def _result(self, kinds: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return torch.where(kinds == 1, left * right, left + right) % self.base

    def _check_solutions(self, prompts: Tensor, solutions: Tensor) -> None:
        self.parts(prompts)
        indices("solutions", solutions)
        expected = (len(prompts), self.solution_length)
        if solutions.shape != expected:
            raise ValueError(
                f"solutions must have shape {expected}, as prompts {tuple(prompts.shape)}, got {tuple(solutions.shape)}"
            )
        if solutions.device.type == "cpu" and (int(solutions.min()) < 0 or int(solutions.max()) >= self.vocab_size):
            raise ValueError(f"solutions must consist of tokens below {self.vocab_size}")
