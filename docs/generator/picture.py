"""`python -m docs.generator.picture RUN PAIR OUT`: what `clairgen show RUN --pair PAIR` prints, as a picture (SVG).

docs/images/pair.svg is made by `make picture`, from a run of `make demo`. The picture loads nothing, fonts included.
"""

import asyncio
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from clairgen.api import find_pairs
from clairgen.errors import InputError
from clairgen.reporting.pair_view import PairView

_COLUMNS = 94
_FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def picture(run: Path, pair: str) -> str:
    """The picture of the pair whose id begins so. Raises InputError if the run has no such pair."""
    found = asyncio.run(find_pairs(run, pair, None))
    if not found:
        raise InputError(f"{run} has no pair {pair}; make the run with: make demo")
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(PairView(found[0]))
    svg = console.export_svg(title=f"clairgen show {run} --pair {pair}", theme=MONOKAI, unique_id="pair")
    return _FONT_FACES.sub("", svg).replace("Fira Code, monospace", _FONT).replace("Fira Code", _FONT)


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(picture(Path(sys.argv[1]), sys.argv[2]), encoding="utf-8")
