"""Anthropic's message batches on a real socket: without metadata, with counts that are zero until the end."""

import datetime
import json
from typing import Any

from tests.batch_provider import BatchProvider, StoredBatch, rejected
from tests.scripted import Reply, refused

_STATES = {"validating": "in_progress", "finalizing": "in_progress", "cancelling": "canceling"}


class AnthropicProvider(BatchProvider):
    """A `BatchProvider` that is spoken to in Anthropic's words; `unknown` are further lines in its results."""

    unknown: tuple[dict[str, Any], ...] = ()

    def _answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> Reply:
        if not path.startswith("/messages/batches"):
            return super()._answer(method, path, query, headers, body)
        assert headers["anthropic-version"] == "2023-06-01"
        match (method, *path.strip("/").split("/")[2:]):
            case ("POST",):
                return self._create_message_batch(json.loads(body))
            case ("GET",):
                found = sorted(self.batches.values(), key=lambda one: int(one.id.rpartition("_")[2]), reverse=True)
                return _json({"data": [shown(one) for one in found], "has_more": False, "last_id": None})
            case ("GET", identity) if identity in self.batches:
                return _json(shown(self._advanced(self.batches[identity])))
            case ("POST", identity, "cancel") if identity in self.batches:
                self.batches[identity].status = "cancelling"
                return _json(shown(self.batches[identity]))
            case ("GET", identity, "results") if identity in self.batches:
                return self._results(self.batches[identity])
        return refused(404, f"No such object: {path}", "not_found_error")

    def _create_message_batch(self, asked: dict[str, Any]) -> Reply:
        batch = StoredBatch(f"msgbatch_{next(self._ids)}", "", None, self._now(), list(self.states))
        for request in asked["requests"]:
            params = dict(request["params"])
            assert params["max_tokens"] > 0
            assert not {"seed", "stop"} & params.keys()
            system = [{"role": "system", "content": params.pop("system")}] if "system" in params else []
            body = params | {"messages": [*system, *params["messages"]]}
            batch.lines.append({"custom_id": request["custom_id"], "body": body})
        self.batches[batch.id] = batch
        return _json(shown(batch))

    def _results(self, batch: StoredBatch) -> Reply:
        lines = [json.dumps(one) for one in self.unknown]
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                lines += [json.dumps(result(json.loads(line))) for line in self.files[file_id].content.splitlines()]
        return Reply("".join(f"{line}\n" for line in lines).encode())


def shown(batch: StoredBatch) -> dict[str, Any]:
    """A batch's JSON: nothing in it says whose it is."""
    ended = batch.status in ("completed", "cancelled", "expired")
    counts = {"processing": 0 if ended else len(batch.lines), "canceled": 0, "errored": 0, "expired": 0, "succeeded": 0}
    if ended:
        counts["succeeded"] = len(batch.lines)
    created = datetime.datetime.fromtimestamp(batch.created_at, datetime.UTC)
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if ended else _STATES.get(batch.status, batch.status),
        "request_counts": counts,
        "created_at": created.isoformat(),
        "expires_at": (created + datetime.timedelta(days=1)).isoformat(),
        "results_url": f"https://api.anthropic.com/v1/messages/batches/{batch.id}/results" if ended else None,
    }


def result(line: dict[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's form as Anthropic writes it."""
    head = {"custom_id": line["custom_id"]}
    if line["response"] is None:
        kind = {"batch_expired": "expired", "batch_cancelled": "canceled"}[line["error"]["code"]]
        return head | {"result": {"type": kind}}
    body = line["response"]["body"]
    if line["response"]["status_code"] != 200:
        error = {"type": body["error"]["code"], "message": body["error"]["message"]}
        return head | {"result": {"type": "errored", "error": {"type": "error", "error": error}}}
    usage = {"input_tokens": body["usage"]["prompt_tokens"] - 5, "cache_read_input_tokens": 5}
    message = {
        "id": body["id"],
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "I weigh it."},
            {"type": "text", "text": body["choices"][0]["message"]["content"]},
        ],
        "stop_reason": "end_turn",
        "usage": usage | {"output_tokens": body["usage"]["completion_tokens"]},
    }
    return head | {"result": {"type": "succeeded", "message": message}}


def _json(content: dict[str, Any]) -> Reply:
    return Reply(json.dumps(content).encode())


__all__ = ["AnthropicProvider", "rejected"]
