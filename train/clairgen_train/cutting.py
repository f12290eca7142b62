"""Cutting a pair's token ids to the paper's lengths (section 5.2): prompt and response to 512 tokens each."""

from dataclasses import dataclass

from clairgen_train.settings import Truncation

Ids = list[int]


@dataclass(frozen=True, slots=True)
class PairIds:
    """A pair as token ids: what was asked, and both responses."""

    prompt: Ids
    chosen: Ids
    rejected: Ids


@dataclass(frozen=True, slots=True)
class Limits:
    """Most tokens of a prompt and of a response, and by which rule they hold."""

    prompt_tokens: int
    response_tokens: int
    truncation: Truncation = Truncation.EACH

    def cut(self, pair: PairIds, bos: int | None = None) -> PairIds:
        """The pair within the limits.

        A prompt loses its beginning, since its end says whose turn it is; the token `bos` that begins it stays, since
        models lean on it. A response loses its end. `each` holds both limits always; `trl-2024` does as TRL did when the paper
        was written: nothing is cut unless prompt and longer response together pass the sum of both limits, then the prompt is
        cut to its limit, and the responses to theirs if that was not enough.
        """
        if self.truncation is Truncation.EACH:
            return PairIds(
                _end(pair.prompt, self.prompt_tokens, bos),
                pair.chosen[: self.response_tokens],
                pair.rejected[: self.response_tokens],
            )
        longer = max(len(pair.chosen), len(pair.rejected))
        whole = self.prompt_tokens + self.response_tokens
        prompt = pair.prompt if len(pair.prompt) + longer <= whole else pair.prompt[-self.prompt_tokens :]
        if len(prompt) + longer <= whole:
            return PairIds(prompt, pair.chosen, pair.rejected)
        return PairIds(prompt, pair.chosen[: self.response_tokens], pair.rejected[: self.response_tokens])


def _end(prompt: Ids, most: int, bos: int | None) -> Ids:
    if len(prompt) <= most:
        return prompt
    if bos is not None and prompt[0] == bos and most > 1:
        return [bos, *prompt[1 - most :]]
    return prompt[-most:]
