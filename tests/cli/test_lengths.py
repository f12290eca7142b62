"""Length control on the command line: the filter, its options for one recipe, the report's figures, the balanced export."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.commands import clairgen
from tests.metrics.test_answer_lengths import saved_tokenizer

pytestmark = pytest.mark.slow


async def imported(folder: Path, count: int = 120) -> Path:
    """A run with `count` imported pairs whose chosen answer is mostly the longer one, by up to 40 words, under two names."""
    chance = random.Random(3)
    rows = [
        {
            "prompt": f"Question {number}?",
            "chosen": "so " * chance.randint(20, 60),
            "rejected": "or " * chance.randint(15, 45),
        }
        for number in range(count)
    ]
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name in ("first", "second"):
        assert (await clairgen("import", data, "--run", folder / "run", "--as", name)).code == 0
    await clairgen("filter", folder / "run", "--off", "length_ratio")
    return folder / "run"


async def test_a_band_drops_or_marks_and_the_report_shows_lengths_before_and_after(tmp_path: Path) -> None:
    run, words = await imported(tmp_path), saved_tokenizer(tmp_path)
    done = await clairgen(
        "filter", run, "--length-difference", "-8:8", "--length-tokenizer", words, "--recipe", "first"
    )
    assert done.code == 0, done.err
    assert f"first alone: length_difference -8 to 8 tokens of {words}: drop" in done.out
    first, second = json.loads((await clairgen("report", run, "--json", "--length-tokenizer", words)).out)
    assert second["kept"] == second["lengths"]["made"]["n"] == 120 > first["kept"] > 20
    made, kept = first["lengths"]["made"], first["lengths"]["kept"]
    assert first["lengths"]["unit"] == f"tokens of {words}"
    assert made == second["lengths"]["kept"]
    assert made["difference"]["mean"] > 5 > abs(kept["difference"]["mean"])
    # a band limits how long the difference is, and not which answer is the longer one
    assert 1 > kept["auc"] > first["lengths"]["balanced"]["auc"] == pytest.approx(0.5, abs=0.02)
    assert kept["n"] == first["kept"]
    shown = (await clairgen("report", run)).out
    assert "length in characters" in shown
    assert "kept, lengths balanced" in shown
    marked = await clairgen("filter", run, "--recipe", "first", "--mark", "length-difference")
    assert "first: 120 of 120 pairs kept, 0 dropped; marked: " in marked.out
    status = (await clairgen("status", run)).out.replace("\n", " ")
    assert f"first alone: length_difference -8 to 8 tokens of {words}: mark" in status
    unknown = await clairgen("filter", run, "--recipe", "third", "--off", "refusal")
    assert (unknown.code, "has no recipe 'third'; it has first, second" in unknown.err) == (2, True)


async def test_a_balanced_export_lists_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    run = await imported(tmp_path)
    [first, _] = json.loads((await clairgen("report", run, "--json")).out)
    done = await clairgen("export", run, tmp_path / "out", "--recipe", "first", "--balance-lengths")
    assert done.code == 0, done.err
    left_out = [json.loads(line) for line in (tmp_path / "out" / "left_out.jsonl").read_text().splitlines()]
    counts = Counter(one["reason"] for one in left_out)
    after = first["lengths"]["balanced"]
    assert f"first: {after['n']:,} rows in train" in done.out
    assert after["n"] + len(left_out) == 120
    assert all(f"{count} {reason}" in done.out for reason, count in counts.items())
    assert after["chosen_longer"] == after["chosen_shorter"]
    assert after["auc"] == pytest.approx(0.5, abs=0.02)
    assert "before lengths were balanced, 120 pairs: chosen minus rejected +" in done.out
    card = (tmp_path / "out" / "README.md").read_text()
    assert "## Length" in card
    assert "AUC of length alone" in card
    again = await clairgen("export", run, tmp_path / "again", "--recipe", "first", "--balance-lengths")
    assert again.code == 0
    files = [next((tmp_path / name / "first").glob("train-*")).read_bytes() for name in ("out", "again")]
    assert files[0] == files[1]
    back = await clairgen("import", tmp_path / "out", "--run", tmp_path / "back")
    assert f"{after['n']}" in back.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--balance-lengths", "--matched"], "use one of them (--balance-lengths or --matched)"),
        (["--balance-lengths", "--format", "sft"], "has chosen answers alone"),
        (["--length-tokenizer", "x/y"], "give both or neither"),
        (["--balance-lengths", "--length-tokenizer", "./absent"], "there is no tokenizer ./absent"),
    ],
)
async def test_options_without_a_meaning_are_refused_before_anything_is_written(
    tmp_path: Path, options: list[str], said: str
) -> None:
    run = await imported(tmp_path, 4)
    done = await clairgen("export", run, tmp_path / "out", *options)
    assert (done.code, said in done.err.replace("\n", " ")) == (2, True), done.err
    assert not (tmp_path / "out").exists()


async def test_without_the_package_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, words = await imported(tmp_path, 4), saved_tokenizer(tmp_path)
    monkeypatch.setattr("clairgen.installed.find_spec", lambda _name: None)
    done = await clairgen("filter", run, "--length-difference", ":9", "--length-tokenizer", words)
    assert (done.code, "pip install 'clairgen[tokens]'" in done.err) == (2, True), done.err
