"""Which filters are in force, within which bounds, and what each does to a pair: `filters:` of the configuration.

A filter is written as its bounds, as its action, or as both:

    filters:
      length_ratio: [0.5, 2.0]                       # null leaves an end open
      jaccard: {bounds: [10, null], action: mark}
      truncated: mark
      empty: off
      near_duplicate: {threshold: 0.9, action: drop}
      contamination: {files: [eval.jsonl], ngram: 13, action: drop}
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from clairgen.filters.settings_fields import (
    DEFAULT_LENGTH_RATIO,
    Bounds,
    BoundsField,
    Contamination,
    ContaminationField,
    LengthRatioField,
    Marking,
    MarkingField,
    NearDuplicate,
    NearDuplicateField,
    Range,
    Switch,
    SwitchField,
)
from clairgen.records import FilterAction

FILTERS = (
    "truncated",
    "format",
    "empty",
    "identical",
    "length_ratio",
    "jaccard",
    "levenshtein",
    "allusion",
    "lost_answer",
    "refusal",
    "language",
    "contamination",
    "near_duplicate",
)
"""The filters in the order in which they look at a pair; the first that drops it gives the reason it is counted under.

`truncated` comes first, since an answer that was cut off before its solution has lost its format for that reason.
`near_duplicate` comes last, since only a pair that is kept can stand for a later one.
"""

ON_REVISIONS = ("allusion", "lost_answer")
"""The filters that look only at pairs of recipes that revise."""


class FilterSettings(BaseModel):
    """The filters in force. `model_dump_json` is the record of a filter set: all is written out, in one order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: SwitchField = Field(
        default=Switch(), description="Answers from which no chosen answer could be parsed; the reason says why."
    )
    truncated: SwitchField = Field(
        default=Switch(),
        description="Answers cut off at max_tokens; mark them if the model's limit is your own choice.",
    )
    empty: SwitchField = Field(default=Switch(), description="Pairs with an answer that is blank.")
    identical: SwitchField = Field(
        default=Switch(),
        description="Pairs whose answers are equal but for outer whitespace; they are never exported, whatever this says.",
    )
    length_ratio: LengthRatioField = Field(
        default=Bounds(bounds=DEFAULT_LENGTH_RATIO),
        description="Characters of chosen over characters of rejected; without an action it drops what recipes that revise "
        "made and marks what others made.",
    )
    jaccard: BoundsField = Field(
        default=Bounds(),
        description="Token Jaccard index times 100, from 0 to 100 as in the paper's Table 1; set it for more or less contrast.",
    )
    levenshtein: BoundsField = Field(
        default=Bounds(), description="Character edits between the two answers; set it for more or less contrast."
    )
    allusion: MarkingField = Field(
        default=Marking(), description="Revisions that openly say that they are one, where the task asked for none."
    )
    lost_answer: MarkingField = Field(
        default=Marking(), description="Revisions without any result or code where the student's answer had one."
    )
    refusal: MarkingField = Field(default=Marking(), description="Pairs with an answer that declines to answer.")
    language: MarkingField = Field(
        default=Marking(),
        description="Pairs whose answers are in different languages; short texts and code are passed.",
    )
    contamination: ContaminationField = Field(
        default=Contamination(),
        description="Prompts that share n-grams with evaluation files of yours; name the files.",
    )
    near_duplicate: NearDuplicateField = Field(
        default=NearDuplicate(),
        description="Prompts that are nearly an earlier one of the same recipe's kept pairs; seen when the whole run is.",
    )

    @field_validator("jaccard", mode="after")
    @classmethod
    def _percent(cls, jaccard: Bounds) -> Bounds:
        low, high = jaccard.bounds or (None, None)
        if max(low or 0, high or 0) > 100:
            raise ValueError("jaccard bounds go from 0 to 100")
        if high is not None and 0 < high <= 1:
            raise ValueError(f"jaccard bounds go from 0 to 100, not to 1: write {high * 100:g} for {high:g}")
        return jaccard

    @model_validator(mode="after")
    def _bounds_where_they_are_needed(self) -> "FilterSettings":
        for name in ("jaccard", "levenshtein"):
            setting: Bounds = getattr(self, name)
            if setting.bounds is None and setting.action in ("drop", "mark"):
                raise ValueError(f"{name}: {setting.action} needs bounds: {{bounds: [lowest, highest], action: ...}}")
        return self

    def action(self, name: str, *, revises: bool) -> FilterAction | None:
        """What this filter does to a pair at fault; None when it is off. `revises` is whether the pair's recipe does."""
        setting: Switch | Bounds = getattr(self, name)
        if (name in ON_REVISIONS and not revises) or (name == "contamination" and not self.contamination.files):
            return None
        if setting.action is not None:
            return None if setting.action == "off" else FilterAction(setting.action)
        if name == "length_ratio":
            return FilterAction.DROP if revises else FilterAction.MARK
        return FilterAction.DROP if setting.bounds else None

    def bounds(self, name: str) -> Range:
        """The lowest and the highest value that this filter keeps; None is an open end."""
        setting: Bounds = getattr(self, name)
        return setting.bounds or (None, None)

    def counted_from(self, folder: Path) -> "FilterSettings":
        """These settings with the paths of evaluations counted from `folder`, so that a run can be continued anywhere."""
        files = tuple(folder / file.expanduser() for file in self.contamination.files)
        return self.model_copy(update={"contamination": self.contamination.model_copy(update={"files": files})})

    @property
    def phrases(self) -> tuple[str, ...]:
        """A phrase for each filter in force, such as `length_ratio 0.5 to 2: drop`."""
        return tuple(phrase for name in FILTERS if (phrase := self._phrase(name)))

    @property
    def description(self) -> str:
        """All filters in force in one line."""
        return "; ".join(self.phrases) or "no filter"

    def _phrase(self, name: str) -> str:
        revision, other = self.action(name, revises=True), self.action(name, revises=False)
        if revision is None:
            return ""
        if other is None:
            return f"{name}: {revision} revisions"
        does = f"{revision}" if revision is other else f"{revision} revisions, {other} others"
        return f"{name}{_measure_words(self, name)}: {does}"


def _measure_words(settings: FilterSettings, name: str) -> str:
    if name == "near_duplicate":
        return f" at least {settings.near_duplicate.threshold:g}"
    if name == "contamination":
        return f" with {', '.join(file.name for file in settings.contamination.files)}"
    if not isinstance(getattr(settings, name), Bounds):
        return ""
    low, high = settings.bounds(name)
    if low is None:
        return f" at most {high:g}"
    return f" at least {low:g}" if high is None else f" {low:g} to {high:g}"
