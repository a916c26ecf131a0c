"""A CLIP tuned and a segmentation network trained by command, function and study: equal bytes, and used afterwards."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
from PIL import Image as Pil
from typer.testing import CliRunner, Result

import fulora as fu
from fulora.clip.config import TuneClipConfig
from fulora.clip.loading import load_clip
from fulora.config import ConfigError
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, LabelSetError, label_set
from fulora.data.provenance import read_provenance
from fulora.data.structures import StructureError
from fulora.engine import InProcess
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.model import load_unet
from fulora.stage import MissingInputError
from fulora.workspace import Workspace
from pipelines.__main__ import app
from pipelines.backbone_names import ASSETS
from pipelines.jobs.clips import ClipReferenceError
from pipelines.jobs.inputs import open_artifact
from pipelines.stages import train_unet as unet_stage
from pipelines.stages import tune_clip as clip_stage

FETAL = label_set("fetal_planes")
HEAD = FETAL.only([FETAL.names[1]])
PAIR = FETAL.only(FETAL.names[:2])
TUNE = {"steps": 2, "batch_size": 4, "evaluate_every": 1, "warmup_steps": 0, "learning_rate": 1e-3, "device": "cpu"}
UNET = {"steps": 2, "batch_size": 2, "evaluate_every": 1, "image_size_px": 32, "encoder": "resnet18", "device": "cpu"}
UNET_SHAPE = {"decoder_channels": [16, 16, 8, 8, 8]}
SPLITS = {"train": range(3), "validation": range(3, 5), "test": range(5, 6)}
WEIGHTS = "model.safetensors"


def write(folder: Path, labels: LabelSet, *, masks: bool = False) -> ImageSet:
    """A picture of each patient and class, with the mask of a square in it."""
    about = {"file_name": "", "origin": "real", "source": "s", "site": "A", "width": 0, "height": 0, "sha256": ""}
    rng = np.random.default_rng(0)
    pictures = []
    for split, patients in SPLITS.items():
        for p in patients:
            for n, name in enumerate(labels.names):
                row = about | {"image_id": f"{p}-{n}", "plane": name, "split": split, "patient": f"A{p}"}
                mask = np.zeros((32, 32), np.uint8)
                mask[8 + p : 24, 8 : 24 - p] = 1
                pixels = (rng.integers(0, 60, (32, 32)) + 100 * mask).astype(np.uint8)
                pictures.append(Picture(Image.model_validate(row), pixels, mask if masks else None))
    folder.mkdir(parents=True)
    ImageSet.write(folder, pictures, labels=labels)
    return ImageSet(folder, "")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learn")


@pytest.fixture(scope="module")
def planes(root: Path) -> Path:
    return write(root / "planes", PAIR).path


@pytest.fixture(scope="module")
def heads(root: Path) -> Path:
    return write(root / "heads", HEAD, masks=True).path


def called(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def worked(ended: Result) -> str:
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return ended.stdout


def words_of(settings: dict[str, object]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


# --- CLIP


@pytest.mark.parametrize("method", ["ce", "flyp", "lora"])
def test_a_clip_is_tuned_alike_by_command_function_and_study(root: Path, planes: Path, method: str) -> None:
    settings = {**TUNE, "method": method, "wise_ft": 0.5}
    place, work = root / method, root / "work"
    tuned = fu.tune_clip(planes, place / "python", settings=settings, work=work)
    words = ("clip", "tune", planes, "--clip", "demo", "--out", place / "typed", "--work", work)
    assert worked(called(*words, *words_of(settings))).splitlines()[-1] == str(place / "typed")
    study = Workspace(place / "study", InProcess())
    images, clip = open_artifact(planes, ImageSet, work), study.read(ASSETS / "clip")
    studied = study.run(clip_stage.tune_clip, TuneClipConfig.model_validate(settings), images=images, clip=clip)
    bundles = [
        {name: (folder / name).read_bytes() for name in ("open_clip_model.safetensors", "open_clip_config.json")}
        for folder in (tuned.path, place / "typed", studied.path)
    ]
    assert bundles[0] == bundles[1] == bundles[2]
    assert "validation_macro_f1 was" in tuned.table.notes[-1]


def test_a_tuned_clip_is_a_bundle_that_is_tuned_further_and_lists_its_patients(root: Path, planes: Path) -> None:
    tuned = fu.tune_clip(planes, root / "once", settings=TUNE, work=root / "work")
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tuned.path}")
    before, after = (load_clip(folder).model.state_dict() for folder in (ASSETS / "clip", tuned.path))
    assert any(not (before[name] == value).all() for name, value in after.items())
    assert all((model.state_dict()[name] == value).all() for name, value in after.items())
    again = fu.tune_clip(planes, root / "twice", clip=tuned, settings=TUNE, work=root / "work")
    provenance = read_provenance(again.path)
    assert provenance is not None
    fitted = [entry.name for entry in provenance.entries if entry.use == "fitted"]
    assert fitted[:2] == ["tuned CLIP twice", "tuned CLIP once"]
    assert "s/A/A0" in provenance.patients()
    other = write(root / "five", FETAL).path
    with pytest.raises(LabelSetError, match="the tuned CLIP once"):
        fu.tune_clip(other, root / "no", clip=tuned, settings=TUNE, work=root / "work")
    refused = called(
        "clip", "tune", other, "--clip", tuned.path, "--out", root / "no", "--work", root / "w", "--dry-run"
    )
    assert "the tuned CLIP once" in str(refused.exception)


def test_a_dry_run_of_a_tuning_counts_what_is_tuned(root: Path, planes: Path) -> None:
    tuned: dict[str, int] = {}
    for method in ("ce", "flyp", "lora"):
        words = ("clip", "tune", planes, "--out", root / "planned", "--work", root / "work", f"method={method}")
        facts = json.loads(worked(called(*words, "--dry-run", "--json", "-")))
        values = {row[""]: row["planned"] for row in facts["tables"][1]["rows"]}
        assert values["CLIP"] == "embedded"
        tuned[method] = values["of them tuned"]
        if method == "flyp":
            assert values["of them tuned"] == values["parameters"]
    assert tuned["lora"] < tuned["ce"] < tuned["flyp"]
    assert not (root / "planned").exists()


def test_a_clip_that_is_not_there_and_wrong_settings_are_named(root: Path, planes: Path) -> None:
    with pytest.raises(MissingInputError, match=r"gone: not found.*open_clip_config\.json"):
        fu.tune_clip(planes, root / "no", clip=root / "gone", settings=TUNE, work=root / "work")
    with pytest.raises(ClipReferenceError, match="a repository is named as hub:OWNER/NAME"):
        fu.tune_clip(planes, root / "no", clip="hub:", settings=TUNE, work=root / "work")
    with pytest.raises(ConfigError, match=r"(?s)method: .*wise_ft: "):
        fu.tune_clip(planes, root / "no", settings={"method": "magic", "wise_ft": 2})


# --- segmentation networks


def test_a_network_is_trained_alike_by_command_function_and_study_and_used(root: Path, heads: Path) -> None:
    settings, work = {**UNET, **UNET_SHAPE}, root / "work"
    trained = fu.train_unet(heads, root / "unet", settings=settings, work=work)
    words = ("segment", "train", heads, "--out", root / "typed unet", "--work", work, *words_of(settings))
    assert worked(called(*words)).splitlines()[-1] == str(root / "typed unet")
    images = open_artifact(heads, ImageSet, work)
    study = Workspace(root / "study", InProcess()).run(
        unet_stage.train_unet, UnetConfig.model_validate(settings), images=images
    )
    networks = [(folder / WEIGHTS).read_bytes() for folder in (trained.path, root / "typed unet", study.path)]
    assert networks[0] == networks[1] == networks[2]
    assert "validation_dice was" in trained.table.notes[-1]
    (root / "new").mkdir()
    Pil.fromarray(np.full((40, 50), 90, np.uint8)).save(root / "new" / "a.png")
    predicted = called(
        "segment", "predict", root / "new", "--unet", trained.path, "--out", root / "masks", "--device", "cpu"
    )
    assert worked(predicted).startswith("1 masks in ")
    with Pil.open(root / "masks" / "a.png") as mask:
        assert mask.size == (50, 40)


def test_a_dry_run_of_a_network_counts_its_weights_and_names_structures(root: Path, heads: Path) -> None:
    words = ("segment", "train", heads, "--out", root / "planned unet", "--work", root / "work", "--dry-run")
    settings = words_of({**UNET, **UNET_SHAPE})
    facts = json.loads(worked(called(*words, *settings, "--json", "-")))
    values = {row[""]: row["planned"] for row in facts["tables"][1]["rows"]}
    trained = fu.train_unet(heads, root / "unet", settings={**UNET, **UNET_SHAPE}, work=root / "work")
    assert values["parameters"] == sum(weights.numel() for weights in load_unet(trained.path).net.parameters())
    assert values["structures"] == "1 head"
    assert values["selection"] == "validation_dice on 2 validation images, every 1 steps, selects the weights"
    assert not (root / "planned unet").exists()
    missing = called(*words, *settings, "encoder_weights=file")
    assert "encoder_weights=file needs a file of weights" in str(missing.exception)


def test_classes_without_structures_cannot_be_segmented(root: Path) -> None:
    plain = write(root / "plain", LabelSet.derived(["liver", "spleen"])).path
    with pytest.raises(StructureError, match=r"none of its classes .* says what its masks hold"):
        fu.train_unet(plain, root / "no", settings=UNET, work=root / "work")
    with pytest.raises(ConfigError, match="demo: it has no `unet:` part"):
        fu.train_unet(plain, root / "no", config="demo")


def test_images_without_masks_are_refused_before_anything_is_decoded(root: Path) -> None:
    bare = write(root / "bare", HEAD).path
    words = ("segment", "train", bare, "--out", root / "no", "--work", root / "work", *words_of(UNET))
    for more in ((), ("--dry-run",)):
        refused = called(*words, *more)
        assert "bare: 5 of 5 images have no mask, such as 0-0, 1-0, 2-0; a" in str(refused.exception)
