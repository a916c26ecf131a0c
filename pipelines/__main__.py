"""The command line. Each group of commands stands in its own file under `commands/`."""

import os
import signal
import sys

import typer

from fulora.stage import PreemptedError
from fulora.terminal import printable
from pipelines.commands import (
    artifacts,
    assess,
    configs,
    data,
    export,
    generate,
    lora,
    measure,
    regenerate,
    score,
    segment,
    studies,
)

# A folder or an embedded backbone never needs the network, and a hub that is asked needs no telemetry.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DISABLE_TELEMETRY", "1")

INTERRUPTED = 130
PREEMPTED = 75
"""EX_TEMPFAIL of sysexits.h: what a batch system is told so that it starts the job again."""

EPILOG = "Examples:  fulora run demo   |   fulora run demo lora.rank=16 --work work   |   fulora status demo"

app = typer.Typer(
    name="fulora",
    help="Synthetic fetal ultrasound by LoRA, and honest measurements of what it is worth. Research use only.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(studies.run)
app.command("status")(studies.status)
app.command("show")(artifacts.show)
app.command("configs")(configs.configs)
app.command("generate")(generate.generate)
app.command("regenerate")(regenerate.regenerate)
app.command("export")(export.export)
app.command("assess")(assess.assess)
app.command("segment")(segment.segment)
app.add_typer(data.app, name="data")
app.add_typer(lora.app, name="lora")
app.add_typer(score.app, name="score")
app.add_typer(measure.app, name="measure")


def main() -> None:
    """Run the command line; what the user can mend is one clear message and exit code 2, without a traceback."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(PREEMPTED))
    try:
        app()
    except PreemptedError as error:
        print(printable(f"fulora: {error}"), file=sys.stderr)
        sys.exit(PREEMPTED)
    except (ValueError, OSError) as error:
        print(printable(f"fulora: {error}"), file=sys.stderr)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code in (INTERRUPTED, PREEMPTED):
            said = "interrupted" if ended.code == INTERRUPTED else "stopped by SIGTERM"
            print(f"fulora: {said}; the same command continues where this one stopped", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
