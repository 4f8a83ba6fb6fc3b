"""Runs of unlearning in lockstep, what is measured of them, and how learning rates are chosen."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import log_expit

from neural.tiny_lm.ensemble import TinyGPTEnsemble
from neural.tiny_lm.fictional_authors import FictionalAuthors
from neural.tiny_lm.logprobs import sequence_logps, token_logps
from neural.tiny_lm.train import cosine_schedule
from neural.unlearning import npo as losses
from simulations.unlearning import unlearning_runs as runs
from simulations.unlearning.author_models import AuthorTraining, AuthorTrainings, _blank, train_author_models
from simulations.unlearning.forgetting_sweeps import SWEEP_CLAIMS, beta_sweep, fraction_sweep, weight_sweep
from simulations.unlearning.forgotten_authors import (
    authors_tuned,
    late_exponents,
    sentences_at_equal_forgetting,
    strengths,
)
from simulations.unlearning.random_features import _BETAS, distance, feature_problem, forget_slope, trajectory

TRAINING = AuthorTraining(n_authors=10, n_values=6, d_model=8, steps=30, batch_size=16)
SETTINGS = runs.UnlearningRuns(
    fraction=0.2, steps=4, batch_size=6, evaluate_at=(2, 4), forget_facts=8, other_facts=8, training=TRAINING
)


def test_lockstep_is_each_method_alone_whatever_its_neighbours():
    names, rates = ["NPO+RT", "GA", "DPO+RT", "GA+KL"], [1e-2, 3e-3, 1e-2, 2e-2]
    together = runs.unlearning_runs([runs.METHODS[n] for n in names], rates, SETTINGS, 3, "cpu")
    assert set(together["method"]) == {*names, "original", "retrained"}
    for name, rate in (("GA+KL", 2e-2), ("DPO+RT", 1e-2)):
        alone = runs.unlearning_runs([runs.METHODS[name]], [rate], SETTINGS, 3, "cpu")
        pair = [t[t["method"] == name].drop(columns="method").reset_index(drop=True) for t in (together, alone)]
        pd.testing.assert_frame_equal(*pair, rtol=1e-3, atol=1e-4)


def test_a_run_is_descent_on_the_objective_by_hand():
    """NPO+RT with AdamW of torch on the same batches ends where the lockstep does."""
    world = runs.authors_world(SETTINGS, 3, "cpu")
    forgotten = world.authors.facts(world.authors.splits(0.2).forget).trained.flat()
    retained = world.authors.facts(world.authors.splits(0.2).retain).trained.flat()
    model, start = world.original, {k: v.clone() for k, v in world.original.state_dict().items()}
    with torch.no_grad():
        reference = sequence_logps(token_logps(model(forgotten.ids), forgotten.ids), forgotten.mask)
    generator = torch.Generator().manual_seed(3)
    batches = [runs._batches(len(texts.ids), SETTINGS, generator) for texts in (forgotten, retained)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    for rows, kept in zip(*batches, strict=True):
        token = token_logps(model(forgotten.ids[rows]), forgotten.ids[rows])
        retain = token_logps(model(retained.ids[kept]), retained.ids[kept])
        loss = losses.npo_loss(sequence_logps(token, forgotten.mask[rows]), reference[rows], 0.1)
        optimizer.zero_grad()
        (loss + losses.nll_retain_loss(retain, retained.mask[kept])).backward()
        optimizer.step()
    expected = runs.measured(model, world)
    model.load_state_dict(start)
    found = runs.unlearning_runs([runs.METHODS["NPO+RT"]], [1e-2], SETTINGS, 3, "cpu").iloc[-1]
    for column in ("utility", "truth_ratio", "forget_probability", "retain_probability"):
        assert_allclose(found[column], expected[column], rtol=1e-3)


def test_models_trained_in_lockstep_are_what_torch_trains_on_the_same_batches():
    """The second of two models, without a fifth of the authors, against AdamW of torch on its own batches."""
    training = AuthorTraining(n_authors=10, n_values=6, d_model=8, steps=4, batch_size=16, lr=1e-2)
    found = train_author_models(AuthorTrainings(training, (0.2,)), 5, "cpu")
    world = FictionalAuthors(10, 6, 5)
    texts, generator = [world.training_set(without) for without in (None, 0.2)], torch.Generator().manual_seed(5)
    orders = [torch.randperm(len(each.ids), generator=generator) for each in texts]
    assert min(map(len, orders)) >= 4 * 16
    model, own, order = _blank(training, 11), texts[1], orders[1]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    for step in range(4):
        rows = order[16 * step : 16 * (step + 1)]
        optimizer.param_groups[0]["lr"] = 1e-2 * cosine_schedule(step, 4)
        optimizer.zero_grad()
        log_probs = token_logps(model(own.ids[rows]), own.ids[rows])
        (-log_probs[own.mask[rows]].mean()).backward()
        optimizer.step()
    together = TinyGPTEnsemble(model, 2)
    together.load_state_dict(found)
    with torch.no_grad():
        assert_allclose(together.model(1)(own.ids[:20]), model(own.ids[:20]), atol=1e-4)


def test_given_models_take_the_place_of_the_trained_ones():
    world = runs.authors_world(SETTINGS, 3, "cpu")
    pair = world.retrained, world.original
    table = runs.unlearning_runs([runs.METHODS["GA"]], [1e-3], SETTINGS, 3, "cpu", models=pair)
    usual = runs.unlearning_runs([runs.METHODS["GA"]], [1e-3], SETTINGS, 3, "cpu").set_index("method")
    exchanged = table.set_index("method")
    assert exchanged.loc["original", "forget_probability"] == usual.loc["retrained", "forget_probability"]
    assert exchanged.loc["retrained", "forget_probability"] == usual.loc["original", "forget_probability"]


def test_only_what_is_followed_is_measured_on_the_way():
    methods = [runs.METHODS["NPO"], runs.METHODS["GA"]]
    table = runs.unlearning_runs(methods, [1e-3, 1e-3], SETTINGS, 3, "cpu", followed=[True, False])
    steps = table.groupby("method")["step"].apply(list)
    assert steps["NPO"] == [2, 4]
    assert steps["GA"] == [4]
    assert steps["original"] == [0]


def test_sentences_are_recognised_and_babble_is_not():
    authors = FictionalAuthors(10, 6)
    facts = authors.facts(range(8))

    class Says(torch.nn.Module):
        """A model that continues every prompt with one text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.ids = authors.tokenizer.encode(text)

        def forward(self, ids):
            logits = torch.zeros(*ids.shape, authors.vocab_size)
            logits[:, -1, self.ids[min(ids.shape[1] - authors.prompt_length, len(self.ids) - 1)]] = 1.0
            return logits

    for text, share in (
        ("the job of author3 is job2 <eos>", 1.0), ("author9 has city year1 <eos>", 1.0),
        ("as genre , land2 has capital0 <eos>", 1.0), ("the the of author3 is job2 <eos>", 0.0),
        ("author9 has city city1 city1", 0.0), ("i do not know <eos>", 0.0), ("author9 author9 author9", 0.0),
    ):  # fmt: skip
        assert runs.well_formed(Says(text), facts, authors) == share


def test_rates_are_chosen_by_the_other_replicates():
    table = pd.DataFrame(
        {
            "replicate": [0, 0, 1, 1, 2, 2], "method": "a", "learning_rate": [0.1, 0.2] * 3,
            "score": [9.0, 0.0, 0.0, 1.0, 0.0, 1.0],
        }
    )  # fmt: skip
    chosen = runs.chosen_elsewhere(table, "score").set_index("replicate")["learning_rate"]
    # Replicate 0 would choose 0.1 for itself; the others say 0.2, and it says 0.1 to them.
    assert chosen.to_dict() == {0: 0.2, 1: 0.1, 2: 0.1}
    alone = runs.chosen_elsewhere(table[table["replicate"] == 1], "score")
    assert alone["learning_rate"].tolist() == [0.2]


@pytest.mark.parametrize("method", ["GA+RT", "NPO", "DPO+RT", "IDK+RT"])
def test_slopes_of_the_features_experiment_are_those_of_the_losses(method):
    rng = np.random.default_rng(0)
    z, z_ref, y = rng.normal(size=6) * 2, rng.normal(size=6), rng.integers(0, 2, 6)
    logits = torch.tensor(z, requires_grad=True)

    def logp(values, label):
        return torch.nn.functional.logsigmoid((2 * torch.as_tensor(label) - 1) * values)

    reference, name = torch.tensor(z_ref), method.removesuffix("+RT")
    if name == "GA":
        loss = losses.ga_loss(logp(logits, y))
    elif name == "NPO":
        loss = losses.npo_loss(logp(logits, y), logp(reference, y), _BETAS["NPO"])
    elif name == "IDK":
        loss = -(logp(logits, np.zeros(6)) + logp(logits, np.ones(6))).mean() / 2
    else:
        coins = [
            losses.dpo_loss(
                logp(logits, coin * np.ones(6)), logp(logits, y), logp(reference, coin * np.ones(6)),
                logp(reference, y), _BETAS["DPO"],
            )
            for coin in (0, 1)
        ]  # fmt: skip
        loss = (coins[0] + coins[1]) / 2
    (gradient,) = torch.autograd.grad(loss, logits)
    assert_allclose(6 * gradient, forget_slope(method, z, z_ref, y), atol=1e-12)


def test_features_start_at_the_original_and_distances_are_divergences():
    problem = feature_problem(0, forget=50, retain=100, fresh=40)
    rows = pd.DataFrame(trajectory(problem, ["GA", "NPO+RT"], [1e-3, 1e-3], 3, (0, 3)))
    start = distance(problem.retrained, problem.original[None], problem.test[0])[0]
    assert_allclose(rows.loc[rows["step"] == 0, "forget_distance"], start, rtol=1e-6)
    assert distance(problem.retrained, problem.retrained[None], problem.test[1]) == [0.0]
    p, q = (1 / (1 + np.exp(-problem.test[1].astype(float) @ w)) for w in (problem.retrained, problem.original))
    by_hand = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert_allclose(distance(problem.retrained, problem.original[None], problem.test[1])[0], by_hand, rtol=1e-4)
    assert log_expit(0.0) < 0


def test_features_in_lockstep_are_each_method_alone():
    problem, methods = feature_problem(1, forget=40, retain=60, fresh=20), ["GA", "NPO+RT", "GA+KL", "NPO+RT", "IDK+RT"]
    rates = [1e-2, 3e-2, 1e-2, 1e-3, 2e-2]
    together = pd.DataFrame(trajectory(problem, methods, rates, 20, (20,)))
    for number, (method, rate) in enumerate(zip(methods, rates, strict=True)):
        alone = pd.DataFrame(trajectory(problem, [method], [rate], 20, (20,)))
        pd.testing.assert_frame_equal(together.iloc[[number]].reset_index(drop=True), alone, rtol=1e-4)


def test_methods_that_ran_with_every_rate_are_told():
    rows = pd.DataFrame({"method": ["a", "a", "b"], "learning_rate": [1.0, 2.0, 1.0]})
    assert runs.at_all_rates(rows)["method"].tolist() == ["a", "a"]


def test_sweeps_take_the_ends_of_their_own_arms():
    table = SWEEP_CLAIMS[0].example()
    other = table[table["method"] == "NPO+RT"]
    table = pd.concat([table, other.assign(learning_rate=1.0), other.assign(step=10)], ignore_index=True)
    assert sorted(weight_sweep(table)["level"].unique()) == [0, 1, 2, 5]
    assert sorted(beta_sweep(table)["level"].unique()) == [0, 0.01, 0.1, 1, 5]
    assert (beta_sweep(table).groupby(["replicate", "level"]).size() == 1).all()
    swept = fraction_sweep(table)
    assert set(swept["method"]) == {"NPO+RT", "GA+RT"}
    assert (swept.groupby(["replicate", "fraction", "method"]).size() == 1).all()
    arms = {method.name: (method.beta, method.coef_r) for method in strengths((0.01,), (2.0,))}
    assert arms == {"NPO+RT, beta 0.01": (0.01, 1.0), "NPO+RT, weight 2": (None, 2.0)}


def test_a_small_beta_has_to_end_where_ascent_does():
    table = SWEEP_CLAIMS[0].example()
    claim = next(claim for claim in SWEEP_CLAIMS if claim.id == "C12")
    apart = table["retain_kl"].where(table["method"] != "NPO+RT, beta 0.01", 5.0)
    assert claim.judge(table.assign(retain_kl=apart)).outcome == "refuted"


def path(method, steps, **columns):
    return pd.DataFrame({"method": method, "step": steps, **columns})


def authors_table():
    both = [
        path("original", [0], forget_probability=[1.0], well_formed=[1.0], retain_kl=[0.0]),
        path("retrained", [0], forget_probability=[0.1], well_formed=[1.0], retain_kl=[0.0]),
        path("GA", [10, 20, 40], forget_probability=[0.01, 1e-4, 1e-6], well_formed=[0.0, 0.0, 0.0], retain_kl=[1.0, 2.0, 4.0]),
        path("NPO", [10, 20, 40], forget_probability=[0.5, 0.4, 0.3], well_formed=[1.0, 0.9, 0.8], retain_kl=[1.0, 2.0, 2.0]),
    ]  # fmt: skip
    rates = {"replicate": 0, "learning_rate": 1.0, "common_rate": 1.0, "fraction": 0.1}
    return pd.concat(both, ignore_index=True).assign(**rates, forget_quality=0.5, utility=0.5)


def test_sentences_are_compared_where_forgetting_is_equal():
    shares = sentences_at_equal_forgetting(authors_table()).set_index("method")["well_formed"]
    assert_allclose(shares["GA"], 0.5)  # half way from 1 to 0.01 on a logarithmic scale
    assert shares["NPO"] == 0.8  # never comes down to 0.1: its last share


def test_late_exponents_are_those_of_the_last_doubling():
    exponents = late_exponents(authors_table()).set_index("method")["exponent"]
    assert_allclose(exponents[["GA", "NPO"]], [1.0, 0.0], atol=1e-12)


def test_utility_counts_only_where_the_facts_are_forgotten():
    table = authors_table()
    last = table[table["step"] == 40]
    table = pd.concat([table, last.assign(learning_rate=2.0, utility=0.9, forget_quality=0.01)], ignore_index=True)
    chosen = authors_tuned(table).set_index("method")
    assert chosen.loc["GA", "learning_rate"] == 1.0
    assert chosen.loc["GA", "usable"] == 0.5
