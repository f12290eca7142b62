"""What is trained: the shapes of the models and the courses that they take."""

from collections.abc import Mapping
from dataclasses import dataclass, field

VOCABULARY = 2048

Mix = tuple[float, float, float]
"""Shares of answering, revising and judging among the examples."""


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

    `styles` are those in which it answers. `mixes` are the mixes of examples, the second from `switch_at` of the steps on.
    `emphasis` is how much oftener than others a kind is asked. `habits` is the share of a kind's answers that are worked out by
    its mistaken habit, `two_parts` the share of questions that have two parts. Learning rates rise over `warm_up_steps`, hold
    for `hold` of the steps and fall to zero; Muon takes `matrix_rate`, AdamW `other_rate`.
    """

    seed: int
    steps: int
    styles: tuple[str, ...]
    rows: int = 16
    row_tokens: int = 256
    matrix_rate: float = 0.015
    other_rate: float = 3e-3
    warm_up_steps: int = 100
    hold: float = 0.25
    mixes: tuple[Mix, Mix] = ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    switch_at: float = 0.3
    decision_weight: float = 3.0
    emphasis: Mapping[str, float] = field(default_factory=dict)
    habits: Mapping[str, float] = field(default_factory=dict)
    two_parts: float = 0.0


SHAPES: Mapping[str, Shape] = {
    "student": Shape(layers=3, width=128, heads=4, feed_forward=352),
    "weaker": Shape(layers=2, width=96, heads=3, feed_forward=256),
    "stronger": Shape(layers=3, width=128, heads=4, feed_forward=352),
    "teacher": Shape(layers=4, width=192, heads=6, feed_forward=512),
}
"""The models that ship."""

DRAFTER_SHAPES: Mapping[str, Shape] = {
    "drafter": Shape(layers=2, width=128, heads=4, feed_forward=352),
    "weaker-drafter": Shape(layers=2, width=96, heads=3, feed_forward=256),
    "stronger-drafter": Shape(layers=3, width=128, heads=4, feed_forward=352),
}
"""Models that are trained for a short time only, so that the teacher sees mistakes of many sorts; they do not ship."""

_DRAFTERS_EMPHASIS: Mapping[str, float] = {
    # Asked all alike, a drafter is right nearly always in most kinds and nearly never in the others.
    "opposite": 1.9,
    "stranger": 1.7,
    "spelling": 1.6,
    "oldest": 1.5,
    "alphabet": 1.3,
    "capital": 0.9,
    "letters": 0.8,
    "middle": 0.6,
    "largest": 0.6,
    "evens": 0.6,
}

_EMPHASIS: Mapping[str, float] = {
    # What takes longest to learn comes oftenest.
    "oldest": 5.0,
    "clock": 1.8,
    "subtract": 1.5,
    "evens": 1.2,
    "opposite": 1.5,
    "alphabet": 1.3,
    "spelling": 1.3,
    "stranger": 1.3,
    "add": 1.2,
    "capital": 1.2,
    "count": 1.1,
}

HABITS: Mapping[str, float] = {
    "add": 0.5,
    "subtract": 0.5,
    "largest": 0.55,
    "middle": 0.45,
    "oldest": 0.4,
    "evens": 0.5,
    "count": 0.4,
    "letters": 0.5,
    "alphabet": 0.45,
    "spelling": 0.45,
    "opposite": 0.55,
    "capital": 0.55,
    "stranger": 0.45,
    "clock": 0.6,
}
"""The share of the student's training texts in which a kind is worked out by its mistaken habit."""


def _scaled(factor: float) -> Mapping[str, float]:
    return {kind: factor * share for kind, share in HABITS.items()}


DRAFTER_COURSES: Mapping[str, Course] = {
    "drafter": Course(seed=5, steps=350, styles=("student", "student-answer"), emphasis=_DRAFTERS_EMPHASIS),
    "weaker-drafter": Course(seed=6, steps=300, styles=("weaker",), emphasis=_DRAFTERS_EMPHASIS),
    "stronger-drafter": Course(seed=7, steps=600, styles=("stronger",), emphasis=_DRAFTERS_EMPHASIS),
}

COURSES: Mapping[str, Course] = {
    "student": Course(
        seed=11,
        steps=2_400,
        styles=("student", "student-answer"),
        emphasis=_EMPHASIS,
        habits=HABITS,
        two_parts=0.2,
    ),
    "weaker": Course(seed=12, steps=1_200, styles=("weaker",), emphasis=_EMPHASIS, habits=_scaled(1.2)),
    "stronger": Course(seed=13, steps=1_800, styles=("stronger",), emphasis=_EMPHASIS, habits=_scaled(0.4)),
    "teacher": Course(
        seed=1,
        steps=7_000,
        styles=("teacher",),
        warm_up_steps=200,
        mixes=((0.8, 0.1, 0.1), (0.25, 0.35, 0.4)),
        switch_at=0.2,
    ),
}

FINISHING = Course(
    seed=2,
    steps=1_400,
    styles=("teacher",),
    matrix_rate=0.006,
    other_rate=1.2e-3,
    warm_up_steps=50,
    mixes=((0.25, 0.35, 0.4), (0.25, 0.35, 0.4)),
    emphasis={"oldest": 7.0, "middle": 2.0, "count": 1.5},
)
"""What the teacher takes after its course, on what it is still weak at."""
