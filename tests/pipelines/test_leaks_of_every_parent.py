"""Whoever learned from a patient is refused where she is tested on, itself or as any parent, by its name and hers."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from book_chain import FETAL, Chain, pictures, quick_chain
from command_inside import called

from fulora.assessment.config import AssessConfig, ClosenessConfig
from fulora.classification.networks import ClassifierError
from fulora.clip.config import ForgettingConfig, ProbeConfig
from fulora.data.embeddings import Embeddings
from fulora.data.image import ImageSetError
from fulora.data.image_set import ImageSet
from fulora.data.leak_check import OverlapError
from fulora.data.provenance import derive_provenance, provenance_of
from fulora.data.results import MaskSet
from fulora.data.weights import ClipWeights
from fulora.engine import InProcess
from fulora.workspace import Workspace
from pipelines.backbone_names import ASSETS
from pipelines.segmentation import SegmentationStudyConfig, run
from pipelines.stages.assess import assess
from pipelines.stages.forgetting import forgetting
from pipelines.stages.measure import MeasureConfig, measure
from pipelines.stages.probe_clip import probe_clip
from pipelines.stages.score_generation import score_generation

HER = "tested"
"""The patient who is tested on; in each case one parent knows her."""
HYBRID = ", through synthetic images by .*, through hybrid images mix-h, through classifier train_classifier-c: "


def of_second_backbone(chain: Chain) -> None:
    lora = chain.lora("l", chain.backbone("second", HER))
    chain.classify(chain.drawn("d", chain.backbone("b"), lora))


def of_prior_images(chain: Chain) -> None:
    prior = chain.drawn("prior", chain.backbone("of_prior", HER))
    base = chain.backbone("b")
    chain.classify(chain.drawn("d", base, chain.lora("l", base, prior=prior)))


def of_control(chain: Chain) -> None:
    control = chain.control(chain.backbone("b"), HER)
    book = derive_provenance("images on masks m", [provenance_of(control.path, "")])
    ImageSet.write(chain.out("masks"), pictures("shown", "train"), labels=FETAL, provenance=book)
    chain.segment(chain.unet("u", ImageSet(chain.root / "masks", "m")))


def of_a_head(chain: Chain, images: ImageSet) -> None:
    given = (Embeddings(chain.root, ""), Embeddings(chain.root, ""))
    clip = ClipWeights(ASSETS / "clip", "c")
    probe_clip.function(chain.out("probe"), ProbeConfig(), images, chain.tested(), clip, *given)


def of_masks(chain: Chain) -> None:
    provenance_of(chain.unet("u", chain.images(HER)).path, "").write(chain.out("segment-s"))
    masks = MaskSet(chain.root / "segment-s", "s")
    measure.function(chain.out("measure"), MeasureConfig(), chain.tested(), masks)


def of_a_tuned_clip(chain: Chain) -> None:
    before = chain.clip(HER)
    after = chain.tuned(before, chain.images())
    forgetting.function(chain.out("forgetting"), ForgettingConfig(), chain.tested("validation"), before, after)


def of_closeness(chain: Chain) -> None:
    synthetic = {"base": chain.drawn("d", chain.backbone("b", HER))}
    score_generation.function(chain.out("closeness"), ClosenessConfig(), chain.tested("validation"), synthetic)


def of_an_assessment(chain: Chain) -> None:
    base, clip = chain.backbone("b"), ClipWeights(ASSETS / "clip", "c")
    given = (chain.drawn("d", base, chain.lora("l", base, HER)), chain.images(), chain.tested("validation"), clip)
    assess.function(chain.out("assess"), AssessConfig(), *given, None)


CASES: dict[str, tuple[Callable[[Chain], None], str]] = {
    "pretrained backbone": (
        lambda chain: chain.classify(chain.drawn("d", chain.backbone("b", HER))),
        f"backbone pretrain-b{HYBRID}",
    ),
    "LoRA": (
        lambda chain: chain.classify(chain.drawn("d", (b := chain.backbone("b")), chain.lora("l", b, HER))),
        f"LoRA train_lora-l{HYBRID}",
    ),
    "second backbone, through a LoRA": (
        of_second_backbone,
        f"backbone pretrain-second, through LoRA train_lora-l{HYBRID}",
    ),
    "backbone of the prior images": (
        of_prior_images,
        f"backbone pretrain-of_prior, through synthetic images by .*, through LoRA train_lora-l{HYBRID}",
    ),
    "synthetic set drawn over images": (
        lambda chain: chain.classify(chain.drawn("d", chain.backbone("b"), start=chain.images(HER))),
        HYBRID.removeprefix(", through "),
    ),
    "hybrid set, in a tuned CLIP": (
        lambda chain: chain.ask(chain.tuned(chain.clip(), chain.hybrid(chain.drawn("d", chain.backbone("b", HER))))),
        "backbone pretrain-b, through synthetic .*, through hybrid images mix-h, through tuned CLIP tune_clip-t: ",
    ),
    "judges that chose pictures": (
        lambda chain: chain.classify(chain.drawn("d", chain.backbone("b")), chain.judged(HER)),
        "judges train_judges-j, through hybrid images mix-h, through classifier .*used for model selection",
    ),
    "classifier": (
        lambda chain: chain.predict(chain.classifier(chain.images(HER))),
        "classifier train_classifier-c: ",
    ),
    "validation images of a classifier": (
        lambda chain: chain.predict(chain.classifier(chain.images(validation=HER))),
        "classifier train_classifier-c: .*used for model selection",
    ),
    "pretrained CLIP": (lambda chain: chain.ask(chain.clip(HER)), "CLIP pretrain_clip-p: "),
    "tuned CLIP": (lambda chain: chain.ask(chain.tuned(chain.clip(), chain.images(HER))), "tuned CLIP tune_clip-t: "),
    "pretrained CLIP, beside the tuned one": (of_a_tuned_clip, "CLIP pretrain_clip-p: "),
    "probe head": (lambda chain: of_a_head(chain, chain.images(HER)), "the head: "),
    "validation images of a head": (
        lambda chain: of_a_head(chain, chain.images(validation=HER)),
        "the head: .*used for model selection",
    ),
    "ControlNet": (of_control, "ControlNet train_control-n, through images on masks m, through U-Net train_unet-u: "),
    "U-Net": (lambda chain: chain.segment(chain.unet("u", chain.images(HER))), "U-Net train_unet-u: "),
    "one U-Net of an ensemble": (
        lambda chain: chain.segment(chain.unet("u", chain.images()), chain.unet("v", chain.images(HER))),
        "U-Net train_unet-v: ",
    ),
    "teacher of a pseudo-labelled set": (
        lambda chain: chain.segment(chain.unet("u", chain.pseudo_labelled(chain.unet("teacher", chain.images(HER))))),
        "U-Net train_unet-teacher, through pseudo-labelled images pseudo_label-q, through U-Net train_unet-u: ",
    ),
    "U-Net, through its masks": (of_masks, "U-Net train_unet-u: "),
    "backbone, compared with those held out": (of_closeness, "backbone pretrain-b, through synthetic images by .*: "),
    "LoRA, assessed beside those held out": (of_an_assessment, "LoRA train_lora-l, through synthetic images by .*: "),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_parent_trained_on_a_tested_patient_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak, parent = CASES[case]
    with pytest.raises(OverlapError, match=rf"(?m)^{parent}.* s/A/{HER}$"):
        leak(quick_chain(tmp_path, HER, monkeypatch))


def test_artifacts_trained_on_other_patients_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain of every kind, where nobody knows her: what comes next is what quick stages cannot do."""
    chain = quick_chain(tmp_path, HER, monkeypatch)
    base = chain.backbone("b", "one")
    prior = chain.drawn("prior", chain.backbone("p", "two"))
    synthetic = chain.drawn("d", base, chain.lora("l", base, "three", prior=prior), chain.images("four"))
    with pytest.raises(ClassifierError, match=r"holds no model\.json"):
        chain.classify(synthetic, chain.judged("five"))
    known = provenance_of(chain.root / "train_classifier-c", "").patients()
    assert {f"s/A/{name}" for name in ("one", "two", "three", "four", "five", "nobody", "other")} == set(known)


def test_a_hybrid_set_whose_generator_was_trained_on_validation_patients_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = quick_chain(tmp_path, HER, monkeypatch)
    said = "s/A/other: the patient is in validation, and was trained on by backbone pretrain-b, through synthetic"
    with pytest.raises(ImageSetError, match=said):
        chain.hybrid(chain.drawn("d", chain.backbone("b", "other")))


@pytest.mark.slow
def test_a_lora_of_the_command_is_known_where_its_pictures_are_assessed(tmp_path: Path) -> None:
    """`fulora lora train`, `fulora generate` and `fulora assess`, one after the other, in folders of a user's own."""
    chain = Chain(tmp_path, HER)
    quick = ("steps=1", "batch_size=1", "device=cpu")
    trained = called("lora", "train", chain.images(HER).path, *quick, "rank=2", "--out", tmp_path / "lora")
    assert trained.code == 0, trained.stderr
    drawn = ("generate", "--lora", tmp_path / "lora", "--plane", "brain", "--count", "1", "steps=2", "max_rejected=1")
    made = called(*drawn, "device=cpu", "--out", tmp_path / "made")
    assert made.code == 0, made.stderr
    done = called("assess", tmp_path / "made", "--real", chain.tested().path, "--encoder", "pixels")
    assert (done.code, done.stdout) == (2, "")
    assert "LoRA lora, through synthetic images by " in done.stderr
    assert f"0 images and 1 patients of the test set were trained on, such as s/A/{HER}" in done.stderr


def test_a_network_does_not_segment_its_own_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = quick_chain(tmp_path, HER, monkeypatch)
    images = chain.images(HER)
    unet = chain.unet("u", images)
    for place, said in (
        (images.path, f"such as .*s/A/{HER}"),
        (images.path / "train" / "images", f"such as {HER}brain"),
    ):
        done = called("segment", "predict", place, "--unet", unet.path, "--out", tmp_path / "masks")
        assert done.code == 2
        assert re.search(rf"U-Net train_unet-u: \d images and \d patients .* were trained on, {said}", done.stderr)
    assert not (tmp_path / "masks").exists()


BRAINS = {"kind": "phantoms", "sites": ["A"], "planes": ["brain"], "per_plane": 16, "images_per_patient": 1}


def test_a_backbone_of_another_split_seed_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    """The heads of the study and of its generator are the same women: by another seed some would be in both."""
    heads = {"image_size_px": 64, "sources": [BRAINS | {"role": "train+validation+test"}]}
    study = {
        "study": "segmentation",
        "heads": heads | {"split_seed": 5},
        "synthetic": {
            "backbone": {"kind": "pretrain", "images": heads},
            "generate": {"per_class": 1, "planes": ["brain"]},
        },
        "report": {"title": "t", "about": "a"},
    }
    with pytest.raises(
        OverlapError, match=r"backbone, pre-trained on site: \d images and \d patients of the test set were trained on"
    ):
        run(SegmentationStudyConfig.model_validate(study), Workspace(tmp_path, InProcess()))
    made = [path.name for path in tmp_path.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert {name.partition("-")[0] for name in made} == {"curate"}
