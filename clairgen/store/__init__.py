"""The store: every completion, and what was made of them, in SQLite. All SQL is in this package."""

from clairgen.store.advice import AdviceNumbers, PairAdvice
from clairgen.store.chosen_pairs import PairChoice
from clairgen.store.completions import Attempt, RoleNumbers, Sent, Thoughts, UsageSample, now
from clairgen.store.directory import RunDirectory, runs_inside
from clairgen.store.evaluations import EvaluationNumbers, EvaluationRecord, ItemRecord
from clairgen.store.imported_pairs import Identity, ImportedPair, PairTexts
from clairgen.store.judgements import JudgeReply
from clairgen.store.metadata import IMPORTED, FilterResult, Plan, metadata_row
from clairgen.store.pair_rows import MadePair
from clairgen.store.pairs import Failure
from clairgen.store.scores import ScoreNumbers, ScoreReply
from clairgen.store.shard_merger import Differing, MergedShard, MergeRecord, merging
from clairgen.store.source_index import SourceIndex
from clairgen.store.spending import Call, Spending, Spent
from clairgen.store.statements import Statement
from clairgen.store.store import Store, migrate, reading, writing
from clairgen.store.tasks import PendingTask
from clairgen.store.votes import CastVote, Vote, VoteNumbers, majority, note_fault, voter_fault

__all__ = [
    "IMPORTED",
    "AdviceNumbers",
    "Attempt",
    "Call",
    "CastVote",
    "Differing",
    "EvaluationNumbers",
    "EvaluationRecord",
    "Failure",
    "FilterResult",
    "Identity",
    "ImportedPair",
    "ItemRecord",
    "JudgeReply",
    "MadePair",
    "MergeRecord",
    "MergedShard",
    "PairAdvice",
    "PairChoice",
    "PairTexts",
    "PendingTask",
    "Plan",
    "RoleNumbers",
    "RunDirectory",
    "ScoreNumbers",
    "ScoreReply",
    "Sent",
    "SourceIndex",
    "Spending",
    "Spent",
    "Statement",
    "Store",
    "Thoughts",
    "UsageSample",
    "Vote",
    "VoteNumbers",
    "majority",
    "merging",
    "metadata_row",
    "migrate",
    "note_fault",
    "now",
    "reading",
    "runs_inside",
    "voter_fault",
    "writing",
]
