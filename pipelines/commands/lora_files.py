"""`fulora lora inspect` and `fulora lora convert`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

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
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all facts as JSON, the header too; - prints them.")
    ] = None,
) -> None:
    """Look into a LoRA file: what it is for, what it adapts, what it was trained on, its hashes.

    Examples:

      fulora lora inspect fetal_ultrasound_v1.0.safetensors

      fulora lora inspect lora.safetensors --json -
    """
    from fulora.diffusion.lora.inspect import inspect_lora

    facts = inspect_lora(file)
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    if str(json_file) == "-":
        print(text)
        return
    if json_file is not None:
        json_file.write_text(text + "\n", encoding="utf-8")
    from fulora.terminal import PlainConsole

    _print(PlainConsole(), facts)


def _print(console: "Console", facts: dict[str, Any]) -> None:
    from rich.table import Table

    about = Table(box=None, show_header=False, pad_edge=False)
    for name, value in (
        ("file", f"{facts['file']}, {facts['bytes']:,} bytes"),
        ("format", facts["format"]),
        ("for", ARCHITECTURES.get(facts["architecture"], "an architecture not known")),
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
    for part, found in facts["parts"].items():
        if zero := found["zero_up"]:
            console.print(f"\n{part}: {len(zero)} of {found['layers']} layers learned nothing (up is 0): {zero[0]} ...")


def _predicts(facts: dict[str, Any]) -> str:
    """What the LoRA was trained to predict, in words."""
    from fulora.diffusion.models.headers import WORDS

    kind = str(facts["prediction_type"])
    words = {**WORDS, "unknown": "the file does not say", "contradictory": "contradictory, see below"}
    return words.get(kind, kind) + (", with zero terminal SNR" if facts["zero_terminal_snr"] else "")


def _alpha(facts: dict[str, Any]) -> str:
    """Where alpha is from."""
    words = {"tensor": "of each layer, as a tensor", "header": "as the header says", "rank": "the rank"}
    counts = facts["alpha_from"]
    sources = ", ".join(words[source] + (f" ({n})" if len(counts) > 1 else "") for source, n in counts.items())
    return f"{sources}; {facts['about_alpha']}" if facts["about_alpha"] else sources


def _parts(parts: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table("part", "layers", "parameters", "rank", "alpha", "precision", "norm", "zero up", box=None)
    for part, found in parts.items():
        counts = [_counts(found[key]) for key in ("ranks", "alphas", "precisions")]
        sizes = (str(found["layers"]), f"{found['parameters']:,}")
        table.add_row(part, *sizes, *counts, f"{found['norm']:.4g}", str(len(found["zero_up"])))
    return table


def _counts(counts: dict[str, int]) -> str:
    """One value alone; several with how many layers have each."""
    return ", ".join(counts) if len(counts) == 1 else ", ".join(f"{value} ({n})" for value, n in counts.items())


def convert(
    source: Annotated[Path, typer.Argument(help="A LoRA file of fulora, diffusers or kohya, or a folder of peft.")],
    destination: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[
        Literal["diffusers", "kohya"],
        typer.Option(help="diffusers for load_lora_weights; kohya for AUTOMATIC1111, Forge, ComfyUI and kohya."),
    ],
    precision: Annotated[
        Literal["fp32", "fp16"] | None, typer.Option(help="Of the tensors; without it, that of the source.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a LoRA file in another format: the same function and header, the true alpha.

    Examples:

      fulora lora convert fetal_ultrasound_v1.0.safetensors lora.safetensors --format diffusers

      fulora lora convert lora.safetensors for_webui.safetensors --format kohya --precision fp16
    """
    from fulora.diffusion.lora.adapters import LoraError
    from fulora.diffusion.lora.files import convert_lora
    from fulora.diffusion.lora.inspect import inspect_lora

    if destination.suffix != ".safetensors":
        raise LoraError(f"{destination}: a LoRA file ends in .safetensors, or other tools do not find it")
    if destination.exists() and source.exists() and destination.samefile(source):
        raise LoraError(f"{destination} is the source: give the destination another name")
    if destination.exists() and not force:
        raise LoraError(f"{destination} is there already: give another name, or --force to write over it")
    convert_lora(source, destination, format=format, precision=precision)
    facts = inspect_lora(destination)
    precisions = sorted({kind for part in facts["parts"].values() for kind in part["precisions"]})
    print(
        f"{destination}: {format}, {facts['layers']} layers ({', '.join(facts['parts'])}), {', '.join(precisions)}, "
        f"{facts['bytes']:,} bytes, lora hash {facts['hashes']['lora_hash']}"
    )
    if format == "kohya" and facts["dora"]:
        print("DoRA in kohya's format is ignored by diffusers, and applied another way by ComfyUI: keep the source too")
