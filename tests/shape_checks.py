"""Shapes are checked in every test: functions of `PACKAGES` whose annotations name a shape check them when called.

The import hook of jaxtyping would do the same, but while it loads a module everything that this imports, torch among
it, is compiled from source instead of being read from its bytecode cache, and it checks functions without arrays too.
Functions inside functions are not checked.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from functools import cached_property
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from inspect import isclass, isfunction
from types import ModuleType
from typing import Any

from beartype import beartype
from jaxtyping import jaxtyped

PACKAGES = (
    *("affine", "assessment", "biometry", "classification", "clip", "data", "diffusion", "export", "intake", "metrics"),
    *("report", "segmentation", "training"),
)
"""Packages of fulora, and modules, whose functions are checked."""


def _names_a_shape(annotated: Any) -> bool:
    return "jaxtyping" in repr(getattr(annotated, "__annotations__", {}))


def _checked(value: Any) -> Any:
    """The function with checks; what is no function, or names no shape, as it is."""
    if isinstance(value, classmethod | staticmethod):
        return type(value)(_checked(value.__func__))
    if isinstance(value, property):
        return property(_checked(value.fget), value.fset, value.fdel, value.__doc__)
    if isinstance(value, cached_property):
        value.func = _checked(value.func)
    return jaxtyped(value, typechecker=beartype) if isfunction(value) and _names_a_shape(value) else value


def _own(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(module).items()):
        if (isfunction(value) or isclass(value)) and value.__module__ == module.__name__:
            yield name, value


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for name, value in _own(module):
            if isclass(value):
                for method, function in list(vars(value).items()):
                    if _checked(function) is not function and not isinstance(function, cached_property):
                        setattr(value, method, _checked(function))
                if is_dataclass(value) and _names_a_shape(value):
                    setattr(module, name, jaxtyped(value, typechecker=beartype))
            else:
                setattr(module, name, _checked(value))


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(tuple(f"fulora.{package}" for package in PACKAGES)):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Check what is imported from now on."""
    sys.meta_path.insert(0, _Finder())
