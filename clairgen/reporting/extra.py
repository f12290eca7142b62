"""The optional packages that a page needs; they are imported where it is made alone, because they take a second to load."""

from importlib.util import find_spec

from clairgen.errors import MissingExtraError


def require_report_extra() -> None:
    """Raise MissingExtraError unless the packages of the `report` extra are installed."""
    if any(find_spec(package) is None for package in ("jinja2", "sklearn", "vl_convert")):
        raise MissingExtraError("Writing a report as a page", "report")
