"""The figure and the page of an experiment: gains by data set and objective, trajectories, tables, and the claims."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from clairgen.experiment.cells import Combination
from clairgen.experiment.claims import JudgedClaim
from clairgen.experiment.crossed_interval import CrossedMean
from clairgen.experiment.findings import CombinationResult, Findings
from clairgen.reporting.html.charts import color_encoding, layers_svg
from clairgen.reporting.html.frame import asset, rendered

_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f7f7f", "#8c564b")
"""Colors that are told apart in every kind of color vision (Okabe and Ito), readable on light and dark pages."""
_FILE_COLOURS: Final = "<style>:root{--text:#1c1f23;--soft:#5b636d;--line:#dfe2e6}</style>"
"""What a page gives the figure and a file of its own has to bring along."""
_NATS: Final = "change of log-likelihood, nats per answer"


@dataclass(frozen=True, slots=True)
class _Row:
    """An objective's cells in a table, one for each data set."""

    objective: str
    cells: Sequence[CrossedMean | None]


def figure_svg(findings: Findings) -> Markup:
    """Gains of the last checkpoints over the student, with 95% intervals: data sets side by side, objectives by color."""
    objectives = findings.config.objectives
    rows = [
        {"data set": one.data_set, "objective": one.objective, **_ends(findings.gain(result.last))}
        for one, result in findings.results.items()
    ]
    x: dict[str, Any] = {"field": "data set", "type": "nominal", "sort": list(findings.config.data_sets), "title": None}
    x["axis"] = {"labelAngle": 0, "ticks": False, "domain": False, "labelPadding": 8, "labelLimit": 150}
    offset = {"field": "objective", "sort": list(objectives), "scale": {"paddingOuter": 0.3}}
    axis = {"title": "points over the student", "tickCount": 8, "domain": False, "ticks": False}
    y = {"field": "mean", "type": "quantitative", "axis": axis}
    color = color_encoding("objective", dict(zip(objectives, _COLOURS, strict=False)))
    place = {"x": x, "xOffset": offset, "color": color}
    none: dict[str, Any] = {"values": [{}]}
    return layers_svg(
        rows,
        [
            {"data": none, "mark": {"type": "rule", "color": "var(--text)"}, "encoding": {"y": {"datum": 0}}},
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {**place, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": {"type": "point", "filled": True, "size": 46, "opacity": 1}, "encoding": {**place, "y": y}},
        ],
        width=1100,
        height=380,
    )


def figure_file(findings: Findings) -> str:
    """The figure as an SVG file of its own, with its legend in words."""
    svg = str(figure_svg(findings))
    start = svg.index(">", svg.index("<svg")) + 1
    words = "; ".join(f"{name} {color}" for name, color in zip(findings.config.objectives, _COLOURS, strict=False))
    return (
        f"{svg[:start]}<desc>Objectives from left to right in each data set: {words}</desc>{_FILE_COLOURS}{svg[start:]}"
    )


def trajectory_svg(findings: Findings, data_set: str, ends: tuple[float, float], last: int) -> Markup:
    """How training moved chosen (solid) and rejected (dashed) held-out answers of a data set: means over seeds."""
    objectives = findings.config.objectives
    rows = [
        row
        for objective in objectives
        if (result := findings.results.get(Combination(data_set, objective))) is not None
        for row in trajectory_rows(result)
    ]
    x: dict[str, Any] = {"field": "step", "type": "quantitative", "scale": {"domain": [0, last], "nice": False}}
    x["axis"] = {"title": "step", "tickCount": 5, "grid": False}
    y: dict[str, Any] = {
        "field": "nats",
        "type": "quantitative",
        "scale": {"domain": list(ends), "type": "symlog", "nice": False},
    }
    y["axis"] = {"title": _NATS, "values": [-100, -30, -10, -3, -1, 0, 1, 3, 10, 30], "domain": False, "ticks": False}
    sides = {"domain": ["chosen", "rejected"], "range": [[1, 0], [4, 3]]}
    dash = {"field": "side", "type": "nominal", "scale": sides, "legend": None}
    line = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {
            "x": x,
            "y": y,
            "strokeDash": dash,
            "color": color_encoding("objective", dict(zip(objectives, _COLOURS, strict=False))),
        },
    }
    return layers_svg(rows, [line], width=340, height=300)


def trajectory_rows(result: CombinationResult) -> Iterator[dict[str, Any]]:
    """The mean change of log-likelihood since the start, by step and side, over those seeds that were measured throughout."""
    steps = [[point["step"] for point in seed] for seed in result.trajectories]
    whole = max(steps, key=len, default=[])
    for side in ("chosen", "rejected"):
        changes = [
            [point[side] - seed[0][side] for point in seed]
            for seed, of_seed in zip(result.trajectories, steps, strict=True)
            if of_seed == whole and seed
        ]
        for at, step in enumerate(whole):
            mean = float(np.mean([change[at] for change in changes]))
            yield {"step": step, "side": side, "objective": result.combination.objective, "nats": mean}


def result_page(
    findings: Findings, claims: Sequence[JudgedClaim], beyond: Sequence[JudgedClaim], readings: Mapping[str, str]
) -> str:
    """The whole page."""
    config = findings.config
    main_table, *others = (_rows(findings, name) for name in readings)
    moved = [row for result in findings.results.values() for row in trajectory_rows(result)]
    nats = [row["nats"] for row in moved] or [0.0]
    ends, last = (min(*nats, -1.0), max(*nats, 1.0)), max((row["step"] for row in moved), default=1)
    return rendered(
        "experiment.html",
        {
            "findings": findings,
            "student": f"{100 * findings.student.mean():.1f}",
            "main_table": main_table,
            "tables": dict(zip(list(readings.values())[1:], others, strict=True)),
            "titles": [f"#{name}" for name in config.data_sets],
            "figure": figure_svg(findings),
            "trajectories": {name: trajectory_svg(findings, name, ends, last) for name in config.data_sets},
            "by_objective": [
                (objective, [findings.results.get(Combination(name, objective)) for name in config.data_sets])
                for objective in config.objectives
            ],
            "claims": claims,
            "beyond": beyond,
        },
        package=__package__,
        style=asset("page.css") + asset("experiment.css", __package__),
    )


def _rows(findings: Findings, name: str) -> list[_Row]:
    config = findings.config
    return [
        _Row(
            objective,
            [
                None if (one := findings.results.get(Combination(data_set, objective))) is None
                else findings.gain(getattr(one, name))
                for data_set in config.data_sets
            ],
        )
        for objective in config.objectives
    ]  # fmt: skip


def _ends(gain: CrossedMean) -> dict[str, float]:
    return {"mean": gain.mean, "low": gain.low, "high": gain.high}
