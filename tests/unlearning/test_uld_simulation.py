"""Assistants in the simulation: what they are shown, what they become, how settings are chosen, what judges say."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from neural.tiny_lm.logprobs import token_logps
from neural.unlearning.uld import LogitDifferenceLM, assistant_loss, truncate_layers
from simulations import discovery
from simulations.runs import run
from simulations.unlearning import subtracted_assistants as assistants
from simulations.unlearning import uld as simulation
from simulations.unlearning.unlearning_runs import AuthorsWorld, UnlearningRuns, authors_world

SMALL = assistants.Authors(
    fractions=(0.2,), steps=6, batch_size=6, rates=(3e-3, 1e-2), alphas=(0.75, 1.25), more_alphas=(1.0,), looks=2,
    ga_rates=(1e-3, 2e-3), npo_rates=(2e-3, 4e-3), rival_looks=(2, 4), forget_facts=8, other_facts=8, n_authors=10,
    d_model=8, training_steps=30, training_batch=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def world() -> AuthorsWorld:
    training = assistants.AuthorTraining(n_authors=10, d_model=8, steps=30, batch_size=16, lr=2e-2)
    return authors_world(UnlearningRuns(0.2, forget_facts=8, other_facts=8, training=training), 5, "cpu")


@pytest.fixture(scope="module")
def replicate():
    return assistants.simulate_authors(SMALL, 5, "cpu")


def test_wrong_answers_are_never_true_and_never_in_the_style_that_is_held_out(world):
    facts = world.authors.splits(0.2).forget
    found = assistants._wrong_answers(world.authors, facts, 3, np.random.default_rng(0))
    texts = [world.authors.tokenizer.decode(row) for row in found.ids]
    for row, fact in enumerate(np.repeat(facts, 3).tolist()):
        held_out, true = world.authors.held_out_styles[fact], world.authors.answer(fact, 0).split()[-1]
        assert f"<q{held_out}>" not in texts[row]
        assert true not in texts[row].split()
    assert len(set(texts)) == 3 * len(facts)


def test_every_variant_is_shown_what_it_should_be(world):
    texts = assistants._Texts(SMALL, world, 0.2, 0)
    facts = world.authors.facts(world.authors.splits(0.2).forget)
    first = {tuple(row) for row in facts.trained.ids[:, 0].tolist()}
    forgotten = {tuple(row) for row in texts.both.ids.tolist()}
    wrong = {tuple(row) for row in texts.wrong.ids.tolist()}
    known = {tuple(row) for row in texts.known.ids.tolist()}
    assert not wrong & forgotten
    assert not known & forgotten
    for _ in range(5):
        batches = dict(zip(assistants.VARIANTS, texts.batches(assistants.VARIANTS), strict=True))
        for variant, (ids, mask) in batches.items():
            rows = [tuple(row) for row in ids.tolist()]
            assert set(rows[:6]) <= (first if variant == assistants.ONE_STYLE else forgotten)
            assert set(rows[6:9]) <= known
            assert set(rows[9:]) <= (known if variant == assistants.NO_WRONG else wrong)
            judged = mask[9:].sum(1).tolist()
            if variant in (assistants.ULD, assistants.ONE_STYLE, assistants.NO_UNIFORM):
                assert judged == [1, 1, 1]
                assert (ids[9:, 1:][mask[9:]] == world.authors.eos).all()
            else:
                assert min(judged) > 3


def test_a_share_of_the_uniform_loss_on_what_is_learnt_limits_the_probability_as_stated():
    words, weight, share = 7, 5.0, 0.3
    logits = torch.zeros(words, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        logs = logits.log_softmax(0)
        value = -logs[2] + weight * share * (-np.log(words) - logs.mean())
        value.backward()
        return value

    optimizer.step(loss)
    expected = (1 + weight * share / words) / (1 + weight * share)
    assert_allclose(logits.detach().softmax(0)[2], expected, rtol=1e-6)


def test_an_assistant_of_the_lockstep_is_what_it_is_alone(world):
    arms = [(variant, 1e-2) for variant in assistants.VARIANTS]
    together, _ = assistants._trained(SMALL, arms, world, 0.2, 3)
    texts = assistants._Texts(SMALL, world, 0.2, 3)
    model = truncate_layers(world.original, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    for _ in range(SMALL.steps):
        ((ids, mask),) = texts.batches([assistants.WHOLE])
        logits = model(ids)
        loss = assistant_loss(token_logps(logits[:6], ids[:6]), mask[:6], logits[6:], mask[6:], 5.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    own = together.model(1)
    ids = world.sets["forget"].trained.flat().ids
    assert_allclose(own(ids).detach(), model(ids).detach(), atol=2e-3)
    assert (together.model(0)(ids) - own(ids)).abs().max() > 0.05


def test_excluded_words_count_with_a_probability_that_is_small_and_not_nothing(world):
    filtered = LogitDifferenceLM(world.original, world.retrained, 1.0, 0.5)
    ids = world.sets["forget"].trained.flat().ids
    found = assistants._Bounded(filtered)(ids)
    kept = filtered(ids).log_softmax(-1)
    assert kept.isneginf().any()
    assert torch.equal(found[~kept.isneginf()], kept[~kept.isneginf()].clamp_min(-30))
    assert (found[kept.isneginf()] == -30).all()


def test_a_replicate_has_as_many_settings_of_every_method_and_follows_training(replicate):
    table = replicate.table
    settings = table[table["tuned"]].groupby("method").size()
    assert settings.to_dict() == {"ULD": 4, "GA+RT": 4, "NPO+RT": 4}
    path = table[table["part"] == "path"]
    assert set(path.loc[path["method"] == "ULD", "step"]) == {3, 6}
    assert (path.loc[path["method"] == "ULD", "objective"] >= 0).all()
    assert {assistants.EXCLUDED, assistants.ZEROED, *assistants.VARIANTS} <= set(table["method"])
    assert not table[table["part"] == "end"]["forget_quality"].isna().any()
    for part in ("forget", "retain"):
        words, logps = replicate.arrays[f"{part}_words"], replicate.arrays[f"{part}_logps"]
        assert words[-1] == "<eos>"
        assert logps.shape == (3, len(words))
        assert (logps <= 1e-6).all()


def test_a_strength_of_nothing_leaves_the_original_model_and_an_assistant_may_be_shorter():
    changes = {
        "n_layers": 2, "fractions": (0.5, 0.2), "alphas": (0.0,), "more_alphas": (), "steps": 2, "looks": 1,
        "rates": (1e-2,), "ga_rates": (1e-3,), "npo_rates": (), "rival_looks": (1,), "training_steps": 4,
    }  # fmt: skip
    table = assistants.simulate_authors(assistants.Authors(**{**SMALL.__dict__, **changes}), 5, "cpu").table
    assert set(table["fraction"]) == {0.2, 0.5}
    assert set(assistants.authors_rows(table)["fraction"]) == {0.5}
    rows = assistants.authors_rows(table, 0.2)
    own = rows[(rows["method"] == "ULD") & (rows["part"] == "end")]
    original = rows[rows["method"] == "original"]
    for column in ("utility", "forget_probability", "forget_quality", "well_formed"):
        assert_allclose(own[column], float(original[column].iloc[0]), rtol=1e-4)


def test_settings_are_chosen_on_other_worlds_and_by_the_criterion():
    rows = []
    for replicate in range(3):
        for rate, utility in ((1e-3, 0.5), (2e-3, 0.9 if replicate == 0 else 0.1)):
            rows.append({"replicate": replicate, "fraction": 0.1, "method": "ULD", "learning_rate": rate, "alpha": 1.0,
                         "step": 5, "tuned": True, "utility": utility, "forget_quality": 0.1})  # fmt: skip
        rows.append({**rows[-1], "learning_rate": 3e-3, "utility": 0.99, "forget_quality": 1e-3})
        rows.append({**rows[-1], "learning_rate": 4e-3, "utility": 0.05, "forget_quality": 0.9})
    table = pd.DataFrame(rows)
    # The world whose best is the second rate must not have chosen it; what has not forgotten is never chosen.
    assert assistants.authors_tuned(table).set_index("replicate")["rate"].tolist() == [1e-3] * 3
    assert assistants.authors_tuned(table, "log_quality")["rate"].tolist() == [4e-3] * 3


def test_counted_operations_are_those_of_the_matrices():
    settings = simulation.Cost(layers=3, assistant_layers=1, width=16, vocabulary=20, batch=4, length=6, rounds=2)
    operations = simulation.simulate_cost(settings, 0, "cpu").groupby("side")["operations"].first()

    def forward(layers, texts):
        return 2 * texts * 6 * (layers * 12 * 16**2 + 20 * 16)

    # A backward pass takes two products for each of the forward pass's. Attention itself may count besides.
    for side, expected in (
        (simulation._ASSISTANT, 3 * forward(1, 8)), (simulation._CACHED, 3 * forward(3, 8)),
        (simulation._ASCENT, 3 * forward(3, 8) + forward(3, 4)),
    ):  # fmt: skip
        assert expected <= operations[side] <= 1.1 * expected


def test_the_cost_leaves_torchs_own_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    simulation.simulate_cost(simulation.Cost(2, 1, 8, 20, 2, 5, 1), 0, "cpu")
    assert torch.rand(1) == expected


def test_controls_refute_what_computed_results_support(tmp_path):
    """Smaller worlds than the quick preset's, whatever they support."""
    changes = {
        "identities": {"instances": 15},
        "authors": {
            "n_authors": 10, "d_model": 16, "training_steps": 100, "training_batch": 24, "steps": 30, "batch_size": 8,
            "rates": (2e-2,), "alphas": (1.0,), "more_alphas": (0.5,), "ga_rates": (4e-3,), "npo_rates": (4e-3,),
            "rival_looks": (30,), "shown": ("GA",), "looks": 1, "fractions": (0.2,), "forget_facts": 8, "other_facts": 4,
        },
        "cost": {"rounds": 1, "batch": 4},
    }  # fmt: skip
    results = run("unlearning/uld", settings=changes, replicates=2, jobs=1, results=tmp_path)
    supported = {claim for claim, verdict in results.verdicts.items() if verdict.outcome == "supported"}
    assert {"C1", "C2", "C6a", "C7a"} <= supported, supported
    for claim in discovery.load("unlearning/uld").claims:
        if claim.id in supported:
            table = results.tables[claim.experiment]
            assert claim.judge(claim.control(table.copy())).outcome == "refuted", claim.id
