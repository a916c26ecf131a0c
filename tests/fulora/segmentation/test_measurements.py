"""What is measured of a mask follows from its label set: overlaps, ellipses, the angle, the challenge."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_rows import image_row
from PIL import Image as Pil

from fulora.data.image import Image
from fulora.data.label_class import LabelClass
from fulora.data.label_set import label_set
from fulora.data.results import Measurement
from fulora.data.structures import StructureError
from fulora.metrics.psfhs_challenge import aggregate, score_pair
from fulora.segmentation.measurements import measure_mask

FIXTURE = Path(__file__).parents[4] / "shared" / "data" / "psfhs_metric_fixture"
BRAIN, INTRAPARTUM = label_set("fetal_planes").of("brain"), label_set("intrapartum").of("intrapartum")
OVERLAPS = {"dice", "iou", "nsd", "hd", "hd95", "assd"}


def image(**changes: object) -> Image:
    return image_row("x", **({"plane": "any", "split": "test", "width": 200, "height": 160} | changes))


def ellipse(
    shape: tuple[int, int], *axes: float, label: int = 1, angle: float = 0.0, at: tuple[int, int] = (100, 80)
) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(mask, (at, (2 * axes[0], 2 * axes[1]), angle), label, -1)
    return mask


def own(structures: Mapping[str, object]) -> LabelClass:
    return LabelClass.model_validate({"name": "scan", "structures": structures})


def by_name(found: object) -> dict[tuple[str, str], Measurement]:
    return {(item.structure, item.quantity): item for item in found}  # type: ignore[attr-defined]


def test_a_head_is_measured_in_mm() -> None:
    truth, drawn = ellipse((160, 200), 60, 45), ellipse((160, 200), 58, 45)
    about = image(pixel_size_mm=0.5, hc_mm=165.8)
    found = by_name(measure_mask(about, BRAIN, drawn, truth))
    assert {structure for structure, _ in found} == {"head"}
    dice = 2 * (truth & drawn).sum() / (truth.sum() + drawn.sum())
    assert found["head", "dice"].value == pytest.approx(dice)
    assert found["head", "hd"].unit == "mm"
    assert found["head", "hd"].value == pytest.approx(1.0, abs=0.5)  # two pixels of half a millimetre
    assert found["head", "hc"].value == pytest.approx(2 * np.pi * np.sqrt((58**2 + 45**2) / 2) * 0.5, rel=0.02)
    assert found["head", "ofd"].value == pytest.approx(58, rel=0.02)  # 2 x 58 px of half a millimetre
    assert found["head", "bpd"].value == pytest.approx(45, rel=0.02)
    inside = by_name(measure_mask(about, BRAIN, drawn, truth, inset_px=2.0))
    assert (found["head", "hc"].value or 0) - (inside["head", "hc"].value or 0) == pytest.approx(2 * np.pi, rel=0.01)


def test_the_reference_circumference_is_the_sources_own_else_that_of_the_reference_mask() -> None:
    truth = ellipse((160, 200), 60, 45)
    listed = by_name(measure_mask(image(pixel_size_mm=0.5, hc_mm=165.8), BRAIN, truth, truth))
    assert (listed["head", "hc"].reference, listed["head", "hc"].reference_from) == (165.8, "list")
    assert listed["head", "bpd"].reference_from == "mask"
    alone = by_name(measure_mask(image(pixel_size_mm=0.5), BRAIN, truth, truth))
    assert alone["head", "hc"].reference_from == "mask"
    for quantity in ("hc", "bpd", "ofd"):
        assert alone["head", quantity].value == alone["head", quantity].reference
    untrue = by_name(measure_mask(image(pixel_size_mm=0.5), BRAIN, truth, np.zeros_like(truth)))
    assert (untrue["head", "hc"].reference, untrue["head", "hc"].reference_from) == (None, "")
    assert untrue["head", "hc"].failure == "reference: empty_mask"


def test_an_ellipse_in_pixels_needs_no_pixel_size_and_one_in_mm_does() -> None:
    truth = ellipse((160, 200), 60, 45)
    pixels = by_name(
        measure_mask(image(), own({"cyst": {"number": 1, "measured": "ellipse", "unit": "px"}}), truth, truth)
    )
    assert pixels["cyst", "hc"].unit == "px"
    assert pixels["cyst", "hc"].value == pytest.approx(2 * np.pi * np.sqrt((60**2 + 45**2) / 2), rel=0.02)
    unknown = by_name(measure_mask(image(), BRAIN, truth, truth))["head", "hc"]
    assert (unknown.value, unknown.reference, unknown.unit, unknown.failure) == (None, None, "mm", "no_pixel_size")


def test_a_listed_circumference_of_two_ellipses_is_that_of_neither() -> None:
    twins = own({name: {"number": number, "measured": "ellipse"} for number, name in enumerate(("head", "belly"), 1)})
    truth = np.maximum(ellipse((160, 200), 40, 30, at=(50, 80)), ellipse((160, 200), 30, 25, label=2, at=(150, 80)))
    found = by_name(measure_mask(image(pixel_size_mm=0.5, hc_mm=165.8), twins, truth, truth))
    assert found["head", "hc"].reference_from == found["belly", "hc"].reference_from == "mask"
    assert found["head", "hc"].value != found["belly", "hc"].value


def test_of_three_structures_only_overlaps_are_measured() -> None:
    truth = np.zeros((60, 60), np.uint8)
    truth[5:20, 5:20], truth[30:50, 5:20], truth[5:20, 30:50] = 1, 2, 4
    drawn = truth.copy()
    drawn[5:20, 30:50] = 0
    found = by_name(measure_mask(image(), own({"left lobe": 1, "right lobe": 2, "isthmus": 4}), drawn, truth))
    assert {structure for structure, _ in found} == {"left lobe", "right lobe", "isthmus", "all"}
    assert {quantity for _, quantity in found} == OVERLAPS
    assert found["left lobe", "dice"].value == 1.0
    assert (found["isthmus", "dice"].value, found["isthmus", "dice"].failure) == (0.0, "empty_mask")
    assert found["all", "dice"].value == pytest.approx(2 * 525 / (525 + 825))


def test_an_empty_mask_keeps_every_row() -> None:
    truth = ellipse((160, 200), 60, 45)
    about = image(pixel_size_mm=0.5, hc_mm=165.8)
    found = {item.quantity: item for item in measure_mask(about, BRAIN, np.zeros_like(truth), truth)}
    assert found["dice"].value == 0
    assert found["hd"].value == pytest.approx(0.5 * np.hypot(160, 200))
    assert found["hc"].value is None
    assert {item.failure for item in found.values()} == {"empty_mask"}


def views() -> tuple[np.ndarray, np.ndarray]:
    head = ellipse((256, 256), 60, 45, label=2, at=(150, 160))
    return np.maximum(head, ellipse((256, 256), 25, 10, angle=20, at=(80, 70))), head


def test_an_angle_and_the_challenge_are_measured() -> None:
    truth, head = views()
    found = by_name(measure_mask(image(), INTRAPARTUM, truth, truth))
    assert {structure for structure, _ in found} == {"head", "symphysis", "all"}
    assert found["all", "aop"].value == found["all", "aop"].reference
    assert found["all", "aop"].reference_from == "mask"
    assert found["all", "psfhs_s"].value == pytest.approx(1.0)
    assert found["symphysis", "hd"].unit == "px"
    lost = by_name(measure_mask(image(), INTRAPARTUM, truth * (truth == 2), truth))
    assert lost["all", "aop"].value is None
    assert lost["all", "aop"].failure == "empty_mask"
    assert lost["symphysis", "dice"].failure == "empty_mask"
    none = {item.quantity: item for item in measure_mask(image(), INTRAPARTUM, truth, head)}
    assert none["psfhs_s"].value is None
    assert "no pixel of class" in none["psfhs_s"].failure


def test_an_angle_needs_no_numbers_of_psfhs_and_the_challenge_does() -> None:
    truth, _ = views()
    usual = {item.quantity: item for item in measure_mask(image(), INTRAPARTUM, truth, truth)}
    moved = np.where(truth == 1, 3, np.where(truth == 2, 5, 0)).astype(np.uint8)
    moved[:8, :8] = 4
    pubis = own({name: {"number": n, "measured": "angle"} for name, n in (("skull", 5), ("pubis", 3))} | {"bladder": 4})
    found = {item.quantity: item for item in measure_mask(image(), pubis, moved, moved)}
    assert found["aop"].value == usual["aop"].value
    assert "psfhs_s" not in found
    mirrored = {
        item.quantity: item for item in measure_mask(image(), pubis, moved[:, ::-1], moved[:, ::-1], inferior="left")
    }
    assert mirrored["aop"].value == pytest.approx(usual["aop"].value, abs=1e-3)


def test_what_the_label_set_does_not_name_is_refused() -> None:
    femur, empty = label_set("fetal_planes").of("femur"), np.zeros((8, 8), np.uint8)
    with pytest.raises(StructureError, match="x: its class femur has no structures"):
        list(measure_mask(image(), femur, empty, empty))
    with pytest.raises(StructureError, match="x: the mask holds class number 3, which brain does not name"):
        list(measure_mask(image(), BRAIN, empty, empty + np.uint8(3)))


@pytest.mark.real_data
@pytest.mark.skipif(not FIXTURE.is_dir(), reason="the fixture is not there")
def test_the_mean_of_s_is_the_challenges() -> None:
    names = sorted(path.name for path in (FIXTURE / "gt").iterdir())[:12]
    pairs = [tuple(np.asarray(Pil.open(FIXTURE / part / name)) for part in ("pred", "gt")) for name in names]
    rows = [item for pair in pairs for item in measure_mask(image(), INTRAPARTUM, *pair)]
    ours = np.mean([item.value for item in rows if item.quantity == "psfhs_s"])  # type: ignore[arg-type]
    assert ours == pytest.approx(aggregate([score_pair(*pair) for pair in pairs])["S"], abs=1e-7)
