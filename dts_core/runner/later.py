"""What is done to a module of the standard library once user code has loaded it: most never load it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_actions: dict[str, Callable[[], object]] = {}


def when_imported(name: str, action: Callable[[], object]) -> None:
    """Call `action` right behind the import of a module, before anybody can use it; now when it is loaded already."""
    if name in sys.modules:
        action()
        return
    if not _actions:
        sys.meta_path.insert(0, _Finder())
    _actions[name] = action


class _Finder:
    """Stands before all others and lets them find."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any | None:
        """What the others find, for the names that are waited for."""
        action = _actions.get(name)
        if action is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None and finder is not self else None
            if spec is not None and spec.loader is not None:
                spec.loader = _Then(spec.loader, name, action)
                return spec
        return None


class _Then:
    """A loader that does one thing more."""

    def __init__(self, inner: Any, name: str, action: Callable[[], object]) -> None:
        self._inner = inner
        self._name = name
        self._action = action

    def create_module(self, spec: Any) -> Any:
        return self._inner.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        if _actions.pop(self._name, None) is not None:
            self._action()
