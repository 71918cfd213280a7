"""What the sources say of themselves, read without importing them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dts_core", "dts_worker", "dts_tui")


class Import(NamedTuple):
    """One import of `target` in `module`, wherever in the file it stands."""

    module: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def module_name(file: Path) -> str:
    parts = list(file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files(*packages: str) -> Iterator[Path]:
    for package in packages or PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


@cache
def imports(*packages: str) -> tuple[Import, ...]:
    """Every import in the packages (all of ours by default), those inside functions too."""
    return tuple(found for file in files(*packages) for found in _imports(file))


def _imports(file: Path) -> Iterator[Import]:
    module = module_name(file)
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            # `from package import module` and `from module import name` look alike: take the
            # longer form when such a module exists.
            base = node.module or ""
            for alias in node.names:
                longer = f"{base}.{alias.name}"
                yield Import(module, longer if _is_module(longer) else base, node.lineno)


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def within(module: str, *places: str) -> bool:
    """Whether a module is one of the places or lies below one."""
    return any(module == place or module.startswith(f"{place}.") for place in places)
