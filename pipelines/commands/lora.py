"""`fulora lora`: train, inspect, convert and publish LoRAs."""

import typer

from pipelines.commands import lora_files, lora_publish, lora_train

app = typer.Typer(
    help="Train a LoRA on a few images; inspect, convert and publish LoRA files.",
    no_args_is_help=True,
)
app.command("train")(lora_train.train)
app.command("inspect")(lora_files.inspect)
app.command("convert")(lora_files.convert)
app.command("publish")(lora_publish.publish)
