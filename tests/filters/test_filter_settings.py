import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from clairgen.errors import ConfigError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.length_ratio import LengthRatio
from clairgen.filters.pipeline import FilterPipeline
from clairgen.filters.registry import FILTERS
from clairgen.records import FilterAction

MEASURES = ["length_ratio", "jaccard", "levenshtein"]
SWITCHES = ["format", "truncated", "cut_prompt", "empty", "identical", "embedded_markup"]
MARKINGS = [
    *(
        "revision_mention",
        "lost_answer",
        "refusal",
        "language",
        "removed_markup",
        "removed_space",
        "unknown_finish_reason",
    ),
    *("contamination", "near_duplicate"),
]
NEWER = dict.fromkeys(
    ("cut_prompt", "embedded_markup", "removed_markup", "removed_space", "unknown_finish_reason"), "off"
)
"""Filters that a record of an older version does not have."""


def settings(written: Mapping[str, object] | str) -> FilterSettings:
    return FilterSettings.model_validate(yaml.safe_load(written) if isinstance(written, str) else written)


def test_every_filter_has_a_key_in_the_order_of_looking() -> None:
    assert [*FILTERS] == [*FilterSettings().model_dump()] == [one.name for one in FilterSettings().filters]
    assert sorted(FILTERS) == sorted([*MEASURES, "length_difference", "votes", *SWITCHES, *MARKINGS])
    assert [*FILTERS][:2] == ["truncated", "format"]
    assert [*FILTERS][-1] == "near_duplicate"


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("revises", [True, False])
def test_filters_without_a_measure_drop_by_default(name: str, *, revises: bool) -> None:
    assert FilterSettings().action(name, revises=revises) is FilterAction.DROP


@pytest.mark.parametrize("name", MARKINGS)
def test_filters_that_judge_by_phrases_and_prompts_only_mark_by_default(name: str) -> None:
    in_force = settings({"contamination": {"files": ["eval.jsonl"]}, "near_duplicate": "mark"})
    assert in_force.action(name, revises=True) is FilterAction.MARK
    others = None if FILTERS[name].only_revisions else FilterAction.MARK
    assert in_force.action(name, revises=False) is others
    assert settings({name: {}}).model_dump()[name]["action"] == ("off" if name == "near_duplicate" else "mark")


def test_contamination_is_off_until_it_has_files() -> None:
    assert settings("contamination: drop").action("contamination", revises=True) is None
    named = settings("contamination: {files: [sets/eval.jsonl, other.csv], ngram: 8, action: drop}")
    assert named.action("contamination", revises=False) is FilterAction.DROP
    assert named.phrases[-1] == "contamination with eval.jsonl, other.csv: drop"


def test_evaluation_files_are_counted_from_a_folder() -> None:
    named = settings({"contamination": {"files": ["eval.jsonl", "/data/other.csv"], "ngram": 8}})
    counted = named.counted_from(Path("/runs"))
    assert counted["contamination"].files == (Path("/runs/eval.jsonl"), Path("/data/other.csv"))
    assert counted["contamination"].ngram == 8
    assert FilterSettings.model_validate_json(counted.model_dump_json()) == counted


@pytest.mark.parametrize(
    "written",
    [
        {"near_duplicate": {"threshold": 0}},
        {"near_duplicate": {"threshold": 1.5}},
        {"contamination": {"ngram": 2}},
        {"contamination": {"files": "eval.jsonl"}},
        {"near_duplicate": [0.5, 1]},
    ],
)
def test_bad_measures_of_prompts_are_refused(written: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(written)
    assert refused.value.errors()[0]["loc"][0] in written


def test_length_ratio_drops_revisions_and_marks_others_by_default() -> None:
    assert FilterSettings().bounds("length_ratio") == (0.5, 2.0)
    assert FilterSettings().action("length_ratio", revises=True) is FilterAction.DROP
    assert FilterSettings().action("length_ratio", revises=False) is FilterAction.MARK


def test_new_length_ratio_bounds_leave_the_action_to_the_recipe() -> None:
    narrow = settings({"length_ratio": [0.8, 1.25]})
    assert narrow.bounds("length_ratio") == (0.8, 1.25)
    assert narrow.action("length_ratio", revises=True) is FilterAction.DROP
    assert narrow.action("length_ratio", revises=False) is FilterAction.MARK


@pytest.mark.parametrize("name", ["jaccard", "levenshtein", "length_difference"])
def test_jaccard_and_levenshtein_are_off_until_they_have_bounds(name: str) -> None:
    assert FilterSettings().action(name, revises=True) is None
    assert settings({name: [10, None]}).action(name, revises=False) is FilterAction.DROP


@pytest.mark.parametrize("name", [*SWITCHES, *MARKINGS, "votes"])
@pytest.mark.parametrize(("action", "does"), [("drop", "drop"), ("mark", "mark"), ("off", None)])
def test_switch_forms(name: str, action: str, does: str | None) -> None:
    for written in (f"{name}: {action}", f"{name}: {{action: {action}}}", f'{name}: "{action}"'):
        assert settings(written).model_dump()[name]["action"] == action
        assert name == "contamination" or settings(written).action(name, revises=True) == does


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(("action", "does"), [("drop", "drop"), ("mark", "mark"), ("off", None)])
def test_bounds_forms(name: str, action: str, does: str | None) -> None:
    full = settings(f"{name}: {{bounds: [2, 50], action: {action}}}")
    assert full.bounds(name) == (2.0, 50.0)
    assert full.action(name, revises=True) == full.action(name, revises=False) == does


@pytest.mark.parametrize(("action", "does"), [("drop", "drop"), ("mark", "mark"), ("off", None)])
def test_length_ratio_keeps_its_bounds_under_an_action_alone(action: str, does: str | None) -> None:
    for written in (f"length_ratio: {action}", f"length_ratio: {{action: {action}}}"):
        assert settings(written).bounds("length_ratio") == (0.5, 2.0)
        assert settings(written).action("length_ratio", revises=False) == does


def test_length_ratio_keeps_its_bounds_when_built_in_code() -> None:
    assert FilterSettings(length_ratio=LengthRatio(action="mark")).bounds("length_ratio") == (0.5, 2.0)


@pytest.mark.parametrize("name", ["jaccard", "levenshtein"])
def test_off_needs_no_bounds(name: str) -> None:
    assert settings(f"{name}: off").action(name, revises=True) is None


@pytest.mark.parametrize(
    ("bounds", "low", "high"), [("[3, null]", 3, None), ("[null, 30]", None, 30), ("[3, 3]", 3, 3)]
)
@pytest.mark.parametrize("name", MEASURES)
def test_null_is_an_open_end(name: str, bounds: str, low: float | None, high: float | None) -> None:
    assert settings(f"{name}: {bounds}").bounds(name) == (low, high)
    assert settings(f"{name}: {{bounds: {bounds}}}").bounds(name) == (low, high)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([30, 20], "the lowest value 30 is above the highest value 20"),
        ([-1, 20], "a bound is not negative, but -1 is"),
        ([math.nan, 20], "a bound is a finite number, not nan"),
        ([2, math.inf], "a bound is a finite number, not inf; write null to leave an end open"),
        ([2, 10**400], "a bound is a finite number, not inf"),
        (["2", 20], "a bound is a number or null, not '2'"),
        ([True, 20], "a bound is a number or null, not True"),
        ([None, None], "one of the two bounds must be a number; write off to turn the filter off"),
        ([2], r"bounds are written as \[lowest, highest\], not \[2\]"),
        ([2, 3, 4], "bounds are written as"),
        ([], "bounds are written as"),
    ],
)
def test_bad_bounds_are_refused_by_name(name: str, bounds: list[object], message: str) -> None:
    for written in (bounds, {"bounds": bounds}):
        with pytest.raises(ValidationError, match=message) as refused:
            settings({name: written})
        assert refused.value.errors()[0]["loc"][0] == name


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("written", [5, True, None, "keep", "0.5:2", {"action": "keep"}, {"action": ["drop"]}])
def test_what_is_no_form_is_refused(name: str, written: object) -> None:
    with pytest.raises(ValidationError, match=r"drop, mark or off|drop, mark, off or"):
        settings({name: written})


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("written", [[1, 2], {"bounds": [1, 2]}])
def test_a_filter_without_a_measure_has_no_bounds(name: str, written: object) -> None:
    with pytest.raises(ValidationError, match=r"has no bounds|not permitted"):
        settings({name: written})


@pytest.mark.parametrize("name", ["jaccard", "levenshtein", "length_difference"])
def test_an_action_without_bounds_is_refused_where_there_are_no_default_bounds(name: str) -> None:
    with pytest.raises(ValidationError, match="mark needs bounds") as refused:
        settings({name: "mark"})
    assert refused.value.errors()[0]["loc"] == (name,)


def test_jaccard_bounds_are_percentages() -> None:
    with pytest.raises(ValidationError, match="jaccard bounds go from 0 to 100"):
        settings({"jaccard": [10, 101]})
    with pytest.raises(ValidationError, match=r"not to 1: write 90 for 0\.9"):
        settings({"jaccard": [0.1, 0.9]})
    assert settings({"jaccard": [0.1, None]}).bounds("jaccard") == (0.1, None)


@pytest.mark.parametrize(
    "written", [{"lenght_ratio": [0.5, 2]}, {"jaccard": {"bound": [1, 2]}}, {"empty": {"do": "drop"}}]
)
def test_unknown_keys_are_refused(written: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        settings(written)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(FilterSettings(), "empty", "off")  # noqa: B010 - mypy refuses the plain assignment


@pytest.mark.parametrize(
    "written",
    [{}, {"length_ratio": "off"}, {"jaccard": [10, None], "levenshtein": {"bounds": [None, 9], "action": "mark"}}],
)
def test_json_comes_back_as_it_was(written: Mapping[str, object]) -> None:
    made = settings(written)
    assert FilterSettings.model_validate_json(made.model_dump_json()) == made
    short = json.loads(json.dumps(made.model_dump(mode="json", exclude_none=True)))
    assert FilterSettings.model_validate(short) == made
    assert settings(yaml.safe_dump(made.model_dump(mode="json"))) == made


def test_json_is_the_same_however_the_settings_are_written() -> None:
    one = settings("{length_ratio: [0.5, 2], empty: off, levenshtein: [1, 5000]}")
    same = settings("{levenshtein: {bounds: [1.0, 5.0e+3]}, empty: {action: 'off'}}")
    assert one.model_dump_json() == same.model_dump_json()
    assert FilterSettings().model_dump_json() == (
        '{"truncated":{"action":"drop"},"format":{"action":"drop"},"cut_prompt":{"action":"drop"},'
        '"empty":{"action":"drop"},"identical":{"action":"drop"},"embedded_markup":{"action":"drop"},'
        '"length_ratio":{"bounds":[0.5,2.0],"action":null},'
        '"length_difference":{"bounds":null,"action":null,"tokenizer":null},'
        '"jaccard":{"bounds":null,"action":null},"levenshtein":{"bounds":null,"action":null},'
        '"revision_mention":{"action":"mark"},"lost_answer":{"action":"mark"},"refusal":{"action":"mark"},'
        '"language":{"action":"mark"},"removed_markup":{"action":"mark"},"removed_space":{"action":"mark"},'
        '"unknown_finish_reason":{"action":"mark"},"contamination":{"action":"mark","files":[],"ngram":13},'
        '"votes":{"action":"off","found":["drop","swap"],"fewest":0},'
        '"near_duplicate":{"action":"off","threshold":0.8}}'
    )


def test_description_is_one_line() -> None:
    assert FilterSettings().description == (
        "truncated: drop; format: drop; cut_prompt: drop; empty: drop; identical: drop; embedded_markup: drop; "
        "length_ratio 0.5 to 2: drop revisions, mark others; "
        "revision_mention: mark revisions; lost_answer: mark revisions; refusal: mark; language: mark; "
        "removed_markup: mark; removed_space: mark; unknown_finish_reason: mark"
    )
    every_other = (
        "{format: off, truncated: off, empty: off, identical: mark, length_ratio: off, revision_mention: off, lost_answer: off, "
        "refusal: off, language: off, near_duplicate: off, embedded_markup: off, removed_markup: off, removed_space: off, "
        "unknown_finish_reason: off, cut_prompt: off"
    )
    assert settings(
        every_other + ", jaccard: [10, null], levenshtein: {bounds: [null, 5000], action: mark}}"
    ).phrases == (
        "identical: mark",
        "jaccard at least 10: drop",
        "levenshtein at most 5000: mark",
    )
    assert settings(every_other.replace(": mark", ": off") + "}").description == "no filter"


def test_every_key_is_explained() -> None:
    assert all(field.description for field in FilterSettings.known_fields().values())


def test_the_schema_has_a_described_key_for_every_filter() -> None:
    schema = FilterSettings.model_json_schema()
    schema = schema.get("$defs", {}).get(schema.get("$ref", "").rpartition("/")[2], schema)
    assert [*schema["properties"]] == [*FILTERS, "recipes"]
    assert schema["additionalProperties"] is False
    assert all(value["description"] for value in schema["properties"].values())


RECORD_OF_AN_OLDER_VERSION = (
    '{"format":{"action":"drop"},"truncated":{"action":"drop"},"empty":{"action":"drop"},"identical":{"action":"drop"},'
    '"length_ratio":{"bounds":[0.5,2.0],"action":null},"jaccard":{"bounds":null,"action":null},'
    '"levenshtein":{"bounds":null,"action":null},"allusion":{"action":"mark"},"lost_answer":{"action":"mark"},'
    '"refusal":{"action":"mark"},"language":{"action":"mark"},"contamination":{"action":"mark","files":[],"ngram":13},'
    '"near_duplicate":{"action":"off","threshold":0.8}}'
)


def test_a_record_of_an_older_version_equals_the_same_settings_of_this_one() -> None:
    assert FilterSettings.from_record(RECORD_OF_AN_OLDER_VERSION) == settings(NEWER)
    changed = RECORD_OF_AN_OLDER_VERSION.replace('"allusion":{"action":"mark"}', '"allusion":{"action":"drop"}')
    assert FilterSettings.from_record(changed) == settings({**NEWER, "revision_mention": "drop"})


def test_a_filter_that_is_newer_than_a_record_was_not_in_force() -> None:
    before = json.loads(RECORD_OF_AN_OLDER_VERSION)
    del before["refusal"]
    assert FilterSettings.from_record(json.dumps(before)) == settings({**NEWER, "refusal": "off"})


def test_the_old_name_of_a_filter_is_read_but_not_beside_the_new_one() -> None:
    assert settings("allusion: drop") == settings("revision_mention: drop")
    with pytest.raises(ValidationError, match="'allusion' is the old name of 'revision_mention'"):
        settings("{allusion: drop, revision_mention: mark}")


def test_a_filter_that_is_not_installed_any_more_can_be_turned_off_but_not_applied() -> None:
    record = json.loads(FilterSettings().model_dump_json()) | {"polite": {"words": ["please"], "action": "drop"}}
    recorded = FilterSettings.from_record(json.dumps(record))
    assert recorded.phrases[-1] == "polite: drop"
    assert json.loads(recorded.model_dump_json()) == record
    with pytest.raises(
        ConfigError, match="'polite' is in force in this run, but its plugin is not installed; install it"
    ):
        FilterPipeline(recorded)
    off = recorded.changed({"polite": {"action": "off"}, "refusal": {"action": "drop"}})
    assert "polite" not in off.description
    assert off.action("refusal", revises=False) is FilterAction.DROP
    FilterPipeline(off)


def test_changes_of_options_keep_the_others() -> None:
    named = settings({"contamination": {"files": ["eval.jsonl"], "ngram": 8}})
    changed = named.changed(
        {"contamination": {"action": "drop"}, "lost-answer": {"action": "drop"}, "allusion": {"action": "off"}}
    )
    assert changed["contamination"].model_dump(mode="json") == {"action": "drop", "files": ["eval.jsonl"], "ngram": 8}
    assert (changed["lost_answer"].action, changed["revision_mention"].action) == ("drop", "off")
    with pytest.raises(ConfigError, match="there is no filter 'refusals'; did you mean 'refusal'"):
        named.changed({"refusals": {"action": "off"}})


def test_what_is_not_a_mapping_is_refused() -> None:
    with pytest.raises(ValidationError, match="`filters` is a mapping of names of filters"):
        FilterSettings.model_validate(["refusal"])


OF_ONE_RECIPE = {
    "length_ratio": [0.5, 2.0],
    "recipes": {"degrade": {"length_ratio": "off", "near_duplicate": "drop"}, "clair": {"refusal": "drop"}},
}


def test_what_is_written_for_a_recipe_replaces_the_options_of_those_filters_alone() -> None:
    written = settings(OF_ONE_RECIPE)
    assert written.recipes == ("degrade", "clair")
    assert written.of("degrade") == settings({"length_ratio": "off", "near_duplicate": "drop"})
    assert written.of("clair") == settings({"refusal": "drop"})
    assert written.of("stronger-preferred") == written
    assert written.action("refusal", revises=False) is FilterAction.MARK
    assert written.phrases[-3:] == (
        "degrade alone: length_ratio off",
        "degrade alone: near_duplicate at least 0.8: drop",
        "clair alone: refusal: drop",
    )
    short = settings(
        {"length_ratio": {"bounds": [0.9, 1.1], "action": "mark"}, "recipes": {"a": {"length_ratio": [0.5, 2]}}}
    )
    assert short.of("a")["length_ratio"].action is None  # whole options are replaced, not single ones


def test_filters_of_recipes_are_recorded_and_compared_with_the_others() -> None:
    written = settings(OF_ONE_RECIPE)
    assert FilterSettings.from_record(written.model_dump_json()) == written != settings({"length_ratio": [0.5, 2.0]})
    assert "recipes" not in FilterSettings().model_dump()
    assert (written.compares_pairs, FilterSettings().compares_pairs) == (True, False)
    assert settings({"recipes": {"degrade": {"allusion": "off"}}}).phrases[-1] == "degrade alone: revision_mention off"


def test_filters_can_be_changed_for_single_recipes() -> None:
    changed = settings(OF_ONE_RECIPE).changed({"refusal": {"action": "off"}}, ["degrade", "new"])
    assert changed.action("refusal", revises=True) is FilterAction.MARK
    for recipe in ("degrade", "new"):
        assert changed.of(recipe).action("refusal", revises=True) is None
    assert changed.of("degrade").action("near_duplicate", revises=True) is FilterAction.DROP
    assert changed.of("clair").action("refusal", revises=True) is FilterAction.DROP


@pytest.mark.parametrize(
    ("written", "where", "message"),
    [
        ({"a": {"lenght_ratio": "off"}}, ("recipes", "a", "lenght_ratio"), "Extra inputs are not permitted"),
        ({"a": {"jaccard": [30, 20]}}, ("recipes", "a", "jaccard", "bounds"), "the lowest value 30 is above"),
        ({"a": "off"}, ("recipes", "a"), "Input should be a valid dictionary"),
        ({"a": {"recipes": {}}}, ("recipes", "a", "recipes"), "Extra inputs are not permitted"),
        (["a"], ("recipes",), "Input should be a valid dictionary"),
    ],
)
def test_wrong_filters_of_a_recipe_are_refused_by_their_place(
    written: object, where: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        settings({"recipes": written})
    assert refused.value.errors()[0]["loc"] == where


def test_paths_of_a_recipes_filters_are_counted_from_the_folder_too(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").touch()
    written = settings(
        {
            "recipes": {
                "a": {
                    "contamination": {"files": ["eval.jsonl"]},
                    "length_difference": {"bounds": [-9, 9], "tokenizer": "tokenizer.json"},
                }
            }
        }
    )
    found = written.counted_from(tmp_path).of("a")
    assert found["contamination"].files == (tmp_path / "eval.jsonl",)
    assert found["length_difference"].tokenizer == str(tmp_path / "tokenizer.json")
    assert settings(OF_ONE_RECIPE).counted_from(tmp_path) == settings(OF_ONE_RECIPE)
