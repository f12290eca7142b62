"""What can be done with a run, one function each: report on it, export it, look at a pair, vote on it, see where it stands.

They read, also while the run goes on. What people say is committed meanwhile too (`cast_vote`, `revise`, and the queues that hand
out pairs), each in one short transaction; and `with_tasks` puts a file of tasks into its folder.
"""

from clairgen.api.blind_votes import BlindPair, BlindVote, blind_pair, cast_blind_vote
from clairgen.api.given_tasks import with_tasks
from clairgen.api.review_queue import NoQueueError, give_back, make_queue, next_pair, queue_progress, queues, voting_in
from clairgen.api.run_batches import BatchStatus, batches
from clairgen.api.run_export import export
from clairgen.api.run_pairs import (
    ChosenPair,
    FilterCounts,
    choose_in_shards,
    choose_pair,
    filtered,
    filters_in_force,
    find_in_shards,
    find_pairs,
    judge_replies,
    made_pairs,
    pairs,
    recipe_behind,
    recipes_of,
    score_replies,
    thoughts,
    votes,
)
from clairgen.api.run_report import report, report_training
from clairgen.api.run_status import Snapshot, Status, snapshot, status
from clairgen.api.run_votes import VoteCast, cast_vote, revise

__all__ = [
    "BatchStatus",
    "BlindPair",
    "BlindVote",
    "ChosenPair",
    "FilterCounts",
    "NoQueueError",
    "Snapshot",
    "Status",
    "VoteCast",
    "batches",
    "blind_pair",
    "cast_blind_vote",
    "cast_vote",
    "choose_in_shards",
    "choose_pair",
    "export",
    "filtered",
    "filters_in_force",
    "find_in_shards",
    "find_pairs",
    "give_back",
    "judge_replies",
    "made_pairs",
    "make_queue",
    "next_pair",
    "pairs",
    "queue_progress",
    "queues",
    "recipe_behind",
    "recipes_of",
    "report",
    "report_training",
    "revise",
    "score_replies",
    "snapshot",
    "status",
    "thoughts",
    "votes",
    "voting_in",
    "with_tasks",
]
