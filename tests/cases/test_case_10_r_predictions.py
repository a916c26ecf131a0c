"""One table of predictions as R, pandas and Excel write it, and an imagefolder whose unknown values R wrote as NA."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fulora.data.label_set import label_set
from fulora.data.predictions.files import read_predictions
from fulora.data.predictions.rows import PredictionFileError
from fulora.intake.check.check_folder import check_folder
from fulora.intake.raw_image import SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.imagefolder import ImageFolderConfig
from pipelines.commands.score import classification

CLASSES = label_set("fetal_planes").joined(label_set("intrapartum"))

CASE = "10-r-predictions"
pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def case(make_case: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("case")
    make_case(CASE, out)
    return out


def scores(file: Path) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        classification(file, draws=100, json_file=Path("-"))
    facts: dict[str, Any] = json.loads(printed.getvalue())
    return facts


@pytest.fixture(scope="module")
def plain(case: Path) -> dict[str, Any]:
    return scores(case / "plain.csv")


FORMS = (
    "r_write_csv.csv",
    "r_write_csv2.csv",
    "excel_de.csv",
    "excel_sep_line.csv",
    "utf16.csv",
    "records.json",
)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_the_table_gives_the_same_scores(case: Path, plain: dict[str, Any], name: str) -> None:
    facts = scores(case / name)
    assert (facts["images"], facts["patients"], facts["sites"]) == (200, 50, 2)
    assert facts["scores"] == plain["scores"]
    assert facts["confusion"] == plain["confusion"]
    assert facts["columns_not_read"] == []
    assert any("decimal commas" in note for note in facts["notes"]) == (name in ("r_write_csv2.csv", "excel_de.csv"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("percent.csv", r"line 2, row 1 .* add up to 100 .*no percent"),
        ("percent_sign.csv", r"line 2, row 1 .*abdomen is '3\.5755%', which is no probability; .*without %"),
        ("latin1.csv", r"line 2: byte 0xe9 .*save the list as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(case: Path, name: str, message: str) -> None:
    with pytest.raises(PredictionFileError, match=rf"{name}, {message}"):
        read_predictions(case / name)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("r_na_patient.csv", r' \(40 "NA"\)'),
        ("nan_patient.csv", r' \(40 "nan"\)'),
        ("nan_patient.jsonl", r' \(40 "nan"\)'),
        ("na_site.csv", r' \(40 "NA"\)'),
    ],
)
def test_unknown_patients_and_sites_are_as_empty_cells(case: Path, tmp_path: Path, name: str, written: str) -> None:
    what = "site" if "site" in name else "patient"
    with pytest.raises(PredictionFileError, match=rf"{what} is missing in 40 of 200 rows{written}, such as line [56],"):
        read_predictions(case / name)
    text = (case / name).read_text()
    for spelling in ('"patient": NaN', ",NA,", ",nan,"):
        text = text.replace(spelling, '"patient": null' if ":" in spelling else ",,")
    (tmp_path / name).write_text(text)
    with pytest.raises(PredictionFileError, match=f"{what} is missing in 40 of 200 rows, such as line [56],"):
        read_predictions(tmp_path / name)


def test_three_women_without_a_number_are_not_one_woman(case: Path) -> None:
    folder = case / "imagefolder"
    told: list[str] = []
    images = list(read_source(ImageFolderConfig(folder=""), SourceInputs(folder, labels=CLASSES), told.append))
    assert [(image.patient, image.site, image.machine, image.pixel_size_mm) for image in images] == [
        (number, "", "", None) for number in "345"
    ]
    assert [line.partition("metadata.csv, ")[2] for line in told[:3]] == [
        f"line {n + 2}: i{n}.png: no patient; add a column patient or patient_id" for n in range(3)
    ]
    assert check_folder(folder).n_patients == 3
    with pytest.raises(SourceError, match=r"line 2: i0\.png: no patient"):
        list(read_source(ImageFolderConfig(folder=""), SourceInputs(folder, labels=CLASSES)))
