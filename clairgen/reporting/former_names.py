"""Renamed keys of `--json`: the former ones stay for scripts that read them, with a sentence that names the new one."""

from collections.abc import Mapping
from typing import Any


def with_former_names(content: Mapping[str, Any], former: Mapping[str, str]) -> dict[str, Any]:
    """`content` with each former key as a copy of its new one, and `deprecated`, which says so; `former` maps old to new."""
    return {**content, **{old: content[new] for old, new in former.items()}, "deprecated": deprecated(former)}


def deprecated(former: Mapping[str, str]) -> dict[str, str]:
    """For each former key a sentence that names the new one."""
    return {old: f"renamed to {new!r}; read that key instead" for old, new in former.items()}
