"""How much drawn text and how much tissue `fulora.intake.deidentify.burned_in_text` takes away, and how fast it is.

Names, dates, settings, rulers, bars and logos are drawn around phantoms and real pictures; calipers, dotted lines and
labels over their tissue, at known places. Half of the pictures are then compressed as JPEG. Thresholds were chosen on
even-numbered phantoms and patients (`--half even`); the figures to quote are those of the odd-numbered ones.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

from fulora.intake.deidentify.burned_in_text import remove_overlays
from fulora.intake.phantoms.scan import INTRAPARTUM, PLANES, draw
from fulora.intake.phantoms.sites import SITES
from fulora.intake.raw_image import RawImage
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.african_planes import AfricanPlanesConfig
from fulora.intake.sources.hc18 import Hc18Config
from fulora.intake.sources.lora_planes import LoraPlanesConfig
from fulora.intake.sources.psfhs import PsfhsConfig
from fulora.metrics.statistics import cluster_bootstrap, wilson

WORDS = (
    "DOE^JANE",
    "Id 4711-08",
    "12.03.2019 10:14:55",
    "GA=22w3d",
    "MI 1.1 TIs 0.4",
    "Gn -14",
    "C5/M7",
    "FF2/E1",
    "V",
    "SRI II 3",
    "RAB6-D/OB",
    "75Hz/11.2cm",
    "HC 20.31cm",
    "St. Elsewhere",
    "Voluson E8",
    "2. Trim.",
    "Pwr 98%",
)
LABELS = ("BPD", "HC", "AC 1", "FL", "1", "2", "D 52.3mm", "CSP", "SPINE", "OFD")
FONTS = (0, 1, 2, 3, 4)  # the upright Hershey fonts
WITHOUT_CALIPERS = ("barcelona", "nijmegen", "guangzhou", "Algeria", "Egypt", "Malawi")
READERS: dict[str, Callable[[Path], Iterator[RawImage]]] = {
    "spanish": lambda root: LoraPlanesConfig().read(SourceInputs(root / "fetal_planes_lora")),
    "african": lambda root: AfricanPlanesConfig().read(SourceInputs(root / "african" / "african_train")),
    "hc18": lambda root: Hc18Config().read(SourceInputs(root / "hc18")),
    "psfhs": lambda root: PsfhsConfig(block=25).read(SourceInputs(root / "psfhs")),
}


@dataclass
class Tally:
    """Per picture: its cluster, and one value of each kind; NaN where a picture has none."""

    clusters: list[str] = field(default_factory=list)
    values: list[dict[str, float]] = field(default_factory=list)

    def add(self, cluster: str, **values: float) -> None:
        """One picture more."""
        self.clusters.append(cluster)
        self.values.append(values)

    def summary(self) -> dict[str, object]:
        """Means, medians and worst cases with 95 % intervals that resample clusters."""
        out: dict[str, object] = {"n": len(self.values), "clusters": len(set(self.clusters))}
        for name in {key: None for row in self.values for key in row}:
            known = [i for i, row in enumerate(self.values) if np.isfinite(row.get(name, np.nan))]
            if not known:
                continue
            each = np.array([self.values[i][name] for i in known])
            mean = cluster_bootstrap(lambda i, v=each: float(v[i].mean()), np.array(self.clusters)[known], seed=0)
            row = {"n": len(each), "mean": mean.value, "low": mean.low, "high": mean.high, "median": np.median(each)}
            if name.startswith("recall"):
                full = wilson(int((each >= 0.99).sum()), len(each))
                row |= {"all_removed": full.value, "all_low": full.low, "all_high": full.high, "worst": each.min()}
            else:
                row |= {"worst": each.max(), "above_5_percent": int((each > 0.05).sum())}
            out[name] = {key: v if v is None or isinstance(v, int) else round(float(v), 5) for key, v in row.items()}
        return out


def stamp(text: str, rng: np.random.Generator, height: float) -> np.ndarray:
    """Text as coverage 0 to 255, cropped; a Hershey font with or without smoothing, or an outline font."""
    kind = int(rng.integers(3))
    if kind == 2:
        font = ImageFont.load_default(size=int(max(8, height)))
        canvas = Pil.new("L", (int(font.getlength(text)) + 8, int(2 * height) + 16), 0)
        ImageDraw.Draw(canvas).text((2, 2), text, font=font, fill=255)
        image = np.array(canvas)
    else:
        name, thick = FONTS[rng.integers(len(FONTS))], int(rng.integers(1, 3)) if height > 14 else 1
        scale = cv2.getFontScaleFromHeight(name, int(height), thick)
        (width, tall), below = cv2.getTextSize(text, name, scale, thick)
        image = np.zeros((tall + below + 6, width + 6), np.uint8)
        cv2.putText(image, text, (3, tall + 2), name, scale, 255, thick, cv2.LINE_AA if kind else cv2.LINE_8)
    rows, cols = np.nonzero(image)
    return image[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]


def furniture(shape: tuple[int, int], rng: np.random.Generator) -> list[np.ndarray]:
    """What stands on a screen: a ruler, a gray bar, a logo."""
    side = min(shape)
    ruler = np.zeros((int(shape[0] * 0.7), 5), np.uint8)
    for number, row in enumerate(range(0, ruler.shape[0], max(4, shape[0] // 40))):
        ruler[row, 0 if number % 5 == 0 else 3 :] = 255
    bar = np.linspace(255, rng.choice([0, 30]), int(shape[0] * 0.35)).astype(np.uint8)[:, None]
    size = max(10, side // 14)
    logo = np.zeros((size, size), np.uint8)
    cv2.circle(logo, (size // 2, size // 2), size // 2 - 1, 255, max(1, size // 10))
    cv2.line(logo, (size // 3, size // 4), (2 * size // 3, 3 * size // 4), 255, max(1, size // 8))
    return [ruler, np.tile(bar, (1, max(4, side // 50))), logo]


def around(free: np.ndarray, rng: np.random.Generator, words: int = 14) -> np.ndarray:
    """Overlay (h, w), 0 where nothing is drawn: furniture and words wherever `free` leaves room."""
    side, over, free = min(free.shape), np.zeros(free.shape, np.uint8), free.copy()
    sizes = rng.uniform(max(8, side / 50), max(10, side / 22), words)
    items = furniture(free.shape, rng) + [stamp(WORDS[rng.integers(len(WORDS))], rng, size) for size in sizes]
    for item in items:
        level, (tall, wide) = rng.uniform(70, 255) / 255, item.shape
        if tall >= free.shape[0] or wide >= free.shape[1]:
            continue
        taken = cv2.integral((~free).astype(np.uint8))
        count = taken[tall:, wide:] - taken[:-tall, wide:] - taken[tall:, :-wide] + taken[:-tall, :-wide]
        places = np.argwhere(count == 0)
        if len(places):
            y, x = places[rng.integers(len(places))]
            over[y : y + tall, x : x + wide] = (item * level).astype(np.uint8)
            free[max(0, y - 2) : y + tall + 2, max(0, x - 2) : x + wide + 2] = False
    return over


def on_tissue(inner: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Overlays (h, w) on tissue by kind: two calipers each of two measures, their dotted lines, an ellipse, labels."""
    kinds = {name: np.zeros(inner.shape, np.uint8) for name in ("calipers", "dots", "labels")}
    places = np.argwhere(inner)
    level, arm, thick = int(rng.uniform(130, 255)), int(rng.integers(3, 8)), int(rng.integers(1, 3))
    gap, dot = rng.uniform(5, 14), int(rng.integers(1, 4))
    for _ in range(2):
        ends = places[rng.integers(len(places), size=2)][:, ::-1].astype(float)
        for x, y in ends.astype(int).tolist():
            if rng.random() < 0.7:
                cv2.line(kinds["calipers"], (x - arm, y), (x + arm, y), level, thick)
                cv2.line(kinds["calipers"], (x, y - arm), (x, y + arm), level, thick)
            else:
                cv2.line(kinds["calipers"], (x - arm, y - arm), (x + arm, y + arm), level, thick)
                cv2.line(kinds["calipers"], (x - arm, y + arm), (x + arm, y - arm), level, thick)
        count = max(2, int(np.hypot(*(ends[1] - ends[0])) / gap))
        _dots(kinds["dots"], np.linspace(ends[0], ends[1], count), level, dot)
    centre, axes = places[:, ::-1].mean(axis=0), 0.25 * np.sqrt(len(places)) * rng.uniform(0.7, 1.2, 2)
    turn = np.arange(0, 2 * np.pi, gap / axes.max())
    _dots(kinds["dots"], centre + axes * np.column_stack([np.cos(turn), np.sin(turn)]), level, dot)
    for _ in range(3):
        item = stamp(LABELS[rng.integers(len(LABELS))], rng, rng.uniform(9, max(12, min(inner.shape) / 25)))
        y, x = places[rng.integers(len(places))]
        room = kinds["labels"][y : y + item.shape[0], x : x + item.shape[1]]
        room[:] = np.maximum(room, (item[: room.shape[0], : room.shape[1]] * (level / 255)).astype(np.uint8))
    return {name: np.where(inner, over, 0).astype(np.uint8) for name, over in kinds.items()}


def _dots(over: np.ndarray, points: np.ndarray, level: int, size: int) -> None:
    for x, y in np.rint(points).astype(int).tolist():
        if 0 <= y < over.shape[0] - size and 0 <= x < over.shape[1] - size:
            over[y : y + size, x : x + size] = level


def compressed(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As JPEG of quality 80 to 95, in half of the cases."""
    if rng.random() < 0.5:
        return pixels
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(80, 96))])[1], 0)


def hull(mask: np.ndarray) -> np.ndarray:
    """The convex hull of a mask."""
    out = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(out, cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8))), 1)
    return out.astype(bool)


def grown(mask: np.ndarray, width: int) -> np.ndarray:
    """A mask, `width` // 2 pixels wider."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((width, width), np.uint8)).astype(bool)


def outside_phantom(tally: Tally, cluster: str, picture: np.ndarray, rng: np.random.Generator) -> None:
    """Text in the black frame of a phantom; false removal is the share of its non-zero pixels that are blanked."""
    margins = [int(share * picture.shape[0]) for share in rng.uniform(0.05, 0.3, 4)]
    frame = cv2.copyMakeBorder(picture, *margins, cv2.BORDER_CONSTANT, value=0)
    true = frame > 0
    over = around(~grown(hull(true), 3), rng)
    result = remove_overlays(compressed(np.maximum(frame, over), rng))
    lost = true & ~result.sector
    weight = float(frame[lost].sum(dtype=float) / frame.sum(dtype=float))
    tally.add(
        cluster,
        recall=1 - float(result.sector[over > 8].mean()),
        false=float(lost.sum() / true.sum()),
        false_by_gray=weight,
        not_confident=float(not result.confident),
    )


def inside_picture(tally: Tally, cluster: str, picture: np.ndarray, rng: np.random.Generator) -> None:
    """Overlays on tissue; false removal is what is painted over 3 pixels or more away from them, and was not before."""
    sector = remove_overlays(picture).sector
    inner = cv2.erode((sector & hull(picture > 2)).astype(np.uint8), np.ones((25, 25), np.uint8), borderValue=0) > 0
    if inner.sum() < 2000:
        return
    kinds = on_tissue(inner, rng)
    over = np.maximum.reduce(list(kinds.values()))
    drawn = np.where(over > 0, over, picture)
    seen = np.abs(drawn.astype(int) - picture) > 8
    ready, state = compressed(drawn, rng), rng.bit_generator.state
    result = remove_overlays(ready, "everywhere")
    rng.bit_generator.state = state
    before = remove_overlays(compressed(picture, rng), "everywhere")
    false = result.inside & ~grown(over > 0, 5) & ~before.inside
    recall = {
        f"recall_{n}": float(result.inside[seen & (m > 0)].mean()) for n, m in kinds.items() if (seen & (m > 0)).any()
    }
    tally.add(
        cluster, **recall, false=float(false.sum() / sector.sum()), touched=float(before.inside.sum() / sector.sum())
    )


def phantoms(half: int, per: int) -> dict[str, object]:
    """Both questions on phantoms of every site, five planes and the intrapartum view, 128 to 512 pixels."""
    outside, inside = Tally(), Tally()
    for site in SITES:
        for plane in (*PLANES, INTRAPARTUM):
            numbers = [2 * i + half for i in range(per)]
            for size in (128, 256, 512):
                for number, picture in zip(
                    numbers, draw(plane, numbers, site=site, size_px=size, seed=7).images, strict=True
                ):
                    rng = np.random.default_rng([number, size, *site.encode(), *plane.encode()])
                    outside_phantom(outside, f"{site}/{plane}/{number}", picture, rng)
                    inside_picture(inside, f"{site}/{plane}/{number}", picture, rng)
    return {"outside": outside.summary(), "inside": inside.summary()}


def outside_real(tally: Tally, item: RawImage, rng: np.random.Generator) -> None:
    """Text in a black margin of 15 %, and where the bare picture is black and outside by its own sector.

    `anatomy_lost` is the share of the labelled anatomy that is blanked, `lit_lost` the share of all lit pixels that
    the text costs; both in the picture with the margin.
    """
    picture, mask = item.load()
    pad = int(0.15 * min(picture.shape))
    frame = cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    over = around(~grown(np.pad(np.ones(picture.shape, bool), pad), 3), rng)
    result, before, lit = remove_overlays(compressed(np.maximum(frame, over), rng)), remove_overlays(frame), frame > 2
    values = {"recall_margin": 1 - float(result.sector[over > 8].mean())}
    values["lit_lost"] = float((before.sector & ~result.sector & lit).sum() / max(1, lit.sum()))
    if mask is not None and mask.any():
        labelled = np.pad(mask > 0, pad) & (frame > 0)
        values["anatomy_lost"] = float((labelled & ~result.sector).sum() / labelled.sum())
    corner = ~grown(remove_overlays(picture).sector | (picture > 2), 7)
    over = around(corner, rng, words=6) if corner.mean() >= 0.03 else np.zeros_like(picture)
    if (over > 8).any():
        kept = remove_overlays(compressed(np.maximum(picture, over), rng)).sector
        values["recall_corners"] = 1 - float(kept[over > 8].mean())
    tally.add(item.patient, **values, not_confident=float(not result.confident))


def real(root: Path, half: int, most: int) -> dict[str, object]:
    """Both questions on the real sets, on the patients of one half."""
    out: dict[str, object] = {}
    for name, read in READERS.items():
        outside, inside, untouched = Tally(), Tally(), Tally()
        items = [item for item in read(root) if int(item.patient) % 2 == half]
        for number, item in enumerate(items[:: max(1, -(-len(items) // most))]):
            rng = np.random.default_rng([number, *name.encode()])
            outside_real(outside, item, rng)
            picture = item.load()[0]
            inside_picture(inside, f"{item.site}/{item.patient}", picture, rng)
            if item.site in WITHOUT_CALIPERS:
                plain = remove_overlays(picture, "everywhere")
                untouched.add(f"{item.site}/{item.patient}", touched=float(plain.inside.sum() / plain.sector.sum()))
        out[name] = {"outside": outside.summary(), "inside": inside.summary(), "without calipers": untouched.summary()}
    return out


def speed(count: int = 40) -> dict[str, float]:
    """Pictures of 800 x 540 a second of one core's time."""
    pictures = [
        cv2.copyMakeBorder(picture, 14, 14, 144, 144, cv2.BORDER_CONSTANT, value=0)
        for picture in draw("brain", range(count), site="B", size_px=512, seed=1).images
    ]
    out = {}
    for where in ("outside", "everywhere"):
        start = time.process_time()
        for picture in pictures:
            remove_overlays(picture, where)
        out[where] = round(count / (time.process_time() - start), 1)
    return out


def table(name: str, block: dict[str, object]) -> None:
    """One line a value: mean with interval, median, worst."""
    for value, row in block.items():
        if isinstance(row, dict) and "mean" in row:
            more = (
                f"all removed {row['all_removed']:.3f}" if "all_removed" in row else f"> 5 %: {row['above_5_percent']}"
            )
            low, high = (f"{row[end]:.4f}" if row[end] is not None else "-" for end in ("low", "high"))
            print(
                f"{name:28} {value:18} n {row['n']:4}  {row['mean']:.4f} [{low}, {high}]  "
                f"median {row['median']:.4f}  worst {row['worst']:.4f}  {more}"
            )
        elif isinstance(row, dict):
            table(f"{name} {value}", row)


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("even", "odd"), default="odd")
    parser.add_argument("--phantoms", type=int, default=4, help="phantoms a site, plane and size")
    parser.add_argument("--data-root", type=Path, help="folder of the real sets; without it that part is left out")
    parser.add_argument("--most", type=int, default=150, help="real pictures a set, at most")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    half = int(arguments.half == "odd")
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    results: dict[str, object] = {"machine": machine, "half": arguments.half, "per_second_800x540": speed()}
    results["phantoms"] = phantoms(half, arguments.phantoms)
    if arguments.data_root:
        results["real"] = real(arguments.data_root, half, arguments.most)
    table("", results)
    print(f"pictures of 800 x 540 a second of one core: {results['per_second_800x540']}")
    if arguments.out:
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
