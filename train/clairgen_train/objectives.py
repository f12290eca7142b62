"""The objectives that a model can be trained with, by the names that users write."""

from enum import StrEnum


class Objective(StrEnum):
    """What a training run minimizes; the value is the name in settings and in a data set's column `objective`."""

    APO_ZERO = "apo-zero"
    APO_DOWN = "apo-down"
    DPO = "dpo"
    KTO_PAIR = "kto-pair"
    SFT = "sft"
    KTO = "kto"
    APO_ZERO_UNPAIRED = "apo-zero-unpaired"

    @property
    def is_paired(self) -> bool:
        """Whether it takes the chosen and the rejected answer to a prompt together."""
        return self not in (Objective.KTO, Objective.APO_ZERO_UNPAIRED)

    @property
    def code(self) -> int:
        """Its number in the tensors of a batch; data sets and files have the name."""
        return list(Objective).index(self)
