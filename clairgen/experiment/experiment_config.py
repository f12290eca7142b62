"""The configuration of an experiment: which data sets, objectives, seeds and learning rates, and on how many questions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from clairgen.config.strict_yaml import DUMPER, mapping, read_text, validated
from clairgen.embedded.gguf import embedded_address
from clairgen.errors import ConfigError
from clairgen.wording import counted

Count = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
DataSet = Literal[
    "clair",
    "judge-on-policy",
    "judge-off-policy",
    "stronger-preferred",
    "worse-winners",
    "clair-one-part",
]
TWO_PART_SET: Final = "clair-one-part"
"""The data set whose questions have two parts."""
SET_BY_TRAINING: Final = frozenset(
    {
        *("model", "objective", "seed", "learning_rate", "epochs", "batch_size", "subset", "held_out_pairs", "measure"),
        *("checkpoints", "keep_checkpoints", "reference_cache", "early_stopping", "keep_best", "save_dtype", "gpus"),
    }
)
"""Training settings that the experiment sets itself."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Questions(_Strict):
    """How many questions are drawn, by which seed; a question of two parts counts as one."""

    single: NotNegative = Field(description="Questions of one part, the kinds in equal shares.")
    two_part: NotNegative = Field(
        0, description="Questions of two parts, whose score is the share of parts that are right."
    )
    seed: NotNegative = Field(description="Seed of the drawing.")

    @model_validator(mode="after")
    def _is_not_empty(self) -> "Questions":
        if not self.single + self.two_part:
            raise ValueError("no question is asked; set single or two_part above 0")
        return self

    @property
    def count(self) -> int:
        """All questions."""
        return self.single + self.two_part


class ExperimentConfig(_Strict):
    """All settings of an experiment. Every objective has the same number of settings on every data set."""

    student: str = Field(
        "classroom:student",
        description="The model that answers the tasks and is trained: one of the classroom's, or gguf: and the path of a GGUF "
        "file that lies beside model.safetensors.",
    )
    data_sets: list[DataSet] = Field(min_length=1, description="The data sets, in the order of the table's columns.")
    objectives: list[str] = Field(min_length=1, description="The objectives, in the order of the table's rows.")
    learning_rates: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=1, description="Learning rates to choose from, by the dev questions alone."
    )
    seeds: list[NotNegative] = Field(
        min_length=1, description="Seeds of training and sampling; the first one is that of the choice."
    )
    tasks: Questions = Field(description="Questions of the train split, of which pairs are made.")
    dev: Questions = Field(
        description="Questions of the dev split, by which learning rates and checkpoints are chosen."
    )
    test: Questions = Field(description="Questions of the test split, drawn once all choices are recorded.")
    pairs: Count = Field(description="Most pairs of a data set to train on; the smallest data set decides for all.")
    held_out_pairs: Count = Field(50, description="Pairs of each data set to follow over training.")
    epochs: Count = Field(2, description="Passes over the pairs.")
    batch_size: Count = Field(
        16, description="Pairs per step; objectives for single answers take twice as many answers."
    )
    checkpoints: Count = Field(2, description="Checkpoints of each training, evenly spaced, the last one at its end.")
    measurements: Count = Field(6, description="How often the held-out pairs are measured in each training.")
    temperature: float = Field(0.7, gt=0, description="Temperature at which questions are answered; no top-k or top-p.")
    answer_tokens: Count = Field(128, description="Most tokens of an answer.")
    training: dict[str, Any] = Field(default_factory=dict, description="Further settings of training, by name.")

    @field_validator("data_sets", "objectives", "learning_rates", "seeds")
    @classmethod
    def _are_distinct(cls, values: Sequence[object]) -> Sequence[object]:
        if len(set(values)) < len(values):
            raise ValueError("something is named twice; name each once")
        return values

    @property
    def student_folder(self) -> Path:
        """The folder of the student's weights. Raises ConfigError for a model that there is not."""
        return embedded_address(self.student).path.parent

    @model_validator(mode="after")
    def _fits_together(self) -> "ExperimentConfig":
        if own := sorted(SET_BY_TRAINING & self.training.keys()):
            raise ValueError(f"training.{own[0]} is set by the experiment; leave it out")
        if TWO_PART_SET in self.data_sets and not self.tasks.two_part:
            raise ValueError(f"{TWO_PART_SET} needs tasks of two parts; set tasks.two_part above 0")
        if set(self.data_sets) - {TWO_PART_SET} and not self.tasks.single:
            raise ValueError("these data sets need tasks of one part; set tasks.single above 0")
        asked = {self.tasks.two_part if name == TWO_PART_SET else self.tasks.single for name in self.data_sets}
        if self.pairs > min(asked):
            raise ValueError(
                f"{counted(min(asked), 'task')} cannot give {counted(self.pairs, 'pair')}, since a task gives one at most; raise "
                "tasks, or lower pairs"
            )
        return self


def load_experiment(path: Path) -> ExperimentConfig:
    """The configuration in a YAML file. Raises ConfigError with one sentence."""
    config = validated(mapping(read_text(path), ExperimentConfig, str(path)), ExperimentConfig, str(path))
    if not (config.student_folder / "model.safetensors").is_file():
        raise ConfigError(
            f"{path}: there is no model.safetensors beside {config.student}; give a model that can be trained"
        )
    return config


def experiment_yaml(config: ExperimentConfig) -> str:
    """The resolved configuration as YAML, as kept in the experiment's folder."""
    text: str = yaml.dump(config.model_dump(mode="json"), Dumper=DUMPER, sort_keys=False, allow_unicode=True)
    return text
