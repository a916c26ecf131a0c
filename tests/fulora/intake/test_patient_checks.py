"""One woman in two splits, under one name or two, stops curation before any picture is decoded."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fulora.data.image_set import ImageSet
from fulora.data.patient_numbers import NUMBERING, SameNumberError
from fulora.data.split_file import SplitFile
from fulora.data.splits import SplitError
from fulora.intake.config import CurateConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.curate.patient_checks import read_and_check_patients
from fulora.intake.raw_image import SourceError
from fulora.intake.source_config import SourceInputs

HERE = {"kind": "class_folders", "folder": "here", "patient_pattern": r"P(\d+)", "site": "here", "role": "train"}
THERE = HERE | {"folder": "there", "site": "elsewhere", "role": "test"}


def planes(folder: Path, *patients: str) -> Path:
    """Files that are no pictures: whoever decodes one fails."""
    (folder / "brain").mkdir(parents=True)
    for patient in patients:
        (folder / "brain" / f"{folder.name}_P{patient}.png").write_bytes(b"no picture")
    return folder


def checked(folder: Path, *sources: dict[str, object], **values: object) -> None:
    config = CurateConfig.model_validate({"sources": sources, **values})
    inputs = [SourceInputs(folder / str(source["folder"])) for source in sources]
    read_and_check_patients(config, inputs)
    with pytest.raises(SourceError, match="cannot be read as an image"):
        list(Curation(config, inputs).pictures())


@pytest.fixture
def two(tmp_path: Path) -> Path:
    planes(tmp_path / "here", "011", "12")
    planes(tmp_path / "there", "012", "13")
    return tmp_path


def stopped(folder: Path, *sources: dict[str, object], **values: object) -> str:
    config = CurateConfig.model_validate({"sources": sources, **values})
    inputs = [SourceInputs(folder / str(source["folder"])) for source in sources]
    with pytest.raises(SameNumberError) as caught:
        read_and_check_patients(config, inputs)
    with pytest.raises(SameNumberError):
        list(Curation(config, inputs).pictures())
    return str(caught.value)


def test_one_number_at_two_sites_stops_and_names_both_ways_out(two: Path) -> None:
    said = stopped(two, HERE, THERE)
    assert "1 patient number occurs under two names: 012 = 12" in said
    assert "source 'own', site 'elsewhere', sources[1] 'there', role test" in said
    assert "source 'own', site 'here', sources[0] 'here', role train" in said
    assert "one `source` and one `site`" in said
    assert "same_numbers: different_patients" in said


@pytest.mark.parametrize(
    "change",
    [
        {"site": "here", "source": "other"},
        {"site": "", "role": "validation"},
        {"role": "train+validation+test"},
        {"site": "here"},  # 12 and 012 at one site are two names as well
    ],
)
def test_any_other_name_in_any_other_split_stops(two: Path, change: dict[str, object]) -> None:
    assert "012 = 12" in stopped(two, HERE, THERE | change)


def test_patients_declared_different_or_in_one_split_are_accepted(two: Path) -> None:
    checked(two, HERE, THERE, same_numbers="different_patients")
    checked(two, HERE, THERE | {"role": "train"})
    unknown = {"patient_pattern": None, "patients_unknown": True}
    checked(two, HERE | unknown, THERE | unknown)


def test_a_saved_split_tells_where_patients_go(two: Path) -> None:
    SplitFile("by hand", {"own/here/011": "test", "own/here/12": "train"}).save(two / "a.json")
    SplitFile("by hand", {"own/elsewhere/012": "train", "own/elsewhere/13": "test"}).save(two / "b.json")
    config = CurateConfig.model_validate({"sources": [HERE, THERE]})
    read_and_check_patients(
        config, [SourceInputs(two / "here", two / "a.json"), SourceInputs(two / "there", two / "b.json")]
    )
    with pytest.raises(SameNumberError, match="012 = 12"):
        read_and_check_patients(config, [SourceInputs(two / "here"), SourceInputs(two / "there")])


def test_one_name_in_two_roles_stops_as_early(two: Path) -> None:
    planes(two / "third", "12")
    config = CurateConfig.model_validate({"sources": [HERE, HERE | {"folder": "third", "role": "test"}]})
    both = r"1 patients are in sources .*\nown/here/12: source 0 \(train\), source 1 \(test\)"
    with pytest.raises(SplitError, match=both):
        read_and_check_patients(config, [SourceInputs(two / "here"), SourceInputs(two / "third")])


def test_two_files_of_one_id_are_reported_with_their_paths(tmp_path: Path) -> None:
    for place, patient in (("a", "1"), ("b", "2")):
        planes(tmp_path / place / "x", patient)
        (tmp_path / place / "x" / "brain" / f"x_P{patient}.png").rename(tmp_path / place / "x" / "brain" / "scan.png")
    unknown = {"patient_pattern": None, "patients_unknown": True}
    config = CurateConfig.model_validate({"sources": [HERE | unknown, THERE | unknown | {"site": "here"}]})
    twice = r"1 ids are used for two images:\nown_brain/scan: .*a/x/brain/scan.png and .*b/x/brain/scan.png\n.*`source`"
    with pytest.raises(SourceError, match=twice):
        read_and_check_patients(config, [SourceInputs(tmp_path / "a" / "x"), SourceInputs(tmp_path / "b" / "x")])


def image_folder(folder: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    folder.mkdir()
    lines = []
    for number, (source, site, patient) in enumerate(rows):
        (folder / f"{number}.png").write_bytes(b"no picture")
        about = {"file_name": f"{number}.png", "plane": "brain", "source": source, "site": site, "patient": patient}
        lines.append(json.dumps(about))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    ("source", "values", "stops"),
    [
        ("mine", {"role": "train+validation+test"}, True),
        ("mine", {"role": "train+test", "left_out_site": "B"}, True),
        ("mine", {"role": "train"}, False),
        ("mine", {"role": "train+validation+test", "same_numbers": "different_patients"}, False),
        ("african_planes", {"role": "train+validation+test"}, False),  # numbers of each country, as is documented
    ],
)
def test_sites_of_one_list(tmp_path: Path, source: str, values: dict[str, object], stops: bool) -> None:
    folder = image_folder(tmp_path / "x", [(source, site, str(n)) for site in "AB" for n in range(6)])
    given = {name: value for name, value in values.items() if name == "same_numbers"}
    one = {"kind": "imagefolder", "folder": "x"} | {name: values[name] for name in values if name not in given}
    config = CurateConfig.model_validate({"sources": [one], **given})
    if stops:
        with pytest.raises(SameNumberError, match="6 patient numbers occur under two names: 0, 1, 2, 3, 4, 5"):
            read_and_check_patients(config, [SourceInputs(folder)])
    else:
        read_and_check_patients(config, [SourceInputs(folder)])


def test_the_declaration_is_kept_with_the_image_set(tmp_path: Path) -> None:
    from PIL import Image as Pil

    from fulora.intake.phantoms.scan import draw
    from fulora.stage import Source
    from pipelines.stages.curate import curate

    for name, first in (("here", 0), ("there", 10)):
        (tmp_path / name / "brain").mkdir(parents=True)
        for number, picture in enumerate(draw("brain", range(first, first + 2), site="A", size_px=64, seed=1).images):
            Pil.fromarray(picture).save(tmp_path / name / "brain" / f"{name}_P{number}.png")
    inputs = [{"folder": Source(tmp_path / name, "")} for name in ("here", "there")]
    for said, there in (({}, False), ({"same_numbers": "different_patients"}, True)):
        sites = {} if there else {"patient_pattern": r"(\w+_P\d+)"}
        config = CurateConfig.model_validate({"sources": [HERE | sites, THERE | sites], **said})
        curate.function(tmp_path / f"out{there}", config, inputs)
        assert (tmp_path / f"out{there}" / NUMBERING).is_file() is there
        assert len(ImageSet(tmp_path / f"out{there}", "").rows()) == 4
