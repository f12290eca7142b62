"""Blocks of code in Markdown: what the README and the pages of the documentation show, to be run."""

import ast
import asyncio
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

from tests.cli.commands import clairgen

_BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `title` is empty where it has none."""

    language: str
    title: str
    text: str


def blocks(markdown: str) -> Iterator[Block]:
    """The blocks that name a language, in order."""
    for language, title, text in _BLOCK.findall(markdown):
        yield Block(language, title, text)


async def run_console(block: Block) -> list[str]:
    """Run each line, `$ clairgen ...`, here; what they print. Each must end with exit code 0."""
    printed = []
    for line in block.text.splitlines():
        dollar, command, *arguments = shlex.split(line)
        assert (dollar, command) == ("$", "clairgen"), line
        done = await clairgen(*arguments)
        assert done.code == 0, (line, done)
        printed.append(done.out)
    return printed


async def run_python(block: Block) -> None:
    """Run a program as a notebook does, where `await` may stand at the top."""
    code: CodeType = compile(block.text, "documentation", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = eval(code, {"__name__": "documentation"})  # noqa: S307 - the documentation's own code
    if inspect.isawaitable(done):
        await asyncio.wait_for(done, 60)
