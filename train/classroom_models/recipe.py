"""What is trained: the shapes of the two models and the courses that they take."""

from collections.abc import Mapping
from dataclasses import dataclass, field

VOCABULARY = 2048


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a Llama with tied embeddings."""

    layers: int
    width: int
    heads: int
    feed_forward: int
    vocabulary: int = VOCABULARY

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class Course:
    """How a model is trained, counted in steps, so that a seed gives the same model on a fast and on a slow machine.

    `revise_share` is the share of examples that are revisions: first until `switch_at` of the steps, then to the end.
    `emphasis` is how much oftener than others a kind is asked. Learning rates rise over `warm_up_steps`, hold for
    `hold` of the steps and fall to zero; Muon takes `matrix_rate`, AdamW `other_rate`.
    """

    seed: int
    steps: int
    rows: int = 32
    row_tokens: int = 128
    matrix_rate: float = 0.015
    other_rate: float = 3e-3
    warm_up_steps: int = 100
    hold: float = 0.25
    revise_share: tuple[float, float] = (0.0, 0.0)
    switch_at: float = 0.3
    decision_weight: float = 3.0
    emphasis: Mapping[str, float] = field(default_factory=dict)


STUDENT_SHAPE = Shape(layers=2, width=128, heads=4, feed_forward=352)
STUDENT_COURSE = Course(
    seed=5,
    steps=450,
    # Asked all alike, it is right nearly always in half of the kinds and nearly never in the others.
    emphasis={
        "sort": 1.3,
        "sort-down": 1.3,
        "next": 2.0,
        "sum": 2.5,
        "day": 2.2,
        "month": 2.5,
        "largest": 0.25,
        "smallest": 0.3,
        "even-odd": 0.3,
        "letters": 0.25,
        "backwards": 0.6,
        "spelling": 0.8,
        "word-order": 0.5,
        "alphabet": 0.3,
        "plural": 0.4,
        "opposite": 0.4,
        "capital": 0.25,
    },
)

TEACHER_SHAPE = Shape(layers=4, width=128, heads=4, feed_forward=384)
TEACHER_COURSE = Course(
    seed=1,
    steps=4400,
    rows=16,
    warm_up_steps=200,
    revise_share=(0.12, 0.5),
    # What takes it longest to learn it is asked oftener.
    emphasis={
        "sum": 3.0,
        "next": 2.5,
        "month": 2.0,
        "day": 2.0,
        "count": 1.5,
        "spelling": 1.3,
        "letters": 0.5,
        "largest": 0.6,
        "smallest": 0.6,
        "even-odd": 0.7,
        "plural": 0.7,
        "capital": 0.6,
    },
)
