"""The objectives by name (section 4): which are for pairs, which for single labelled answers."""

from enum import StrEnum


class Objective(StrEnum):
    """What a training run minimises; the value is the name that users write."""

    APO_ZERO = "apo-zero"
    APO_DOWN = "apo-down"
    DPO = "dpo"
    KTO_PAIR = "kto-pair"
    SFT = "sft"
    KTO = "kto"
    APO_ZERO_UNPAIRED = "apo-zero-unpaired"

    @property
    def is_paired(self) -> bool:
        """Whether it takes chosen and rejected of a prompt together."""
        return self not in (Objective.KTO, Objective.APO_ZERO_UNPAIRED)

    @property
    def code(self) -> int:
        """Its number in a prepared data set's column `objective`: the place in this list."""
        return list(Objective).index(self)
