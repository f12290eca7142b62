import pytest

from clairgen.config.differences import Difference, differences
from clairgen.config.role import Role
from clairgen.pipeline.config_changes import may_change_requests
from clairgen.pipeline.plans import role_facts


def test_a_key_with_a_dot_or_a_word_like_changed_misleads_nobody() -> None:
    [found] = differences({"models": {"a changed": {"endpoints": 1}}}, {"models": {"a changed": {"endpoints": 2}}})
    assert found.path == ("models", "a changed", "endpoints")
    assert not may_change_requests(found)


def test_every_setting_that_shapes_a_role_s_requests_is_one_that_may_change_them() -> None:
    role = Role.model_validate(
        {
            "model": "m",
            "endpoints": ["http://x/v1"],
            "temperature": 1,
            "top_p": 0.5,
            "max_tokens": 9,
            "stop": ["x"],
            "extra": {"min_p": 0.1},
        }
    )
    for name in role_facts(role, seed=0):
        assert may_change_requests(Difference(("models", "target", name), 1, 2)), name


@pytest.mark.parametrize("name", ["endpoints", "api_key_env", "price_per_million", "concurrency", "service_tier"])
def test_where_a_role_is_served_changes_no_request(name: str) -> None:
    assert not may_change_requests(Difference(("models", "target", name), 1, 2))


@pytest.mark.parametrize(
    ("path", "may"),
    [
        (("models", "judge"), True),
        (("models", "others"), True),
        (("recipes",), True),
        (("tasks", "path"), True),
        (("filters", "empty", "action"), True),
        (("budget_usd",), False),
    ],
)
def test_what_else_may_change_requests(path: tuple[str, ...], may: bool) -> None:
    assert may_change_requests(Difference(path, 1, 2)) is may
