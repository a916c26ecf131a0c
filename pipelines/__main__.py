"""The command line. Each group of commands is a file of `commands/`."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer
from pydantic import ValidationError

import fulora
from fulora.environment import configure_openmp, stop_signals
from fulora.files import DiskFullError, is_full
from fulora.json_files import explained
from fulora.stage import PreemptedError
from fulora.terminal import printable
from pipelines.commands import (
    artifacts,
    assess,
    classify,
    clip,
    configs,
    data,
    doctor,
    export,
    generate,
    lora,
    measure,
    mix,
    regenerate,
    report,
    score,
    segment,
    settings,
    studies,
    verify,
    zero_shot,
)
from pipelines.commands.help_panels import CommandsByJob, assign_panels

# Folders and the embedded backbone need no network; requests to a hub send no telemetry.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DISABLE_TELEMETRY", "1")
configure_openmp()

INTERRUPTED = 130
PREEMPTED = 75
"""EX_TEMPFAIL of sysexits.h: tells a batch system to start the job again."""

OPTIMIZED = (
    "Python runs with PYTHONOPTIMIZE=2 (or -OO), which removes the docstrings that transformers and the command line's "
    "help need; unset PYTHONOPTIMIZE, or set it to 1"
)

EPILOG = "Examples:  fulora run demo   |   fulora run demo lora.rank=16 --work work   |   fulora status demo"

app = typer.Typer(
    name="fulora",
    help="Synthetic fetal ultrasound by LoRA, and measurements of whether it helps. Research use only.",
    epilog=EPILOG,
    cls=CommandsByJob,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fulora {fulora.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("run")(studies.run)
app.command("status")(studies.status)
app.command("show")(artifacts.show)
app.command("configs")(configs.configs)
app.command("generate")(generate.generate)
app.command("mix")(mix.mix)
app.command("regenerate")(regenerate.regenerate)
app.command("export")(export.export)
app.command("assess")(assess.assess)
app.command("zero-shot")(zero_shot.zero_shot)
app.add_typer(data.app, name="data")
app.add_typer(lora.app, name="lora")
app.add_typer(classify.app, name="classify")
app.add_typer(clip.app, name="clip")
app.add_typer(segment.app, name="segment")
app.add_typer(score.app, name="score")
app.add_typer(measure.app, name="measure")
app.command("settings")(settings.settings)
app.command("doctor")(doctor.doctor)
app.command("verify")(verify.verify)
app.command("report")(report.report)
verify.check_all(app)
assign_panels(app)


class StoppedError(SystemExit):
    """A signal asked this process to stop."""

    def __init__(self, name: str) -> None:
        super().__init__(PREEMPTED)
        self.name = name


def _stop(number: int, frame: FrameType | None) -> None:
    raise StoppedError(signal.Signals(number).name)


def _open_standard_streams() -> None:
    """Open closed standard streams on the null device, or the next file opened would get the number of one of them.

    What a decoder in C then prints on standard error would be written into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # A new file gets the lowest free number, which is that of the closed stream.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def main() -> None:
    """Run the command line; an error that the user can fix is one message and exit code 2, without a traceback."""
    _open_standard_streams()
    if sys.flags.optimize > 1:
        print(f"fulora: {OPTIMIZED}", file=sys.stderr)
        sys.exit(2)
    for number in stop_signals():
        signal.signal(number, _stop)
    try:
        app()
    except PreemptedError as error:
        print(printable(f"fulora: {error}"), file=sys.stderr)
        sys.exit(PREEMPTED)
    except Exception as error:
        if not (isinstance(error, ValueError | OSError) or is_full(error)):
            raise
        print(printable(f"fulora: {_message(error)}"), file=sys.stderr)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code in (INTERRUPTED, PREEMPTED):
            cause = f"stopped by {ended.name}" if isinstance(ended, StoppedError) else "interrupted"
            print(f"fulora: {cause}; the same command continues where this one stopped", file=sys.stderr)
        raise


def _message(error: Exception) -> str:
    """The message of an error that the user can fix; one line for pydantic's."""
    if is_full(error) and not isinstance(error, DiskFullError):
        return f"the disk is full ({error}); free some room and run the same command again"
    return explained(error) if isinstance(error, ValidationError) else str(error)


if __name__ == "__main__":
    main()
