"""Two CLIPs with own prompts on the African training half: every image and patient is predicted and scored."""

from pathlib import Path

import numpy as np
import pytest

import fulora as fu
from fulora.clip.config import ClipPretrainConfig
from fulora.clip.model import build_clip, clip_config, save_clip

TINY = ClipPretrainConfig(image_size_px=32, width=2, blocks=(1, 1, 1, 1), embed_dim=16, text_width=16, text_layers=1)
PROMPTS = {
    "brain": ["a scan of a fetal brain", "an ultrasound image of the head of a fetus"],
    "abdomen": "a scan of a fetal abdomen",
    "femur": "a scan of a fetal thigh bone",
    "thorax": "a scan of a fetal chest",
}


@pytest.mark.real_data
@pytest.mark.slow
def test_the_african_training_half(data_root: Path, tmp_path: Path) -> None:
    save_clip(build_clip(TINY), clip_config(TINY), tmp_path / "tiny")
    result = fu.zero_shot(
        data_root / "african" / "african_train",
        settings={"deidentify": "nothing"},
        out=tmp_path / "out",
        clip=["demo", tmp_path / "tiny"],
        prompts=PROMPTS,
        draws=100,
        work=tmp_path / "work",
    )
    assert [(row["model"], row["images"], row["patients"]) for row in result.table.rows] == [
        *(("demo, prompts", 217, 56), ("tiny, prompts", 217, 56)),
    ]
    assert (result.summary["images"], result.summary["patients"]) == (217, 61)
    assert "61 patients are 56 in intervals and tests: some have identical pictures" in result.table.notes
    flat = result.to_pandas()
    assert len(flat) == 2 * 217
    assert set(flat["true"]) == set(PROMPTS)
    sites = {score.group.name for score in result.scores if score.group.kind == "site"}
    assert sites == set(flat["site"])
    assert len(sites) > 1
    probabilities = flat[[f"probability_{name}" for name in PROMPTS]].to_numpy()
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert [list(PROMPTS)[n] for n in probabilities.argmax(axis=1)] == list(flat["predicted"])
    assert len([row for row in result.comparisons.rows if row["score"] == "accuracy"]) == 1
    assert {row["class"] for row in result.by_class.rows} == set(PROMPTS)
