"""The numbers of a recipe gathered from the store: its pairs stream through all that looks at them, once."""

from collections.abc import Callable, Mapping

from clairgen.measuring import measured
from clairgen.records import StoredPair
from clairgen.reporting.position_bias import judge_report
from clairgen.reporting.report import RecipeNumbers, RecipeReport
from clairgen.reporting.shortcut_audit import MOST_PAIRS, Differences
from clairgen.store import Store


async def recipe_report(
    store: Store, run: str, recipe: str, tokeniser: str, counts: Mapping[str, int], also: Callable[[StoredPair], None]
) -> RecipeReport:
    """The report of one recipe; `counts` are its pairs by status, `also` sees each pair that was made."""
    numbers = RecipeNumbers(run, recipe, tokeniser)
    differences = Differences(MOST_PAIRS / max(counts.get("made", 0), MOST_PAIRS))
    async for stored, _ in measured(store.pairs.made(recipe), tokeniser):
        numbers.add(stored)
        differences.add(stored)
        also(stored)
    judges = [
        judge_report(
            judge.role,
            first=judge.first,
            second=judge.second,
            ties=judge.ties,
            refused=judge.refused,
            flipped=judge.flipped,
            in_both_orders=judge.in_both_orders,
        )
        for judge in await store.judgements.numbers(recipe)
    ]
    return numbers.report(
        failed=counts.get("failed", 0),
        pending=counts.get("pending", 0),
        cost_usd=await store.pairs.cost_usd(recipe),
        judges=judges,
        audit=differences.audit(),
    )
