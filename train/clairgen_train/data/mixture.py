"""The data sets of a run: the one that DATA names, or those of a mixture file, each with its share of the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clairgen.config.strict_yaml import mapping, read_text, validated
from clairgen.errors import InputError
from clairgen_train.settings import TrainingSettings


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MixedDataSet(_Strict):
    """One data set of a mixture."""

    path: str = Field(
        min_length=1,
        description="A folder, a file, or owner/name on the hub; a relative path counts from the mixture file.",
    )
    subset: str | None = Field(None, description="The subset (recipe), if there are several.")
    split: str | None = Field(None, description="The split to train on; that of the settings if left out.")
    test_split: str | None = Field(None, description="The split to hold out from; that of the settings if left out.")
    revision: str | None = Field(None, description="Branch, tag or commit of a data set on the hub.")
    ratio: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Its share of the rows, relative to the others' ratios; give all or none, and none takes all rows.",
    )


class Mixture(_Strict):
    """A mixture file: `clairgen train mixture.yaml OUT`."""

    data_sets: list[MixedDataSet] = Field(min_length=1, description="The data sets to train on together.")

    @model_validator(mode="after")
    def _all_ratios_or_none(self) -> "Mixture":
        if len({each.ratio is None for each in self.data_sets}) > 1:
            raise ValueError("give a ratio to all data sets or to none of them")
        return self


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set to read rows from; `ratio` is None where all its rows are used."""

    data: str
    subset: str | None
    split: str
    test_split: str
    revision: str | None
    ratio: float | None = None


def is_mixture(data: str) -> bool:
    """Whether DATA names a mixture file instead of a data set."""
    return Path(data).suffix in (".yaml", ".yml")


def data_sources(data: str, settings: TrainingSettings) -> list[DataSource]:
    """The data sets that `data` stands for. Raises ConfigError or InputError for a mistake in a mixture."""
    default = DataSource(data, settings.subset, settings.train_split, settings.test_split, settings.data_revision)
    if not is_mixture(data):
        return [default]
    for name in ("subset", "data_revision"):
        if getattr(settings, name) is not None:
            raise InputError(f"{data} is a mixture, so {name} is ambiguous; write it beside the data set that it is of")
    mixture = validated(mapping(read_text(Path(data)), Mixture, data), Mixture, data)
    return [
        DataSource(
            data=str(beside) if (beside := Path(data).parent / each.path).exists() else each.path,
            subset=each.subset,
            split=each.split or settings.train_split,
            test_split=each.test_split or settings.test_split,
            revision=each.revision,
            ratio=each.ratio,
        )
        for each in mixture.data_sets
    ]


def rows_of_each(sources: Sequence[DataSource], sizes: Sequence[int]) -> list[int]:
    """How many rows to take of each data set, which have `sizes` rows: the most that have the ratios without repeating a row.

    Raises InputError where a ratio leaves a data set without a row.
    """
    ratios = [source.ratio for source in sources]
    if None in ratios:
        return list(sizes)
    per_ratio = min(size / (ratio or 1) for size, ratio in zip(sizes, ratios, strict=True))
    counts = [min(size, round(per_ratio * (ratio or 1))) for size, ratio in zip(sizes, ratios, strict=True)]
    for source, count in zip(sources, counts, strict=True):
        if not count:
            raise InputError(
                f"the ratio {source.ratio:g} leaves no row of {source.data}, since no row is repeated and the smallest data set "
                f"has {min(sizes):,} rows; raise that ratio, or leave the data set out"
            )
    return counts
