from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row

import fulora
from fulora.data.column_types import Split
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.leak_check import OverlapError
from fulora.data.patient_numbers import NUMBERING, SameNumberError, note_different_patients
from fulora.data.provenance import Provenance, ProvenanceEntry, read_provenance
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training.examples import load_examples
from fulora.diffusion.training.image_sets import fit_lora, lora_provenance, read_training_images
from fulora.diffusion.training.plan import plan_training

FETAL = label_set("fetal_planes")

CONFIG = LoraConfig(rank=2, steps=1, batch_size=1, text_encoder_learning_rate=0, device="cpu")


def image_set(
    folder: Path, splits: Sequence[Split], captions: Sequence[str] = (), first: int = 0, site: str = "A"
) -> ImageSet:
    pictures = []
    for place, split in enumerate(splits):
        row = image_row(
            f"{site}_{first + place}",
            split=split,
            source="own",
            site=site,
            patient=str(first + place),
            caption=captions[place] if captions else "",
        )
        pixels = np.random.default_rng(first + place).integers(0, 256, (32, 32)).astype(np.uint8)
        pictures.append(Picture(row, pixels))
    ImageSet.write(folder, pictures, labels=FETAL)
    return ImageSet(folder, "")


def test_each_split_has_its_part(tmp_path: Path) -> None:
    images = image_set(tmp_path / "mine", ["train", "train", "validation", "test"])
    prior = image_set(tmp_path / "prior", ["train"], first=50)
    found = read_training_images(images, prior)
    assert (len(found.images.pictures), found.validation and len(found.validation.pictures)) == (2, 1)
    assert found.prior is not None
    assert found.planes == ["brain", "brain"]
    assert found.patients == {"own/A/0", "own/A/1"}
    assert [(others.name, others.patients) for others in found.excluded] == [
        ("the validation split", {"own/A/2"}),
        ("the test split", {"own/A/3"}),
    ]


def test_the_planes_words_are_used_where_no_image_has_its_own(tmp_path: Path) -> None:
    images = image_set(tmp_path / "mine", ["train", "train"])
    assert read_training_images(images).images.captions == ["a photo of fetal brain"] * 2
    own = image_set(tmp_path / "own", ["train", "train"], ["one head", "two heads"])
    assert read_training_images(own).images.captions == ["one head", "two heads"]
    some = image_set(tmp_path / "some", ["train", "train"], ["one head", ""])
    with pytest.raises(LoraError, match="1 of 2 images have no caption, such as A_1: give all of them one, or none"):
        load_examples(some, some.rows())


def test_a_set_without_training_images_is_refused(tmp_path: Path) -> None:
    images = image_set(tmp_path / "mine", ["test"])
    with pytest.raises(LoraError, match=r"mine: it has no training images; curate it with role=train"):
        read_training_images(images)


@pytest.mark.parametrize("same", ["patient", "picture"])
def test_test_patients_and_images_are_not_trained_on(tmp_path: Path, backbone: Path, same: str) -> None:
    images = image_set(tmp_path / "mine", ["train", "train"])
    tested = image_set(tmp_path / "tested", ["test"], first=1, site="A" if same == "patient" else "B")
    note_different_patients(tested.path)
    material = read_training_images(images, tested_on=tested)
    said = "1 patients are among" if same == "patient" else "1 training pictures are in the set it is tested on too"
    pipe = load_backbone(backbone)
    with pytest.raises(LoraError, match=said):
        fit_lora(tmp_path / "out", CONFIG, pipe, material, base_model="", base_digest="", provenance=Provenance())
    with pytest.raises(LoraError, match=said):
        plan_training(CONFIG, pipe, material)
    assert not (tmp_path / "out").exists()


def test_one_number_at_another_site_may_be_one_woman(tmp_path: Path) -> None:
    images = image_set(tmp_path / "mine", ["train", "train"])
    tested = image_set(tmp_path / "tested", ["validation", "test"], first=1, site="B")
    with pytest.raises(SameNumberError, match=r"the training images and the test:\n1 patient number occurs .* 1 "):
        read_training_images(images, tested_on=tested)
    for folder in (images.path, tested.path):
        note_different_patients(folder)
        assert read_training_images(images, tested_on=tested).patients == {"own/A/0", "own/A/1"}
        (folder / NUMBERING).unlink()


def test_training_patients_are_recorded_with_the_lora(tmp_path: Path, backbone: Path) -> None:
    images = image_set(tmp_path / "mine", ["train", "train", "validation"])
    prior = image_set(tmp_path / "prior", ["train"], first=50)
    known = Provenance(entries=(ProvenanceEntry(name="backbone b", patients=("own/A/7",)),))
    found = lora_provenance("LoRA out", known, images, prior)
    assert [(one.name, one.use, one.patients, one.parents) for one in found.entries] == [
        ("LoRA out", "fitted", ("own/A/0", "own/A/1", "own/A/50"), ("backbone b",)),
        ("LoRA out", "chosen", ("own/A/2",), ("backbone b",)),
        ("backbone b", "fitted", ("own/A/7",), ()),
    ]
    pipe, out = load_backbone(backbone), tmp_path / "out"
    fit_lora(out, CONFIG, pipe, read_training_images(images), base_model="tiny", base_digest="0", provenance=found)
    assert read_provenance(out) == found


def test_a_backbone_trained_on_test_patients_is_refused_before_training(tmp_path: Path) -> None:
    images = image_set(tmp_path / "mine", ["train"])
    tested = image_set(tmp_path / "tested", ["validation", "test"], first=5)
    for key in ("own/A/5", "own/A/6"):
        known = Provenance(entries=(ProvenanceEntry(name="backbone b", patients=(key,)),))
        with pytest.raises(OverlapError, match=f"backbone b: 0 images and 1 patients .* such as {key}"):
            lora_provenance("LoRA out", known, images, tested_on=tested)
        assert lora_provenance("LoRA out", known, images).patients() == ["own/A/0", key]


def test_sets_without_images_in_the_needed_split_are_refused(tmp_path: Path) -> None:
    images = image_set(tmp_path / "mine", ["train"])
    only_train, only_test = (image_set(tmp_path / split, [split], first=9) for split in ("train", "test"))
    with pytest.raises(LoraError, match="train: it has neither validation nor test images"):
        read_training_images(images, tested_on=only_train)
    with pytest.raises(LoraError, match="test: it has no training images that could be prior images"):
        read_training_images(images, prior=only_test)


def test_pairs_are_pictures_whose_red_channel_is_the_mask(tmp_path: Path) -> None:
    plain = image_set(tmp_path / "plain", ["train", "validation"])
    with pytest.raises(LoraError, match="mask_channel=true: 1 of 1 images have no mask, such as A_0"):
        read_training_images(plain, mask_channel=True)
    mask = (np.indices((32, 32))[0] < 9).astype(np.uint8)
    pictures = [Picture(picture.row, picture.pixels, mask) for picture in plain.pictures()]
    ImageSet.write(tmp_path / "masked", pictures, labels=FETAL)
    masked = ImageSet(tmp_path / "masked", "")
    found = read_training_images(masked, mask_channel=True)
    assert found.validation is not None
    for examples, picture in ((found.images, pictures[0]), (found.validation, pictures[1])):
        pair = examples.pictures[0]
        assert pair.shape == (32, 32, 3)
        assert np.array_equal(pair[..., 0], mask * 255)
        assert np.array_equal(pair[..., 1], picture.pixels)
    assert read_training_images(masked).images.pictures[0].shape == (32, 32)


def test_a_lora_of_pairs_is_trained(tmp_path: Path) -> None:
    plain = image_set(tmp_path / "plain", ["train", "train"])
    mask = np.ones((32, 32), np.uint8)
    ImageSet.write(
        tmp_path / "masked",
        [Picture(p.row, p.pixels, mask) for p in plain.pictures()],
        labels=FETAL,
    )
    material = read_training_images(ImageSet(tmp_path / "masked", ""), mask_channel=True)
    found = []
    for name, given in (("pairs", material), ("images", read_training_images(plain))):
        (tmp_path / name).mkdir()
        cfg = CONFIG.model_copy(update={"mask_channel": name == "pairs", "batch_size": 2})
        pipe = load_backbone(Path(fulora.__file__).parent / "assets" / "diffusion")
        fit_lora(tmp_path / name, cfg, pipe, given, base_model="demo", base_digest="", provenance=Provenance())
        found.append((tmp_path / name / "metrics.jsonl").read_text())
    assert found[0] != found[1]
