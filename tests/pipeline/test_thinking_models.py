"""Models that think, end to end: only answers reach reviser, judges and exports, and the thoughts are kept beside them."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from clairgen import api
from clairgen.exporting.columns import ExportFormat
from clairgen.exporting.thoughts import Thinking, ThinkingField
from clairgen.pipeline.generate import Options, generate
from tests.cli.commands import clairgen
from tests.runs import REVISER, STRONGER, TARGET, config, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said
from tests.streams import streamed

THOUGHT = "THE-THOUGHT"


def beside(field: str) -> Callable[[str], Reply]:
    def reply(text: str) -> Reply:
        return said(text, message={"role": "assistant", "content": text, field: THOUGHT})

    return reply


def inside(form: str) -> Callable[[str], Reply]:
    return lambda text: said(form.replace("THOUGHT", THOUGHT).replace("ANSWER", text))


FORMS: dict[str, Callable[[str], Reply]] = {
    "reasoning_content": beside("reasoning_content"),
    "reasoning": beside("reasoning"),
    "thinking": beside("thinking"),
    "details": lambda text: said(
        text, message={"content": text, "reasoning_details": [{"type": "reasoning.text", "text": THOUGHT}]}
    ),
    "parts": lambda text: said(
        [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}, {"type": "text", "text": text}]
    ),
    "tags": inside("<think>\nTHOUGHT\n</think>\n\nANSWER"),
    "closing tag alone": inside("THOUGHT\n</think>\n\nANSWER"),
    "harmony": inside(
        "<|channel|>analysis<|message|>THOUGHT<|end|><|start|>assistant<|channel|>final<|message|>ANSWER<|return|>"
    ),
    "other tags": inside("<thinking>THOUGHT</thinking>ANSWER"),
    "reasoning tags": inside("<reasoning>THOUGHT</reasoning>\nANSWER"),
    "magistral": inside("[THINK]THOUGHT[/THINK]ANSWER"),
    "after the answer": inside("ANSWER\n<think>THOUGHT</think>"),
    "both": lambda text: said(
        f"<think>{THOUGHT}</think>{text}", message={"content": f"<think>{THOUGHT}</think>{text}", "reasoning": THOUGHT}
    ),
}
WITHOUT: dict[str, Callable[[str], Reply]] = {
    "empty field": lambda text: said(text, message={"content": text, "reasoning_content": ""}),
    "empty tags": inside("<think>\n\n</think>\n\nANSWER"),
}
NO_ANSWER: dict[str, tuple[str, Callable[[str], Reply]]] = {
    "never ends": ("truncated", lambda text: said(f"<think>{THOUGHT} {text}", finish_reason="length")),
    "all spent beside": (
        "truncated",
        lambda _: said("", finish_reason="length", message={"content": None, "reasoning_content": THOUGHT}),
    ),
    "nothing after": ("only-thinking", inside("<think>THOUGHT</think>\n")),
}


def script_of(*, streams: bool) -> Callable[[dict[str, Any]], Reply]:
    """Every model thinks: the target in the form that the prompt names, the others before they answer."""
    replies = FORMS | WITHOUT | {name: reply for name, (_, reply) in NO_ANSWER.items()}

    def script(request: dict[str, Any]) -> Reply:
        prompt, model = request["messages"][-1]["content"], request["model"]
        if model == TARGET:
            reply = replies[prompt](answer_to(prompt, request["seed"]))
        elif model == REVISER:
            revised = prompt.split("{student_solution}: ")[1].split("\n\n-----")[0]
            reply = said(
                f"{{teacher_reasoning}}: weak\n\n{{corrected_student_solution}}: {revised} And more.",
                message={
                    "content": f"{{teacher_reasoning}}: weak\n\n{{corrected_student_solution}}: {revised} And more.",
                    "reasoning_content": f"{THOUGHT} of the reviser",
                },
            )
        else:
            reply = said(f"<think>{THOUGHT} of the judge: [2]</think>{{teacher_reasoning}}: so it is. [1]")
        return streamed(reply, random.Random(prompt)) if streams else reply

    return script


def answer_to(prompt: str, seed: int) -> str:
    return f"A whole answer about {prompt}, in words, number {seed}."


@pytest.mark.parametrize("streams", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_only_answers_reach_reviser_judge_and_export(tmp_path: Path, streams: bool) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", [*FORMS, *WITHOUT, *NO_ANSWER])
    run = tmp_path / "run"
    async with ScriptedEndpoint(script_of(streams=streams)) as endpoint:
        role = {"model": "judge-model", "endpoints": [endpoint.url], "max_tokens": 100}
        given = config(
            endpoint.url, tasks, recipes=["clair", "judge-on-policy"], judge=role, target={"stream": streams}
        )
        summary = await generate(given, run)
        asked = len(endpoint.asked)
        again = await generate(given, run, Options(retry_failed=True))
        assert len(endpoint.asked) == asked  # what was cut off is paid for, and not requested again
        assert {request["model"] for request in endpoint.asked} == {TARGET, REVISER, "judge-model"}
        assert not [request for request in endpoint.asked if THOUGHT in json.dumps(request)]
    assert summary.statuses == again.statuses
    assert summary.statuses["clair"] == {"made": len(FORMS | WITHOUT), "failed": len(NO_ANSWER)}
    assert {(recipe, reason): count for recipe, reason, count, _ in summary.failures} == {
        (recipe, reason): count
        for recipe in ("clair", "judge-on-policy")
        for reason, count in (("truncated", 2), ("only-thinking", 1))
    }
    for stored in [stored for name in ("clair", "judge-on-policy") for stored in await api.made_pairs(run, name)]:
        assert THOUGHT not in repr(stored.outcome)
    for export_format in ExportFormat:
        reference = "judge-on-policy" if export_format is ExportFormat.TPO else None
        await api.export(run, tmp_path / export_format, export_format=export_format, reference=reference)
        for recipe in ("clair",) if export_format is ExportFormat.SDPO else ("clair", "judge-on-policy"):
            exported = datasets.load_dataset(str(tmp_path / export_format), recipe, split="train").to_list()
            assert exported
            assert THOUGHT not in json.dumps(exported)
            answers = {"chosen", "rejected", "completion", "reference"} & exported[0].keys()
            assert bool(answers) == (export_format not in {ExportFormat.SDFT, ExportFormat.SDPO})
            parts = {name for row in exported for column in answers or ["prompt"] for name in row[column][0]}
            assert parts == {"role", "content"}
    thought = {role.role: role.thought for role in (await api.status(run)).roles}
    forms = len(FORMS) - streams  # there is no stream with `reasoning_details` here
    assert thought["target"] == 2 * (forms + len(NO_ANSWER))  # both answers to each prompt
    assert thought["reviser"] == len(FORMS | WITHOUT)


async def test_thoughts_are_exported_beside_their_answers_where_that_is_asked(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", [*FORMS, *WITHOUT])
    run = tmp_path / "run"
    async with ScriptedEndpoint(script_of(streams=False)) as endpoint:
        role = {"model": "judge-model", "endpoints": [endpoint.url], "max_tokens": 100}
        given = config(endpoint.url, tasks, recipes=["clair", "judge-on-policy"], judge=role, thinking="keep")
        await generate(given, run)
    kept = await api.export(run, tmp_path / "kept")
    assert kept.with_thoughts == {"clair": len(FORMS), "judge-on-policy": len(FORMS)}
    for recipe in ("clair", "judge-on-policy"):
        rows = datasets.load_dataset(str(tmp_path / "kept"), recipe, split="train").to_list()
        assert len(rows) == len(FORMS | WITHOUT)
        for row in rows:
            prompt = row["prompt"][0]["content"]
            expected = None if prompt in WITHOUT else f"{THOUGHT}\n\n{THOUGHT}" if prompt == "both" else THOUGHT
            # A revision stands after the thoughts of the answer that it revises, never after the reviser's.
            assert [row[side][0]["reasoning_content"] for side in ("chosen", "rejected")] == [expected, expected]
            assert THOUGHT not in row["chosen"][0]["content"] + row["rejected"][0]["content"]
    other = await api.export(run, tmp_path / "other", thinking=Thinking.KEEP, thinking_field=ThinkingField.THINKING)
    assert other.thinking == "thinking"
    dropped = await api.export(run, tmp_path / "dropped", thinking=Thinking.DROP)
    assert (dropped.thinking, dropped.with_thoughts) == (None, None)
    done = await clairgen("export", run, tmp_path / "told", "--recipe", "clair")
    assert f"clair: {len(FORMS)} pairs with thoughts beside the answers (field `reasoning_content`)" in done.out
    assert "## Thoughts" in (tmp_path / "told" / "README.md").read_text()
    shown = [await clairgen("show", run, "--recipe", "clair", *more) for more in ((), ("--thinking",))]
    assert ["thoughts of the target" in done.out for done in shown] == [False, True]
    assert "11 characters of the target" in shown[0].out
    assert "(--thinking shows them)" in shown[0].out
    assert "with thoughts" in (await clairgen("status", run)).out


async def test_a_pair_with_thoughts_on_one_side_is_left_out_by_name(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        thinks = request["model"] == TARGET and request["messages"][-1]["content"] == "one"
        text = f"An answer of {request['model']}."
        return FORMS["tags"](text) if thinks else said(text)

    tasks = write_tasks(tmp_path / "tasks.jsonl", ["one", "two"])
    async with ScriptedEndpoint(script) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["stronger-preferred"]), tmp_path / "run")
    kept = await api.export(tmp_path / "run", tmp_path / "kept", thinking=Thinking.KEEP)
    assert (kept.row_count, kept.skipped) == (1, {"thinking-on-one-side": 1})
    alone = await api.export(
        tmp_path / "run", tmp_path / "alone", export_format=ExportFormat.SFT, thinking=Thinking.KEEP
    )
    assert (alone.row_count, alone.skipped) == (2, {})


async def test_thoughts_of_a_reply_that_no_parser_reads_are_sent_to_nobody(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        return said(f"<think>{THOUGHT}" if request["model"] == REVISER else "An answer.")

    tasks = write_tasks(tmp_path / "tasks.jsonl", ["one"])
    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, tasks, recipes=["clair-by-critique", "degraded"])
        summary = await generate(given, tmp_path / "run")
        assert not [request for request in endpoint.asked if THOUGHT in json.dumps(request)]
        assert {request["model"] for request in endpoint.asked} == {TARGET, STRONGER, REVISER}
    assert [(recipe, reason) for recipe, reason, _, _ in summary.failures] == [
        ("clair-by-critique", "truncated"),
        ("degraded", "truncated"),
    ]


async def test_thoughts_in_the_middle_of_an_answer_stay_and_the_pair_is_dropped_by_name(tmp_path: Path) -> None:
    """Nobody can say what of it is the answer; so it is revised as it stands, and the pair reaches no data set."""
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["one", "two"])

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == REVISER:
            return said("{teacher_reasoning}: weak\n\n{corrected_student_solution}: A better answer, in words.")
        return said(f"It is 5. <think>{THOUGHT}</think> No, 4." if prompt == "one" else "It is 4, in words.")

    async with ScriptedEndpoint(script) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
        assert len([request for request in endpoint.asked if THOUGHT in json.dumps(request)]) == 1
    assert (await api.status(tmp_path / "run")).dropped == {"clair": {"rejected-embedded-markup": 1}}
    exported = await api.export(tmp_path / "run", tmp_path / "out", thinking=Thinking.KEEP)
    assert (exported.row_count, exported.skipped) == (1, {"rejected-embedded-markup": 1})
    rows = datasets.load_dataset(str(tmp_path / "out"), "clair", split="train").to_list()
    assert THOUGHT not in json.dumps(rows)
