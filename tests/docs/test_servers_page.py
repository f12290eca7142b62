"""The page on servers lists what the code reads: finish reasons by kind, forms of thinking, names of failures."""

import re
from pathlib import Path

import pytest

from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.inference.rejection_rules import RULES, AtFault
from clairgen.thinking import _PAIRS, _WRAPPERS
from tests.dialects import DIALECTS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "servers.md").read_text(encoding="utf-8")
ROWS = {
    line.split("|")[1].strip().replace(" ", "-"): re.findall(r"`([^`]+)`", line.split("|")[2])
    for line in PAGE.partition("## Rejections")[0].splitlines()
    if line.startswith("|")
}


@pytest.mark.parametrize("kind", FinishKind)
def test_the_words_of_a_kind_are_of_that_kind(kind: FinishKind) -> None:
    assert ROWS[kind.value]
    for word in ROWS[kind.value]:
        assert finish_kind("" if word == "missing" else word.removesuffix("...")) is kind


def test_every_form_of_thinking_is_on_the_page() -> None:
    page = PAGE.lower()
    assert [opening for opening, _ in (*_PAIRS, *_WRAPPERS) if opening not in page] == []


def test_every_failure_of_a_dialect_and_of_one_prompt_has_its_name_on_the_page() -> None:
    names = set().union(*(dialect.ends for dialect in DIALECTS.values())) - {"kept", "format"}
    names |= {rule.reason for rule in RULES if rule.fault is AtFault.PROMPT}
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []
