"""Which classes an image set has: named, brought by its sources, or derived from folders and labels; and renaming."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil
from pydantic import ValidationError

import fulora
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, LabelSetError, label_set
from fulora.intake.check.check_folder import check_folder
from fulora.intake.config import KINDS, CurateConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.curate.forecast import forecast_images
from fulora.intake.image_set_labels import derive_label_set, inputs_under, resolve_label_set
from fulora.intake.layout_detection import detect_layout
from fulora.intake.raw_image import FolderError, PassedOver, RawImage, SourceError
from fulora.intake.read_sources import read_all_sources

ODD = [
    "Left Kidney",
    "żółć",
    "Ärzte-Bild 7",
    "4 chamber",
    "3_vessel",
    "LVOT",
    "0",
    "x+y=z",
    "a & b",
    "日本",
    "it's",
    "(none)",
]
THIRTY = [*ODD, *(f"class no {number}" for number in range(18))]
OWN = {"kind": "class_folders", "folder": "own", "patients_unknown": True}


def folders(root: Path, names: Sequence[str], each: int = 2, first: int = 0) -> Path:
    """One folder a class, with pictures of noise that all differ."""
    random = np.random.default_rng(first)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = random.integers(0, 256, (24, 24), dtype=np.uint8)
            Pil.fromarray(pixels).save(root / name / f"{len(name)}{abs(hash(name)) % 997}_{first + number}.png")
    return root


def config(*sources: Mapping[str, object], **values: object) -> CurateConfig:
    return CurateConfig.model_validate({"sources": list(sources), "image_size_px": 32, **values})


def names_of(root: Path, *sources: Mapping[str, object], **values: object) -> tuple[str, ...]:
    cfg = config(*sources, **values)
    return resolve_label_set(cfg, inputs_under(cfg, root)).names


def rows(root: Path, told: list[str], *sources: Mapping[str, object], **values: object) -> list[RawImage]:
    cfg = config(*sources, **values)
    return [image for images in read_all_sources(cfg, inputs_under(cfg, root), told.append) for image in images]


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_is_one_file_and_one_line(kind: str) -> None:
    """No other module of `fulora` names its config."""
    config_class = KINDS[kind]
    package = Path(fulora.__file__).parent
    mentions = {
        path.relative_to(package).as_posix(): len(re.findall(rf"\b{config_class.__name__}\b", path.read_text("utf-8")))
        for path in package.rglob("*.py")
    }
    found = {name: count for name, count in mentions.items() if count}
    own = f"{config_class.__module__.removeprefix('fulora.').replace('.', '/')}.py"
    assert set(found) == {own, "intake/config.py"}
    assert found["intake/config.py"] == 2  # its import and its place in the union


# --- derived from folders


@pytest.mark.parametrize("names", [["sick", "well"], THIRTY], ids=["2", "30"])
def test_folders_are_the_classes(tmp_path: Path, names: list[str]) -> None:
    folders(tmp_path / "own", names)
    assert detect_layout(tmp_path / "own")[0] == "class_folders"
    assert set(names_of(tmp_path, OWN)) == set(names)
    told: list[str] = []
    assert {image.plane for image in rows(tmp_path, told, OWN)} == set(names)
    assert told == []
    found = check_folder(tmp_path / "own", {"patients_unknown": True, "kind": "class_folders"})
    assert found.counts["plane"] == dict.fromkeys(found.counts["plane"], 2)
    assert set(found.counts["plane"]) == set(names)


def test_a_synonym_is_its_own_class_unless_a_label_set_is_named(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["Fetal brain", "THORAX"])
    assert names_of(tmp_path, OWN) == ("Fetal brain", "THORAX")
    assert {image.plane for image in rows(tmp_path, [], OWN, label_set="fetal_planes")} == {"brain", "thorax"}


def test_the_caption_is_a_template(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["liver"])
    cfg = config(OWN, caption="ultrasound of the {name}")
    assert resolve_label_set(cfg, inputs_under(cfg, tmp_path)).captions == {"liver": "ultrasound of the liver"}
    with pytest.raises(ValidationError, match=r"caption: 'ultrasound' needs \{name\}"):
        config(OWN, caption="ultrasound")
    with pytest.raises(ValidationError, match="write captions into the label set"):
        config(OWN, caption="the {name}", label_set="fetal_planes")
    published = config({"kind": "lora_planes"}, caption="the {name}")
    with pytest.raises(LabelSetError, match=r"sources\.0 \(lora_planes\) has one"):
        resolve_label_set(published, inputs_under(published, tmp_path))


def test_several_folders_have_the_classes_of_all(tmp_path: Path) -> None:
    folders(tmp_path / "one", ["b", "c"])
    folders(tmp_path / "two", ["a", "b"], first=9)
    assert names_of(tmp_path, OWN | {"folder": "one"}, OWN | {"folder": "two", "source": "2"}) == ("a", "b", "c")


def test_folders_beside_a_published_set_have_its_classes(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["Fetal brain", "liver"])
    phantoms = {"kind": "phantoms", "sites": ["A"], "per_plane": 1}
    told: list[str] = []
    assert {image.plane for image in rows(tmp_path, told, phantoms, OWN)} == set(label_set("fetal_planes").names)
    assert len(told) == 1
    assert "unknown class 'liver', of 2 images; rename it to one of abdomen, brain" in told[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Kidney", "kidney"], "'Kidney' and 'kidney' differ only in case, blanks, _ or -"),
        (["left_kidney", "left kidney"], "differ only in case"),
        (["x" * 81], "a class name has 1 to 80 characters"),
        (["Patient1", "Patient2"], "2 classes, such as Patient1, Patient2; .* not all may look like patients"),
        ([f"c{number}" for number in range(201)], "201 classes, such as c0, c1, .*at most 200 are possible"),
        ([], "no image can be used, so there are no classes"),
    ],
)
def test_names_that_make_no_label_set(names: list[str], message: str) -> None:
    with pytest.raises(LabelSetError, match=message):
        derive_label_set(names)


def test_a_check_tells_names_that_make_no_label_set(tmp_path: Path) -> None:
    found = check_folder(folders(tmp_path / "own", ["Kidney", "kidney"]), {"patients_unknown": True})
    assert [one.severity for one in found.findings if one.kind == "classes that cannot be"] == ["misleading"]


@pytest.mark.parametrize("name", ["train", "Validation", "val", "TEST"])
def test_a_split_is_no_class(tmp_path: Path, name: str) -> None:
    folders(tmp_path / "own", [name, "liver"])
    with pytest.raises(
        FolderError, match=rf"{name}: is named like a split, not like a class: .* folder: \.\.\./{name}"
    ):
        names_of(tmp_path, OWN)
    with pytest.raises(FolderError, match="is named like a split"):
        rows(tmp_path, [], OWN, unusable="leave_out", label_set="fetal_planes")


@pytest.mark.parametrize("name", ["images", "Masks"])
def test_images_and_masks_side_by_side_are_no_classes(tmp_path: Path, name: str) -> None:
    folders(tmp_path / "own", [name])
    with pytest.raises(FolderError, match=f"{name}: is named like a folder of images or masks.*kind: parallel_folders"):
        names_of(tmp_path, OWN)


def test_data_sets_in_a_folder_are_no_classes(tmp_path: Path) -> None:
    for site in ("north", "south"):
        folders(tmp_path / "all" / site, ["liver", "spleen"], first=len(site))
    found = check_folder(tmp_path / "all", {"patients_unknown": True})
    assert set(found.sets) == {"north", "south"}
    assert set(found.sets["north"].counts["plane"]) == {"liver", "spleen"}


def test_sets_of_other_classes_are_noted(tmp_path: Path) -> None:
    folders(tmp_path / "all" / "north", ["liver", "spleen"])
    folders(tmp_path / "all" / "south", ["liver", "kidney"], first=9)
    found = check_folder(tmp_path / "all", {"patients_unknown": True})
    assert [one.examples for one in found.findings if one.kind == "other classes"] == [
        ("north: liver, spleen", "south: kidney, liver")
    ]


# --- named and renamed


def test_a_label_set_by_path_inline_and_joined(tmp_path: Path) -> None:
    mine = {"name": "mine", "classes": ["liver", {"name": "rest", "negative": True, "folders": ["scout"]}]}
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(mine))
    for value in (mine, str(path), LabelSet.model_validate(mine)):
        assert config(OWN, label_set=value).label_set == LabelSet.model_validate(mine)
    both = config(OWN, label_set=["intrapartum", mine]).label_set
    assert both is not None
    assert both.names == ("intrapartum", "liver", "rest")
    folders(tmp_path / "own", ["Scout", "LIVER"])
    assert {image.plane for image in rows(tmp_path, [], OWN, label_set=mine)} == {"liver", "rest"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("planes", "planes: no label set; shipped: brain_planes"),
        ([], "an empty list"),
        ([3], "label_set"),
        (
            ["fetal_planes", "fetal_planes_db", {"name": "x", "classes": [{"name": "n", "negative": True}]}],
            "do not fit",
        ),
    ],
)
def test_label_sets_that_cannot_be(value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(OWN, label_set=value)


def test_an_unknown_class_is_noted_once(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["brain", "Kopf"], each=3)
    told: list[str] = []
    assert len(rows(tmp_path, told, OWN, label_set="fetal_planes")) == 3
    assert len(told) == 1
    assert "unknown class 'Kopf', of 3 images; rename it to one of abdomen, brain, femur, thorax, other" in told[0]
    assert "(label set fetal_planes), or set its class: classes: {Kopf: NAME}" in told[0]


def test_classes_are_renamed_and_left_out(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["Kopf", "scout", "brain"])
    renames = {"classes": {"KOPF": "brain", "scout": ""}}
    told: list[str] = []
    assert [image.plane for image in rows(tmp_path, told, OWN | renames)] == ["brain"] * 4
    assert names_of(tmp_path, OWN | renames) == ("brain",)
    assert isinstance(told[0], PassedOver)
    assert "left out with all 2 images of 'scout', by classes" in told[0]
    wrong = {"classes": {"Kopf": "head"}}
    rows(tmp_path, told, OWN | wrong, label_set="fetal_planes")
    assert "unknown class 'head (renamed by classes from Kopf)'" in told[1]


def test_a_limit_counts_what_is_used(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["a", "b", "c"], each=3)
    found = rows(tmp_path, [], OWN | {"limit": 4, "classes": {"a": "", "z": "y"}})
    assert [image.plane for image in found] == ["b", "b", "b", "c"]


def test_a_class_that_is_not_there_cannot_be_renamed(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["Kopf", "scout"])
    with pytest.raises(FolderError, match="source class_folders has no class 'Koof'; its classes: Kopf, scout"):
        names_of(tmp_path, OWN | {"classes": {"Koof": "brain"}})
    with pytest.raises(ValidationError, match="Kopf and kopf differ only in case"):
        config(OWN | {"classes": {"Kopf": "a", "kopf": "b"}})
    published = {"kind": "phantoms", "sites": ["A"], "per_plane": 1, "planes": ["brain"], "classes": {"head": "brain"}}
    with pytest.raises(FolderError, match="source phantoms has no class 'head'; its classes: brain"):
        rows(tmp_path, [], published)


def test_numbers_are_labels_once_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    lines = []
    for number in (0, 1):
        Pil.fromarray(np.full((8, 8), 9 + number, np.uint8)).save(tmp_path / "own" / f"{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "label": number, "patient": str(number)}))
    (tmp_path / "own" / "metadata.jsonl").write_text("\n".join(lines))
    source = {"kind": "imagefolder", "folder": "own"}
    cfg = config(source)
    with pytest.raises(SourceError, match=r"plane is the number 0; set its name, classes: \{0: NAME\}"):
        read_all_sources(cfg, inputs_under(cfg, tmp_path))
    assert names_of(tmp_path, source | {"classes": {0: "well", 1: "sick"}}) == ("sick", "well")


def test_kohya_folders_are_classes(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["10_left kidney", "5_kidney", "2_żółć"])
    source = {"kind": "kohya", "folder": "own", "patients_unknown": True}
    assert names_of(tmp_path, source) == ("kidney", "left kidney", "żółć")
    mine = {"name": "mine", "classes": ["kidney", "left kidney", {"name": "bile", "aliases": ["Żółć"]}]}
    found = rows(tmp_path, [], source, label_set=mine)
    assert sorted({(image.name.split("/")[0], image.plane) for image in found}) == [
        ("10_left kidney", "left kidney"),
        ("2_żółć", "bile"),
        ("5_kidney", "kidney"),
    ]


# --- label sets of sources


def test_published_sources_bring_theirs(tmp_path: Path) -> None:
    brought = {
        kind: labels.name
        for kind, values in {
            "lora_planes": {},
            "african_planes": {},
            "hc18": {},
            "psfhs": {},
            "fetal_planes": {},
            "phantoms": {"sites": ["A"], "per_plane": 1},
        }.items()
        if (labels := KINDS[kind].model_validate(values).source_label_set(None)) is not None
    }
    assert brought == dict.fromkeys(brought, "fetal_planes") | {"psfhs": "intrapartum"}
    assert len(brought) == 6
    assert names_of(tmp_path, {"kind": "fetal_planes", "column": "Brain_plane"}) == label_set("brain_planes").names


@pytest.mark.parametrize(
    ("planes", "name"),
    [
        (["brain"], "fetal_planes"),
        (["cervix", "brain"], "fetal_planes_db"),
        (["trans-thalamic"], "brain_planes"),
        (["intrapartum"], "intrapartum"),
    ],
)
def test_phantoms_have_the_label_set_of_their_planes(tmp_path: Path, planes: list[str], name: str) -> None:
    phantoms = {"kind": "phantoms", "sites": ["A"], "per_plane": 1, "planes": planes}
    assert names_of(tmp_path, phantoms) == label_set(name).names
    told: list[str] = []
    assert [image.plane for image in rows(tmp_path, told, phantoms)] == planes
    assert told == []


def test_phantoms_of_several_label_sets_must_name_them(tmp_path: Path) -> None:
    phantoms = {"kind": "phantoms", "sites": ["A"], "per_plane": 1, "planes": ["intrapartum", "brain"]}
    with pytest.raises(LabelSetError, match="no shipped label set holds all of them; set label_set: to several"):
        names_of(tmp_path, phantoms)
    assert names_of(tmp_path, phantoms, label_set=["fetal_planes", "intrapartum"])[-1] == "intrapartum"
    with pytest.raises(ValidationError, match="no phantom shows 'knee'; there are abdomen"):
        config(phantoms | {"planes": ["knee"]})


def test_sources_of_two_label_sets_are_refused(tmp_path: Path) -> None:
    two = ({"kind": "hc18"}, {"kind": "psfhs"})
    message = (
        r"sources\.0 \(hc18\): abdomen, .*, label set fetal_planes\n  sources\.1 \(psfhs\): intrapartum, label set"
    )
    with pytest.raises(LabelSetError, match=message):
        names_of(tmp_path, *two)
    assert len(names_of(tmp_path, *two, label_set=["fetal_planes", "intrapartum"])) == 6


def test_an_image_set_brings_its_own(tmp_path: Path) -> None:
    folders(tmp_path / "own", THIRTY)
    cfg = config(OWN, caption="a scan of {name}")
    inputs = inputs_under(cfg, tmp_path)
    labels = resolve_label_set(cfg, inputs)
    ImageSet.write(tmp_path / "set", Curation(cfg, inputs).pictures(), labels=labels)
    again = config({"kind": "imagefolder", "folder": "set"})
    assert resolve_label_set(again, inputs_under(again, tmp_path)) == labels
    assert {image.plane for image in rows(tmp_path, [], {"kind": "imagefolder", "folder": "set"})} == set(THIRTY)


def test_what_sources_say_of_themselves() -> None:
    hc18, both = KINDS["hc18"](), KINDS["phantoms"](sites=("A",), planes=("brain", "other"), per_plane=1)
    assert (hc18.class_names(), hc18.has_masks(), hc18.has_patients()) == (("brain",), True, True)
    assert hc18.changed(classes={"brain": "head"}).class_names() == ("head",)
    assert hc18.changed(part="test_set").has_masks() is False
    assert (both.class_names(), both.has_masks(), both.has_patients()) == (("brain", "other"), False, False)
    assert both.changed(planes=("brain", "cervix")).has_masks() is True
    own = KINDS["class_folders"](folder="x")
    assert (own.class_names(), own.has_masks(), own.changed(mask_suffix="_m").has_masks()) == (None, False, True)
    assert KINDS["imagefolder"](folder="x").has_masks() is None
    assert KINDS["fetal_planes"]().class_names() == label_set("fetal_planes_db").names
    outside = KINDS["dicom"](folder="x", key_file="k", split_file="s").input_paths()
    assert outside == {"folder": Path("x"), "key_file": Path("k"), "split_file": Path("s")}


def test_a_forecast_has_the_renamed_classes(tmp_path: Path) -> None:
    renames = {"brain": "head", "other": ""}
    phantoms = {"kind": "phantoms", "sites": ["A"], "per_plane": 2, "planes": ["brain", "other"], "classes": renames}
    cfg = config(phantoms, label_set={"name": "mine", "classes": ["head"]})
    (inputs,) = inputs_under(cfg, tmp_path)
    foreseen = forecast_images(cfg.sources[0], inputs, cfg, lambda message: None)
    assert [image.plane for image in foreseen] == ["head", "head"]
    assert [image.plane for images in read_all_sources(cfg, [inputs], lambda message: None) for image in images] == [
        "head"
    ] * 2
