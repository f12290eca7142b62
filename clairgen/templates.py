"""Prompt templates: text with `{{slots}}`, checked when loaded and filled in one pass.

In one pass braces inside a task or an answer stay as they are: answers are full of them, and filling twice breaks three of
twenty real reviser prompts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from clairgen.errors import ConfigError, InputError
from clairgen.patterns import lazy_pattern
from clairgen.records import Message
from clairgen.row_files import require_regular_file

RENAMED: Mapping[str, str] = MappingProxyType({"worsen": "degrade"})
"""Names that shipped templates had before, and those that they have now; the old ones are still read."""
_SLOT = lazy_pattern(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Template:
    """A prompt's text with its name; `content_hash` is stored with every completion of a request that was filled from it."""

    name: str
    text: str

    @cached_property
    def slots(self) -> frozenset[str]:
        """Names of the slots in the text."""
        return frozenset(_SLOT.findall(self.text))

    @cached_property
    def content_hash(self) -> str:
        """Hex sha256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fill(self, **values: str) -> str:
        """Fill every slot in one pass; KeyError for a slot without a value, which is a fault of the recipe, not of the user."""
        return _SLOT.sub(lambda match: values[match[1]], self.text)


def load_template(name: str, slots: frozenset[str], folder: Path | None = None) -> Template:
    """Load a shipped template by name, or the user's own by a path that ends in `.txt`, and check that it has `slots`.

    A relative path is relative to `folder`, the configuration's. Raises ConfigError for an unknown name, an unreadable file,
    and slots that are missing or unknown.
    """
    name = RENAMED.get(name, name)
    template = Template(name, _text_of(name, folder or Path()))
    if template.slots != slots:
        wanted = ", ".join(f"{{{{{slot}}}}}" for slot in sorted(slots))
        found = ", ".join(f"{{{{{slot}}}}}" for slot in sorted(template.slots)) or "none"
        raise ConfigError(
            f"the template {name!r} must have exactly the slots {wanted}; it has {found}: correct its text"
        )
    return template


def shipped_templates() -> list[str]:
    """Names of the templates in the package."""
    return sorted(
        entry.name[:-4] for entry in resources.files("clairgen.prompts").iterdir() if entry.name.endswith(".txt")
    )


def transcript(messages: Sequence[Message]) -> str:
    """A task as the text for a template's one task slot.

    A single user message is its content, untouched. A conversation is a labelled transcript: `System:`, `User:` and
    `Assistant:` before each message, a blank line between messages.
    """
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)


def _text_of(name: str, folder: Path) -> str:
    if name.endswith(".txt"):
        path = folder / name
        try:
            require_regular_file(path, "the template")
            return path.read_text(encoding="utf-8")
        except InputError as error:
            raise ConfigError(str(error)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the template {path} cannot be read ({error}); give the path of a UTF-8 text file"
            ) from error
    if name not in shipped_templates():
        known = ", ".join(shipped_templates())
        raise ConfigError(f"there is no template named {name!r}; use one of {known}, or a path that ends in .txt")
    return resources.files("clairgen.prompts").joinpath(f"{name}.txt").read_text(encoding="utf-8")
