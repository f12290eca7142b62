"""Whose copy it is: each session that keeps one begins a new epoch, and only the newest epoch's may go on."""

import json
import os
import platform
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from pydantic import TypeAdapter

from clairgen.copies.objects import (
    ALLOWANCES,
    Segment,
    StreamNames,
    allowance_in,
    allowance_name,
    facts_in,
    sealed,
    segment_name,
    streams_of,
)
from clairgen.copies.storage import Storage
from clairgen.errors import CopyError, CopyStoppedError, NewerCopyError, ReplacedError

FORMAT: Final = 1
"""Of all that is in a copy. Raise it with any change after which an older clairgen would misread what a newer one wrote."""
EPOCHS: Final = "epochs"
KNOWN: Final = "copy:"
"""Metadata key, with the name of a copy: the tokens of the epochs that this run directory had, or was restored from, as JSON."""
RESTORED: Final = "restored"
"""Beside these tokens: the directory was restored from the copy, and has not kept it since."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Who keeps a copy since when: a session in the process `holder`, which says `token` to show that the copy is its own.

    `copy` names the copy itself, through all epochs, and `run` the run that it is of.
    """

    number: int
    copy: str
    run: str
    token: str
    holder: str
    began_at: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class _AnyEpoch:
    """What an epoch's object of any format has."""

    format: int


_EPOCH: Final = TypeAdapter(Epoch)
_ANY_EPOCH: Final = TypeAdapter(_AnyEpoch)


def newest_epoch(storage: Storage, known: int = 0) -> Epoch | None:
    """The epoch of a copy that counts; None where there is no copy. Raises CopyError, NewerCopyError.

    `known` is the number of one that is there, whether a listing has it yet or not.
    """
    name = max([*storage.names(EPOCHS), *([epoch_name(known)] if known else [])], default=None)
    if name is None:
        return None
    content = storage.get(name)
    if (found := facts_in(_ANY_EPOCH, content)) is not None and found.format > FORMAT:
        raise NewerCopyError(
            f"the copy at {storage.address} is kept by a newer clairgen (its format is {found.format}, and this clairgen knows "
            f"up to {FORMAT}); upgrade clairgen here"
        )
    if (epoch := epoch_of(content)) is None:
        raise CopyError(
            f"{name} in the copy at {storage.address} is not whole; if it is damaged, use clairgen restore with "
            "--accept-loss, and go on with a new place for --copy-to"
        )
    return epoch


def holds_run(storage: Storage) -> bool:
    """Whether there is a copy that had a whole snapshot at some time. Raises CopyError."""
    if newest_epoch(storage) is None:
        return False
    streams = streams_of(storage.names())
    return any(stream.snapshots for stream in streams) or any(was_restorable(storage, stream) for stream in streams)


def check_may_go_on(storage: Storage, newest: Epoch | None, run: str, tokens: Sequence[str]) -> None:
    """Raise CopyError where a directory of this run, which knows these tokens, may not keep a copy at a storage.

    There is the copy of another run, or of a directory of this run that went on elsewhere.
    """
    if newest is None:
        if storage.names():
            raise CopyError(f"{storage.address} is not empty and no copy of a run; name a new place for --copy-to")
        return
    if (newest.run == run and newest.token in tokens) or not holds_run(storage):
        return
    if newest.run != run:
        raise CopyError(f"{storage.address} has the copy of another run ({newest.run}); name a new place for --copy-to")
    raise CopyError(
        f"the copy at {storage.address} is of another directory of this run, kept by {newest.holder} since {newest.began_at}, "
        "which may have more than this one; run the same command with a new, empty folder for --run, which is restored from it"
    )


def epoch_name(number: int) -> str:
    """The name of an epoch's object."""
    return f"{EPOCHS}/{number:08}"


def epoch_object(epoch: Epoch) -> bytes:
    """The object that holds an epoch."""
    return sealed(json.dumps(asdict(epoch)).encode())


def epoch_of(content: bytes | None) -> Epoch | None:
    """The epoch in an object; None for one that is not whole, or not there."""
    return facts_in(_EPOCH, content)


def newest_allowance(storage: Storage) -> int:
    """What the run may have come to by the copy, in picodollars; 0 where it says nothing. Raises CopyError."""
    found = [amount for name in storage.names(ALLOWANCES) if (amount := allowance_in(name)) is not None]
    return found[-1] if found else 0


def next_epoch(newest: Epoch | None, run: str, began_at: str) -> Epoch:
    """The epoch of this process, after the newest one."""
    return Epoch(
        number=1 if newest is None else newest.number + 1,
        copy=uuid.uuid4().hex if newest is None else newest.copy,
        run=run,
        token=uuid.uuid4().hex,
        holder=f"process {os.getpid()} on {platform.node()}",
        began_at=began_at,
    )


def begin_epoch(storage: Storage, epoch: Epoch) -> None:
    """Take a copy over. Raises CopyError if another process did so just now."""
    name = epoch_name(epoch.number)
    # A reply that was lost makes the storage's own package try again, and find what it wrote.
    if not storage.create(name, epoch_object(epoch)) and epoch_of(storage.get(name)) != epoch:
        raise CopyError(
            f"another process has just taken over the copy at {storage.address}, unless its storage lists late what is "
            "written; see that only one process makes this run, and run the same command again"
        )


class KeptEpoch:
    """An epoch that this process keeps a copy in: whether it is still the newest, and what it states of the run's budget."""

    def __init__(self, storage: Storage, epoch: Epoch) -> None:
        self.storage = storage
        self.epoch = epoch
        self._allowance: int | None = None
        self._allowances = 0

    def check(self) -> None:
        """Raise ReplacedError if another session keeps the copy by now, and CopyStoppedError if there is none of this run."""
        number = self.epoch.number
        own, after = (self.storage.get(epoch_name(number + further)) for further in (0, 1))
        if after is None and epoch_of(own) == self.epoch:
            return  # a listing might not have it yet
        try:
            newest = newest_epoch(self.storage, number + 1 if after is not None else 0)
        except NewerCopyError as error:
            raise ReplacedError(f"{error}, or go on where that one runs; this process stops asking") from error
        if newest is None or (newest.run == self.epoch.run and newest.number < number):
            raise CopyStoppedError(
                f"the copy at {self.storage.address} was deleted while it was kept; nothing more is asked"
            )
        if newest.run != self.epoch.run:
            raise CopyStoppedError(
                f"{self.storage.address} is the address of another run by now, of {newest.holder} since {newest.began_at}; "
                "nothing more is asked: run the same command with an address of its own for --copy-to"
            )
        if newest != self.epoch:
            raise ReplacedError(
                f"the copy at {self.storage.address} is kept by {newest.holder} since {newest.began_at} and no longer by this "
                "process, which stops asking; go on there"
            )

    def state_allowance(self, allowance: int) -> None:
        """Have the copy say that the run may have come to so much from now on, in picodollars.

        Whoever takes the copy over while this returns counts that. Raises CopyError, and what `check` raises.
        """
        if self._allowance is None and newest_allowance(self.storage) == 0:
            self._allowance = 0
        if allowance == self._allowance:
            return
        self._allowances += 1
        self.storage.put(allowance_name(self.epoch.number, self._allowances, allowance), b"")
        self.check()  # whoever took the copy over before the statement may not have seen it
        self._allowance = allowance
        self.storage.delete(self.storage.names(ALLOWANCES)[:-1])


def tokens_of(value: str | None) -> list[str]:
    """The tokens in the metadata of a run."""
    return [] if value is None else [str(token) for token in json.loads(value)]


def tokens_text(*tokens: str) -> str:
    """Tokens as the metadata of a run has them."""
    return json.dumps(tokens)


def was_restorable(storage: Storage, stream: StreamNames) -> bool:
    """Whether a stream had a whole snapshot, by the last of its segments that is whole."""
    for number in reversed(stream.segments):
        if (segment := Segment.unsealed(storage.get(segment_name(stream.name, number)))) is not None:
            return segment.is_restorable
    return False
