"""The card states what was trained on what, and a name cannot inject Markdown."""

from clairgen_train.model_card import card
from clairgen_train.settings import load_settings

FACTS = {
    "data": "pairs`\n# Injected",
    "subset": None,
    "train": {
        "kept": 3,
        "dropped": {"identical": 1},
        "truncated": {"chosen": 0},
        "objectives": {"dpo": 3},
        "sha256": "abc",
    },
}


def test_counts_and_means_are_shown_with_their_errors() -> None:
    means = {"mean": 0.25, "se": 0.05, "n": 9}
    metrics = {"held_out_pairs": 9} | dict.fromkeys(("reward_margin", "chosen_change", "rejected_change"), means)
    text = card(load_settings(None, {"model": "m", "objective": "dpo"}), FACTS, metrics, {"trl": "1.16.0"})
    assert "3 pairs of" in text
    assert "Dropped: 1 identical." in text
    assert "equation 6" in text
    assert "| reward margin | 0.25 ± 0.05 |" in text
    assert "\n# Injected" not in text


def test_one_held_out_pair_has_no_error_and_none_no_table() -> None:
    means = {"mean": 0.25, "se": None, "n": 1}
    metrics = {"held_out_pairs": 1} | dict.fromkeys(("reward_margin", "chosen_change", "rejected_change"), means)
    settings = load_settings(None, {"model": "m"})
    assert "| reward margin | 0.25 |" in card(settings, FACTS, metrics, {})
    assert "No pairs were held out." in card(settings, FACTS, {}, {})
