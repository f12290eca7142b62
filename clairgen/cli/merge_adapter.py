"""`clairgen merge-adapter`: a trained adapter and its base as one model."""

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from clairgen.errors import MissingExtraError
from clairgen.exporting.hub import push_model, require_push


class Precision(StrEnum):
    """A type of weights."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def merge_adapter_command(
    adapter: Annotated[
        str,
        typer.Argument(
            help="A folder that `clairgen train` wrote with lora, or a name on the hub.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Argument(help="A new folder for the merged model.", show_default=False)],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of an adapter on the hub.", show_default=False)
    ] = None,
    dtype: Annotated[
        Precision,
        typer.Option(help="Type of the written weights; bf16 and fp16 round small changes of an adapter away."),
    ] = Precision.FP32,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            help="Then upload the model to the Hugging Face hub as owner/name (token in HF_TOKEN).", show_default=False
        ),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new model on the hub public.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code from the base's repository. Only if you trust it.")
    ] = False,
) -> None:
    """Merge an adapter that was trained into its base, as a model of its own.

    The written model is loaded again, and its logits must be those of base and adapter: the share of the adapter's change that
    rounding lost is said, and more than a quarter is refused.

    Example: clairgen merge-adapter models/first models/merged
    """
    if any(find_spec(package) is None for package in ("torch", "transformers", "peft")):
        raise MissingExtraError("Merging an adapter", "train")
    if push_to_hub is not None:
        require_push(push_to_hub)
    from clairgen_train import loading_libraries

    with loading_libraries():  # torch, an optional package, takes seconds to load
        from clairgen_train.merging import DTYPES, merge_adapter

    merged = merge_adapter(
        adapter, out, dtype=DTYPES[dtype.value], revision=revision, trust_remote_code=trust_remote_code
    )
    typer.echo(
        f"{adapter} is merged into its base {merged.base}; {merged.lost:.1%} of what the adapter changes was lost to rounding"
    )
    typer.echo(f"The model is in {out}.")
    if push_to_hub is not None:
        typer.echo(push_model(out, push_to_hub, private=not public))
