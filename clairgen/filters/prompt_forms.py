"""The forms of the filters that compare prompts: with earlier prompts of the run, and with evaluations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field

from clairgen.filters.settings_fields import Action, Marking


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


def _spelled_out(written: object) -> object:
    if isinstance(written, str) or written is False:
        return {"action": written}
    if isinstance(written, Mapping | BaseModel):
        return written
    raise ValueError(f"write drop, mark or off, or its settings as a mapping, not {written!r}")


NearDuplicateField: TypeAlias = Annotated[NearDuplicate, BeforeValidator(_spelled_out)]
ContaminationField: TypeAlias = Annotated[Contamination, BeforeValidator(_spelled_out)]
