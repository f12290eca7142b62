"""`clairgen iterate`: rounds of generating and training, each with the model of the one before as its target."""

import contextlib
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clairgen.cli.to_gguf import MatrixType
from clairgen.errors import FAILED
from clairgen.iteration.rounds import Reference

if TYPE_CHECKING:
    from clairgen.cli.iterate_steps import CommandSteps, IterateOptions
    from clairgen.config.models import RunConfig
    from clairgen.iteration.held_out import HeldOut
    from clairgen.iteration.lineage import Lineage
    from clairgen.iteration.rounds import RoundsPlan

_DECIDED: Final = {"model": "--model", "subset": "--recipe", "reference_model": "--reference", "revision": "a folder"}
"""Training settings that the rounds decide, and what to give instead."""


def iterate_command(
    config: Annotated[Path, typer.Argument(help="The configuration (YAML), as for generate.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option("--out", help="The folder for the rounds: created if new, else continued.", show_default=False),
    ],
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Most rounds to make.")] = 3,
    recipe: Annotated[
        str | None, typer.Option(help="The recipe to train on, if the configuration has several.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The weights of models.target: a folder, or a name on the hub; left out, those beside its gguf file.",
            show_default=False,
        ),
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="What training minimizes, as for train.", show_default=False)
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(help="Training settings (YAML), or the name of shipped ones, such as laptop.", show_default=False),
    ] = None,
    set_values: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other training setting as KEY=VALUE; may be repeated.", show_default=False),
    ] = None,
    reference: Annotated[
        Reference, typer.Option(help="What rewards are relative to: each round's first weights, or the first model.")
    ] = Reference.UPDATED,
    questions: Annotated[
        Path | None,
        typer.Option(help="Held-out questions with right answers, as for evaluate questions.", show_default=False),
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="How to check answers to questions that name no rule.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Answers a question.")] = 1,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Held-out prompts, over which models.judge compares a round's model with the one before."),
    ] = None,
    no_stop: Annotated[
        bool, typer.Option("--no-stop", help="Make all rounds, whatever they gain; needed without anything held out.")
    ] = False,
    serve: Annotated[
        str | None,
        typer.Option(
            help="A command that serves a model, with {model}, {port} and {name}; left out, the embedded server.",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        MatrixType, typer.Option(help="How the files of the embedded server hold matrices.")
    ] = MatrixType.F16,
    reuse: Annotated[
        list[Path] | None, typer.Option(help="Another run whose answers to equal requests are reused; may be repeated.")
    ] = None,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Skip rows that hold no task.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print rounds, requests and costs; request and write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rounds as one JSON object.")] = False,
) -> None:
    """Make pairs, train on them, and go on with the trained model as the target, as long as rounds gain.

    Run it again at any time: nothing is asked or trained twice. Answers of earlier rounds to equal requests are reused.

    Example: clairgen iterate config.yaml --out rounds --rounds 3 --recipe clair --training laptop --questions test.jsonl
    """
    from clairgen.cli.iterate_steps import CommandSteps, IterateOptions, require_training
    from clairgen.cli.train import parsed_settings
    from clairgen.config.file import load_config
    from clairgen.errors import ConfigError, DrainedError
    from clairgen.iteration.round_config import first_weights, with_one_recipe
    from clairgen.iteration.rounds import RoundsPlan
    from clairgen.iteration.served_command import check_command

    out = out.expanduser().resolve()
    loaded = with_one_recipe(load_config(config), recipe)
    weights = first_weights(loaded.models["target"], model)
    if serve is not None:
        check_command(serve)
    require_training(serves_itself=serve is None)
    held_out = _held_out(loaded, questions, rule, samples, prompts)
    if held_out is None and not no_stop:
        raise ConfigError(
            "nothing says whether a round gained; give held-out questions with right answers (--questions), or prompts for "
            "models.judge (--prompts), or make all rounds with --no-stop"
        )
    given = parsed_settings(set_values or [])
    for name, instead in _DECIDED.items():
        if name in given:
            raise ConfigError(f"--set {name}: the rounds decide that; give {instead} instead")
    given |= {} if objective is None else {"objective": objective}
    again = shlex.join(["clairgen", *sys.argv[1:]])
    options = IterateOptions(out, training, given, held_out, serve, dtype, tuple(reuse or ()), skip_bad_lines, again)
    steps = CommandSteps(loaded, options)
    plan = RoundsPlan(out, rounds, reference, evaluates=held_out is not None, stops=not no_stop)
    facts = _facts(loaded, steps, options, weights, reference)
    if dry_run:
        from clairgen.cli.iterate_dry_run import print_forecast

        print_forecast(loaded, steps, options, plan, facts)
        return
    try:
        lineage = _made(loaded, steps, options, plan, facts, weights)
    except KeyboardInterrupt as error:
        raise DrainedError("Stopped; run the same command to continue.") from error
    from clairgen.cli.rounds_table import print_lineage

    print_lineage(lineage, out, as_json=as_json)
    if plan.has_stopped(lineage) and len(lineage.rounds) < rounds:
        typer.echo("No further round is begun; --no-stop makes them all the same.", err=True)
    if any(each.pairs is not None and each.pairs.failed for each in lineage.rounds):
        raise typer.Exit(FAILED)


def _made(
    config: "RunConfig",
    steps: "CommandSteps",
    options: "IterateOptions",
    plan: "RoundsPlan",
    facts: dict[str, Any],
    weights: str,
) -> "Lineage":
    """Make the rounds that are missing; what the steps print goes to stderr."""
    from clairgen.folder_lock import locked_folder
    from clairgen.iteration.held_out import require_apart
    from clairgen.iteration.lineage import Lineage, Model, read_lineage, require_free, require_same
    from clairgen.iteration.rounds import run_rounds
    from clairgen.store import now

    require_free(plan.folder)
    with locked_folder(plan.folder), contextlib.redirect_stdout(sys.stderr):
        lineage = read_lineage(plan.folder)
        if lineage is None:
            if options.held_out is not None:
                require_apart(config, options.held_out)
            lineage = Lineage(facts, Model(weights))
        require_same(lineage, facts, plan.folder)
        return run_rounds(lineage, plan, steps, now=now, say=lambda step: typer.secho(f"\n{step}", bold=True, err=True))


def _held_out(
    config: "RunConfig", questions: Path | None, rule: str | None, samples: int, prompts: Path | None
) -> "HeldOut | None":
    from clairgen.errors import ConfigError
    from clairgen.evaluation.question_file import QuestionColumns, read_questions
    from clairgen.evaluation.recorded_outputs import read_prompts
    from clairgen.inference.factory import with_revisions
    from clairgen.iteration.held_out import HeldOutPrompts, HeldOutQuestions

    if questions is not None and prompts is not None:
        raise ConfigError("--questions and --prompts both say how a round's gain is measured; give one of them")
    if questions is not None:
        return HeldOutQuestions(
            questions.name, read_questions(questions, QuestionColumns(rule=rule)).questions, samples
        )
    if prompts is None:
        return None
    if "judge" not in config.models:
        raise ConfigError("--prompts needs a judge, which the configuration does not have; add models.judge")
    judge = with_revisions({"judge": config.models["judge"]})["judge"]
    return HeldOutPrompts(prompts.name, read_prompts(prompts), judge)


def _facts(
    config: "RunConfig", steps: "CommandSteps", options: "IterateOptions", weights: str, reference: Reference
) -> dict[str, Any]:
    """What all rounds rest on, by name, as it stands in their record. Raises ConfigError for settings that cannot be used."""
    from clairgen.cli.checkpoints import model_revision
    from clairgen.errors import ConfigError
    from clairgen.iteration.held_out import held_out_facts
    from clairgen.iteration.round_config import generation_facts
    from clairgen.recipes.registry import recipe_named
    from clairgen_train.settings import MACHINE_SETTINGS

    settings = steps.training_settings(1, weights, weights)
    if reference is Reference.FIRST:
        steps.training_settings(2, "the model of round 1", weights)  # raises where the objective has no reference
    if settings.keep_identical and not recipe_named(config.recipes[0].name).revises:
        raise ConfigError(
            f"keep_identical keeps what a reviser confirmed, and the recipe {config.recipes[0].called} has none; leave it out"
        )
    of_training = settings.model_dump(mode="json", exclude_defaults=True)
    left_out = {*MACHINE_SETTINGS, *_DECIDED}
    facts = generation_facts(config) | {"model": weights, "reference": reference.value, "held out": None}
    facts |= {f"training.{name}": value for name, value in of_training.items() if name not in left_out}
    if Path(weights).is_dir():
        facts["weights"] = model_revision(Path(weights))
    if options.held_out is not None:
        facts["held out"] = held_out_facts(options.held_out, config)
    known: dict[str, Any] = json.loads(json.dumps(facts))
    return known
