import datetime
import json
import re
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from clairgen.config.prices import (
    PICODOLLARS,
    TEMPLATE_TOKENS,
    batch_price,
    check_budget,
    cost_usd,
    dollars,
    max_cost,
    picodollars,
    price_quote,
    with_prices,
)
from clairgen.config.role import Price, Role
from clairgen.errors import ConfigError
from clairgen.inference.openai_format import request_body
from clairgen.records import Message, Usage
from docs.generator.further_prices import further_prices

OPENAI, ELSEWHERE = "https://api.openai.com/v1", "http://gpu1:8000/v1"


def role(*endpoints: str, model: str = "gpt-4.1", price: Price | None = None, max_tokens: int | None = None) -> Role:
    return Role(model=model, endpoints=list(endpoints), price_per_million=price, max_tokens=max_tokens)


def test_a_listed_model_costs_what_its_provider_says() -> None:
    found = price_quote(role(OPENAI))
    assert found is not None
    assert (found.price.input, found.price.output) == (2, 8)
    assert found.source.startswith("https://")


def test_the_configuration_overrides_the_table() -> None:
    found = price_quote(role(OPENAI, price=Price(input=1, output=2)))
    assert found is not None
    assert (found.price.input, found.source) == (1, "price_per_million")


@pytest.mark.parametrize(
    "unlisted",
    [role(ELSEWHERE), role(OPENAI, model="gpt-4.1-new"), role(OPENAI, ELSEWHERE), role("http://10.0.0.1/v1")],
)
def test_what_is_not_listed_has_no_price(unlisted: Role) -> None:
    assert price_quote(unlisted) is None


def test_models_that_clairgen_serves_are_free() -> None:
    free = with_prices({"target": role("classroom:student", model="student")})["target"]
    assert free.price_per_million == Price(input=0, output=0)
    check_budget({"target": free})  # needs no max_tokens


def test_every_listed_price_has_a_page_and_a_day() -> None:
    listed = yaml.safe_load((Path(__file__).parents[2] / "data" / "prices.yaml").read_text())
    for provider in listed:
        for part in [provider["tiers"]] if "tiers" in provider else []:
            assert part["source"].startswith("https://")
            assert isinstance(part["seen"], datetime.date)
        if "models" not in provider:
            assert "tiers" in provider
            continue
        assert provider["source"].startswith("https://")
        assert isinstance(provider["seen"], datetime.date)
        for price in provider["models"].values():
            assert 0 < price["input"] <= price["output"]


def test_what_a_package_knows_fills_the_table_and_our_own_prices_win() -> None:
    further = json.loads((Path(__file__).parents[2] / "data" / "further_prices.json").read_text())
    for provider in further:
        assert re.match(r"https://.+ as genai-prices [\d.]+ has it", provider["source"])
        assert datetime.date.fromisoformat(provider["seen"]) >= datetime.date(2026, 11, 27)
        assert all(0 < price["input"] <= price["output"] for price in provider["models"].values())
    [openai] = [one["models"] for one in further if one["host"] == "api.openai.com"]
    filled, own = price_quote(role(OPENAI, model="gpt-5")), price_quote(role(OPENAI))
    assert filled is not None and own is not None
    assert (filled.price.model_dump(), "genai-prices" in filled.source) == (openai["gpt-5"], True)
    assert "gpt-4.1" in openai and "genai-prices" not in own.source


def test_batches_of_models_that_a_package_prices_cost_the_direct_price_unless_our_own_table_says_less() -> None:
    mistral = role("https://api.mistral.ai/v1", model="mistral-large-latest")
    for asked, factor in ((mistral, 1), (role(OPENAI, model="gpt-5"), 0.5)):
        [priced] = with_prices({"target": asked}).values()
        direct, batch = priced.price_per_million, batch_price(priced)
        assert direct is not None and batch is not None
        assert (batch.input, batch.output) == (direct.input * factor, direct.output * factor)


def test_only_prices_that_hold_for_every_request_are_taken_from_the_package() -> None:
    def model(name: str, prices: Any, *others: str) -> Any:  # noqa: ANN401 - shapes of the package
        named = [SimpleNamespace(equals=one) for one in (name, *others)]
        return SimpleNamespace(match=SimpleNamespace(or_=[*named, SimpleNamespace(starts_with=name)]), prices=prices)

    flat = SimpleNamespace(input_mtok=Decimal("0.5"), output_mtok=Decimal(2), cache_read_mtok=Decimal("0.1"))
    by_length = SimpleNamespace(input_mtok=SimpleNamespace(base=Decimal(1), tiers=[]), output_mtok=Decimal(9))
    a_request = SimpleNamespace(input_mtok=Decimal(1), output_mtok=Decimal(2), requests_kcount=Decimal(5))
    free = SimpleNamespace(input_mtok=Decimal(0), output_mtok=Decimal(0))
    embedding = SimpleNamespace(input_mtok=Decimal(1), output_mtok=None)
    models = [
        *(model("m", flat, "m-latest"), model("long", by_length), model("hourly", [flat, flat])),
        *(model("asked", a_request), model("free", free), model("embedding", embedding)),
    ]
    known = [
        SimpleNamespace(id=name, api_pattern=pattern, pricing_urls=["https://a.example/prices"], models=models)
        for name, pattern in (
            ("groq", r"https://api\.groq\.com"),
            ("openai", r"https://(api\.)?a\.com"),
            ("other", "https://b"),
        )
    ]
    [entry] = further_prices(known, "genai-prices 1.0", datetime.date(2026, 11, 27))
    price = {"input": 0.5, "output": 2.0}
    assert (entry["host"], entry["models"]) == ("api.groq.com", {"m": price, "m-latest": price})


@pytest.mark.slow
def test_sums_are_exact() -> None:
    price = Price(input=0.1, output=1.1)  # neither is a binary fraction
    assert picodollars(price, 3, 7) == 3 * 100_000 + 7 * 1_100_000
    assert sum(picodollars(price, 1, 1) for _ in range(1_000_000)) == int(1.2 * PICODOLLARS)
    assert cost_usd(Usage(1_000_000, 1_000_000), price) == 1.2


def test_without_a_price_or_a_count_there_is_no_cost() -> None:
    assert cost_usd(Usage(10, 10), None) is None
    assert cost_usd(Usage(None, None), Price(input=1, output=1)) is None


@pytest.mark.parametrize("text", ["", "a", "\x00" * 50, "😀" * 50, '\\"\n' * 30, "ﷺ"])
def test_the_bound_holds_for_a_tokenizer_that_makes_a_token_of_every_byte(text: str) -> None:
    asked = role(OPENAI, max_tokens=7)
    asked = asked.model_copy(update={"price_per_million": Price(input=1, output=1)})
    body = request_body(asked.model, [Message("user", text)], asked.sampling(0), seed=1)
    most = max_cost(asked, body)
    assert most is not None
    assert most >= picodollars(Price(input=1, output=1), len(text.encode()) + TEMPLATE_TOKENS, 7)


def test_the_limit_of_reasoning_models_bounds_an_answer_too() -> None:
    thinks = Role(model="m", endpoints=[ELSEWHERE], extra={"max_completion_tokens": 900}, max_tokens=10)
    assert thinks.longest_answer == 900
    assert role(ELSEWHERE).longest_answer is None


def test_a_budget_needs_a_price_and_max_tokens() -> None:
    with pytest.raises(ConfigError, match=r"none is known for models.reviser \(gpt-4.1\); give it price_per_million"):
        check_budget(with_prices({"reviser": role(ELSEWHERE, max_tokens=10)}))
    with pytest.raises(ConfigError, match=r"needs max_tokens in models.reviser"):
        check_budget(with_prices({"reviser": role(OPENAI)}))


def test_dollars_are_written_as_precisely_as_they_matter() -> None:
    assert [dollars(amount) for amount in (1234.5, 0.00123)] == ["$1,234.50", "$0.0012"]
