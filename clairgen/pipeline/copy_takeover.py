"""Before a session keeps a copy of its run: a new run directory is restored from it, and the copy of this run taken over."""

from pathlib import Path

from clairgen.copies.epochs import KNOWN, begin_epoch, newest_epoch, next_epoch, tokens_of, tokens_text
from clairgen.copies.objects import Epoch
from clairgen.copies.restoring import check_may_go_on, holds_run, is_restorable_into, restore
from clairgen.copies.storage import FolderStorage, Storage, open_storage
from clairgen.errors import ConfigError
from clairgen.hanging_calls import in_thread
from clairgen.installed import __version__
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import Session
from clairgen.store import RunDirectory, now


async def storage_of(address: str | Path | None, directory: RunDirectory, progress: Progress) -> Storage | None:
    """The storage at an address, if there is one; a run that has no folder yet, or an empty one, is restored from a copy there.

    Raises CopyError, RunError, and ConfigError as `open_storage` does.
    """
    if address is None:
        return None
    storage = open_storage(str(address))
    if isinstance(storage, FolderStorage):
        copy, run = storage.folder.resolve(), directory.path.resolve()
        if copy.is_relative_to(run):
            raise ConfigError(
                f"the copy at {address} would be in the run directory itself, and lost with it; name another place"
            )
        if run.is_relative_to(copy):
            raise ConfigError(
                f"the run directory {directory.path} would be inside of its copy at {address}; name another place for one of them"
            )
    await _restore_if_new(storage, directory, progress)
    return storage


async def _restore_if_new(storage: Storage, directory: RunDirectory, progress: Progress) -> None:
    if not is_restorable_into(directory) or not await in_thread(lambda: holds_run(storage)):
        return

    def work() -> str:
        directory.path.mkdir(parents=True, exist_ok=True)
        with directory.locked():
            return restore(storage, directory).sentence

    sentence = await in_thread(work)
    progress.note(
        f"restored {directory.path} from the copy at {storage.address}: {sentence}; what was asked and spent after that is not "
        "known"
    )


async def check_copy(held: Session, storage: Storage | None) -> None:
    """Note where a copy of the run stays behind; raise CopyError where this directory may not go on with the copy there is."""
    if storage is not None:
        await _known(held, storage)
    elif await held.store.metadata.with_prefix(KNOWN):
        held.progress.note(
            "this run has a copy, which this session does not bring up to date; with --copy-to it would, and would be refused "
            "where another machine goes on with the run"
        )


async def taken_over(held: Session, storage: Storage) -> Epoch:
    """Begin this session's epoch of a copy, once it is clear that this directory may go on with it. Raises CopyError."""
    run, newest, is_known = await _known(held, storage)
    epoch = next_epoch(newest, run, now())
    # The token is on disk before the epoch is in the copy, so that after a kill in between this directory may go on.
    known = [newest.token] if newest is not None and is_known else []
    await held.store.metadata.put(f"{KNOWN}{epoch.copy}", tokens_text(*known, epoch.token))
    await in_thread(lambda: begin_epoch(storage, epoch))
    return epoch


async def _known(held: Session, storage: Storage) -> tuple[str, Epoch | None, bool]:
    """The run, the newest epoch of a copy, and whether the run goes on with that one. Raises CopyError where it may not."""
    metadata = held.store.metadata
    await metadata.initialize(__version__)
    run = str(await metadata.get("run_id"))
    newest = await in_thread(lambda: newest_epoch(storage))
    tokens = tokens_of(None if newest is None else await metadata.get(f"{KNOWN}{newest.copy}"))
    return run, newest, await in_thread(lambda: check_may_go_on(storage, newest, run, tokens))
