import pytest

from clairgen.inference.announced_limits import retry_after_seconds

NOW = 1795694400.0  # 2026-11-26T12:00:00Z


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": str(NOW + 20)}, 20.0),
        ({"retry-after": str(int(1000 * (NOW + 20)))}, 20.0),
        ({"retry-after": str(NOW - 20)}, 0.0),
        ({"retry-after": "2026-11-26T12:00:20+00:00"}, 20.0),
        ({"retry-after": "Thu, 26 Nov 2026 12:00:20 GMT"}, 20.0),
        ({"retry-after": "20s"}, 20.0),
        ({"retry-after": "1d"}, 3600.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "1m" * 50_000}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
    ],
)
def test_a_wait_is_read_in_every_form_and_bounded(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == seconds
