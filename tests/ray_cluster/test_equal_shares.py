"""Limits and budgets that are divided among shards."""

from pathlib import Path

from clairgen.pipeline.generate import Options
from clairgen.ray_cluster.equal_shares import share_of, share_sentence
from clairgen.ray_cluster.spread_run import shard_options
from tests.runs import config


def test_each_shard_gets_its_part_of_every_limit() -> None:
    whole = config(
        "http://127.0.0.1:9/v1",
        Path("tasks.jsonl"),
        target={"requests_per_minute": 100, "tokens_per_minute": 1e6},
        budget_usd=40,
    )
    share = share_of(whole, 8)
    assert (share.models["target"].requests_per_minute, share.models["target"].tokens_per_minute) == (12.5, 125_000)
    assert (share.models["reviser"].requests_per_minute, share.budget_usd) == (None, 5)
    assert share_sentence(whole, 8, 40) == (
        "each of 8 shards gets its share: $5.0000 of $40.00, 12.5 of target's 100 requests a minute, 125,000 of target's 1e+06 "
        "tokens a minute"
    )


def test_one_shard_and_limits_that_are_not_there_are_not_mentioned() -> None:
    whole = config("http://127.0.0.1:9/v1", Path("tasks.jsonl"))
    assert share_sentence(whole, 8, None) is None
    assert share_sentence(whole, 1, 40) is None


def test_the_shares_of_a_budget_are_never_more_than_it() -> None:
    words = shard_options(Options(budget_usd=10, limit=5, retry_failed=True, reuse=("/other",)), 3)
    assert words == ("--budget-usd", "3.333333333", "--limit", "5", "--retry-failed", "--reuse", "/other")
