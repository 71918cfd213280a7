"""A function of several modules, imported so that no other function sees its modules or gives it its own.

They are submodules of one package that only this version has. `import sibling` finds them too, by an `__import__` that
only they have: `sys.modules` knows them by their full names alone.
"""

import builtins
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Optional

from dts_core.runner.bundle import split


class Package:
    """The modules of one version.

    Args:
        name: Of the package; every module lies below it.
        label: What file names in tracebacks begin with: `ns/name@version`.
        source: A bundle.
    """

    def __init__(self, name: str, label: str, source: bytes) -> None:
        self._name = name
        entry, files = split(source)
        self.sources = {f"{label}/{path}": data for path, data in files.items()}
        """File name in tracebacks -> source."""
        self._modules: dict[str, tuple[str, bytes, bool]] = {name: (label, b"", True)}
        for path in files:
            parts = path[: -len(".py")].split("/")
            for depth in range(1, len(parts)):  # a folder without an __init__.py
                folder = ".".join([name, *parts[:depth]])
                self._modules.setdefault(folder, ("/".join([label, *parts[:depth]]), b"", True))
            is_package = parts[-1] == "__init__"
            full = ".".join([name, *(parts[:-1] if is_package else parts)])
            self._modules[full] = (f"{label}/{path}", files[path], is_package)
        self._tops = {each[len(name) + 1 :].split(".")[0] for each in self._modules} - {""}
        self.entry = name if entry == "__init__.py" else name + ".main"
        self.filename = f"{label}/{entry}"
        self._builtins = dict(vars(builtins), __import__=self._import)

    def load(self) -> ModuleType:
        """The entry, imported, with everything that it imports itself."""
        sys.meta_path.insert(0, self)
        _have_ancestors(self._name)
        root = ModuleType(self._name)
        root.__spec__ = self.find_spec(self._name)
        root.__package__ = self._name
        root.__path__ = []
        sys.modules[self._name] = root
        self.exec_module(root)
        builtins.__import__(self.entry, fromlist=("__name__",))
        return sys.modules[self.entry]

    def close(self) -> None:
        """Forget all of it; what runs keeps what it holds."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name in self._modules:
            sys.modules.pop(name, None)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """Answer for its own modules."""
        found = self._modules.get(name)
        if found is None:
            return None
        return ModuleSpec(name, self, origin=found[0], is_package=found[2])  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> Optional[ModuleType]:
        """Let the import system make a plain module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's source."""
        filename, source, _ = self._modules[module.__name__]
        module.__file__ = filename
        module.__dict__["__builtins__"] = self._builtins
        code = compile(source, filename, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - running user code is what this process is for

    def _import(self, name: str, *given: Any, **named: Any) -> Any:
        """As Python's own; a name that a module of ours has is that module."""
        call = dict(zip(("globals", "locals", "fromlist", "level"), given), **named)
        top = name.partition(".")[0]
        if call.get("level") or top not in self._tops:
            return builtins.__import__(name, *given, **named)
        wanted = call.get("fromlist")
        call.update(fromlist=wanted or ("__name__",), level=0)
        found = builtins.__import__(f"{self._name}.{name}", **call)
        return found if wanted else sys.modules[f"{self._name}.{top}"]


def _have_ancestors(name: str) -> None:
    """Empty packages above it: `from . import x` asks for them, and finds nothing in them."""
    parts = name.split(".")[:-1]
    for depth in range(len(parts)):
        above = ".".join(parts[: depth + 1])
        if above not in sys.modules:
            made = sys.modules[above] = ModuleType(above)
            made.__path__ = []
