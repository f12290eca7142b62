"""The HTML report on training runs: diagnostics first, then trajectories side by side, then every figure as a table."""

from collections.abc import Sequence
from pathlib import Path

from clairgen.reporting.html.frame import asset, rendered, write_html
from clairgen.reporting.training.charts import CURVES, curve_svgs
from clairgen.reporting.training.diagnostics.diagnostic import figure
from clairgen.reporting.training.diagnostics.registry import cautions, differing_settings
from clairgen.reporting.training.report import TrainingReport


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
