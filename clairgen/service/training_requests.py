"""The requests for training and for what is made of a trained model; they run as commands, in the folder `trained`."""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field

from clairgen.errors import InputError
from clairgen.service.policy import Policy
from clairgen.service.request_models import JobFolder, Name, RequestModel, checked_name, options, trained_model
from clairgen.service.runs_root import TRAINED, RunsRoot
from clairgen.service.submitted_training import checked_training

_SHIPPED: Final = {"classroom:student": "student", "classroom:teacher": "teacher", "classroom:weaker": "weaker"}
"""Models that ship with clairgen and can be trained, with their folders."""


class TrainRequest(RequestModel):
    """Train a model on preference pairs, into the folder `trained/NAME`; the same name goes on with it."""

    verb: Literal["train"]
    name: Annotated[str, Field(min_length=1, max_length=100, description="The name of the model's folder.")]
    data: Annotated[str, Field(min_length=1, max_length=2000, description="A data set, such as exports/first.")]
    preset: Annotated[
        Literal["paper", "laptop", "classroom", "lora", "qlora"] | None, Field(description="Settings to begin with.")
    ] = None
    settings: Annotated[
        dict[Name, Any],
        Field(max_length=60, default_factory=dict, description="Settings of training, such as model and objective."),
    ]

    @property
    def works_on(self) -> str | None:
        """See `RequestModel`."""
        return f"{TRAINED}/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RequestModel`."""
        return (self.data,)

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        policy.root.new_path(f"{TRAINED}/{checked_name(self.name)}", "name")
        data, given = policy.source(self.data, "data"), dict(self.settings)
        shipped = {"model": given.pop("model")} if str(given.get("model")) in _SHIPPED else {}
        settings = checked_training(given, policy) | shipped
        if settings.get("gpus") not in (None, 1):
            raise InputError("gpus: a job trains in one process; use clairgen train for more")
        return self.model_copy(update={"data": data.removeprefix("hub:"), "settings": settings})

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("train", self.data, str(self.made(root, folder)))
        settings = dict(self.settings)
        if (model := _SHIPPED.get(str(settings.get("model")))) is not None:
            settings["model"] = str(resources.files("clairgen.data.classroom").joinpath(model))
        given = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
        yield from options(config=self.preset, set=given)

    def made(self, root: RunsRoot, folder: JobFolder) -> Path:
        """See `RequestModel`."""
        del folder
        return root.path / TRAINED / self.name


class ToGgufRequest(RequestModel):
    """Write a trained model as `trained/NAME/model-f16.gguf`, which the endpoint `gguf:trained/NAME/model-f16.gguf` serves."""

    verb: Literal["to-gguf"]
    name: Annotated[str, Field(min_length=1, max_length=100, description="The name of the trained model.")]
    dtype: Annotated[Literal["f16", "bf16", "f32"], Field(description="How the file holds the matrices.")] = "f16"

    @property
    def works_on(self) -> str | None:
        """See `RequestModel`."""
        return f"{TRAINED}/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RequestModel`."""
        return (f"{TRAINED}/{self.name}",)

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        trained_model(policy, self.name, "name")
        return self

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        model = self.made(root, folder)
        yield from ("to-gguf", str(model), str(model / f"model-{self.dtype}.gguf"), *options(dtype=self.dtype))

    def made(self, root: RunsRoot, folder: JobFolder) -> Path:
        """See `RequestModel`."""
        del folder
        return root.path / TRAINED / self.name
