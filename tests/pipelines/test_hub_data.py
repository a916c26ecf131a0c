"""A data set of the hub: fetched by a stage at its revision, curated as a folder is, and known by name and revision."""

import io
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.label_set import LabelSet
from fulora.engine import InProcess
from fulora.intake.config import CurateConfig
from fulora.workspace import Workspace
from pipelines.study_inputs import curated

REVISIONS = ("0123456789" * 4, "abcdef0123" * 4)


def png(number: int) -> bytes:
    file = io.BytesIO()
    Pil.fromarray(np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)).save(file, "png")
    return file.getvalue()


def config(revision: str) -> CurateConfig:
    source = {"kind": "huggingface", "hub": "owner/set", "revision": revision, "columns": {"patient": "who"}}
    return CurateConfig.model_validate({"sources": [source], "label_set": {"name": "two", "classes": ["a", "b"]}})


def test_a_set_of_the_hub_is_fetched_once_and_known_by_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def download(name: str, *, repo_type: str, revision: str, local_dir: Path) -> None:
        asked.append((f"{repo_type} {name}", revision))
        rows = {"image": [{"bytes": png(n), "path": None} for n in range(4)], "label": [0, 1, 0, 1]} | {
            "who": [*"0123"]
        }
        features = datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"]), "who": datasets.Value("string")}
        )
        datasets.Dataset.from_dict(rows, features=features).to_parquet(local_dir / "train.parquet")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    work = Workspace(tmp_path, InProcess())
    images = curated(config(REVISIONS[0]), tmp_path / "data", work)
    assert sorted((row.plane, row.patient) for row in images.rows()) == [("a", "0"), ("a", "2"), ("b", "1"), ("b", "3")]
    assert images.label_set().names == LabelSet.derived(["a", "b"]).names
    again = curated(config(REVISIONS[0]), tmp_path / "data", Workspace(tmp_path, InProcess()))
    assert again == images
    assert asked == [("dataset owner/set", REVISIONS[0])]
    other = curated(config(REVISIONS[1]), tmp_path / "data", work)
    assert other.fingerprint != images.fingerprint


def test_without_the_hub_it_says_what_to_do(tmp_path: Path) -> None:
    work = Workspace(tmp_path, InProcess(), plan=True)
    curated(config(REVISIONS[0]), tmp_path / "data", work)
    with pytest.raises(ValueError, match=r"owner/set .* cannot be had from the hub .* set folder: FOLDER"):
        work.checked()
