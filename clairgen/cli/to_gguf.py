"""`clairgen to-gguf`: a trained model as a file that the embedded server serves."""

import math
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from clairgen.embedded.gguf import EmbeddedAddress
from clairgen.embedded.server import serve
from clairgen.errors import MissingExtraError, RunError

if TYPE_CHECKING:
    from clairgen_train.gguf_export import Probe

MOST_NATS = 0.1
"""How far llama.cpp's log-probability of the likeliest next token may be from that of transformers."""


class MatrixType(StrEnum):
    """How the file holds the matrices."""

    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"


def to_gguf_command(
    model: Annotated[
        Path, typer.Argument(help="The folder of a model: of `clairgen train`, or merged.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The file to write, such as model.gguf.", show_default=False)],
    dtype: Annotated[MatrixType, typer.Option(help="How to hold the matrices.")] = MatrixType.F16,
    check: Annotated[
        bool, typer.Option(help="Serve the file once and compare; loads the model in fp32, 4 bytes a parameter.")
    ] = True,
) -> None:
    """Write a trained model as a GGUF file, which the embedded server serves.

    Llama, Mistral, Qwen2 and Qwen3 models can be written. With the extra `local` the file is served once, and its tokens and
    log-probabilities must be those of the model.

    Example: clairgen to-gguf models/first models/first.gguf
    """
    if any(find_spec(package) is None for package in ("torch", "transformers", "gguf")):
        raise MissingExtraError("Writing a GGUF file", "train")
    difference = write_gguf(model, out, dtype, check=check and find_spec("xllamacpp") is not None)
    if not check:
        typer.echo("Not checked", err=True)
    elif difference is None:
        typer.echo("Not checked: that needs llama.cpp; install it with: pip install 'clairgen[local]'", err=True)
    else:
        typer.echo(f"Checked: equal tokens, and log-probabilities that differ by at most {difference:.2g} nats")
    typer.echo(f"The model is in {out}. Serve it with the endpoint gguf:{out}")


def write_gguf(model: Path, out: Path, dtype: MatrixType = MatrixType.F16, *, check: bool = True) -> float | None:
    """Write the model of a folder into the new file `out`, and serve it once if it is to be checked.

    Returns the largest difference in nats, None without a check. A file that fails the check is not kept; UserError says why.
    """
    from clairgen_train import loading_libraries

    with loading_libraries():  # torch, an optional package, takes seconds to load
        from clairgen_train.gguf_export import export_gguf, probe

    export_gguf(model, out, dtype.value)
    if not check:
        return None
    import asyncio

    try:
        return asyncio.run(served_difference(out, probe(model)))
    except BaseException:
        out.unlink()
        raise


async def served_difference(file: Path, expected: "Probe") -> float:
    """The largest difference of the likeliest next token's log-probability between the served file and the model, nats.

    Raises RunError where a text has other tokens, or the difference is more than MOST_NATS.
    """
    async with serve(EmbeddedAddress(file), slots=1) as url, httpx.AsyncClient(timeout=600) as client:
        base = url.removesuffix("/v1")
        for text, ids in expected.tokens.items():
            answer = await client.post(f"{base}/tokenize", json={"content": text, "parse_special": True})
            if answer.json()["tokens"] != ids:
                raise RunError(
                    f"llama.cpp splits {text!r} into other tokens than the model's tokenizer, so {file} was not kept; serve the "
                    "model with vLLM instead"
                )
        largest = 0.0
        for prompt, token, log_prob in expected.next_tokens:
            given = {"prompt": prompt, "n_predict": 1, "temperature": 0, "n_probs": 10}
            answer = await client.post(f"{base}/completion", json=given)
            likeliest = answer.json()["completion_probabilities"][0]["top_logprobs"]
            served = {each["id"]: each["logprob"] for each in likeliest}
            largest = max(largest, abs(served.get(token, -math.inf) - log_prob))
    if not largest <= MOST_NATS:
        raise RunError(
            f"llama.cpp's log-probabilities differ from the model's by {largest:.2g} nats, so {file} was not kept; try --dtype "
            "f32, or serve the model with vLLM instead"
        )
    return largest
