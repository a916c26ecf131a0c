"""The section on trust: whose images a generator saw, and which of the sets stand first."""

from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row, synthetic_row
from report_pages import Page, images_of, page_of_parts, recorded

from fulora.assessment.assess import AssessmentFindings, SetSize, write_findings
from fulora.assessment.verdicts import Verdict
from fulora.data.assessed_images import Assessment
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.leak_check import Overlap
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.data.results import write_table
from fulora.report.leaks import leak_table
from fulora.report.parts import AssessmentPart

FETAL = label_set("fetal_planes")
BACKBONE = ProvenanceEntry(name="backbone embedded in fulora", images=6000, patients=("phantoms/base1/0",))


def synthetic(folder: Path, real: ImageSet, *entries: ProvenanceEntry) -> ImageSet:
    pixels = real.pixels(real.rows("train")[0]).copy()
    pixels[2, 0] = len(folder.name)
    row = synthetic_row(folder.name, file_name="x.png", plane="brain", caption="", width=64, height=64)
    ImageSet.write(folder, [Picture(row, pixels)], labels=FETAL, provenance=Provenance(entries=entries))
    return ImageSet(folder, folder.name)


def held_out(folder: Path) -> ImageSet:
    row = image_row("unseen", plane="brain", split="validation", patient="unseen")
    ImageSet.write(folder, [Picture(row, np.full((64, 64), 7, np.uint8))], labels=FETAL)
    return ImageSet(folder, folder.name)


def assessed(folder: Path) -> Assessment:
    folder.mkdir(parents=True)
    sizes = SetSize(1, 0, True), SetSize(10, 1, True), SetSize(5, 5, True)
    verdict = Verdict("all", (), "None.")
    write_findings(folder, AssessmentFindings(FETAL.names, *sizes, (), (), (), 0.05, (), (verdict,)))
    write_table(folder, [])
    return recorded(folder, Assessment)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Images of the backbone alone, of a LoRA on the real images, and of weights that nobody knows, in that order."""
    folder = tmp_path_factory.mktemp("trust")
    real, unseen = images_of(folder / "real", FETAL), held_out(folder / "held_out")
    lora = ProvenanceEntry.of("LoRA", real.rows("train"), parents=("backbone embedded in fulora",))
    entries = {"base": (BACKBONE,), "LoRA": (lora, BACKBONE), "hub": Provenance.unknown("stable-diffusion").entries}
    sets = {name: synthetic(folder / name, real, *given) for name, given in entries.items()}
    assessments = {name: assessed(folder / f"assess {name}") for name in sets}
    return page_of_parts(folder / "page", AssessmentPart(sets, dict.fromkeys(sets, real), unseen, assessments))


def test_the_lora_stands_first_and_the_others_are_folded(page: Page) -> None:
    comparison = "For comparison: images of {}, which no LoRA has changed"
    shown = [name for name in page.sections if "mages of" in name]
    assert shown == ["Images of LoRA", comparison.format("base"), comparison.format("hub")]
    text = (page.folder / "report.html").read_text(encoding="utf-8")
    assert text.index("<h3>Images of LoRA</h3>") < text.index(
        f"<summary><h3>{comparison.format('base')}</h3></summary>"
    )
    assert "<summary><h3>Images of LoRA" not in text


def test_a_generator_is_said_to_be_trained_by_those_who_trained_it_alone(page: Page) -> None:
    lora, base, hub = (page.sections[name][0] for name in page.sections if "mages of" in name)
    assert (
        lora == "1 synthetic image; 10 real ones of 1 held-out patient; 5 images of 5 patients trained the generator."
    )
    assert "5 images of 5 patients trained the LoRAs, and not this generator." in base
    assert "backbone embedded in fulora (phantoms alone) as it is, which was trained on 6,000 images" in base
    assert "trained the generator" not in base + hub
    assert "What stable-diffusion was trained on is not known." in hub


def test_weights_are_named_for_what_they_saw() -> None:
    known = Overlap(trained_on="backbone embedded in fulora", images=6000, patients=1200)
    assert leak_table([known]).rows == (("backbone embedded in fulora (phantoms alone)", "6,000", "1,200", "0", "0"),)
    assert "not known" not in leak_table([known]).caption
    unknown = Overlap(trained_on="SD", images=None, patients=None)
    assert "cannot be checked" in leak_table([known, unknown]).caption
