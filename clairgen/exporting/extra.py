"""The optional packages that an export needs; they are imported in functions alone, because they take a second to load."""

from importlib.util import find_spec

from clairgen.errors import MissingExtraError


def require_data_extra() -> None:
    """Raise MissingExtraError unless the packages of the `data` extra are installed."""
    if any(find_spec(package) is None for package in ("datasets", "huggingface_hub", "pyarrow")):
        raise MissingExtraError("Exporting a data set", "data")
