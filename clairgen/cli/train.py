"""`clairgen train`: from an exported data set to an aligned model."""

import os
import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clairgen.errors import ConfigError, DrainedError, MissingExtraError
from clairgen.exporting.hub import push_model, require_push
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen_train.launch import Nodes
    from clairgen_train.run_folder import RunFolder
    from clairgen_train.settings import TrainingSettings

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "jinja2")

MOST_DROPPED = 0.1
"""The share of rows that may be dropped without a warning."""

_NOTES = {
    "prompts_rendered_differently": (
        "prompt",
        "rendered differently by the chat template once an answer follows; the differing end is left out",
    ),
    "answers_rendered_differently": (
        "pair",
        (
            "with an answer that the chat template does not render as it is, such as without its thinking; only what it renders "
            "is trained on"
        ),
    ),
    "without_end_token": (
        "pair",
        (
            "with an answer that the chat template renders without a token at which the model stops, so training does not teach "
            "it to stop; check the template, and eos_token_id in the model's generation_config.json"
        ),
    ),
    "control_tokens_in_text": (
        "pair",
        (
            "with a text in which the tokenizer reads a control token, such as the end of a turn; if that is not meant, remove "
            "those rows"
        ),
    ),
    "with_thoughts": ("pair", "with thoughts before an answer, which are trained on with it"),
    "identical_kept": ("pair", "whose two answers are the same; the likelihood of that answer is trained"),
    "unused_objectives": ("pair", "with another objective in the data, which this run does not use"),
}
"""What the user is told of the counts of data.json."""


def train_command(
    data: Annotated[
        str,
        typer.Argument(
            help="A folder of `clairgen export`, a file, owner/name on the hub, or a mixture (YAML).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Argument(help="The folder for the model: created if new, else continued.", show_default=False)
    ],
    model: Annotated[
        str | None, typer.Option(help="The model to train: a folder, or a name on the hub.", show_default=False)
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="apo-zero, apo-down, dpo, dpo-norm, kto-pair, sft, kto or apo-zero-unpaired.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings (YAML), or paper, laptop, classroom, lora, qlora, 8gpu.", show_default=False),
    ] = None,
    subset: Annotated[str | None, typer.Option(help="The subset (recipe), if there are several.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.", show_default=False)] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="Processes, one a GPU.", show_default=False)] = None,
    nodes: Annotated[
        int | None,
        typer.Option(min=1, help="Machines that train together; run the same on each.", show_default=False),
    ] = None,
    node_rank: Annotated[int | None, typer.Option(help="Which of them this is, from 0.", show_default=False)] = None,
    rendezvous: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where they meet: the first one's.", show_default=False)
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(help="A Jinja file, for a model without a chat template.")
    ] = None,
    set_values: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting as KEY=VALUE (YAML); may be repeated.", show_default=False),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            help="Then upload the model to the Hugging Face hub as owner/name (token in HF_TOKEN).", show_default=False
        ),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new model on the hub public.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would be trained on, and how likely the model finds it now."),
    ] = False,
    list_settings: Annotated[bool, typer.Option("--settings", help="Print the settings and leave.")] = False,
) -> None:
    """Train a model on preference pairs under an anchored objective. Run it again at any time: it continues.

    Example: clairgen train datasets/first models/first --model path/to/model --objective apo-zero --config laptop
    """
    from clairgen_train.settings import load_settings, settings_yaml

    given: dict[str, Any] = {
        "model": model,
        "objective": objective,
        "subset": subset,
        "epochs": epochs,
        "gpus": gpus,
        "chat_template": None if chat_template is None else str(chat_template.absolute()),
    }
    settings = load_settings(
        config, {name: value for name, value in given.items() if value is not None} | parsed_settings(set_values or [])
    )
    if list_settings:
        typer.echo(settings_yaml(settings), nl=False)
        return
    if missing_packages():
        raise MissingExtraError("Training", "train")
    if dry_run:
        _examine(data, settings)
        return
    if push_to_hub is not None:
        require_push(push_to_hub)  # before the training, not after it
        if settings.lora is not None and Path(settings.model).exists():
            raise ConfigError(
                f"an adapter over the folder {settings.model} cannot be loaded by others; leave --push-to-hub out, and push what "
                f"clairgen merge-adapter {out} MERGED --push-to-hub {push_to_hub} makes of it"
            )
    from clairgen_train.launch import Nodes

    try:
        is_first = train(data, out, settings, nodes=Nodes.named(nodes, node_rank, rendezvous))
    except KeyboardInterrupt as error:  # before the first step, when there is nothing to finish
        raise DrainedError("Stopped; run the same command to continue.") from error
    if push_to_hub is not None and is_first:
        typer.echo(push_model(out.expanduser().resolve(), push_to_hub, private=not public))


def missing_packages() -> list[str]:
    """The packages that training needs and that are not installed."""
    return [package for package in _PACKAGES if find_spec(package) is None]


def _examine(data: str, settings: "TrainingSettings") -> None:
    """Print what a run would begin with; in this process, and in a folder that is removed afterwards."""
    from clairgen_train import loading_libraries
    from clairgen_train.launch import is_launched

    with loading_libraries():  # torch and trl, optional packages, take seconds to load
        from clairgen_train.run import examine, prepare

    if is_launched():
        raise ConfigError("--dry-run uses one process, and torchrun has started several; run it without torchrun")
    with TemporaryDirectory() as folder:
        prepared = prepare(data, Path(folder) / "run", settings.model_copy(update={"gpus": None}))
        print_data(prepared.path)
        for remark in examine(prepared):
            typer.echo(remark)
    typer.echo("Nothing was trained. The reference's log-probabilities are kept for the run itself")


def train(data: str, out: Path, settings: "TrainingSettings", *, nodes: "Nodes | None" = None) -> bool:
    """Train in this process, in processes started for it, or as one that a launcher started; whether this one is the first.

    As one of several `nodes`, the processes of this machine are started.
    """
    from clairgen_train import loading_libraries
    from clairgen_train.launch import is_launched, joined, launch
    from clairgen_train.run_folder import RunFolder

    with loading_libraries():  # torch and trl, optional packages, take seconds to load
        from clairgen_train.run import prepare, run

    folder = RunFolder(out)
    if nodes is not None:
        _train_on_node(data, folder, settings, nodes)
        return nodes.rank == 0

    def prepared() -> None:
        prepare(data, out, settings)
        if folder.is_finished:
            typer.echo(f"{out} is trained already; nothing is left to do.")
        else:
            print_data(folder.path)

    if is_launched():
        with joined(folder, settings, prepared) as is_first:
            if not folder.is_finished:
                run(folder)
    else:
        is_first = True
        with folder.locked() as lock:
            prepared()
            if not folder.is_finished and settings.gpus is None:
                run(folder)
            elif not folder.is_finished:
                launch(folder, settings, pass_fds=lock)
    if is_first:
        typer.echo(f"The model is in {out}. Next: clairgen report --training {shlex.quote(str(out))}")
        typer.echo(_what_then(out, adapter=settings.lora is not None))
    return is_first


def _train_on_node(data: str, folder: "RunFolder", settings: "TrainingSettings", nodes: "Nodes") -> None:
    """Start this machine's processes of a run over several, and wait for them; the first of all prepares the folder."""
    from clairgen_train.launch import has_gpu, is_launched, launch
    from clairgen_train.settings import settings_yaml

    if "WORLD_SIZE" in os.environ and is_launched():
        raise ConfigError("--nodes starts processes, and torchrun has started some already; leave --nodes out")
    with TemporaryDirectory() as given:
        file = Path(given) / "training.yaml"
        file.write_text(settings_yaml(settings.model_copy(update={"gpus": None})), encoding="utf-8")
        work = ("-m", "clairgen.cli.training_rank", data, str(folder.path), str(file))
        launch(folder, settings, cpu=settings.gpus is None and not has_gpu(), nodes=nodes, work=work)


def _what_then(out: Path, *, adapter: bool) -> str:
    """How a trained model is served and measured; an adapter has to be merged before."""
    model, merged, file = (shlex.quote(f"{out}{ending}") for ending in ("", "-merged", ".gguf"))
    if adapter:
        return f"To serve it: clairgen merge-adapter {model} {merged}, then clairgen to-gguf {merged} {file}"
    return (
        f"To serve it: clairgen to-gguf {model} {file}. To measure it: clairgen evaluate questions FILE --run EVALUATIONS "
        f"--checkpoints {model}"
    )


def parsed_settings(pairs: list[str]) -> dict[str, Any]:
    """Settings given as KEY=VALUE; a dotted key reaches into a group, as in lora.rank=8."""
    import yaml

    given: dict[str, Any] = {}
    for pair in pairs:
        key, mark, value = pair.partition("=")
        if not mark or not key:
            raise ConfigError(f"--set {pair!r} is not KEY=VALUE")
        *groups, name = key.split(".")
        values = given
        for group in groups:
            values = values.setdefault(group, {})
            if not isinstance(values, dict):
                raise ConfigError(f"--set {pair!r}: {group} was given a value of its own before; give only one of them")
        try:
            values[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {pair!r}: the value is not valid YAML") from error
    return given


def print_data(folder: Path) -> None:
    """Print how many pairs are trained on and held out, and what became of the rest."""
    from clairgen_train.data.prepare import data_facts
    from clairgen_train.model_card import noun

    facts = data_facts(folder)
    for part in facts.get("data_sets", ()):
        left_out = f", and {part['left_out']:,} left out for its ratio" if part["left_out"] else ""
        typer.echo(f"{plain_line(part['path'])}: {part['rows']:,} rows{left_out}")
    for name, title in (("train", "to train on"), ("held_out", f"held out (from {facts['held_out_from']})")):
        counts = facts.get(name)
        if counts is None:
            continue
        typer.echo(
            f"{counted(counts['kept'], noun(counts))} {title}"
            + _listed(" dropped", counts["dropped"])
            + _listed(" truncated", counts["truncated"])
        )
    _print_notes(facts["train"])


def _print_notes(train: Mapping[str, Any]) -> None:
    """Print what else the user should know of the rows to train on; `train` are their counts."""
    from clairgen_train.data.rows import SHAPES
    from clairgen_train.model_card import noun

    dropped = sum(train["dropped"].values())
    if dropped > MOST_DROPPED * train["rows"]:
        typer.echo(
            f"warning: {dropped / train['rows']:.0%} of the rows are not trained on (more than {MOST_DROPPED:.0%}); look at the "
            "reasons above before you trust this run",
            err=True,
        )
    if identical := train["dropped"].get("identical"):
        typer.echo(
            f"{counted(identical, 'pair')} dropped whose two answers are the same; where a reviser confirmed them, train on them "
            "with --set keep_identical=true, and --set chosen_nll=1 or --objective sft"
        )
    if noun(train) != "pair":
        typer.echo("None are held out: single answers have no margin to follow")
    for shape, count in train["shapes"].items():
        if shape != "messages":
            typer.echo(f"{counted(count, 'row')} {'was' if count == 1 else 'were'} {SHAPES[shape]}")
    for field, count in train.get("unused_fields", {}).items():
        typer.echo(plain_line(f"{counted(count, 'row')} with the field {field!r} in messages, which is not used"))
    for name, (one, note) in _NOTES.items():
        if train.get(name):  # earlier versions did not count all of these
            typer.echo(f"{counted(train[name], one)} {note}")
    if len(train["objectives"]) > 1:
        typer.echo(
            "By pair: " + plain_line(", ".join(f"{count:,} {name}" for name, count in train["objectives"].items()))
        )


def _listed(title: str, counts: dict[str, int]) -> str:
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f";{title}: {listed}" if listed else ""
