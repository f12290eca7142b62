"""Truncation of a pair to the limits of prompt and response, by one of two rules."""

from dataclasses import dataclass

from clairgen_train.settings import Truncation

Ids = list[int]


@dataclass(frozen=True, slots=True)
class PairIds:
    """A pair as token ids: the prompt and both responses."""

    prompt: Ids
    chosen: Ids
    rejected: Ids


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """The most tokens of a prompt and of a response, and the rule that applies them."""

    prompt_tokens: int
    response_tokens: int
    truncation: Truncation = Truncation.EACH

    def truncate(self, pair: PairIds, bos: int | None = None) -> PairIds:
        """The pair within the limits.

        A prompt loses its beginning, since its end says whose turn it is; a leading token `bos` stays, since models rely on it.
        A response loses its end. `each` always applies both limits; `trl-2024` does as TRL did when the paper was written:
        nothing is truncated unless the prompt and the longer response together exceed the sum of both limits; then the prompt is
        truncated to its limit, and the responses to theirs if that was not enough.
        """
        if self.truncation is Truncation.EACH:
            return PairIds(
                _last_tokens(pair.prompt, self.prompt_tokens, bos),
                pair.chosen[: self.response_tokens],
                pair.rejected[: self.response_tokens],
            )
        longer = max(len(pair.chosen), len(pair.rejected))
        whole = self.prompt_tokens + self.response_tokens
        prompt = pair.prompt if len(pair.prompt) + longer <= whole else pair.prompt[-self.prompt_tokens :]
        if len(prompt) + longer <= whole:
            return PairIds(prompt, pair.chosen, pair.rejected)
        return PairIds(prompt, pair.chosen[: self.response_tokens], pair.rejected[: self.response_tokens])


def _last_tokens(prompt: Ids, most: int, bos: int | None) -> Ids:
    if len(prompt) <= most:
        return prompt
    if bos is not None and prompt[0] == bos and most > 1:
        return [bos, *prompt[1 - most :]]
    return prompt[-most:]
