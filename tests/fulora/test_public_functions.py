"""`import fulora`: every job by name, nothing heavy before one is used, and the same names for type checkers."""

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fulora

HEAVY = ("torch", "diffusers", "transformers", "open_clip", "pandas", "numpy", "pydantic", "datasets")


def test_every_job_is_a_function_with_a_docstring() -> None:
    for name, module in fulora.JOBS.items():
        function = getattr(fulora, name)
        assert function is getattr(import_module(module), name)
        assert inspect.getdoc(function), name
        assert name in dir(fulora)
        assert name in fulora.__all__


def test_the_stub_has_the_same_names() -> None:
    tree = ast.parse(Path(fulora.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imported = {
        alias.asname: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == fulora.JOBS


def test_an_unknown_name_is_an_attribute_error_that_lists_the_jobs() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'mixx'; its jobs are .*mix.*read_images"):
        _ = fulora.mixx


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, fulora; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(fulora.__file__).parents[1]
    )
    assert done.stdout.strip() == "[]", done.stderr
