"""The reference of the command line, from the commands themselves."""

import inspect
from collections.abc import Iterator

import click
import typer.main

from clairgen.cli.app import app
from docs.generator.markdown import code, fenced, table

_EXAMPLE = "Example: "


def commands() -> str:
    """Every command with its usage, arguments, options and examples."""
    return "\n\n".join(_command(name, command) for name, command in all_commands().items())


def all_commands() -> dict[str, click.Command]:
    """Every command by its name, in the order of `clairgen --help`."""
    root = typer.main.get_command(app)
    context = click.Context(root, info_name="clairgen")
    names = root.list_commands(context) if isinstance(root, click.Group) else []
    found = {name: root.get_command(context, name) for name in names if isinstance(root, click.Group)}
    return {name: command for name, command in found.items() if command is not None and not command.hidden}


def _command(name: str, command: click.Command) -> str:
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")]
    examples = [part.removeprefix(_EXAMPLE) for part in paragraphs if part.startswith(_EXAMPLE)]
    words = [part for part in paragraphs if not part.startswith(_EXAMPLE)]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    usage = " ".join(["clairgen", name, *(_metavar(one) for one in arguments), *(["[OPTIONS]"] if options else [])])
    parts = [f"## clairgen {name} {{ #{name} }}", "\n\n".join(words), fenced(usage, "text")]
    if arguments:
        rows = ((code(_metavar(one)), _about(one)) for one in arguments)
        parts.append(table(("argument", "what it is"), rows))
    if options:
        rows = ((_flags(one), code(", ".join(_default(one))), _about(one)) for one in options)
        parts.append(table(("option", "default", "what it does"), rows))
    if examples:
        parts.append("Example:" if len(examples) == 1 else "Examples:")
        parts.append(fenced("\n".join(examples), "sh"))
    return "\n\n".join(parts)


def _metavar(argument: click.Parameter) -> str:
    name = (argument.metavar or argument.name or "").strip("[]").upper()
    name = f"{name}..." if argument.nargs != 1 else name
    return name if argument.required else f"[{name}]"


def _flags(option: click.Parameter) -> str:
    names = " ".join(code(one) for one in option.opts)
    if getattr(option, "is_flag", False):
        return names
    kind = option.type
    shown = " or ".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name.upper().split()[0]
    return f"{names} {shown}"


def _about(parameter: click.Parameter) -> str:
    help_text = str(getattr(parameter, "help", None) or "")
    low, high = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    limits = [f"at least {low:,}" if low is not None else "", f"at most {high:,}" if high is not None else ""]
    said = ", ".join(filter(None, limits))
    return f"{help_text} ({said})" if said else help_text


def _default(parameter: click.Parameter) -> Iterator[str]:
    value = parameter.default
    if value not in (None, False, (), []) and not callable(value):
        yield str(getattr(value, "value", value))
