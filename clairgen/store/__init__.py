"""The store: every answer that was paid for, in SQLite. All SQL lives in this package."""

from clairgen.store.advice import AdviceNumbers, PairAdvice
from clairgen.store.completions import Attempt, RoleNumbers, Sent, UsageSample, now
from clairgen.store.directory import RunDirectory
from clairgen.store.facts import Plan, fact_row
from clairgen.store.filter_sets import FilterResult
from clairgen.store.pair_rows import MadePair
from clairgen.store.pairs import Failure
from clairgen.store.schema import Statement
from clairgen.store.spending import Call, Spending, Spent
from clairgen.store.store import Store, migrate, reading, writing
from clairgen.store.tasks import PendingTask

__all__ = [
    "AdviceNumbers",
    "Attempt",
    "Call",
    "Failure",
    "FilterResult",
    "MadePair",
    "PairAdvice",
    "PendingTask",
    "Plan",
    "RoleNumbers",
    "RunDirectory",
    "Sent",
    "Spending",
    "Spent",
    "Statement",
    "Store",
    "UsageSample",
    "fact_row",
    "migrate",
    "now",
    "reading",
    "writing",
]
