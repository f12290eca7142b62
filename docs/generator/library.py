"""The reference of the Python API, from the names that `clairgen` exports, their signatures and their docstrings."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

import clairgen
from docs.generator.markdown import code, fenced, table

_MODULES = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])")


def python() -> str:
    """Functions first, then what they take and give, then the errors."""
    names = sorted(clairgen.__all__, key=lambda name: (_kind(getattr(clairgen, name)), name.lower()))
    return "\n\n".join(_entry(name, getattr(clairgen, name)) for name in names)


def _kind(value: object) -> int:
    if isinstance(value, type):
        return 3 if issubclass(value, Exception) else 1
    return 0 if callable(value) or inspect.ismodule(value) else 2


def _entry(name: str, value: Any) -> str:  # noqa: ANN401 - whatever is exported
    heading = f"## clairgen.{name} {{ #{name} }}"
    if inspect.ismodule(value):
        calls = ((code(each), _first_sentence(getattr(value, each))) for each in value.__all__)
        return f"{heading}\n\n{_words(value)}\n\n{table(('name', 'what it is'), calls)}"
    if isinstance(value, Mapping):
        kind = name.lower().removesuffix("s")
        words = f"Every {kind} by its name. [Plugins](../guides/plugins.md) add theirs."
        rows = table((kind, "what it is"), ((code(key), one.summary) for key, one in value.items()))
        return f"{heading}\n\n{words}\n\n{rows}"
    parts = [heading]
    if not (isinstance(value, type) and issubclass(value, Exception | BaseModel)):
        parts.append(
            fenced(f"{'await ' if inspect.iscoroutinefunction(value) else ''}{_signature(name, value)}", "python")
        )
    parts.append(_words(value))
    if isinstance(value, type):
        if issubclass(value, BaseModel):
            parts.append("Its fields are the keys of the [configuration](configuration.md).")
        elif members := list(_members(value)):
            parts.append(table(("attribute", "what it is"), members))
    return "\n\n".join(parts)


def _words(value: object) -> str:
    return inspect.cleandoc(inspect.getdoc(value) or "")


def _first_sentence(value: object) -> str:
    return _words(value).partition("\n\n")[0].partition(". ")[0].replace("\n", " ").removesuffix(".")


def _signature(name: str, value: Any) -> str:  # noqa: ANN401 - whatever is exported
    """The signature, a parameter a line where it is long, with the names of types alone."""
    signature = inspect.signature(value)
    parameters = []
    star = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parameters.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        parameters.append(_short(str(parameter)))
    returned = signature.return_annotation
    end = "" if returned in (signature.empty, None) else f" -> {_annotation(returned)}"
    line = f"{name}({', '.join(parameters)}){end}"
    return line if len(line) <= 100 else f"{name}(\n    " + ",\n    ".join(parameters) + f",\n){end}"


def _members(value: type) -> Iterator[tuple[str, str]]:
    """Public properties and methods with what they say of themselves; the signature has the fields."""
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield code(name), _words(member)
        elif inspect.isfunction(member):
            yield code(_signature(name, member).replace("(self, ", "(").replace("(self)", "()")), _words(member)


def _annotation(annotation: object) -> str:
    return _short(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))


def _short(text: str) -> str:
    text = re.sub(r"<factory>|<(?:function|object) .*? at 0x\w+>", "...", text)
    text = re.sub(r"<([\w.]+)\.(\w+): [^>]*>", r"\1.\2", text)  # a member of an enumeration
    return _MODULES.sub("", text).replace("'", '"')
