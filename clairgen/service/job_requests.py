"""What can be submitted: the requests of all verbs, as they are sent and as they are stored with a job."""

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Final, get_args

from pydantic import Field, TypeAdapter

from clairgen.service.command_requests import (
    ExportRequest,
    FilterRequest,
    ImportRequest,
    LintRequest,
    MigrateRequest,
    ReparseRequest,
    ReportRequest,
)
from clairgen.service.evaluation_requests import AnyEvaluation
from clairgen.service.request_models import AdviseRequest, GenerateRequest, JobFolder, RequestModel
from clairgen.service.runs_root import RunsRoot
from clairgen.service.training_requests import ToGgufRequest, TrainRequest

CommandRequest = (
    FilterRequest
    | ReparseRequest
    | MigrateRequest
    | ReportRequest
    | LintRequest
    | ImportRequest
    | ExportRequest
    | TrainRequest
    | ToGgufRequest
)
Request = GenerateRequest | AdviseRequest | AnyEvaluation | CommandRequest
JobRequest = Annotated[Request, Field(discriminator="verb")]
_REQUESTS: Final[TypeAdapter[Request]] = TypeAdapter(JobRequest)
REQUEST_MODELS: Final[Mapping[str, type[RequestModel]]] = {
    str(get_args(model.model_fields["verb"].annotation)[0]): model for model in get_args(Request)
}
"""The model of each verb's request."""
COMMAND_VERBS: Final = tuple(verb for verb, model in REQUEST_MODELS.items() if model in get_args(CommandRequest))
"""The verbs that ask no model, which run as commands in processes of their own."""


def request_of(verb: str, arguments: Mapping[str, Any]) -> Request:
    """The request of a job that was submitted."""
    return _REQUESTS.validate_python({"verb": verb, **arguments})


def arguments_of(request: RequestModel) -> dict[str, Any]:
    """What is stored of a request, in JSON."""
    return request.model_dump(mode="json", exclude_defaults=True, exclude={"verb"})


def command_line(request: RequestModel, root: RunsRoot, folder: JobFolder) -> str:
    """The command that does the same, quoted for a shell."""
    return shlex.join(["clairgen", *request.words(root, folder)])
