"""Critical tokens of a tiny language model's wrong answers: by rollouts, exactly, and by a contrast of two models.

One replicate: a transformer learns chain arithmetic from a teacher and answers fresh problems. From its right answers
comes a positive, from its wrong ones a negative model. On wrong answers to other problems every prefix is completed 64
times; the critical token is the first after which nothing succeeds. It is looked for among the tokens of the steps,
before the answer is announced: a whole wrong answer has no completion, so that its last tokens are critical by
definition. For some answers the chance of success after every token is also computed exactly, by enumeration. Then the
model learns from pairs, by every method at every learning rate, in lockstep on the same batches.

    table = simulate_language(Language(), seed=0, device="cpu").table
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from neural.alignment import cdpo
from neural.alignment.per_step_advantage import preference_pairs
from neural.tiny_lm.chain_arithmetic import ChainArithmetic
from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.logprobs import token_logps
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample
from neural.tiny_lm.train import ensemble_token_logps, train_lm
from neural.unlearning.losses import dpo_loss
from simulations import Replicate
from theory.alignment.cdpo import no_success_level, prefix_success, success_without_token

__all__ = ["METHODS", "Language", "simulate_language"]

METHODS = (
    "dpo", "cdpo", "cdpo per position", "rpo", "cdpo + nll", "tdpo", "sft on positives", "cdpo both sides",
    "cdpo, shuffled scores",
)  # fmt: skip
_WINDOWS = 8
"""Points of the curves of log-ratios."""


@dataclass(frozen=True)
class Language:
    """The teacher's problems, answers to fresh ones, models of both kinds, what is judged, and learning from pairs.

    Learning rates: in trial runs with other seeds three times the largest was worse with every method, and a third of
    the least no better.
    """

    base: int = 5
    n_ops: int = 3
    teacher: int = 192
    d_model: int = 32
    n_layers: int = 1
    sft_steps: int = 200
    sft_batch: int = 32
    sft_rate: float = 5e-3
    fresh: int = 900
    answers: int = 8
    contrast_steps: int = 60
    contrast_rate: float = 1e-3
    contrast_beta: float = 1.0
    judged: int = 64
    right_judged: int = 12
    rollouts: int = 64
    exact: int = 16
    prune: float = 1e-5
    pairs: int = 600
    gamma: float = 0.1
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    steps: int = 24
    batch: int = 12
    validation: int = 100
    test: int = 300


def simulate_language(settings: Language, seed: int, device: str) -> Replicate:
    """Rows of four kinds: ``tokens``, ``exact``, ``passk`` (by k), ``arm`` (by method and rate)."""
    world = ChainArithmetic(settings.base, settings.n_ops)
    generator = torch.Generator().manual_seed(seed % 2**63)
    on_device = torch.Generator(device).manual_seed(seed % 2**63 + 1)
    base = _taught(world, settings, generator, device)
    prompts = world.problems(settings.fresh, generator).to(device)
    answers = _answers(base, world, prompts, settings.answers, on_device)
    right = world.verify(prompts.repeat_interleave(settings.answers, 0), answers.flatten(0, 1)).view(answers.shape[:2])
    training: Counter = Counter()
    pos, neg = _contrast_models(base, world, settings, (prompts, answers, right), generator, training)
    usable = min(settings.pairs, int((right.any(1) & ~right.all(1)).sum()))
    rows, arrays = _critical(world, settings, (base, pos, neg), (training, usable), generator, on_device, device)
    pairs = _one_pair_per_problem(right, settings.pairs, generator).to(device)
    texts = prompts[pairs[:, 0]], answers[pairs[:, 0], pairs[:, 1]], answers[pairs[:, 0], pairs[:, 2]]
    arms, curves = _learned(world, settings, (base, pos, neg), texts, generator, device)
    table = pd.DataFrame(rows + arms)
    return Replicate(table.fillna({"method": "base", "learning_rate": 0.0}), {**arrays, "curves": curves})


# the world --------------------------------------------------------------------------------------


def _taught(world: ChainArithmetic, settings: Language, generator: torch.Generator, device: str) -> TinyGPT:
    prompts = world.problems(settings.teacher, generator)
    ids, mask = world.texts(prompts, world.solve(prompts))
    own = int(torch.randint(2**31, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own)
        model = TinyGPT(world.vocab_size, settings.d_model, settings.n_layers, max_len=ids.shape[1]).to(device)
    alone = TinyGPTEnsemble(model, 1)
    train_lm(alone, ids.to(device), mask.to(device), settings.sft_steps, settings.sft_batch, settings.sft_rate, own)
    return alone.model(0)


def _answers(model: TinyGPT, world: ChainArithmetic, prompts: Tensor, count: int, generator: torch.Generator) -> Tensor:
    found = sample(model, prompts.repeat_interleave(count, 0), world.solution_length, generator=generator)
    return found.view(len(prompts), count, -1)


def _contrast_models(
    base: TinyGPT,
    world: ChainArithmetic,
    settings: Language,
    sampled: tuple[Tensor, Tensor, Tensor],
    generator: torch.Generator,
    counted: Counter,
) -> tuple[TinyGPT, TinyGPT]:
    """Trained on from the base: one right answer per problem; wrong ones with a problem's commonest wrong results."""
    prompts, answers, right = sampled
    chosen: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    results = answers[:, :, -2].tolist()
    formed = (answers[:, :, -3] == world.answer) & (answers[:, :, -2] < world.base) & (answers[:, :, -1] == world.eos)
    well_formed = formed.tolist()
    for problem, flags in enumerate(right.tolist()):
        if any(flags):
            chosen[True].append((problem, flags.index(True)))
        wrong = [k for k, flag in enumerate(flags) if not flag and well_formed[problem][k]]
        kept = 0
        for result, count in Counter(results[problem][k] for k in wrong).most_common():
            if 2 * kept >= len(wrong):
                break
            chosen[False].append((problem, next(k for k in wrong if results[problem][k] == result)))
            kept += count
    length = max(map(len, chosen.values()))
    texts = []
    for kind in (True, False):
        picked = torch.tensor(chosen[kind] or [(0, 0)])
        # Both in lockstep: the smaller set is gone through more often.
        picked = picked[torch.arange(length) % len(picked)].to(prompts.device)
        texts.append(world.texts(prompts[picked[:, 0]], answers[picked[:, 0], picked[:, 1]]))
    both = TinyGPTEnsemble(base, 2)
    with _counting(both, counted):
        train_lm(
            both, torch.stack([ids for ids, _ in texts]), torch.stack([mask for _, mask in texts]),
            settings.contrast_steps, settings.sft_batch, settings.contrast_rate,
            seed=int(torch.randint(2**31, (1,), generator=generator)),
        )  # fmt: skip
    return both.model(0), both.model(1)


def _one_pair_per_problem(right: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Rows (problem, right answer, wrong answer), each problem once."""
    if not bool((right.any(1) & ~right.all(1)).any()):
        raise ValueError("no problem has both right and wrong answers: the model is perfect or knows nothing")
    pairs = preference_pairs(right.cpu(), generator)
    pairs = pairs[torch.randperm(len(pairs), generator=generator)]
    seen: set[int] = set()
    first = [row for row, problem in enumerate(pairs[:, 0].tolist()) if not (problem in seen or seen.add(problem))]
    return pairs[first[:most]]


# critical tokens --------------------------------------------------------------------------------


def _critical(
    world: ChainArithmetic,
    settings: Language,
    models: tuple[TinyGPT, TinyGPT, TinyGPT],
    spent: tuple[Counter, int],
    generator: torch.Generator,
    on_device: torch.Generator,
    device: str,
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """``spent``: what training both models took, and how many answers share it."""
    base, pos, neg = models
    prompts = world.problems(4 * settings.judged, generator).to(device)
    answers = _answers(base, world, prompts, 1, on_device)[:, 0]
    right = world.verify(prompts, answers)
    wrong, good = (kind.nonzero()[:, 0] for kind in (~right, right))
    rows = torch.cat([wrong[: settings.judged], good[: settings.right_judged]])
    prompts, answers = prompts[rows], answers[rows]
    count = min(settings.judged, len(wrong))
    ids, _ = world.texts(prompts, answers)
    start, steps = world.prompt_length, 3 * world.n_ops
    rolling, scoring = Counter(), Counter()
    with _counting(base, rolling):
        scores = cdpo.rollout_scores(
            lambda prefixes, n_new: _continued(base, prefixes, n_new, on_device), ids, world.verify, settings.rollouts,
            prompt_length=start,
        )  # fmt: skip
    found = cdpo.find_critical_token(scores[:, :steps])
    wrong_found, ids, prompts, answers = found[:count], ids[:count], prompts[:count], answers[:count]
    with _counting(pos, scoring), _counting(neg, scoring), torch.no_grad():
        log_s = cdpo.contrastive_estimation(pos(ids), neg(ids), ids, settings.contrast_beta)[:, start - 1 :]
    has = wrong_found >= 0
    row = {
        "kind": "tokens", "wrong": count, "critical": float(has.float().mean()),
        "critical_right": float((found[count:] >= 0).float().mean()) if len(found) > count else 0.0,
        "first_token": float((wrong_found == 0).float().mean()),
        "differs": _share(wrong_found != _first_wrong_token(world, prompts, answers), has),
        **_separation(settings, models, ids, log_s, wrong_found, start, generator),
        **_passes_compared(spent, scoring, rolling, count, len(found)),
    }  # fmt: skip
    passk, exact = _with_and_without(world, settings, base, prompts, answers, wrong_found, on_device)
    few = slice(0, settings.exact)
    compared, arrays = _against_exact(world, settings, base, prompts[few], answers[few], scores[:count][few], generator)
    arrays |= {"ids": ids[few].cpu().numpy(), "log_s": log_s[few].double().cpu().numpy(),
               "critical": wrong_found[few].cpu().numpy()}  # fmt: skip
    return [row | exact, *passk, *compared], arrays


def _continued(
    model: TinyGPT, prefixes: Tensor, n_new: int, generator: torch.Generator, forbidden: Tensor | None = None
) -> Tensor:
    """Sampled continuations; equal prefixes are read once. The first new token is not the ``forbidden`` one."""
    unique, where = torch.unique(prefixes, dim=0, return_inverse=True)
    caches: list[dict[str, Tensor]] = [{} for _ in model.blocks]
    with torch.no_grad():
        logits = model(unique, caches)[:, -1][where]
        caches = [{name: value[where] for name, value in cache.items()} for cache in caches]
        if forbidden is not None:
            logits = logits.scatter(1, forbidden[:, None], -torch.inf)
        new = []
        for position in range(prefixes.shape[1], prefixes.shape[1] + n_new):
            new.append(torch.multinomial(logits.softmax(-1), 1, generator=generator))
            if len(new) < n_new:
                logits = model(new[-1], caches, pos0=position)[:, -1]
    return torch.cat(new, dim=1)


def _first_wrong_token(world: ChainArithmetic, prompts: Tensor, answers: Tensor) -> Tensor:
    """Place of the first token that is not what the problem and the value written before it ask for.

    An answer whose steps are all right has its place behind the steps.
    """
    digits, kinds = world.parts(prompts)
    steps = answers[:, : 3 * world.n_ops].unflatten(1, (world.n_ops, 3))
    before = torch.cat([digits[:, :1], steps[:, :-1, 2]], dim=1)
    result = torch.where(kinds == 1, before * digits[:, 1:], before + digits[:, 1:]) % world.base
    expected = torch.stack([world.plus + kinds, digits[:, 1:], result], dim=2)
    ok = (steps == expected).flatten(1)
    return ok.long().cumprod(1).sum(1)


def _separation(
    settings: Language,
    models: tuple[TinyGPT, TinyGPT, TinyGPT],
    ids: Tensor,
    log_s: Tensor,
    critical: Tensor,
    start: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """How well small scores mark critical tokens, by contrast, by single models, by models exchanged or equal."""
    base, pos, neg = models
    steps = ids.shape[1] - start - 3
    kept = (critical >= 0).nonzero()[:, 0]
    if len(kept) == 0:
        names = ("contrast", "base", "positive", "equal", "exchanged", "shuffled", "contrast_results", "base_results")
        return {f"auc_{name}": 0.5 for name in names} | {"s_critical": 0.5, "s_other": 0.5}
    label = torch.arange(steps, device=ids.device) == critical[kept, None]
    with torch.no_grad():
        logits = {name: model(ids[kept]) for name, model in (("base", base), ("pos", pos), ("neg", neg))}
        texts, beta = ids[kept], settings.contrast_beta
        scores = {
            "contrast": log_s[kept],
            "base": token_logps(logits["base"], texts)[:, start - 1 :],
            "positive": token_logps(logits["pos"], texts)[:, start - 1 :],
            "equal": cdpo.contrastive_estimation(logits["pos"], logits["pos"], texts, beta)[:, start - 1 :],
            "exchanged": cdpo.contrastive_estimation(logits["neg"], logits["pos"], texts, beta)[:, start - 1 :],
        }
    scores = {name: values[:, :steps].double().cpu().numpy() for name, values in scores.items()}
    order = torch.rand(len(kept), steps, generator=generator).argsort(1).numpy()
    scores["shuffled"] = np.take_along_axis(scores["contrast"], order, axis=1)
    truth = label.cpu().numpy()
    row = {f"auc_{name}": float(roc_auc_score(truth.ravel(), -values.ravel())) for name, values in scores.items()}
    results = truth[:, 2::3]
    for name in ("contrast", "base"):
        both = 0 < results.sum() < results.size
        auc = roc_auc_score(results.ravel(), -scores[name][:, 2::3].ravel()) if both else 0.5
        row[f"auc_{name}_results"] = float(auc)
    s = np.exp(scores["contrast"])
    return row | {"s_critical": float(s[truth].mean()), "s_other": float(s[~truth].mean())}


def _with_and_without(
    world: ChainArithmetic,
    settings: Language,
    base: TinyGPT,
    prompts: Tensor,
    answers: Tensor,
    critical: Tensor,
    generator: torch.Generator,
) -> tuple[list[dict], dict[str, float]]:
    """Success of new rollouts after the critical token, and from just before it with that token forbidden."""
    n, length = settings.rollouts, world.solution_length
    right = {"with": [torch.zeros(0, dtype=torch.long)], "without": [torch.zeros(0, dtype=torch.long)]}
    for place in range(3 * world.n_ops):
        rows = (critical == place).nonzero()[:, 0].repeat_interleave(n)
        if len(rows) == 0:
            continue
        for side, end in (("with", place + 1), ("without", place)):
            kept = answers[rows, :end]
            banned = answers[rows, place] if side == "without" else None
            new = _continued(base, torch.cat([prompts[rows], kept], 1), length - end, generator, banned)
            good = world.verify(prompts[rows], torch.cat([kept, new], 1))
            right[side].append(good.view(-1, n).sum(1).cpu())
    counts = {side: torch.cat(parts) for side, parts in right.items()}
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= n]
    table = [
        {"kind": "passk", "k": k, **{side: _mean(cdpo.pass_at_k(n, c, k)) for side, c in counts.items()}} for k in ks
    ]
    return table, {f"pass1_{side}": float(table[0][side]) for side in counts}


def _against_exact(
    world: ChainArithmetic,
    settings: Language,
    base: TinyGPT,
    prompts: Tensor,
    answers: Tensor,
    scores: Tensor,
    generator: torch.Generator,
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Rollouts and their critical tokens against exact chances of success."""
    steps = 3 * world.n_ops

    def verify(given: np.ndarray, texts: np.ndarray) -> np.ndarray:
        return world.verify(*(torch.from_numpy(each) for each in (given, texts))).numpy()

    # One answer at a time: the tree of its continuations fits into memory.
    trees = [
        prefix_success(_CachedLaws(base, prompts.device), given[None], text[None], verify, settings.prune, 10**9)
        for given, text in zip(prompts.cpu().numpy(), answers.cpu().numpy(), strict=True)
    ]
    lower, upper, probs = (
        np.concatenate([getattr(one, name) for one in trees]) for name in ("lower", "upper", "probs")
    )
    middle = torch.from_numpy((lower + upper) / 2)
    after = middle[:, 1:]
    none = no_success_level(settings.rollouts)
    truth = cdpo.find_critical_token(after[:, :steps], none=none)
    estimate = scores.double().cpu()
    found = cdpo.find_critical_token(estimate[:, :steps])
    order = torch.rand(len(estimate), steps, generator=generator).argsort(1)
    shuffled = cdpo.find_critical_token(estimate[:, :steps].gather(1, order))
    # Far from the level on both sides no 64 rollouts are likely to be mistaken.
    clear = ((after[:, :steps] < none / 4) | (after[:, :steps] > 0.1)).all(1)
    has = truth >= 0
    picked = has.nonzero()[:, 0]
    place = truth[picked]
    before, then = middle[picked, place], after[picked, place]
    prob = torch.from_numpy(probs)[picked, place]
    without = success_without_token(before.numpy(), then.numpy(), prob.numpy()) if len(picked) else np.zeros(1)
    lower, upper = lower[:, 1:-1], upper[:, 1:-1]
    rolled = estimate[:, :-1].numpy()
    row = {
        "kind": "exact", "answers": len(truth), "agreement": float((found == truth).double().mean()),
        "shuffled_agreement": float((shuffled == truth).double().mean()),
        "near_agreement": float(((found - truth).abs() <= 1).double().mean()),
        "clear": float(clear.double().mean()), "clear_agreement": _share(found == truth, clear),
        "exact_critical": float(has.double().mean()),
        "exact_differs": _share(truth != _first_wrong_token(world, prompts, answers).cpu(), has),
        "exact_with": float(then.mean()) if len(picked) else 0.0, "exact_without": float(without.mean()),
        "error": float(np.sqrt(((rolled - lower) ** 2).mean())), "pruned": float((upper - lower).mean()),
        "deviation": _outside(rolled, lower, upper, settings.rollouts),
        "wrong_by": _outside(rolled, lower[:, ::-1], upper[:, ::-1], settings.rollouts),
        "nodes": sum(one.nodes for one in trees),
    }  # fmt: skip
    arrays = {"exact": middle.numpy(), "rollouts": estimate.numpy(), "exact_critical": truth.numpy()}
    return [row], arrays


class _CachedLaws:
    """Laws of the next token for prefixes that grow by one: keys and values of what has been read are kept."""

    def __init__(self, model: TinyGPT, device: torch.device) -> None:
        self.model, self.device = model, device
        self.places: dict[bytes, int] = {}
        self.caches: list[dict[str, Tensor]] = [{} for _ in model.blocks]

    @torch.no_grad()
    def __call__(self, prefixes: np.ndarray) -> np.ndarray:
        ids = torch.from_numpy(prefixes).to(self.device)
        seen = 0
        if self.places:
            seen = prefixes.shape[1] - 1
            parents = torch.tensor([self.places[row.tobytes()] for row in prefixes[:, :-1]], device=self.device)
            self.caches = [{name: value[parents] for name, value in cache.items()} for cache in self.caches]
        logits = self.model(ids[:, seen:], self.caches, pos0=seen)[:, -1]
        self.places = {row.tobytes(): place for place, row in enumerate(prefixes)}
        return logits.double().softmax(-1).cpu().numpy()


def _outside(estimate: np.ndarray, lower: np.ndarray, upper: np.ndarray, rollouts: int) -> float:
    """Root mean square of standard errors by which rollouts leave the exact bounds."""
    nearest = np.clip(estimate, lower, upper)
    spread = np.sqrt(nearest * (1 - nearest) / rollouts + 0.25 / rollouts**2)
    return float(np.sqrt((((estimate - nearest) / spread) ** 2).mean()))


def _passes_compared(
    spent: tuple[Counter, int], scoring: Counter, rolling: Counter, scored: int, rolled: int
) -> dict[str, float]:
    """Texts and tokens that went through a model, for one answer each; training counts thrice, for its gradients.

    A text that grows by a token is a pass of its own, as in the paper's count.
    """
    training, answers = spent
    per_rollout, per_score = rolling["texts"] / rolled, scoring["texts"] / scored
    whole = 3 * training["texts"] / answers + per_score
    tokens = 3 * training["tokens"] / answers + scoring["tokens"] / scored
    return {
        "passes_rollouts": per_rollout,
        "passes_contrast": per_score,
        "passes_training": 3.0 * training["texts"],
        "pass_ratio": per_score / per_rollout,
        "pass_ratio_with_training": whole / per_rollout,
        "token_ratio_with_training": tokens * rolled / rolling["tokens"],
    }


@contextmanager
def _counting(model: nn.Module, counted: Counter) -> Iterator[None]:
    """Count what goes through a model."""
    models = model.models if isinstance(model, TinyGPTEnsemble) else 1

    def note(_module: nn.Module, given: tuple) -> None:
        ids = given[0]
        shared = models if ids.ndim == 2 else 1
        counted["tokens"] += shared * ids.numel()
        counted["texts"] += shared * ids.numel() // ids.shape[-1]

    handle = model.register_forward_pre_hook(note)
    try:
        yield
    finally:
        handle.remove()


def _share(values: Tensor, among: Tensor) -> float:
    """Mean of flags where ``among``, 0 where there are none."""
    return float(values[among].double().mean()) if bool(among.any()) else 0.0


def _mean(values: Tensor) -> float:
    return float(values.mean()) if values.numel() else 0.0


# learning from pairs ----------------------------------------------------------------------------


def _learned(
    world: ChainArithmetic,
    settings: Language,
    models: tuple[TinyGPT, TinyGPT, TinyGPT],
    texts: tuple[Tensor, Tensor, Tensor],
    generator: torch.Generator,
    device: str,
) -> tuple[list[dict], np.ndarray]:
    base, pos, neg = models
    problems, right, wrong = texts
    start = world.prompt_length - 1
    ids = torch.stack([world.texts(problems, side)[0] for side in (right, wrong)], dim=1)
    with torch.no_grad():
        flat = ids.flatten(0, 1)
        ref_logits = base(flat)
        reference = token_logps(ref_logits, flat)[:, start:].view(len(ids), 2, -1)
        ref_logits = ref_logits.view(*ids.shape, -1)
        scores = cdpo.contrastive_estimation(pos(flat), neg(flat), flat, settings.contrast_beta).exp()
        scores = scores[:, start:].view(len(ids), 2, -1)
    order = torch.rand(scores.shape[0], scores.shape[2], generator=generator).argsort(1).to(device)
    data = {"scores": scores, "shuffled": scores[:, 1].gather(1, order)}
    rates = torch.tensor(settings.rates * len(METHODS), device=device)
    together = TinyGPTEnsemble(base, len(rates))
    optimizer = EnsembleAdamW(together.parameters(), rates, weight_decay=0.0)
    left, followed = torch.empty(0, dtype=torch.long), []
    for _ in range(settings.steps):
        if len(left) < settings.batch:
            left = torch.cat([left, torch.randperm(len(ids), generator=generator)])
        rows, left = left[: settings.batch].to(device), left[settings.batch :]
        batch = ids[rows].flatten(0, 1)
        logits = together(batch)
        logps = ensemble_token_logps(logits, batch)[..., start:].unflatten(1, (len(rows), 2))
        ratios = (logps.detach() - reference[rows]).sum(-1).mean(1)
        followed.append(ratios)
        here = {name: values[rows] for name, values in data.items()}
        optimizer.step(_losses(settings, logits, logps, reference[rows], ref_logits[rows], here, start).sum())
    curves = torch.stack(followed)
    windows = torch.stack([part.mean(0) for part in curves.chunk(min(_WINDOWS, settings.steps))]).cpu().numpy()
    judged = world.problems(settings.validation + settings.test, generator).to(device)
    some = ids[: settings.batch * 6].flatten(0, 1)
    with torch.no_grad():
        last = ensemble_token_logps(together(some), some)[..., start:].unflatten(1, (-1, 2))
    final = (last - reference[: settings.batch * 6]).sum(-1).mean(1)
    rows = []
    for k in range(together.models + 1):
        tuned = base if k == 0 else together.model(k - 1)
        good = world.verify(judged, sample(tuned, judged, world.solution_length, 0.0)).double()
        rows.append(
            {"kind": "arm", "method": "base" if k == 0 else METHODS[(k - 1) // len(settings.rates)],
             "learning_rate": 0.0 if k == 0 else settings.rates[(k - 1) % len(settings.rates)],
             "validation": float(good[: settings.validation].mean()),
             "accuracy": float(good[settings.validation :].mean()),
             "chosen": 0.0 if k == 0 else float(final[k - 1, 0]),
             "rejected": 0.0 if k == 0 else float(final[k - 1, 1]), "pairs": len(ids)}
        )  # fmt: skip
    return rows, windows


def _losses(
    settings: Language,
    logits: Tensor,
    logps: Tensor,
    reference: Tensor,
    ref_logits: Tensor,
    data: dict[str, Tensor],
    start: int,
) -> Tensor:
    """One loss per model, each method's at all its rates at once."""
    count, gamma = len(settings.rates), settings.gamma
    losses = []
    for number, method in enumerate(METHODS):
        own = slice(number * count, (number + 1) * count)

        def repeated(values: Tensor) -> Tensor:
            return values.expand(count, *values.shape).flatten(0, 1)

        pol_w, pol_l = (logps[own, :, side].flatten(0, 1) for side in (0, 1))
        ref_w, ref_l = (repeated(reference[:, side]) for side in (0, 1))
        scores_w, scores_l = (repeated(data["scores"][:, side]) for side in (0, 1))
        every = torch.ones_like(pol_w, dtype=torch.bool)
        texts = (pol_w, pol_l, ref_w, ref_l)
        if method == "dpo":
            sums = [each.sum(1) for each in texts]
            each = dpo_loss(*sums, beta=gamma, scale=gamma, reduction="none")
        elif method == "rpo":
            each = cdpo.rpo_loss(*texts, every, every, gamma, reduction="none")
        elif method == "sft on positives":
            each = -pol_w.mean(1)
        elif method == "tdpo":
            mine = logits[own].unflatten(1, (-1, 2))
            kl_w, kl_l = (
                cdpo.token_forward_kl(mine[:, :, side].flatten(0, 1), repeated(ref_logits[:, side]))[:, start:]
                for side in (0, 1)
            )
            each = cdpo.tdpo_loss(*texts, kl_w, kl_l, every, every, gamma, reduction="none")
        else:
            if method == "cdpo, shuffled scores":
                scores_l = repeated(data["shuffled"])
            each = cdpo.cdpo_loss(
                *texts, every, every, scores_l, gamma,
                scores_w=scores_w if method == "cdpo both sides" else None,
                form="token" if method == "cdpo per position" else "sequence",
                nll_weight=1.0 if method == "cdpo + nll" else 0.0, reduction="none",
            )  # fmt: skip
        losses.append(each.view(count, -1).mean(1))
    return torch.cat(losses)
