"""How checkpoints are served while they are evaluated: by a vLLM that is found or named, else as GGUF by the embedded server."""

import asyncio
import contextlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import typer

from clairgen.cli.evaluation_options import CheckpointSource
from clairgen.errors import ConfigError, InputError, MissingExtraError, UserError
from clairgen.iteration.served_command import free_port, running_vllm, vllm_words
from clairgen.reporting.sanitize import plain_line

_ADAPTER_CONFIG: Final = "adapter_config.json"
_LORA_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as --max-lora-rank."""
_NO: Final = "no"


class CheckpointServer(Protocol):
    """Serves one model after the other."""

    def serving(self, model: Path, revision: str, name: str) -> AbstractContextManager[str]:
        """The endpoint of the model in a folder, under a name, for as long as the block lasts. Raises UserError."""


def checkpoint_server(source: CheckpointSource, run: Path) -> CheckpointServer:
    """A vLLM where one is named or found, else the embedded server; what was chosen is said on stderr.

    Raises ConfigError for options that make no command, and MissingExtraError without what converting and serving need.
    """
    options = vllm_words(source.vllm_options)
    command = None if source.vllm == _NO else _named(source.vllm) if source.vllm is not None else _found()
    if command is not None:
        log = run / "vllm.log"
        typer.echo(f"Checkpoints are served by vLLM ({plain_line(command[0])}); it prints to {log}", err=True)
        return VllmServer(command, options, log)
    if options:
        raise ConfigError("--vllm-options is for vLLM, which is not used; name its python with --vllm")
    if any(importlib.util.find_spec(package) is None for package in ("torch", "transformers", "gguf")):
        raise MissingExtraError("Evaluating checkpoints", "train")
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtraError("Serving checkpoints", "local")
    typer.echo("Checkpoints are written as GGUF and served by the embedded server", err=True)
    return GgufServer(run / "converted")


class VllmServer:
    """One vLLM for each model, which ends before the next one starts; an adapter is served over its base."""

    def __init__(self, command: Sequence[str], options: Sequence[str], log: Path) -> None:
        self._command, self._options, self._log = command, options, log

    @contextlib.contextmanager
    def serving(self, model: Path, revision: str, name: str) -> Iterator[str]:
        """See `CheckpointServer`."""
        port = free_port()
        words = [*self._command, *self._model_arguments(model.absolute(), name)]
        words += ["--host", "127.0.0.1", "--port", str(port), *self._options]
        with running_vllm(words, port, self._log) as url:
            yield url

    def _model_arguments(self, model: Path, name: str) -> list[str]:
        if not (model / _ADAPTER_CONFIG).is_file():
            return ["--model", str(model), "--served-model-name", name]
        base, revision, rank = _adapter(model)
        tokenizer = ["--tokenizer", str(model)] if (model / "tokenizer_config.json").is_file() else []
        pinned = ["--revision", revision] if revision is not None else []
        adapter = json.dumps({"name": name, "path": str(model)})
        base_arguments = ["--model", base, *pinned, *tokenizer, "--served-model-name", f"{name} without the adapter"]
        return [*base_arguments, "--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", adapter]


class GgufServer:
    """Writes each model as GGUF into a folder; the first one that it writes is served once and compared with the model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._is_checked = False

    @contextlib.contextmanager
    def serving(self, model: Path, revision: str, name: str) -> Iterator[str]:
        """See `CheckpointServer`. Raises UserError where the model cannot be converted, or is served with other results than
        its own.
        """
        file = self._folder / f"{revision.removeprefix('sha256:')[:16]}.gguf"
        try:
            self._convert(model, file)
            yield f"gguf:{file}"
        finally:
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _convert(self, model: Path, file: Path) -> None:
        from clairgen.cli.to_gguf import served_difference
        from clairgen_train import loading_libraries

        with loading_libraries():  # torch, an optional package, takes seconds to load
            from clairgen_train.gguf_export import export_gguf, probe

        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self._folder} cannot be made: {error.strerror}") from error
        file.unlink(missing_ok=True)  # of a process that was killed
        export_gguf(model, file)
        if not self._is_checked:
            try:
                asyncio.run(served_difference(file, probe(model)))
            except UserError as error:
                raise InputError(str(error)) from error
            self._is_checked = True


def _named(program: str) -> list[str]:
    path = shutil.which(str(Path(program).expanduser()))
    if path is None:
        raise ConfigError(
            f"--vllm {program} is no program; name the python of an environment with vLLM, its program vllm, or no"
        )
    return _by_module(path) if Path(path).name.startswith("python") else [path, "serve"]


def _found() -> list[str] | None:
    """The program vllm on PATH, else a vLLM that is installed beside clairgen."""
    path = shutil.which("vllm")
    if path is not None:
        return [path, "serve"]
    found = importlib.util.find_spec("vllm")
    # A folder that happens to be called vllm has no origin.
    return _by_module(sys.executable) if found is not None and found.origin is not None else None


def _by_module(python: str) -> list[str]:
    """The module of vLLM, since builds that are not distributed as `vllm` have no command of that name that works."""
    return [python, "-m", "vllm.entrypoints.openai.api_server"]


def _adapter(model: Path) -> tuple[str, str | None, int]:
    """The base of an adapter, its revision, and the least rank that vLLM takes and the adapter fits."""
    file = model / _ADAPTER_CONFIG
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        base, revision = content["base_model_name_or_path"], content.get("revision")
        largest = max([content["r"], *(content.get("rank_pattern") or {}).values()])
        return str(base), revision, next(rank for rank in _LORA_RANKS if rank >= largest)
    except StopIteration:
        raise InputError(
            f"{model} is an adapter of rank {largest}, and vLLM serves at most {_LORA_RANKS[-1]}; merge it first"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} does not say what base the adapter has and what rank; merge it first") from error
