"""A model's answers to AlpacaEval's instructions, in the form that its official tool takes as `--model_outputs`."""

import json
from collections.abc import Sequence
from pathlib import Path

from clairgen.errors import InputError
from clairgen.evaluation.recorded_outputs import PromptRow
from clairgen.evaluation.results import EvaluationResult
from clairgen.patterns import lazy_pattern
from clairgen.store import ItemRecord, RunDirectory, Store, reading
from clairgen.thinking import separate
from clairgen.whole_files import write_whole

_NOT_IN_A_NAME = lazy_pattern(r"[^\w.-]+")


def outputs_path(run: Path, label: str) -> Path:
    """Where the answers of a model go: RUN/LABEL/model_outputs.json; other characters than letters, digits, ._- become -."""
    name = _NOT_IN_A_NAME.sub("-", label).strip(".-") or "model"
    return run / name / "model_outputs.json"


async def write_model_outputs(
    path: Path, run: Path, result: EvaluationResult, prompts: Sequence[PromptRow], label: str
) -> int:
    """Write the answers that there are, in the order of the instructions; returns how many.

    An answer counts although it could not be judged. Raises InputError where the file cannot be written.
    """
    rows = []
    async with reading(RunDirectory(run), snapshot=True) as store:
        for item in result.items:
            prompt = prompts[item.position - 1]
            answer = await _answer(store, item)
            if answer is not None:
                instruction = prompt.task.messages[-1].content
                rows.append({"dataset": prompt.part, "instruction": instruction, "output": answer, "generator": label})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(
            f"the answers cannot be written to {path}: {error.strerror}; name a file with --outputs"
        ) from error
    return len(rows)


async def _answer(store: Store, item: ItemRecord) -> str | None:
    if "answer" in item.detail:
        return str(item.detail["answer"])
    for role, key in item.requests:
        completion = await store.completions.find(key) if role == "target" else None
        if completion is not None:
            return separate(completion.text).answer
    return None
