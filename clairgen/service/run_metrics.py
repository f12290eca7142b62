"""Metrics of runs for Prometheus, from their logs and databases, so that runs which a terminal started have them too.

Values are bounded in number: a run whose log says nothing new for a quarter of an hour has no series of its own any more, and
of recipes, roles, endpoints and outcomes only so many have a label; the others are added up as `other`.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from clairgen.pipeline.attempt_counts import DurationCounts
from clairgen.pipeline.progress import Counters
from clairgen.service.active_runs import RunsSeen

OTHER: Final = "other"
"""The label of everything beyond the names that have one."""
_MOST_NAMES: Final = 30
_MOST_CHARACTERS: Final = 200
_LARGEST: Final = 2**63
T = TypeVar("T")
_Labelled = Mapping[str, Counters]


def run_families(seen: RunsSeen) -> Iterator[Metric]:
    """The metrics of runs."""
    states = GaugeMetricFamily("clairgen_runs", "Runs in the folder by state.", labels=["state"])
    for state, count in seen.states.items():
        states.add_metric([state], count)
    yield states
    yield GaugeMetricFamily("clairgen_runs_without_series", "Active runs beyond those that have series.", seen.left_out)
    running = GaugeMetricFamily("clairgen_run_running", "Whether a session of the run goes on.", labels=["run"])
    pairs = GaugeMetricFamily("clairgen_pairs", "Pairs of a run by status.", labels=["run", "recipe", "status"])
    active = {_spelled(run.name): run for run in seen.active}  # whole, as long names may differ at their ends
    for run, facts in active.items():
        running.add_metric([run], facts.session.running)
        for recipe, statuses in _grouped(facts.statuses.items()).items():
            for status, counts in _grouped(pair for one in statuses for pair in one.items()).items():
                pairs.add_metric([run, recipe, status], sum(counts))
    yield from (running, pairs)
    known = {run: facts.session.counters for run, facts in active.items()}
    counters = {run: one for run, one in known.items() if one is not None and _fits(dataclasses.asdict(one))}
    for families in (_run_families, _role_families, _endpoint_families, _state_families):
        yield from families(counters)


def group_families(groups: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """What the groups of a coordinator may cost and do, by their overviews; of many, the first."""
    dollars = {
        "budget": GaugeMetricFamily("clairgen_group_budget_usd", "The budget of a group.", labels=["group"]),
        "allotted": GaugeMetricFamily(
            "clairgen_group_allotted_usd", "What its runs may cost by now.", labels=["group"]
        ),
        "spent": GaugeMetricFamily("clairgen_group_spent_usd", "What its runs have spent.", labels=["group"]),
    }
    members = GaugeMetricFamily("clairgen_group_members", "Its runs by state.", labels=["group", "state"])
    for group in groups[:_MOST_NAMES]:
        for name, family in dollars.items():
            if group[f"{name}_usd"] is not None:
                family.add_metric([group["group"]], group[f"{name}_usd"])
        states = Counter(one["state"] for one in group["members"])
        for state in ("at work", "silent", "ended"):
            members.add_metric([group["group"], state], states[state])
    yield from dollars.values()
    yield members


def _run_families(runs: _Labelled) -> Iterator[Metric]:
    spent = GaugeMetricFamily("clairgen_spent_usd", "Dollars that a run has spent.", labels=["run"])
    reserved = GaugeMetricFamily("clairgen_reserved_usd", "The most that what is in flight can cost.", labels=["run"])
    budget = GaugeMetricFamily("clairgen_budget_usd", "The budget of a run that has one.", labels=["run"])
    shared = GaugeMetricFamily(
        "clairgen_shared_budget_usd", "The budget that a run has in common with others.", labels=["run"]
    )
    used = GaugeMetricFamily("clairgen_shared_budget_used_usd", "Spent and reserved of that by all.", labels=["run"])
    commits = HistogramMetricFamily("clairgen_commit_seconds", "How long commits of a run took.", labels=["run"])
    lag = GaugeMetricFamily("clairgen_copy_lag_seconds", "Age of the last state of a run in its copy.", labels=["run"])
    failures = CounterMetricFamily("clairgen_copy_failures", "Times that the copy was not brought up.", labels=["run"])
    for run, counters in runs.items():
        spent.add_metric([run], counters.money.spent_usd)
        reserved.add_metric([run], counters.money.reserved_usd)
        if counters.money.budget_usd is not None:
            budget.add_metric([run], counters.money.budget_usd)
        if counters.money.shared_budget_usd is not None:
            shared.add_metric([run], counters.money.shared_budget_usd)
            used.add_metric([run], counters.money.shared_used_usd)
        if counters.commits is not None:
            _add_histogram(commits, [run], [counters.commits])
        if counters.copy is not None:
            failures.add_metric([run], counters.copy.failures)
            if counters.copy.behind_seconds is not None:
                lag.add_metric([run], counters.copy.behind_seconds)
    yield from (spent, reserved, budget, shared, used, commits, lag, failures)


def _role_families(runs: _Labelled) -> Iterator[Metric]:
    labels = ["run", "role"]
    tokens = CounterMetricFamily("clairgen_tokens", "Tokens that were counted.", labels=[*labels, "direction"])
    cost = CounterMetricFamily("clairgen_cost_usd", "Dollars paid in the session.", labels=labels)
    reused = CounterMetricFamily("clairgen_completions_reused", "Completions found in the store.", labels=labels)
    given_up = CounterMetricFamily("clairgen_requests_given_up", "Requests without a completion.", labels=labels)
    in_flight = GaugeMetricFamily("clairgen_requests_in_flight", "Requests in flight.", labels=labels)
    waiting = GaugeMetricFamily("clairgen_requests_waiting", "Requests that wait to be sent.", labels=labels)
    for run, counters in runs.items():
        for role, known in _grouped(counters.roles.items()).items():
            tokens.add_metric([run, role, "input"], sum(one.prompt_tokens for one in known))
            tokens.add_metric([run, role, "output"], sum(one.completion_tokens for one in known))
            cost.add_metric([run, role], sum(one.cost_usd or 0.0 for one in known))
            reused.add_metric([run, role], sum(one.stored for one in known))
            given_up.add_metric([run, role], sum(one.failed for one in known))
            in_flight.add_metric([run, role], sum(one.in_flight for one in known))
            waiting.add_metric([run, role], sum(one.waiting for one in known))
    yield from (tokens, cost, reused, given_up, in_flight, waiting)


def _endpoint_families(runs: _Labelled) -> Iterator[Metric]:
    labels = ["run", "role", "endpoint"]
    requests = CounterMetricFamily("clairgen_requests", "Attempts that ended.", labels=[*labels, "outcome"])
    seconds = HistogramMetricFamily("clairgen_answer_seconds", "How long answers took.", labels=labels)
    for run, counters in runs.items():
        for role, known in _grouped(counters.roles.items()).items():
            attempts = ((_short(endpoint), one) for of_role in known for endpoint, one in of_role.attempts.items())
            for endpoint, of_endpoint in _grouped(attempts).items():
                _add_histogram(seconds, [run, role, endpoint], [one.answer_seconds for one in of_endpoint])
                for outcome, counts in _grouped(pair for one in of_endpoint for pair in one.outcomes.items()).items():
                    requests.add_metric([run, role, endpoint, outcome], sum(counts))
    yield from (requests, seconds)


def _state_families(runs: _Labelled) -> Iterator[Metric]:
    labels = ["run", "role", "endpoint"]
    slots = GaugeMetricFamily("clairgen_endpoint_slots", "Requests that may be in flight at once now.", labels=labels)
    limits = GaugeMetricFamily(
        "clairgen_endpoint_limit_per_minute", "Rate limits that are kept to now.", labels=[*labels, "unit"]
    )
    breakers = GaugeMetricFamily(
        "clairgen_endpoint_circuit_breakers", "Endpoints by state of the circuit breaker.", labels=[*labels, "state"]
    )
    for run, counters in runs.items():
        for role, known in _grouped(counters.roles.items()).items():
            states = ((_short(one.name), one) for of_role in known for one in of_role.endpoints)
            for endpoint, of_endpoint in _grouped(states).items():
                at = [run, role, endpoint]
                slots.add_metric(at, sum(one.concurrency_limit for one in of_endpoint))
                for unit, found in (
                    ("requests", [one.requests_per_minute for one in of_endpoint]),
                    ("tokens", [one.tokens_per_minute for one in of_endpoint]),
                ):
                    if None not in found:
                        limits.add_metric([*at, unit], sum(limit or 0 for limit in found))
                for state, count in _grouped((one.circuit_breaker, 1) for one in of_endpoint).items():
                    breakers.add_metric([*at, state], sum(count))
    yield from (slots, limits, breakers)


def _add_histogram(family: HistogramMetricFamily, labels: Sequence[str], counted: Sequence[DurationCounts]) -> None:
    """Add what was counted in the same buckets; those of a log that no version of clairgen wrote may be none."""
    sound = [one for one in counted if _is_sound(one)]
    alike = [one for one in sound if one.bounds == sound[0].bounds]
    if not alike:
        return
    totals = accumulate(map(sum, zip(*(one.counts for one in alike), strict=True)))
    names = [*map(floatToGoString, alike[0].bounds), "+Inf"]
    family.add_metric(labels, list(zip(names, totals, strict=True)), sum(one.seconds for one in alike))


def _is_sound(one: DurationCounts) -> bool:
    is_rising = list(one.bounds) == sorted(set(one.bounds)) and all(map(math.isfinite, one.bounds))
    return is_rising and len(one.counts) == len(one.bounds) + 1


def _grouped(named: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """Values by the label of their name; what comes after the first names has the label `other`."""
    groups: dict[str, list[T]] = {}
    for name, value in named:
        label = _label(name)
        groups.setdefault(label if label in groups or len(groups) < _MOST_NAMES else OTHER, []).append(value)
    return groups


def _label(text: str) -> str:
    """A name as a label, without the end of a long one."""
    return _spelled(text)[:_MOST_CHARACTERS]


def _spelled(text: str) -> str:
    """A text in which what no UTF-8 can hold is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _short(endpoint: str) -> str:
    """An endpoint without what is secret or of no use in a label: user, query, the folders of a model on this machine."""
    kind, colon, place = endpoint.partition(":")
    if not place.startswith("//"):
        return f"{kind}{colon}{place.rpartition('/')[2]}"
    address = place.removeprefix("//").partition("?")[0].partition("#")[0]
    host, slash, path = address.partition("/")
    return f"{kind}://{host.rpartition('@')[2]}{slash}{path}"


def _fits(value: object) -> bool:
    """Whether all numbers in a value are such as a metric can have; a log that somebody wrote by hand may have others."""
    if isinstance(value, Mapping):
        return all(map(_fits, value.values()))
    if isinstance(value, tuple | list):
        return all(map(_fits, value))
    return not isinstance(value, int) or abs(value) < _LARGEST
