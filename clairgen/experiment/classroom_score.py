"""How right answers to the classroom's questions are, and the questions that an experiment asks of its models."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from clairgen.data.classroom.questions import Split, draw, is_right, recognised
from clairgen.data.classroom.two_parts import draw_two_parts, right_parts
from clairgen.errors import InputError
from clairgen.experiment.experiment_config import ExperimentConfig, Questions


def score(prompt: str, answer: str) -> float:
    """1 for a right answer and 0 for a wrong one; of a question of two parts the share that is right.

    Raises InputError for what is not a question of the classroom.
    """
    question = recognised(prompt)
    if question is not None:
        return float(is_right(question, answer))
    return sum(right_parts(prompt, answer)) / 2


def drawn_prompts(questions: Questions, split: Split) -> list[str]:
    """The prompts of the questions, those of one part first."""
    prompts = [each.prompt for each in draw(questions.single, split, questions.seed)] if questions.single else []
    return prompts + [each.prompt for each in draw_two_parts(questions.two_part, split, questions.seed)]


def prompts_of(config: ExperimentConfig, split: str) -> list[str]:
    """The questions of an experiment, `dev` or `test`."""
    if split not in ("dev", "test"):
        raise InputError(f"an experiment asks no questions of the split {split}; name dev or test")
    return drawn_prompts(config.dev, "dev") if split == "dev" else drawn_prompts(config.test, "test")


@dataclass(frozen=True, slots=True)
class ScoredAnswers:
    """The scores of a model's answers to some questions, in their order.

    `unended` answers reached the most tokens that they may have; `characters` is the mean length of all.
    """

    scores: tuple[float, ...]
    unended: int
    characters: float

    @property
    def mean(self) -> float:
        """The mean score."""
        return sum(self.scores) / len(self.scores)

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(tuple(content["scores"]), content["unended"], content["characters"])


def scored(prompts: Sequence[str], answers: Sequence[tuple[str, bool]]) -> ScoredAnswers:
    """The scores of answers, each with whether it ended by itself."""
    return ScoredAnswers(
        tuple(score(prompt, text) for prompt, (text, _) in zip(prompts, answers, strict=True)),
        sum(not ended for _, ended in answers),
        sum(len(text) for text, _ in answers) / len(answers),
    )
