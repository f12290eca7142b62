"""The pages: the list of runs, a run's report, its pairs one after another, and the form to vote. They work without a script."""

import asyncio
import math
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import HTMLResponse, RedirectResponse, Response

from clairgen.records import FilterAction, Pair
from clairgen.reporting.diff import DiffOp
from clairgen.reporting.html.pairs_page import pair_row, report_values, shown_text
from clairgen.reporting.pair_view import about_which_answer, visible_space, whose_reasoning, whose_reply
from clairgen.reporting.report import RecipeReport, reason_for_dropping
from clairgen.service.answers import PairLine
from clairgen.service.api_routes import PairId, RunName, SideText
from clairgen.service.pair_indexes import index_words
from clairgen.service.pair_pages import RANGED, DiffMode, PageQuery, PairQuery, PairRequest, WholePair, parameter
from clairgen.service.rendering import form_fields, link, page
from clairgen.service.runs import Runs, Side, VoteRequest
from clairgen.service.sign_in import COOKIE_SECONDS
from clairgen.store import HUMAN_REVISION, JudgeReply, SortKey, Vote, one_spelling
from clairgen.wording import counted

VOTER_COOKIE: Final = "clairgen_voter"
_VOTES: Final = {
    Vote.KEEP: "the chosen answer is better",
    Vote.SWAP: "the rejected answer is better",
    Vote.TIE: "neither is better",
    Vote.DROP: "do not use the pair",
}
_TITLES: Final[Mapping[SortKey, str]] = {
    SortKey.JACCARD: "Jaccard, 0 to 1",
    SortKey.LEVENSHTEIN: "Levenshtein, characters",
    SortKey.LENGTH_RATIO: "Length ratio, chosen / rejected",
    SortKey.SCORE_DIFFERENCE: "Score difference, chosen − rejected",
    SortKey.CHARACTER_DIFFERENCE: "Characters, chosen − rejected",
    SortKey.MADE: "When it was made",
}
_SORTS: Final = [(key.value, title.split(",")[0]) for key, title in _TITLES.items()]
_CHANGES: Final = {0: DiffOp.KEPT, 1: DiffOp.REMOVED, 2: DiffOp.ADDED}


class VoteForm(BaseModel):
    """The fields of the form to vote."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    vote: Vote
    voter: str = ""
    note: str = ""

    def request(self, queue: str | None = None) -> VoteRequest:
        """The vote, in a queue if it is given."""
        note = self.note.replace("\r\n", "\n")
        return VoteRequest(vote=self.vote, voter=self.voter, note=note, version=self.version, queue=queue)


def page_routes(runs: Runs) -> APIRouter:
    """The routes over some runs."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/")
    async def list_page(request: Request) -> Response:
        return page(request, "runs.html", {"runs": await runs.lines(), "folder": shlex.quote(f"{runs.folder}/first")})

    @routes.get("/runs/{run}")
    async def report_page(request: Request, run: RunName) -> Response:
        report = await runs.report(run)
        values = await asyncio.to_thread(report.page_values, partial(_bin_link, run))
        return page(request, "report.html", {"run": run, **values})

    @routes.get("/compare")
    async def compare_page(request: Request, left: SideText = "", right: SideText = "") -> Response:
        choices = [f"{line.name}:{recipe}" for line in await runs.lines() for recipe in line.pairs]
        values = {"choices": choices, "chosen": {"left": left, "right": right}}
        if not left or not right:
            return page(request, "compare.html", values)
        sides = [await runs.side(left), await runs.side(right)]
        return await asyncio.to_thread(lambda: page(request, "compared.html", {**values, **_compared_values(sides)}))

    @routes.get("/runs/{run}/pairs")
    async def pairs_page(request: Request, run: RunName, query: Annotated[PageQuery, Query()]) -> Response:
        found = await runs.pairs(run, query)
        values = {
            "run": run,
            "query": query,
            "pairs": [PairLine.of(stored) for stored in found.pairs],
            "recipes": [(recipe, recipe) for recipe in found.recipes],
            "columns": [(column, column) for column in found.columns],
            "dropped": _options(found.dropped),
            "marked": _options(found.marked),
            "sorts": _SORTS,
            "ranges": _ranges(query),
            "after": found.after,
            "before": found.before,
            "count": found.count,
            "fault": found.fault,
            "index_words": index_words(found.index),
        }
        return page(request, "pairs.html", values)

    @routes.get("/runs/{run}/pairs/{pair}")
    async def one_pair_page(
        request: Request, run: RunName, pair: PairId, query: Annotated[PairQuery, Query()]
    ) -> Response:
        whole = await runs.pair(run, pair, query)
        values = pair_page_values(request, run, query, whole)
        return await asyncio.to_thread(lambda: page(request, "pair.html", values))

    @routes.post("/runs/{run}/pairs/{pair}")
    async def vote_by_form(
        request: Request, run: RunName, pair: PairId, query: Annotated[PairQuery, Query()]
    ) -> Response:
        form = VoteForm.model_validate(await form_fields(request))
        cast = await runs.vote(run, pair, form.request(), request.state.grant)
        return remembering(RedirectResponse(f"{link(run, cast.pair_id, query)}#votes", status_code=303), form.voter)

    return routes


def remembered_voter(request: Request) -> str:
    """Whose token it is, or who voted last in this browser; empty if nobody did."""
    return request.state.grant.name or one_spelling(unquote(request.cookies.get(VOTER_COOKIE, "")))[:200]


def remembering(answer: Response, voter: str) -> Response:
    """The response, after which the browser knows who votes."""
    answer.set_cookie(
        VOTER_COOKIE, quote(one_spelling(voter), safe=""), COOKIE_SECONDS, httponly=True, samesite="strict"
    )
    return answer


def pair_page_values(request: Request, run: str, query: PairQuery, whole: WholePair) -> dict[str, Any]:
    """What the page of a pair shows; `query` says among which pairs it stands."""
    voter = remembered_voter(request)
    return {"run": run, "query": query, "votes": _VOTES, "voter": voter, **_pair_values(run, query, whole)}


def _compared_values(sides: Sequence[Side]) -> dict[str, Any]:
    shown = {side.title: side.report for side in sides}
    return {
        "sides": [(side.title, side.run, side.report) for side in sides],
        **report_values(list(shown.values()), shown),
    }


def _pair_values(run: str, query: PairQuery, whole: WholePair) -> dict[str, Any]:
    stored = whole.stored
    row, origin = pair_row(run, 0, stored), stored.source_columns.get("revised_pair")
    return {
        "row": row,
        "diff": [(_CHANGES[code].value, visible_space(text, _CHANGES[code])) for code, text in row["diff"]],
        "modes": [(mode.value, mode.value.replace("-", " ")) for mode in DiffMode],
        "whose_reasoning": whose_reasoning(whole.made_by),
        "dropped": reason_for_dropping(stored),
        "marks": [found for found in stored.findings if found.action is FilterAction.MARK],
        "verdicts": _verdicts(whole.judge_replies),
        "requests": [(one, [(sent.role, shown_text(sent.content)) for sent in one.messages]) for one in whole.requests],
        "cost_words": _cost_words(whole.requests),
        "shown_text": shown_text,
        "replies": [
            *((whose_reply(reply), shown_text(reply.text)) for reply in whole.judge_replies),
            *((about_which_answer(reply, stored.outcome), shown_text(reply.text)) for reply in whole.score_replies),
            *((f"thoughts of the {one.role}, {one.model}", shown_text(one.text)) for one in whole.thoughts),
        ],
        "version_of_pair": stored.version,
        "queue": None,
        "vote_action": link(run, stored.id, query),
        "is_decided": isinstance(stored.outcome, Pair),
        "cast": whole.votes,
        "revisions": whole.revisions,
        "origin": origin if whole.made_by == HUMAN_REVISION and isinstance(origin, str) else None,
        "previous": whole.previous,
        "following": whole.next,
    }


def _verdicts(replies: Sequence[JudgeReply]) -> list[tuple[JudgeReply, str]]:
    """The replies of judges, each with what it says beside the same judge's in the other order."""

    def words(reply: JudgeReply) -> str:
        first, second = reply.shown
        other = next((one for one in replies if (one.role, one.shown) == (reply.role, (second, first))), None)
        if other is None or reply.winner is None or other.winner is None:
            return ""
        return "the same in both orders" if reply.winner == other.winner else "another one in the other order"

    return [(reply, words(reply)) for reply in replies]


def _cost_words(requests: Sequence[PairRequest]) -> str | None:
    """What a pair's requests cost; None for a pair without any."""
    if not requests:
        return None
    costs = [one.completion.cost_usd for one in requests]
    known = [cost for cost in costs if cost is not None]
    words = counted(len(requests), "request")
    if len(known) < len(costs):
        return f"{words}, whose cost is not known"
    return f"{words} for ${sum(known):,.4f}" if sum(known) else f"{words} at no cost"


def _bin_link(run: str, report: RecipeReport, metric: str, lowest: float | None, below: float | None) -> str:
    """The address of the pairs in a bar of a histogram."""
    limits = {
        name: None if limit is None else math.ceil(limit) if metric == SortKey.LEVENSHTEIN else limit
        for name, limit in ((f"min_{metric}", lowest), (f"below_{metric}", below))
    }
    return link(run, None, PairQuery.model_validate({"recipe": report.recipe, **limits}))


def _options(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """The reasons that a form offers, with their counts over all recipes."""
    return [(reason, f"{reason} ({count:,})") for reason, count in counts.items()]


def _ranges(query: PairQuery) -> list[tuple[str, str, str, str]]:
    """The metrics that have ranges: name, title, and the limits that are given, as a form has them."""
    limits = [(key, getattr(query, f"min_{key}"), getattr(query, f"below_{key}")) for key in RANGED]
    return [(key.value, _TITLES[key], _given(lowest), _given(below)) for key, lowest, below in limits]


def _given(limit: float | None) -> str:
    return "" if limit is None else parameter(limit)
