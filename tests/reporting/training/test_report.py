"""The stable face of `report --training --json`, and what is told where runs are compared."""

import json
import math
from dataclasses import replace
from pathlib import Path

from clairgen.reporting.training.diagnostics.registry import cautions, differing_settings
from clairgen.reporting.training.report import TrainingReport
from tests.reporting.training.made import FOUR, HEALTHY, Planned, columns, trajectory

ESTIMATES = {
    *("chosen_logps", "rejected_logps", "chosen_per_token", "rejected_per_token", "chosen_reward", "rejected_reward"),
    *("margin", "accuracy", "sampled_tokens"),
}


def test_the_object_has_these_keys(tmp_path: Path) -> None:
    told = TrainingReport(trajectory(tmp_path, FOUR["dpo"])).to_json()
    told = json.loads(json.dumps(told, allow_nan=False))
    assert set(told) == {
        *("run", "objective", "beta", "data", "model", "version", "pairs", "measurements", "diagnostics", "settings"),
        *("sicknesses", "deprecated"),
    }
    assert told["sicknesses"] == told["diagnostics"]
    assert told["deprecated"] == {"sicknesses": "renamed to 'diagnostics'; read that key instead"}
    assert (told["run"], told["objective"], told["beta"], told["pairs"]) == (str(tmp_path), "dpo", 0.1, 100)
    assert len(told["measurements"]) == 19
    last = told["measurements"][-1]
    assert set(last) == {*ESTIMATES, "step", "epoch", "ties", "pairs", "not_finite"}
    assert all(set(last[name]) == {"mean", "se", "n"} for name in ESTIMATES)
    assert [one["name"] for one in told["diagnostics"]] == ["length_drift", "chosen_falls"]
    assert [one["kind"] for one in told["diagnostics"]] == ["warning", "remark"]
    for one in told["diagnostics"]:
        assert set(one) == {"name", "kind", "step", "seen", "may_mean", "to_try", "figures"}
        assert all(one[part][0].isupper() and one[part].endswith(".") for part in ("seen", "may_mean", "to_try"))


def test_no_value_is_null_and_never_nan(tmp_path: Path) -> None:
    lost: list[object] = [*columns(HEALTHY)["chosen_logps"][:-100], *[math.nan] * 100]
    told = TrainingReport(trajectory(tmp_path / "a", HEALTHY, {"chosen_logps": lost})).to_json()
    assert json.loads(json.dumps(told, allow_nan=False))["measurements"][-1]["margin"] == {
        "mean": None,
        "se": None,
        "n": 0,
    }
    alone = TrainingReport(trajectory(tmp_path / "b", Planned(pairs=1))).to_json()
    assert json.loads(json.dumps(alone, allow_nan=False))["measurements"][0]["margin"] == {
        "mean": 0,
        "se": None,
        "n": 1,
    }


def test_runs_that_are_hard_to_compare_are_told_so(tmp_path: Path) -> None:
    first = trajectory(tmp_path / "a", HEALTHY)
    assert cautions([first, trajectory(tmp_path / "b", FOUR["sft"])]) == []
    other = trajectory(tmp_path / "c", replace(HEALTHY, pairs=90, beta=0.3, model="models/other"))
    assert len(cautions([first, other])) == 3
    assert cautions([]) == []


def test_settings_that_differ_are_told(tmp_path: Path) -> None:
    for name, rate in (("a", "2e-07"), ("b", "1e-06")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "training.yaml").write_text(f"learning_rate: {rate}\nepochs: 18\n")
    runs = [trajectory(tmp_path / name, HEALTHY) for name in ("a", "b", "c")]
    assert differing_settings(runs[:2]) == {"learning_rate": ["2e-07", "1e-06"]}
    assert differing_settings(runs)["epochs"] == ["18", "18", "–"]
