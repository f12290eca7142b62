"""Feedback and edit (HelpSteer3, arXiv 2503.04378): critics say what to improve in an answer, an editor edits it by that."""

from collections.abc import Sequence
from dataclasses import replace

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.errors import ConfigError
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, answer_of
from clairgen.recipes.reviser import REVISER_SLOTS, criticism, revised, whole_reply
from clairgen.records import Pair, Task, Undecided


async def feedback_edit(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_l = M(x); f_i = Critic(x, y_l), i = 1..n; y_w = Editor(x, y_l, f_1, ..., f_n).

    It is `clair-by-critique` with a model for each step, as HelpSteer3 trained them, with the feedback of several readers (up to
    three in its data), and with an editor that replies with the edited answer alone, so that nothing is parsed.
    """
    rejected = answer_of(await ask("target", task.messages))
    samples = range(context.choice.critiques)
    feedback = [await criticism("critic", task, rejected, ask, context, sample=sample) for sample in samples]
    text = feedback[0] if len(feedback) == 1 else _of_readers(feedback)
    edited = await revised(
        task, FEEDBACK_EDIT.name, rejected, ask, context, role="editor", read=whole_reply, feedback=text
    )
    return replace(edited, reasoning=text)


def _of_readers(feedback: Sequence[str]) -> str:
    return "\n\n".join(f"Reader {number}: {text}" for number, text in enumerate(feedback, start=1))


def _roles(config: RunConfig, choice: RecipeChoice) -> Sequence[str]:
    critic = config.models.get("critic")
    if critic is not None and critic.temperature == 0 and choice.critiques > 1:
        raise ConfigError(
            f"the recipe 'feedback-edit' with {choice.critiques} `critiques` needs different feedback, which at temperature 0 is "
            "the same; give models.critic.temperature a value above 0"
        )
    return ["target", "critic", "editor"]


FEEDBACK_EDIT = Recipe(
    name="feedback-edit",
    make=feedback_edit,
    roles=_roles,
    summary="the target answers, a critic gives feedback on that answer, an editor edits it by the feedback",
    revises=True,
    templates={"critic": "feedback", "editor": "edit"},
    slots={"critic": REVISER_SLOTS, "editor": REVISER_SLOTS | {"feedback"}},
    options=frozenset({"critiques", "check"}),
    calls=lambda choice, role: choice.critiques if role == "critic" else 1,
)
