"""The reference of the command line, from the commands themselves."""

from enum import Enum
from pathlib import Path
from typing import Any, get_args

from clairgen.cli.commands import LEAVES, load_command
from docs.generator.markdown import code, fenced, table

_EXAMPLE = "Example: "
_NO_LIMIT = 2**40  # what only keeps a number within the database's
_KINDS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def commands() -> str:
    """Every command with its usage, arguments, options and examples."""
    return "\n\n".join(_command(name, command) for name, command in all_commands().items())


def all_commands() -> dict[str, Any]:
    """Every command, as click has it, by its name, in the order of `clairgen --help`."""
    return {name: load_command(name) for name in LEAVES}


def _command(name: str, command: Any) -> str:  # noqa: ANN401 - typer has a click of its own
    paragraphs = (command.help or "").split("\n\n")
    examples = [part.removeprefix(_EXAMPLE) for part in paragraphs if part.startswith(_EXAMPLE)]
    words = [part for part in paragraphs if not part.startswith(_EXAMPLE)]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    words_of_usage = ["clairgen", name, *(_metavar(one) for one in arguments)]
    words_of_usage += [f"{one.opts[0]} {(one.name or '').upper()}" for one in options if one.required]
    usage = " ".join([*words_of_usage, *(["[OPTIONS]"] if options else [])])
    parts = [f"## clairgen {name} {{ #{name.replace(' ', '-')} }}", "\n\n".join(words), fenced(usage, "text")]
    if arguments:
        rows = ((code(_metavar(one)), _about(one), _default(one)) for one in arguments)
        parts.append(table(("argument", "what it is", "default"), rows))
    if options:
        rows = ((_flags(one), _about(one), _default(one)) for one in options)
        parts.append(table(("option", "what it does", "default"), rows))
    if examples:
        parts.append("Example:" if len(examples) == 1 else "Examples:")
        parts.append(fenced("\n".join(examples), "sh"))
    return "\n\n".join(parts)


def _metavar(argument: Any) -> str:  # noqa: ANN401 - a parameter, as click has it
    name = (argument.metavar or argument.name or "").strip("[]").upper()
    name = f"{name}..." if argument.nargs != 1 else name
    return name if argument.required else f"[{name}]"


def _flags(option: Any) -> str:  # noqa: ANN401 - a parameter, as click has it
    names = " ".join(code(one) for one in option.opts)
    if option.is_flag:
        return names
    kind = option.type_descriptor.annotation
    kind = next(iter(get_args(kind)), kind)  # of an option that may be given again, one value
    choices = [str(one.value) for one in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []
    return f"{names} {' or '.join(choices) or _KINDS.get(kind, kind.__name__.upper())}"


def _about(parameter: Any) -> str:  # noqa: ANN401 - a parameter, as click has it
    low, high = parameter.min, parameter.max
    limits = [
        f"at least {low:,}" if low is not None else "",
        f"at most {high:,}" if high is not None and high < _NO_LIMIT else "",
    ]
    said = ", ".join(filter(None, limits))
    return f"{parameter.help or ''} ({said})" if said else parameter.help or ""


def _default(parameter: Any) -> str:  # noqa: ANN401 - a parameter, as click has it
    value = parameter.default
    if parameter.required:
        return "**required**"
    return "" if value in (None, False, (), []) else code(getattr(value, "value", value))
