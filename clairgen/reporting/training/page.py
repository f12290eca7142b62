"""The HTML report on training runs: diagnostics, then trajectories side by side (Figure 4), then every figure as a table.

Charts have the same scales for every run. Bands are 95% intervals of the change since the first measurement, pair by pair. The
standard error of the mean itself reflects how different the answers are, which is many times larger than what a run moves
them, and would hide every movement.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from clairgen.reporting.html.charts import color_encoding, layers_svg
from clairgen.reporting.html.frame import asset, rendered, write_html
from clairgen.reporting.training.diagnostics.diagnostic import figure
from clairgen.reporting.training.diagnostics.registry import cautions, differing_settings
from clairgen.reporting.training.report import TrainingReport, estimate
from clairgen.reporting.training.trajectory import Floats, Trajectory, mean_change

BAND = 0.95
_COLOURS = {"chosen": "var(--chosen)", "rejected": "var(--rejected)", "": "var(--text)"}


def write_training_page(path: Path, reports: Sequence[TrainingReport]) -> None:
    """Write the page to `path`. Raises InputError if that is not possible."""
    write_html(path, training_page(reports))


def training_page(reports: Sequence[TrainingReport]) -> str:
    """The whole page for some training runs."""
    trajectories = [report.trajectory for report in reports]
    drawn = [(curve, svgs) for curve in CURVES if (svgs := curve_svgs(curve, trajectories)) is not None]
    return rendered(
        "training.html",
        {
            "reports": reports,
            "several": len(reports) > 1,
            "drawn": drawn,
            "cautions": cautions(trajectories),
            "settings": differing_settings(trajectories),
        },
        package=__package__,
        style=asset("page.css") + asset("training.css", __package__),
        filters={
            "figure": lambda value, like=None: "–" if value is None else figure(value, like),
            "percent": lambda share: f"{share:.1%}",
        },
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """A quantity to plot: its title, a description, and the attributes of a trajectory that hold its lines, by side."""

    title: str
    description: str
    unit: str
    lines: Mapping[str, str]
    from_zero: bool


CURVES: Sequence[Curve] = (
    Curve(
        "Log-likelihood",
        "Of whole held-out answers: where training moves chosen and rejected.",
        "nats per answer",
        {"chosen": "chosen_logps", "rejected": "rejected_logps"},
        False,
    ),
    Curve(
        "Reward",
        "Beta times the log-likelihood that an answer gained over the reference model.",
        "reward",
        {"chosen": "chosen_rewards", "rejected": "rejected_rewards"},
        True,
    ),
    Curve("Margin", "Reward of chosen minus reward of rejected.", "margin", {"": "margins"}, True),
    Curve("Sampled length", "Length of the model's own answers.", "tokens", {"": "sampled_tokens"}, True),
)


def curve_svgs(curve: Curve, trajectories: Sequence[Trajectory]) -> list[Markup] | None:
    """One chart for each trajectory, all on the same scales; None if no trajectory has a value of this quantity."""
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
    """One row for each line and measurement that has a value."""
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
    color = color_encoding("side", sides)
    dashes = {
        **color,
        "scale": {"domain": list(sides), "range": [[5, 3] if side == "rejected" else [1, 0] for side in sides]},
    }
    point = {"size": 14, "filled": True} if len({row["epoch"] for row in rows}) <= 40 else False
    return layers_svg(
        rows,
        [
            {
                "mark": {"type": "area", "opacity": 0.2, "aria": False},
                "encoding": {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}, "color": color},
            },
            {
                "mark": {"type": "line", "strokeWidth": 2, "point": point},
                "encoding": {"x": x, "y": {"field": "mean", **y}, "color": color, "strokeDash": dashes},
            },
        ],
        width=300,
        height=220,
    )
