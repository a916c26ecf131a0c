"""`train_classifier`: a classifier from any image set, as studies train theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fulora.classification.config import ClassifierConfig
from fulora.config import validated
from fulora.data.image_set import ImageSet
from fulora.job_folder import make_in
from fulora.stage import Source
from pipelines.jobs.config_part import job_settings
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import WORK, open_source
from pipelines.jobs.tables import Cell, Table
from pipelines.jobs.training_plan import describe_validation, plan_tables, training_images, with_selected_step
from pipelines.jobs.trainings import Training
from pipelines.stages.train_classifier import train_classifier as stage


def train_classifier(
    images: str | Path | Images,
    out: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    config: str | None = None,
    start: str | Path | None = None,
    curation: Mapping[str, object] | None = None,
    device: str = "auto",
    work: str | Path = WORK,
) -> Training:
    """Train a classifier, or continue its training; nothing is done if it is finished.

    Example:

        classifier = fu.train_classifier("hybrid", "classifier", settings={"steps": 500})
        classifier.figure()

    Args:
        images: an image set, or any folder that `fulora data check` reads, which is curated first: a fifth of its
            patients then select the weights.
        out: the folder of the classifier.
        settings: of `ClassifierConfig`.
        config: take further settings from the `classifier:` part of this config, such as `demo`.
        start: the file of weights that `weights=file` and `weights=imagenet_folded` read.
        curation: settings of the curation, such as `{"patient_pattern": r"P(\\d+)"}`.
        device: auto, cpu, cuda, ...
        work: folder that curated images are kept in.

    Raises:
        ConfigError: if a setting is not valid; every problem is named.
        OutputFolderError: if `out` holds something else.
        ClassifierError: if the network, its weights or the images cannot be used.
    """
    cfg = classifier_config(config, settings, device)
    source = images if isinstance(images, Images) else Path(images)
    job = ClassifierJob(
        source, Path(out), cfg, None if start is None else Path(start), curation=curation or {}, work=Path(work)
    )
    return job.train()


def classifier_config(config: str | None, settings: Mapping[str, Any] | None, device: str = "auto") -> ClassifierConfig:
    """Return the settings of a classifier: those of a config's `classifier:` part, changed by `settings`.

    Raises:
        ConfigError: if there is no such config, or a setting is not valid.
    """
    values = job_settings("classifier", config, {"device": device, **(settings or {})})
    return validated(ClassifierConfig, values, where=config or "settings")


@dataclass(frozen=True)
class ClassifierJob:
    """Everything that one classifier is trained from; attributes as the arguments of `train_classifier`.

    Attributes:
        command: what the user typed, for messages about how to make the folder again.
    """

    images: Path | Images
    out: Path
    cfg: ClassifierConfig
    start: Path | None = None
    curation: Mapping[str, object] = field(default_factory=dict)
    work: Path = WORK
    command: str = ""

    def planned(self) -> list[Table]:
        """Check everything, and return the images and what their training takes; nothing is trained.

        Raises:
            ValueError: if the training could not run.
        """
        call = stage.call(self.cfg, images=self._images, start=self._start)
        if call.stage.check is not None:
            call.stage.check(**call.arguments)
        return plan_tables(self._images, f"a classifier would be trained in {self.out}", self._facts())

    def train(self) -> Training:
        """Train the classifier, or continue its training; nothing is done if it is finished."""
        made = make_in(self.out, stage, self.command, self.cfg, images=self._images, start=self._start)
        return with_selected_step(Training("classifier", made.path), self._metric)

    @cached_property
    def _images(self) -> ImageSet:
        return training_images(self.images, self.curation, self.work, command=self.command)

    @cached_property
    def _start(self) -> Source | None:
        hint = "--start names the file of weights"
        return None if self.start is None else open_source(self.start, self.work, hint=hint)

    @property
    def _metric(self) -> str:
        return "" if self.cfg.select == "last" else f"validation_{self.cfg.select}"

    def _facts(self) -> dict[str, Cell]:
        from fulora.classification.networks import count_parameters
        from fulora.training.devices import pick_device

        cfg, count = self.cfg, len(self._images.rows("train"))
        steps = cfg.steps_for(count)
        shown = count * cfg.epochs if cfg.epochs else steps * cfg.batch_size
        return {
            "network": f"{cfg.architecture}, {cfg.image_size_px} px, weights={cfg.weights}",
            "parameters": count_parameters(cfg, len(self._images.label_set().names)),
            "steps": steps,
            "images a step": cfg.batch_size,
            "images shown": shown,
            "sampling": "every class equally often" if cfg.balanced else "every image equally often",
            "selection": describe_validation(self._images, self._metric, cfg.evaluate_every),
            "device": str(pick_device(cfg.device)),
        }
