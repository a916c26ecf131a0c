"""The command line. Each group of commands stands in its own file under `commands/`."""

import os
import sys

import typer

from pipelines.commands import artifacts, configs, data, export, lora, studies

# A folder or an embedded backbone never needs the network, and a hub that is asked needs no telemetry.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DISABLE_TELEMETRY", "1")

INTERRUPTED = 130
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
app.command("export")(export.export)
app.add_typer(data.app, name="data")
app.add_typer(lora.app, name="lora")


def main() -> None:
    """Run the command line; what the user can mend is one clear message and exit code 2, without a traceback."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"fulora: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("fulora: interrupted; the same command continues where this one stopped", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
