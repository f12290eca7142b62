"""How long an answer is: in characters, or in tokens of a tokenizer that is named."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from clairgen.errors import ConfigError
from clairgen.installed import require_tokens_extra

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_FILE = "tokenizer.json"


def length_in(tokenizer: str | None) -> Callable[[str], int]:
    """The function that measures a text: Unicode code points without a tokenizer, else the tokens of the one that is named.

    `tokenizer` is a folder with a tokenizer.json, such a file, or a model's name on the hub (`owner/name`, with `@revision` for
    another than its main branch). Only that file is read: no code of a model is run. Special tokens are not counted. Raises
    ConfigError for a tokenizer that cannot be read, MissingExtraError without the package that reads it.
    """
    if tokenizer is None:
        return len
    loaded = _loaded(tokenizer)

    def tokens(text: str) -> int:
        # a lone surrogate, which is no text for the tokenizer, counts as the replacement character
        return len(loaded.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids)

    return tokens


def unit(tokenizer: str | None) -> str:
    """What `length_in` counts, in words."""
    return "characters" if tokenizer is None else f"tokens of {tokenizer}"


def absolute(tokenizer: str, folder: Path) -> str:
    """A local tokenizer as a path counted from `folder`; a name on the hub as it is."""
    path = folder / Path(tokenizer).expanduser()
    return str(path) if path.exists() or not _is_hub_name(tokenizer) else tokenizer


@lru_cache(maxsize=4)
def _loaded(tokenizer: str) -> "Tokenizer":
    require_tokens_extra()
    from tokenizers import Tokenizer

    path = Path(tokenizer).expanduser()
    file = path / _FILE if path.is_dir() else path
    try:
        if file.is_file():
            loaded = Tokenizer.from_file(str(file))
        elif path.is_dir():
            raise ConfigError(
                f"the folder {tokenizer} has no {_FILE}; save the model's fast tokenizer there (tokenizer.save_pretrained)"
            )
        elif not _is_hub_name(tokenizer):
            raise ConfigError(
                f"there is no tokenizer {tokenizer}; name a folder with a {_FILE}, that file, or a model on the hub as owner/name"
            )
        else:
            name, _, revision = tokenizer.partition("@")
            loaded = Tokenizer.from_pretrained(name, revision=revision or "main")
    except ConfigError:
        raise
    except Exception as error:  # the library raises bare Exceptions
        raise ConfigError(
            f"the tokenizer {tokenizer} cannot be read, so check its name or its {_FILE}: {' '.join(str(error).split())[:200]}"
        ) from error
    loaded.no_truncation()  # a file may ask for either
    loaded.no_padding()
    return loaded


def _is_hub_name(tokenizer: str) -> bool:
    return tokenizer.count("/") == 1 and not tokenizer.startswith((".", "/", "~")) and not tokenizer.endswith(".json")
