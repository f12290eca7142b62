"""The data sets of an experiment: made by the pipeline from the classroom's models, matched, and written for training.

All data sets but `clair-one-part` are made of the same tasks. From each the same number of pairs is taken, in the order of a
hash of the task: so two data sets hold the same tasks as far as both have pairs of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from clairgen import api
from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.data.classroom.questions import draw
from clairgen.data.classroom.two_parts import draw_two_parts
from clairgen.errors import InputError
from clairgen.experiment.classroom_score import score
from clairgen.experiment.experiment_config import TWO_PART_SET, ExperimentConfig
from clairgen.experiment.experiment_folder import ExperimentFolder, write_record
from clairgen.experiment.one_part import register
from clairgen.filters.pipeline import reason_to_skip
from clairgen.keys import digest
from clairgen.metrics.contrast import character_levenshtein
from clairgen.records import Pair, StoredPair
from clairgen.stats import mean_of
from clairgen.whole_files import write_whole

_WORSE = "worse-winners"
_RUN_CONFIG: Final = """\
recipes: {recipes}
seed: {seed}
tasks: {{path: {tasks}}}
models:
  target: {{model: student, endpoints: [{student}], temperature: {temperature}, max_tokens: 128, concurrency: 16}}
  reviser: &teacher {{model: teacher, endpoints: ["classroom:teacher"], temperature: 0, max_tokens: 160, concurrency: 16}}
  stronger: {{model: teacher, endpoints: ["classroom:teacher"], temperature: 0, max_tokens: 96, concurrency: 16}}
  judge: *teacher
  others:
    - {{model: weaker, endpoints: ["classroom:weaker"], temperature: {temperature}, max_tokens: 96, concurrency: 16}}
    - {{model: stronger, endpoints: ["classroom:stronger"], temperature: {temperature}, max_tokens: 96, concurrency: 16}}
"""


@dataclass(frozen=True, slots=True)
class TextPair:
    """Two answers to a prompt, of which `chosen` is preferred."""

    task: str
    prompt: str
    chosen: str
    rejected: str


def run_configs(config: ExperimentConfig, folder: ExperimentFolder) -> dict[str, RunConfig]:
    """The pipeline's configurations by the name of their run; their tasks are written into the folder."""
    register()
    recipes: dict[str, list[str]] = {
        "single": [name for name in config.data_sets if name not in (_WORSE, TWO_PART_SET)],
        "two-part": [name for name in config.data_sets if name == TWO_PART_SET],
    }
    if _WORSE in config.data_sets and "clair" not in recipes["single"]:
        recipes["single"].append("clair")  # it is made of the same stored answers
    prompts: Mapping[str, Callable[[], list[str]]] = {
        "single": lambda: [each.prompt for each in draw(config.tasks.single, "train", config.tasks.seed)],
        "two-part": lambda: [each.prompt for each in draw_two_parts(config.tasks.two_part, "train", config.tasks.seed)],
    }
    configs = {}
    for name, wanted in recipes.items():
        if wanted:
            tasks = folder.path / "data" / f"tasks-{name}.jsonl"
            if not tasks.is_file():
                write_whole(tasks, "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts[name]()))
            text = _RUN_CONFIG.format(
                recipes=json.dumps(wanted),
                seed=config.tasks.seed,
                tasks=json.dumps(str(tasks)),
                student=json.dumps(config.student),
                temperature=config.temperature,
            )
            configs[name] = parse_config(text)
    return configs


async def write_sets(config: ExperimentConfig, folder: ExperimentFolder) -> None:
    """Write every data set and what it holds, once the runs are made. Raises InputError where one has no pairs."""
    register()
    sets = {name: await _pairs(name, folder) for name in config.data_sets}
    least = min(sets, key=lambda name: len(sets[name]))
    held_out = min(config.held_out_pairs, len(sets[least]) // 10)
    count = min(config.pairs, len(sets[least]) - held_out)
    if count < config.batch_size:
        raise InputError(
            f"the data set {least} has {len(sets[least])} pairs, which is not enough for one batch; ask for more tasks"
        )
    facts: dict[str, Any] = {}
    for name, pairs in sets.items():
        in_order = sorted(pairs, key=lambda pair: digest(pair.task))
        used = in_order[: count + held_out]
        _write_rows(folder.data_set(name) / "train.jsonl", used[:count])
        _write_rows(folder.data_set(name) / "test.jsonl", used[count:])
        facts[name] = _facts(used[:count], len(pairs))
    tasks = [{pair.task for pair in pairs} for name, pairs in sets.items() if name != TWO_PART_SET]
    common = set.intersection(*tasks) if tasks else set()
    write_record(
        folder.sets, {"pairs": count, "held_out_pairs": held_out, "tasks_with_pairs_in_all": len(common), "sets": facts}
    )


async def _pairs(name: str, folder: ExperimentFolder) -> list[TextPair]:
    if name == _WORSE:
        return worse_winners(await api.made_pairs(folder.run("single"), "clair"))
    run = folder.run("two-part" if name == TWO_PART_SET else "single")
    kept = [stored for stored in await api.made_pairs(run, name) if reason_to_skip(stored) is None]
    return [_text_pair(stored, stored.outcome) for stored in kept if isinstance(stored.outcome, Pair)]


def worse_winners(made: Sequence[StoredPair]) -> list[TextPair]:
    """Pairs whose winners are worse than the student: its own wrong answers, as stored, preferred to the same with a slip.

    The slip is one other digit or letter, drawn by the task's id, and never makes the answer right.
    """
    pairs = []
    for stored in made:
        if isinstance(stored.outcome, Pair):
            pair = _text_pair(stored, stored.outcome)
            if score(pair.prompt, pair.rejected) < 1:
                loser = with_slip(pair.prompt, pair.rejected, Random(pair.task))  # noqa: S311 - needs no secrecy
                if loser is not None:
                    pairs.append(TextPair(pair.task, pair.prompt, pair.rejected, loser))
    return pairs


def with_slip(prompt: str, answer: str, random: Random) -> str | None:
    """A wrong answer with one other digit or letter in it, still wrong; None where it has neither before its last period."""
    body = answer.rsplit(".", 1)[0]
    places = [at for at, sign in enumerate(body) if sign in "0123456789"]
    signs = "0123456789" if places else "abcdefghijklmnopqrstuvwxyz"
    places = places or [at for at, sign in enumerate(body) if sign in signs]
    if not places:
        return None
    while True:
        at = random.choice(places)
        other = random.choice(signs.replace(answer[at], ""))
        slipped = f"{answer[:at]}{other}{answer[at + 1 :]}"
        if score(prompt, slipped) < 1:
            return slipped


def _text_pair(stored: StoredPair, pair: Pair) -> TextPair:
    return TextPair(stored.task.id, stored.task.messages[-1].content, pair.chosen.text, pair.rejected.text)


def _write_rows(file: Path, pairs: Sequence[TextPair]) -> None:
    rows = (
        {
            "prompt": [{"role": "user", "content": pair.prompt}],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
            "pair_id": pair.task,
        }
        for pair in pairs
    )
    write_whole(file, "".join(json.dumps(row) + "\n" for row in rows))


def _facts(pairs: Sequence[TextPair], made: int) -> dict[str, Any]:
    """What a data set holds: how right its answers are (shares of parts), and how far they are apart."""
    return {
        "made": made,
        "pairs": len(pairs),
        "chosen_right": mean_of(score(pair.prompt, pair.chosen) for pair in pairs).mean,
        "rejected_right": mean_of(score(pair.prompt, pair.rejected) for pair in pairs).mean,
        "levenshtein": mean_of(character_levenshtein(pair.chosen, pair.rejected) for pair in pairs).mean,
        "chosen_characters": mean_of(len(pair.chosen) for pair in pairs).mean,
        "rejected_characters": mean_of(len(pair.rejected) for pair in pairs).mean,
    }
