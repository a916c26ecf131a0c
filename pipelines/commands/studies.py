"""`fulora run` and `fulora status`: studies."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fulora import progress
from fulora.config import Config
from fulora.engine import InProcess
from fulora.terminal import PlainConsole, styled
from fulora.workspace import Workspace
from pipelines.commands.options import ConfigName, CpusPerTask, EngineName, GpusPerTask, Overrides, Work, engine_named
from pipelines.commands.study_progress import StudyProgress, step_facts
from pipelines.commands.verify import typed

if TYPE_CHECKING:
    from pipelines.configs import Study

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line, for programs.")]
MARKS = {
    "ready": ("ready", "green"),
    "missing": ("to do", "yellow"),
    "partial": ("continues", "yellow"),
    "stale": ("again", "yellow"),
    "damaged": ("damaged", "red"),
}


def run(
    config: ConfigName,
    overrides: Overrides = None,
    work: Work = Path("work"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the report's path.")] = False,
    as_json: AsJson = False,
    engine: EngineName = "local",
    cpus: CpusPerTask = 1,
    gpus: GpusPerTask = 0,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what each arm costs and what is cached, and what training the LoRA takes."
        ),
    ] = False,
) -> None:
    """Run a study: every stage whose artifact does not exist yet. A stopped run continues where it stopped.

    Examples:

      fulora run demo

      fulora run real_small data_root=../shared/data --work work

      fulora run my_study.yaml lora.rank=16 generate.per_class=500

      fulora run my_study.yaml --dry-run

      fulora run study data_root=/shared/data --work /shared/work --engine ray --gpus 1
    """
    progress.show(not (quiet or as_json))
    study, values, plan, notes = _plan(config, overrides, work)
    plan.checked()
    if dry_run:
        from pipelines.commands.dry_run import print_costs

        print("\n".join(notes), end="\n" * bool(notes))
        print_costs(study, values, plan)
        return
    for note in notes:
        progress.note(note)
    started = time.monotonic()
    chosen = engine_named(engine, cpus, gpus)
    lines = StudyProgress(plan.steps, one_by_one=chosen.is_local, as_json=as_json, quiet=quiet)
    workspace = Workspace(work, chosen, begin=lines.begin, report=lines.report, command=typed())
    report = study.run(values, workspace)
    page = report.path / "report.html"
    result = str(page if page.is_file() else report.path)
    print(json.dumps({"result": result, "seconds": round(time.monotonic() - started, 1)}) if as_json else result)


def _plan(config: str, overrides: list[str] | None, work: Path) -> "tuple[Study, Config, Workspace, list[str]]":
    """The study, its config, its planned steps, and notes on it, a line each.

    Raises:
        ConfigError: if the study has problems, with all that can be found before anything is curated.
    """
    from pipelines.configs import load

    study, values = load(config, overrides or [])
    from pipelines.checks.studies import check_study  # after the config is valid: errors of it come sooner

    findings = check_study(values, work)
    findings.stop(config)
    plan = Workspace(work, InProcess(), plan=True)
    study.run(values, plan)
    return study, values, plan, findings.note_lines()


def status(
    config: ConfigName,
    overrides: Overrides = None,
    work: Work = Path("work"),
    as_json: AsJson = False,
) -> None:
    """Show what `run` would do: the state and folder of every stage, and problems that would stop it. Nothing is run.

    Example:

      fulora status demo
    """
    _, _, plan, notes = _plan(config, overrides, work)
    if as_json:
        for line in notes:
            progress.note(line)
        for step in plan.steps:
            print(json.dumps(step_facts(step, 0.0) | {"note": step.note}))
        return
    console = PlainConsole()
    for number, step in enumerate(plan.steps, 1):
        note = f"  ({step.note})" if step.note else ""
        (mark, style), path = MARKS[step.state], (str(step.artifact.path), "dim")
        text = styled((f"{number:3d}", "dim"), " ", (f"{mark:9s}", style), f" {step.label:32s} ", path, note)
        console.print(text, soft_wrap=True)
    ready = sum(step.state == "ready" for step in plan.steps)
    console.print(f"{ready} of {len(plan.steps)} stages ready")
    for line in notes:
        console.print(line, style="yellow", soft_wrap=True)
