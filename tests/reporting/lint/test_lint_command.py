"""The command: one page at 80 columns, exit codes, JSON, and a page in which hostile text is text."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.commands import clairgen
from tests.reporting.lint.test_lint_pairs import rows, written

NARROW = {"COLUMNS": "80"}
HOSTILE = "\x1b[31mred [bold]b[/bold] \x1b]0;title\x07 <script>alert(1)</script> \u202egnp.exe"


async def test_findings_are_one_page_and_an_error_among_them_is_exit_code_1(tmp_path: Path) -> None:
    content = rows(40, more=2)
    content[3]["rejected"] = ""
    done = await clairgen("lint", written(tmp_path / "data.jsonl", content), environment=NARROW)
    assert done.code == 1
    assert max(map(len, done.out.splitlines())) <= 80
    assert len(done.out.splitlines()) < 70
    lines = done.out.splitlines()
    assert lines[0] == "data.jsonl: 40 rows, 40 pairs"
    assert "error empty 1 of 40 (2.5%): chosen 0, rejected 1" in lines
    assert any(line.startswith("  data.jsonl line 4: 3: ") for line in lines)
    assert "1 error, 2 warnings, 0 notes." in lines
    assert done.err.startswith("data.jsonl: a chosen and a rejected answer: ")


async def test_warnings_are_exit_code_1_only_if_strict(tmp_path: Path) -> None:
    path = written(tmp_path / "data.jsonl", rows(40, more=2))
    assert (await clairgen("lint", path)).code == 0
    assert (await clairgen("lint", path, "--strict")).code == 1
    clean = written(tmp_path / "clean.jsonl", rows(40))
    assert (await clairgen("lint", clean, "--strict")).code == 0


async def test_json_is_one_object_with_stable_keys(tmp_path: Path) -> None:
    done = await clairgen("lint", written(tmp_path / "data.jsonl", rows(40, more=2)), "--json")
    report = json.loads(done.out)
    of_all = {"parts", "rows", "pairs", "counts", "findings", "passed", "not_looked", "left_out", "other_splits"}
    assert report.keys() == of_all
    [lengths] = [one for one in report["findings"] if one["rule"] == "length-bias"]
    keys = {"rule", "severity", "count", "n", "share", "sides", "measured", "counts", "advice", "examples"}
    assert lengths.keys() == keys
    assert lengths["measured"].keys() == {"what", "value", "interval_95", "details"}
    assert report["counts"] == {"error": 0, "warning": 2, "note": 0}


async def test_hostile_text_is_shown_as_text_everywhere(tmp_path: Path) -> None:
    content = rows(3)
    content[0] |= {"prompt": HOSTILE, "chosen": "", "rejected": HOSTILE}
    content[1]["chosen"] = content[1]["rejected"] = HOSTILE
    path, page = written(tmp_path / "data.jsonl", content), tmp_path / "page.html"
    done = await clairgen("lint", path, "--html", page, environment=NARROW)
    assert done.code == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.out)
    assert r"\x1b[31mred" in done.out
    assert "[bold]b[/bold]" in done.out
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "\u202e" not in html
    assert "script-src" not in html
    assert f"Page: {page}" in done.out.replace("\n", "")


async def test_the_page_has_every_finding_with_its_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    path = written(tmp_path / "data.jsonl", [*rows(40, more=2), {"prompt": "a", "chosen": None, "rejected": "b"}])
    await clairgen("lint", path, "--html", page)
    html = " ".join(page.read_text(encoding="utf-8").split())
    assert '<h3 id="length-bias">length-bias</h3>' in html
    assert "<strong>warning</strong> 40 of 40 (100.0%): chosen longer 40, rejected longer 0" in html
    assert "1 row, the first at data.jsonl line 41: has no `chosen`" in html
    assert "Not looked at, since no model is named with --model" in html


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--chat-template", "t.jinja"), "name the model with --model"),
        (("--column", "prompt"), "--column takes ROLE=NAME"),
        (("--split", "dev"), "is a file and has no split 'dev'"),
        (("--against", "absent.txt"), "there is no evaluation file absent.txt; check --against"),
        (("--html", "absent/page.html"), "the page absent/page.html cannot be written"),
    ],
)
async def test_a_mistake_is_one_sentence(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = await clairgen("lint", written(tmp_path / "data.jsonl", rows(3)), *options)
    assert done.code == 2
    assert said in done.err.splitlines()[-1]


async def test_columns_are_named_as_for_an_import(tmp_path: Path) -> None:
    content = [{"question": row["prompt"], "query": "Another?", **row, "prompt": None} for row in rows(3)]
    done = await clairgen("lint", written(tmp_path / "data.jsonl", content), "--column", "prompt=question")
    assert done.code == 0
    assert "the prompt is `question`" in done.err
