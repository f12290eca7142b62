"""What an export of a run holds in the shapes beyond pairs, and in files other than Parquet."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from clairgen import api
from clairgen.config.models import RecipeChoice, TaskSource
from clairgen.errors import InputError
from clairgen.exporting.columns import ExportFormat
from clairgen.exporting.dataset import DatasetWriter
from clairgen.exporting.shards import FileFormat
from clairgen.exporting.thoughts import Thinking
from clairgen.pipeline.generate import generate
from clairgen.pipeline.import_pairs import ImportOptions, import_pairs
from clairgen.row_files import csv_cell, text_of_csv_cell
from tests.exporting.stored_pairs import stored_pair, with_task_text
from tests.runs import config, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint

pytestmark = pytest.mark.slow

HOSTILE = [
    '=HYPERLINK("http://a")',
    "+1",
    "-1 apple",
    "@SUM(A1)",
    "\t=1",
    " \n=1",
    "＝1",
    '"quoted"',
    '"',
    "",
    " ",
    "None",
    "nan",
    "N/A",
    "a,b\r\nc",
    "[1]",
    "plain",
    "\0",
]


@pytest.fixture
async def run(tmp_path: Path) -> Path:
    """A run with three pairs of CLAIR and of Stronger Preferred."""
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), tmp_path / "run")
    return tmp_path / "run"


async def test_each_format_has_the_columns_of_its_trainer(run: Path, tmp_path: Path) -> None:
    pairs = {stored.task.id: stored for stored in await api.made_pairs(run, "clair")}
    stronger = {stored.task.id: stored for stored in await api.made_pairs(run, "stronger-preferred")}
    for export_format in (ExportFormat.REWARD, ExportFormat.TPO, ExportFormat.SDFT, ExportFormat.SDPO):
        gold = "stronger-preferred" if export_format is ExportFormat.TPO else None
        out = tmp_path / export_format
        await api.export(run, out, export_format=export_format, recipes=["clair"], reference=gold)
        rows = read(out)
        assert len(rows) == 3
        for row in rows:
            pair: Any = pairs[row["task_id"]].outcome
            prompt = [{"role": m.role, "content": m.content} for m in pairs[row["task_id"]].task.messages]
            chosen, rejected = [[{"role": "assistant", "content": a.text}] for a in (pair.chosen, pair.rejected)]
            assert row["reasoning"] == pair.reasoning
            if export_format is ExportFormat.REWARD:
                assert (row["chosen"], row["rejected"]) == (prompt + chosen, prompt + rejected)
                assert "prompt" not in row
                continue
            assert row["prompt"] == prompt
            if export_format is ExportFormat.TPO:
                other: Any = stronger[row["task_id"]].outcome
                assert (row["chosen"], row["rejected"]) == (chosen, rejected)
                assert row["reference"] == [{"role": "assistant", "content": other.chosen.text}]
            else:
                is_sdft = export_format is ExportFormat.SDFT
                assert row["privileged_context"] == (pair.chosen.text if is_sdft else pair.reasoning)
                assert "chosen" not in row
        card = (out / "README.md").read_text()
        assert ("Reference answers: the chosen answers of the recipe stronger-preferred." in card) is (gold is not None)


async def test_pairs_that_a_format_cannot_hold_are_counted_or_refused(run: Path, tmp_path: Path) -> None:
    both = await api.export(run, tmp_path / "both", export_format=ExportFormat.SDPO)
    assert dict(both.skipped) == {"no-feedback": 3}  # nobody revised for stronger-preferred
    refused: dict[str, dict[str, Any]] = {
        "needs reference answers; name with --reference": {"export_format": ExportFormat.TPO},
        "there is no reference 'x'; name a recipe of the run": {"export_format": ExportFormat.TPO, "reference": "x"},
        "only the format tpo has reference answers": {"reference": "clair"},
        "has a reviser's reasoning": {"export_format": ExportFormat.SDPO, "recipes": ["stronger-preferred"]},
        "confirmed ones were right": {"export_format": ExportFormat.SDPO, "keep_identical": True},
        "no messages of answers": {"export_format": ExportFormat.SDFT, "thinking": Thinking.KEEP},
    }
    for words, options in refused.items():
        with pytest.raises(InputError, match=words):
            await api.export(run, tmp_path / "refused", **options)
    with pytest.raises(InputError, match=r"No pair is left to export \(6 no-reference\)"):
        await api.export(run, tmp_path / "refused", export_format=ExportFormat.TPO, reference="recorded")
    assert not (tmp_path / "refused").exists()


async def test_a_reference_may_be_recorded_or_a_column_of_imported_pairs(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"q{n}", "chosen": f"good {n}", "rejected": f"bad {n}", "gold": f"best {n}"} for n in range(3)]
    rows[1]["gold"] = " "
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    await import_pairs(str(source), tmp_path / "run")
    summary = await api.export(tmp_path / "run", tmp_path / "out", export_format=ExportFormat.TPO, reference="gold")
    assert [row["reference"][0]["content"] for row in read(tmp_path / "out", "imported")] == ["best 0", "best 2"]
    assert dict(summary.skipped) == {"no-reference": 1}
    assert summary.reference == "the column gold"


async def test_recorded_scores_are_columns_and_the_best_recorded_answer_a_reference(tmp_path: Path) -> None:
    answers = [("m-a", "fair", 7.0), ("m-b", "good", 8.5), ("m-c", "bad", 2.0)]
    completions = [{"model": model, "response": text, "score": score} for model, text, score in answers]
    tasks = write_tasks(
        tmp_path / "tasks.jsonl", [{"prompt": f"Question number {n}", "completions": completions} for n in range(2)]
    )
    source = TaskSource(path=tasks, answers="completions", scores="score")
    async with ScriptedEndpoint(played) as endpoint:
        chosen_by_scores = RecipeChoice(name="judge-off-policy", by="scores")
        settings = config(endpoint.url, tasks).model_copy(update={"tasks": source, "recipes": [chosen_by_scores]})
        await generate(settings, tmp_path / "run")
    summary = await api.export(tmp_path / "run", tmp_path / "out", export_format=ExportFormat.TPO, reference="recorded")
    for row in read(tmp_path / "out", "judge-off-policy"):
        assert (row["chosen_score"], row["rejected_score"]) == (8.5, 2.0)
        assert row["reference"][0]["content"] == "good"
    assert summary.source_columns == ("chosen_score", "rejected_score")
    assert summary.reference == "the recorded answers of the tasks' source"


@pytest.mark.parametrize("file_format", list(FileFormat))
async def test_every_kind_of_file_is_read_again_by_datasets_and_by_import(
    file_format: FileFormat, run: Path, tmp_path: Path
) -> None:
    import datasets

    summary = await api.export(run, tmp_path / "out", file_format=file_format)
    [file] = (tmp_path / "out" / "clair").iterdir()
    assert file.name == f"train-00000-of-00001.{file_format}"
    loaded = datasets.load_dataset(str(tmp_path / "out"), "clair", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == summary.rows["clair"]["train"] == 3
    for name, source in (("from-file", file), ("from-folder", tmp_path / "out")):
        subset = "clair" if source.is_dir() else None
        await import_pairs(str(source), tmp_path / "again", ImportOptions(name=name, subset=subset))
        before, after = await api.made_pairs(run, "clair"), await api.made_pairs(tmp_path / "again", name)
        assert [facts(one) for one in after] == [facts(one) for one in before]
        assert [one.contrast for one in after] == [one.contrast for one in before]


def test_hostile_cells_of_csv_begin_no_formula_and_are_read_again(tmp_path: Path) -> None:
    pairs = [with_task_text(stored_pair(n, chosen=text or "x"), f"{n} {text}") for n, text in enumerate(HOSTILE)]
    with DatasetWriter(
        tmp_path / "out", file_format=FileFormat.CSV, source_columns={"category": "text", "count": "integer"}
    ) as writer:
        for stored, text in zip(pairs, HOSTILE, strict=True):
            object.__setattr__(stored, "source_columns", {"category": text, "count": -5})
            writer.add(stored)
        writer.add(stored_pair(99))
        writer.finish()
    with (tmp_path / "out" / "clair" / "train-00000-of-00001.csv").open(encoding="utf-8", newline="") as lines:
        *rows, without = list(csv.DictReader(lines))
    assert [text_of_csv_cell(row["category"]) for row in rows] == HOSTILE
    assert without["category"] == ""
    assert {row["count"] for row in rows} == {"-5"}
    assert [json.loads(row["chosen"])[0]["content"] for row in rows] == [text or "x" for text in HOSTILE]
    for row in rows:
        for name, cell in row.items():
            assert name == "count" or cell.lstrip()[:1] not in set("=+-@＝＋－＠"), (name, cell)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "a cell\nthat begins with a quotation mark is JSON text" in card
    compile(card.partition("```python\n")[2].partition("```")[0], "card", "exec")


def test_a_text_that_a_model_wrote_is_json_in_csv_whatever_it_says() -> None:
    assert csv_cell("4", written=True) == '"4"'
    assert [csv_cell(value) for value in (True, None, 4, 0.5, "4", ["a"])] == ["true", None, 4, 0.5, "4", '["a"]']
    assert text_of_csv_cell('"said" he') == '"said" he'


def test_surrogates_become_replacement_characters_in_every_kind_of_file(tmp_path: Path) -> None:
    for file_format in FileFormat:
        with DatasetWriter(tmp_path / file_format, file_format=file_format) as writer:
            writer.add(stored_pair(chosen="a\ud800"))
            assert writer.finish().replaced_characters == 1
        [file] = (tmp_path / file_format / "clair").iterdir()
        assert file_format is FileFormat.PARQUET or file.read_bytes().count("\ufffd".encode()) == 1


def test_parquet_has_a_page_index_and_few_rows_that_go_leave_most_of_its_bytes_as_they_were(tmp_path: Path) -> None:
    from tests.bench.changed_rows import as_clairgen, chunks, plain, rows

    old = rows(6000)
    new = old[:1500] + old[1560:]
    shared = {}
    for way in (as_clairgen, plain):
        before, after = [way(some, tmp_path / f"{way.__name__}{n}").read_bytes() for n, some in enumerate((old, new))]
        known = set(chunks(before))
        shared[way] = sum(len(chunk) for chunk in chunks(after) if chunk in known) / len(after)
    assert shared[as_clairgen] > 0.6
    assert shared[plain] < 0.4
    metadata = pq.ParquetFile(tmp_path / "as_clairgen0" / "train-00000-of-00001.parquet").metadata
    assert 6 <= metadata.num_row_groups < 30
    assert metadata.row_group(0).column(0).has_offset_index


def read(folder: Path, recipe: str = "clair") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(next((folder / recipe).glob("*.parquet"))).to_pylist()
    return rows


def facts(stored: Any) -> tuple[object, ...]:  # noqa: ANN401 - a StoredPair with a decided outcome
    pair = stored.outcome
    models = (pair.chosen.model, pair.rejected.model)
    return stored.task, pair.chosen.text, pair.rejected.text, pair.reasoning, models
