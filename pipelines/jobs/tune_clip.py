"""`tune_clip`: a CLIP tuned on any image set, as studies tune theirs; the result is an ordinary open_clip bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fulora.clip.config import TuneClipConfig
from fulora.config import validated
from fulora.data.image_set import ImageSet
from fulora.data.weights import ClipWeights
from fulora.engine import InProcess
from fulora.job_folder import make_in
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.backbone_names import DEMO
from pipelines.jobs.clips import NamedClip, named_clips
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import WORK
from pipelines.jobs.tables import Cell, Table
from pipelines.jobs.training_plan import describe_validation, plan_tables, training_images, with_selected_step
from pipelines.jobs.trainings import Training
from pipelines.stages.tune_clip import tune_clip as stage


def tune_clip(
    images: str | Path | Images,
    out: str | Path,
    *,
    clip: str | Path | Training = DEMO,
    settings: Mapping[str, Any] | None = None,
    curation: Mapping[str, object] | None = None,
    device: str = "auto",
    work: str | Path = WORK,
) -> Training:
    """Tune a CLIP on images of its classes, or continue; nothing is done if it is finished.

    Example:

        tuned = fu.tune_clip("hybrid", "tuned", clip="my_clip", settings={"method": "flyp", "wise_ft": 0.5})

    Args:
        images: an image set, or any folder that `fulora data check` reads, which is curated first: a fifth of its
            patients then select the weights.
        out: the folder of the tuned CLIP, in open_clip's layout.
        clip: a folder in open_clip's layout, `demo`, or `hub:OWNER/NAME`.
        settings: of `TuneClipConfig`.
        curation: settings of the curation, such as `{"patient_pattern": r"P(\\d+)"}`.
        device: auto, cpu, cuda, ...
        work: folder that curated images are kept in.

    Raises:
        ConfigError: if a setting is not valid; every problem is named.
        OutputFolderError: if `out` holds something else.
        ClipReferenceError, MissingInputError: if there is no such CLIP.
        ClipError, LabelSetError: if the CLIP cannot be read, or was tuned on other classes.
    """
    source = images if isinstance(images, Images) else Path(images)
    cfg = tuning_config(settings, device)
    return ClipJob(source, Path(out), cfg, clip, curation=curation or {}, work=Path(work)).train()


def tuning_config(settings: Mapping[str, Any] | None, device: str = "auto") -> TuneClipConfig:
    """Return the settings of a tuning.

    Raises:
        ConfigError: if one is not valid.
    """
    return validated(TuneClipConfig, {"device": device, **(settings or {})}, where="settings")


@dataclass(frozen=True)
class ClipJob:
    """Everything that a CLIP is tuned from; attributes as the arguments of `tune_clip`.

    Attributes:
        command: what the user typed, for messages about how to make the folder again.
    """

    images: Path | Images
    out: Path
    cfg: TuneClipConfig
    clip: str | Path | Training = DEMO
    curation: Mapping[str, object] = field(default_factory=dict)
    work: Path = WORK
    command: str = ""

    def planned(self) -> list[Table]:
        """Check everything, and return the images and what the tuning takes; nothing is tuned.

        Raises:
            ValueError: if the tuning could not run.
        """
        from fulora.clip.tuned_classes import refuse_tuned_on_others

        refuse_tuned_on_others(self._clip.path, self._images.label_set(), whose=f"the images {self._images.path.name}")
        return plan_tables(self._images, f"a CLIP would be tuned in {self.out}", self._facts())

    def train(self) -> Training:
        """Tune the CLIP, or continue; nothing is done if it is finished."""
        made = make_in(self.out, stage, self.command, self.cfg, images=self._images, clip=self._clip)
        return with_selected_step(Training(f"CLIP tuned by {self.cfg.method}", made.path), self._metric)

    @cached_property
    def _images(self) -> ImageSet:
        return training_images(self.images, self.curation, self.work, command=self.command)

    @cached_property
    def _named(self) -> NamedClip:
        (named,) = named_clips([self.clip.path if isinstance(self.clip, Training) else self.clip])
        return named

    @cached_property
    def _clip(self) -> ClipWeights | Source:
        return self._named.open(Workspace(self.work, InProcess(), command=self.command))

    @property
    def _metric(self) -> str:
        return "" if self.cfg.select == "last" else f"validation_{self.cfg.select}"

    def _facts(self) -> dict[str, Cell]:
        from fulora.clip.loading import load_clip
        from fulora.clip.prompts import prompts_of
        from fulora.clip.tune import prepare_adaptation
        from fulora.training.devices import pick_device

        cfg, model = self.cfg, load_clip(self._clip.path).model
        count = sum(weights.numel() for weights in model.parameters())
        adapted = prepare_adaptation(model, cfg)
        return {
            "CLIP": self._named.origin,
            "method": cfg.method,
            "parameters": count,
            "of them tuned": sum(weights.numel() for weights in adapted.parameters() if weights.requires_grad),
            "prompts": prompts_of(self._images.label_set(), cfg.prompts).name,
            "share of the tuned weights": cfg.wise_ft,
            "steps": cfg.steps,
            "images a step": cfg.batch_size,
            "selection": describe_validation(self._images, self._metric, cfg.evaluate_every),
            "device": str(pick_device(cfg.device)),
        }
