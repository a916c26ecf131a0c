"""`fulora measure` and `fulora score segmentation` as a user calls them, on drawn heads of known size."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from command_inside import Ended, called
from PIL import Image as Pil

from fulora.biometry.angle import angle_between
from fulora.biometry.ellipse import Ellipse, ellipse_mask, perimeter
from fulora.metrics import psfhs_challenge, segmentation

HEAD = Ellipse(100.0, 80.0, 60.0, 48.0, 20.0)
SYMPHYSIS, LOW_HEAD = Ellipse(75.0, 80.0, 24.0, 11.0, 35.0), Ellipse(140.0, 160.0, 70.0, 55.0, 120.0)


def _save(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(labels.astype(np.uint8)).save(path)


def _head(grow: float = 0.0) -> np.ndarray:
    ellipse = Ellipse(HEAD.x, HEAD.y, HEAD.a + grow, HEAD.b + grow, HEAD.angle_deg)
    return 255 * ellipse_mask(ellipse, (160, 200)).astype(np.uint8)


def _scene(shift: int = 0) -> np.ndarray:
    labels = 2 * ellipse_mask(LOW_HEAD, (256, 256)).astype(np.uint8)
    labels[ellipse_mask(Ellipse(75.0 + shift, 80.0, 24.0, 11.0, 35.0), (256, 256))] = 1
    return labels


def _worked(ended: Ended) -> str:
    assert ended.code == 0, ended.stderr
    return ended.stdout


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Three heads of exams 1, 1 and 2, with a list of pixel sizes, and predictions: larger, exact, none."""
    for name in ("1_HC", "1_2HC", "2_HC"):
        _save(tmp_path / "reference" / f"{name}_Mask.png", _head())
    _save(tmp_path / "ours" / "1_HC.png", _head(3))
    _save(tmp_path / "ours" / "1_2HC.png", _head())
    _save(tmp_path / "theirs" / "1_HC.png", _head(1))
    _save(tmp_path / "theirs" / "1_2HC.png", _head(1))
    _save(tmp_path / "theirs" / "2_HC.png", _head(1))
    lines = [f"{name}.png,0.5,{0.5 * perimeter(HEAD.a, HEAD.b):.2f}" for name in ("1_HC", "1_2HC", "2_HC")]
    text = "\n".join(["filename,pixel size(mm),head circumference (mm)", *lines])
    (tmp_path / "sizes.csv").write_text(text + "\n")
    return tmp_path


def test_heads_are_measured_one_row_a_mask(heads: Path) -> None:
    _save(heads / "reference" / "3_HC_Mask.png", _head())
    _save(heads / "reference" / "1_3HC_Mask.png", 0 * _head())
    (heads / "reference" / "2_2HC_Mask.png").write_bytes(b"no picture")
    with (heads / "sizes.csv").open("a") as file:
        file.write("1_3HC.png,0.5,\n2_2HC.png,0.5,\n")
    out = heads / "hc.csv"
    said = _worked(called("measure", "hc", heads / "reference", "--pixel-sizes", heads / "sizes.csv", "--out", out))
    rows = {row["file_name"]: row for row in _table(out)}
    assert {name: row["failure"] for name, row in rows.items()} == {
        "1_2HC_Mask.png": "",
        "1_3HC_Mask.png": "empty_mask",
        "1_HC_Mask.png": "",
        "2_2HC_Mask.png": "unreadable",
        "2_HC_Mask.png": "",
        "3_HC_Mask.png": "no_pixel_size",
    }
    good = rows["1_HC_Mask.png"]
    assert float(good["hc_mm"]) == pytest.approx(0.5 * perimeter(HEAD.a, HEAD.b), rel=0.003)
    assert (float(good["ofd_mm"]), float(good["bpd_mm"])) == pytest.approx((60, 48), rel=0.006)
    assert rows["1_3HC_Mask.png"]["hc_mm"] == ""
    assert "3_HC is not in sizes.csv" in rows["3_HC_Mask.png"]["detail"]
    for words in ("3 of 6 masks measured", "failure empty_mask: 1", "bias +0.", "0 of 3 failed"):
        assert words in said


def test_a_submission_and_an_undone_resize(heads: Path) -> None:
    small = np.asarray(Pil.fromarray(_head()).resize((100, 160), Pil.Resampling.NEAREST))
    _save(heads / "small" / "1_HC.png", small)
    (heads / "sizes.csv").write_text("filename,pixel size(mm),width,height\n1_HC.png,0.5,200,160\n")
    out, sent = heads / "hc.csv", heads / "sent.csv"
    options = ("--pixel-sizes", heads / "sizes.csv", "--out", out, "--submission", sent)
    _worked(called("measure", "hc", heads / "small", *options))
    assert float(_table(out)[0]["hc_mm"]) == pytest.approx(0.5 * perimeter(HEAD.a, HEAD.b), rel=0.005)
    line = _table(sent)[0]
    assert list(line) == ["filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad"]
    assert line["filename"] == "1_HC.png"
    found = [float(value) for value in list(line.values())[1:]]
    assert found == pytest.approx([50, 40, 30, 24, math.radians(20)], abs=0.4)


def test_angles_are_measured_one_row_a_mask(tmp_path: Path) -> None:
    _save(tmp_path / "masks" / "1.png", _scene())
    _save(tmp_path / "masks" / "2.png", np.where(_scene() == 1, 1, 0))
    (tmp_path / "masks" / "3.png").write_bytes(b"no picture")
    said = _worked(called("measure", "aop", tmp_path / "masks", "--out", tmp_path / "aop.csv"))
    rows = _table(tmp_path / "aop.csv")
    assert [row["failure"] for row in rows] == ["", "empty_mask", "unreadable"]
    assert float(rows[0]["aop_deg"]) == pytest.approx(angle_between(SYMPHYSIS, LOW_HEAD), abs=2)
    assert rows[1]["aop_deg"] == ""
    assert "1 of 3 masks measured" in said
    mirrored = tmp_path / "mirrored" / "1.png"
    _save(mirrored, _scene()[:, ::-1])
    options = ("--inferior", "left", "--original-size", "256x256", "--out", tmp_path / "left.csv")
    _worked(called("measure", "aop", mirrored.parent, *options))
    assert float(_table(tmp_path / "left.csv")[0]["aop_deg"]) == pytest.approx(float(rows[0]["aop_deg"]), abs=0.01)


def test_the_challenge_counts_a_missing_prediction(tmp_path: Path) -> None:
    for case in ("1", "2", "3"):
        _save(tmp_path / "gt" / f"{case}.png", _scene())
        if case != "3":
            _save(tmp_path / "pred" / f"{case}.png", _scene(shift=int(case)))
    _save(tmp_path / "pred" / "4.png", _scene())
    options = (
        "--reference",
        tmp_path / "gt",
        "--prediction",
        tmp_path / "pred",
        "--protocol",
        "psfhs",
        "--draws",
        "100",
    )
    figure = tmp_path / "agreement.png"
    facts = json.loads(_worked(called("score", "segmentation", *options, "--json", "-", "--figure", figure)))
    found = facts["predictions"]["pred"]
    pairs = [(_scene(1), _scene()), (_scene(2), _scene()), (0 * _scene(), _scene())]
    expected = psfhs_challenge.aggregate([psfhs_challenge.score_pair(*pair) for pair in pairs])
    assert found["S"] == pytest.approx(expected["S"], abs=1e-12)
    assert {name: row["mean"] for name, row in found["metrics"].items()} == pytest.approx(
        {name: value for name, value in expected.items() if name != "S"}
    )
    assert (found["failures"], found["failed_cases"], found["not_scored"]) == ({"no_file": 1}, 1, 1)
    assert (found["agreement"]["n"], found["agreement"]["failures"]) == (3, 1)
    assert [case["failures"] for case in facts["per_case"]["pred"]] == [[], [], ["no_file"]]
    with Pil.open(figure) as picture:
        assert picture.width == 1800


@pytest.mark.slow
def test_heads_are_scored_and_ranked(heads: Path) -> None:
    out, png = heads / "scores.json", heads / "ranks.png"
    said = _worked(
        called(
            "score",
            "segmentation",
            "--reference",
            heads / "reference",
            "--prediction",
            heads / "ours",
            "--prediction",
            heads / "theirs",
            "--protocol",
            "hc18",
            "--pixel-sizes",
            heads / "sizes.csv",
            "--draws",
            "100",
            "--json",
            out,
            "--figure",
            png,
        )
    )
    for words in ("3 cases, protocol hc18", "2 patients", "ours: 1 of 3 cases", "failure no_file: 1", "test then rank"):
        assert words in said
    facts = json.loads(out.read_text())
    ours, theirs = facts["predictions"]["ours"], facts["predictions"]["theirs"]
    hc = 0.5 * perimeter(HEAD.a, HEAD.b)
    grown = 0.5 * perimeter(HEAD.a + 1, HEAD.b + 1) - hc
    assert theirs["metrics"]["adf"]["mean"] == pytest.approx(grown, abs=0.4)
    missed = facts["per_case"]["ours"][2]["values"]
    assert missed["adf"] == pytest.approx(hc, rel=0.003)
    assert missed["hausdorff"] == missed["ellipse-hausdorff"] == pytest.approx(0.5 * math.hypot(160, 200))
    assert (ours["agreement"]["failures"], theirs["agreement"]["failures"]) == (1, 0)
    ranks = facts["rankings"]["aggregate_then_rank"]
    assert ranks["metrics"]["dice"]["ranks"] == [2, 1]
    assert ranks["overall_ranks"] == [2, 1]
    assert png.stat().st_size > 10_000


def test_plain_scores_every_class(tmp_path: Path) -> None:
    for case, ours in (("1", _scene(2)), ("2", np.where(_scene() == 2, 2, 0)), ("3", _scene())):
        _save(tmp_path / "gt" / f"{case}.png", _scene() if case != "3" else np.where(_scene() == 2, 2, 0))
        _save(tmp_path / "pred" / f"{case}.png", ours)
    options = (
        "--reference",
        tmp_path / "gt",
        "--prediction",
        tmp_path / "pred",
        "--protocol",
        "plain",
        "--draws",
        "100",
    )
    facts = json.loads(_worked(called("score", "segmentation", *options, "--json", "-")))
    cases = facts["per_case"]["pred"]
    assert [case["failures"] for case in cases] == [[], ["class_1_missing"], ["class_1_invented"]]
    expected = segmentation.score_mask(_scene(2) == 1, _scene() == 1)
    assert cases[0]["values"]["dice 1"] == expected.dice
    assert cases[0]["values"]["nsd 1"] == expected.nsd
    assert cases[1]["values"]["dice 2"] == 1
    assert (cases[2]["values"]["dice 1"], cases[2]["values"]["hd95 1"]) == (0, math.hypot(256, 256))
    assert "intervals: 95%" in _worked(called("score", "segmentation", *options))


def test_a_class_that_neither_mask_holds_is_right(tmp_path: Path) -> None:
    head = np.where(_scene() == 2, 2, 0)
    for folder in ("gt", "pred"):
        _save(tmp_path / folder / "1.png", _scene())
        _save(tmp_path / folder / "2.png", head)
    options = (
        "--reference",
        tmp_path / "gt",
        "--prediction",
        tmp_path / "pred",
        "--protocol",
        "plain",
        "--draws",
        "100",
    )
    facts = json.loads(_worked(called("score", "segmentation", *options, "--json", "-")))
    assert facts["predictions"]["pred"]["metrics"]["dice 1"]["mean"] == 1
    assert facts["predictions"]["pred"]["failed_cases"] == 0


def test_patients_and_units_are_reported(heads: Path) -> None:
    """Of plain masks whose pixel sizes are known, and whose patients a pattern tells or nobody does."""
    folders = ("--reference", heads / "reference", "--prediction", heads / "theirs", "--draws", "100", "--json", "-")
    plain = ("score", "segmentation", *folders, "--protocol", "plain")
    found = json.loads(_worked(called(*plain)))
    assert (found["patients"], found["patients_known"], found["unit"]) == (3, False, "px")
    sizes = ("--pixel-sizes", heads / "sizes.csv")
    in_mm = json.loads(_worked(called(*plain, *sizes, "--patient-pattern", r"^(\d+)_")))
    assert (in_mm["patients"], in_mm["patients_known"], in_mm["unit"]) == (2, True, "mm")
    pixels, mm = (facts["predictions"]["theirs"]["metrics"] for facts in (found, in_mm))
    assert mm["assd"]["mean"] == pytest.approx(pixels["assd"]["mean"] / 2)
    assert [row["assd"]["unit"] for row in (pixels, mm)] == ["px", "mm"]
    assert mm["dice"]["unit"] == ""
    for path in [*(heads / "reference").iterdir(), *(heads / "theirs").iterdir()]:
        path.rename(path.with_name("head" + path.name))
    (heads / "sizes.csv").write_text(
        (heads / "sizes.csv").read_text().replace("\n1", "\nhead1").replace("\n2", "\nhead2")
    )
    unknown = json.loads(_worked(called("score", "segmentation", *folders, "--protocol", "hc18", *sizes)))
    assert (unknown["patients"], unknown["patients_known"], unknown["unit"]) == (3, False, "mm")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--protocol", "best"), "'best' is not one of"),
        (("--protocol", "hc18"), "--protocol hc18 needs --pixel-sizes"),
        (
            ("--protocol", "psfhs", "--pixel-sizes", "{}/sizes.csv"),
            "--pixel-sizes: the challenge's distances are pixels",
        ),
        (("--protocol", "plain", "--label", "1"), "--label belongs to --protocol hc18"),
        (("--protocol", "plain", "--figure", "x.png"), "--figure shows rankings, or angles or circumferences"),
        (("--protocol", "plain", "--prediction", "{}/ours"), "the same folder twice; give each once"),
        (("--protocol", "plain", "--patient-pattern", "x"), "has 0 groups; it needs one, the patient"),
        (("--protocol", "psfhs"), "ours/1_2HC.png: the reference has no pixel of class fh"),
        (("--protocol", "hc18", "--pixel-sizes", "{}/other.csv"), "1_2HC is not in the list of pixel sizes"),
    ],
)
def test_options_that_cannot_be_are_one_clear_message(heads: Path, options: tuple[str, ...], said: str) -> None:
    (heads / "other.csv").write_text("filename,pixel size(mm)\n9_HC.png,0.5\n")
    given = [option.format(heads) for option in options]
    folders = ("--reference", heads / "reference", "--prediction", heads / "ours")
    ended = called("score", "segmentation", *folders, *given)
    assert ended.code == 2
    assert said in ended.stderr


def test_masks_that_cannot_be_scored_are_one_clear_message(heads: Path) -> None:
    sizes = ("--pixel-sizes", heads / "sizes.csv")

    def message(reference: str, prediction: str, *options: str | Path) -> str:
        folders = ("--reference", heads / reference, "--prediction", heads / prediction)
        ended = called("score", "segmentation", *folders, *options)
        assert ended.code == 2
        return ended.stderr

    _save(heads / "strange" / "x.png", _head())
    assert "strange: no mask has the name of a reference; a reference is 1_2HC" in message(
        "reference", "strange", "--protocol", "plain"
    )
    _save(heads / "small" / "1_HC.png", _head()[::2])
    for protocol in (("--protocol", "plain"), ("--protocol", "hc18", *sizes)):
        assert "(height, width) (80, 200), but its reference has (160, 200); resize" in message(
            "reference", "small", *protocol
        )
    _save(heads / "blank" / "1_HC.png", 0 * _head())
    assert "no reference mask holds anything" in message("blank", "ours", "--protocol", "plain")
    assert "the reference cannot be measured (empty_mask" in message("blank", "ours", "--protocol", "hc18", *sizes)


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("aop", ("--inferior", "up"), "'up' is not one of"),
        ("aop", ("--original-size", "wide"), "--original-size wide: give WIDTHxHEIGHT"),
        ("aop", ("--symphysis", "2"), "--symphysis 2 --head 2: give two different class numbers"),
        ("hc", ("--pixel-sizes", "{}/other.csv"), "names none of the 3 masks"),
        ("hc", ("--pixel-sizes", "{}/sizes.csv", "--inset-px", "-1"), "inset_px is -1.0; it must be 0 or more"),
    ],
)
def test_measures_that_cannot_be_are_one_clear_message(
    heads: Path, command: str, options: tuple[str, ...], said: str
) -> None:
    (heads / "other.csv").write_text("filename,pixel size(mm)\n9_HC.png,0.5\n")
    given = [option.format(heads) for option in options]
    ended = called("measure", command, heads / "reference", "--out", heads / "out.csv", *given)
    assert ended.code == 2
    assert said in ended.stderr


def test_shades_are_scored_and_measured_as_class_numbers_are(tmp_path: Path) -> None:
    """A symphysis out of view in one reference and missed in one prediction leaves 255 alone there, still the head."""
    shades = np.array([0, 127, 255], np.uint8)
    for case, gone in (("1", False), ("2", True), ("3", False)):
        truth = np.where(_scene() == 1, 0, _scene()) if gone else _scene()
        ours = np.where(_scene(2) == 1, 0, _scene(2)) if case != "1" else _scene(2)
        for name, labels in (("gt", truth), ("pred", ours), ("heads", np.where(ours == 1, 0, ours))):
            _save(tmp_path / "classes" / name / f"{case}.png", labels)
            _save(tmp_path / "shades" / name / f"{case}.png", shades[labels])

    def score(reference: str, prediction: str, *options: str) -> Ended:
        folders = ("--reference", tmp_path / reference, "--prediction", tmp_path / prediction)
        return called(
            "score", "segmentation", *folders, "--protocol", "plain", "--draws", "100", "--json", "-", *options
        )

    for prediction in ("pred", "heads"):
        expected = json.loads(_worked(score("classes/gt", f"classes/{prediction}")))
        for kinds in (("shades", "shades"), ("classes", "shades"), ("shades", "classes")):
            if (*kinds, prediction) == ("classes", "shades", "heads"):
                continue
            found = json.loads(_worked(score(f"{kinds[0]}/gt", f"{kinds[1]}/{prediction}")))
            assert found["predictions"] == expected["predictions"]
            assert found["mask_values"]["classes"]["255"] == 2
    unknown = score("classes/gt", "shades/heads")
    assert unknown.code == 2
    assert "their correspondence is unknown" in unknown.stderr
    said = score("classes/gt", "shades/heads", "--values", "1=1,2=2,255=2")
    assert (
        json.loads(_worked(said))["predictions"]["heads"]["metrics"]["dice 2"]
        == expected["predictions"]["heads"]["metrics"]["dice 2"]
    )
    ended = called("measure", "aop", tmp_path / "shades" / "gt", "--out", tmp_path / "shades.csv")
    assert "127 = class 1, 255 = class 2" in ended.stderr
    _worked(called("measure", "aop", tmp_path / "classes" / "gt", "--out", tmp_path / "classes.csv"))
    assert _table(tmp_path / "shades.csv") == _table(tmp_path / "classes.csv")


def test_an_implausible_field_of_view_is_noted_and_never_submitted(heads: Path) -> None:
    """Pixel sizes in cm: pictures of 200 x 160 pixels would show 10 x 8 mm."""
    (heads / "cm.csv").write_text("filename,pixel size(mm)\n1_HC.png,0.05\n1_2HC.png,0.5\n2_HC.png,0.5\n")
    options = ("--pixel-sizes", heads / "cm.csv", "--out", heads / "out.csv")
    ended = called("measure", "hc", heads / "reference", *options)
    assert "1 of 3 masks have a field of view that no fetal scan has, such as 1_HC_Mask.png" in ended.stderr
    assert "warning field_of_view: 1" in _worked(ended)
    row = {row["file_name"]: row for row in _table(heads / "out.csv")}["1_HC_Mask.png"]
    assert "field_of_view" in row["warnings"].split()
    assert row["detail"] == "a field of view of 10.0 x 8.0 mm"
    stopped = called("measure", "hc", heads / "reference", *options, "--submission", heads / "sent.csv")
    assert stopped.code == 2
    assert "a field of view of 10.0 x 8.0 mm, which no fetal scan has, so every mm is wrong" in stopped.stderr
    assert not (heads / "sent.csv").exists()
    (heads / "ours" / "2_HC.png").write_bytes((heads / "ours" / "1_2HC.png").read_bytes())
    folders = ("--reference", heads / "reference", "--prediction", heads / "ours", "--draws", "100", "--json", "-")
    scored = called("score", "segmentation", *folders, "--protocol", "hc18", "--pixel-sizes", heads / "cm.csv")
    assert json.loads(_worked(scored))["odd_fields_of_view"] == ["1_HC: 10.0 x 8.0 mm"]
    assert "1 cases have a field of view that no fetal scan has" in scored.stderr


def test_masks_of_another_size_than_the_list_says_are_not_scored_in_mm(heads: Path) -> None:
    names = ("1_HC", "1_2HC", "2_HC")
    (heads / "sizes.csv").write_text(
        "filename,pixel size(mm),width,height\n" + "".join(f"{name}.png,0.5,400,320\n" for name in names)
    )
    folders = ("--reference", heads / "reference", "--prediction", heads / "theirs")
    ended = called("score", "segmentation", *folders, "--protocol", "hc18", "--pixel-sizes", heads / "sizes.csv")
    assert ended.code == 2
    assert "have (width, height) (200, 160), and the list of pixel sizes says (400, 320)" in ended.stderr


def test_a_label_that_no_mask_holds_is_refused(heads: Path) -> None:
    options = ("--pixel-sizes", heads / "sizes.csv", "--out", heads / "out.csv", "--label", "255")
    ended = called("measure", "hc", heads / "reference", *options)
    assert ended.code == 2
    assert "no mask holds class 255; they hold the classes 1" in ended.stderr


def test_an_inverted_mask_is_a_failure_and_an_inverted_folder_is_refused(heads: Path) -> None:
    options = ("--pixel-sizes", heads / "sizes.csv", "--out", heads / "out.csv")
    _save(heads / "reference" / "1_HC_Mask.png", 255 - _head())
    _worked(called("measure", "hc", heads / "reference", *options))
    row = {row["file_name"]: row for row in _table(heads / "out.csv")}["1_HC_Mask.png"]
    assert (row["failure"], row["hc_mm"]) == ("unreadable", "")
    assert "marks all four corners" in row["detail"]
    _save(heads / "reference" / "1_2HC_Mask.png", 255 - _head())
    ended = called("measure", "hc", heads / "reference", *options)
    assert ended.code == 2
    assert "2 of 3 masks mark all four corners, so black and white seem to be swapped" in ended.stderr
