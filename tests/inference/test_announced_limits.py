import pytest

from clairgen.inference.announced_limits import RateLimits, announced_limits


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({"limit-requests": "6000", "remaining-requests": "5999", "reset-requests": "10ms"}, RateLimits(6000.0)),
        ({"limit-tokens": "90000", "limit-requests": "60"}, RateLimits(60.0, 90000.0)),
        (
            {"limit-requests": "14400", "remaining-requests": "14370", "reset-requests": "2m59.56s"},
            RateLimits(),
        ),  # of a day
        ({"limit-requests": "60", "remaining-requests": "0", "reset-requests": "6m0s"}, RateLimits(None, None, 360.0)),
        ({"limit-tokens": "600", "remaining-tokens": "0", "reset-tokens": "1.5"}, RateLimits(None, 600.0, 1.5)),
        ({"limit-requests": "many", "reset-requests": "soon"}, RateLimits()),
        ({"limit-requests": "inf"}, RateLimits()),
    ],
)
def test_announced_limits_are_those_of_a_minute(headers: dict[str, str], limits: RateLimits) -> None:
    assert announced_limits({f"x-ratelimit-{name}": value for name, value in headers.items()}) == limits


def test_an_answer_without_such_headers_announces_nothing() -> None:
    assert announced_limits({"content-type": "application/json", "retry-after": "3"}) is None
