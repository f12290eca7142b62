"""How fast pairs are measured, from text, nothing cached, beside what rapidfuzz and NLTK take in the same run.

python -m tests.bench.metrics --pairs 100000
"""

import os
import random
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from nltk.tokenize import TreebankWordTokenizer
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from clairgen.metrics.contrast import contrasts, token_jaccard

_BATCH = 2_000
_SENTENCES = 19


def main(pairs: Annotated[int, typer.Option(help="Pairs of about 1,750 characters a side.")] = 100_000) -> None:
    """Batches go through all measures in turn, so that what else the machine does slows all of them alike."""
    tokenizer = TreebankWordTokenizer()
    measures: dict[str, Callable[[list[str], list[str]], object]] = {
        "Levenshtein alone (cpdist, all cores)": lambda one, other: cpdist(
            one, other, scorer=Levenshtein.distance, workers=-1
        ),
        "Levenshtein + whitespace Jaccard": lambda one, other: contrasts(one, other, "whitespace"),
        "Levenshtein + treebank Jaccard": lambda one, other: contrasts(one, other, "treebank"),
        "treebank Jaccard, one core": lambda one, other: [
            token_jaccard(a, b, "treebank") for a, b in zip(one, other, strict=True)
        ],
        "treebank Jaccard by NLTK, one core": lambda one, other: [
            set(tokenizer.tokenize(a)) & set(tokenizer.tokenize(b)) for a, b in zip(one[:100], other[:100], strict=True)
        ],
    }
    counts = dict.fromkeys(measures, _BATCH) | {"treebank Jaccard by NLTK, one core": 100}
    seconds = dict.fromkeys(measures, 0.0)
    characters, memory = 0, []
    for chosen, rejected in batches(pairs):
        characters += sum(map(len, chosen)) + sum(map(len, rejected))
        for name, measure in measures.items():
            begun = time.perf_counter()
            measure(chosen, rejected)
            seconds[name] += (time.perf_counter() - begun) / counts[name]
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20))
    rounds = len(memory)
    rates = {name: rounds / seconds[name] for name in measures}
    typer.echo(f"{rounds * _BATCH:,} pairs of {characters / rounds / _BATCH / 2:,.0f} characters a side")
    for name, rate in rates.items():
        typer.echo(f"{rate:10,.0f} pairs/s  {name}")
    alone, both, _, ours, theirs = rates.values()
    typer.echo(f"Levenshtein + whitespace Jaccard: {both / alone:.2f} x cpdist alone (wanted: 0.5)")
    typer.echo(f"treebank Jaccard: {ours / theirs:.1f} x NLTK (wanted: 5)")
    typer.echo(f"peak memory after a fifth {memory[len(memory) // 5]:.0f} MB, at the end {memory[-1]:.0f} MB")


def batches(pairs: int) -> Iterator[tuple[list[str], list[str]]]:
    """Answers of sentences of English; the chosen one is the rejected one with about half of its sentences said otherwise."""
    draw, known = random.Random(1), sentences()

    def sentence() -> str:
        return draw.choice(known) + draw.choice((" ", " ", " ", "\n\n", "\n- "))

    for _ in range(max(pairs // _BATCH, 1)):
        answers = [[sentence() for _ in range(_SENTENCES)] for _ in range(_BATCH)]
        revised = [[sentence() if draw.random() < 0.5 else kept for kept in answer] for answer in answers]
        yield ["".join(answer) for answer in revised], ["".join(answer) for answer in answers]


def sentences() -> list[str]:
    """Sentences of the standard library's docstrings and comments: English that every Python brings along."""
    source = Path(os.__file__).parent
    texts = (path.read_text(encoding="utf-8", errors="ignore") for path in sorted(source.glob("*.py")))
    prose = (" ".join(found.split()) for text in texts for found in re.findall(r'"""(.*?)"""', text, re.DOTALL))
    found = (sentence for text in prose for sentence in re.split(r"(?<=[.!?]) ", text))
    return [sentence for sentence in found if 20 < len(sentence) < 300]


if __name__ == "__main__":
    typer.run(main)
