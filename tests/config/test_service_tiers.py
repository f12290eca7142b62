import pytest

from clairgen.config.prices import check_budget
from clairgen.config.role import Role
from clairgen.config.service_tiers import TierPrices, tier_prices
from clairgen.errors import ConfigError

OPENAI = "https://api.openai.com/v1"
AZURE = "https://me.openai.azure.com/openai/v1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai"
GROQ = "https://api.groq.com/openai/v1"
VLLM = "http://gpu1:8000/v1"


def role(*endpoints: str, **changes: object) -> Role:
    given = {
        "model": "m",
        "endpoints": list(endpoints),
        "price_per_million": {"input": 2, "output": 8},
        "max_tokens": 9,
    }
    return Role.model_validate(given | changes)


@pytest.mark.parametrize(
    ("endpoints", "factors"),
    [
        ([OPENAI], {"flex": 0.5, "priority": 2.5}),
        ([AZURE], {"flex": 0.5, "priority": 2.5}),
        (["https://me.services.ai.azure.com/openai/v1"], {"flex": 0.5, "priority": 2.5}),
        ([GEMINI], {"flex": 0.5, "priority": 2}),
        ([GROQ], {"flex": 1, "auto": 1}),
        ([OPENAI, GEMINI], {"flex": 0.5, "priority": 2.5}),
        ([GROQ, OPENAI], {"flex": 1}),
        (["https://openai.azure.com.example.org/v1"], {}),
        ([OPENAI, VLLM], {}),
    ],
)
def test_tiers_cost_what_their_providers_say_and_of_several_the_highest(
    endpoints: list[str], factors: dict[str, float]
) -> None:
    assert tier_prices(role(*endpoints)).factors == factors


def test_a_model_with_factors_of_its_own_has_those() -> None:
    assert tier_prices(role(OPENAI, model="gpt-4.1")).factors == {"flex": 0.5, "priority": 1.75}


def test_the_configuration_overrides_the_table() -> None:
    found = tier_prices(role(OPENAI, service_tier="priority", tier_price_factors={"priority": 1.7}))
    assert (found.factors, found.expected, found.source) == ({"priority": 1.7}, 1.7, "tier_price_factors")


@pytest.mark.parametrize(
    ("requested", "expected", "most"),
    [
        (None, 1, 1),
        ("flex", 0.5, 1),
        ("priority", 2.5, 2.5),
        ("auto", 1, 2.5),
        ("default", 1, 1),
        ("performance", 1, 2.5),
    ],
)
def test_the_most_counts_that_a_tier_may_fall_back_and_that_auto_may_be_any(
    requested: str | None, expected: float, most: float
) -> None:
    found = TierPrices(requested, {"flex": 0.5, "priority": 2.5})
    assert (found.expected, found.most) == (expected, most)


@pytest.mark.parametrize(
    ("requested", "said", "factor", "is_known"),
    [
        (None, None, 1, True),
        (None, "default", 1, True),
        (None, "priority", 2.5, True),
        (None, "turbo", 2.5, False),
        ("flex", "flex", 0.5, True),
        ("flex", "default", 1, True),
        ("flex", "on_demand", 1, True),
        ("flex", None, 1, False),
        ("flex", "auto", 2.5, False),
        ("priority", "standard", 1, True),
        ("priority", None, 2.5, False),
        ("flex", "FLEX", 0.5, True),
        ("priority", "Standard", 1, True),
    ],
)
def test_the_tier_counts_that_was_used_and_an_unknown_word_is_the_dearest(
    requested: str | None, said: str | None, factor: float, is_known: bool
) -> None:
    assert TierPrices(requested, {"flex": 0.5, "priority": 2.5}).of_answer(said) == (factor, is_known)


def test_an_unknown_word_is_the_dearest_tier_of_any_endpoint() -> None:
    for endpoints in ((OPENAI, VLLM), (GROQ, OPENAI)):
        assert tier_prices(role(*endpoints)).of_answer("priority") == (2.5, False)


def test_a_tier_in_extra_leaves_the_price_as_it_is_given() -> None:
    found = tier_prices(role(OPENAI, extra={"service_tier": "flex"}))
    assert [found.of_answer(said) for said in ("flex", "default", None)] == [(1, True)] * 3


def test_flex_waits_a_quarter_of_an_hour_unless_told_otherwise() -> None:
    assert role(OPENAI).timeout_seconds == role(OPENAI, service_tier="priority").timeout_seconds == 600
    assert role(OPENAI, service_tier="flex").timeout_seconds == 900
    assert role(OPENAI, service_tier="flex", timeout_seconds=600).timeout_seconds == 600


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoints": ["gguf:small.gguf"], "service_tier": "flex"}, "serves itself"),
        ({"service_tier": "flex", "extra": {"service_tier": "flex"}}, "give it once"),
        ({"service_tier": "cheap"}, "'flex'"),
        ({"api": "score", "service_tier": "flex", "max_tokens": None}, "no `service_tier`"),
    ],
)
def test_a_tier_that_means_nothing_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        role(OPENAI, **changes)


def test_a_budget_needs_to_know_what_a_dearer_tier_costs() -> None:
    check_budget({"judge": role(AZURE, service_tier="flex"), "reviser": role(VLLM, service_tier="flex")})
    with pytest.raises(ConfigError, match=r"service_tier: priority costs in models.judge; give it tier_price_factors"):
        check_budget({"judge": role(VLLM, service_tier="priority")})
    check_budget({"judge": role(VLLM, service_tier="priority", tier_price_factors={"priority": 2})})
