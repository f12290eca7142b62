"""Every error that clairgen raises on purpose, one root; each decides one thing for its catcher.

    ClairgenError
    ├── UserError              mend what was given; exit code 2
    │   ├── ConfigError        the configuration file or a flag
    │   ├── InputError         a file of tasks, an output folder, a data set
    │   ├── RunError           the run directory: absent, in use, changed, newer
    │   ├── StoreError         the database: disk full, read-only, damaged
    │   └── MissingExtraError  an optional package that this command needs
    ├── RequestError               about one ask of one model
    │   ├── RetryableError     try again, perhaps elsewhere
    │   └── RequestFailedError     record it as that task's failure, go on
    └── RunStoppedError        stop the run, which can be continued
        ├── EndpointsError     the endpoints' fault; exit code 3
        ├── BudgetError        the next ask does not fit the budget; exit code 2
        └── DrainedError       the user asked to stop; exit code 130

Messages say what happened, to what, and what to do about it, in one sentence, without a secret.
"""


class ClairgenError(Exception):
    """Root of all errors that clairgen raises on purpose."""


class UserError(ClairgenError):
    """Something the user gave has to be mended before this can work."""


class ConfigError(UserError):
    """A configuration file or a flag that cannot be used as it is."""


class InputError(UserError):
    """A file of tasks, an output folder or a data set that cannot be used as it is."""


class RunError(UserError):
    """A run directory that is absent, in use, changed or written by a newer version."""


class StoreError(UserError):
    """The database cannot be written or read: disk full, read-only folder, damage."""


class MissingExtraError(UserError):
    """An optional package that this command needs is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed; install them with: pip install 'clairgen[{extra}]'"
        )


class RequestError(ClairgenError):
    """An ask did not give a completion.

    `reason` is a short stable name that failures are counted by; `detail` is what the endpoint said. `billed` is whether
    the provider may have charged for it. `role` and `endpoint` are set where they are known, and so is `used`: the tokens of the
    prompt and of the answer, where the server counted them though the answer was none.
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


class RetryableError(RequestError):
    """The ask may succeed later or elsewhere; `retry_after_seconds` is the endpoint's own wish, if it gave one."""

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


class RequestFailedError(RequestError):
    """This ask will not succeed as it stands: its task fails by name and the run goes on."""


class RunStoppedError(ClairgenError):
    """The run stops; everything committed is kept and the run can be continued."""


class EndpointsError(RunStoppedError):
    """No endpoint of a role can serve, or all asks fail alike: mend that, then continue the run."""


class BudgetError(RunStoppedError):
    """The budget has no room for the next ask: raise it, then continue the run."""


class DrainedError(RunStoppedError):
    """The user asked to stop: no new ask is sent."""

    def __init__(self, message: str = "Stopped as asked; what was in flight is kept.") -> None:
        super().__init__(message)
