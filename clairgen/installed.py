"""What is installed: clairgen's version, and the optional packages of each extra, checked before they are used.

Importing them takes seconds, so that happens late.
"""

from importlib import metadata
from importlib.util import find_spec

from clairgen.errors import MissingExtraError

__version__ = metadata.version("clairgen")


def require_data_extra() -> None:
    """Raise MissingExtraError unless data sets can be written and pushed."""
    _require("Exporting a data set", "data", "datasets", "huggingface_hub", "pyarrow")


def require_report_extra() -> None:
    """Raise MissingExtraError unless a report on pairs can be written as a page, with its audit."""
    _require("Writing a report as a page", "report", "jinja2", "sklearn", "vl_convert")


def require_page_extra() -> None:
    """Raise MissingExtraError unless a page without an audit can be written."""
    _require("Writing a report as a page", "report", "jinja2", "vl_convert")


def require_serve_extra() -> None:
    """Raise MissingExtraError unless runs can be served in a browser."""
    _require(
        "Serving runs in a browser",
        "serve",
        "fastapi",
        "uvicorn",
        "prometheus_client",
        "jinja2",
        "sklearn",
        "vl_convert",
    )


def require_results_extra() -> None:
    """Raise MissingExtraError unless a page of evaluations can be written."""
    _require("Writing evaluations as a page", "report", "jinja2")


def require_ray_extra() -> None:
    """Raise MissingExtraError unless shards can be spread over a Ray cluster."""
    _require("Spreading a run over a Ray cluster", "ray", "ray", "fastapi", "uvicorn", "prometheus_client", "jinja2")


def require_tokens_extra() -> None:
    """Raise MissingExtraError unless answers can be measured in tokens of a model's tokenizer."""
    _require("Counting the tokens of a named tokenizer", "tokens", "tokenizers")


def has_analysis_extra() -> bool:
    """Whether the figures of many pairs can be read from columns."""
    return all(find_spec(package) is not None for package in ("duckdb", "pyarrow"))


def require_trajectory_extra() -> None:
    """Raise MissingExtraError unless trajectories can be read."""
    _require("Reading a training run's trajectories", "data", "numpy", "pyarrow")


def _require(what: str, extra: str, *packages: str) -> None:
    if any(find_spec(package) is None for package in packages):
        raise MissingExtraError(what, extra)
