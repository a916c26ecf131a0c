"""What users hand to a job: image sets as they are, other folders curated once, files by their content; and images."""

from pathlib import Path

import pytest
from small_sets import class_folders, real_set, synthetic_set

import fulora as fu
from fulora.data.image_set import ImageSet
from fulora.intake.raw_image import SourceError
from fulora.integrity import DamagedArtifactError
from fulora.stage import MissingInputError
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import is_image_set, open_artifact, open_images, open_source, path_of

UNKNOWN = {"patients_unknown": True}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_an_image_set_is_opened_where_it_is(tmp_path: Path, work: Path) -> None:
    real = real_set(tmp_path / "real")
    assert is_image_set(real)
    opened = open_images(real, work=work)
    assert opened.path == real
    assert opened.fingerprint == open_artifact(real, ImageSet, work).fingerprint
    other = real_set(tmp_path / "other", {"train": 2})
    assert open_images(other, work=work).fingerprint != opened.fingerprint
    assert not list(work.glob("curate-*"))


def test_another_folder_is_curated_once(tmp_path: Path, work: Path) -> None:
    planes = class_folders(tmp_path / "planes")
    assert not is_image_set(planes)
    images = open_images(planes, UNKNOWN, work)
    assert images.path.parent == work
    made = images.made
    assert made
    assert open_images(planes, UNKNOWN, work).made == made
    assert open_images(images.path, work=work).fingerprint == images.fingerprint
    assert {(row.width, row.height) for row in images.rows()} == {(24, 24)}, "they keep their own size"


def test_settings_curate_an_image_set_again(tmp_path: Path, work: Path) -> None:
    real = real_set(tmp_path / "real")
    images = open_images(real, {"image_size_px": 32, "fit": "letterbox"}, work)
    assert images.path != real
    assert {row.width for row in images.rows()} == {32}


def test_an_imagefolder_of_another_tool_is_no_image_set(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "metadata.jsonl").write_text('{"file_name": "a.png", "label": "x"}\n')
    assert not is_image_set(tmp_path)
    assert not is_image_set(tmp_path / "gone")


def test_what_is_not_there_is_named(tmp_path: Path, work: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone: no such folder; a folder of ImageSet is needed"):
        open_artifact(tmp_path / "gone", ImageSet, work)
    with pytest.raises(MissingInputError, match=r"gone: not found\. Put it there"):
        open_source(tmp_path / "gone", work, hint="Put it there.")
    with pytest.raises(SourceError, match="gone: no such folder"):
        open_images(tmp_path / "gone", work=work)


def test_an_image_set_that_was_changed_is_refused(tmp_path: Path, work: Path) -> None:
    made = fu.mix(real_set(tmp_path / "real"), arm="none", out=tmp_path / "out", work=work)
    next((made.path / "train" / "images").glob("*.png")).unlink()
    with pytest.raises(DamagedArtifactError, match=r"\.png \(missing\)"):
        open_artifact(made.path, ImageSet, work)
    with pytest.raises(DamagedArtifactError, match=r"\.png \(missing\)"):
        fu.read_images(made.path)


def test_outside_files_are_known_by_their_content(tmp_path: Path, work: Path) -> None:
    file, copy = tmp_path / "weights.bin", tmp_path / "copy.bin"
    file.write_text("one")
    copy.write_text("one")
    assert open_source(file, work).fingerprint == open_source(file, work).fingerprint
    file.write_text("other")
    assert open_source(file, work).fingerprint != open_source(copy, work).fingerprint


def test_a_place_is_a_path_or_a_result(tmp_path: Path) -> None:
    images = Images(ImageSet(tmp_path, ""))
    assert path_of(str(tmp_path)) == path_of(tmp_path) == path_of(images) == tmp_path


def test_images_show_themselves(tmp_path: Path) -> None:
    real = fu.read_images(real_set(tmp_path / "real"))
    assert real.table.columns == ("class", "train, real", "validation, real", "test, real")
    assert real.table.rows[0] == {"class": "brain", "train, real": 3, "validation, real": 1, "test, real": 1}
    assert real.table.rows[-1] == {"class": "all", "train, real": 6, "validation, real": 2, "test, real": 2}
    assert real.table.notes == ("patients: train 6, validation 2, test 2",)
    assert "10 images in" in real._repr_html_()
    assert list(real.to_pandas()["image_id"])[:2] == ["trainbrain0", "trainbrain1"]
    assert {name: len(split) for name, split in real.to_datasets().items()} == {"train": 6, "validation": 2, "test": 2}
    synthetic = fu.read_images(synthetic_set(tmp_path / "synthetic"))
    assert synthetic.table.columns == ("class", "train, synthetic")
    assert synthetic.table.notes == ()


def test_a_figure_has_a_row_for_each_class_and_origin(tmp_path: Path) -> None:
    real, synthetic = real_set(tmp_path / "real"), synthetic_set(tmp_path / "synthetic")
    one = fu.read_images(real).figure()
    both = fu.mix(real, synthetic, out=tmp_path / "out", work=tmp_path / "work").figure()
    assert both.height > 1.5 * one.height
    assert len(both.convert("L").getcolors() or ()) > 10
