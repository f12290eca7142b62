"""A configuration to begin with: what most runs need is set, every other key is there as a comment with its default."""

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from clairgen.config.key_reference import ROLES, Group, Key, groups
from clairgen.config.models import RunConfig

PROMPTS = """\
{"prompt": "What is 347 + 285?"}
{"prompt": "Count the even numbers: 12, 37, 30, 41."}
{"prompt": "A film starts at 14:25 and lasts 1 h 50 min. When does it end?"}
"""
"""Questions that the models which ship with clairgen can answer."""

_HEAD = """\
# The configuration of a clairgen run. What most runs need is set; every other key is a comment that shows its default.
# See what it would do, then do it; run the same command again after anything:
#
#   clairgen generate config.yaml --run runs/first --dry-run
#   clairgen generate config.yaml --run runs/first
"""
_TARGET = {"model": "classroom-student", "endpoints": ["classroom:student"], "temperature": 0.7, "max_tokens": 96}
_ROLES = {
    "reviser": ['{model: classroom-teacher, endpoints: ["classroom:teacher"], temperature: 0, max_tokens: 160}'],
    "stronger": ['{model: classroom-teacher, endpoints: ["classroom:teacher"], temperature: 0, max_tokens: 96}'],
}
_OTHER_ROLES = {
    "judge": ['{model: classroom-teacher, endpoints: ["classroom:teacher"], temperature: 0, max_tokens: 160}'],
    "others": [
        '- {model: classroom-weaker, endpoints: ["classroom:weaker"], temperature: 0.7, max_tokens: 96}',
        '- {model: classroom-stronger, endpoints: ["classroom:stronger"], temperature: 0.7, max_tokens: 96}',
    ],
}
_CRITERION = (
    "# A criterion is written as {name: correct, description: What it says is true., weight: 2, scale: [1, 5]}."
)
_COMMENTS_AT = 40
_WIDTH = 120


def starter_configuration(recipes: Mapping[str, str], prompts: str) -> str:
    """The YAML text; `recipes` are the names and summaries of all recipes, `prompts` is the file of tasks beside it."""
    known = groups(RunConfig)
    top = {key.name: key for key in known["RunConfig"].keys}
    lines = _HEAD.splitlines()
    lines += _section(top["recipes"], _recipes(recipes, known["RecipeChoice"]))
    lines += _section(top["tasks"], _rows(known["TaskSource"], {"path": prompts}))
    lines += _section(top["models"], _models(known["Role"]))
    filters = top["filters"].type.strip("[]")
    lines += _section(top["filters"], _rows(known[filters], {"length_ratio": [0.5, 2.0]}))
    lines += ["", *_row(top["rubric"], {}, indent=0), _CRITERION, ""]
    lines += [
        line
        for name in ("import", "seed", "budget_usd", "thinking", "tokenizer")
        for line in _row(top[name], {}, indent=0)
    ]
    return "\n".join(lines) + "\n"


def yaml_value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A value on one line as YAML has it; nothing for a key that is not set."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        shown = {name: inner for name, inner in value.items() if inner is not None}
        if list(shown) == ["action"]:  # the short form of a filter
            return yaml_value(shown["action"])
        return "{" + ", ".join(f"{name}: {yaml_value(inner)}" for name, inner in shown.items()) + "}"
    return json.dumps(value)


def _section(key: Key, body: Iterable[str]) -> list[str]:
    return ["", f"# {key.description}", f"{key.name}:", *body]


def _recipes(recipes: Mapping[str, str], options: Group) -> list[str]:
    lines = []
    for name, summary in recipes.items():
        mark = "" if name in ("clair", "stronger-preferred") else "# "
        lines += _commented(f"  {mark}- {name}", summary)
    lines.append("  # A recipe with options is written as {name: clair, template: revise-lightly}. The options:")
    for key in options.keys:
        if key.name != "name":
            lines += _commented(f"  #   {key.name}: {yaml_value(key.default)}".rstrip(), key.description)
    return lines


def _models(role: Group) -> list[str]:
    lines = [f"  target:{' ' * (_COMMENTS_AT - 9)}# {ROLES['target']}", *_rows(role, _TARGET, indent=4)]
    for name, forms in _ROLES.items():
        lines += [f"  # {ROLES[name]}", f"  {name}: {forms[0]}"]
    for name, forms in _OTHER_ROLES.items():
        lines.append(f"  # {ROLES[name]}")
        lines += (
            [f"  # {name}: {forms[0]}"] if len(forms) == 1 else [f"  # {name}:", *(f"  #   {one}" for one in forms)]
        )
    return lines


def _rows(group: Group, given: Mapping[str, Any], indent: int = 2) -> list[str]:
    """The keys of a group, those that are set first."""
    first = [key for name in given for key in group.keys if key.name == name]
    others = [key for key in group.keys if key.name not in given]
    return [line for key in (*first, *others) for line in _row(key, given, indent)]


def _row(key: Key, given: Mapping[str, Any], indent: int) -> list[str]:
    mark, value = ("", given[key.name]) if key.name in given else ("# ", key.default)
    return _commented(f"{' ' * indent}{mark}{key.name}: {yaml_value(value)}".rstrip(), key.description)


def _commented(left: str, comment: str) -> list[str]:
    """A line with a comment beside it, which goes on below where it is long; above a line that leaves it no room."""
    if len(left) + 2 > _COMMENTS_AT:
        indent = left[: len(left) - len(left.lstrip())]
        return [*(f"{indent}# {line}" for line in textwrap.wrap(comment, _WIDTH - len(indent) - 2)), left]
    first, *more = textwrap.wrap(comment, _WIDTH - _COMMENTS_AT - 2) or [""]
    return [f"{left:<{_COMMENTS_AT}}# {first}".rstrip(), *(f"{' ' * _COMMENTS_AT}# {line}" for line in more)]
