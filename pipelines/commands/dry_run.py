"""`fulora run --dry-run`: every arm with its steps, cost and cached trainings, and the plan of each LoRA."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from fulora.config import Config
from fulora.engine import InProcess
from fulora.stage import Call, read_record
from fulora.terminal import PlainConsole, printable
from fulora.workspace import ReachedError, Step, Workspace
from pipelines.training_key import Training

if TYPE_CHECKING:
    from pipelines.configs import Study

ARM_STAGES = ("train_classifier", "tune_clip", "train_unet")
"""The stages whose trainings belong to an arm, one for each seed."""


def print_costs(study: "Study", values: Config, plan: Workspace) -> None:
    """Print the arms of a planned study, then run the stages before its LoRAs and print the plan of each LoRA."""
    arms = [step for step in plan.steps if step.call.stage.name in ARM_STAGES]
    if arms:
        described = (
            {name: arm.description for name, arm in values.all_arms().items()} if hasattr(values, "all_arms") else {}
        )
        _print_arms(arms, described)
    if any(step.call.stage.name == "train_lora" for step in plan.steps):
        _print_lora_plans(study, values, plan.root)
    else:
        print("this study trains no LoRA; `fulora status` shows what it would do")


def _print_arms(steps: Sequence[Step], described: Mapping[str, str]) -> None:
    from rich.table import Table

    table = Table("arm", "trained on", "trainings", "steps each", "images shown", "cached", "still to do", box=None)
    seconds = _mean_seconds(steps)
    for (stage, name), trainings in _by_arm(steps).items():
        config = trainings[0].call.arguments["config"]
        epochs = getattr(config, "epochs", None)
        each = f"{epochs} epochs" if epochs else str(config.steps)
        shown = "all, each epoch" if epochs else f"{len(trainings) * config.steps * config.batch_size:,}"
        ready = sum(step.state == "ready" for step in trainings)
        table.add_row(
            name,
            described.get(name, "") if stage == ARM_STAGES[0] else "",
            str(len(trainings)),
            each,
            shown,
            f"{ready} of {len(trainings)}",
            _cost(trainings, seconds),
        )
    PlainConsole(width=max(140, get_terminal_size().columns)).print(table)
    total = sum(1 for step in steps if step.state != "ready")
    print(f"{len(steps)} trainings, {len(steps) - total} cached, {total} to do")


def _by_arm(steps: Sequence[Step]) -> dict[tuple[str, str], list[Step]]:
    """The steps of each arm, by its stage and its name."""
    arms: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        arm = step.key.arm if isinstance(step.key, Training) else step.label
        arms.setdefault((step.call.stage.name, arm), []).append(step)
    return arms


def _mean_seconds(steps: Sequence[Step]) -> dict[str, float]:
    """Mean seconds of the finished trainings of each stage: all arms of a study cost alike."""
    seconds: dict[str, list[float]] = {}
    for step in steps:
        if step.state == "ready":
            seconds.setdefault(step.call.stage.name, []).append(float(read_record(step.artifact.path)["seconds"]))
    return {stage: sum(each) / len(each) for stage, each in seconds.items()}


def _cost(steps: Sequence[Step], seconds: Mapping[str, float]) -> str:
    """Time of the missing trainings, one after another; "" if none is missing."""
    missing = sum(step.state != "ready" for step in steps)
    if not missing:
        return ""
    each = seconds.get(steps[0].call.stage.name)
    return "not known before one is done" if each is None else f"about {missing * each / 60:.1f} min"


def _print_lora_plans(study: "Study", values: Config, work: Path) -> None:
    from fulora.diffusion.models.loading import load_backbone
    from fulora.diffusion.training.image_sets import read_training_images
    from fulora.diffusion.training.plan import plan_training

    load, read = lru_cache(1)(load_backbone), lru_cache(1)(read_training_images)  # usually all LoRAs have the same
    try:
        study.run(values, Workspace(work, InProcess(), until="train_lora"))
    except ReachedError as reached:
        different: dict[str, tuple[str, Call[Any]]] = {}
        for name, call in reached.calls.items():
            different.setdefault(call.fingerprint(), (str(name), call))
        for name, call in different.values():
            arguments = call.arguments
            config = arguments["config"]
            sets = (arguments["images"], arguments["prior"], arguments["tested_on"])
            material = read(*sets, mask_channel=config.mask_channel)
            lines = plan_training(config, load(arguments["backbone"].path), material).lines()
            print(printable("\n".join([f"{name}:", *(f"  {line}" for line in lines)])))
