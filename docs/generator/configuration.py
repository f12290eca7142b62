"""The reference of every configuration key and training setting, from the models that read them."""

from collections.abc import Collection, Mapping

from pydantic import BaseModel

from clairgen.config.key_reference import ROLES, Group, Key, groups
from clairgen.config.models import RunConfig
from clairgen.config.starter import yaml_value
from clairgen.experiment.experiment_config import ExperimentConfig
from clairgen_train.settings import CONFIGS, MACHINE_SETTINGS, TrainingSettings
from docs.generator.markdown import code, fenced, table


def configuration() -> str:
    """Every key of a configuration, a section a group."""
    roles = table(("role", "what it does"), ((code(name), does) for name, does in ROLES.items()))
    return _sections(RunConfig, "The whole file", after={"models": f"The roles:\n\n{roles}\n\nThe keys of a role:"})


def training_settings() -> str:
    """Every training setting; those that may change when a run goes on are marked."""
    return _sections(TrainingSettings, "All settings", marked=MACHINE_SETTINGS, mark="May change.")


def experiment_keys() -> str:
    """Every key of an experiment's configuration as one table."""
    known = groups(ExperimentConfig)
    rows = [
        (code(f"{prefix}{key.name}"), key.description, "**required**" if key.required else _default(key))
        for name, prefix in (("ExperimentConfig", ""), ("Questions", "tasks."))
        for key in known[name].keys
    ]
    return table(("key", "what it does", "default"), rows)


def training_configs() -> str:
    """The shipped settings files as they are."""
    files = sorted(CONFIGS.glob("*.yaml"))
    return "\n\n".join(fenced(file.read_text(encoding="utf-8"), "yaml", f"{file.stem}") for file in files)


def filters() -> str:
    """The filters in their order, with what each looks at and its default."""
    known = groups(RunConfig)
    [name] = (key.type.strip("[]") for key in known["RunConfig"].keys if key.name == "filters")
    rows = (
        (f"[{code(key.name)}](../reference/configuration.md#filters-{key.name})", key.description, _default(key))
        for key in known[name].keys
    )
    return table(("filter", "finds", "by default"), rows)


def _sections(
    model: type[BaseModel],
    title: str,
    *,
    after: Mapping[str, str] | None = None,
    marked: Collection[str] = (),
    mark: str = "",
) -> str:
    """A section a group, under the keys that lead to it."""
    known = groups(model)
    uses = _uses(known)
    anchors = {name: paths[0].rpartition(".")[2] for name, paths in uses.items()}
    parts = []
    for name, group in known.items():
        paths = uses.get(name, [])
        heading = ", ".join(code(path) for path in paths) if paths else title
        anchor = anchors.get(name, "all-keys")
        parts.append(f"## {heading} {{ #{anchor} }}\n\n{group.description}")
        if after and anchor in after:
            parts.append(after[anchor])
        rows = (_row(key, anchor, anchors, mark if key.name in marked else "") for key in group.keys)
        parts.append(table(("key", "what it does", "value", "default"), rows))
    return "\n\n".join(parts)


def _uses(known: Mapping[str, Group]) -> dict[str, list[str]]:
    """The dotted keys that lead to each group but the first, in the order in which they are met."""
    first = next(iter(known))
    paths: dict[str, list[str]] = {first: [""]}
    for name, group in known.items():
        for key in group.keys:
            for other in known:
                if f"[{other}]" in key.type:
                    paths.setdefault(other, []).append(".".join(filter(None, (paths[name][0], key.name))))
    del paths[first]
    return paths


def _row(key: Key, anchor: str, anchors: Mapping[str, str], mark: str) -> tuple[str, str, str, str]:
    kind = key.type
    for name, other in anchors.items():
        kind = kind.replace(f"list of [{name}]", f"list of [mappings](#{other})")
        kind = kind.replace(f"[{name}]", f"[a mapping](#{other})")
    value = f"{kind}, {key.limits}" if key.limits else kind
    default = "**required**" if key.required else _default(key)
    return f"{code(key.name)}{{ #{anchor}-{key.name} }}", f"{key.description} {mark}".strip(), value, default


def _default(key: Key) -> str:
    value = yaml_value(key.default)
    return "no bounds" if value == "{}" and "[" in key.type else code(value) or "not set"
