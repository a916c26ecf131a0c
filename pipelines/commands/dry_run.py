"""`fulora run --dry-run`: every arm with its steps, cost and what is cached, and what training the LoRAs takes."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from fulora.engine import InProcess
from fulora.stage import Call, read_record
from fulora.terminal import PlainConsole, printable
from fulora.workspace import ReachedError, Step, Workspace
from pipelines.trainings import Training

if TYPE_CHECKING:
    from fulora.config import Config
    from pipelines.configs import Study

ARM_STAGES = ("train_classifier", "tune_clip", "train_unet")
"""The stages whose trainings are an arm's, one a seed."""


def say_what_it_takes(study: "Study", values: "Config", plan: Workspace) -> None:
    """Print the arms of a planned study, then make what stands before its LoRAs and print the plan of each."""
    arms = [step for step in plan.steps if step.call.stage.name in ARM_STAGES]
    if arms:
        described = {name: arm.said for name, arm in values.all_arms().items()} if hasattr(values, "all_arms") else {}
        _print_arms(arms, described)
    if any(step.call.stage.name == "train_lora" for step in plan.steps):
        _say_what_loras_take(study, values, plan.root)
    else:
        print("this study trains no LoRA; `fulora status` says what it would do")


def _print_arms(steps: Sequence[Step], described: Mapping[str, str]) -> None:
    from rich.table import Table

    table = Table("arm", "trained on", "trainings", "steps each", "images shown", "cached", "still to do", box=None)
    took = _seconds(steps)
    for (stage, name), own in _by_arm(steps).items():
        config = own[0].call.arguments["config"]
        epochs = getattr(config, "epochs", None)
        each = f"{epochs} epochs" if epochs else str(config.steps)
        shown = "all, each epoch" if epochs else f"{len(own) * config.steps * config.batch_size:,}"
        ready = sum(step.state == "ready" for step in own)
        table.add_row(
            name,
            described.get(name, "") if stage == ARM_STAGES[0] else "",
            str(len(own)),
            each,
            shown,
            f"{ready} of {len(own)}",
            _cost(own, took),
        )
    PlainConsole(width=max(140, get_terminal_size().columns)).print(table)
    total = sum(1 for step in steps if step.state != "ready")
    print(f"{len(steps)} trainings, {len(steps) - total} cached, {total} to do")


def _by_arm(steps: Sequence[Step]) -> dict[tuple[str, str], list[Step]]:
    """The steps of each arm, by its stage and its name."""
    found: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        arm = step.key.arm if isinstance(step.key, Training) else step.label
        found.setdefault((step.call.stage.name, arm), []).append(step)
    return found


def _seconds(steps: Sequence[Step]) -> dict[str, float]:
    """What a finished training of each stage took on average: all arms of a study cost alike."""
    found: dict[str, list[float]] = {}
    for step in steps:
        if step.state == "ready":
            found.setdefault(step.call.stage.name, []).append(float(read_record(step.artifact.path)["seconds"]))
    return {stage: sum(took) / len(took) for stage, took in found.items()}


def _cost(steps: Sequence[Step], took: Mapping[str, float]) -> str:
    """Time of what is still to do, one after another; "" where there is nothing to do."""
    missing = sum(step.state != "ready" for step in steps)
    if not missing:
        return ""
    each = took.get(steps[0].call.stage.name)
    return "not known before one is done" if each is None else f"about {missing * each / 60:.1f} min"


def _say_what_loras_take(study: "Study", values: "Config", work: Path) -> None:
    from fulora.diffusion.models.loading import load_backbone
    from fulora.diffusion.training.image_sets import read_training_images
    from fulora.diffusion.training.plan import plan_training

    load, read = lru_cache(1)(load_backbone), lru_cache(1)(read_training_images)  # mostly, all LoRAs have the same
    try:
        study.run(values, Workspace(work, InProcess(), until="train_lora"))
    except ReachedError as reached:
        different: dict[str, tuple[str, Call[Any]]] = {}
        for name, call in reached.calls.items():
            different.setdefault(call.fingerprint(), (str(name), call))
        for name, call in different.values():
            given = call.arguments
            pairs = given["config"].mask_channel
            material = read(given["images"], given["prior"], given["tested_on"], mask_channel=pairs)
            found = plan_training(given["config"], load(given["backbone"].path), material)
            print(printable("\n".join([f"{name}:", *(f"  {line}" for line in found.lines())])))
