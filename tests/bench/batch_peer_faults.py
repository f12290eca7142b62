"""Faults of a provider of batches that any client of it can meet, each scripted once for clairgen and its peers.

Most happen to the first batch alone, so that a client that submits its requests again can have them answered.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.batch_provider import ENDED, BatchProvider, Line, StoredBatch, rejected, shuffled
from tests.runs import REVISER, TARGET, played
from tests.scripted import Reply, refused

REQUESTS = 20


class CountingProvider(BatchProvider):
    """Counts the answers to each prompt, as its bill does by custom_id, and says truly how many lines of a batch failed."""

    def __init__(self) -> None:
        super().__init__(answered)
        self.answers = Counter[str]()

    def good(self, line: Line) -> Line:
        """Its line, counted."""
        self.answers[line["body"]["messages"][-1]["content"]] += 1
        return super().good(line)

    def finish(self) -> None:
        """Let all batches end now, whether or not somebody looks at them."""
        self.go_on()
        for batch in self.batches.values():
            while batch.status not in ENDED:
                self._advanced(batch)

    def is_first(self, batch: StoredBatch) -> bool:
        """Whether no batch was created before it."""
        return batch is next(iter(self.batches.values()))

    def _end(self, batch: StoredBatch, status: str, most: int) -> None:
        super()._end(batch, status, most)
        if batch.counts is None:
            total = len(batch.lines)
            batch.counts = {"total": total, "completed": batch.answered, "failed": total - batch.answered}


@dataclass(frozen=True, slots=True)
class Fault:
    """What the provider does, in words and as a script; `answerable` of the requests can be answered at all.

    `batch` is the most requests of one batch. The client is killed where `kill` of a call's method and path, and of how often
    such a call came, is true.
    """

    words: str
    script: Callable[[CountingProvider], None]
    answerable: int = REQUESTS
    batch: int = REQUESTS
    kill: Callable[[str, int], bool] | None = None


def answered(request: dict[str, Any]) -> Reply:
    """A whole chat completion: as `played` where clairgen's roles are played, else what its target would say."""
    is_reviser = request["model"] == REVISER and "{student_solution}: " in request["messages"][-1]["content"]
    content = json.loads(played(request if is_reviser else {**request, "model": TARGET}).body)
    return Reply(json.dumps({**content, "created": 1, "model": request["model"]}).encode())


def nothing(_: CountingProvider) -> None:
    """No fault."""


def other_order(provider: CountingProvider) -> None:
    """Lines in another order."""
    provider.output = shuffled


def rejected_line(provider: CountingProvider) -> None:
    """One request is rejected, each time that it comes."""
    provider.result = lambda line, _: (
        rejected(line, 400, "Invalid content") if "number 7" in str(line["body"]) else None
    )


def status_0(provider: CountingProvider) -> None:
    """Two lines of the first batch have status 0 and no error."""

    def result(line: Line, batch: StoredBatch) -> Line | None:
        batch.counts = {"total": len(batch.lines), "completed": len(batch.lines), "failed": 0}
        if provider.is_first(batch) and batch.lines.index(line) in (2, 5):
            return {"custom_id": line["custom_id"], "response": {"status_code": 0, "body": None}, "error": None}
        return None

    provider.result = result


def all_fail(provider: CountingProvider) -> None:
    """The first batch has an error file alone."""
    overloaded = "The engine is currently overloaded"
    provider.result = lambda line, batch: rejected(line, 503, overloaded) if provider.is_first(batch) else None


def expires(provider: CountingProvider) -> None:
    """The first batch expires with 12 answers."""
    provider.ends = lambda batch: "expired" if provider.is_first(batch) else "completed"
    provider.processed = lambda batch: 12 if provider.is_first(batch) else len(batch.lines)


def unanswered_create(provider: CountingProvider) -> None:
    """The first batch is created, and the client does not hear of it."""

    def lost(method: str, path: str, reply: Reply) -> Reply | None:
        return None if (method, path) == ("POST", "/batches") and provider.calls["POST /batches"] == 1 else reply

    provider.sent = lost


def broken_downloads(provider: CountingProvider) -> None:
    """The first two downloads break off in the middle."""

    def cut(_method: str, path: str, reply: Reply) -> Reply:
        is_cut = path.endswith("/content") and provider.calls["GET /files/ID/content"] <= 2
        return Reply(reply.body, headers=reply.headers, cut=len(reply.body) // 2) if is_cut else reply

    provider.sent = cut


def unreadable_line(provider: CountingProvider) -> None:
    """The first line of results is cut off in the middle."""
    broken = [False]

    def output(lines: list[bytes]) -> list[bytes]:
        if broken[0]:
            return lines
        broken[0] = True
        return [lines[0][: len(lines[0]) // 2] + b"\n", *lines[1:]]

    provider.output = output


def results_away(provider: CountingProvider) -> None:
    """The first two downloads say that there is no such file."""

    def away(_method: str, path: str) -> Reply | None:
        is_early = path.endswith("/content") and provider.calls["GET /files/ID/content"] <= 2
        return refused(404, "No such File object", "not_found") if is_early else None

    provider.call = away


def results_gone(provider: CountingProvider) -> None:
    """The results of the first batch are never there."""

    def gone(_method: str, path: str) -> Reply | None:
        found = re.fullmatch(r"/files/(.+)/content", path)
        first = next(iter(provider.batches.values()), None)
        is_gone = found and first and found[1] in (first.output_file_id, first.error_file_id)
        return refused(404, "No such File object", "not_found") if is_gone else None

    provider.call = gone


FAULTS = {
    "none": Fault("nothing", nothing),
    "order": Fault("lines in another order", other_order),
    "rejected": Fault("one line with status 400 and `error: null`", rejected_line, answerable=REQUESTS - 1),
    "status-0": Fault('two lines with status 0, counts that say "0 failed"', status_0),
    "no-output": Fault("no output file: all lines of the first batch have status 503", all_fail),
    "expired": Fault("the first batch expires with 12 of 20 answered", expires),
    "create": Fault("a batch is created without an answer", unanswered_create),
    "download": Fault("the first two downloads break off", broken_downloads),
    "unreadable": Fault("batches of five; one line of results cannot be read", unreadable_line, batch=5),
    "away": Fault("the first two downloads get 404", results_away),
    "gone": Fault("the results of the first batch are gone", results_gone),
    "kill": Fault(
        "`kill -9` while the batch is processed",
        nothing,
        kill=lambda call, times: call == "GET /batches/ID" and times == 2,
    ),
    "kill-later": Fault(
        "batches of five; `kill -9` as soon as the results of the third are requested",
        nothing,
        batch=5,
        kill=lambda call, times: call == "GET /files/ID/content" and times == 3,
    ),
}
