"""The leak gate: a model that knows a patient or a picture of the test set, itself or by a parent, is refused."""

import re

import pytest
from image_rows import image_row

from fulora.data.image import Image
from fulora.data.leak_check import (
    ImageIdentity,
    Overlap,
    OverlapError,
    describe_unknown,
    find_overlap,
    refuse_leaked_identities,
    refuse_leaks,
)
from fulora.data.patient_numbers import SameNumberError
from fulora.data.provenance import Provenance, ProvenanceEntry, Use


def image(name: str, patient: str, pixels: str, source: str = "s") -> Image:
    return image_row(name, source=source, patient=patient, sha256=pixels)


def model(name: str, *rows: Image, parents: tuple[Provenance, ...] = (), use: Use = "fitted") -> Provenance:
    inherited = Provenance().joined(*parents)
    own = ProvenanceEntry.of(name, rows, use, parents=inherited.roots())
    return Provenance(entries=(own,)).joined(inherited)


TEST = [image("t1", "p1", "x1"), image("t2", "p2", "x2")]
TESTED = [ImageIdentity.of(row) for row in TEST]


def test_others_share_nothing() -> None:
    rows = [image("a", "p8", "y1"), image("b", "p8", "y2"), image("c", "p9", "y3")]
    found = find_overlap("real", ProvenanceEntry.of("real", rows), TESTED)
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
def test_shared_patients_pixels_and_ids_of_one_source_are_reported(
    trained: Image, images: tuple[str, ...], patients: tuple[str, ...]
) -> None:
    found = find_overlap("LoRA", ProvenanceEntry.of("LoRA", [image("b", "p8", "y2"), trained]), TESTED)
    assert (found.shared_images, found.shared_patients) == (images, patients)


def test_all_that_leaks_is_refused_with_examples() -> None:
    leaks = [
        model("LoRA", image("a", "p1", "y")),
        model("classifiers", image("b", "p8", "z")),
        model("CLIP", image("c", "p7", "x2"), use="chosen"),
        Provenance.unknown("SD"),
    ]
    with pytest.raises(OverlapError) as caught:
        refuse_leaks(leaks, TEST)
    first, second, advice = str(caught.value).splitlines()
    assert first == "LoRA: 0 images and 1 patients of the test set were trained on, such as s/A/p1"
    assert second == "CLIP: 1 images and 0 patients of the test set were used for model selection, such as t2"
    assert advice.startswith("Leave these patients out of training")


def test_a_parent_that_leaks_is_named_with_all_that_is_between() -> None:
    backbone = model("backbone b", image("a", "p1", "y"))
    lora = model("LoRA l", image("b", "p8", "z"), parents=(backbone,))
    classifier = model("classifier c", image("d", "p7", "v"), parents=(model("hybrid images h", parents=(lora,)),))
    said = "backbone b, through LoRA l, through hybrid images h, through classifier c: 0 images and 1 patients"
    with pytest.raises(OverlapError, match=said):
        refuse_leaks([classifier], TEST)


def test_what_only_chose_passes_where_that_is_allowed() -> None:
    chosen = model("LoRA", image("a", "p1", "y"), use="chosen")
    assert refuse_leaks([chosen], TEST, uses=("fitted",)) == []
    with pytest.raises(OverlapError, match="used for model selection"):
        refuse_leaks([chosen], TEST)


def test_what_weights_from_outside_have_seen_is_not_known() -> None:
    seen = [model("LoRA", image("a", "p8", "y")), Provenance.unknown("Stable Diffusion")]
    known, foundation = refuse_leaks(seen, TEST)
    assert (known.known, foundation.known, foundation.images) == (True, False, None)
    assert describe_unknown([known, foundation]) == [
        "Stable Diffusion: its training data are unknown, and so is whether they include these pictures"
    ]


def test_two_models_of_one_parent_give_it_one_row() -> None:
    backbone = model("backbone", image("a", "p8", "y"))
    assert [row.trained_on for row in refuse_leaks([backbone, backbone], TEST)] == ["backbone"]


def test_pictures_of_which_only_the_pixels_are_known_are_refused_by_them() -> None:
    seen = [model("U-Net", image("a", "p1", "x1"))]
    assert len(refuse_leaked_identities(seen, [ImageIdentity("mine.png", "x9")])) == 1
    with pytest.raises(OverlapError, match=r"U-Net: 1 images and 0 patients .* such as mine\.png"):
        refuse_leaked_identities(seen, [ImageIdentity("mine.png", "x1")])


def test_one_number_at_another_site_is_refused_unless_declared_another_patient() -> None:
    renamed = image("a", "p1", "y").changed(site="B")
    said = r"LoRA and the test:\n1 patient number occurs under two names: p1 .*same_numbers: different_patients"
    with pytest.raises(SameNumberError, match=re.compile(said, re.DOTALL)):
        refuse_leaks([model("LoRA", renamed)], TEST)
    assert refuse_leaks([model("LoRA", renamed)], TEST, distinct_patients=True)[0].shared_patients == ()
    apart = Provenance(entries=(ProvenanceEntry.of("LoRA", [renamed], different_patients=True),))
    assert refuse_leaks([apart], TEST)[0].shared_patients == ()
    published = [row.changed(source="african_planes") for row in (renamed, TEST[0])]
    assert refuse_leaks([model("LoRA", published[0])], published[1:])[0].shared_patients == ()
