"""The configuration of a run, every key explained. Secrets are named by their environment variable and never stored.

`config_file` reads it from YAML.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from clairgen.filters.settings import FilterSettings
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.records import Sampling
from clairgen.text import is_encodable

RoleName = Annotated[str, Field(pattern=r"^(target|reviser|judge(-\d+)?|stronger|other-\d+)$")]
Positive = Annotated[int, Field(gt=0)]
_URL_SCHEMES = ("http://", "https://", "gguf:", "classroom:")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _texts_can_be_written(cls, value: object) -> object:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str | Path) and ("\0" in str(text) or not is_encodable(str(text))):
                raise ValueError("it holds a NUL character or half a surrogate pair, which is no text; mend it")
        return value


_SETTABLE = {"temperature", "top_p", "max_tokens", "stop", "seed", "model"}
_OWN_FIELDS = _SETTABLE | {"messages", "stream", "n"}


class Price(_Strict):
    """What a million tokens cost."""

    input: float = Field(ge=0, description="US dollars per million prompt tokens.")
    output: float = Field(ge=0, description="US dollars per million answer tokens.")


class Role(_Strict):
    """A model in a role, and where it is served."""

    model: str = Field(min_length=1, description="The model's name, as its server knows it.")
    endpoints: list[str] = Field(
        min_length=1,
        description="Base URLs that serve it (up to /v1); or `gguf:PATH`, or `classroom:student`, served by clairgen itself.",
    )
    revision: str | None = Field(
        None,
        description="Names the weights; set it when they change under one name, so that old answers are not reused.",
    )
    api_key_env: str | None = Field(
        None, description="The environment variable that holds the API key, if one is needed."
    )
    temperature: float | None = Field(None, ge=0, description="Sampling temperature; left out, the server's default.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling; left out, the server's default.")
    max_tokens: Positive | None = Field(
        None, le=10**8, description="Most tokens of an answer; an answer that hits it is `truncated`."
    )
    stop: list[str] = Field(default_factory=list, description="Texts at which an answer ends.")
    seed: int | None = Field(None, description="Overrides the run's seed for this role.")
    send_seed: bool = Field(True, description="Send a seed with every ask; turn off for servers that refuse the field.")
    system: str | None = Field(None, description="System message for tasks that bring none of their own.")
    extra: dict[str, Any] = Field(
        default_factory=dict, description="Further fields of the request, passed on as they are."
    )
    weights: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list,
        description="Asks in flight at each endpoint beside the others, in their order; left out, as many as each takes.",
    )
    timeout_seconds: float = Field(
        600, gt=0, le=86_400, description="Longest time for one answer; raise it for long ones."
    )
    first_byte_seconds: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="Longest wait for an answer's first byte, and then each next; else as the whole.",
    )
    connect_seconds: float = Field(15, gt=0, le=3600, description="Longest time for a connection.")
    patience_seconds: float = Field(
        300,
        ge=0,
        le=604_800,
        description="How long all endpoints may be down before the run stops; it can be continued.",
    )
    concurrency: Positive | None = Field(
        None, description="Most asks in flight at each endpoint; left out, it finds its own level."
    )
    requests_per_minute: float | None = Field(None, gt=0, description="The provider's limit for each endpoint, if any.")
    tokens_per_minute: float | None = Field(None, gt=0, description="The provider's limit for each endpoint, if any.")
    burst: float = Field(
        1, ge=1, le=10**6, description="Requests that the limit lets through at once after a quiet time."
    )
    price_per_million: Price | None = Field(
        None, description="Prices in US dollars; left out, those of data/prices.yaml where it lists the model."
    )

    @model_validator(mode="after")
    def _a_weight_for_each_endpoint(self) -> "Role":
        if self.weights and len(self.weights) != len(self.endpoints):
            raise ValueError(
                f"`weights` has {len(self.weights)} numbers for {len(self.endpoints)} endpoints; give one each"
            )
        return self

    @field_validator("endpoints")
    @classmethod
    def _endpoints_are_addresses(cls, endpoints: list[str]) -> list[str]:
        for endpoint in endpoints:
            if not endpoint.startswith(_URL_SCHEMES):
                raise ValueError(
                    f"{endpoint!r} is no endpoint: give a base URL such as http://localhost:8000/v1, "
                    "gguf:PATH for a file that clairgen serves, or classroom:student"
                )
            if endpoint.startswith(("http://", "https://")):
                _check_url(endpoint)
        return [endpoint.rstrip("/") for endpoint in endpoints]

    @field_validator("extra", mode="before")
    @classmethod
    def _extra_is_json(cls, extra: object) -> object:
        for name in _OWN_FIELDS & extra.keys() if isinstance(extra, dict) else ():
            instead = "use the key beside `extra`" if name in _SETTABLE else "leave it out"
            raise ValueError(f"{name!r} is clairgen's own to set; {instead}")
        try:
            return json.loads(json.dumps(extra, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"it holds what JSON cannot: {error}") from error

    def sampling(self, run_seed: int) -> Sampling:
        """How this role's answers are drawn; the seed is part of their content key."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop),
            seed=self.seed if self.seed is not None else run_seed,
            extra=self.extra,
        )

    @property
    def longest_answer(self) -> int | None:
        """Most tokens of an answer, by whichever name the limit is sent; reasoning models take `max_completion_tokens`."""
        limits = (self.max_tokens, self.extra.get("max_completion_tokens"))
        return max((limit for limit in limits if isinstance(limit, int)), default=None)


class RevisionCheck(_Strict):
    """What a revision must measure; one that misses it is asked for once more."""

    length_ratio: tuple[float, float] | None = Field(
        None, description="Characters of chosen / rejected, lowest and highest."
    )
    edit_share: tuple[float, float] | None = Field(
        None, description="Character edits / characters of the longer answer, lowest and highest, from 0 to 1."
    )

    @model_validator(mode="after")
    def _lowest_before_highest(self) -> "RevisionCheck":
        for bounds in (self.length_ratio, self.edit_share):
            if bounds is not None and not 0 <= bounds[0] <= bounds[1]:
                raise ValueError(
                    f"the lowest value stands before the highest, and is not below 0; {list(bounds)} does not fit"
                )
        return self


class RecipeChoice(_Strict):
    """A recipe to make, with its options."""

    name: str = Field(description="The recipe's name, such as `clair`.")
    template: str | None = Field(None, description="A shipped prompt template, or the path of your own (.txt).")
    order: Literal["random", "both"] = Field(
        "random",
        description="How a judge is shown two answers: in a drawn order, or in both, where only agreement counts.",
    )
    check: RevisionCheck | None = Field(
        None,
        description="What a revision must measure, else it is asked for once more; the shipped variants bring their own.",
    )
    samples: int = Field(4, ge=2, le=16, description="How many revisions the best is chosen of.")
    by: Literal["judge", "scores"] = Field(
        "judge", description="Whether a judge chooses between answers of the data set, or the scores recorded in it."
    )


class TaskSource(_Strict):
    """Where the prompts come from: a file (`path`) or a data set on the Hugging Face hub (`hub`)."""

    path: Path | None = Field(
        None, description="A .jsonl, .csv or .parquet file; a relative path counts from this file."
    )
    hub: str | None = Field(None, description="A data set on the Hugging Face hub, as owner/name.")
    subset: str | None = Field(None, description="The hub data set's configuration, if it has several.")
    split: str = Field("train", description="The hub data set's split.")
    column: str | None = Field(None, description="The column with the prompt, if it is not `prompt` or `messages`.")
    answers: str | list[str] | None = Field(
        None,
        description="Answers that the data set brings: a column with a list of objects, as in UltraFeedback, or text columns.",
    )
    scores: str | list[str] | None = Field(
        None,
        description="Their scores: the name of an object's field (overall_score by default), or a column for each answer.",
    )
    sample: Positive | None = Field(None, description="Take so many rows, drawn uniformly by the run's seed.")

    @model_validator(mode="after")
    def _one_source(self) -> "TaskSource":
        if (self.path is None) == (self.hub is None):
            raise ValueError("give exactly one of `path` (a file) and `hub` (a data set on the hub)")
        if isinstance(self.scores, list) and (
            not isinstance(self.answers, list) or len(self.scores) != len(self.answers)
        ):
            raise ValueError("`scores` is a list only beside `answers`, and as long")
        return self


class RunConfig(_Strict):
    """Everything that a run is made from."""

    recipes: list[RecipeChoice] = Field(
        min_length=1, description="What to make of every task; all share their answers."
    )
    seed: int = Field(0, description="Draws the sample of tasks and the seeds of all asks.")
    tasks: TaskSource = Field(description="The prompts.")
    models: dict[RoleName, Role] = Field(
        description="A model for each role that the recipes need; `others`, and `judge` if you like, are lists."
    )
    filters: FilterSettings = Field(
        default_factory=FilterSettings,
        description="What takes a pair out of exports; change it later with `clairgen filter`.",
    )
    budget_usd: float | None = Field(
        None,
        gt=0,
        le=10**6,
        description="What the run may cost at most, ever; needs a price and max_tokens in every role.",
    )
    tokenizer: Literal["treebank", "whitespace", "word"] = Field(
        DEFAULT_TOKENIZER,
        description="Whose tokens the Jaccard index compares; numbers under different ones do not compare.",
    )

    @field_validator("models", mode="before")
    @classmethod
    def _lists_stand_for_numbered_roles(cls, models: object) -> object:
        """`others: [a, b]` are the roles other-1 and other-2; `judge: [a, b]` are judge and judge-2."""
        if not isinstance(models, dict):
            return models
        flat: dict[object, object] = {}
        for name, value in models.items():
            if name not in ("judge", "others"):
                if not re.fullmatch(r"target|reviser|judge-\d+|stronger|other-\d+", str(name)):
                    raise ValueError(
                        f"there is no role {name!r}; there are target, reviser, judge, stronger and others"
                    )
                flat[name] = value
                continue
            for number, role in enumerate(value if isinstance(value, list) else [value], start=1):
                single = "judge" if number == 1 else f"judge-{number}"
                numbered = single if name == "judge" else f"other-{number}"
                if numbered in models and numbered != name:
                    raise ValueError(f"the role {numbered!r} is given twice, by itself and in the list {name!r}")
                flat[numbered] = role
        return flat

    @field_validator("recipes", mode="before")
    @classmethod
    def _names_stand_for_recipes(cls, recipes: object) -> object:
        if isinstance(recipes, list):
            return [{"name": recipe} if isinstance(recipe, str) else recipe for recipe in recipes]
        return recipes

    @field_validator("recipes")
    @classmethod
    def _each_recipe_once(cls, recipes: list[RecipeChoice]) -> list[RecipeChoice]:
        names = [recipe.name for recipe in recipes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the recipe {name!r} is listed twice; list it once")
        return recipes


def _check_url(endpoint: str) -> None:
    """Raise ValueError for a base URL that cannot be asked, or that holds a secret."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{endpoint!r} is no URL: {error}") from error
    if "@" in parts.netloc:
        raise ValueError("an endpoint must not hold a user name or password; name the key's variable in api_key_env")
    if parts.query or parts.fragment:
        raise ValueError("an endpoint is a base URL, without ? or #; other fields of the request go into `extra`")
    if not host or any(character.isspace() for character in endpoint):
        raise ValueError(f"{endpoint!r} names no host; give a base URL such as http://localhost:8000/v1")
