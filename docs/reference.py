"""The reference, made from the code: commands, settings, functions, artifacts, variables and exit codes."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import typer
from docstrings import artifacts_page, entry, one_line, python_page

import fulora
import pipelines
from pipelines.__main__ import INTERRUPTED, PREEMPTED, app
from pipelines.jobs.settings import Settings, describe_settings, list_settings

VARIABLES = {
    "CUDA_VISIBLE_DEVICES": "which GPUs are used; `fulora generate --processes N` gives each process one of them",
    "DISABLE_TELEMETRY": "set to 1 unless you set it: libraries send no telemetry",
    "GOMP_SPINCOUNT": "how often waiting threads of GNU OpenMP look for work before they sleep; else 10,000",
    "HF_HUB_DISABLE_TELEMETRY": "set to 1 unless you set it: requests to the Hugging Face hub send no telemetry",
    "OMP_NUM_THREADS": "threads of a process; set to the CPU quota of a container unless you set it",
    "OMP_WAIT_POLICY": "set to PASSIVE unless you set it: waiting threads soon sleep",
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
        text += "".join(entry(f"`{_metavar(p)}`", "", p.help) for p in arguments)
        for option in options:
            names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
            text += entry(names, _default(option), option.help)
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


def _help(text: str) -> str:
    """Help of a command as Markdown: its examples, two blanks from the margin, become one block."""
    out: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        if block.startswith("  "):
            out.append("    " + block.strip())
        else:
            out.append(one_line(block))
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
        "`fulora settings NAME` prints the same. A setting marked *no change of results* is a device, a path or a "
        "number of workers: it is no part of an artifact's name.\n\n"
    )
    for name in list_settings():
        text += _settings_section(describe_settings(name))
    return text


def _settings_section(described: Settings) -> str:
    text = f"## {described.name}\n\n{one_line(described.about)}\n\n"
    for row in described.rows:
        notes = [f"`{row.type}`"] + ([f"default `{row.default}`"] if row.default else [])
        notes += [] if row.changes_results else ["no change of results"]
        text += entry(f"`{row.key}`", ", ".join(notes), row.meaning)
    return text


# --- environment variables, exit codes


def variables_in_code() -> set[str]:
    """Return the environment variables that modules of fulora and pipelines name where they use `os.environ`."""
    found: set[str] = set()
    for package in (fulora, pipelines):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            finder: Any = module.module_finder
            source = finder.find_spec(module.name).loader.get_source(module.name)
            if "environ" in source:
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
    text = "# Environment variables\n\nNo setting of a study is an environment variable. "
    text += "A CPU's last digits depend on the number of threads, which is recorded.\n\n"
    for name, meaning in VARIABLES.items():
        text += f"`{name}`\n:   {meaning}.\n\n"
    text += "## Of libraries\n\n"
    return text + "".join(f"`{name}`\n:   {meaning}.\n\n" for name, meaning in LIBRARY_VARIABLES.items())


def exit_codes_page() -> str:
    """Return the page of exit codes, with the commands that end with 1 and when."""
    text = "# Exit codes\n\n| code | what it means |\n|---|---|\n| 0 | done |\n"
    text += "| 1 | the command found what it looks for: a leak, damage, a difference (the commands below) |\n"
    text += "| 2 | an error that you can mend: one message on standard error says what is wrong and what to do |\n"
    text += f"| {PREEMPTED} | stopped by SIGTERM or SIGHUP: the same command continues; requeue the job |\n"
    text += f"| {INTERRUPTED} | interrupted (Ctrl-C): the same command continues |\n\n"
    text += "A traceback is an error of fulora itself: please report it.\n\n## Commands that end with 1\n\n"
    for words, command in commands(typer.main.get_command(app)):
        sentences = re.findall(r"[^.;\n]*exit code (?:is )?1[^.;\n]*(?:\n[^.;\n]*)?", command.help or "")
        if sentences:
            text += f"`fulora {' '.join(words)}`\n:   {one_line('; '.join(one.strip() for one in sentences))}.\n\n"
    return text
