"""Files of artifacts that are damaged are named, whichever reader comes to them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row
from PIL import Image as Pil

from fulora.classification.model import ClassifierError, load_classifier
from fulora.data.assessed_images import FINDINGS, Assessment
from fulora.data.embeddings import IDS, VECTORS, Embeddings, write_embeddings
from fulora.data.hybrid import MIX_RECORD, schedule_of
from fulora.data.image import METADATA, ImageSetError
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.pictures.decoding import PictureFileError, decode_picture
from fulora.data.provenance import FILE as PROVENANCE
from fulora.data.provenance import read_provenance
from fulora.data.results import FACTS, TABLE, MaskSet, Measurements, Predictions, Scores
from fulora.diffusion.sets.blank_images import GATE, read_counts
from fulora.integrity import OPTIONAL_FILES
from fulora.json_files import DamagedFileError
from fulora.report.parts import TrainingPart
from fulora.report.training import training_sections
from fulora.segmentation.model import load_unet
from fulora.segmentation.networks import UnetFileError
from fulora.segmentation.pseudo_labels_file import PSEUDO, pseudo_labelled
from fulora.stage import Artifact
from fulora.training.checkpoints import CheckpointError
from fulora.training.metrics_log import MetricsLog

FETAL = label_set("fetal_planes")


def images(folder: Path) -> ImageSet:
    """A training picture of 24x16 px with its mask."""
    row = image_row()
    pixels = np.arange(384, dtype=np.uint16).reshape(16, 24).astype(np.uint8)
    ImageSet.write(folder, [Picture(row, pixels, (pixels > 100).astype(np.uint8))], labels=FETAL)
    return ImageSet(folder, "")


def picture_of(made: ImageSet) -> Path:
    return made.path / "train" / "images" / "a.png"


def saved(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with Pil.open(path) as image:
            pixels = np.asarray(image)
        Pil.fromarray(change(pixels)).save(path)

    return spoil


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "inverted": (saved(lambda pixels: 255 - pixels), r"a\.png: is not the picture of its row.*its pixels were changed"),
    "one pixel": (
        saved(lambda pixels: np.where(np.arange(24) == 3, pixels ^ 1, pixels).astype(np.uint8)),
        r"a\.png: is not the picture of its row",
    ),
    "smaller": (saved(lambda pixels: pixels[::2, ::2]), r"it has 12x8 px, not 24x16"),
    "turned": (saved(lambda pixels: pixels.T.copy()), r"it has 16x24 px, not 24x16"),
    "colour": (saved(lambda pixels: np.stack([pixels] * 3, -1)), r"a\.png: is not the picture of its row"),
    "16 bit": (saved(lambda pixels: pixels.astype(np.uint16) * 257), r"a\.png: the picture is of u?int\d+ values"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:60]), r"a\.png: the picture cannot be read \(.+\)"),
    "text": (lambda path: path.write_text("no picture"), r"a\.png: the picture cannot be read \(cannot identify"),
    "missing": (lambda path: path.unlink(), r"No such file or directory: .*a\.png"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_picture_that_is_not_what_was_written(tmp_path: Path, what: str) -> None:
    made = images(tmp_path)
    (row,) = made.rows()
    spoil, message = SPOILT[what]
    spoil(picture_of(made))
    with pytest.raises((ImageSetError, OSError), match=message):
        made.pixels(row)


def test_a_picture_saved_anew_with_the_same_pixels_is_the_same(tmp_path: Path) -> None:
    made = images(tmp_path)
    (row,) = made.rows()
    before = made.pixels(row)
    saved(lambda pixels: pixels)(picture_of(made))
    assert np.array_equal(made.pixels(row), before)


def test_a_mask_of_another_size_or_that_is_truncated(tmp_path: Path) -> None:
    made = images(tmp_path)
    (row,) = made.rows()
    mask = made.path / "train" / row.mask_file
    whole = mask.read_bytes()
    saved(lambda pixels: pixels[:8])(mask)
    with pytest.raises(ImageSetError, match=r"a\.png: is not the mask of its row in metadata.jsonl: it has 24x8 px"):
        made.mask(row)
    mask.write_bytes(whole[:50])
    with pytest.raises(PictureFileError, match=r"masks/a\.png: the picture cannot be read"):
        made.mask(row)
    with pytest.raises(FileNotFoundError, match=r"masks/gone\.png"):
        MaskSet(tmp_path, "").mask("gone")
    assert decode_picture(picture_of(made)).shape == (16, 24)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b'{"file_name": "a.png"}',
            r"line 2: is no row of an image set \(image_id: Field required; plane: Field .*more",
        ),
        (b'{"file_name": "a', "line 2: is no row of an image set .*Invalid control character"),
        (b"\xff\xfe", "line 2: is no row of an image set .*can't decode"),
        (b'{"a": 1, "a": 2}', "line 2: is no row of an image set .the key 'a' is given more than once"),
        (b"[1]", "line 2: is no row of an image set .*this is a list"),
    ],
)
def test_a_damaged_row_is_named_in_one_line(tmp_path: Path, line: bytes, message: str) -> None:
    made = images(tmp_path)
    path = made.path / "train" / METADATA
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(ImageSetError, match=message) as told:
        made.rows()
    assert "\n" not in str(told.value)


JSON_READERS: dict[str, Callable[[Path], object]] = {
    PROVENANCE: read_provenance,
    FACTS: lambda folder: Predictions(folder, "").facts(),
    FINDINGS: lambda folder: Assessment(folder, "").filters(),
    MIX_RECORD: schedule_of,
    PSEUDO: lambda folder: pseudo_labelled(ImageSet(folder, "")),
    GATE: read_counts,
}


def test_what_readers_do_without_is_known_so_that_an_added_file_is_not_believed() -> None:
    assert {METADATA, PROVENANCE, MIX_RECORD, PSEUDO, GATE} == set(OPTIONAL_FILES)


@pytest.mark.parametrize("name", JSON_READERS)
@pytest.mark.parametrize("content", [b"", b"{", b"3", b'{"a": 1}', b"\xff\xfe"])
def test_a_damaged_file_of_json_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedFileError, match=rf"{name}: is damaged") as told:
        JSON_READERS[name](tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", [Predictions, Measurements, Scores, Assessment])
@pytest.mark.parametrize("content", [b"{}\n", b"[]\n", b"{\n", b"\xff\n"])
def test_a_damaged_table_is_named_with_its_line(tmp_path: Path, kind: type[Scores], content: bytes) -> None:
    (tmp_path / TABLE).write_bytes(content)
    with pytest.raises(DamagedFileError, match=rf"{TABLE}, line 1: is damaged"):
        kind(tmp_path, "").rows()


def test_damaged_embeddings_are_named(tmp_path: Path) -> None:
    made = images(tmp_path)
    rows = made.rows()
    write_embeddings(tmp_path, rows, np.ones((1, 4), np.float32))
    whole, embeddings = (tmp_path / VECTORS).read_bytes(), Embeddings(tmp_path, "")
    assert embeddings.of(rows).shape == (1, 4)
    for content in (whole[:-3], whole[:20], b"", b"\xff" * 40):
        (tmp_path / VECTORS).write_bytes(content)
        with pytest.raises(DamagedFileError, match=rf"{VECTORS}: the embeddings cannot be read"):
            embeddings.of(rows)
    (tmp_path / VECTORS).write_bytes(whole)
    (tmp_path / IDS).write_text('["a", "b"]')
    with pytest.raises(DamagedFileError, match=r"embeddings\.safetensors: holds \(1, 4\) numbers for 2 ids"):
        embeddings.of(rows)
    (tmp_path / IDS).write_text('{"a": 0}')
    with pytest.raises(DamagedFileError, match=r"ids\.json: is damaged"):
        embeddings.of(rows)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_damaged_facts_of_weights_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ClassifierError, match=r"model\.json: is damaged"):
        load_classifier(tmp_path)
    with pytest.raises(UnetFileError, match=r"can be read: .*(model\.json: is damaged|header)"):
        load_unet(tmp_path)


@pytest.mark.parametrize("line", ["{}", "[]", '{"step": ', '{"step": "a"}'])
def test_a_damaged_log_of_losses_is_named(tmp_path: Path, line: str) -> None:
    log = MetricsLog(tmp_path)
    log.write(1, loss=0.5)
    log.path.write_text(f"{log.path.read_text()}{line}\n")
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl, line 2: is damaged .*checkpoints to begin again"):
        MetricsLog(tmp_path, 1)
    if line != "{}":
        with pytest.raises(DamagedFileError, match=r"metrics\.jsonl, line 2: is damaged"):
            training_sections(TrainingPart({"LoRA": Artifact(tmp_path, "")}))


def test_steps_of_a_log_stay_whole_numbers(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    for step in (1, 2):
        log.write(step, validation_loss=0.5, seen_loss=0.4)
    assert json.loads(log.path.read_text().splitlines()[0])["step"] == 1
    (section,) = training_sections(TrainingPart({"LoRA": Artifact(tmp_path, "")}))
    assert "after step 2, while" in section.text[1]
