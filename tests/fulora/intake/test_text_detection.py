"""Words are found anywhere in a picture, and tissue is no word; where no detector is installed that is said."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fulora.intake.config import CurateConfig, PhantomsConfig
from fulora.intake.deidentify import text_detection as words
from fulora.intake.deidentify.burned_in_text import remove_overlays
from fulora.intake.phantoms.scan import draw
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.hc18 import Hc18Config

needs_detector = pytest.mark.skipif(not words.installed_detector(), reason="the extra 'text' is not installed")


def named(pixels: np.ndarray, at: tuple[int, int], level: int = 235) -> tuple[np.ndarray, np.ndarray]:
    over = np.zeros_like(pixels)
    cv2.putText(over, "DOE^JANE 4711", at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, level, 1, cv2.LINE_AA)
    return np.where(over > 0, over, pixels).astype(np.uint8), over > 60


@pytest.mark.slow
@needs_detector
def test_a_name_goes_on_tissue_and_at_the_edge() -> None:
    pixels = draw("brain", [1], site="B", size_px=512, seed=2).images[0]
    names = []
    for at in ((180, 250), (4, 300), (380, 120)):
        pixels, letters = named(pixels, at)
        names.append(letters)
    words_in = words.find_words(pixels)
    result = remove_overlays(pixels, "outside", lambda _: words_in)
    for letters in names:
        assert words_in[letters].mean() > 0.95
        assert ((~result.sector | result.inside)[letters]).mean() > 0.95


@needs_detector
def test_small_pictures_hold_no_words() -> None:
    assert not words.find_words(np.full((15, 200), 90, np.uint8)).any()


def test_a_detector_that_is_not_installed_is_not_used_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.stages.curate import curate

    monkeypatch.setattr(words, "find_spec", lambda name: None)
    assert words.installed_detector() == ""
    with pytest.raises(words.NoDetectorError, match=r"pip install 'fulora\[text\]', or use none"):
        words.require_detector()
    asked = CurateConfig(sources=(PhantomsConfig(sites=("A",), per_plane=1),), text_detector="rapidocr")
    assert curate.check is not None
    with pytest.raises(words.NoDetectorError, match="text_detector=rapidocr: not installed"):
        curate.check(asked, [{}])


@needs_detector
@pytest.mark.real_data
def test_heads_are_no_words(data_root: Path) -> None:
    heads = [item for item in Hc18Config().read(SourceInputs(data_root / "hc18")) if int(item.patient) % 2][::20]
    assert len(heads) >= 5
    lost = []
    for item in heads:
        pixels, mask = item.load()
        assert mask is not None
        lost.append(words.find_words(pixels)[mask > 0].mean())
    assert np.mean(lost) < 0.005
