"""The data set card: README.md with the front matter that `datasets` reads and a description of how the pairs were made."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from clairgen.exporting.balanced_lengths import LEFT_OUT_FILE
from clairgen.exporting.columns import (
    CONTENT_COLUMNS,
    REVISIONS_FILE,
    VOTES_FILE,
    ExportFormat,
    ExportSummary,
    columns,
)
from clairgen.exporting.score_columns import SCORE_COLUMNS
from clairgen.exporting.shards import FileFormat
from clairgen.patterns import lazy_pattern
from clairgen.store import HUMAN_REVISION
from clairgen.wording import PAPER_BIBTEX, counted

_SPECIAL = lazy_pattern(r"([\\`*_{}\[\]()#!|~$@:])")


def escaped(text: str) -> str:
    """`text` on one line, with every character escaped that could become markup or a link."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(visible.split()), quote=False))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the cells must already be Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


CARD_MARK = "<!-- made by clairgen export -->"
_TRAINING = {
    ExportFormat.PREFERENCE: (
        "trl",
        "DPOConfig, DPOTrainer",
        'DPOConfig("out", loss_type="apo_zero", beta=0.1)',
        "DPOTrainer",
    ),
    ExportFormat.KTO: (
        "trl",
        "KTOConfig, KTOTrainer",
        'KTOConfig("out", loss_type="apo_zero_unpaired", beta=0.1)',
        "KTOTrainer",
    ),
    ExportFormat.SFT: ("trl", "SFTConfig, SFTTrainer", 'SFTConfig("out")', "SFTTrainer"),
    ExportFormat.REWARD: ("trl", "RewardConfig, RewardTrainer", 'RewardConfig("out")', "RewardTrainer"),
    ExportFormat.TPO: ("trl.experimental.tpo", "TPOConfig, TPOTrainer", 'TPOConfig("out")', "TPOTrainer"),
    ExportFormat.SDFT: ("trl.experimental.sdft", "SDFTConfig, SDFTTrainer", 'SDFTConfig("out")', "SDFTTrainer"),
    ExportFormat.SDPO: (
        "trl.experimental.sdpo",
        "SDPOConfig, SDPOTrainer",
        'SDPOConfig("out", include_environment_feedback=True), reward_funcs=your_reward',
        "SDPOTrainer",
    ),
}
"""The module, the names imported from it, the arguments and the trainer of each format's example."""
_NOTES = {
    ExportFormat.KTO: """
The two rows of a pair stand next to each other. Shuffle them, as above: KTO estimates its KL term from the answers of
neighbouring rows, which must not be answers to the same prompt.
""",
    ExportFormat.SDFT: """
The model answers the prompt itself and is taught by itself, with the demonstration in `privileged_context` after the prompt.
""",
    ExportFormat.SDPO: """
The model answers the prompt itself, `your_reward` scores the answers, and it is taught by itself with the feedback in
`privileged_context`. That was said of the answer of the model that the pairs were made for, which the answer in training
resembles less the longer it is trained.
""",
}
_CSV = """
In the CSV files lists, `reasoning` and `privileged_context` are JSON text. So is another text that is empty, that begins with
white space, a quotation mark or like a formula (`=`, `+`, `-`, `@`), or that readers take for a missing value (`None`): a cell
that begins with a quotation mark is JSON text. No cell begins like a formula, so that no spreadsheet runs what a model wrote.
"""
_ADVICE = """\
## Objective

The chosen answer of a pair was compared with fresh answers of the model that is to be trained. Where the chosen answer won
more often, `objective` is `apo-zero`, which makes it more likely; where it lost more often, `apo-down`, which makes both
answers less likely, the rejected one even more. Ties get what fits the data set as a whole. Pairs that were not compared, or
whose comparison gave no result, have none.

"""
_UNCHANGED = "## Confirmed answers\n\nWhere `confirmed` is true, the reviser saw the answer and changed nothing.\n"
_SAME = (
    "Chosen and rejected are then the same: a contrast learns nothing from such a pair, so the example above leaves it out.\n"
    "Train on it by the likelihood of its answer: in clairgen with `keep_identical` and `chosen_nll`, or with `sft`.\n\n"
)
_CONFIRMED_ALONE = "Such an answer is one row, as a desirable answer: nobody called it undesirable.\n\n"
_HUMAN_REVISIONS = """\
In the subset `human-revision` a person edited an answer of another pair: the edited text is chosen, the text that was edited
is rejected. `reasoning` is why, in that person's words.
"""
_FILES = {
    VOTES_FILE: "`votes.jsonl` has each vote, with the voter's name and note; `counts` is false for one that was changed\n"
    "later, or is about other answers of the pair. `shown_first` is the answer that came first where the\n"
    "voter was not told which one is chosen; it is null for votes that were not blind.\n",
    REVISIONS_FILE: "`revisions.jsonl` has each edit; one with `replaced_at` was replaced by another of the same person.\n",
}
REVISION_COLUMNS: Mapping[str, str] = {
    "revised_pair": "the pair of which a person edited an answer",
    "revised_version": "the version of that pair which the person saw",
    "revised_answer": "which of its answers was edited, `chosen` or `rejected`; it is the rejected one here",
    "revised_by": "who edited it",
    "revised_at": "when, in UTC",
}
"""Only for pairs that people made by editing answers."""
_LICENCE = """\
## Licence

The texts were written by the models named above and answer prompts from elsewhere: the terms of those models and of the
prompts' source apply to them. Whoever publishes the data set should state them here.
"""
_CITATION = f"""\
## Citation

The method is CLAIR, and APO to train on its pairs ([arXiv:2408.06266](https://arxiv.org/abs/2408.06266)):
```bibtex
{PAPER_BIBTEX}```
"""


@dataclass(frozen=True, slots=True)
class ContrastRow:
    """Mean contrast of a recipe's exported pairs, as Table 1 of the paper states it (`jaccard` is x100)."""

    recipe: str
    pairs: int
    jaccard: float
    levenshtein: float
    length_ratio: float
    tokenizer: str


@dataclass(frozen=True, slots=True)
class AdviceRow:
    """How many pairs of a recipe are advised to use an objective, and who compared them."""

    recipe: str
    objective: str
    by: str
    pairs: int


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says besides the writer's own counts; every field is optional.

    `models` maps roles to models, `templates` template names to content hashes; `filters` has one phrase for each active
    filter. `source` is what the examples load: a folder or the data set's name on the Hub.
    `imported` has the source of each subset that was imported.
    """

    title: str = "Preference pairs made with clairgen"
    source: str = "path/to/this/folder"
    models: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[str, ...] = ()
    contrast: tuple[ContrastRow, ...] = ()
    advice: tuple[AdviceRow, ...] = ()
    imported: Mapping[str, str] = field(default_factory=dict)


def card(summary: ExportSummary, facts: CardFacts) -> str:
    """The whole text of README.md."""
    sections = [
        f"---\n{_front_matter(summary, facts)}---\n\n{CARD_MARK}\n\n# {escaped(facts.title)}\n",
        _usage(summary, facts),
        _columns(summary, facts.advice),
        _advice(summary.export_format, facts.advice),
        _confirmed(summary),
        _thoughts(summary),
        _people(summary, facts),
        _how_made(summary, facts),
        _contrast(facts.contrast),
        _lengths(summary),
        _LICENCE,
        _CITATION,
    ]
    return "\n".join(section for section in sections if section)


def _front_matter(summary: ExportSummary, facts: CardFacts) -> str:
    # A split without rows has no file and must not be listed: `datasets` fails on a pattern that matches nothing.
    configs = [
        {
            "config_name": recipe,
            # `datasets` caches a local folder by its name and this front matter alone: without the hash, a second export
            # into a folder of the same name would be read as the first.
            "description": summary.content_hashes[recipe],
            **({"default": True} if recipe == _default_subset(summary) else {}),
            "data_files": [{"split": split, "path": f"{recipe}/{split}-*.{summary.file_format}"} for split in splits],
        }
        for recipe, splits in summary.rows.items()
    ]
    matter = {
        "license": "other",
        "license_name": "terms-of-the-models-and-prompts",
        "pretty_name": facts.title,
        "task_categories": ["text-generation"],
        "tags": ["preference", "dpo", "clair", "trl"],
        "configs": configs,
    }
    text: str = yaml.safe_dump(matter, sort_keys=False, width=1000)
    return text


def _default_subset(summary: ExportSummary) -> str:
    """The subset that `load_dataset` returns without a name."""
    return "clair" if "clair" in summary.rows else next(iter(summary.rows))


def _usage(summary: ExportSummary, facts: CardFacts) -> str:
    recipe = _default_subset(summary)
    split = next(iter(summary.rows[recipe]))
    module, imports, arguments, trainer = _TRAINING[summary.export_format]
    chosen_rows = ".shuffle(seed=0)" if summary.export_format is ExportFormat.KTO else ""
    if summary.confirmed and summary.export_format.has_contrast:
        chosen_rows = '.filter(lambda row: not row["confirmed"])'
    is_csv = summary.file_format is FileFormat.CSV
    names = [name for name in CONTENT_COLUMNS[summary.export_format] if name != "label"]
    decoded = (
        f"\n\ndef decoded(row):\n    return row | {{name: json.loads(row[name]) for name in {json.dumps(names)}}}\n\n\n"
    )
    return (
        f"## Use\n\n```python\n{'import json' + chr(10) * 2 if is_csv else ''}from datasets import load_dataset\n"
        f"from {module} import {imports}\n{decoded if is_csv else chr(10)}"
        f'pairs = load_dataset({json.dumps(facts.source)}, "{recipe}", split="{split}"){chosen_rows}'
        f"{'.map(decoded)' if is_csv else ''}\n"
        f'trainer = {trainer}("your/model", args={arguments}, train_dataset=pairs)\n'
        f"trainer.train()\n```\n{_NOTES.get(summary.export_format, '')}{_CSV if is_csv else ''}"
    )


def _columns(summary: ExportSummary, advice: tuple[AdviceRow, ...]) -> str:
    advised = bool(advice) and summary.export_format is ExportFormat.PREFERENCE
    described = columns(
        summary.export_format, advised=advised, confirmed=summary.confirmed is not None, voted=summary.voted
    )
    return "## Columns\n\n" + table(
        ("Column", "Holds"),
        [
            *((f"`{name}`", meaning) for name, meaning in described.items()),
            *(
                (f"`{name}`", SCORE_COLUMNS[name])
                if name in SCORE_COLUMNS
                else (f"`{name}`", REVISION_COLUMNS[name])
                if name in REVISION_COLUMNS
                else (escaped(name), "a column of the imported pairs' source")
                for name in summary.source_columns
            ),
        ],
    )


def _advice(export_format: ExportFormat, rows: tuple[AdviceRow, ...]) -> str:
    if not rows or export_format is not ExportFormat.PREFERENCE:
        return ""
    cells = [(escaped(row.recipe), f"`{row.objective}`", f"{row.pairs:,}", escaped(row.by)) for row in rows]
    return _ADVICE + table(("Recipe", "Objective", "Kept pairs", "Compared by"), cells)


def _confirmed(summary: ExportSummary) -> str:
    if summary.confirmed is None:
        return ""
    cells = [(escaped(recipe), f"{count:,}") for recipe, count in summary.confirmed.items()]
    more = _SAME if summary.export_format.has_contrast else "\n"
    more = _CONFIRMED_ALONE if summary.export_format is ExportFormat.KTO else more
    return _UNCHANGED + more + table(("Recipe", "Confirmed pairs"), cells)


def _thoughts(summary: ExportSummary) -> str:
    if summary.thinking is None:
        return ""
    counts = ", ".join(
        f"{counted(count, 'pair')} of {escaped(name)}" for name, count in (summary.with_thoughts or {}).items()
    )
    return (
        f"## Thoughts\n\nThe field `{summary.thinking}` of an answer's message is what its model thought before it, and null\n"
        f"where it did not think ({counts}). A revision has the thoughts of the answer that it\nrevises: the two sides differ in "
        "the answer alone. Pairs with thoughts on one side only are left out.\n"
    )


def _people(summary: ExportSummary, facts: CardFacts) -> str:
    said = [_FILES[name] for name in summary.files]
    if HUMAN_REVISION in summary.rows and HUMAN_REVISION not in facts.imported:
        said.insert(0, _HUMAN_REVISIONS)
    return "## People\n\n" + "\n".join(said) if said else ""


def _how_made(summary: ExportSummary, facts: CardFacts) -> str:
    rows = [
        (escaped(recipe), *(f"{splits.get(split, 0):,}" for split in ("train", "test")))
        for recipe, splits in summary.rows.items()
    ]
    parts = ["## How it was made\n", table(("Recipe", "Rows in train", "Rows in test"), rows)]
    if summary.test_fraction:
        parts.append(
            f"Held out in `test`: each task with a chance of {summary.test_fraction:.1%}, drawn by the hash of its id (seed"
            f" {summary.seed}), the same for every recipe.\n"
        )
    if summary.reference is not None:
        parts.append(f"Reference answers: {escaped(summary.reference)}.\n")
    parts += _incomplete(summary)
    sources = [(escaped(name), escaped(source)) for name, source in facts.imported.items() if name in summary.rows]
    if sources:
        parts.append("Imported pairs, which their sources' own licences cover:\n")
        parts.append(table(("Recipe", "Imported from"), sources))
    if facts.models:
        parts.append(table(("Role", "Model"), [(escaped(role), escaped(m)) for role, m in facts.models.items()]))
    if facts.templates:
        hashes = [(escaped(name), escaped(digest)) for name, digest in facts.templates.items()]
        parts.append(table(("Prompt template", "Hash"), hashes))
    if facts.filters:
        parts.append("Filters: " + "; ".join(map(escaped, facts.filters)) + ".\n")
    if summary.skipped:
        skipped = [(escaped(reason), f"{count:,}") for reason, count in summary.skipped.items()]
        parts.append(table(("Left out because", "Pairs"), skipped))
    if summary.replaced_characters:
        parts.append(
            f"Characters that were not valid Unicode and were replaced by U+FFFD: {summary.replaced_characters:,}.\n"
        )
    return "\n".join(parts)


def _incomplete(summary: ExportSummary) -> list[str]:
    """What the run of the export lacks."""
    said = []
    if summary.pending:
        counts = ", ".join(f"{count:,} of {escaped(recipe)}" for recipe, count in summary.pending.items())
        said.append(f"The run was not finished: pairs still to be made, {counts}.\n")
    if summary.rows_read is not None:
        said.append(f"The tasks' source was read only in part; rows that were read: {summary.rows_read:,}.\n")
    if summary.missing_shards:
        said.append(f"Shards of the run that were not there: {', '.join(summary.missing_shards)}.\n")
    return said


def _contrast(rows: tuple[ContrastRow, ...]) -> str:
    if not rows:
        return ""
    cells = [
        (
            escaped(row.recipe),
            f"{row.pairs:,}",
            f"{row.jaccard:.2f}",
            f"{row.levenshtein:.0f}",
            f"{row.length_ratio:.2f}",
            escaped(row.tokenizer),
        )
        for row in rows
    ]
    header = ("Recipe", "Pairs", "Jaccard", "Levenshtein", "Length ratio", "Tokenizer")
    return (
        "## Contrast\n\nMeans over the exported pairs whose answers differ; a higher Jaccard index and a lower Levenshtein\n"
        "distance mean that the two answers of a pair differ in little but quality.\n\n" + table(header, cells)
    )


def _lengths(summary: ExportSummary) -> str:
    if summary.lengths is None:
        return ""
    cells = [
        (escaped(recipe), state, *shift.cells)
        for recipe, shifts in summary.lengths.items()
        for state, shift in zip(("before", "after"), shifts, strict=True)
    ]
    header = ("Recipe", "", "Pairs", "Chosen minus rejected", "Chosen longer", "AUC of length alone")
    return (
        "## Length\n\nPairs were left out so that the length of an answer does not tell whether it was chosen: of each band of\n"
        "the size of the difference, as many pairs are kept with a longer chosen answer as with a shorter one, by the hash\n"
        f"of their ids (`{LEFT_OUT_FILE}` lists the others).\n"
        f"Lengths in {escaped(summary.length_unit)}, with 95% intervals.\n\n" + table(header, cells)
    )
