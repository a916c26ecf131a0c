"""`train_lora`: a LoRA from a folder of images and a backbone, without a study: checked, planned, trained."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fulora import progress
from fulora.config import validated
from fulora.data.column_types import SPLITS, Split
from fulora.data.image import METADATA
from fulora.data.image_set import ImageSet
from fulora.data.provenance import Provenance
from fulora.diffusion.config import Architecture, LoraConfig
from fulora.diffusion.lora.files import FILE
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.distinct_captions import describe_identical_captions
from fulora.diffusion.models.loading import BackboneError, load_backbone
from fulora.diffusion.models.native_size import native_size_of
from fulora.diffusion.sampling.inputs import backbone_provenance, weights_digest
from fulora.diffusion.training.examples import TrainingImages
from fulora.diffusion.training.image_sets import fit_lora, lora_provenance, read_training_images
from fulora.diffusion.training.learner import PRECISIONS
from fulora.diffusion.training.output_folder import holds_finished, refuse_other_contents
from fulora.diffusion.training.plan import plan_training
from fulora.intake.check.check_folder import curate_config
from fulora.integrity import LIST, write_list
from fulora.training.processes import join_processes
from fulora.workspace import artifact_name
from pipelines.backbone_names import DEMO, named_backbone
from pipelines.checks.findings import Findings
from pipelines.checks.images import Sources
from pipelines.checks.sizes import check_lora_sizes
from pipelines.jobs.config_part import job_settings
from pipelines.jobs.inputs import WORK, is_image_set, open_images
from pipelines.jobs.trainings import Training

ENCODED: tuple[Split, ...] = ("train", "validation")
"""The splits whose images are encoded: for training, and for the validation loss."""


def train_lora(
    images: str | Path,
    out: str | Path,
    *,
    backbone: str | Path = DEMO,
    settings: Mapping[str, Any] | None = None,
    config: str | None = None,
    curation: Mapping[str, object] | None = None,
    work: str | Path = WORK,
) -> Training:
    """Train a LoRA on a few images, or continue its training; nothing is done if it is finished.

    Example:

        lora = fu.train_lora("planes", "lora", settings={"rank": 16, "steps": 500})

    Args:
        images: an image set, or any folder that `fulora data check` reads, which is curated first.
        out: the folder of the LoRA, with `lora.safetensors`, which diffusers reads.
        backbone: a diffusers folder, a .safetensors checkpoint, a hub id, or `demo`, the embedded one.
        settings: of `LoraConfig` (`fulora settings lora` lists them).
        config: take further settings from the `lora:` part of this config, such as `paper/fu_lora`.
        curation: settings of the curation, such as `{"patient_pattern": r"P(\\d+)"}`.
        work: folder that curated images are kept in.

    Raises:
        ValueError: if a setting is not valid, or the training cannot run; every problem is named.
    """
    cfg = lora_config(config, settings)
    job = LoraJob(Path(images), Path(out), cfg, str(backbone), curation=curation or {}, work=Path(work))
    return Training("LoRA", job.train().parent)


def lora_config(config: str | None, settings: Mapping[str, Any] | None) -> LoraConfig:
    """Return the settings of a LoRA: those of a config's `lora:` part, changed by `settings`.

    Raises:
        ConfigError: if there is no such config, or a setting is not valid.
    """
    return validated(LoraConfig, job_settings("lora", config, settings), where=config or "settings")


@dataclass(frozen=True)
class LoraJob:
    """Everything that one LoRA is trained from.

    Attributes:
        images: an image set, or any folder that `fulora data check` reads, which is curated first.
        out: the folder of the LoRA; a stopped training continues in it.
        backbone: a diffusers folder, a .safetensors checkpoint, a hub id, or `demo`, the embedded one.
        curation: settings of the curation.
        prior: an image set that must not be forgotten.
        tested_on: an image set whose validation and test patients must not be trained on.
        revision, architecture: of the backbone, if it is a hub id, or a checkpoint that does not tell.
        work: folder that curated images are kept in.
        command: what the user typed, for messages about how to make the curated images again.
    """

    images: Path
    out: Path
    cfg: LoraConfig
    backbone: str = DEMO
    curation: Mapping[str, object] = field(default_factory=dict)
    prior: Path | None = None
    tested_on: Path | None = None
    revision: str | None = None
    architecture: Architecture | None = None
    work: Path = WORK
    command: str = ""

    def plan_lines(self) -> list[str]:
        """Check and count everything, and return what the training takes, a line each.

        Raises:
            ValueError: if the training could not run.
        """
        notes = self._check(with_backbone=True)
        material, _ = self._read()
        pipe = self._pipeline
        return [
            *plan_training(self.cfg, pipe, material).lines(),
            *notes,
            *describe_identical_captions(pipe, material.captions()),
        ]

    def train(self) -> Path:
        """Train the LoRA, or continue its training, and return its file; nothing is done if it is finished.

        Raises:
            ValueError: if the training cannot run.
        """
        first = join_processes(self.cfg.device).first
        notes = self._check(with_backbone=not (self.out / FILE).is_file())
        material, provenance = self._read()
        name, digest = self.name_and_digest
        if holds_finished(self.out, self.cfg, digest, material):
            if not (self.out / LIST).is_file():
                write_list(self.out)
            return self.out / FILE
        for line in notes if first else ():
            progress.note(line)
        step = fit_lora(
            self.out, self.cfg, self._pipeline, material, base_model=name, base_digest=digest, provenance=provenance
        )
        if first:
            write_list(self.out)
            progress.note(f"the weights after step {step} of {self.cfg.steps} are kept")
        return self.out / FILE

    @cached_property
    def name_and_digest(self) -> tuple[str, str]:
        """How the LoRA's file names the backbone, and the digest of its content or its revision."""
        source = named_backbone(self.backbone)
        if isinstance(source, str):
            return source, self.revision or ""
        name = DEMO if self.backbone == DEMO else source.name
        return name, weights_digest(source, cache=self.work / ".digests.json")

    @cached_property
    def _pipeline(self) -> Pipeline:
        return load_backbone(
            named_backbone(self.backbone),
            revision=self.revision,
            architecture=self.architecture,
            unet_dtype=PRECISIONS[self.cfg.precision],
        )

    def _other_sets(self) -> tuple[ImageSet | None, ImageSet | None]:
        return _image_set(self.prior, "--prior"), _image_set(self.tested_on, "--test")

    def _read(self) -> tuple[TrainingImages, Provenance]:
        """The training images, and the provenance of the LoRA."""
        images, others = self._curated(), self._other_sets()
        material = read_training_images(images, *others, mask_channel=self.cfg.mask_channel)
        inherited = backbone_provenance(named_backbone(self.backbone), self.name_and_digest[0])
        return material, lora_provenance(f"LoRA {artifact_name(self.out)}", inherited, images, *others)

    def _curated(self) -> ImageSet:
        """The folder if it is an image set, else the image set that results from its curation."""
        return open_images(self.images, self.curation, self.work, command=self.command)

    def _given_image_set(self) -> ImageSet | None:
        """The folder as an image set of fulora; None if it has to be curated first."""
        return ImageSet(self.images, "") if not self.curation and is_image_set(self.images) else None

    def _check(self, *, with_backbone: bool) -> list[str]:
        """Notes on the images and the backbone, before anything is curated.

        Raises:
            LoraError: if the output folder or another image set cannot be used.
            ConfigError: every problem that would stop the training: no backbone, names that fit no pattern, unknown
                classes, sizes.
        """
        refuse_other_contents(self.out)
        self._other_sets()
        findings, image_set, native = Findings(), self._given_image_set(), None
        if image_set is not None:
            sizes = Counter((row.width, row.height) for split in ENCODED for row in image_set.rows(split))
        else:
            config, root = curate_config(self.images, {"fit": "native", **self.curation})
            sizes = Sources(findings, root).expect("images", config).sizes(*ENCODED)
        with findings.collect("--backbone", BackboneError):
            native = native_size_of(self._pipeline) if with_backbone else None
        check_lora_sizes(findings, "", "images", self.cfg, sizes, native)
        findings.stop(str(self.images))
        return findings.note_lines()


def _image_set(folder: Path | None, option: str) -> ImageSet | None:
    """The image set that an option names.

    Raises:
        LoraError: if the folder is not an image set.
    """
    if folder is None:
        return None
    if not any((folder / split / METADATA).is_file() for split in SPLITS):
        problem = "is not an image set" if folder.exists() else "does not exist"
        raise LoraError(f"{folder}: {problem}; {option} takes the folder that `fulora data curate FOLDER` prints")
    return ImageSet(folder, "")
