"""What is said before the first step: of a learning rate for large models, and of winners and losers under the model."""

from pathlib import Path

import pytest
from datasets import Dataset

from clairgen_train.opening_remarks import learning_rate_remark, likelihood_remarks, likelihoods
from clairgen_train.run import examine, prepare, run
from clairgen_train.settings import CONFIGS, TrainingSettings, load_settings
from tests.training.small_run import pair, settings, trained, written

WINNER_LIKELIER = {"chosen_ids": [1, 2], "rejected_ids": [3], "ref_chosen_logps": -3.0, "ref_rejected_logps": -4.0}
LOSER_LIKELIER = {"chosen_ids": [1, 2], "rejected_ids": [3], "ref_chosen_logps": -5.0, "ref_rejected_logps": -4.0}
THE_SAME = {"chosen_ids": [1], "rejected_ids": [1], "ref_chosen_logps": -9.0, "ref_rejected_logps": -9.0}


def chosen(**given: object) -> TrainingSettings:
    return load_settings(None, {"model": "m"} | given)


def rows(likelier: int, unlikelier: int) -> Dataset:
    return Dataset.from_list([WINNER_LIKELIER] * likelier + [LOSER_LIKELIER] * unlikelier + [THE_SAME] * 5)


def test_likelihoods_are_of_pairs_whose_answers_differ() -> None:
    found = likelihoods(rows(3, 1))
    assert found is not None
    assert (found.pairs, found.preferred, found.chosen, found.rejected) == (4, 3, -14 / 8, -4.0)
    assert likelihoods(rows(0, 0)) is None
    assert likelihoods(rows(1, 0).remove_columns("ref_chosen_logps")) is None
    assert likelihood_remarks(rows(0, 0), chosen()) == []


def test_winners_that_the_model_prefers_already_are_a_warning() -> None:
    fact, warning = likelihood_remarks(rows(15, 5), chosen())
    assert fact == (
        "before training, m finds the winner likelier than the loser in 75% of 20 pairs (95% interval 53% to 89%); per token, "
        "winners have -1.75 nats and losers -4.00"
    )
    assert warning.startswith("warning: the model prefers most winners already")


def test_losers_that_the_model_prefers_are_a_note_under_dpo_alone() -> None:
    assert len(likelihood_remarks(rows(5, 15), chosen())) == 1
    assert len(likelihood_remarks(rows(10, 10), chosen(objective="dpo"))) == 1
    assert len(likelihood_remarks(rows(5, 15), chosen(objective="dpo", chosen_nll=1))) == 1
    _, note = likelihood_remarks(rows(5, 15), chosen(objective="dpo"))
    assert "use --objective apo-zero or --set chosen_nll=1" in note


def test_a_learning_rate_for_large_models_is_named_for_a_small_one_alone() -> None:
    said = learning_rate_remark(chosen(), 865_000)
    assert said is not None
    assert "learning_rate 2e-07 is one for billions of parameters" in said
    assert "m has 865,000" in said
    assert "try --config classroom" in said
    assert learning_rate_remark(chosen(), 10_000_000) is None
    for name in ("classroom", "laptop"):
        assert learning_rate_remark(load_settings(CONFIGS / f"{name}.yaml", {"model": "m"}), 865_000) is None


@pytest.mark.parametrize(("objective", "scored"), [("apo-zero", True), ("sft", False), ("kto", False)])
def test_a_run_says_it_once_and_a_dry_run_without_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], objective: str, scored: bool
) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(30)])
    given = {"objective": objective, "learning_rate": 2e-7, "warmup_ratio": 0.1}
    prepared = prepare(str(data), tmp_path / "dry", settings(tmp_path, **given))
    length, rate, *others = examine(prepared)
    steps = 28 if objective == "kto" else 14
    assert length == f"it would take {steps} steps, {-(-steps // 10)} of them to warm up"
    assert rate.startswith("warning: learning_rate 2e-07")
    assert ["finds the winner likelier than the loser in" in remark for remark in others[:1]] == [True] * scored
    assert not list(prepared.path.glob("*.safetensors"))
    capsys.readouterr()
    out = trained(tmp_path, "out", **given)
    said = capsys.readouterr().err
    assert all(said.count(remark) == 1 for remark in (rate, *others))
    assert "computing the reference" not in said  # it was computed in the dry run
    (out.path / "result.json").unlink()
    run(out)
    assert "warning: learning_rate" not in capsys.readouterr().err
