"""The store: every completion, and what was made of them, in SQLite. All SQL is in this package."""

from clairgen.store.advice import AdviceNumbers, PairAdvice
from clairgen.store.attached_shard import MergedShard, MergeRecord, ShardToMerge
from clairgen.store.batches import ANSWERED, Batches, BatchLine, BatchNumbers, BatchRecord, WaitingLine
from clairgen.store.chosen_pairs import PairChoice
from clairgen.store.completions import Attempt, RoleNumbers, Sent, Thoughts, UsageSample, now
from clairgen.store.directory import RunDirectory, runs_inside
from clairgen.store.evaluations import EvaluationNumbers, EvaluationRecord, ItemRecord
from clairgen.store.filter_sets import FilterResult
from clairgen.store.imported_pairs import Identity, ImportedPair, PairTexts
from clairgen.store.index_search import (
    Certainty,
    IndexSearch,
    MetricRange,
    PairCount,
    PairSearch,
    SortKey,
    reading_index,
)
from clairgen.store.index_sync import syncing
from clairgen.store.judgements import JudgeOpinions, JudgeReply
from clairgen.store.metadata import IMPORTED, Plan, metadata_row
from clairgen.store.pair_index import IndexState, index_file
from clairgen.store.pair_rows import MadePair
from clairgen.store.pairs import Failure, summed_counts
from clairgen.store.review_queues import QueueProgress, ReviewQueue
from clairgen.store.revisions import HUMAN_REVISION, REVISION_KINDS, Revision, revision_pair_id
from clairgen.store.scores import ScoreNumbers, ScoreReply
from clairgen.store.search_words import SearchWords, search_words
from clairgen.store.segment_figures import Bins, MetricSums, OutcomeFigures, SegmentFigures, figures_connection
from clairgen.store.segment_manifest import SegmentFolder
from clairgen.store.shard_folder import (
    ShardFacts,
    ShardFolder,
    allow_open_files,
    folder_of,
    reading_all,
    require_all_tasks,
    require_same_filters,
    require_same_plans,
    require_same_run,
    run_shard,
    shard_facts,
    shard_folder,
)
from clairgen.store.shard_merger import SHARDS_AT_ONCE, merging
from clairgen.store.shard_stores import reading_shards, shards_in_words
from clairgen.store.source_index import SourceIndex
from clairgen.store.spending import Call, Spending, Spent
from clairgen.store.statements import Statement
from clairgen.store.store import Store, migrate, reading, short_write, write_columns, writing
from clairgen.store.tasks import PendingTask
from clairgen.store.votes import (
    CastVote,
    RecordedVote,
    Vote,
    VoteNumbers,
    majority,
    note_fault,
    one_spelling,
    vote_numbers,
    voter_fault,
)

__all__ = [
    "ANSWERED",
    "HUMAN_REVISION",
    "IMPORTED",
    "REVISION_KINDS",
    "SHARDS_AT_ONCE",
    "AdviceNumbers",
    "Attempt",
    "BatchLine",
    "BatchNumbers",
    "BatchRecord",
    "Batches",
    "Bins",
    "Call",
    "CastVote",
    "Certainty",
    "EvaluationNumbers",
    "EvaluationRecord",
    "Failure",
    "FilterResult",
    "Identity",
    "ImportedPair",
    "IndexSearch",
    "IndexState",
    "ItemRecord",
    "JudgeOpinions",
    "JudgeReply",
    "MadePair",
    "MergeRecord",
    "MergedShard",
    "MetricRange",
    "MetricSums",
    "OutcomeFigures",
    "PairAdvice",
    "PairChoice",
    "PairCount",
    "PairSearch",
    "PairTexts",
    "PendingTask",
    "Plan",
    "QueueProgress",
    "RecordedVote",
    "ReviewQueue",
    "Revision",
    "RoleNumbers",
    "RunDirectory",
    "ScoreNumbers",
    "ScoreReply",
    "SearchWords",
    "SegmentFigures",
    "SegmentFolder",
    "Sent",
    "ShardFacts",
    "ShardFolder",
    "ShardToMerge",
    "SortKey",
    "SourceIndex",
    "Spending",
    "Spent",
    "Statement",
    "Store",
    "Thoughts",
    "UsageSample",
    "Vote",
    "VoteNumbers",
    "WaitingLine",
    "allow_open_files",
    "figures_connection",
    "folder_of",
    "index_file",
    "majority",
    "merging",
    "metadata_row",
    "migrate",
    "note_fault",
    "now",
    "one_spelling",
    "reading",
    "reading_all",
    "reading_index",
    "reading_shards",
    "require_all_tasks",
    "require_same_filters",
    "require_same_plans",
    "require_same_run",
    "revision_pair_id",
    "run_shard",
    "runs_inside",
    "search_words",
    "shard_facts",
    "shard_folder",
    "shards_in_words",
    "short_write",
    "summed_counts",
    "syncing",
    "vote_numbers",
    "voter_fault",
    "write_columns",
    "writing",
]
