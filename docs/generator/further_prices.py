"""`python docs/generator/further_prices.py OUT`: prices that genai-prices knows, for models that data/prices.yaml does not list.

data/further_prices.json is made by `make prices`, in an environment of its own. Taken are prices of the standard tier that hold
for prompts of any length, at any time, of the providers in `PROVIDERS`. What the package knows of batches and tiers is left out:
there data/prices.yaml alone decides, and a batch without a factor in it counts at the direct price.
"""

import datetime
import importlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

PROVIDERS: Final = ("anthropic", "cerebras", "fireworks", "groq", "mistral", "openai", "together", "x-ai")
"""Those with one host, whose models answer chats."""
_HOST: Final = re.compile(r"https://((?:[a-z0-9-]|\\\.)+)(?:\(\?:/\|\$\))?")
_PER_REQUEST: Final = "requests_kcount"


def further_prices(providers: Iterable[Any], source: str, seen: datetime.date) -> list[dict[str, Any]]:
    """The entries of the file, from the package's providers."""
    found = []
    for provider in sorted(providers, key=lambda one: str(one.id)):
        host = _HOST.fullmatch(provider.api_pattern)
        models = dict(sorted(_models(provider.models)))
        if provider.id in PROVIDERS and host is not None and models:
            page = f"{provider.pricing_urls[0]} as {source} has it"
            found.append({"host": host[1].replace("\\", ""), "source": page, "seen": str(seen), "models": models})
    return found


def _models(models: Iterable[Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Each name that is one model's, with its price, if that is the same for all of its requests."""
    for model in models:
        if isinstance(model.prices, list) or getattr(model.prices, _PER_REQUEST, None) is not None:
            continue
        prices = [getattr(model.prices, name, None) for name in ("input_mtok", "output_mtok")]
        try:
            price = dict(zip(("input", "output"), map(float, prices), strict=True))  # type: ignore[arg-type]
        except TypeError:  # none, or one that depends on the length of the prompt
            continue
        if 0 < price["input"] <= price["output"]:
            yield from ((name, price) for name in _names(model.match))


def _names(match: Any) -> Iterator[str]:  # noqa: ANN401 - a clause of the package
    for clause in getattr(match, "or_", [match]):
        name = getattr(clause, "equals", None)
        if isinstance(name, str):
            yield name


def _written(entries: list[dict[str, Any]]) -> str:
    """JSON with a line for each model, so that changes can be read."""
    parts = []
    for entry in entries:
        models = ",\n".join(f"   {json.dumps(name)}: {json.dumps(price)}" for name, price in entry["models"].items())
        head = json.dumps({name: value for name, value in entry.items() if name != "models"})
        parts.append(f' {head[:-1]}, "models": {{\n{models}\n  }}}}')
    return "[\n" + ",\n".join(parts) + "\n]\n"


if __name__ == "__main__":
    known = importlib.import_module("genai_prices.data").providers
    entries = further_prices(
        known, f"genai-prices {version('genai-prices')}", datetime.datetime.now(datetime.UTC).date()
    )
    Path(sys.argv[1]).write_text(_written(entries), encoding="utf-8")
