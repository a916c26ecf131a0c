"""Options and arguments that several commands have, each declared once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fulora.diffusion.config import Architecture

if TYPE_CHECKING:
    from fulora.engine import Engine

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings by their dotted names, e.g. lora.rank=8.")
]
ConfigName = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A shipped config's name, or the path of a .yaml file.")
]
Work = Annotated[Path, typer.Option("--work", help="Folder that artifacts are kept in.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no notes.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write all figures and facts as JSON; - prints them instead.")
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="Take the settings of this config, e.g. paper/fu_lora.")
]

Backbone = Annotated[
    str, typer.Option(help="A diffusers folder, a .safetensors checkpoint, a hub id, or `demo`, the embedded one.")
]
Revision = Annotated[str | None, typer.Option(help="Of a hub id: a branch, tag or commit.")]
CheckpointArchitecture = Annotated[
    Architecture | None, typer.Option("--architecture", help="Of a checkpoint file if it cannot be detected.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]

MaskValuesOption = Annotated[
    str, typer.Option("--values", help="The class of each value of the masks, such as 127=1,255=2, if it is ambiguous.")
]
Threads = Annotated[int, typer.Option("--workers", min=1, help="Threads.")]
DrawSeed = Annotated[int, typer.Option("--seed", help="Of the random draws.")]

EngineName = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="Where work runs: in this process, or as tasks on a Ray cluster (RAY_ADDRESS)."),
]
CpusPerTask = Annotated[float, typer.Option("--cpus", min=0, help="Ray: CPUs that each task requests.")]
GpusPerTask = Annotated[float, typer.Option("--gpus", min=0, help="Ray: GPUs that each task requests.")]


def engine_named(name: Literal["local", "ray"], cpus: float, gpus: float) -> "Engine":
    """Return the engine, with its cluster joined or started.

    Raises:
        ValueError: if Ray is not installed.
        ConnectionError: if there is no cluster at `RAY_ADDRESS`.
    """
    from fulora.engine import InProcess

    if name == "local":
        return InProcess()
    from fulora.ray_engine import Ray

    return Ray(cpus=cpus, gpus=gpus)
