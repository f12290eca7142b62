"""The trajectories as charts (Figure 4): one measure over epochs, on the same scales for every run.

Bands are 95% intervals of the change since the first measurement, pair by pair. The error of the mean itself would say how
far answers lie apart, which is many times what a run moves them, and hide every movement.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from clairgen.reporting.html.charts import colours, layers_svg
from clairgen.reporting.training.paired import mean_change
from clairgen.reporting.training.report import estimate
from clairgen.reporting.training.trajectory import Floats, Trajectory

BAND = 0.95
_COLOURS = {"chosen": "var(--chosen)", "rejected": "var(--rejected)", "": "var(--text)"}


@dataclass(frozen=True, slots=True)
class Curve:
    """A measure to be drawn: its title, what it tells, and the attributes of a trajectory that hold its lines, by side."""

    title: str
    tells: str
    unit: str
    lines: Mapping[str, str]
    from_zero: bool


CURVES: Sequence[Curve] = (
    Curve(
        "Log-likelihood",
        "Of the whole held-out answer: where the objective lets chosen and rejected go.",
        "nats an answer",
        {"chosen": "chosen_logps", "rejected": "rejected_logps"},
        False,
    ),
    Curve(
        "Reward",
        "Beta times what an answer gained over the model that training began with.",
        "reward",
        {"chosen": "chosen_rewards", "rejected": "rejected_rewards"},
        True,
    ),
    Curve("Margin", "Reward of chosen minus reward of rejected.", "margin", {"": "margins"}, True),
    Curve("Sampled length", "Of answers that the model wrote itself.", "tokens", {"": "sampled_tokens"}, True),
)


def curve_svgs(curve: Curve, trajectories: Sequence[Trajectory]) -> list[Markup] | None:
    """A chart a trajectory, all on the scales that hold them all; None where no trajectory has a value of this measure."""
    rows = [list(_points(curve, trajectory)) for trajectory in trajectories]
    ends = [row[end] for of_one in rows for row in of_one for end in ("low", "high")]
    if not ends:
        return None
    lowest, highest = min(ends), max(ends)
    if curve.from_zero:
        lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    if lowest == highest:
        lowest, highest = lowest - 1, highest + 1
    last = max(epoch for trajectory in trajectories for epoch in trajectory.epochs) or 1.0
    return [_svg(curve, of_one, [0, last], [lowest, highest]) for of_one in rows]


def _points(curve: Curve, trajectory: Trajectory) -> Iterator[dict[str, Any]]:
    """A row a line and measurement that has a value."""
    for side, name in curve.lines.items():
        values: Floats = getattr(trajectory, name)
        first = next((row for row in values if np.isfinite(row).any()), None)
        for at, epoch in enumerate(trajectory.epochs):
            mean = estimate(values[at]).mean
            if mean is None or first is None:
                continue
            change = mean_change(values[at] - first, BAND)
            half = 0.0 if change is None else (change.high - change.low) / 2
            yield {"epoch": epoch, "side": side, "mean": mean, "low": mean - half, "high": mean + half}


def _svg(curve: Curve, rows: list[dict[str, Any]], epochs: list[float], ends: list[float]) -> Markup:
    ticks = {"tickCount": 6, "tickMinStep": 1 if epochs[1] > 1 else 0.1, "labelFlush": False, "grid": False}
    scale = {"domain": epochs, "nice": False}
    x = {"field": "epoch", "type": "quantitative", "scale": scale, "axis": {"title": "epoch", **ticks}}
    axis = {"title": curve.unit, "tickCount": 5, "minExtent": 42, "domain": False, "ticks": False, "labelPadding": 6}
    y = {"type": "quantitative", "scale": {"domain": ends, "zero": False, "nice": True}, "axis": axis}
    sides = {side: _COLOURS[side] for side in curve.lines}
    colour = colours("side", sides)
    dashes = {
        **colour,
        "scale": {"domain": list(sides), "range": [[5, 3] if side == "rejected" else [1, 0] for side in sides]},
    }
    point = {"size": 14, "filled": True} if len({row["epoch"] for row in rows}) <= 40 else False
    return layers_svg(
        rows,
        [
            {
                "mark": {"type": "area", "opacity": 0.2, "aria": False},
                "encoding": {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}, "color": colour},
            },
            {
                "mark": {"type": "line", "strokeWidth": 2, "point": point},
                "encoding": {"x": x, "y": {"field": "mean", **y}, "color": colour, "strokeDash": dashes},
            },
        ],
        width=300,
        height=220,
    )
