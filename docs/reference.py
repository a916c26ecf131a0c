"""The reference, made from the code: commands, settings, functions, artifacts, variables and exit codes."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import typer

import fulora
import pipelines
from fulora.data.image import Image
from fulora.stage import Artifact, Source
from pipelines.__main__ import INTERRUPTED, PREEMPTED, app
from pipelines.jobs.settings import Settings, describe_settings, list_settings, read_meanings

VARIABLES = {
    "CUDA_VISIBLE_DEVICES": "which GPUs are used; `fulora generate --processes N` gives each process one of them",
    "DISABLE_TELEMETRY": "set to 1 unless you set it: libraries send no telemetry",
    "GOMP_SPINCOUNT": "how often waiting threads of GNU OpenMP look for work before they sleep; 10,000 unless you set it",
    "HF_HUB_DISABLE_TELEMETRY": "set to 1 unless you set it: requests to the Hugging Face hub send no telemetry",
    "OMP_NUM_THREADS": "threads of a process; set to the CPU quota of a container unless you set it",
    "OMP_WAIT_POLICY": "set to PASSIVE unless you set it: waiting threads soon sleep. With your own value fulora changes nothing",
    "RAY_ADDRESS": "the Ray cluster that `--engine ray` joins; without it, that of this machine, or a new one",
    "RAY_DEDUP_LOGS": "set to 0 unless you set it: messages about dead workers come at once",
    "RAY_USAGE_STATS_ENABLED": "set to 0 unless you set it: Ray sends no telemetry",
    "WORLD_SIZE": "number of processes of a training, set by `accelerate launch` and `torchrun`",
}
"""What each environment variable that the code reads or sets does."""

LIBRARY_VARIABLES = {
    "HF_HOME": "where Hugging Face libraries keep what they download",
    "HF_HUB_OFFLINE": "1 forbids every request to the hub: see [a hospital without internet](../tutorials/offline.md)",
}
"""Variables of libraries that matter to users, and that fulora's code does not name."""

NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")


class VariableError(ValueError):
    """Environment variables of the code that this page does not explain, or the other way round."""


def pages() -> dict[str, str]:
    """Return the pages of the reference by their names."""
    return {
        "commands": commands_page(),
        "settings": settings_page(),
        "python": python_page(),
        "artifacts": artifacts_page(),
        "environment": environment_page(),
        "exit_codes": exit_codes_page(),
    }


# --- commands


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, in the order of the help, by its words."""
    for name in group.list_commands(None):
        command = group.commands[name]
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def commands_page() -> str:
    """Return the page of all commands, with their arguments, options and examples."""
    text = "# Commands\n\nEvery command prints this by `--help`. KEY=VALUE are [settings](settings.md).\n\n"
    for words, command in commands(typer.main.get_command(app)):
        arguments = [p for p in command.params if p.param_type_name == "argument" and not p.hidden]
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
        usage = " ".join(("fulora", *words, *map(_usage, arguments), *(["[OPTIONS]"] if options else [])))
        text += f"## fulora {' '.join(words)}\n\n`{usage}`\n\n{_help(command.help or '')}\n\n"
        text += "".join(_entry(f"`{_metavar(p)}`", "", p.help) for p in arguments)
        text += "".join(_entry(", ".join(f"`{o}`" for o in (*p.opts, *p.secondary_opts)), _default(p), p.help) for p in options)
    return text


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _usage(argument: Any) -> str:
    shown = _metavar(argument)
    if argument.nargs == -1 and not shown.endswith("..."):
        shown += "..."
    return shown if argument.required or shown.startswith("[") else f"[{shown}]"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    value = option.default
    if value in (None, "", (), []) or isinstance(value, bool) or callable(value):
        return "may be repeated" if option.multiple else ""
    return f"default `{value}`"


def _entry(term: str, note: str, meaning: str | None) -> str:
    return f"{term}{f' ({note})' if note else ''}\n:   {_one_line(meaning or '-')}\n\n"


def _one_line(text: str) -> str:
    """Text of a docstring in one line, in which nothing but code is markup."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts)


def _help(text: str) -> str:
    """Help of a command as Markdown: its examples, two blanks from the margin, become one block."""
    out: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        if block.startswith("  "):
            out.append("    " + block.strip())
        else:
            out.append(_one_line(block))
    joined = "\n\n".join(out)
    examples = re.sub(r"(?:^    .*\n*)+", _fenced, joined + "\n", flags=re.MULTILINE)
    return examples.strip()


def _fenced(found: re.Match[str]) -> str:
    lines = [line.strip() for line in found[0].splitlines() if line.strip()]
    return "```sh\n" + "\n".join(lines) + "\n```\n\n"


# --- settings


def settings_page() -> str:
    """Return the page of the settings of every job and kind of source."""
    text = (
        "# Settings\n\nKeys are given as KEY=VALUE to commands, and as nested keys in a study's YAML file. "
        "`fulora settings NAME` prints the same. A setting marked *no change of results* is a device, a path or a number of "
        "workers: it is no part of an artifact's name.\n\n"
    )
    for name in list_settings():
        text += _settings_section(describe_settings(name))
    return text


def _settings_section(described: Settings) -> str:
    text = f"## {described.name}\n\n{_one_line(described.about)}\n\n"
    for row in described.rows:
        notes = [f"`{row.type}`"] + ([f"default `{row.default}`"] if row.default else [])
        notes += [] if row.changes_results else ["no change of results"]
        text += _entry(f"`{row.key}`", ", ".join(notes), row.meaning)
    return text


# --- functions


def python_page() -> str:
    """Return the page of the public functions, and of what they return."""
    text = "# Python\n\n```python\nimport fulora as fu\n```\n\nEvery job is a function. What a job returns is described below.\n\n"
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
        text += _entry(f"`{name}{call}`", "", document.partition("\n")[0])
    return text


def _docstring(thing: Any) -> str:
    """Docstring as Markdown: sections of arguments, errors and attributes become lists of terms."""
    text, mode = "", "text"
    terms: list[tuple[str, str]] = []

    def closed() -> str:
        made = "".join(_entry(f"`{term}`", "", meaning) for term, meaning in terms)
        terms.clear()
        return made

    paragraphs: list[str] = []
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if heading := re.fullmatch(r"(Args|Raises|Attributes|Returns|Example|Examples|Yields):", line):
            text += _paragraph(paragraphs) + closed()
            mode = "code" if heading[1].startswith("Example") else "terms" if heading[1] != "Returns" else "text"
            text += f"**{'Arguments' if heading[1] == 'Args' else heading[1]}**\n\n"
        elif mode == "terms" and (entry := re.fullmatch(r" {4}([\w, .]+): (.*)", line)):
            terms.append((entry[1], entry[2]))
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
    text = "```python\n" + inspect.cleandoc("\n" + "\n".join(lines)) + "\n```" if code else _one_line(" ".join(lines))
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
        text += _entry(f"`{name}`", "", meanings.get(name) or field.description or str(field.annotation))
    return text + "<!-- pipelines/README.md: Stages -->\n"


# --- environment variables, exit codes


def variables_in_code() -> set[str]:
    """Return the environment variables that modules of fulora and pipelines name where they use `os.environ`."""
    found: set[str] = set()
    for package in (fulora, pipelines):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            specification = importlib.util.find_spec(module.name)
            source = specification and specification.loader and specification.loader.get_source(module.name)  # type: ignore[attr-defined]
            if source and "environ" in source:
                strings = (n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant))
                found |= {value for value in strings if isinstance(value, str) and NAME.fullmatch(value)}
    return found


def environment_page() -> str:
    """Return the page of environment variables.

    Raises:
        VariableError: if the code names others than are explained here.
    """
    if wrong := variables_in_code() ^ set(VARIABLES):
        raise VariableError(f"VARIABLES of docs/reference.py and the code differ by {', '.join(sorted(wrong))}")
    text = "# Environment variables\n\nNo setting of a study is an environment variable: none of these changes what a result is.\n\n"
    for name, meaning in VARIABLES.items():
        text += f"`{name}`\n:   {meaning}.\n\n"
    text += "## Of libraries\n\n"
    return text + "".join(f"`{name}`\n:   {meaning}.\n\n" for name, meaning in LIBRARY_VARIABLES.items())


def exit_codes_page() -> str:
    """Return the page of exit codes, with the commands that end with 1 and when."""
    text = "# Exit codes\n\n| code | what it means |\n|---|---|\n| 0 | done |\n"
    text += "| 1 | the command found what it looks for: a leak, damage, a difference (the commands below) |\n"
    text += "| 2 | an error that you can mend: one message on standard error says what is wrong and what to do |\n"
    text += f"| {PREEMPTED} | stopped by SIGTERM or SIGHUP, after a checkpoint: the same command continues; requeue the job |\n"
    text += f"| {INTERRUPTED} | interrupted (Ctrl-C): the same command continues |\n\n"
    text += "A traceback is an error of fulora itself: please report it.\n\n## Commands that end with 1\n\n"
    for words, command in commands(typer.main.get_command(app)):
        sentences = re.findall(r"[^.;\n]*exit code (?:is )?1[^.;\n]*(?:\n[^.;\n]*)?", command.help or "")
        if sentences:
            text += f"`fulora {' '.join(words)}`\n:   {_one_line('; '.join(one.strip() for one in sentences))}.\n\n"
    return text
