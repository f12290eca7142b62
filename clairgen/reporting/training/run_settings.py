"""The settings that a training run was made with, from its `training.yaml`: flat, short, and only to be shown."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import yaml

from clairgen.errors import InputError
from clairgen.reporting.sanitize import shortened

FILE = "training.yaml"
_LARGEST_BYTES = 1_000_000
_MOST = 200
_DEEPEST = 4  # an alias can make a mapping hold itself


def run_settings(out: Path) -> dict[str, str]:
    """Each setting by its dotted name, as text; empty without the file. Raises InputError for one that cannot be read."""
    path = out / FILE
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(
                f"the settings {path} are larger than a megabyte, so they are no settings; remove the file"
            )
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the settings {path} cannot be read ({error}); mend or remove the file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = f" line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        raise InputError(f"the settings {path}{line} are not valid YAML; mend or remove the file") from error
    return dict(islice(_flat(content, ""), _MOST))


def _flat(content: object, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(content, Mapping) and depth < _DEEPEST:
        for key, value in content.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key), depth + 1)
    elif name:
        yield shortened(name), shortened(_text(content))


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join("…" if isinstance(one, list | tuple | Mapping) else str(one) for one in value[:20])
        return shown if len(value) <= 20 else f"{shown}, …"
    return "…" if isinstance(value, Mapping) else str(value)
