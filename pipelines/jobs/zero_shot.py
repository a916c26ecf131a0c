"""`zero_shot`: classification by prompts, by one or several CLIPs and sets of prompts, compared on the same images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora import progress
from fulora.data.weights import ClipWeights
from fulora.engine import InProcess
from fulora.workspace import Workspace
from pipelines.backbone_names import DEMO
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import WORK
from pipelines.jobs.prompt_sets import PromptsReference
from pipelines.jobs.tables import Table
from pipelines.jobs.zero_shot_arms import Comparison, Head
from pipelines.jobs.zero_shot_folder import is_finished, write_zero_shot
from pipelines.jobs.zero_shot_plan import plan_comparison
from pipelines.jobs.zero_shot_result import ZeroShot
from pipelines.stages.take_tested import SplitChoice


def zero_shot(
    images: str | Path | Images,
    *,
    out: str | Path,
    clip: str | Path | ClipWeights | Sequence[str | Path | ClipWeights] = DEMO,
    prompts: PromptsReference | Sequence[PromptsReference] = (),
    settings: Mapping[str, object] | None = None,
    split: SplitChoice = "test",
    unlabelled: bool = False,
    leave_out: Sequence[str] = (),
    train: str | Path | Images | None = None,
    heads: Sequence[Head] = (),
    few_shot: Sequence[int] = (),
    draws: int = 2000,
    seed: int = 0,
    device: str = "auto",
    work: str | Path = WORK,
    command: str = "",
) -> ZeroShot:
    """Classify images by prompts with every CLIP and every set of prompts, and compare them on the same images.

    Example:

        result = fu.zero_shot("planes", prompts={"liver": "a liver", "spleen": "a spleen"}, out="zero")

    Args:
        images: an image set, whose split is predicted on; any other folder is curated once, all its images tested on.
        out: folder of the result: complete or absent. A finished one of the same inputs is returned.
        clip: `[NAME=]FOLDER` in open_clip's layout, `[NAME=]hub:OWNER/NAME[@REVISION]`, or `demo`; one or several.
        prompts: a .yaml file, a text "CLASS=PROMPT; CLASS=PROMPT", a mapping of classes to prompts, a `PromptSet`, or
            `labels`, those of the images' label set, which is the default; one or several.
        settings: of the curation, if `images` is no image set.
        split: of an image set, or `all`.
        unlabelled: the true classes are unknown: predictions without scores.
        leave_out: classes whose images are left out.
        train: an image set with a training split, for heads; by default `images` itself.
        heads: `linear`, `tip`: a linear probe, Tip-Adapter, compared with the prompts.
        few_shot: numbers of training images a class; heads are fitted to so many, by default Tip-Adapter.
        draws: bootstrap draws of patients in each interval.
        seed: of the draws, and of the choice of few images.
        device: that images are embedded on.
        work: folder that keeps curated images, embeddings and predictions; nothing in it is computed twice.
        command: makes the result again; messages about damage contain it.

    Raises:
        ClipReferenceError, PromptSetError, TrainingSetError: if something is named wrongly, or two things alike.
        UntestableImagesError, SourceError: if the images cannot be predicted on.
        LabelSetError: if images show classes that no prompt names.
        OverlapError, SameNumberError: if a CLIP or head learned from a tested image or patient.
        OutputFolderError: if `out` holds something else.
    """
    compared = plan_comparison(
        images,
        clip=clip,
        prompts=prompts,
        settings=settings,
        split=split,
        unlabelled=unlabelled,
        leave_out=leave_out,
        train=train,
        heads=heads,
        few_shot=few_shot,
        draws=draws,
        seed=seed,
        device=device,
        work=Path(work),
        command=command,
    )
    return run_comparison(compared, Path(out), Path(work), command=command)


def run_comparison(compared: Comparison, out: Path, work: Path, *, command: str = "") -> ZeroShot:
    """Make what is compared in `work`, and the folder of the result; arguments as for `zero_shot`."""
    planned = compared.run(Workspace(work, InProcess(), plan=True))
    if is_finished(out, planned.fingerprints()):
        progress.note(f"{out}: is finished already")
        return ZeroShot(out)
    made = compared.run(Workspace(work, InProcess(), command=command))
    write_zero_shot(out, compared, made)
    return ZeroShot(out)


def plan_table(compared: Comparison, out: Path, work: Path) -> Table:
    """Return what the job would make, a row for each artifact, and what is there already; nothing is computed."""
    planned = Workspace(work, InProcess(), plan=True)
    made = compared.run(planned)
    is_finished(out, made.fingerprints())
    embedded = sum(1 for _ in compared.tested.source.iter_rows())
    what = f"{len(compared.rows())} images of {compared.n_patients()} patients"
    return Table(
        f"{what} by {len(made.predictions)} models, to {out}",
        [{"artifact": step.label, "state": step.state, "in": str(step.artifact.path)} for step in planned.steps],
        (
            f"classes: {', '.join(compared.labels.names)}",
            f"models: {'; '.join(made.predictions)}",
            f"each CLIP embeds all {embedded} images of {compared.tested.source.path.name}, once",
            *compared.notes(),
            *made.notes,
        ),
    )
