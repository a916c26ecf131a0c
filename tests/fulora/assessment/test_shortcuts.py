"""The probe names what gives pictures away, and finds nothing between people of one population."""

from dataclasses import replace

import numpy as np
import pytest
from people import pictures, sets_of

from fulora.assessment.loaded_pictures import Pictures
from fulora.assessment.shortcuts import TOGETHER, compute_shortcuts

COUNT = 32


def changed(how: str) -> Pictures:
    made = pictures(5000, COUNT)
    match how:
        case "tint":
            return replace(made, tints=np.random.default_rng(0).normal(3.0, 0.5, (COUNT, 2)))
        case "size":
            return replace(made, pixels=[np.pad(picture, ((0, 8), (0, 0))) for picture in made.pixels])
        case "border":
            framed = [picture.copy() for picture in made.pixels]
            for picture in framed:
                picture[:3] = picture[-3:] = picture[:, :3] = picture[:, -3:] = 40
            return replace(made, pixels=framed)
        case "noise spectrum":
            rng = np.random.default_rng(0)
            noisy = [np.clip(p + rng.normal(0, 12, p.shape), 0, 255).astype(np.uint8) for p in made.pixels]
            return replace(made, pixels=noisy)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("cue", ["tint", "size", "border", "noise spectrum"])
def test_the_cue_that_was_planted_is_found(cue: str) -> None:
    found = {line.cue: line for line in compute_shortcuts(sets_of(changed(cue)))}
    assert found[cue].auc > 0.95
    assert found[TOGETHER].auc > 0.8
    assert found[cue].n == COUNT + 16


@pytest.mark.slow
def test_patients_of_one_population_are_not_distinguishable() -> None:
    found = compute_shortcuts(sets_of(changed("nothing")))
    assert {line.plane for line in found} == {"all"}
    assert all(0.1 < line.auc < 0.9 for line in found), found
    assert all(line.real_auc is not None for line in found)
    assert {line.auc for line in found if line.cue in ("tint", "size")} == {0.5}
