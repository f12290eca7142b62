"""How the requests of a role go into batches, and which roles can go that way."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from clairgen.config.endpoint_checks import FILE_SCHEME
from clairgen.config.field_checks import Positive, Strict

Delivery = Literal["direct", "batch", "auto"]
"""How answers are fetched: one by one, through a provider's batches, or in batches while many wait."""


class BatchSettings(Strict):
    """How the requests of a role are put into batches."""

    requests: Positive = Field(50_000, le=50_000, description="Most requests of one batch.")
    megabytes: float = Field(200, gt=0, le=200, description="Most megabytes of one batch's file.")
    enqueued_tokens: Positive | None = Field(
        None,
        description="Most tokens of prompts that may wait at the provider at once, as your account allows for the model; a batch "
        "has at most as many.",
    )
    quiet_seconds: float = Field(
        20, ge=0, le=86_400, description="A batch is submitted once no further request came for as long."
    )
    collect_seconds: float = Field(
        600, ge=0, le=86_400, description="A batch is submitted at the latest as long after its first request."
    )
    auto_from: Positive = Field(
        200, description="With `delivery: auto`: fewer requests than these are sent directly instead."
    )
    waiting: Positive = Field(
        50_000,
        le=10**6,
        description="Most tasks that are begun while requests wait for their batches; each takes memory.",
    )
    poll_seconds: float = Field(
        10, gt=0, le=3600, description="How soon a batch is looked at again; in time only every sixth of these times."
    )
    search_seconds: float = Field(
        120,
        ge=0,
        le=86_400,
        description="How long a batch whose creation got no answer is looked for at the provider before it is created again.",
    )
    api: Literal["openai", "anthropic"] | None = Field(
        None,
        description="Whose batches the endpoint has; left out, Anthropic's at api.anthropic.com and OpenAI's elsewhere.",
    )
    price_factor: float | None = Field(
        None,
        gt=0,
        le=1,
        description="What a batch costs as a share of the direct price; left out, the provider's in data/prices.yaml, or 1.",
    )


def check_delivery(
    delivery: Delivery, api: str, endpoints: Sequence[str], settings: BatchSettings, longest_answer: int | None
) -> None:
    """Raise ValueError for a role whose requests cannot go this way."""
    if delivery != "batch" and any(endpoint.startswith(FILE_SCHEME) for endpoint in endpoints):
        raise ValueError("a `file:` endpoint answers only batches; give it `delivery: batch`")
    if delivery == "direct":
        return
    if api != "chat":
        raise ValueError(f"`delivery: {delivery}` is for models that write texts; leave it out")
    if len(endpoints) != 1 or not endpoints[0].startswith(("http://", "https://", FILE_SCHEME)):
        raise ValueError(
            f"`delivery: {delivery}` needs exactly one endpoint: the URL of a provider that takes batches (up to /v1), or "
            "`file:` and a folder"
        )
    if settings.api == "anthropic" and longest_answer is None:
        raise ValueError("Anthropic's batches need max_tokens; give it")
