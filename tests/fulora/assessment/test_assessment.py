"""`fulora assess`: copies are found, other people's pictures are not; figures stand beside those of real images."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image as Pil
from safetensors.torch import save_file

from fulora.assessment.assess import Encoded, Sets, figures, verdicts
from fulora.assessment.encoders import EncoderError, load_encoder
from fulora.assessment.pictures import Pictures, PicturesError, read_pictures
from fulora.data.manifest import Image, ImageSet, Picture
from fulora.intake.sources.phantoms import draw
from pipelines.commands import assess as command

PEOPLE = 16


def pictures(first: int, count: int, *, each: int = 1) -> Pictures:
    numbers = range(first, first + count)
    drawn = draw("brain", numbers, site="A", size_px=64, seed=0).images
    patients = np.array([f"p{number // each}" for number in numbers])
    return Pictures(list(drawn), np.array([f"i{n}" for n in numbers]), np.array(["brain"] * count), patients, True)


def sets_of(synthetic: Pictures) -> Sets:
    return Sets(synthetic, held_out=pictures(1000, PEOPLE), train=pictures(0, PEOPLE))


def said_by(sets: Sets, name: str = "pixels") -> list[str]:
    one = load_encoder(name)
    assert sets.train is not None
    encoded = Encoded(*(one.features(part.pixels) for part in (sets.synthetic, sets.held_out, sets.train)))
    return verdicts(figures(sets, encoded, name, draws=499))


@pytest.mark.parametrize("name", ["pixels", "hash", "clip"])
def test_copies_of_training_patients_are_found_and_other_peoples_pictures_are_not(name: str) -> None:
    train = pictures(0, PEOPLE)
    brighter = [np.clip(picture.astype(int) + 6, 0, 255).astype(np.uint8) for picture in train.pixels]
    copies = Pictures(brighter, train.ids, train.planes, train.ids, False)
    assert said_by(sets_of(copies), name)[-1].startswith("evidence that patients who trained were memorised (p = 0.00")
    others = said_by(sets_of(pictures(5000, 40)), name)
    assert others[-1].startswith("no evidence that patients who trained were memorised (p = ")
    assert others[0].startswith("all: KID ")
    assert "(real images of other patients: " in others[0]
    assert f"of {PEOPLE} (" in others[0]
    assert len(others) == 2


def test_features_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, some = load_encoder("hash"), pictures(0, 3)
    first = one.features(some.pixels, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(type(one), "encode", None, raising=False)
    assert np.array_equal(one.features(some.pixels, tmp_path), first)


def test_encoders_from_files(tmp_path: Path) -> None:
    some = pictures(0, 3).pixels
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=0)
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    features = load_encoder(f"timm:test_vit:{tmp_path / 'vit.safetensors'}").features(some)
    assert features.shape == (3, 64)
    assert features.std(axis=0).max() > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.AdaptiveAvgPool2d(2), torch.zeros(1, 3, 288, 288)).save(tmp_path / "copy.pt")
    assert load_encoder(f"torchscript:{tmp_path / 'copy.pt'}").features(some).shape == (3, 12)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sift", "no such encoder; there are pixels, hash"),
        ("timm", "no such encoder"),
        ("timm:no_such_network", "cannot be loaded by timm"),
        ("torchscript:nowhere.pt", "no TorchScript file can be read"),
    ],
)
def test_an_encoder_that_cannot_be_had_is_named(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder(name)


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(PicturesError, match="16 patients trained the generator and are among the real images"):
        Sets(pictures(5000, 20), held_out=pictures(0, PEOPLE), train=pictures(0, PEOPLE))
    with pytest.raises(PicturesError, match="3 synthetic images: at least 12"):
        Sets(pictures(5000, 3), held_out=pictures(0, PEOPLE))


# --- the command


def image_set(folder: Path) -> Path:
    made = []
    for number in range(2 * PEOPLE):
        split = "train" if number < PEOPLE else "validation"
        row = Image(
            file_name="", image_id=f"i{number}", plane="brain", split=split, origin="real", source="s", site="A",
            patient=str(number), width=64, height=64, sha256="",
        )  # fmt: skip
        made.append(Picture(row, draw("brain", range(number, number + 1), site="A", size_px=64, seed=0).images[0]))
    ImageSet.write(folder, made)
    return folder


def folder_of(folder: Path, first: int, count: int) -> Path:
    (folder / "brain").mkdir(parents=True)
    for number, picture in enumerate(pictures(first, count).pixels):
        Pil.fromarray(picture).save(folder / "brain" / f"{number}.png")
    return folder


def test_an_image_set_is_divided_by_its_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, made = image_set(tmp_path / "real"), folder_of(tmp_path / "made", 5000, 30)
    out, figure = tmp_path / "figures.json", tmp_path / "pairs.png"
    command.assess(
        made, real=real, train=real, encoder=["hash"], draws=200, seed=0, cache=tmp_path / "cache", figure=figure,
        json_file=out,
    )  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "hash:"
    assert "memorised" in said[-1]
    facts = json.loads(out.read_text())
    assert facts["real"] == facts["train"] == {"images": PEOPLE, "patients": PEOPLE, "patients_known": True}
    assert facts["encoders"][0]["memorisation"]["bulk"]["votes"] == 30
    with Pil.open(figure) as image:
        assert image.width > 1000
    command.assess(made, real=real, train=None, encoder=["hash"], draws=200, seed=0, cache=None, figure=None, json_file=Path("-"))  # fmt: skip  # noqa: E501
    assert json.loads(capsys.readouterr().out)["encoders"][0]["memorisation"] is None


def test_what_cannot_be_assessed_is_refused(tmp_path: Path) -> None:
    made = folder_of(tmp_path / "made", 5000, 12)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PicturesError, match="is no folder"):
        read_pictures(tmp_path / "gone")
    with pytest.raises(PicturesError, match="holds neither an image set nor pictures"):
        read_pictures(tmp_path / "empty")
    for train, figure, message in (
        (None, tmp_path / "x.png", "give --train too"),
        (made, None, "has no training split beside others"),
    ):
        with pytest.raises(ValueError, match=message):
            command.assess(made, real=made, train=train, encoder=["hash"], draws=200, seed=0, cache=None, figure=figure, json_file=None)  # fmt: skip  # noqa: E501
