"""`fulora lora`: train, look into, convert and publish LoRAs."""

import typer

app = typer.Typer(
    help="Train a LoRA on a few planes; look into, convert and publish LoRA files.",
    no_args_is_help=True,
)
