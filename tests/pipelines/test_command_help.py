"""Help, version and shell completion of every command, and what must not be imported for them."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from command_inside import called

import fulora
from pipelines.__main__ import app
from pipelines.commands.help_panels import ORDER, PANELS


def commands(group: Any, *path: str) -> Iterator[tuple[str, str]]:
    """Every command below a group, by its words, with its help."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command.help


HELP = dict(commands(typer.main.get_command(app)))


def has_example(command: str, text: str) -> bool:
    return re.search(rf"^ *fulora {command}( |$)", text, re.MULTILINE) is not None


def test_an_example_is_recognised() -> None:
    assert has_example("lora train", "Trains.\n\nExample:\n\n  fulora lora train images")
    assert not has_example("lora", "Trains by `fulora lora`, or\n\n  fulora lorax")


@pytest.mark.parametrize("command", HELP)
def test_every_command_has_an_example_in_its_help(command: str) -> None:
    assert has_example(command, HELP[command]), f"add `fulora {command} ...` below `Examples:`"
    for option in ("--help", "-h"):
        done = called(*command.split(), option)
        assert done.code == 0
        assert f"fulora {command}" in done.stdout


@pytest.mark.parametrize("command", HELP)
def test_every_example_has_arguments_that_parse(command: str) -> None:
    lines = (line.strip() for line in HELP[command].splitlines())
    for line in lines:
        if line.startswith("fulora "):
            words = shlex.split(line.split(" > ")[0], comments=True)[1:]
            called_by: Any = typer.main.get_command(app)
            while hasattr(called_by, "commands"):
                called_by = called_by.commands[words.pop(0)]
            called_by.make_context("example", words)  # raises if it does not


def test_every_command_is_in_a_panel_in_the_order_of_jobs() -> None:
    group: Any = typer.main.get_command(app)
    assert set(group.commands) <= set(ORDER), "name the new command in PANELS of pipelines/commands/help_panels.py"
    shown = called("--help").stdout
    panels = [panel for panel in re.findall(r"─ (\w+) ─", shown) if panel != "Options"]
    assert panels == list(PANELS)
    names = re.findall(r"^│ ([a-z][a-z-]*) ", shown, re.MULTILINE)
    assert names == sorted(group.commands, key=lambda name: ORDER[name])


def test_the_version() -> None:
    done = called("--version")
    assert (done.code, done.stdout) == (0, f"fulora {fulora.__version__}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    script = called("--show-completion", shell)
    assert script.code == 0
    assert f"complete_{shell}" in script.stdout
    monkeypatch.setenv("_FULORA_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "fulora lora ins")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "fulora lora ins")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert "inspect" in called().stdout


IMPORTED = """
import sys
sys.argv = {words}
from pipelines.__main__ import main
try:
    main()
except SystemExit:
    pass
print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""
TORCH = ("torch", "torchvision", "diffusers", "transformers", "peft", "open_clip", "datasets", "timm", "monai")
ARRAYS = ("numpy", "scipy", "sklearn", "pandas", "matplotlib", "cv2", "PIL", "pydicom", "jaxtyping", "requests")


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], (*TORCH, *ARRAYS)),
        (["generate", "--cout", "3"], (*TORCH, *ARRAYS)),
        (["run", "smoke", "lora.rnak=8"], (*TORCH, "scipy.stats", "scipy.cluster", "sklearn", "pandas", "matplotlib")),
        (["lora", "inspect", "nowhere.safetensors"], (*TORCH[1:], "scipy", "sklearn", "pandas", "matplotlib")),
    ],
    ids=["help", "wrong option", "wrong setting", "inspect"],
)
def test_what_is_not_imported(words: list[str], heavy: tuple[str, ...]) -> None:
    code = IMPORTED.format(words=["fulora", *words], heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1] == "[]"
