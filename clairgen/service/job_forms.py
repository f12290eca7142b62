"""Forms for requests, made from their models: one field each, which works without a script, and what was filled in."""

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from clairgen.config.starter import starter_configuration
from clairgen.errors import InputError
from clairgen.recipes.registry import RECIPES
from clairgen.service.job_requests import REQUEST_MODELS
from clairgen.service.submitted_config import EXAMPLE

_NOT_SHOWN: Final = frozenset({"verb", "stored_configuration"})
_LONG: Final = frozenset({"configuration"})


@dataclass(frozen=True, slots=True)
class FormField:
    """A field: `kind` is text, number, switch, choice, list (texts with commas between), pairs (NAME: VALUE lines) or long."""

    name: str
    label: str
    help: str
    kind: str
    is_required: bool
    value: str
    choices: Sequence[str] = ()


def form_of(verb: str, values: Mapping[str, str]) -> list[FormField]:
    """The fields of a verb's form, filled in, what is required first. Raises InputError for a verb that there is not."""
    return sorted(_fields(verb, values), key=lambda field: not field.is_required)


def filled_in(verb: str, form: Mapping[str, str]) -> dict[str, Any]:
    """The request that a form describes, for its model to check. Raises InputError."""
    found: dict[str, Any] = {"verb": verb}
    known = {field.name: field for field in _fields(verb, {})}
    for name, text in form.items():
        if (field := known.get(name)) is None:
            raise InputError(f"the form has no field {name!r}")
        if text.strip():
            found[name] = _value(field, text.strip() if field.kind != "long" else text.replace("\r\n", "\n"))
    return found


def example_configuration(which: str) -> str:
    """A configuration to begin with: `starter`, with a comment for every key, or `classroom`, which is short."""
    if which == "starter":
        summaries = {name: recipe.summary for name, recipe in RECIPES.items()}
        return starter_configuration(summaries, prompts=f"{EXAMPLE}prompts.jsonl")
    text = resources.files("clairgen.data").joinpath("examples", "classroom.yaml").read_text("utf-8")
    lines = [line.partition("#")[0].rstrip() if "path:" in line else line for line in text.splitlines()]
    kept = "\n".join(line for line in lines if not line.startswith("#")).strip()
    return kept.replace("path: classroom.jsonl", f"path: {EXAMPLE}classroom.jsonl") + "\n"


def _fields(verb: str, values: Mapping[str, str]) -> Iterator[FormField]:
    if (model := REQUEST_MODELS.get(verb)) is None:
        raise InputError(f"there is no job {verb!r}; there are {', '.join(REQUEST_MODELS)}")
    for name, field in model.model_fields.items():
        if name in _NOT_SHOWN:
            continue
        kind, choices = ("long", ()) if name in _LONG else _kind(field.annotation)
        default = values.get(name, "" if field.is_required() else _text(field.get_default(call_default_factory=True)))
        label = name.replace("_", " ").replace("usd", "in dollars")
        yield FormField(name, label.capitalize(), field.description or "", kind, field.is_required(), default, choices)


def _kind(annotation: Any) -> tuple[str, Sequence[str]]:  # noqa: ANN401 - any type form
    """The kind of a field of this type, and its choices."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, types.UnionType):
        return _kind(next(one for one in arguments if one is not type(None)))
    if origin is Literal:
        return "choice", [str(one) for one in arguments]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "choice", [str(one.value) for one in annotation]
    kinds: Mapping[Any, str] = {bool: "switch", int: "number", float: "number", tuple: "list", dict: "pairs"}
    return kinds.get(origin or annotation, "text"), ()


def _text(default: object) -> str:
    if not default and not isinstance(default, int | float):
        return ""
    if isinstance(default, bool):
        return "on" if default else ""
    if isinstance(default, tuple):
        return ", ".join(default)
    return str(default.value) if isinstance(default, Enum) else str(default)


def _value(field: FormField, text: str) -> Any:  # noqa: ANN401 - for the request's model to check
    if field.kind == "list":
        return [one.strip() for one in text.split(",") if one.strip()]
    if field.kind == "pairs":
        return dict(_pair(field, line) for line in text.splitlines() if line.strip())
    return True if field.kind == "switch" else text


def _pair(field: FormField, line: str) -> tuple[str, Any]:
    name, colon, text = line.partition(":")
    if not colon:
        raise InputError(f"{field.label}: each line is NAME: VALUE, not {line.strip()[:100]!r}")
    try:
        return name.strip(), json.loads(text)
    except (ValueError, RecursionError):
        return name.strip(), text.strip()
