"""The arithmetic of the page about scale: what follows is computed from the constants that it shows."""

import math
import re
from pathlib import Path

import pytest

from docs.generator.__main__ import PAGES

PAGE = (PAGES / "background" / "scale.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
CONSTANTS = {row[0].strip("`"): float(row[2]) for row in ROWS if re.fullmatch(r"`\w+`", row[0])}
RESULTS = [(row[0], row[1].strip("`"), row[2]) for row in ROWS if len(row) == 3 and re.search(r"`.*[*/].*`", row[1])]


def shown(value: float) -> str:
    """A number as the page shows it: two significant digits, or three from 100 on."""
    if value >= 100:
        return f"{round(value, 2 - math.floor(math.log10(value))):,.0f}"
    return f"{float(f'{value:.2g}'):g}"


def computed(formula: str) -> float:
    """The value of a formula over the constants."""
    return float(eval(formula, {"__builtins__": {}}, CONSTANTS))  # noqa: S307 - a formula of a page of ours


@pytest.mark.parametrize(("what", "formula", "value"), RESULTS, ids=[row[0] for row in RESULTS])
def test_a_result_is_what_its_formula_gives(what: str, formula: str, value: str) -> None:
    assert shown(computed(formula)) == value, what


def test_every_constant_is_used_and_every_measure_named() -> None:
    formulas = " ".join(formula for _, formula, _ in RESULTS)
    assert len(RESULTS) > 15
    assert set(CONSTANTS) == set(re.findall(r"\b[a-z]\w+", formulas))
    for command in set(re.findall(r"python -m ([\w.]+)", PAGE)):
        assert (Path(__file__).parents[2] / f"{command.replace('.', '/')}.py").is_file()


def test_the_limits_that_the_text_names_bind() -> None:
    values = {what: computed(formula) for what, formula, _ in RESULTS}
    prompts = CONSTANTS["prompts"] / 1e6
    assert values["of one core, to make a shard's pairs (%)"] < 20  # "a small part of one core"
    assert values["GPUs that one process keeps busy"] > 200  # "hundreds of GPUs"
    assert values["hours in which a shard reads the whole source"] > 1
    assert values["of one core, for the coordinator (%)"] < 50
    assert values["disk a shard, GB"] < 1000
    assert values["pairs that fit into one merged run, millions"] < prompts
    assert values["near duplicates over all shards, TB of memory"] > 1
    assert values["hours to export shard by shard, a process a core"] < values["days of generating"] * 24
