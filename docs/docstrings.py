"""The reference of the library, made from docstrings: the public functions, what they return, and the artifacts."""

import importlib
import inspect
import pkgutil
import re
from typing import Any

import fulora
import pipelines
from fulora.data.image import Image
from fulora.stage import Artifact, Source
from pipelines.jobs.settings import read_meanings


def entry(term: str, note: str, meaning: str | None) -> str:
    """Return a term, a note on it in brackets, and its meaning, as an entry of a list of definitions."""
    return f"{term}{f' ({note})' if note else ''}\n:   {one_line(meaning or '-')}\n\n"


def one_line(text: str) -> str:
    """Text of a docstring in one line, in which nothing but code is markup."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts)


# --- functions


def python_page() -> str:
    """Return the page of the public functions, and of what they return."""
    text = "# Python\n\n```python\nimport fulora as fu\n```\n\n"
    text += "Every job is a function. What a job returns is described below.\n\n"
    results: dict[str, type] = {}
    for name in sorted(fulora.JOBS):
        function = getattr(fulora, name)
        signature = inspect.signature(function)
        returned = signature.return_annotation
        results[returned.__name__] = returned
        text += f"## fu.{name}\n\n```python\n{_signature(name, signature)}\n```\n\n{_docstring(function)}\n\n"
        text += f"Returns [{returned.__name__}](#{returned.__name__.lower()}).\n\n"
    text += "## Results of the functions\n\n"
    for name, kind in sorted(results.items()):
        text += f"### {name}\n\n{_docstring(kind)}\n\n{_members(kind)}"
    return text


def _signature(name: str, signature: inspect.Signature) -> str:
    shown = []
    keyword_only = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            shown.append("*")
        default = "" if parameter.default is parameter.empty else f"={_value(parameter.default)}"
        shown.append(parameter.name + default)
    return f"fu.{name}(\n    " + ",\n    ".join(shown) + ",\n)"


def _value(value: object) -> str:
    return repr(str(value)) if hasattr(value, "__fspath__") else repr(value)


def _members(kind: type) -> str:
    text = ""
    for name, member in inspect.getmembers(kind):
        document = inspect.getdoc(member)
        if name.startswith("_") or not document or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        call = "" if isinstance(member, property) else "()"
        text += entry(f"`{name}{call}`", "", document.partition("\n")[0])
    return text


def _docstring(thing: Any) -> str:
    """Docstring as Markdown: sections of arguments, errors and attributes become lists of terms."""
    text, mode = "", "text"
    terms: list[tuple[str, str]] = []

    def closed() -> str:
        made = "".join(entry(f"`{name}`", "", meaning) for name, meaning in terms)
        terms.clear()
        return made

    paragraphs: list[str] = []
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if heading := re.fullmatch(r"(Args|Raises|Attributes|Returns|Example|Examples|Yields):", line):
            text += _paragraph(paragraphs) + closed()
            mode = "code" if heading[1].startswith("Example") else "terms" if heading[1] != "Returns" else "text"
            text += f"**{'Arguments' if heading[1] == 'Args' else heading[1]}**\n\n"
        elif mode == "terms" and (term := re.fullmatch(r" {4}([\w, .]+): (.*)", line)):
            terms.append((term[1], term[2]))
        elif mode == "terms" and line.startswith("     ") and terms:
            terms[-1] = (terms[-1][0], f"{terms[-1][1]} {line.strip()}")
        elif line.strip():
            paragraphs.append(line)
        else:
            text += _paragraph(paragraphs)
    return (text + _paragraph(paragraphs) + closed()).strip()


def _paragraph(lines: list[str]) -> str:
    """The lines gathered so far as a paragraph, or as Python if all are indented; empties them."""
    if not lines:
        return ""
    code = all(line.startswith("    ") for line in lines)
    text = "```python\n" + inspect.cleandoc("\n" + "\n".join(lines)) + "\n```" if code else one_line(" ".join(lines))
    lines.clear()
    return text + "\n\n"


# --- artifacts


def artifact_types() -> list[type[Artifact]]:
    """Return every type of artifact, by name."""
    for package in (fulora, pipelines):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, waiting = set(), [Artifact]
    while waiting:
        kind = waiting.pop()
        found |= {kind}
        waiting += kind.__subclasses__()
    return sorted(found - {Artifact, Source}, key=lambda kind: kind.__name__)


def artifacts_page() -> str:
    """Return the page of the types of artifacts, the columns of an image set, and the stages."""
    text = "# Artifacts and their files\n\n<!-- fulora/README.md: Artifacts -->\n\n## Types of artifacts\n\n"
    for kind in artifact_types():
        text += f"### {kind.__name__}\n\n{_docstring(kind)}\n\n"
    text += "## Columns of an image set\n\nThe rows of `metadata.jsonl`, one for each image.\n\n"
    meanings = read_meanings(Image) or {}
    for name, field in Image.model_fields.items():
        text += entry(f"`{name}`", "", meanings.get(name) or field.description or str(field.annotation))
    return text + "<!-- pipelines/README.md: Stages -->\n"
