"""What ends a command: one clean message for what the user can mend, a traceback for a mistake of ours."""

import errno

import pytest
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError

from fulora.files import DiskFullError
from pipelines import __main__ as command_line


class Numbers(BaseModel):
    x: int
    y: int


def invalid() -> Exception:
    try:
        Numbers.model_validate({"x": "a"})
    except ValidationError as error:
        return error
    raise AssertionError


SERIALIZED = "Error while serializing: I/O error: No space left on device (os error 28)"
CLEAN = {
    "of a stage": (DiskFullError("work/a: the disk is full; go on"), "fulora: work/a: the disk is full; go on\n"),
    "of Python": (OSError(errno.ENOSPC, "No space left on device", "a.csv"), "fulora: the disk is full ([Errno 28] "),
    "of safetensors": (SafetensorError(SERIALIZED), "fulora: the disk is full (Error while serializing: I/O error"),
    "of a value": (ValueError("a: is not allowed"), "fulora: a: is not allowed\n"),
    "of pydantic": (invalid(), "fulora: x: Input should be a valid integer, unable to parse"),
}


@pytest.mark.parametrize("which", CLEAN)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    error, message = CLEAN[which]
    monkeypatch.setattr(command_line, "app", raising(error))
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(message)
    assert said.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("a"), RuntimeError("a"), AttributeError("a"), SafetensorError("header")])
def test_a_programming_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(command_line, "app", raising(error))
    with pytest.raises(type(error)):
        command_line.main()


def raising(error: Exception):  # type: ignore[no-untyped-def]
    def app() -> None:
        raise error

    return app
