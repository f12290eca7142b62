"""The forms in which one filter may be written in a configuration: its action, its bounds, or both."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

Action: TypeAlias = Literal["drop", "mark", "off"]
Range: TypeAlias = tuple[float | None, float | None]

DEFAULT_LENGTH_RATIO: Range = (0.5, 2.0)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("action", mode="before", check_fields=False)
    @classmethod
    def _known_action(cls, action: object) -> object:
        # YAML 1.1 reads a bare `off` as false.
        action = "off" if action is False else action
        if action is not None and action not in ("drop", "mark", "off"):
            raise ValueError(f"a filter's action is drop, mark or off, not {action!r}")
        return action


class Switch(_Strict):
    """A filter without a measure."""

    action: Action = Field(
        default="drop", description="What to do with a pair at fault: drop it, mark it, or off: do not look."
    )


class Marking(Switch):
    """A filter without a measure that judges by phrases or the like, and so only marks until it is told otherwise."""

    action: Action = Field(
        default="mark", description="What to do with a pair at fault: drop it, mark it, or off: do not look."
    )


class Bounds(_Strict):
    """A filter on a measure."""

    bounds: Range | None = Field(
        default=None, description="Lowest and highest value that is kept; null leaves an end open."
    )
    action: Action | None = Field(
        default=None, description="What to do with a pair outside the bounds: drop it, mark it, or off: do not look."
    )

    @field_validator("bounds", mode="before")
    @classmethod
    def _ordered_numbers(cls, bounds: object) -> object:
        if bounds is None:
            return None
        if not isinstance(bounds, Sequence) or isinstance(bounds, str | bytes) or len(bounds) != 2:
            raise ValueError(f"bounds are written as [lowest, highest], not {bounds!r}")
        low, high = (_bound(bound) for bound in bounds)
        if low is None and high is None:
            raise ValueError("one of the two bounds must be a number; write off to turn the filter off")
        if low is not None and high is not None and low > high:
            raise ValueError(f"the lowest value {low:g} lies above the highest value {high:g}")
        return low, high


def _bound(bound: object) -> float | None:
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        raise ValueError(f"a bound is a number or null, not {bound!r}")
    try:
        number = float(bound)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"a bound is a finite number, not {number}; write null to leave an end open")
    if number < 0:
        raise ValueError(f"a bound is not negative, but {number:g} is")
    return number


def _spelled_out(written: object) -> object:
    """The full form of a filter that is written as its bounds or its action alone."""
    if isinstance(written, Mapping | BaseModel):
        return written
    if isinstance(written, str) or written is False:
        return {"action": written}
    if isinstance(written, Sequence):
        return {"bounds": written}
    raise ValueError(f"write [lowest, highest], drop, mark, off or {{bounds: ..., action: ...}}, not {written!r}")


def _spelled_out_switch(written: object) -> object:
    if isinstance(written, str) or written is False:
        return {"action": written}
    if isinstance(written, Mapping | BaseModel):
        return written
    raise ValueError(f"this filter has no bounds; write drop, mark or off, not {written!r}")


def _with_default_length_ratio(written: object) -> object:
    written = written.model_dump() if isinstance(written, Bounds) else _spelled_out(written)
    if isinstance(written, Mapping) and written.get("bounds") is None:
        return {**written, "bounds": DEFAULT_LENGTH_RATIO}
    return written


SwitchField: TypeAlias = Annotated[Switch, BeforeValidator(_spelled_out_switch)]
MarkingField: TypeAlias = Annotated[Marking, BeforeValidator(_spelled_out_switch)]
BoundsField: TypeAlias = Annotated[Bounds, BeforeValidator(_spelled_out)]
LengthRatioField: TypeAlias = Annotated[Bounds, BeforeValidator(_with_default_length_ratio)]


class NearDuplicate(Marking):
    """The filter on prompts that are nearly an earlier one."""

    action: Action = Field(
        "off", description="What to do with such a pair; off by default, since it takes 2 KB of memory a prompt."
    )
    threshold: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Jaccard index of three-word runs from which on two prompts are nearly the same; lower it to find more.",
    )


class Contamination(Marking):
    """The filter on prompts that overlap with evaluations."""

    files: tuple[Path, ...] = Field(
        default=(), description="Evaluation files (.jsonl, .csv, or .txt with an item a line); none: do not look."
    )
    ngram: int = Field(
        default=13, ge=3, description="Words in a row that make an overlap; fewer find more and err more often."
    )


def _spelled_out_settings(written: object) -> object:
    if isinstance(written, str) or written is False:
        return {"action": written}
    if isinstance(written, Mapping | BaseModel):
        return written
    raise ValueError(f"write drop, mark or off, or its settings as a mapping, not {written!r}")


NearDuplicateField: TypeAlias = Annotated[NearDuplicate, BeforeValidator(_spelled_out_settings)]
ContaminationField: TypeAlias = Annotated[Contamination, BeforeValidator(_spelled_out_settings)]
