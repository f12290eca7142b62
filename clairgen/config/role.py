"""A model in a role: what it is called, where it is served, how it is sampled, its rate limits and its price."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from clairgen.config.batch_settings import BatchSettings, Delivery, check_delivery
from clairgen.config.endpoint_checks import check_endpoint, check_headers, headers_with, is_registered, variables_in
from clairgen.config.field_checks import Positive, Strict, is_variable_name, secret_field
from clairgen.records import Sampling
from clairgen.wording import counted

_SETTABLE: Final = {"temperature", "top_p", "max_tokens", "stop", "seed", "model", "stream"}
_OWN_FIELDS: Final = _SETTABLE | {"messages", "stream_options", "n"}
_TOOLS: Final = {"tools", "functions"}
"""Fields of a request after which the answer may be a call in place of a text."""
ServiceTier = Literal["auto", "default", "standard", "on_demand", "flex", "priority", "performance", "scale"]
"""Words of OpenAI and Azure, Gemini's compatible endpoint, and Groq; `default`, `standard` and `on_demand` are the same."""
_FLEX_TIMEOUT_SECONDS: Final = 900.0  # what OpenAI and Azure recommend; the others say 1 to 15 minutes
_SENT_AS_THEY_ARE: Final = ("max_completion_tokens", "reasoning_effort", "chat_template_kwargs")
_OF_TEXTS: Final = (
    *(
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
        "stop",
        "seed",
        "stream",
        "system",
        "service_tier",
    ),
)
"""Keys that say how a text is written, of which a reward model writes none."""
_RAW: Final = {"use_activation": False}  # the number before a sigmoid, which makes all good answers alike
_FIELDS_OF_SCORES: Final = {"input", "text_1", "text_2"}


class Price(Strict):
    """What a million tokens cost."""

    input: float = Field(ge=0, description="US dollars per million prompt tokens.")
    output: float = Field(ge=0, description="US dollars per million answer tokens.")


class Role(Strict):
    """A model in a role, and where it is served."""

    model: str = Field(min_length=1, description="The model's name, as its server knows it.")
    endpoints: list[str] = Field(
        min_length=1,
        description="Base URLs that serve it (up to /v1); or `gguf:PATH`, or `classroom:student`, which clairgen serves itself; "
        "or `file:FOLDER` for batches as files; or `registered`, what `clairgen register` announces to a coordinator, or, as "
        "`registered:FOLDER`, in a folder.",
    )
    api: Literal["chat", "classify", "pooling", "score"] = Field(
        "chat",
        description="What is asked at the endpoints; a reward model has one of vLLM's `classify` (its default), `pooling` and "
        "`score`.",
    )
    revision: str | None = Field(
        None,
        description="Names the weights; set it when they change under one name, so that old answers are not reused.",
    )
    api_key_env: str | None = Field(
        None, description="The environment variable that holds the API key, if one is needed."
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Further HTTP headers; `${NAME}` in a value is replaced by that environment variable.",
    )
    temperature: float | None = Field(None, ge=0, description="Sampling temperature; left out, the server's default.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling; left out, the server's default.")
    max_tokens: Positive | None = Field(
        None, le=10**8, description="Most tokens of an answer; an answer that hits it is `truncated`."
    )
    max_completion_tokens: Positive | None = Field(
        None,
        le=10**8,
        description="The same limit under the name that reasoning models take, thinking included; give one of the two.",
    )
    reasoning_effort: str | None = Field(
        None,
        min_length=1,
        description="How much a reasoning model thinks, in its server's words (none, minimal, low, medium, high, ...); left out, "
        "the server's default.",
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None,
        description="Options of the model's chat template, for servers that take them (vLLM, SGLang, llama.cpp): "
        "`{enable_thinking: false}`.",
    )
    stop: list[str] = Field(default_factory=list, description="Texts at which an answer ends.")
    seed: int | None = Field(None, description="Overrides the run's seed for this role.")
    send_seed: bool = Field(
        True, description="Send a seed with every request; turn off for servers that refuse the field."
    )
    stream: bool = Field(
        False,
        description="Have answers streamed, for servers that give them in no other way; the answers are the same.",
    )
    stream_usage: bool = Field(
        True,
        description="Have a stream's tokens counted at its end (`stream_options`); turn off for servers that refuse the field.",
    )
    stream_ends_with_done: bool = Field(
        True, description="A stream without `[DONE]` is broken off; turn off for servers that never send it."
    )
    system: str | None = Field(None, description="System message for tasks that have none of their own.")
    extra: dict[str, Any] = Field(
        default_factory=dict, description="Further fields of the request, passed on unchanged."
    )
    service_tier: ServiceTier | None = Field(
        None,
        description="The provider's tier: `flex` is cheaper, slower and sometimes without capacity, `priority` dearer. Changing "
        "it requests nothing again.",
    )
    tier_price_factors: dict[ServiceTier, Annotated[float, Field(gt=0, le=100)]] | None = Field(
        None,
        description="What tiers cost as shares of the standard price, such as `{flex: 0.5}`; left out, data/prices.yaml's.",
    )
    weights: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list,
        description="Relative share of the requests in flight, a number for each endpoint; left out, as many as each one takes.",
    )
    timeout_seconds: float = Field(
        600,
        gt=0,
        le=86_400,
        description="Longest time for one answer; raise it for long ones. With `service_tier: flex` the default is 900.",
    )
    first_byte_seconds: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="Longest wait for an answer's first byte and for each further one, or for a stream's next event; left out, "
        "timeout_seconds.",
    )
    connect_seconds: float = Field(15, gt=0, le=3600, description="Longest time for a connection.")
    patience_seconds: float = Field(
        300,
        ge=0,
        le=604_800,
        description="How long all endpoints may be down before the run stops; it can be continued.",
    )
    concurrency: Positive | None = Field(
        None, description="Most requests in flight at each endpoint; left out, the limit adapts to the endpoint."
    )
    requests_per_minute: float | None = Field(None, gt=0, description="The provider's limit for each endpoint, if any.")
    tokens_per_minute: float | None = Field(None, gt=0, description="The provider's limit for each endpoint, if any.")
    burst: float = Field(
        1, ge=1, le=10**6, description="Requests that the limit lets through at once after a quiet period."
    )
    price_per_million: Price | None = Field(
        None,
        description="Prices in US dollars, of the standard tier; left out, those of data/prices.yaml where it lists the model.",
    )

    delivery: Delivery = Field(
        "direct",
        description="How answers are fetched: one by one, through the provider's batches (cheaper, within a day), or `auto`: in "
        "batches while many wait, the rest directly. Changing it requests nothing again.",
    )
    batch: BatchSettings | None = Field(None, description="How requests are put into batches.")

    @model_validator(mode="after")
    def _batches_go_to_one_provider(self) -> "Role":
        check_delivery(self.delivery, self.api, self.endpoints, self.batches, self.longest_answer)
        return self

    @model_validator(mode="before")
    @classmethod
    def _flex_takes_longer(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("service_tier") == "flex" and "timeout_seconds" not in given:
            return given | {"timeout_seconds": _FLEX_TIMEOUT_SECONDS}
        return given

    @model_validator(mode="after")
    def _a_tier_is_a_providers(self) -> "Role":
        if self.service_tier is not None and all(
            endpoint.startswith(("gguf:", "classroom:")) for endpoint in self.endpoints
        ):
            raise ValueError("a model that clairgen serves itself has no `service_tier`; leave it out")
        return self

    @model_validator(mode="after")
    def _a_weight_for_each_endpoint(self) -> "Role":
        if self.weights and any(map(is_registered, self.endpoints)):
            raise ValueError(
                "`weights` are for endpoints that are named, and registered ones come and go; leave it out"
            )
        if self.weights and len(self.weights) != len(self.endpoints):
            raise ValueError(
                f"`weights` has {counted(len(self.weights), 'number')} for {counted(len(self.endpoints), 'endpoint')}; "
                "give one each"
            )
        return self

    @model_validator(mode="after")
    def _a_key_of_named_endpoints_is_theirs(self) -> "Role":
        registered = [endpoint for endpoint in self.endpoints if is_registered(endpoint)]
        has_key = self.api_key_env is not None or self.header_variables()
        if has_key and registered and len(registered) < len(self.endpoints):
            raise ValueError(
                f"the key of {next(one for one in self.endpoints if one not in registered)} would be sent to whatever server "
                f"registers ({registered[0]}); register all servers of this role with clairgen register, or name them all"
            )
        return self

    @model_validator(mode="after")
    def _one_limit_of_tokens(self) -> "Role":
        given = [
            name
            for name, value in (
                ("max_tokens", self.max_tokens),
                ("max_completion_tokens", self.max_completion_tokens),
                ("extra.max_completion_tokens", self.extra.get("max_completion_tokens")),
            )
            if value is not None
        ]
        if self.max_completion_tokens is not None and len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are the same limit; give one of them")
        return self

    @model_validator(mode="after")
    def _each_field_once(self) -> "Role":
        for name in ("reasoning_effort", "chat_template_kwargs", "service_tier"):
            if getattr(self, name) is not None and name in self.extra:
                raise ValueError(f"{name} is given both beside `extra` and in it; give it once")
        return self

    @model_validator(mode="after")
    def _scores_are_no_texts(self) -> "Role":
        of_classifiers = any(endpoint.startswith("classifier:") for endpoint in self.endpoints)
        if of_classifiers and self.api != "classify":
            raise ValueError(
                "a `classifier:` endpoint gives scores, for models.reward-model with `api: classify` alone"
            )
        if self.api == "chat":
            return self
        for name in _OF_TEXTS:
            if getattr(self, name) != Role.model_fields[name].get_default(call_default_factory=True):
                raise ValueError(
                    f"a reward model gives a number and writes no text, so it has no `{name}`; leave it out"
                )
        for name in sorted(_FIELDS_OF_SCORES & self.extra.keys()):
            raise ValueError(f"{name!r} is set by clairgen; leave it out")
        if any(endpoint.startswith(("gguf:", "classroom:")) for endpoint in self.endpoints):
            raise ValueError(
                "a model of llama.cpp gives no scores; give the URL of a vLLM server, or `classifier:` and a folder or hub id"
            )
        return self

    @field_validator("api_key_env")
    @classmethod
    def _key_is_named(cls, variable: str | None) -> str | None:
        if variable is not None and not is_variable_name(variable):
            raise ValueError(
                "it is not the name of an environment variable but looks like an API key itself, which must not stand in a "
                "file; export the key and give the variable's name, such as OPENAI_API_KEY"
            )
        return variable

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        check_headers(headers)
        return headers

    @field_validator("endpoints")
    @classmethod
    def _endpoints_are_addresses(cls, endpoints: list[str]) -> list[str]:
        for endpoint in endpoints:
            check_endpoint(endpoint)
        return [endpoint.rstrip("/") for endpoint in endpoints]

    @field_validator("extra", mode="before")
    @classmethod
    def _extra_is_not_ours(cls, extra: object) -> object:
        for name in sorted(_OWN_FIELDS & extra.keys()) if isinstance(extra, dict) else ():
            instead = "use the key beside `extra`" if name in _SETTABLE else "leave it out"
            raise ValueError(f"{name!r} is set by clairgen; {instead}")
        for name in sorted(_TOOLS & extra.keys()) if isinstance(extra, dict) else ():
            raise ValueError(f"{name!r} offers tools, and a call has no text that a recipe could compare; leave it out")
        return extra

    @field_validator("extra", "chat_template_kwargs", mode="before")
    @classmethod
    def _is_json(cls, given: object) -> object:
        try:
            content = json.loads(json.dumps(given, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"it contains what JSON cannot express: {error}") from error
        if isinstance(content, dict) and (secret := secret_field(content)) is not None:
            raise ValueError(
                f"{secret!r} holds a secret or HTTP headers, which must not stand in a request's body or in a file; name the "
                "key's variable in api_key_env, or give `headers` beside `extra`"
            )
        return content

    def sampling(self, run_seed: int) -> Sampling:
        """How this role's answers are drawn; the seed is part of their content key. A reward model draws nothing."""
        if self.api != "chat":
            kwargs = {} if self.chat_template_kwargs is None else {"chat_template_kwargs": self.chat_template_kwargs}
            return Sampling(extra=_RAW | self.extra | kwargs, api=self.api)
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop),
            seed=self.seed if self.seed is not None else run_seed,
            extra=self.extra
            | {name: value for name in _SENT_AS_THEY_ARE if (value := getattr(self, name)) is not None},
        )

    def served_here(self, endpoint: str, revision: str | None) -> "Role":
        """The same role for other weights at an endpoint of this machine, to which no key is sent and which costs nothing."""
        return self.model_copy(
            update={
                "endpoints": [endpoint],
                "revision": revision,
                "weights": [],
                "api_key_env": None,
                "headers": {},
                "service_tier": None,
                "tier_price_factors": None,
                "price_per_million": Price(input=0, output=0),
            }
        )

    def header_variables(self) -> list[str]:
        """The environment variables that `headers` names."""
        return variables_in(self.headers)

    def headers_with(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The headers with the values of their variables, which must all be there."""
        return headers_with(self.headers, variables)

    @property
    def batches(self) -> BatchSettings:
        """How requests are put into batches, as given or by default."""
        return self.batch or BatchSettings.model_validate({})

    @property
    def longest_answer(self) -> int | None:
        """Most tokens of an answer, whichever name the limit is sent by; reasoning models take `max_completion_tokens`."""
        if self.api != "chat":
            return 0
        limits = (self.max_tokens, self.max_completion_tokens, self.extra.get("max_completion_tokens"))
        return max((limit for limit in limits if isinstance(limit, int)), default=None)
