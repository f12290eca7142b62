"""Requests to models: what all those of a role have in common, one of them, and the answer in its completion."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clairgen.config.role import Price, Role
from clairgen.config.service_tiers import at_factor, tier_prices
from clairgen.errors import (
    RequestFailedError,
)
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.inference.openai_format import ChatAnswer, Streaming, request_body
from clairgen.inference.score_format import score_request_body
from clairgen.keys import ContentKeys, canonical_json, messages_json, sampling_facts, seed_for
from clairgen.records import Completion, Message
from clairgen.store import Sent
from clairgen.templates import Template
from clairgen.thinking import separate


class RoleRequests:
    """What all requests of a role have in common.

    `most` is the highest price that an answer is expected to have, None without a price; it rises once one was dearer.
    """

    def __init__(self, name: str, settings: Role, run_seed: int) -> None:
        self.name = name
        self.settings = settings
        self.sampling = settings.sampling(run_seed)
        self._parameters = canonical_json(sampling_facts(self.sampling))
        self._keys = ContentKeys(settings.model, settings.revision, self.sampling)
        self.tiers = tier_prices(settings)
        self.most = self._price(self.tiers.most)

    def price_of(self, said: str | None) -> tuple[Price | None, bool]:
        """The price of an answer by the service tier that its server says it used, and whether that tier's price is known."""
        factor, is_known = self.tiers.of_answer(said)
        price = self._price(factor)
        if (
            price is not None
            and self.most is not None
            and (price.input, price.output) > (self.most.input, self.most.output)
        ):
            self.most = price
        return price, is_known

    def _price(self, factor: float) -> Price | None:
        price = self.settings.price_per_million
        return None if price is None else at_factor(price, factor)

    def request(self, messages: Sequence[Message], sample: int, template: Template | None) -> "Request":
        """The request for one sample of an answer to these messages, as they are sent."""
        content = messages_json(messages)
        sent = Sent(content, self._parameters, template.content_hash if template else None)
        return Request(self._keys.key(content, sample), self, messages, sample, sent)


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a model, identified by its content key; `is_probe` is whether it only finds out if any is accepted."""

    key: str
    role: RoleRequests
    messages: Sequence[Message]
    sample: int
    sent: Sent
    is_probe: bool = False

    @property
    def prompt(self) -> str:
        """The text of all its messages."""
        return "\n".join(message.content for message in self.messages)

    def body(self, redraws: int, *, service_tier: str | None = None, streams: bool = True) -> bytes:
        """Its bytes; after an empty answer with a different seed, since the same one would give the same answer.

        `service_tier` is the tier to request, which is no part of what the request is; `streams` is whether it may ask for a
        stream, where its role wants one.
        """
        sampling, settings = self.role.sampling, self.role.settings
        if sampling.api is not None:
            return score_request_body(settings.model, self.messages, sampling)
        seed = seed_for(sampling.seed or 0, self.key, redraws) if settings.send_seed else None
        streaming = Streaming(settings.stream_usage) if settings.stream and streams else None
        return request_body(settings.model, self.messages, sampling, seed, streaming, service_tier)


def with_system(messages: Sequence[Message], system: str | None) -> tuple[Message, ...]:
    """Messages after a role's system message, if it has one and they contain none."""
    if system is None or any(message.role == "system" for message in messages):
        return tuple(messages)
    return (Message("system", system), *messages)


def thinking_to_store(answer: ChatAnswer, prompt: str) -> str | None:
    """The `thinking` of the completion that is stored for an answer to a prompt; see `Completion`."""
    return answer.thinking or ("" if separate(answer.text, prompt).thinking else None)


def answer_in(completion: Completion, request: Request) -> Completion:
    """The completion with nothing but the answer, and the thoughts apart.

    Raises RequestFailedError where there is no answer: the model thought to the end of its tokens, or wrote nothing after its
    thoughts. What reviser and judges write goes through parsers, which name that themselves where there is a text.
    """
    found = separate(completion.text, request.prompt)
    if found.unclosed or not found.answer.strip():
        if completion.text.strip() and _is_parsed(request.role.name):
            return completion
        raise _no_answer(completion, request.role.name, unclosed=found.unclosed)
    thinking = "\n\n".join(filter(None, (completion.thinking, found.thinking))) or None
    if found.answer == completion.text:
        return completion if thinking == completion.thinking else replace(completion, thinking=thinking)
    removed = () if completion.text.startswith(found.answer) and not found.thinking else ("thinking",)
    return replace(completion, text=found.answer, removed=(*removed, *found.stripped), thinking=thinking)


def _is_parsed(role: str) -> bool:
    return role == "reviser" or role.startswith("judge")


def _no_answer(completion: Completion, role: str, *, unclosed: bool) -> RequestFailedError:
    if unclosed:
        reason, detail = "truncated", f"the answer of {completion.model} is thinking that never ends; raise max_tokens"
    elif finish_kind(completion.finish_reason) is FinishKind.LENGTH:
        reason, detail = (
            "truncated",
            "all of max_tokens was used before the answer began, probably for reasoning; raise max_tokens",
        )
    else:
        reason, detail = "only-thinking", f"{completion.model} wrote nothing but thinking or control tokens"
    error = RequestFailedError(reason, detail, status=200, billed=True)
    error.role = role
    return error
