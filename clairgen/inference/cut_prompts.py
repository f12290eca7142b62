"""Prompts that a server cut to its context without saying so, as some do by default."""

from collections.abc import Collection

from clairgen.keys import digest

CHARACTERS_PER_TOKEN = 6.0  # of a whole text; tokenizers in use have 1 to 5 in every language
FEWEST_TOKENS = 256  # shorter contexts are not in use, while short prompts of one length are common
PROMPTS = 3


class CutPrompts:
    """Watches the `prompt_tokens` of one role's answers.

    A server that cuts long prompts counts the same number of tokens for all of them, which is the highest that it ever counts,
    however many characters they have.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._lengths: dict[str, int] = {}

    def found(self, prompt_tokens: int | None, prompt: str) -> Collection[int] | None:
        """The characters of the first prompts that were cut, once, when they are enough to tell; else None."""
        if prompt_tokens is None or prompt_tokens < max(self.tokens, FEWEST_TOKENS):
            return None
        if prompt_tokens > self.tokens:
            self.tokens, self._lengths = prompt_tokens, {}
        if len(prompt) <= CHARACTERS_PER_TOKEN * prompt_tokens or len(self._lengths) == PROMPTS:
            return None
        before = len(self._lengths)
        self._lengths[digest(prompt)] = len(prompt)
        return self._lengths.values() if before < len(self._lengths) == PROMPTS else None
