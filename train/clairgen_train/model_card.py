"""The model card: README.md with the base model, the data, the settings, and the metrics of the held-out pairs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from clairgen.wording import PAPER_BIBTEX, counted
from clairgen_train.data.rows import SINGLE_ANSWERS
from clairgen_train.settings import Objective, TrainingSettings

EQUATIONS = {
    Objective.DPO: "equation 6",
    Objective.DPO_NORM: "equation 6, with rewards per token,",
    Objective.APO_ZERO: "equation 7",
    Objective.APO_DOWN: "equation 8",
    Objective.KTO_PAIR: "equation 9",
    Objective.SFT: "the baseline of section 5",
    Objective.KTO: "KTO, unpaired",
    Objective.APO_ZERO_UNPAIRED: "KTO with KL fixed to zero",
}
_PAPER = "[arXiv:2408.06266](https://arxiv.org/abs/2408.06266)"
_CITATION = f"""\
## Citation

```bibtex
{PAPER_BIBTEX}```
"""


def card(
    settings: TrainingSettings, facts: Mapping[str, Any], metrics: Mapping[str, Any], versions: Mapping[str, str]
) -> str:
    """The card as Markdown. `facts` is data.json, `metrics` the run's final ones, `versions` those of the libraries."""
    is_local = Path(settings.model).exists()  # which the hub does not take as the name of a model
    front: dict[str, Any] = ({} if is_local else {"base_model": settings.model}) | {
        "library_name": "peft" if settings.lora else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["clairgen", "trl", settings.objective.value],
    }
    train = facts["train"]
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False).strip(),
        "---",
        "",
        f"# {_code(settings.model)} trained with {settings.objective.value}",
        "",
        f"Trained by clairgen under {settings.objective.value} ({EQUATIONS[settings.objective]} of {_PAPER}).",
        "",
        "## Data",
        "",
        f"{counted(train['kept'], noun(train))} of {_code(facts['data'])}"
        + (f", subset {_code(facts['subset'])}" if facts["subset"] else "")
        + ".",
        *(f"- {_code(each['path'])}: {each['rows']:,} rows" for each in facts.get("data_sets", ())),
        *_counts("Dropped", train["dropped"]),
        *_counts(
            "Trained on by their likelihood, since both answers are the same", {"pairs": train.get("identical_kept", 0)}
        ),
        *_counts("Truncated", train["truncated"]),
        *_counts("By objective", train["objectives"] if len(train["objectives"]) > 1 else {}),
        f"SHA-256 of the token ids: `{train['sha256']}`.",
        "",
        "## Settings",
        "",
        "```yaml",
        yaml.safe_dump(settings.model_dump(mode="json", exclude_none=True), sort_keys=False).strip(),
        "```",
        "",
        "## Held-out pairs",
        "",
        *_held_out(metrics),
        "",
        "Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
        _CITATION,
    ]
    return "\n".join(lines)


def noun(counts: Mapping[str, Any]) -> str:
    """What was counted, as a singular: pairs, or single answers where there are no pairs."""
    shapes = set(counts.get("shapes", ()))  # earlier versions did not count them
    return "answer" if shapes and shapes <= SINGLE_ANSWERS else "pair"


def _counts(title: str, counts: Mapping[str, int]) -> list[str]:
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return [f"{title}: {listed}."] if listed else []


def _held_out(metrics: Mapping[str, Any]) -> list[str]:
    if "reward_margin" not in metrics:
        return ["No pairs were held out."]
    rows = [
        f"| {name} | {_with_error(metrics[key])} |"
        for key, name in (
            ("reward_margin", "reward margin"),
            ("chosen_change", "log-likelihood of chosen, change (nats)"),
            ("rejected_change", "log-likelihood of rejected, change (nats)"),
        )
    ]
    return [
        f"{counted(metrics['held_out_pairs'], 'pair')}, mean ± standard error at "
        + (
            f"step {metrics['best_step']:,}, which had the highest margin:"
            if "best_step" in metrics
            else "the last step:"
        ),
        "",
        "| | |",
        "|---|---|",
        *rows,
    ]


def _with_error(estimate: Mapping[str, float | None]) -> str:
    mean, error = estimate["mean"], estimate["se"]
    return f"{mean:.4g}" + ("" if error is None else f" ± {error:.2g}")


def _code(text: str) -> str:
    """A name as inline code, without anything that could end the code."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
