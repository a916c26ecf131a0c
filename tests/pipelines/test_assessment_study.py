"""The study of LoRAs and what is found of their pictures, small: every stage, and a page that tells them apart."""

from pathlib import Path

import pytest
import yaml
from command_line import fulora

from fulora.assessment.assess import read_findings

pytestmark = pytest.mark.slow

STUDY = {
    "study": "assessment",
    "images": {
        "image_size_px": 64,
        "sources": [
            {
                "kind": "phantoms",
                "role": role,
                "sites": ["A"],
                "planes": ["brain", "femur"],
                "per_plane": 5,
                "images_per_patient": 1,
                "first_patient": first,
            }
            for role, first in (("train", 0), ("validation", 1000))
        ],
    },
    "backbone": {"kind": "demo"},
    "lora": {"rank": 2, "alpha": 2, "batch_size": 2, "validate_every": 10},
    "synthetic": {"one step": {"lora": {"steps": 1}}, "two steps": {"lora": {"steps": 2}}},
    "generate": {"per_class": 5, "planes": ["brain", "femur"], "steps": 2, "batch_size": 5},
    "judge": {"folds": 2, "classifier": {"steps": 2, "batch_size": 4, "stem": "imagenet", "image_size_px": 32}},
    "assess": {"draws": 100, "pairs": 5},
    "report": {"title": "Two LoRAs", "about": "Phantoms."},
}


def test_loras_are_trained_sampled_assessed_and_reported(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    done = fulora("run", tmp_path / "study.yaml", "--work", tmp_path / "work", "--quiet")
    assert done.returncode == 0, done.stderr
    text = Path(done.stdout.strip()).read_text()
    for name in ("one step", "two steps"):
        assert f"Images of {name}</h3>" in text
    found = [read_findings(folder) for folder in (tmp_path / "work").glob("assess-*")]
    assert len(found) == 2
    for one in found:
        assert (one.synthetic.images, one.held_out.patients) == (10, 5)
        assert {truth.by for truth in one.truths} == {"clip", "judge"}
        assert {filter_.name for filter_ in one.filters} == {
            "brightness",
            "clip",
            "plane",
            "memorised",
            "near_duplicate",
        }
        assert [encoder.encoder for encoder in one.encoders] == ["pixels", "clip"]


def test_a_filter_by_judges_needs_judges(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("base: smoke.yaml\nmix: {filters: [plane]}\n")
    done = fulora("run", tmp_path / "study.yaml", "--work", tmp_path / "work")
    assert done.returncode != 0
    assert "plane asks judges, and there are none; set judge: {folds: 4}" in done.stderr
