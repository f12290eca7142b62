"""The results of an experiment as files: result.json, table.md, figure.svg and page.html, all written from the records."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clairgen.experiment.cells import Combination
from clairgen.experiment.claims import BEYOND, CLAIMS, JudgedClaim, judged
from clairgen.experiment.crossed_interval import crossed_mean
from clairgen.experiment.experiment_folder import ExperimentFolder, write_record
from clairgen.experiment.findings import CombinationResult, Findings
from clairgen.experiment.result_page import figure_file, result_page
from clairgen.whole_files import write_whole

READINGS: Mapping[str, str] = {
    "last": "the last checkpoint",
    "best": "the checkpoint that was best on dev",
    "over_checkpoints": "the mean over all checkpoints",
    "highest": "the checkpoint that was best on the test questions themselves: its surplus over the line of dev is the bias of "
    "choosing on test",
}
"""What of a training is compared with the student; the names are attributes of CombinationResult."""


def write_results(folder: ExperimentFolder, findings: Findings) -> tuple[str, list[Path]]:
    """Write all files; the Markdown text and the files."""
    claims, beyond = ([judged(one, findings) for one in some] for some in (CLAIMS, BEYOND))
    text = "\n".join(_markdown(findings, claims, beyond)) + "\n"
    files = [folder.path / name for name in ("result.json", "table.md", "figure.svg", "page.html")]
    write_record(files[0], to_json(findings, [*claims, *beyond]))
    write_whole(files[1], text)
    write_whole(files[2], figure_file(findings))
    write_whole(files[3], result_page(findings, claims, beyond, READINGS))
    return text, files


def to_json(findings: Findings, claims: Sequence[JudgedClaim]) -> dict[str, Any]:
    """All figures, in points, as one object."""
    return {
        "student": {
            "mean": 100 * float(findings.student.mean()),
            "by_seed": [100 * float(mean) for mean in findings.student.mean(axis=1)],
            "characters": findings.student_characters,
        },
        "data": findings.sets,
        "results": [_combination_json(findings, one) for one in findings.results.values()],
        "failed": [each._asdict() for each in findings.failed],
        "claims": [
            {
                "claim": one.claim.title,
                "paper": one.claim.paper,
                "verdict": one.verdict.value,
                "differences": {name: None if each is None else each.to_json() for name, each in one.differences},
                "perhaps": one.perhaps,
            }
            for one in claims
        ],
        "config": findings.config.model_dump(mode="json"),
    }


def _combination_json(findings: Findings, one: CombinationResult) -> dict[str, Any]:
    return {
        **one.combination._asdict(),
        "learning_rate": one.learning_rate,
        "is_at_edge": one.is_at_edge,
        "failed": one.failed,
        **{name: findings.gain(getattr(one, name)).to_json() for name in READINGS},
        "bias_of_choosing_on_test": crossed_mean((one.highest - one.best).tolist()).to_json(),
        "by_parts": {name: findings.gain(one.last, part).to_json() for name, part in findings.parts().items()},
        "characters": one.characters,
        "unended": one.unended,
        "checkpoints": [
            [{"step": each.step, "dev": 100 * each.dev.mean, "test": 100 * each.test.mean} for each in seed]
            for seed in one.checkpoints
        ],
        "trajectories": one.trajectories,
    }


def _markdown(findings: Findings, claims: Sequence[JudgedClaim], beyond: Sequence[JudgedClaim]) -> Iterator[str]:
    config = findings.config
    yield "# Table 2 of arXiv:2408.06266 in miniature"
    yield ""
    yield (
        f"The untrained student answers {100 * findings.student.mean():.1f}% of {config.test.count:,} test questions rightly at "
        f"temperature {config.temperature:g}. Differences to it in points, with 95% intervals over questions and "
        f"{len(config.seeds)} seeds; trained on {findings.sets['pairs']:,} pairs of each data set. Learning rates were chosen on "
        f"{config.dev.count:,} dev questions, {len(config.learning_rates)} for each objective and data set."
    )
    for name, meaning in READINGS.items():
        yield ""
        yield f"{meaning[0].upper()}{meaning[1:]}:"
        yield ""
        yield from _table(findings, lambda one, name=name: findings.gain(getattr(one, name)).text)
    for name, part in findings.parts().items():
        yield ""
        yield f"The last checkpoint, questions of {name} alone:"
        yield ""
        yield from _table(findings, lambda one, part=part: findings.gain(one.last, part).text)
    yield ""
    yield "Chosen learning rates; * at the edge of those tried:"
    yield ""
    yield from _table(findings, lambda one: f"{one.learning_rate:g}{'*' if one.is_at_edge else ''}")
    yield ""
    yield (
        f"What the data sets hold, in means; {findings.sets['tasks_with_pairs_in_all']:,} tasks have pairs in all data sets "
        "whose questions have one part:"
    )
    yield ""
    yield "| data set | pairs made | chosen right, % | rejected right, % | character edits | characters, chosen / rejected |"
    yield "|---|--:|--:|--:|--:|--:|"
    for name, facts in findings.sets["sets"].items():
        yield (
            f"| {name} | {facts['made']:,} | {100 * facts['chosen_right']:.1f} | {100 * facts['rejected_right']:.1f} | "
            f"{facts['levenshtein']:.1f} | {facts['chosen_characters']:.0f} / {facts['rejected_characters']:.0f} |"
        )
    for title, some in (("The paper's claims", claims), ("Beyond the paper", beyond)):
        yield ""
        yield f"## {title}"
        for one in some:
            yield ""
            yield from _claim(one)


def _claim(one: JudgedClaim) -> Iterator[str]:
    yield f"**{one.claim.title}: {one.verdict.value}.** The paper: {one.claim.paper}."
    yield ""
    for name, difference in one.differences:
        yield f"- {name}: {'not run' if difference is None else difference.text}"
    if one.perhaps:
        yield ""
        yield f"Perhaps: {one.perhaps}"


def _table(findings: Findings, text: Any) -> Iterator[str]:  # noqa: ANN401 - a function of a result
    """A table of the paper's shape; a combination that was not run or always failed is a dash."""
    data_sets = findings.config.data_sets
    yield f"| objective | {' | '.join(data_sets)} |"
    yield f"|---|{'--:|' * len(data_sets)}"
    for objective in findings.config.objectives:
        found = [findings.results.get(Combination(data_set, objective)) for data_set in data_sets]
        yield f"| {objective} | {' | '.join('–' if one is None else text(one) for one in found)} |"
