"""`fulora configs`: the shipped configs."""

from typing import Annotated

import typer


def configs(
    name: Annotated[str | None, typer.Argument(help="Print this config completely, with its comments.")] = None,
) -> None:
    """List the shipped configs with their first line, or print one to start your own from.

    Examples:

      fulora configs

      fulora configs demo > my_study.yaml
    """
    from pipelines.configs import config_path, shipped

    if name is not None:
        print(config_path(name).read_text(encoding="utf-8"), end="")
        return
    for key, path in shipped().items():
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print(f"{key:20s} {first}")
