"""The result files of lm-evaluation-harness (0.4) and of Inspect (logs of version 2), read as figures with scores by question."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from clairgen.errors import InputError
from clairgen.keys import canonical_json, digest

_NO_METRICS: Final = frozenset({"stderr", "std", "var", "bootstrap_stderr"})
_CLOSE: Final = 1e-6

QuestionScore = tuple[str, str, float]
"""Id of a question, name of its cluster (parts of one question share it), and its score between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of a task as a harness reports it, with its standard error and the number of questions.

    `value` and `stderr` are None where the harness gives no finite number. `data` is equal where the same questions were asked in
    the same words. `scores` are those of the questions, empty where the reported value is not their mean, as for a perplexity.
    """

    task: str
    task_version: str
    metric: str
    value: float | None
    stderr: float | None
    n: int | None
    data: str
    higher_is_better: bool | None
    scores: Sequence[QuestionScore] = ()


def lm_eval_figures(folder: Path) -> list[Figure]:
    """What the newest results file below a folder reports, the metrics of every task and group in its order.

    Raises InputError where there is none, or one that cannot be read.
    """
    path = _newest(folder, "results_*.json")
    content = _json(path)
    stamp = path.stem.removeprefix("results")
    found: list[Figure] = []
    for task, metrics in {**_mapping(content, "results"), **content.get("groups", {})}.items():
        samples = path.with_name(f"samples_{task}{stamp}.jsonl")
        by_metric = _lm_eval_scores(samples) if samples.exists() else {}
        for name, value in metrics.items():
            metric, comma, of_filter = name.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            figure = Figure(
                task=task,
                task_version=str(content.get("versions", {}).get(task, "")),
                metric=name,
                value=_number(value),
                stderr=_number(metrics.get(f"{metric}_stderr,{of_filter}")),
                n=metrics.get("sample_len") or content.get("n-samples", {}).get(task, {}).get("effective"),
                data=str(content.get("task_hashes", {}).get(task, "")),
                higher_is_better=content.get("higher_is_better", {}).get(task, {}).get(metric),
            )
            found.append(_with_scores(figure, by_metric.get(name, [])))
    return found


def inspect_figures(folder: Path) -> list[Figure]:
    """What the newest log below a folder reports, the metrics of every score.

    Raises InputError where there is none, one that cannot be read, or one of an evaluation that did not succeed.
    """
    path = _newest(folder, "*.json")
    content = _json(path)
    if content.get("status") != "success":
        why = " ".join(str((content.get("error") or {}).get("message", "it gives no reason")).split())
        raise InputError(f"the log {path} is of an evaluation that ended with {content.get('status')!r}: {why[:400]}")
    about, results = _mapping(content, "eval"), _mapping(content, "results")
    asked = [[str(one.get("id")), one.get("input"), one.get("target")] for one in content.get("samples") or ()]
    found: list[Figure] = []
    for score in results.get("scores", ()):
        values = {name: _number(metric.get("value")) for name, metric in score["metrics"].items()}
        for name, value in values.items():
            if name in _NO_METRICS:
                continue
            figure = Figure(
                task=str(about.get("task")),
                task_version=str(about.get("task_version", "")),
                metric=f"{name},{score['name']}",
                value=value,
                stderr=values.get("stderr"),
                n=score.get("scored_samples", results.get("completed_samples")),
                data=digest(canonical_json(asked)),
                higher_is_better=None,
            )
            found.append(_with_scores(figure, _inspect_scores(content, score)))
    return found


def _lm_eval_scores(path: Path) -> dict[str, list[QuestionScore]]:
    """The scores in a file of samples, by metric and filter; a list of values is that of the parts of one question."""
    found = defaultdict[str, list[QuestionScore]](list)
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for metric in row.get("metrics", ()):
            value = row.get(metric)
            parts = value if isinstance(value, list) else [value]
            for number, part in enumerate(parts):
                question = str(row["doc_id"])
                of_part = f"{question}/{number}" if isinstance(value, list) else question
                score = _number(part)
                found[f"{metric},{row['filter']}"].append((of_part, question, math.nan if score is None else score))
    return found


def _inspect_scores(content: Mapping[str, Any], score: Mapping[str, Any]) -> list[QuestionScore]:
    """The scores by question, over its epochs, of one scorer."""
    for reduction in content.get("reductions") or ():
        if reduction.get("scorer") == score.get("scorer") and reduction.get("reducer") in (None, score.get("reducer")):
            rows = [(str(one.get("sample_id")), _number(one.get("value"))) for one in reduction["samples"]]
            return [(question, question, math.nan if value is None else value) for question, value in rows]
    return []


def _with_scores(figure: Figure, scores: Sequence[QuestionScore]) -> Figure:
    """The figure with these scores, if its value is their mean and all are between 0 and 1."""
    values = [score for *_, score in scores]
    if not values or figure.value is None or not all(0 <= value <= 1 for value in values):
        return figure
    return replace(figure, scores=scores) if abs(math.fsum(values) / len(values) - figure.value) < _CLOSE else figure


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _newest(folder: Path, pattern: str) -> Path:
    paths: Iterator[Path] = folder.rglob(pattern)
    try:
        return max(paths, key=lambda path: path.stat().st_mtime_ns)
    except ValueError:
        raise InputError(f"there is no {pattern} in {folder}; the harness has written no result") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"the result file {path} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"the result file {path} is not one JSON object")
    return content


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    if not isinstance(value, dict):
        raise InputError(f"the result file has no {name!r}; this version of the harness writes another format")
    return value
