"""Encoders, and the test of memorisation on pictures: copies are found, other people's pictures are not."""

import warnings
from pathlib import Path

import numpy as np
import people
import pytest
import timm
import torch
from people import PEOPLE, pictures, sets_of
from safetensors.torch import save_file

from fulora.assessment.assess import assess
from fulora.assessment.assessed_sets import AssessedSets, EncodedSets, find_nearest
from fulora.assessment.config import AssessConfig
from fulora.assessment.encoder_checks import EncoderError
from fulora.assessment.encoder_figures import compute_figures
from fulora.assessment.encoders import load_encoder
from fulora.assessment.loaded_pictures import PicturesError
from fulora.assessment.trusted_encoders import UntrustedEncoderError
from fulora.assessment.verdicts import describe_memorisation
from fulora.data.pictures.resize import to_square
from fulora.digests import file_digest
from fulora.intake.formats.decode import read_gray
from fulora.report.assessment import assessment_section


def said_by(sets: AssessedSets, name: str = "pixels") -> str:
    """What the test of memorisation says by one encoder."""
    one = load_encoder(name)
    assert sets.train is not None
    encoded = EncodedSets(name, *(one.views(part.pixels) for part in (sets.synthetic, sets.held_out, sets.train)))
    (line,) = describe_memorisation([compute_figures(sets, encoded, find_nearest(sets, encoded), draws=499)])
    return line


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pixels", "hash", "clip"])
def test_copies_of_training_patients_are_found_and_other_peoples_pictures_are_not(name: str) -> None:
    train = pictures(0, PEOPLE)
    turned = [np.clip(picture[:, ::-1].astype(int) + 6, 0, 255).astype(np.uint8) for picture in train.pixels]
    copies = people.of(turned, train.ids, train.planes, train.ids)
    assert said_by(sets_of(copies), name).startswith(f"Evidence that training patients were memorised ({name}, p = 0")
    others = said_by(sets_of(pictures(5000, 40)), name)
    assert others.startswith(f"No evidence that training patients were memorised ({name}, p = ")


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
    trusted = [file_digest(tmp_path / "copy.pt")]
    assert load_encoder(f"torchscript:{tmp_path / 'copy.pt'}", trusted=trusted).features(some).shape == (3, 12)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sift", "no such encoder; there are pixels, hash"),
        ("timm", "no such encoder"),
        ("timm:no_such_network", "cannot be loaded by timm"),
        ("torchscript:nowhere.pt", "no such file; give the path of a TorchScript file"),
    ],
)
def test_an_encoder_that_cannot_be_had_is_named(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        load_encoder(name)
    assert type(raised.value) in (EncoderError, UntrustedEncoderError)


class NotWeights:
    """Anything that is not a tensor."""


def test_files_of_an_encoder_that_are_something_else_are_named(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"a": NotWeights()}, file)
    with pytest.raises(
        EncoderError, match=r"holds more than weights \(\S*NotWeights\): such a pickle can run any code"
    ):
        load_encoder(f"timm:test_vit:{file}")
    with pytest.raises(EncoderError, match="is not a TorchScript file; give one"):
        load_encoder(f"torchscript:{file}", trusted=[file_digest(file)])
    file.write_text("<html>Not found</html>")
    with pytest.raises(EncoderError, match="it is a web page or XML and not the weights"):
        load_encoder(f"timm:test_vit:{file}")


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(PicturesError, match="16 training patients of the generator are among the real images"):
        AssessedSets(pictures(5000, 20), held_out=pictures(0, PEOPLE), train=pictures(0, PEOPLE))


def test_too_few_images_give_no_verdict_and_no_rejections() -> None:
    sets = AssessedSets(pictures(5000, 20), held_out=pictures(1000, 5), train=pictures(0, PEOPLE))
    found, rows = assess(sets, AssessConfig(), prompts={})
    assert found.verdicts[0].summary == "no verdict: 5 held-out real images, and at least 8 are needed"
    assert {one.name for one in found.filters} == {"brightness", "near_duplicate", "memorised", "clip"}
    assert len(rows) == 20
    assert not any(row.fails for row in rows)
    titles = [table.title for one in assessment_section("x", sets, found, rows).walk() for table in one.tables]
    assert titles == ["Verdicts (x)", "Filters (x)"]


@pytest.mark.real_data
def test_changed_copies_of_real_heads_are_found_and_those_of_other_patients_are_not(data_root: Path) -> None:
    """HC18: 40 exams trained, 40 did not, and all others stand for synthetic ones, of which a fifth are made copies."""
    files = {path.name.split("_")[0]: path for path in sorted((data_root / "hc18").rglob("*_HC.png"))}
    heads = [to_square(read_gray(path), 64, "letterbox") for path in files.values()]
    names = np.array([f"e{number}" for number in range(len(heads))])
    everybody = people.of(heads, names, np.array(["brain"] * len(heads)), names)
    order = np.random.default_rng(0).permutation(len(heads))
    train, held_out, others = (everybody.of(places) for places in (order[:40], order[40:80], order[80:]))
    assert said_by(AssessedSets(others, held_out=held_out, train=train)).startswith("No evidence")
    count = len(others) // 5
    turned = [np.ascontiguousarray(picture[:, ::-1] // 4 * 4) for picture in train.pixels[:count]]
    planted = people.of([*turned, *others.pixels[count:]], others.ids, others.planes, others.patients)
    assert said_by(AssessedSets(planted, held_out=held_out, train=train)).startswith("Evidence that training patients")
