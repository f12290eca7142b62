"""The card of a data set, with facts that would like to be markup."""

from dataclasses import replace
from typing import Any

import yaml
from markdown_it import MarkdownIt

from clairgen.exporting.columns import ExportFormat, ExportSummary
from clairgen.exporting.dataset_card import AdviceRow, CardFacts, ContrastRow, card, escaped

SUMMARY = ExportSummary(
    export_format=ExportFormat.PREFERENCE,
    rows={"best-of-2": {"train": 9}, "clair": {"train": 28_000, "test": 1000}},
    skipped={"too-long": 1234},
    content_hashes={"best-of-2": "sha256:aa", "clair": "sha256:bb"},
    test_fraction=0.05,
    seed=7,
    replaced_characters=2,
)
HOSTILE = "x|y\n---\n# <script>alert(1)</script> [a](http://b) `c` *d* @e \u202e\0{{ f }}: 'g' \"h\""
FACTS = CardFacts(
    title=HOSTILE,
    source='me/"mine"',
    models={"target": "meta-llama/Meta-Llama-3-8B-Instruct", "reviser": HOSTILE},
    templates={"revise": "sha256:0123"},
    filters=("length ratio 0.5 to 2", HOSTILE),
    contrast=(ContrastRow("clair", 29_000, 43.11, 1108.2, 1.314, "treebank"),),
)


def test_front_matter_is_what_datasets_and_the_hub_read() -> None:
    matter = front_matter(card(SUMMARY, FACTS))
    assert matter["license"] == "other"
    assert matter["pretty_name"] == HOSTILE
    assert set(matter["tags"]) == {"preference", "dpo", "clair", "trl"}
    assert matter["configs"] == [
        {
            "config_name": "best-of-2",
            "description": "sha256:aa",
            "data_files": [{"split": "train", "path": "best-of-2/train-*.parquet"}],
        },
        {
            "config_name": "clair",
            "description": "sha256:bb",
            "default": True,
            "data_files": [
                {"split": "train", "path": "clair/train-*.parquet"},
                {"split": "test", "path": "clair/test-*.parquet"},
            ],
        },
    ]


def test_card_accounts_for_how_the_pairs_were_made() -> None:
    text = card(SUMMARY, FACTS)
    assert "| clair | 28,000 | 1,000 |" in text
    assert "| too-long | 1,234 |" in text
    assert "| clair | 29,000 | 43.11 | 1108 | 1.31 | treebank |" in text
    assert "| revise | sha256\\:0123 |" in text
    assert "each task with a chance of 5.0%" in text
    assert "length ratio 0.5 to 2" in text
    assert "2408.06266" in text
    assert 'loss_type="apo_zero"' in text


def test_hostile_facts_stay_plain_words() -> None:
    text = card(SUMMARY, FACTS).partition("\n---\n\n")[2]
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(text.replace("<!-- made by clairgen export -->", ""))
    assert "<script" not in rendered
    assert 'href="http://b"' not in rendered
    assert rendered.count("<h1>") == 1
    assert rendered.count("<em>") == 0
    assert rendered.count("x|y --- # &lt;script&gt;") == 3  # title, model, filter
    assert "\u202e" not in rendered
    assert "\0" not in rendered


def test_escaped_text_is_one_line_and_keeps_ordinary_names_readable() -> None:
    assert escaped("gpt-4-0125-preview") == "gpt-4-0125-preview"
    assert escaped("a\r\nb\u2028c\ud800d") == "a b c d"


def test_examples_of_every_format_are_python() -> None:
    for export_format in ExportFormat:
        summary = ExportSummary(export_format, {"clair": {"test": 1}}, {}, {"clair": "sha256:bb"})
        text = card(summary, FACTS)
        code = text.partition("```python\n")[2].partition("```")[0]
        compile(code, "card", "exec")
        assert 'load_dataset("me/\\"mine\\"", "clair", split="test")' in code


def test_confirmed_answers_are_explained_and_left_out_of_the_example_for_pairs() -> None:
    for export_format in ExportFormat:
        summary = replace(SUMMARY, export_format=export_format, confirmed={"best-of-2": 0, "clair": 1234})
        text = card(summary, FACTS)
        assert "## Confirmed answers" in text
        assert "| clair | 1,234 |" in text
        code = text.partition("```python\n")[2].partition("```")[0]
        compile(code, "card", "exec")
        assert ('not row["confirmed"]' in code) is export_format.has_contrast
        assert ("neighbouring rows" in text) is (export_format is ExportFormat.KTO)
    assert "onfirmed" not in card(SUMMARY, FACTS)


def test_card_without_facts_has_no_empty_tables() -> None:
    summary = ExportSummary(ExportFormat.SFT, {"clair": {"train": 1}}, {}, {"clair": "sha256:bb"})
    text = card(summary, CardFacts())
    assert "## Contrast" not in text
    assert "| Role |" not in text
    assert "Filters" not in text
    assert front_matter(text)["pretty_name"] == "Preference pairs made with clairgen"


def front_matter(text: str) -> dict[str, Any]:
    matter: dict[str, Any] = yaml.safe_load(text.removeprefix("---\n").partition("\n---\n")[0])
    return matter


def test_advice_is_explained_where_pairs_have_it() -> None:
    advised = replace(FACTS, advice=(AdviceRow("clair", "apo-zero", HOSTILE, 28_900),))
    text = card(SUMMARY, advised)
    assert "| `objective` | the variant of APO that fits the pair" in text
    assert "## Objective" in text
    assert "| clair | `apo-zero` | 28,900 |" in text
    assert "<script>" not in MarkdownIt("commonmark").enable("table").render(text.split("## Objective")[1])
    assert "## Objective" not in card(SUMMARY, FACTS)
    assert "## Objective" not in card(replace(SUMMARY, export_format=ExportFormat.KTO), advised)
