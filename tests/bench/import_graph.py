"""What the source of a checkout says about its structure, read with `ast`: modules, imports between them, names used twice."""

import ast
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGES = {"clairgen": "clairgen", "clairgen_train": "train/clairgen_train"}
_NOT_COUNTED = ("__init__", "__main__")

Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Source:
    """The modules of one package, by dotted name: their trees, and the number of lines of each."""

    package: str
    trees: Mapping[str, ast.Module]
    lines: Mapping[str, int]

    @cached_property
    def modules(self) -> list[str]:
        """Modules that hold more than a docstring."""
        return [name for name, tree in self.trees.items() if any(not _is_text(node) for node in tree.body)]

    @cached_property
    def rooms(self) -> Graph:
        """For each direct child of the package (a package with all in it, or a module), the others that it imports."""
        graph: dict[str, set[str]] = {_room(module): set() for module in self.modules}
        for module, imported in imports(self.trees).items():
            graph.setdefault(_room(module), set()).update({_room(name) for name in imported} - {_room(module)})
        return {room: frozenset(imported) for room, imported in graph.items()}

    @cached_property
    def circles(self) -> list[list[str]]:
        """Groups of modules that import each other in a circle."""
        return circles(imports(self.trees))


def read(checkout: Path, package: str) -> Source:
    """Parse every Python file of a package, those behind the links to `data/` and `prompts/` too."""
    trees: dict[str, ast.Module] = {}
    lines: dict[str, int] = {}
    root = checkout / PACKAGES[package]
    for path in sorted(_python_files(root)):
        text = path.read_text(encoding="utf-8")
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join((package, *(part for part in parts if part != "__init__")))
        trees[name], lines[name] = ast.parse(text, path), text.count("\n")
    return Source(package, trees, lines)


def imports(trees: Mapping[str, ast.Module]) -> Graph:
    """For each module the others of `trees` that it imports anywhere: in functions and for type checkers too."""
    return {
        module: frozenset(_resolved(name, trees) for name in _imported(module, tree, trees)) - {module, ""}
        for module, tree in trees.items()
    }


def circles(graph: Graph) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan), each in alphabetical order."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in order:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], order[other])
        if lowest[node] == order[node]:
            cut = stack.index(node)
            if len(stack) - cut > 1:
                found.append(sorted(stack[cut:]))
            del stack[cut:]

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def arrows_across(sources: Iterable[Source]) -> set[tuple[str, str]]:
    """Pairs of a room and a room of another package that it imports, each as `package.room`."""
    trees = {name: tree for source in sources for name, tree in source.trees.items()}
    pairs = ((module, name) for module, imported in imports(trees).items() for name in imported)
    return {
        (".".join(module.split(".")[:2]), ".".join(name.split(".")[:2]))
        for module, name in pairs
        if module.split(".")[0] != name.split(".")[0]
    }


def upward_imports(checkout: Path, source: Source) -> list[str]:
    """Imports against the layers that import-linter is given for the package in the checkout's own pyproject.toml.

    A layer may import the layers listed after it; children of one layer that are separated by `|` may not import each other.
    """
    settings = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers" and c["containers"] == [source.package])
    level = {
        room.strip(" ()"): depth for depth, layer in enumerate(layers) for room in layer.replace(":", "|").split("|")
    }
    return [
        f"{room} -> {imported}"
        for room, others in source.rooms.items()
        for imported in sorted(others)
        if room in level and imported in level and level[imported] <= level[room]
    ]


def repeated_modules(sources: Iterable[Source]) -> dict[str, list[str]]:
    """File names that several modules have, each with the modules; `__init__` and `__main__` are not counted."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for source in sources:
        packages = {name.rpartition(".")[0] for name in source.trees}
        for name in source.trees:
            if name not in packages and (last := name.rpartition(".")[2]) not in _NOT_COUNTED:
                places[last].append(name)
    return {name: modules for name, modules in sorted(places.items()) if len(modules) > 1}


def repeated_classes(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Public names of top-level classes that several modules define, each with the modules."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for source in sources:
        for module, tree in source.trees.items():
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(module)
    return {name: modules for name, modules in sorted(places.items()) if len(modules) > 1}


def own_names_imported(source: Source) -> int:
    """How many names the modules import from their own package, each module's apart."""
    return sum(
        len(node.names)
        for tree in source.trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES
    )


def gerunds(sources: Iterable[Source]) -> Counter[str]:
    """Modules whose name ends in -ing, which say what happens and not what is there."""
    return Counter(
        last for source in sources for name in source.trees if (last := name.rpartition(".")[2]).endswith("ing")
    )


def _python_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            yield from _python_files(path)
        elif path.suffix == ".py":
            yield path


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _room(module: str) -> str:
    """The direct child of the package that a module belongs to; the package's own name for its `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _imported(module: str, tree: ast.Module, trees: Mapping[str, ast.Module]) -> Iterator[str]:
    is_package = any(name.startswith(f"{module}.") for name in trees)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = len(parts) - node.level + (1 if is_package else 0)
                base = ".".join((*parts[:kept], *filter(None, [node.module])))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _resolved(name: str, trees: Mapping[str, ast.Module]) -> str:
    """The module that an imported name is, or is in; empty for one that is not among `trees`."""
    if name in trees:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in trees else ""
