"""The optional packages that a report needs; they are imported where it is made alone, because they take a second to load."""

from importlib.util import find_spec

from clairgen.errors import MissingExtraError


def require_report_extra() -> None:
    """Raise MissingExtraError unless the packages of the `report` extra are installed."""
    _require("Writing a report as a page", "report", "jinja2", "sklearn", "vl_convert")


def require_page_extra() -> None:
    """Raise MissingExtraError unless what a page without an audit needs is installed."""
    _require("Writing a report as a page", "report", "jinja2", "vl_convert")


def require_trajectory_extra() -> None:
    """Raise MissingExtraError unless what reads trajectories is installed."""
    _require("Reading a training run's trajectories", "data", "numpy", "pyarrow")


def _require(what: str, extra: str, *packages: str) -> None:
    if any(find_spec(package) is None for package in packages):
        raise MissingExtraError(what, extra)
