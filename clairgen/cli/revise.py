"""`clairgen revise`: an answer that a person edited, kept as a pair of its own."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.cli.vote import voter_name
from clairgen.errors import ConfigError, InputError
from clairgen.pipeline.human_revisions import EditedAnswer
from clairgen.reporting.sanitize import plain_line
from clairgen.store import HUMAN_REVISION, note_fault

_MOST_BYTES = 10_000_000


def revise_command(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    pair: Annotated[str, typer.Argument(help="The beginning of the pair's id, as show prints it.", show_default=False)],
    answer: Annotated[Path, typer.Option(help="A file with the edited answer, as UTF-8; - for standard input.")],
    of: Annotated[EditedAnswer, typer.Option(help="Which answer of the pair was edited.")] = EditedAnswer.CHOSEN,
    by: Annotated[str | None, typer.Option(help="Who edited it; your user name on this machine if left out.")] = None,
    note: Annotated[str | None, typer.Option(help="Why, in your words.")] = None,
) -> None:
    """Keep an answer that you edited: it makes a pair of the recipe human-revision, against the answer as it was.

    The pair that you edit stays as it is. The same edit twice is one pair; another edit of the same answer by the same person
    replaces the former one. It works while generate goes on.

    Example: clairgen revise runs/first 3f2a --answer better.txt --note "the sum was wrong"
    """
    from clairgen import api
    from clairgen.long_texts import close_workers

    if (fault := note_fault(note)) is not None:
        raise ConfigError(f"--note {fault}")
    text, editor = _text(answer), voter_name(by, "--by")

    async def revise() -> tuple[str, bool]:
        try:
            done = await api.revise(run, pair, text, editor, answer=of, note=note)
        finally:
            await close_workers()
        return done.pair_id, done.is_new

    pair_id, is_new = run_coroutine(revise())
    typer.echo(f"{pair_id}: a pair of {HUMAN_REVISION}{'' if is_new else ', as before'}")
    typer.echo(f"See it: {plain_line(shlex.join(['clairgen', 'show', str(run), '--pair', pair_id]))}")


def _text(file: Path) -> str:
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise InputError(f"--answer {file} has more than {_MOST_BYTES:,} bytes, which is no answer of a model")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"--answer {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--answer {file} is not UTF-8 text") from error
