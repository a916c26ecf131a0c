"""`fulora lora`: train, inspect, convert and publish LoRAs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fulora.diffusion.lora.formats import Format, Precision
from fulora.terminal import PlainConsole
from pipelines.commands.lora_train import train
from pipelines.commands.options import JsonFile
from pipelines.commands.output import write_json

app = typer.Typer(help="Train a LoRA on a few images; inspect, convert and publish LoRA files.", no_args_is_help=True)
app.command()(train)

ARCHITECTURES = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
    "sd3": "Stable Diffusion 3",
    "flux": "Flux",
}
WIDEST = 60


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A LoRA file of fulora, diffusers or kohya, or a folder of peft.")],
    json_file: JsonFile = None,
) -> None:
    """Describe a LoRA file: its architecture, the layers it adapts, its training data, its hashes.

    Examples:

      fulora lora inspect fetal_ultrasound_v1.0.safetensors

      fulora lora inspect lora.safetensors --json -
    """
    from fulora.diffusion.lora.inspect import inspect_lora

    facts = inspect_lora(file)
    if not write_json(json_file, facts):
        _print(PlainConsole(), facts)


def _print(console: PlainConsole, facts: dict[str, Any]) -> None:
    about = Table(box=None, show_header=False, pad_edge=False)
    for name, value in (
        ("file", f"{facts['file']}, {facts['bytes']:,} bytes"),
        ("format", facts["format"]),
        ("for", ARCHITECTURES.get(facts["architecture"], "an unknown architecture")),
        ("kind", ("DoRA" if facts["dora"] else "LoRA") + (", scaled as rsLoRA" if facts["rslora"] else "")),
        ("adapts", f"{facts['layers']} layers by {facts['parameters']:,} parameters"),
        ("predicts", _predicts(facts)),
        ("trained for", ", ".join(facts["trained_for"])),
        ("alpha", _alpha(facts)),
        ("base", facts["base_model"]),
        ("patients", str(facts["facts"].get("patients") or "")),
        ("licence", facts["licence"]),
        ("lora hash", f"{facts['hashes']['lora_hash']} (AUTOMATIC1111: of the bytes after the header)"),
        ("sha256", facts["hashes"]["sha256"]),
    ):
        if value:
            about.add_row(name, value)
    console.print(about)
    console.print()
    console.print(_parts(facts["parts"]))
    for title, values in (("captions", facts["captions"]), ("settings", facts["settings"])):
        if values:
            listed = "; ".join(f"{key}: {str(value)[:WIDEST]}" for key, value in values.items())
            console.print(f"\n{title}: {listed}")
    for part, layers in facts["parts"].items():
        if zero := layers["zero_up"]:
            count = f"{len(zero)} of {layers['layers']}"
            console.print(f"\n{part}: {count} layers learned nothing (up is 0): {zero[0]} ...")


def _predicts(facts: dict[str, Any]) -> str:
    """Describe what the LoRA was trained to predict."""
    from fulora.diffusion.models.headers import WORDS

    kind = str(facts["prediction_type"])
    words = {**WORDS, "unknown": "the file does not say", "contradictory": "contradictory, see below"}
    return words.get(kind, kind) + (", with zero terminal SNR" if facts["zero_terminal_snr"] else "")


def _alpha(facts: dict[str, Any]) -> str:
    """Describe where alpha is from."""
    words = {"tensor": "of each layer, as a tensor", "header": "as the header says", "rank": "the rank"}
    counts = facts["alpha_from"]
    sources = ", ".join(words[source] + (f" ({n})" if len(counts) > 1 else "") for source, n in counts.items())
    return f"{sources}; {facts['about_alpha']}" if facts["about_alpha"] else sources


def _parts(parts: dict[str, Any]) -> Table:
    table = Table("part", "layers", "parameters", "rank", "alpha", "precision", "norm", "zero up", box=None)
    for part, layers in parts.items():
        counts = [_counts(layers[key]) for key in ("ranks", "alphas", "precisions")]
        sizes = (str(layers["layers"]), f"{layers['parameters']:,}")
        table.add_row(part, *sizes, *counts, f"{layers['norm']:.4g}", str(len(layers["zero_up"])))
    return table


def _counts(counts: dict[str, int]) -> str:
    """A single value alone; several with how many layers have each."""
    return ", ".join(counts) if len(counts) == 1 else ", ".join(f"{value} ({n})" for value, n in counts.items())


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A LoRA file of fulora, diffusers or kohya, or a folder of peft.")],
    destination: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[
        Format,
        typer.Option(help="diffusers for load_lora_weights; kohya for AUTOMATIC1111, Forge, ComfyUI and kohya."),
    ],
    precision: Annotated[Precision | None, typer.Option(help="Of the tensors; by default that of the source.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a LoRA file in another format: the same function and header, the true alpha.

    Examples:

      fulora lora convert fetal_ultrasound_v1.0.safetensors lora.safetensors --format diffusers

      fulora lora convert lora.safetensors for_webui.safetensors --format kohya --precision fp16
    """
    from fulora.diffusion.lora.files import convert_lora
    from fulora.diffusion.lora.inspect import inspect_lora

    convert_lora(source, destination, format=format, precision=precision, overwrite=force)
    facts = inspect_lora(destination)
    precisions = sorted({kind for part in facts["parts"].values() for kind in part["precisions"]})
    print(
        f"{destination}: {format}, {facts['layers']} layers ({', '.join(facts['parts'])}), {', '.join(precisions)}, "
        f"{facts['bytes']:,} bytes, lora hash {facts['hashes']['lora_hash']}"
    )
    if format == "kohya" and facts["dora"]:
        print("DoRA in kohya's format is ignored by diffusers, and applied another way by ComfyUI: keep the source too")


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished LoRA, as `lora train` and `run` write it.")],
    to: Annotated[
        str, typer.Option("--to", metavar="OWNER/NAME", help="Repository on the Hub; created if it does not exist.")
    ],
    push: Annotated[bool, typer.Option("--push", help="Upload it. Without this, nothing leaves this machine.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Open to all; otherwise the repository is private.")] = False,
    licence: Annotated[str, typer.Option(help="Of the weights; otherwise that of the training images.")] = "",
    title: Annotated[str, typer.Option(help="Of the model card; by default what the LoRA is of.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="New folder to collect the files in, to review.")] = None,
) -> None:
    """Publish a LoRA on the Hugging Face Hub with a model card. Without --push it shows what would be sent: review it.

    Examples:

      fulora lora publish work/train_lora-0123456789abcdef --to me/fetal-planes --out look

      fulora lora publish work/train_lora-0123456789abcdef --to me/fetal-planes --licence cc-by-4.0 --push
    """
    from huggingface_hub import get_token

    from fulora.diffusion.lora.publish import CARD, TITLE, publish_lora

    token = get_token() if push else None
    done = publish_lora(
        folder, to, push=push, private=not public, token=token, licence=licence, title=title or TITLE, out=out
    )
    print(f"{to}, {'public' if public else 'private'}: {f'sent, {done.url}' if push else 'nothing was sent'}")
    for name, size in done.sizes.items():
        print(f"  {size:>13,} bytes  {name}")
    for name in done.left_out:
        print(f"  {'stays here':>19}  {name}")
    print(
        f"You must check: whether the licence of the training images ({done.images_licence or 'not stated'}) and that "
        "of the base model allow publishing these weights, and whether images generated with them copy training images."
    )
    if out is not None:
        print(f"Gathered in {out}: read {out / CARD}.")
    elif not push:
        print(f"\n{done.card}", end="")
