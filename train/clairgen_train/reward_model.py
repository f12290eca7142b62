"""A reward model: any sequence classifier, from the Hugging Face hub or a folder, that scores an answer to a prompt.

With one label the reward is its logit; with two it is the logit of label 1 minus the logit of label 0, the log-odds that the
answer is good. Only safetensors are read, and no code of a model's repository is run. torch is imported in functions only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from clairgen.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import torch

Conversation = Sequence[Mapping[str, str]]
"""Messages with `role` and `content`; the last one is the assistant's answer."""

_BATCH = 8
_LONGEST = 2**20  # a tokenizer without a limit has 1e30


@dataclass(slots=True)
class ClassifierReward:
    """A sequence classifier that scores conversations.

    `max_tokens` is the length that it can read, None if it does not say; a longer conversation is truncated at its end, and
    `truncated` counts those.
    """

    name: str
    model: Any
    tokenizer: Any
    device: "torch.device"
    max_tokens: int | None
    batch: int = _BATCH
    truncated: int = 0

    def scores(self, conversations: Sequence[Conversation]) -> list[float]:
        """A score for each conversation, higher is better; similar lengths are batched together, so that little is padded.

        Raises InputError where the chat template refuses a conversation, or a batch does not fit into memory.
        """
        texts = [self._ids(conversation) for conversation in conversations]
        found: dict[int, float] = {}
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        # Without a padding token the model cannot know where a text ends, so each is scored alone.
        size = self.batch if self.model.config.pad_token_id is not None else 1
        for start in range(0, len(order), size):
            together = order[start : start + size]
            found |= dict(zip(together, self._batch([texts[index] for index in together]), strict=True))
        return [found[index] for index in range(len(texts))]

    def _ids(self, conversation: Conversation) -> list[int]:
        import jinja2

        try:
            text = self.tokenizer.apply_chat_template([dict(message) for message in conversation], tokenize=False)
        except jinja2.TemplateError as error:
            raise InputError(
                f"the chat template of the reward model {self.name} refuses a conversation with the roles "
                f"{', '.join(message['role'] for message in conversation)}: {_one_line(error)}; use another reward model"
            ) from error
        # The template renders all special tokens itself.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if self.max_tokens is not None and len(ids) > self.max_tokens:
            self.truncated += 1
            return ids[: self.max_tokens]
        return ids

    def _batch(self, texts: list[list[int]]) -> list[float]:
        import torch

        longest = max(map(len, texts))
        padding = self.model.config.pad_token_id or 0
        ids = torch.tensor([text + [padding] * (longest - len(text)) for text in texts], device=self.device)
        mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts], device=self.device)
        try:
            with torch.inference_mode():
                logits = self.model(input_ids=ids, attention_mask=mask).logits.float()
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"the reward model {self.name} does not fit into the memory of {self.device} with {len(texts)} texts of "
                f"{longest:,} tokens; use a smaller model"
            ) from error
        rewards: list[float] = (logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]).tolist()
        return rewards


def load_reward_model(name: str) -> ClassifierReward:
    """The reward model in a folder or on the hub, on a GPU if there is one.

    Raises MissingExtraError without torch or transformers, InputError for anything but a sequence classifier with one or two
    labels, weights in safetensors and a chat template.
    """
    if any(find_spec(package) is None for package in ("torch", "transformers", "jinja2")):
        raise MissingExtraError("Scoring with a reward model", "train")
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            name,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype="auto" if device.type == "cuda" else torch.float32,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(
            f"the reward model {name} cannot be loaded ({_one_line(error)}); name a folder or hub id of a sequence classifier "
            "with weights in safetensors that needs no code of its own"
        ) from error
    _check(name, model, tokenizer, sorted(loading["missing_keys"]))
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    model.to(device).eval()
    return ClassifierReward(name, model, tokenizer, device, _max_tokens(model, tokenizer))


def _check(name: str, model: Any, tokenizer: Any, missing: list[str]) -> None:  # noqa: ANN401 - of whatever class it is
    if missing:
        raise InputError(
            f"the model {name} is not a reward model: its file has no {missing[0]}, which would be random; name one that was "
            "trained to score answers"
        )
    if (labels := model.config.num_labels) not in (1, 2):
        raise InputError(
            f"the model {name} has {labels} labels, none of which is a reward; name one with a single label, or with two (bad "
            "and good)"
        )
    if not tokenizer.chat_template:
        raise InputError(
            f"the tokenizer of the reward model {name} has no chat template, so conversations cannot be rendered for it; name a "
            "model that has one"
        )
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise InputError(
            f"the tokenizer of the reward model {name} knows {len(tokenizer):,} tokens and the model "
            f"{model.get_input_embeddings().num_embeddings:,}; they do not belong together"
        )


def _max_tokens(model: Any, tokenizer: Any) -> int | None:  # noqa: ANN401 - of whatever class it is
    limits = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    return min((limit for limit in limits if limit is not None and 0 < limit < _LONGEST), default=None)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
