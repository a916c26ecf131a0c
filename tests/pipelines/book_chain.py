"""Tiny artifacts of every kind that learns from images, made by the real stages but for their fitting and drawing."""

from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row
from torch.nn import Identity

from fulora.classification.config import ClassifierConfig
from fulora.clip.config import ClipPretrainConfig, TuneClipConfig, ZeroShotConfig
from fulora.clip.loading import load_clip
from fulora.data.assessed_images import AssessedImage, Assessment
from fulora.data.embeddings import Embeddings
from fulora.data.hybrid import MixConfig
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, label_set
from fulora.data.provenance import Provenance, provenance_of
from fulora.data.results import write_table
from fulora.data.weights import Backbone, ClassifierWeights, ClipWeights, ControlWeights, LoraWeights, UnetWeights
from fulora.diffusion.config import ControlConfig, LoraConfig, PretrainConfig
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.diffusion.sets.assembly import build_set_provenance
from fulora.diffusion.sets.job import GenerationJob
from fulora.segmentation.addition_config import AdditionConfig
from fulora.segmentation.config import SegmentConfig, UnetConfig
from pipelines.backbone_names import ASSETS
from pipelines.stages.classify import classify
from pipelines.stages.generate import generate
from pipelines.stages.mix import mix
from pipelines.stages.pretrain import pretrain
from pipelines.stages.pretrain_clip import pretrain_clip
from pipelines.stages.pseudo_label import pseudo_label
from pipelines.stages.segment import segment
from pipelines.stages.train_classifier import train_classifier
from pipelines.stages.train_control import train_control
from pipelines.stages.train_judges import train_judges
from pipelines.stages.train_lora import train_lora
from pipelines.stages.train_unet import train_unet
from pipelines.stages.tune_clip import tune_clip
from pipelines.stages.zero_shot import zero_shot

PLANES = ("brain", "femur")
SHIPPED = label_set("fetal_planes")
FETAL = SHIPPED.changed(
    classes=[
        one.changed(structures=SHIPPED.of("brain").structures if one.name in PLANES else {}) for one in SHIPPED.classes
    ]
)
"""The shipped classes, where masks of a femur hold what those of a brain do: both planes here have masks."""
SIDE_PX = 32


def pictures(patient: str, split: str, **more: str) -> list[Picture]:
    """A brain and a femur of a patient, each with a mask."""
    found = []
    for plane in PLANES:
        name = f"{patient or 'synthetic'}{plane}{split}"
        row = image_row(name, **({"plane": plane, "split": split, "patient": patient} | more))
        noise = np.random.default_rng(list(name.encode())).integers(0, 256, (SIDE_PX, SIDE_PX)).astype(np.uint8)
        found.append(Picture(row, noise, (noise > 128).astype(np.uint8)))
    return found


class Chain:
    """Makes artifacts, each in a folder that is named after its stage and a letter."""

    def __init__(self, root: Path, tested: str) -> None:
        self.root, self.tested_patient, self.made = root, tested, 0

    def out(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir()
        return folder

    def images(self, *train: str, validation: str = "other") -> ImageSet:
        self.made += 1
        folder = self.out(f"images{self.made}")
        every = [picture for name in train or ("nobody",) for picture in pictures(name, "train")]
        every += [*pictures(validation, "validation"), *pictures(f"rest{self.made}", "test")]
        ImageSet.write(folder, every, labels=FETAL)
        return ImageSet(folder, folder.name)

    def tested(self, split: str = "test") -> ImageSet:
        """Pictures of the tested patient that nobody learned from: her number alone tells."""
        folder = self.out(f"tested in {split}")
        ImageSet.write(folder, pictures(self.tested_patient, split), labels=FETAL)
        return ImageSet(folder, folder.name)

    def backbone(self, letter: str, *patients: str) -> Backbone:
        images = self.images(*patients, validation="another")
        return Backbone(pretrain.function(self.out(f"pretrain-{letter}"), PretrainConfig(), images).path, letter)

    def lora(self, letter: str, base: Backbone, *patients: str, prior: ImageSet | None = None) -> LoraWeights:
        config = LoraConfig(steps=1, rank=2, device="cpu")
        return train_lora.function(self.out(f"train_lora-{letter}"), config, base, self.images(*patients), prior)

    def drawn(
        self, letter: str, base: Backbone, lora: LoraWeights | None = None, start: ImageSet | None = None
    ) -> ImageSet:
        config = GenerateConfig(per_class=1, planes=PLANES, image_size_px=SIDE_PX, steps=4)
        return generate.function(self.out(f"generate-{letter}"), config, base, lora, start, labels=FETAL)

    def hybrid(self, synthetic: ImageSet, assessment: Assessment | None = None) -> ImageSet:
        config = MixConfig(ratio=1.0, filters=("brightness",) if assessment else ())
        return mix.function(self.out("mix-h"), config, self.images(), synthetic, assessment)

    def judged(self, *patients: str) -> Assessment:
        """An assessment by judges, in whose opinion all pictures are good."""
        judges = train_judges.function(self.out("train_judges-j"), 2, ClassifierConfig(), self.images(*patients))
        out = self.out("assess-a")
        provenance_of(judges.path, "judges").write(out)
        write_table(out, [AssessedImage(image_id=f"synthetic{plane}train", plane=plane, fails=()) for plane in PLANES])
        (out / "findings.json").write_text('{"filters": [{"name": "brightness"}]}')
        return Assessment(out, "")

    def classifier(self, images: ImageSet) -> ClassifierWeights:
        config = ClassifierConfig(image_size_px=SIDE_PX)
        return train_classifier.function(self.out("train_classifier-c"), config, images)

    def clip(self, *patients: str) -> ClipWeights:
        return pretrain_clip.function(self.out("pretrain_clip-p"), ClipPretrainConfig(), self.images(*patients))

    def tuned(self, clip: ClipWeights, images: ImageSet) -> ClipWeights:
        return tune_clip.function(self.out("tune_clip-t"), TuneClipConfig(steps=2), images, clip)

    def unet(self, letter: str, images: ImageSet) -> UnetWeights:
        config = UnetConfig(image_size_px=SIDE_PX)
        return train_unet.function(self.out(f"train_unet-{letter}"), config, images)

    def pseudo_labelled(self, *teachers: UnetWeights) -> ImageSet:
        sets = self.images(), self.images()
        return pseudo_label.function(self.out("pseudo_label-q"), AdditionConfig(), *sets, teachers)

    def control(self, base: Backbone, *patients: str) -> ControlWeights:
        return train_control.function(self.out("train_control-n"), ControlConfig(steps=1), base, self.images(*patients))

    def classify(self, synthetic: ImageSet, assessment: Assessment | None = None) -> None:
        """Test a classifier of a hybrid set."""
        self.predict(self.classifier(self.hybrid(synthetic, assessment)))

    def predict(self, classifier: ClassifierWeights) -> None:
        classify.function(self.out("classify"), self.tested(), classifier)

    def ask(self, clip: ClipWeights) -> None:
        zero_shot.function(self.out("zero_shot"), ZeroShotConfig(), self.tested(), clip, Embeddings(self.root, ""))

    def segment(self, *unets: UnetWeights) -> None:
        segment.function(self.out("segment"), SegmentConfig(), self.tested(), unets)


def _fitted(out: Path, *given: object, **more: object) -> int:
    """Instead of fitting: a file of weights, which nothing reads, and the classes, if a network learns them."""
    (out / "lora.safetensors").write_bytes(b"weights")
    for labels in given:
        if isinstance(labels, LabelSet):
            labels.write(out)
    return 1


def _drawn(job: GenerationJob, engine: object) -> None:
    """Instead of drawing: noise, with the book that drawing would write."""
    made = pictures("", "train", origin="synthetic", site="", generator=job.inputs.fingerprint(), seed="1")
    ImageSet.write(job.out, made, labels=job.labels, provenance=build_set_provenance(job))


def _masked(
    out: Path, config: object, labelled: ImageSet, candidates: object, teachers: object, provenance: Provenance
) -> None:
    """Instead of masks by teachers: the labelled set, with the book that it would have."""
    ImageSet.write(out, labelled.pictures(), labels=FETAL, provenance=provenance)


DEMO, CLIP = cache(load_backbone), cache(load_clip)
"""The embedded models, read once."""


OWN_NAMES = (
    "fulora.assessment.judges",
    "fulora.diffusion.sampling.inputs",
    "fulora.mask_folders.segment",
    "pipelines.jobs.train_lora",
)
"""Modules that hold a function replaced below by a name of their own: imported later, they would keep the other one."""


def quick_chain(root: Path, tested: str, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """Stages that neither fit nor draw."""
    for name in OWN_NAMES:
        import_module(name)
    fits = ("pretrain.fit", "image_sets.fit", "controlnet.fit")
    others = ("clip.pretrain", "clip.tune", "classification.train", "segmentation.train")
    for name in (*(f"diffusion.training.{fit}" for fit in fits), *(f"{module}.fit" for module in others)):
        monkeypatch.setattr(f"fulora.{name}", _fitted)
    monkeypatch.setattr("fulora.assessment.judges.train_judges", _fitted)
    monkeypatch.setattr("fulora.diffusion.training.image_sets.check_plan", lambda *given: None)
    monkeypatch.setattr("fulora.diffusion.sets.generation.generate_set", _drawn)
    monkeypatch.setattr("fulora.segmentation.additions.add_pseudo_labelled", _masked)
    monkeypatch.setattr("fulora.segmentation.model.load_unet", lambda path: Identity())
    loading = "fulora.diffusion.models.loading.load_backbone"
    monkeypatch.setattr(loading, lambda path, **precision: DEMO(ASSETS / "diffusion"))
    monkeypatch.setattr("fulora.clip.loading.load_clip", lambda path: CLIP(ASSETS / "clip"))
    return Chain(root, tested)
