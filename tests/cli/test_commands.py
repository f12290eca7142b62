"""Commands as a user runs them, over a scripted endpoint."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from clairgen.store import RunDirectory, writing
from tests.cli.commands import clairgen, interpreter, pairs_in, process
from tests.cli.forked import forked
from tests.exporting.hub_stand_in import HubStandIn, served
from tests.runs import REVISER, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint


async def prepared(folder: Path, url: str, count: int = 12, **changes: Any) -> tuple[Path, Path]:  # noqa: ANN401
    tasks = write_tasks(folder / "tasks.jsonl", questions(count))
    (folder / "config.yaml").write_text(config_text(url, tasks, **changes))
    return folder / "config.yaml", folder / "run"


@pytest.mark.slow
async def test_from_configuration_to_data_set(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url)
        done = await clairgen("generate", config, "--run", run)
    assert done.code == 0, done
    assert pairs_in(done.out, "clair") == {"made": 12, "kept": 12, "dropped": 0, "failed": 0, "to be made": 0}
    assert f"Next: clairgen report {run}" in done.out
    report = await clairgen("report", run)
    assert "paper" in report.out
    assert "treebank" in report.out
    [clair, stronger] = json.loads((await clairgen("report", "--json", run)).out)
    assert (clair["recipe"], clair["n"], clair["kept"], clair["dropped"]) == ("clair", 12, 12, {})
    assert clair["contrast"]["all"]["levenshtein"] == {"mean": 12.0, "se": 0.0, "n": 12}
    assert stronger["run"] == str(run)
    old = await clairgen("report", "--json", run, "--tokeniser", "word")
    assert json.loads(old.out)[0]["tokenizer"] == "word"
    assert old.err == "Note: the option '--tokeniser' is now called '--tokenizer'; the old name is still read.\n"
    assert "--tokeniser" not in (await clairgen("report", "--help")).out
    status = json.loads((await clairgen("status", "--json", run)).out)
    assert status["pairs"] == {"clair": {"made": 12}, "stronger-preferred": {"made": 12}}
    assert status["roles"]["reviser"]["completions"] == 12
    shown = await clairgen("show", run)
    assert "{+, now better+}" in shown.out
    assert "weak" in shown.out
    exported = await clairgen("export", run, tmp_path / "out", "--recipe", "clair", "--test-fraction", "0.3")
    assert exported.code == 0, exported
    assert "clair: " in exported.out
    assert (tmp_path / "out" / "README.md").exists()


@pytest.mark.slow
async def test_an_export_says_that_the_run_is_unfinished_and_a_split_empty(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, recipes=["clair"])
        await clairgen("generate", config, "--run", run, "--limit", "4")
        early = await clairgen("export", run, tmp_path / "out", "--test-fraction", "1e-9")
        await clairgen("generate", config, "--run", run)
        done = await clairgen("export", run, tmp_path / "out", "--overwrite")
        all_in_test = await clairgen("export", run, tmp_path / "test", "--test-fraction", "0.999")
    assert early.code == 0, early
    assert "The run is not finished; pairs still to be made: 8 of clair. Run clairgen generate again" in early.out
    assert (
        "clair has no row in test: with --test-fraction 1e-09 and --seed 0, none of its tasks falls there" in early.out
    )
    assert "clair has no row in train" in all_in_test.out
    assert "give a smaller --test-fraction" in all_in_test.out
    assert "not finished" not in done.out
    assert "no row in" not in done.out


async def test_an_export_says_that_the_source_was_read_only_in_part(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, recipes=["clair"])
        await clairgen("generate", config, "--run", run)
    whole = await clairgen("export", run, tmp_path / "whole")
    async with writing(RunDirectory(run)) as store:  # as a kill leaves it while a longer file is read
        state = json.loads(await store.metadata.get("source") or "")
        await store.metadata.put("source", json.dumps(state | {"complete": False}))
    part = await clairgen("export", run, tmp_path / "part")
    assert "tasks' source" not in whole.out
    assert (
        "Only 12 rows of the tasks' source were read when the run was stopped, so it lacks tasks. Run clairgen"
        in part.out
    )
    assert "only in part" not in (tmp_path / "whole" / "README.md").read_text()
    assert (
        "The tasks' source was read only in part; rows that were read: 12."
        in (tmp_path / "part" / "README.md").read_text()
    )


@pytest.mark.slow
async def test_an_estimate_tells_its_range_its_prices_and_what_the_budget_has_left(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=100)
        guessed = await clairgen("generate", config, "--run", run, "--dry-run")
        await clairgen("generate", config, "--run", run, "--limit", "40")
        done = await clairgen("generate", config, "--run", run, "--dry-run")
        refused = await clairgen("generate", config, "--run", run, "--dry-run", "--budget-usd", "0.2")
        free = {"price_per_million": {"input": 0, "output": 0}}
        await prepared(tmp_path, endpoint.url, count=100, target=free, stronger=free)
        capped = await clairgen("generate", config, "--run", run, "--dry-run", "--budget-usd", "0.2")
    assert "Run a few with --limit 50 first" in guessed.out
    assert (
        "Expected of the roles with a price: $0.17, between $0.17 and $0.17" in done.out
    )  # all answers of the script are alike
    assert (
        "No price is known for models.stronger (stronger-model), models.target (target-model) at their endpoints, so "
        in done.out
    )
    assert "Spent: $0.1160, failed attempts included" in done.out
    assert refused.err.startswith(
        "Error: budget_usd needs a price for every model, and none is known for models.stronger"
    )
    assert "Budget: $0.2000, of which $0.1160 are spent: not enough for what is expected" in capped.out


@pytest.mark.slow
async def test_a_budget_ends_a_run_with_a_sentence_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    free = {"price_per_million": {"input": 0, "output": 0}}
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=30, target=free, stronger=free)
        stopped = await clairgen("generate", config, "--run", run, "--budget-usd", "0.05")
        status = await clairgen("status", run)
        finished = await clairgen("generate", config, "--run", run, "--budget-usd", "1")
        senseless = await clairgen("generate", config, "--run", run, "--budget-usd", "nan")
    assert stopped.code == 2
    assert stopped.err.startswith("the budget of $0.0500 has no room for the next request: $0.0")
    assert "raise budget_usd, or give a larger --budget-usd, such as 0.1, and run the same command again" in stopped.err
    assert stopped.out.splitlines()[-1] == f"Continue with: clairgen generate {config} --run {run} --budget-usd 0.1"
    assert "Spent: $0.0" in stopped.out
    assert "Spent: $0.0" in status.out
    assert finished.code == 0, finished
    assert pairs_in(finished.out, "clair")["made"] == 30
    assert (senseless.code, "Traceback" in senseless.err) == (2, False)


async def test_spent_is_the_same_figure_everywhere(tmp_path: Path) -> None:
    """What is not certain is within it, and said beside it."""
    free = {"price_per_million": {"input": 0, "output": 0}}
    torn = iter([Reply(b"", reset=True)])

    def script(request: dict[str, Any]) -> Reply:
        reply = played(request)
        return next(torn, reply) if request["model"] == "reviser-model" else reply

    async with ScriptedEndpoint(script) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=10, target=free, stronger=free)
        generated = await clairgen("generate", config, "--run", run, "--budget-usd", "5")
        status = await clairgen("status", run)
        machine = json.loads((await clairgen("status", run, "--json")).out)
        dry = await clairgen("generate", config, "--run", run, "--dry-run")
    [line] = [line for line in generated.out.splitlines() if line.startswith("Spent: ")]
    assert "of it is not certain: the most that 1 request in flight or of unknown cost can have cost" in line
    for done in (status, dry):
        assert line in done.out.splitlines()
    spent = line.split()[1].rstrip(",")
    assert spent == f"${machine['spent_usd']:.4f}"
    assert f"; ${machine['unsettled_usd']:.4f} of it" in line
    assert machine["spent_usd"] == pytest.approx(10 * 0.0029 + machine["unsettled_usd"])
    assert f"Budget: $5.0000, of which {spent} are spent" in dry.out


async def test_a_budget_is_lifted_by_name(tmp_path: Path) -> None:
    free = {"price_per_million": {"input": 0, "output": 0}}
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=30, target=free, stronger=free)
        await clairgen("generate", config, "--run", run, "--budget-usd", "0.05")
        kept = await clairgen("generate", config, "--run", run)
        both = await clairgen("generate", config, "--run", run, "--budget-usd", "1", "--no-budget")
        lifted = await clairgen("generate", config, "--run", run, "--no-budget")
    assert (kept.code, kept.err.startswith("Note: the run keeps its budget of $0.0500")) == (2, True)
    assert "the budget of $0.0500 has no room" in kept.err
    assert (both.code, both.err) == (
        2,
        "Error: --budget-usd sets a budget and --no-budget lifts it; give one of the two\n",
    )
    assert lifted.code == 0, lifted
    assert "the run's budget is lifted; before this command it was $0.0500" in lifted.err


@pytest.mark.process
async def test_export_is_pushed_to_the_hub(tmp_path: Path) -> None:
    with served(HubStandIn("hf_made_up")) as hub:
        async with ScriptedEndpoint(played) as endpoint:
            config, run = await prepared(tmp_path, endpoint.url)
            await clairgen("generate", config, "--run", run)
        variables = {"HF_TOKEN": "hf_made_up", "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1"}
        done = await interpreter("export", run, tmp_path / "out", "--push-to-hub", "me/pairs", environment=variables)
    assert done.code == 0, done
    assert "me/pairs" in done.out.splitlines()[-1]
    assert hub.files.keys() >= {"README.md", "clair/train-00000-of-00001.parquet"}
    assert b'load_dataset("me/pairs"' in hub.files["README.md"]


async def test_escape_sequences_of_a_model_reach_no_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e [red]"

    def script(request: dict[str, Any]) -> Reply:
        reply = played(request)
        return Reply(reply.body.replace(b"is an answer", json.dumps(evil)[1:-1].encode()))

    async with ScriptedEndpoint(script) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=2)
        outputs = [
            await clairgen("generate", config, "--run", run),
            await clairgen("show", run),
            await clairgen("report", run),
        ]
    for done in outputs:
        assert "\x1b]" not in done.out + done.err
        assert "\x1b[2J" not in done.out + done.err
        assert "\u202e" not in done.out + done.err
    assert "\\x1b]0;owned\\x07" in outputs[1].out
    assert "[red]" in outputs[1].out


@pytest.mark.process
async def test_without_a_terminal_progress_is_plain(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url)
        done = await process("generate", config, "--run", run)
    assert done.err == ""
    assert "\x1b" not in done.out


@pytest.mark.process
@pytest.mark.parametrize(("number", "interrupts"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1)])
async def test_ctrl_c_drains_and_a_second_one_stops_at_once(
    tmp_path: Path, number: signal.Signals, interrupts: int
) -> None:
    begun = asyncio.Event()

    def slow(request: dict[str, Any]) -> Reply:
        begun.set()
        return Reply(played(request).body, delay_seconds=1 if interrupts == 1 else 60)

    async with ScriptedEndpoint(slow) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=40)
        async with forked("generate", config, "--run", run) as running:
            await begun.wait()
            start = asyncio.get_running_loop().time()
            for _ in range(interrupts):
                running.send_signal(number)
                await asyncio.sleep(0.2)
            out, err = await running.communicate()
        seconds = asyncio.get_running_loop().time() - start
        assert running.returncode == 130, err
        assert "Traceback" not in err
        assert "press Ctrl-C again to stop at once" in err
        asked, answered = len(endpoint.asked), len(endpoint.answered)
        if interrupts == 1:
            assert asked == answered  # what was in flight was finished
            assert "Continue with: clairgen generate" in out
        else:
            assert seconds < 30
        endpoint.script = played
        again = await clairgen("generate", config, "--run", run)
    assert again.code == 0, again
    assert pairs_in(again.out, "clair")["made"] == 40
    if interrupts == 1:
        assert len(endpoint.asked) == 120


@pytest.mark.process
async def test_help_is_fast_and_loads_nothing_heavy() -> None:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "clairgen",
        "--help",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await running.communicate()
    loaded = {line.rsplit("|", 1)[-1].strip() for line in err.decode().splitlines()}
    assert not loaded & {"pydantic", "aiosqlite", "datasets", "pyarrow", "torch", "pyreqwest", "openai", "httpx"}


@pytest.mark.slow
async def test_filters_are_changed_and_marks_become_drops(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, recipes=["clair"])
        words = "which of the many rivers that cross the wide plains of the north is the longest one"
        write_tasks(tmp_path / "tasks.jsonl", [*questions(11), f"Tell me {words}?"])
        await clairgen("generate", config, "--run", run)
    (tmp_path / "evaluation.jsonl").write_text(json.dumps({"question": f"Say {words}."}) + "\n")
    done = await clairgen(
        "filter", run, "--evaluation", tmp_path / "evaluation.jsonl", "--drop", "contamination", "--jaccard", "10:"
    )
    assert done.code == 0, done
    assert "1 overlaps-evaluation" in done.out
    done = await clairgen("filter", run, "--mark", "contamination")
    assert "clair: 12 of 12 pairs kept" in done.out
    assert "jaccard at least 10: drop" in done.out
    missing = await clairgen("filter", run, "--evaluation", tmp_path / "absent.jsonl")
    assert missing.code == 2
    assert "absent.jsonl" in missing.err


async def test_status_counts_the_replies_of_each_role_that_were_cut_off(tmp_path: Path) -> None:
    def cutting(request: dict[str, Any]) -> Reply:
        reply = json.loads(played(request).body)
        if request["model"] == REVISER:
            reply["choices"][0]["finish_reason"] = "MAX_TOKENS"
        return Reply(json.dumps(reply).encode())

    async with ScriptedEndpoint(cutting) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, recipes=["clair"])
        await clairgen("generate", config, "--run", run)
    roles = json.loads((await clairgen("status", "--json", run)).out)["roles"]
    assert {role: found["cut_off"] for role, found in roles.items()} == {"target": 0, "reviser": 12}
    assert "cut off" in (await clairgen("status", run)).out
