"""How often the assessment finds planted copies of patients, and how often it finds some where there are none.

    OMP_NUM_THREADS=1 python benchmarks/planted_copies.py --data-root FOLDER

A cohort is 40 patients who trained, 40 who did not, and pictures of still others that stand for a generator that copied
nobody. Then a share of these is replaced by changed copies of training pictures. Cohorts are of phantoms of brains, or
of HC18's public training images (one an exam), drawn anew each time. The test is that of `fulora assess`, by each
encoder, at p <= 0.05; `gate` is the share of the copies, and of the others, that the filter `memorised` rejects.
"""

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from fulora.assessment.encoders import Encoder, Views, load_encoder
from fulora.data.pictures.loaders import to_square
from fulora.environment import cores, versions
from fulora.intake.phantoms.scan import draw
from fulora.metrics.conformal import lower_threshold
from fulora.metrics.memorisation import memorisation, vote
from fulora.progress import track

RESULT = Path(__file__).parent / "results" / "planted_copies.json"
PATIENTS, SIDE_PX, DRAWS = 40, 64, 499
OTHERS = 400
"""Phantoms that stand for synthetic pictures; of HC18 all exams that are left."""
SHARES = (0.01, 0.05, 0.2)
ENCODERS = ("pixels", "clip")
FALSE_REJECT = 0.05
Gray = np.ndarray
Cohort = tuple[list[Gray], list[Gray], list[Gray]]


def _cropped(picture: Gray) -> Gray:
    width = round(0.05 * len(picture))
    return np.asarray(cv2.resize(picture[width:-width, width:-width], picture.shape[::-1]))


def _jpeg(picture: Gray) -> Gray:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0))


CHANGES: dict[str, Callable[[Gray], Gray]] = {
    "exact": lambda picture: picture,
    "flipped": lambda picture: np.ascontiguousarray(picture[:, ::-1]),
    "cropped by 5 % a side": _cropped,
    "JPEG of quality 30": _jpeg,
    "blurred, sigma 1": lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0)),
    "brighter by 15 %": lambda picture: np.clip(picture * 1.15, 0, 255).astype(np.uint8),
}


def phantoms(count: int) -> Iterator[Cohort]:
    """Cohorts of phantoms."""
    people = 2 * PATIENTS + OTHERS
    for number in range(count):
        first = number * people
        drawn = list(draw("brain", range(first, first + people), site="A", size_px=SIDE_PX, seed=0).images)
        yield drawn[:PATIENTS], drawn[PATIENTS : 2 * PATIENTS], drawn[2 * PATIENTS :]


def heads(root: Path, count: int) -> Iterator[Cohort]:
    """Cohorts of HC18's exams, drawn at random."""
    files: dict[str, Path] = {}
    for path in sorted((root / "hc18").rglob("*_HC.png")):
        files.setdefault(path.name.split("_")[0], path)
    pictures = [to_square(np.asarray(cv2.imread(str(path), 0)), SIDE_PX, "letterbox") for path in files.values()]
    for number in range(count):
        order = np.random.default_rng(number).permutation(len(pictures))
        drawn = [pictures[place] for place in order]
        yield drawn[:PATIENTS], drawn[PATIENTS : 2 * PATIENTS], drawn[2 * PATIENTS :]


def of_cohort(cohort: Cohort, encoder: Encoder, seed: int) -> dict[str, dict[str, float]]:
    """For each change and share whether copies were found, and what the gate rejected."""
    train, held_out, others = cohort
    real, made = encoder.views([*train, *held_out]), encoder.views(others)
    copies = {name: encoder.views([change(picture) for picture in train]) for name, change in CHANGES.items()}
    patients = np.arange(2 * PATIENTS)
    among_real = vote(real.plain, real.plain, patients, own=patients, mirrored=real.mirrored)
    limit = lower_threshold(among_real.ratio, FALSE_REJECT)

    def tested(synthetic: Views, planted: int) -> dict[str, float]:
        votes = vote(synthetic.plain, real.plain, patients, mirrored=synthetic.mirrored)
        found = memorisation(votes, among_real, patients, patients < PATIENTS, draws=DRAWS, seed=seed)
        fails = (votes.ratio < limit) & (votes.nearest < PATIENTS)
        gate = {"gate_copies": float(fails[:planted].mean())} if planted else {}
        return {"found": float(found.p <= 0.05), "gate_others": float(fails[planted:].mean()), **gate}

    rows = {"none": tested(made, 0)}
    rng = np.random.default_rng(seed)
    for name, views in copies.items():
        for share in SHARES:
            planted = max(1, round(share * len(others)))
            chosen = rng.choice(PATIENTS, planted)
            rows[f"{name}, {share:.0%}"] = tested(views.of(chosen) + made.of(np.arange(planted, len(others))), planted)
    return rows


def summary(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over cohorts."""
    return {
        name: {key: round(float(np.mean([row[name][key] for row in rows])), 3) for key in rows[0][name]}
        for name in rows[0]
    }


def main() -> None:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--cohorts", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    result: dict[str, object] = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/planted_copies.py --data-root FOLDER",
        "machine": {"cores": cores(), "system": platform.machine(), **versions()},
        "cohorts": given.cohorts,
        "patients": [PATIENTS, PATIENTS],
        "false_reject": FALSE_REJECT,
    }
    sources = {"phantoms": list(phantoms(given.cohorts))}
    if given.data_root is not None:
        sources["hc18"] = list(heads(given.data_root, given.cohorts))
    for source, cohorts in sources.items():
        for name in ENCODERS:
            encoder = load_encoder(name)
            rows = [of_cohort(cohort, encoder, seed) for seed, cohort in track(enumerate(cohorts), f"{source}, {name}")]
            result[f"{source}, {name}"] = {"pictures": len(cohorts[0][2]), **summary(rows)}
    given.out.parent.mkdir(exist_ok=True, parents=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
