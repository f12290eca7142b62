"""Every error that clairgen raises on purpose, in one tree; each class decides one thing for the code that catches it.

    ClairgenError
    ├── UserError                      fix the input; exit code 2
    │   ├── ConfigError                the configuration file or an option
    │   ├── InputError                 a file of tasks, an output folder, a data set
    │   ├── RunError                   the run directory: missing, in use, changed, newer
    │   │   └── InUseError             another process works in the folder: wait until it ends
    │   ├── StoreError                 the database: disk full, read-only, damaged
    │   ├── CopyError                  the copy of a run: out of reach, of another run, damaged
    │   │   └── NewerCopyError         a newer clairgen keeps it in a format that this one does not know
    │   └── MissingExtraError          an optional package that this command needs
    ├── RequestError                   one request to one model
    │   ├── RetryableError             send it again, perhaps elsewhere
    │   │   ├── UnusableEndpointError  send it elsewhere: this endpoint would reject every request
    │   │   └── UnclearRejectionError  send it elsewhere, and find out whether this request or every one is rejected
    │   └── RequestFailedError         record it as that task's failure and go on
    └── RunStoppedError                stop the run, which can be continued
        ├── EndpointsError             the endpoints' fault; exit code 3
        ├── BudgetError                the next request does not fit the budget; exit code 2
        ├── ReplacedError              another process has this one's run or shard by now; exit code 5
        ├── NothingLeftError           others have done all that this one could have taken on; exit code 0
        ├── CopyStoppedError           the copy of the run is too far behind, or gone; exit code 4
        ├── DetachedError              all that is left waits at a provider, and the user wanted to leave; exit code 0
        └── DrainedError               the user stopped the run; exit code 130

Messages say what happened, to what, and what to do about it, in one sentence, without a secret.
"""

from collections.abc import Callable
from typing import Final

FAILED: Final = 1
"""Done, but some tasks failed."""
USER: Final = 2
"""Something the user has to fix, or the budget is reached."""
ENDPOINTS: Final = 3
"""The endpoints cannot serve."""
COPY: Final = 4
"""The copy of the run cannot be kept."""
REPLACED: Final = 5
"""Another process has this one's run or shard by now."""
DRAINED: Final = 130
"""Stopped by Ctrl-C or SIGTERM."""


class ClairgenError(Exception):
    """Root of all errors that clairgen raises on purpose."""


class UserError(ClairgenError):
    """Something that the user gave has to be fixed first."""


class ConfigError(UserError):
    """A configuration file or an option that cannot be used as it is."""


class InputError(UserError):
    """A file of tasks, an output folder or a data set that cannot be used as it is."""


class RunError(UserError):
    """A run directory that is missing, in use, changed or written by a newer version."""


class InUseError(RunError):
    """Another process works in the folder; it can be used when that has ended."""


class StoreError(UserError):
    """The database cannot be written or read: disk full, read-only folder, damage."""


class CopyError(UserError):
    """The copy of a run cannot be written or read: its storage is out of reach, or what is there is damaged or another run's."""


class NewerCopyError(CopyError):
    """A newer clairgen keeps the copy, in a format that this one does not know: upgrade, or go on elsewhere."""


class MissingExtraError(UserError):
    """An optional package that this command needs is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed; install them with: pip install 'clairgen[{extra}]'"
        )


class RequestError(ClairgenError):
    """A request did not result in a completion.

    `reason` is a short stable name by which failures are counted; `detail` is what the endpoint said. `billed` is whether
    the provider may have charged for it. `role` and `endpoint` are set where they are known, and so is `used`: the tokens of
    the prompt and of the answer, where the server counted them although the answer cannot be used.
    """

    role: str | None = None
    endpoint: str | None = None
    used: tuple[int, int] | None = None

    def __init__(self, reason: str, detail: str, *, status: int | None = None, billed: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.status = status
        self.billed = billed

    def __reduce__(self) -> tuple[Callable[..., "RequestError"], tuple[object, ...]]:
        return _restored, (type(self), self.args, self.__dict__)


class RetryableError(RequestError):
    """The request may succeed later or elsewhere; `retry_after_seconds` is how long the endpoint says to wait, if it does."""

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        status: int | None = None,
        billed: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(reason, detail, status=status, billed=billed)
        self.retry_after_seconds = retry_after_seconds


class UnusableEndpointError(RetryableError):
    """This endpoint would reject every request (API key, model name, quota, address); another one may accept it."""

    def __init__(self, detail: str, status: int, reason: str | None = None) -> None:
        super().__init__(reason or f"http-{status}", detail, status=status)


class UnclearRejectionError(RetryableError):
    """A rejection whose words do not say whether this request or every request is rejected."""


class RequestFailedError(RequestError):
    """This request will not succeed as it is: its task fails with this reason and the run goes on."""


class RunStoppedError(ClairgenError):
    """The run stops; everything committed is kept and the run can be continued."""


class EndpointsError(RunStoppedError):
    """No endpoint of a role can serve, or all requests fail in the same way: fix that, then continue the run."""


class BudgetError(RunStoppedError):
    """The budget has no room for the next request: raise it, then continue the run.

    `enough_usd` is a budget of the run that can go on; None where it is the budget that several sessions share which is
    exhausted.
    """

    def __init__(self, message: str, enough_usd: float | None) -> None:
        super().__init__(message)
        self.enough_usd = enough_usd


class ReplacedError(RunStoppedError):
    """Another process has this one's run or shard by now, and makes what is left: nothing more is asked here."""


class NothingLeftError(RunStoppedError):
    """Other processes have done all that this one could have taken on."""


class CopyStoppedError(RunStoppedError):
    """The copy lacks more than it may, or is no longer there: see to its storage, then continue the run."""


class DetachedError(RunStoppedError):
    """All that is left waits in batches at a provider, which go on without the run: continue it later to collect them.

    `batches` says which, in words.
    """

    def __init__(self, batches: str) -> None:
        super().__init__(f"{batches}; run the same command later to collect what they have answered")
        self.batches = batches


class DrainedError(RunStoppedError):
    """The user stopped the run: no new request is sent."""

    def __init__(self, message: str = "Stopped as requested; what was in flight is kept.") -> None:
        super().__init__(message)


def _restored(kind: type[RequestError], args: tuple[object, ...], state: dict[str, object]) -> RequestError:
    """An error that comes from another process, whatever its constructor takes."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def exit_code(error: ClairgenError) -> int:
    """The exit code that an error ends the command with."""
    if isinstance(error, EndpointsError):
        return ENDPOINTS
    if isinstance(error, CopyStoppedError):
        return COPY
    if isinstance(error, ReplacedError):
        return REPLACED
    return DRAINED if isinstance(error, DrainedError) else USER
