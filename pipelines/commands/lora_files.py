"""`fulora lora inspect` and `fulora lora convert`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fulora.diffusion.lora.formats import Format, Precision
from fulora.terminal import PlainConsole
from pipelines.commands.json_output import write_json
from pipelines.commands.options import JsonFile

ARCHITECTURES = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
    "sd3": "Stable Diffusion 3",
    "flux": "Flux",
}
WIDEST = 60


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
