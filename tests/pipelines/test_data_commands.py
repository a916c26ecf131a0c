"""`fulora data` and `fulora export`, as a user meets them: own images in, a set that other tools open out."""

import http.server
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from command_line import fulora
from PIL import Image as Pil

from fulora.data.image_set import ImageSet
from fulora.intake.phantoms.scan import draw

pytestmark = pytest.mark.slow

PATTERN = "patient_pattern=P(\\d+)_"


def worked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Eight patients, a brain and a femur each."""
    for plane in ("brain", "femur"):
        (tmp_path / "own" / plane).mkdir(parents=True)
        for number, picture in enumerate(draw(plane, range(8), site="A", size_px=64, seed=1).images):
            Pil.fromarray(picture).save(tmp_path / "own" / plane / f"P{number}_{plane}.png")
    return tmp_path / "own"


def test_own_images_become_a_set_and_an_export(own: Path, tmp_path: Path) -> None:
    """The five lines of the README."""
    found = worked(fulora("data", "check", own, PATTERN, cwd=tmp_path))
    assert found.splitlines()[-1] == "1 finding: nothing found that would leak or mislead"
    said = worked(fulora("data", "curate", own, PATTERN, "role=train+validation+test", "fit=native", cwd=tmp_path))
    images = ImageSet(tmp_path / said.strip(), "")
    assert Counter(row.split for row in images.rows()) == {"train": 8, "validation": 4, "test": 4}
    assert (images.path / "split-0-class_folders.json").is_file()
    assert (
        worked(fulora("data", "curate", own, PATTERN, "role=train+validation+test", "fit=native", cwd=tmp_path)) == said
    )
    for format in ("parquet", "webdataset", "kohya"):
        worked(fulora("export", images.path, "--format", format, "--out", tmp_path / format, "licence=cc-by-4.0"))
        assert "cc-by-4.0" in (tmp_path / format / "README.md").read_text()
    again = fulora("export", images.path, "--format", "kohya", "--out", tmp_path / "kohya")
    assert again.returncode == 2
    assert "kohya: exists already" in again.stderr
    wrong = fulora("export", images.path, "--format", "kohya", "--out", tmp_path / "other", "license=x")
    assert (wrong.returncode, "did you mean 'licence'" in wrong.stderr) == (2, True)


def test_a_check_says_what_it_found_in_words_and_json(own: Path, tmp_path: Path) -> None:
    (own / "brain" / "P7_other.png").write_bytes((own / "brain" / "P1_brain.png").read_bytes())
    done = fulora("data", "check", own, PATTERN, "--json", tmp_path / "found.json")
    assert done.returncode == 1
    assert "leak identical across patients: 1 images" in done.stdout
    assert "brain/P1_brain" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["clean"], found["n_images"], found["n_patients"]) == (False, 17, 8)
    assert json.loads(fulora("data", "check", own, PATTERN, "--json", "-").stdout) == found


def test_a_folder_whose_patients_are_not_known_is_refused(own: Path) -> None:
    for command in ("check", "curate"):
        done = fulora("data", command, own)
        assert done.returncode == 2
        assert "patient_pattern" in done.stderr
        assert "Traceback" not in done.stderr


def test_what_is_left_out_is_listed(own: Path, tmp_path: Path) -> None:
    (own / "brain" / "P3_brain.png").write_bytes(b"no picture")
    done = fulora("data", "curate", own, PATTERN, cwd=tmp_path)
    assert (done.returncode, "P3_brain.png: cannot be read" in done.stderr) == (2, True)
    assert not list((tmp_path / "work").glob("curate-*"))
    done = fulora("data", "curate", own, PATTERN, "unusable=leave_out", cwd=tmp_path)
    assert len(ImageSet(tmp_path / worked(done).strip(), "").rows()) == 15
    assert "left out: 1, listed in" in done.stderr


def test_files_are_looked_for_where_the_command_is_run(own: Path, tmp_path: Path) -> None:
    from fulora.data.split_file import SplitFile

    SplitFile("by hand", {f"own//{n}": "test" for n in range(8)}).save(tmp_path / "split.json")
    said = worked(fulora("data", "curate", "own", PATTERN, "split_file=split.json", cwd=tmp_path))
    assert {row.split for row in ImageSet(tmp_path / said.strip(), "").rows()} == {"test"}
    done = fulora("data", "check", "own", PATTERN, "folder=other", cwd=tmp_path)
    assert (done.returncode, "given by the command's first argument" in done.stderr) == (2, True)


def test_a_set_of_sets(own: Path, tmp_path: Path) -> None:
    (tmp_path / "sets.yaml").write_text(
        "study: curation\nsets:\n"
        "  mine: {sources: [{kind: class_folders, folder: own, patient_pattern: 'P(.)_'}]}\n"
        "  phantoms: {sources: [{kind: phantoms, sites: [A], per_plane: 1}]}\n"
    )
    out = worked(fulora("run", "sets.yaml", f"data_root={tmp_path}", "--json", cwd=tmp_path))
    assert [json.loads(line)["label"] for line in out.splitlines()[:-1]] == ["curate", "curate"]


# --- DICOM


def test_dicom_files_come_back_without_names(tmp_path: Path) -> None:
    (tmp_path / "in" / "brain").mkdir(parents=True)
    for number, picture in enumerate(draw("brain", range(2), site="A", size_px=64, seed=1).images):
        dataset = pydicom.dcmread(pydicom.examples.get_path("ct"))
        dataset.PatientName, dataset.PatientID, dataset.Modality = "Doe^Jane", f"H{number}", "US"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        dataset.set_pixel_data(np.ascontiguousarray(picture), "MONOCHROME2", 8, generate_instance_uid=False)
        dataset.save_as(tmp_path / "in" / "brain" / f"Jane_Doe_{number}.dcm")
    short = fulora("data", "deidentify", tmp_path / "in", "--to", tmp_path / "out", "--key-file", tmp_path / "key.txt")
    assert (short.returncode, "no such file; it must hold the key" in short.stderr) == (2, True)
    (tmp_path / "key.txt").write_bytes(b"\xff\xfe" * 20)
    broken = fulora("data", "deidentify", tmp_path / "in", "--to", tmp_path / "out", "--key-file", tmp_path / "key.txt")
    assert (broken.returncode, "key.txt: is not a text file" in broken.stderr) == (2, True)
    (tmp_path / "key.txt").write_text("0123456789abcdef\n")
    inside = fulora(
        "data", "deidentify", tmp_path / "in", "--to", tmp_path / "in" / "x", "--key-file", tmp_path / "key.txt"
    )
    assert (inside.returncode, "which is not de-identified" in inside.stderr) == (2, True)
    said = worked(
        fulora("data", "deidentify", tmp_path / "in", "--to", tmp_path / "out", "--key-file", tmp_path / "key.txt")
    )
    audit = json.loads(Path(said.strip()).read_text())
    assert (tmp_path / "out-review" / "sheets" / "pictures-0001.png").is_file()
    assert sorted(audit) == ["brain/0000001.dcm", "brain/0000002.dcm"]
    (tmp_path / "in" / "brain" / "bad.dcm").write_bytes(b"no DICOM")
    bad = fulora("data", "deidentify", tmp_path / "in", "--to", tmp_path / "no", "--key-file", tmp_path / "key.txt")
    assert (bad.returncode, "bad.dcm" in bad.stderr, (tmp_path / "no").exists()) == (2, True, False)
    for name in audit:
        assert b"Doe" not in (tmp_path / "out" / name).read_bytes()
        assert pydicom.dcmread(tmp_path / "out" / name).BurnedInAnnotation == "YES"
    done = fulora(
        "data",
        "curate",
        tmp_path / "out",
        "kind=dicom",
        f"key_file={tmp_path / 'key.txt'}",
        cwd=tmp_path,
    )
    rows = ImageSet(tmp_path / worked(done).strip(), "").rows()
    assert len({row.patient for row in rows}) == 2


# --- download


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """HC18's lists from a server of our own; its archives are not there."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "training_set_pixel_size_and_HC.csv").write_text("something else")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "mirror"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_download_that_is_not_the_published_file(mirror: str, tmp_path: Path) -> None:
    done = fulora("data", "download", "hc18", "--to", tmp_path / "hc18", "--from", mirror)
    assert done.returncode == 2
    assert "training_set_pixel_size_and_HC.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_download_without_internet_says_what_to_put_where(tmp_path: Path) -> None:
    done = fulora("data", "download", "psfhs", "--to", tmp_path / "psfhs", "--from", "http://127.0.0.1:9")
    assert done.returncode == 2
    for word in ("Zenodo 10969427", "PSFHS.zip", "sha256:3f4a8126", str(tmp_path / "psfhs")):
        assert word in done.stderr


# --- the real folders


@pytest.mark.heavy
@pytest.mark.real_data
def test_all_real_sets_open_in_datasets_with_the_published_counts(data_root: Path, tmp_path: Path) -> None:
    """As `fulora run real_sets`, but small and as published, which is quicker."""
    from fulora.engine import InProcess
    from fulora.workspace import Workspace
    from pipelines.configs import load

    datasets = pytest.importorskip("datasets")
    names = ("spanish", "african", "hc18", "psfhs")
    small = [f"sets.{name}.{what}" for name in names for what in ("fit=letterbox", "deidentify=nothing")]
    study, config = load("real_sets", [f"data_root={data_root}", *small])
    work = Workspace(tmp_path / "work", InProcess())
    study.run(config, work)
    counts = {}
    for name, step in zip(names, work.steps, strict=True):
        folder = str(step.artifact.path)
        opened = datasets.load_dataset("imagefolder", data_dir=folder, cache_dir=str(tmp_path / "cache"))
        counts[name] = sum(len(split) for split in opened.values())
    assert counts == {"spanish": 100, "african": 217, "hc18": 296, "psfhs": 300}


def test_an_export_is_confirmed_by_name(tmp_path: Path) -> None:
    picture = draw("brain", [0], site="A", size_px=64, seed=1).images[0]
    dataset = pydicom.dcmread(pydicom.examples.get_path("ct"))
    dataset.set_pixel_data(np.ascontiguousarray(picture), "MONOCHROME2", 8, generate_instance_uid=False)
    dataset.Modality, dataset.SOPClassUID = "US", pydicom.uid.UltrasoundImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    (tmp_path / "in").mkdir()
    dataset.save_as(tmp_path / "in" / "Jane.dcm")
    (tmp_path / "key.txt").write_text("0123456789abcdef\n")
    written = fulora("data", "deidentify", "in", "--to", "out", "--key-file", "key.txt", "--quiet", cwd=tmp_path)
    assert worked(written).strip() == "out/audit.json"
    assert "1 files, 1 frames" in written.stderr
    assert "not checked" in written.stderr
    assert "all state BurnedInAnnotation YES until a person has checked them" in written.stderr
    assert "Look at all 1 sheets in" in written.stderr
    assert "data deidentify --confirm out --by" in written.stderr
    for wrong in (("--confirm", "out"), ("in", "--to", "x"), ("--confirm", "out", "--by", "A", "--to", "x"), ("in",)):
        assert fulora("data", "deidentify", *wrong, cwd=tmp_path).returncode == 2
    done = fulora("data", "deidentify", "--confirm", "out", "--by", "A. Person", cwd=tmp_path)
    assert "1 files confirmed by A. Person" in worked(done)
    assert pydicom.dcmread(tmp_path / "out" / "0000001.dcm").BurnedInAnnotation == "NO"
    again = fulora("data", "deidentify", "--confirm", "out", "--by", "A. Person", cwd=tmp_path)
    assert (again.returncode, "is already confirmed by A. Person" in again.stderr) == (2, True)


def test_an_image_set_is_confirmed_by_name(own: Path, tmp_path: Path) -> None:
    curated = fulora("data", "curate", own, PATTERN, cwd=tmp_path)
    images = worked(curated).strip()
    assert "16 images:" in curated.stderr
    assert "cleaned automatically, not checked; " in curated.stderr
    assert "sheets in" in curated.stderr
    assert "cleaned automatically, not checked" in worked(fulora("show", images, cwd=tmp_path))
    done = worked(fulora("data", "deidentify", "--confirm", images, "--by", "A. Person", cwd=tmp_path))
    assert "16 images confirmed by A. Person" in done
    assert "confirmed by A. Person at" in worked(fulora("show", images, cwd=tmp_path))
    again = fulora("data", "curate", own, PATTERN, cwd=tmp_path)
    assert worked(again).strip() == images
    assert "16 images, confirmed by A. Person at" in again.stderr
    assert "--confirm" not in again.stderr
