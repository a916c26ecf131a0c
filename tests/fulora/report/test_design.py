"""The section on design shows the numbers of the sets and arms that the study has."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from image_rows import synthetic_row
from report_pages import Page, classification, images_of, page_of_parts

from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet
from fulora.data.score import Score
from fulora.report.parts import ArmDesign

LABELS = LabelSet.derived(["one", "two"])
SCORE = Score(
    quantity="accuracy", arm="hybrid", value=0.5, low=0.4, high=0.6, protocol="transfer", n_images=4, n_patients=4,
    n_seeds=2, choices=2, rule="own decision", rank=1,
)  # fmt: skip
SCORES = [
    SCORE,
    SCORE.changed(arm="real", value=0.6),
    SCORE.changed(baseline="real", role="declared", value=-0.1, low=-0.2, high=0.1, p=0.4),
]


def hybrid(folder: Path, real: ImageSet) -> ImageSet:
    """The training images, and three synthetic ones."""
    pictures = [*real.pictures("train")]
    size = pictures[0].pixels.shape
    for number in range(3):
        row = synthetic_row(f"made{number}", file_name="x.png", plane="one", caption="", width=size[1], height=size[0])
        pixels = pictures[0].pixels.copy()
        pixels[1, :2] = 90, number
        pictures.append(Picture(row, pixels))
    ImageSet.write(folder, pictures, labels=LABELS, provenance=real.provenance())
    return ImageSet(folder, folder.name)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("design")
    part = classification(folder, LABELS, SCORES)
    real = images_of(folder / "real", LABELS, each=2)
    arms = {
        "real": ArmDesign(real, "resnet18", 2, steps=60),
        "hybrid": ArmDesign(hybrid(folder / "hybrid", real), "resnet18", 2, epochs=1),
        "prompt": ArmDesign(None, "CLIP by prompts", 1),
    }
    return page_of_parts(folder / "page", replace(part, images=real, training={"planes": real}, arms=arms))


def test_arms_have_their_images_ratio_network_length_and_seeds(page: Page) -> None:
    assert page.tables["Arms of classification"][1:] == [
        ["real", "4", "4", "0", "0.00", "resnet18", "60 steps", "2"],
        ["hybrid", "4", "4", "3", "0.75", "resnet18", "1 epoch", "2"],
        ["prompt", "0", "0", "0", "–", "CLIP by prompts", "–", "1"],
    ]


def test_images_and_patients_are_counted_by_class_split_and_site(page: Page) -> None:
    header, *lines = page.tables["Images and patients"]
    assert header == ["Set", "Split", "Site", "one", "two", "All images", "Patients"]
    assert [line[:2] + line[3:] for line in lines] == [
        ["classification", split, "2", "2", "4", "4"] for split in ("train", "test")
    ]
    assert {line["images"] for line in page.csv("images-and-patients")} == {"2"}


def test_the_section_says_what_was_declared(page: Page) -> None:
    assert page.sections["Design"][1] == (
        "Declared before the run: hybrid minus real, by accuracy, on 4 test images of 4 patients. All other "
        "comparisons are exploratory."
    )


def test_the_flow_diagram_leads_from_the_sources_to_the_analysis(page: Page) -> None:
    path = page.folder / "figures" / "flow-classification.svg"
    drawn = ["".join(item.itertext()) for item in ElementTree.parse(path).iter() if item.tag.endswith("}text")]
    for text in (
        "real: 8 images of 8 patients, site A",
        "4 images of 4 patients",
        "3 arms of classification",
        "hybrid: 7 images",
        "prompt: not trained",
        "declared: hybrid minus real,",
        "intervals resample patients; 2 training seeds",
    ):
        assert text in " ".join(drawn)
    assert path.read_text() in (page.folder / "report.html").read_text()


def test_no_text_leaves_its_box(page: Page) -> None:
    tree = ElementTree.parse(page.folder / "figures" / "flow-classification.svg")
    boxes = [
        {key: float(item.get(key, 0)) for key in ("x", "y", "width", "height")}
        for item in tree.iter()
        if item.tag.endswith("rect")
    ]
    for item in (item for item in tree.iter() if item.tag.endswith("}text")):
        x, y, letters = float(item.get("x", 0)), float(item.get("y", 0)), len(item.text or "")
        (box,) = [b for b in boxes if b["x"] < x < b["x"] + b["width"] and b["y"] < y < b["y"] + b["height"]]
        assert x + 7 * letters <= box["x"] + box["width"]  # a letter of 14 px is 7 px wide on average


def test_the_first_figure_has_the_level_of_guessing(page: Page) -> None:
    assert next(iter(page.figures)) == "primary"
    assert page.figures["primary"] == (
        "Accuracy of the two arms of the declared comparison, with 95 % intervals: 4 test images of 4 patients, 2 "
        "training seeds. Dashed line: chance, 0.500 (a uniform guess among 2 classes)."
    )
    assert 'alt="Accuracy with intervals: real 0.600 [0.400, 0.600]; hybrid 0.500' in (
        page.folder / "report.html"
    ).read_text(encoding="utf-8")
