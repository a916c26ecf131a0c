"""What a study prints while it runs: which stage starts, what each took, and the time left as far as it is known."""

import json
from collections.abc import Mapping, Sequence
from statistics import mean

from fulora import progress
from fulora.terminal import styled
from fulora.workspace import Step


class StudyProgress:
    """The lines of one run on standard error, or as JSON on standard output.

    Args:
        planned: all steps of the study, with their states before the run.
        one_by_one: whether stages run one after the other, so that their times add up.
    """

    def __init__(self, planned: Sequence[Step], *, one_by_one: bool, as_json: bool, quiet: bool) -> None:
        self.total, self.one_by_one, self.as_json, self.quiet = len(planned), one_by_one, as_json, quiet
        self.left = {step.artifact.path: step.call.stage.name for step in planned if step.state != "ready"}
        self.seconds: dict[str, list[float]] = {}
        self.done = 0
        self.running = 0

    def begin(self, step: Step) -> None:
        """Print that a step begins, or continues, and the time left; notes, which `progress.show` switches off."""
        self.running += 1
        time = describe_time_left(list(self.left.values()), self.seconds) if self.one_by_one else ""
        number = f"{self.done + self.running:3d}/{self.total}"
        progress.note(f"{number} {step.label:32s}    {describe_start(step)}" + (f"; {time}" if time else ""))

    def report(self, step: Step, seconds: float) -> None:
        """Print what a step took, or that it was there."""
        self.done += 1
        self.left.pop(step.artifact.path, None)
        if step.state != "ready":
            self.running -= 1
            self.seconds.setdefault(step.call.stage.name, []).append(seconds)
        if self.as_json:
            print(json.dumps(step_facts(step, seconds)), flush=True)
        elif not self.quiet:
            time_taken = f"{seconds:8.1f} s" if seconds else "   cached"
            place, path = (f"{self.done:3d}/{self.total}", "dim"), (str(step.artifact.path), "dim")
            progress.console.print(styled(place, f" {step.label:32s} {time_taken}  ", path), soft_wrap=True)


def describe_start(step: Step) -> str:
    """Describe how a step begins: anew, or from what a stopped run left."""
    if step.state == "partial":
        return "continues where it was stopped" if step.call.stage.resumes else "was stopped, starts again"
    return f"starts again: {step.note}" if step.state == "stale" else "starts"


def describe_time_left(stages: Sequence[str], seconds: Mapping[str, Sequence[float]]) -> str:
    """Describe the time that stages need, by what others of the same kind took in this run; "" if none is known.

    Args:
        stages: the names of the stages that are not done, one for each step.
        seconds: of finished steps, by the name of their stage.
    """
    times = [mean(seconds[name]) for name in stages if name in seconds]
    if not times:
        return ""
    time = f"about {progress.duration(sum(times))}"
    return f"{time} left" if len(times) == len(stages) else f"{time} for {len(times)} of the {len(stages)} stages left"


def step_facts(step: Step, seconds: float) -> dict[str, str | float | bool]:
    """Return what `--json` prints of a step."""
    return {
        "stage": step.call.stage.name,
        "label": step.label,
        "state": step.state,
        "folder": str(step.artifact.path),
        "cached": step.state == "ready",
        "seconds": round(seconds, 2),
    }
