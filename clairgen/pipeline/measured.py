"""What calls will cost, from a sample of calls that were made: the expected total and its 95% interval."""

import math
from dataclasses import dataclass

from clairgen.config.models import Price
from clairgen.store import UsageSample

ENOUGH = 20
"""Answers from which on a role's own are a better guide than a guess from characters."""
_Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class Dollars:
    """A sum to expect, and between what it lies in 19 of 20 cases."""

    low: float
    expected: float
    high: float


def measured_dollars(sample: UsageSample, calls: int, price: Price) -> Dollars:
    """What `calls` more of the same kind cost.

    The interval holds two chances: that of the sample, which may lie off the true mean, and that of the calls to come.
    """
    a, b = price.input / 1e6, price.output / 1e6
    mean = a * sample.prompt + b * sample.answer
    of_prompt = sample.prompt_squared - sample.prompt**2
    of_answer = sample.answer_squared - sample.answer**2
    of_both = sample.product - sample.prompt * sample.answer
    variance = (a * a * of_prompt + b * b * of_answer + 2 * a * b * of_both) * sample.answers / (sample.answers - 1)
    error = _Z_95 * math.sqrt(max(0.0, variance) * (calls**2 / sample.answers + calls))
    return Dollars(max(0.0, calls * mean - error), calls * mean, calls * mean + error)
