"""`--engine`: where the parallel tasks of a command run."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from fulora.engine import Engine

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
