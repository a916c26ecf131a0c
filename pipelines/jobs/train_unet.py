"""`train_unet`: a segmentation network from images with masks, as studies train theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fulora.config import validated
from fulora.data.image import ImageSetError
from fulora.data.image_set import ImageSet
from fulora.data.structures import outputs_of, structures_of
from fulora.job_folder import make_in
from fulora.segmentation.config import UnetConfig
from fulora.stage import Source
from pipelines.jobs.config_part import job_settings
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import WORK, open_source
from pipelines.jobs.tables import Cell, Table
from pipelines.jobs.training_plan import describe_validation, plan_tables, training_images, with_selected_step
from pipelines.jobs.trainings import Training
from pipelines.stages.train_unet import train_unet as stage

METRIC = "validation_dice"
SHOWN = 3
"""How many images a message names."""


def train_unet(
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
    """Train a segmentation network, or continue its training; nothing is done if it is finished.

    Example:

        unet = fu.train_unet("heads", "unet", settings={"encoder": "resnet18", "image_size_px": 256})

    Args:
        images: an image set with masks, or any folder with masks that `fulora data check` reads, which is curated
            first: a fifth of its patients then select the weights.
        out: the folder of the network.
        settings: of `UnetConfig`.
        config: take further settings from the `unet:` part of this config, such as `segmentation`.
        start: the file of weights that `encoder_weights=file`, `network` and `imagenet_folded` read.
        curation: settings of the curation, such as `{"patient_pattern": r"P(\\d+)"}`.
        device: auto, cpu, cuda, ...
        work: folder that curated images are kept in.

    Raises:
        ConfigError: if a setting is not valid; every problem is named.
        OutputFolderError: if `out` holds something else.
        ImageSetError, StructureError: if an image has no mask, or the classes do not say what masks hold.
    """
    cfg = unet_config(config, settings, device)
    source = images if isinstance(images, Images) else Path(images)
    job = UnetJob(
        source, Path(out), cfg, None if start is None else Path(start), curation=curation or {}, work=Path(work)
    )
    return job.train()


def unet_config(config: str | None, settings: Mapping[str, Any] | None, device: str = "auto") -> UnetConfig:
    """Return the settings of a network: those of a config's `unet:` part, changed by `settings`.

    Raises:
        ConfigError: if there is no such config, or a setting is not valid.
    """
    values = job_settings("unet", config, {"device": device, **(settings or {})})
    return validated(UnetConfig, values, where=config or "settings")


@dataclass(frozen=True)
class UnetJob:
    """Everything that one segmentation network is trained from; attributes as the arguments of `train_unet`.

    Attributes:
        command: what the user typed, for messages about how to make the folder again.
    """

    images: Path | Images
    out: Path
    cfg: UnetConfig
    start: Path | None = None
    curation: Mapping[str, object] = field(default_factory=dict)
    work: Path = WORK
    command: str = ""

    def planned(self) -> list[Table]:
        """Check everything but the pixels of masks, and return the images and what their training takes.

        Raises:
            ValueError: if the training could not run.
        """
        check_masks(self._images)
        return plan_tables(self._images, f"a segmentation network would be trained in {self.out}", self._facts())

    def train(self) -> Training:
        """Train the network, or continue its training; nothing is done if it is finished."""
        check_masks(self._images)
        made = make_in(self.out, stage, self.command, self.cfg, images=self._images, start=self._start)
        return with_selected_step(Training("segmentation network", made.path), METRIC)

    @cached_property
    def _images(self) -> ImageSet:
        return training_images(self.images, self.curation, self.work, command=self.command)

    @cached_property
    def _start(self) -> Source | None:
        return None if self.start is None else open_source(self.start, self.work, hint="--start names the weights")

    def _facts(self) -> dict[str, Cell]:
        from fulora.segmentation.model import check_start
        from fulora.segmentation.networks import count_parameters
        from fulora.training.devices import pick_device

        labels = self._images.label_set()
        structures = structures_of(labels)
        cfg = self.cfg.with_outputs(outputs_of(labels))
        check_start(cfg, self.start)
        size = "its own size" if cfg.image_size_px is None else f"{cfg.image_size_px} px"
        folds = None if cfg.fold is None else f"fold {cfg.fold[0]} of {cfg.fold[1]}, left out, selects the weights"
        return {
            "network": f"{cfg.architecture}, encoder {cfg.encoder}, {size}, encoder_weights={cfg.encoder_weights}",
            "parameters": count_parameters(cfg),
            "strategy": cfg.strategy,
            "structures": ", ".join(f"{number} {name}" for number, name in structures.items()),
            "steps": cfg.steps if cfg.epochs is None else f"{cfg.epochs} epochs",
            "images a step": cfg.batch_size,
            "selection": folds or describe_validation(self._images, METRIC, cfg.evaluate_every),
            "device": str(pick_device(cfg.device)),
        }


def check_masks(images: ImageSet) -> None:
    """Refuse classes that do not say what masks hold, and images of training and validation that have no mask.

    Raises:
        StructureError, ImageSetError: if there are any.
    """
    structures_of(images.label_set())
    rows = [*images.rows("train"), *images.rows("validation")]
    missing = [row.image_id for row in rows if not row.mask_file]
    if missing:
        named = ", ".join(missing[:SHOWN])
        raise ImageSetError(
            f"{images.path}: {len(missing)} of {len(rows)} images have no mask, such as {named}; a segmentation "
            "network learns from images with masks: curate them with their masks, or leave these out"
        )
