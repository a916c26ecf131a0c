"""The leak gate: a training input that shares a patient or a picture with the test set is found and refused."""

import re
from pathlib import Path

import pytest

from fulora.data.manifest import Image
from fulora.data.overlap import Overlap, OverlapError, overlap, overlaps, refuse_trained_on, write_trained_on
from fulora.data.patient_numbers import SameNumberError


def image(name: str, patient: str, pixels: str, source: str = "s") -> Image:
    return Image.model_validate(
        {"file_name": f"{name}.png", "image_id": name, "plane": "brain", "split": "train", "origin": "real"}
        | {"source": source, "site": "A", "patient": patient, "width": 8, "height": 8, "sha256": pixels}
    )


TEST = [image("t1", "p1", "x1"), image("t2", "p2", "x2")]


def test_others_share_nothing() -> None:
    found = overlap("real", [image("a", "p8", "y1"), image("b", "p8", "y2"), image("c", "p9", "y3")], TEST)
    assert found == Overlap(trained_on="real", images=3, patients=2)
    assert found.known


@pytest.mark.parametrize(
    ("trained", "images", "patients"),
    [
        (image("a", "p1", "y"), (), ("s/A/p1",)),
        (image("a", "p9", "x2"), ("t2",), ()),
        (image("t1", "p9", "of another size"), ("t1",), ()),
        (image("t1", "p1", "y", source="another"), (), ()),
    ],
)
def test_patients_pixels_and_ids_at_one_source_are_told(
    trained: Image, images: tuple[str, ...], patients: tuple[str, ...]
) -> None:
    found = overlap("LoRA", [image("b", "p8", "y2"), trained], TEST)
    assert (found.shared_images, found.shared_patients) == (images, patients)


def test_all_that_leaks_is_refused_with_examples() -> None:
    leaks = {"LoRA": [image("a", "p1", "y")], "classifiers": [image("b", "p8", "z")], "CLIP": [image("c", "p7", "x2")]}
    with pytest.raises(OverlapError) as caught:
        overlaps(leaks, ["SD"], TEST)
    first, second, advice = str(caught.value).splitlines()
    assert first == "LoRA: 0 images and 1 patients of the test set were trained on, such as s/A/p1"
    assert second == "CLIP: 1 images and 0 patients of the test set were trained on, such as t2"
    assert advice.startswith("Leave these patients out of training")


def test_what_weights_from_outside_have_seen_is_not_known() -> None:
    known, foundation = overlaps({"LoRA": [image("a", "p8", "y")]}, ["Stable Diffusion"], TEST)
    assert (known.known, foundation.known, foundation.images) == (True, False, None)


def test_weights_remember_whom_they_were_fitted_to(tmp_path: Path) -> None:
    refuse_trained_on(tmp_path, TEST)  # weights that say nothing are not known to leak
    write_trained_on(tmp_path, [image("a", "p8", "y1"), image("b", "p9", "y2")], tainted_by=["s/A/p7"])
    refuse_trained_on(tmp_path, TEST)
    for leak in (image("c", "p8", "y3"), image("c", "p7", "y3"), image("c", "p6", "y2")):
        with pytest.raises(OverlapError, match=r"trained_on.json: \d images and \d patients of the test set were"):
            refuse_trained_on(tmp_path, [*TEST, leak])


def test_one_number_at_another_site_is_refused_unless_it_is_said_to_be_of_another_patient(tmp_path: Path) -> None:
    renamed = image("a", "p1", "y").model_copy(update={"site": "B"})
    said = r"LoRA and the test:\n1 patient number occurs under two names: p1 .*same_numbers: different_patients"
    with pytest.raises(SameNumberError, match=re.compile(said, re.DOTALL)):
        overlaps({"LoRA": [renamed]}, [], TEST)
    assert overlaps({"LoRA": [renamed]}, [], TEST, told_apart=["LoRA"])[0].shared_patients == ()
    published = [row.model_copy(update={"source": "african_planes"}) for row in (renamed, TEST[0])]
    assert overlaps({"LoRA": published[:1]}, [], published[1:])[0].shared_patients == ()
    write_trained_on(tmp_path, [renamed])
    with pytest.raises(SameNumberError, match=r"trained_on\.json and the test:\n1 patient number occurs"):
        refuse_trained_on(tmp_path, TEST)
    refuse_trained_on(tmp_path, TEST, told_apart=True)
