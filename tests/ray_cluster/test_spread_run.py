"""What each shard of a run is given, what a run keeps from its first command on, and what does not go with shards."""

from pathlib import Path

import pytest

from clairgen.coordination.coordinator_client import CoordinatorAddress
from clairgen.errors import ConfigError, RunError
from clairgen.pipeline.generate import Options
from clairgen.ray_cluster import OnRay
from clairgen.ray_cluster.equal_shares import share_of, share_sentence
from clairgen.ray_cluster.spread_run import SpreadRun, check_options, copy_of, shard_options
from clairgen.task_shard import TaskShard
from tests.runs import TARGET, config

AT = CoordinatorAddress("http://head:8321", group="mine")


def test_each_shard_gets_its_part_of_every_limit() -> None:
    whole = config(
        "http://127.0.0.1:9/v1",
        Path("tasks.jsonl"),
        target={"requests_per_minute": 100, "tokens_per_minute": 1e6, "concurrency": 20},
        budget_usd=40,
    )
    share = share_of(whole, 8, None)
    assert (share.models["target"].requests_per_minute, share.models["target"].tokens_per_minute) == (12.5, 125_000)
    assert (share.models["reviser"].requests_per_minute, share.budget_usd) == (None, 5)
    assert share.models["target"].concurrency == 2
    assert share_sentence(whole, 8, None, 40) == (
        "each of 8 shards gets its share: $5.0000 of $40.00, 12.5 of target's 100 requests a minute, 125,000 of target's 1e+06 "
        "tokens a minute, 2 of target's 20 requests at once"
    )


def test_concurrency_is_divided_where_all_shards_ask_one_server() -> None:
    def shares(url: str, served: str | None = None) -> list[int | None]:
        role = {"concurrency": 12}
        share = share_of(config(url, Path("tasks.jsonl"), target=role, reviser=role), 8, served)
        return [share.models[name].concurrency for name in ("target", "reviser")]

    assert shares("https://api.example.com/v1") == [1, 1]
    assert shares("http://localhost:8000/v1") == [12, 12]  # each machine has one of its own
    assert shares("http://localhost:8000/v1", TARGET) == [1, 12]
    paid = config("https://api.example.com/v1", Path("tasks.jsonl"), target={"concurrency": 3})
    assert share_of(paid, 8, None).models["target"].concurrency == 1


def test_one_shard_and_limits_that_are_not_there_are_not_mentioned() -> None:
    whole = config("http://127.0.0.1:9/v1", Path("tasks.jsonl"))
    assert share_sentence(whole, 8, None, None) is None
    assert share_sentence(whole, 1, None, 40) is None


def test_the_shares_of_a_budget_are_never_more_than_it() -> None:
    words = shard_options(Options(budget_usd=10, limit=5, retry_failed=True, reuse=("/other",)), 3, 2.0)
    assert words == (
        "--budget-usd",
        "3.333333333",
        "--jobs",
        "1",
        "--limit",
        "5",
        "--retry-failed",
        "--reuse",
        "/other",
    )


def test_a_run_keeps_the_number_of_its_shards_and_the_place_of_their_copies(tmp_path: Path) -> None:
    run, options = SpreadRun(tmp_path / "run"), Options(copy_to="s3://bucket/run")
    run.create()
    assert [run.settled(named, 5, options, OnRay()).shards for named in (3, 4, None)] == [3, 4, 5]
    run.keep(run.settled(None, 3, options, OnRay()))
    assert run.settled(None, 5, options, OnRay()).shards == 3
    with pytest.raises(ConfigError, match=r"--shards 4 is given, and the run was begun with 3; go on with 3"):
        run.settled(4, 5, options, OnRay())
    with pytest.raises(ConfigError, match=r"the run was begun with --copy-to s3://bucket/run; go on so"):
        run.settled(None, 5, Options(), OnRay())
    for odd in ("", "[]", '{"shards": 2}'):
        (run.shards / "shards.json").write_text(odd)
        with pytest.raises(RunError, match=r"shards\.json cannot be read: "):
            run.settled(None, 5, options, OnRay())


def test_a_run_keeps_what_knows_the_money_of_its_shards(tmp_path: Path) -> None:
    ways = {
        "--no-coordinator": (Options(), OnRay(no_coordinator=True)),
        "a coordinator of its own": (Options(), OnRay()),
        "--coordinator URL": (Options(coordinator=AT), OnRay()),
    }
    for name, (options, on_ray) in ways.items():
        run = SpreadRun(tmp_path / name)
        run.create()
        run.keep(run.settled(3, 1, options, on_ray))
        for other, (others_options, others_on_ray) in ways.items():
            if other == name:
                assert run.settled(None, 1, options, on_ray).shards == 3
                continue
            with pytest.raises(
                ConfigError, match=f"the run was begun with {name}, and what its shards may spend is known"
            ):
                run.settled(None, 1, others_options, others_on_ray)


def test_an_estimate_knows_nothing_of_shards_that_are_not_merged(tmp_path: Path) -> None:
    run = SpreadRun(tmp_path / "run")
    run.create()
    settled = run.settled(2, 1, Options(), OnRay())
    run.require_nothing_unmerged()
    run.keep(settled)
    with pytest.raises(RunError, match="have begun and are not merged yet"):
        run.require_nothing_unmerged()


def test_a_coordinated_budget_is_not_divided() -> None:
    words = shard_options(Options(budget_usd=10, coordinator=AT, jobs=3), 3, 1.0)
    at = ("--coordinator", "http://head:8321", "--take-over", "--group", "mine")
    assert words == (*at, "--budget-usd", "10", "--jobs", "3")
    assert "--no-budget" not in shard_options(Options(no_budget=True, coordinator=AT), 3, 1.0)


def test_each_shard_has_a_copy_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shard = TaskShard(3, 8)
    assert copy_of("s3://bucket/run/", shard) == "s3://bucket/run/shard-3-of-8"
    assert copy_of("copies", shard) == f"{tmp_path}/copies/shard-3-of-8"
    assert copy_of(None, shard) is None


@pytest.mark.parametrize(
    ("options", "on_ray", "said"),
    [
        (Options(shard=TaskShard(1, 2)), OnRay(), "--shard makes one shard and --on ray makes all of them"),
        (Options(detach=True), OnRay(), "--detach leaves a run to its batches"),
        (Options(no_copy=True), OnRay(), "--no-copy lets one run go on alone"),
        (Options(), OnRay(local_folder=Path("/x")), "--local-folder is lost with its node, so it needs --copy-to"),
        (Options(), OnRay(vllm_gpus=2), "options of vLLM are given, and no model for it; name one with --vllm"),
        (Options(coordinator=AT), OnRay(no_coordinator=True), "--no-coordinator is given, and --coordinator or"),
        (Options(coordinator=AT, no_budget=True), OnRay(), "with --coordinator the budget is the group's"),
        (Options(), OnRay(address="local", nodes=3), "which --nodes 3 would wait for in vain"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: Options, on_ray: OnRay, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_options(options, on_ray)
