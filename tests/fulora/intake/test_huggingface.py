"""Hugging Face data sets as a source: parquet, save_to_disk and imagefolder give the same rows; nothing is held."""

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.data.label_set import LabelSet
from fulora.intake.config import CurateConfig, HuggingfaceConfig
from fulora.intake.formats import decode
from fulora.intake.image_set_labels import resolve_label_set
from fulora.intake.raw_image import RawImage, SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs

NAMES = ["left kidney", "right kidney"]
COLUMNS = {
    "label": "view",
    "patient": "who",
    "site": "place",
    "machine": "scanner",
    "pixel_size_mm": "mm",
    "mask": "seg",
}
REVISION = "0123456789" * 4


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Pil.fromarray(pixels).save(file, "png")
    return file.getvalue()


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (24, 32), dtype=np.uint8)


def mask(number: int) -> np.ndarray:
    drawn = np.zeros((24, 32), np.uint8)
    drawn[2 : 6 + number, 3:9] = 255
    return drawn


def table(numbers: range, *, text: bool = False) -> datasets.Dataset:
    label = datasets.Value("string") if text else datasets.ClassLabel(names=NAMES)
    features = {
        "image": datasets.Image(),
        "view": label,
        "who": datasets.Value("string"),
        "place": datasets.Value("string"),
        "scanner": datasets.Value("string"),
        "mm": datasets.Value("float32"),
        "seg": datasets.Image(),
    }
    rows = {
        "image": [{"bytes": png(picture(n)), "path": f"{n}.png"} for n in numbers],
        "view": [NAMES[n % 2] if text else n % 2 for n in numbers],
        "who": [f"p{n // 2}" for n in numbers],
        "place": ["north" if n % 2 else None for n in numbers],
        "scanner": ["Voluson"] * len(numbers),
        "mm": [0.25 if n else None for n in numbers],
        "seg": [{"bytes": png(mask(n)), "path": f"{n}_seg.png"} if n % 3 else None for n in numbers],
    }
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def written(folder: Path, kind: str) -> Path:
    parts = {"train": table(range(6), text=kind == "text"), "validation": table(range(6, 8), text=kind == "text")}
    if kind == "arrow":
        datasets.DatasetDict(parts).save_to_disk(folder)
        return folder
    (folder / "data").mkdir(parents=True)
    for name, part in parts.items():
        part.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder


def config(**values: object) -> HuggingfaceConfig:
    about = {"folder": "own", "columns": COLUMNS, "site": "south", "source": "clinic"}
    return HuggingfaceConfig.model_validate(about | values)


def read(folder: Path, told: list[str] | None = None, **values: object) -> list[RawImage]:
    if told is None:
        return list(read_source(config(**values), SourceInputs(folder)))
    return list(read_source(config(**values), SourceInputs(folder), told.append))


@pytest.mark.parametrize("kind", ["parquet", "arrow", "text"])
def test_every_layout_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    images = read(written(tmp_path / "own", kind))
    assert [image.name for image in images] == [f"train/{n:06d}" for n in range(6)] + [
        f"validation/{n:06d}" for n in (0, 1)
    ]
    for number, image in enumerate(images):
        pixels, drawn = image.load()
        assert np.array_equal(pixels, picture(number))
        assert (image.plane, image.patient) == (NAMES[number % 2], f"p{number // 2}")
        assert (image.site, image.machine, image.source) == ("north" if number % 2 else "south", "Voluson", "clinic")
        assert image.pixel_size_mm == (0.25 if number else None)
        assert image.published == ("train" if number < 6 else "validation")
        assert (drawn is None) == (number % 3 == 0)
        assert drawn is None or np.array_equal(drawn * 255, mask(number))


def test_one_split_alone_is_divided_and_says_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path / "own", "parquet")
    assert {image.published for image in read(folder, part="validation")} == {None}
    assert len(read(folder, part="validation")) == 2
    table(range(4)).save_to_disk(tmp_path / "alone")
    images = read(tmp_path / "alone")
    assert (len(images), {image.published for image in images}) == (4, {None})
    with pytest.raises(SourceError, match="has no split test; its splits: train, validation"):
        read(folder, part="test")


def test_an_imagefolder_is_read_by_its_folders(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in NAMES:
            (tmp_path / "own" / split / name).mkdir(parents=True)
            Pil.fromarray(picture(len(name))).save(tmp_path / "own" / split / name / "a.png")
    images = read(tmp_path / "own", columns={}, patients_unknown=True)
    assert sorted((image.plane, image.published) for image in images) == sorted(
        (name, split) for split in ("train", "test") for name in NAMES
    )
    assert np.array_equal(images[0].load()[0], picture(len(images[0].plane)))
    assert {image.patient for image in images} == {image.name for image in images}


def test_listing_the_rows_decodes_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opened = written(tmp_path / "own", "parquet"), list[str]()
    read_with_pillow = decode.read_with_pillow

    def recorded(path: Path, *rest: Any, **more: Any) -> Any:
        opened.append(path.name)
        return read_with_pillow(path, *rest, **more)

    monkeypatch.setattr(decode, "read_with_pillow", recorded)
    images = read(folder, columns=COLUMNS | {"mask": ""})
    assert opened == []
    images[3].load()
    assert opened == ["own, train, row 3"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_pictures_are_never_all_in_memory(kind: str, tmp_path: Path) -> None:
    size, count = 2**20, 16
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024), dtype=np.uint8)

    def rows() -> Iterator[dict[str, object]]:
        for number in range(count):
            yield {"image": {"bytes": png(noise + np.uint8(number)), "path": None}, "label": "a", "who": str(number)}

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.Value("string"), "who": datasets.Value("string")}
    )
    made = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(tmp_path / "cache"))
    if kind == "arrow":
        made.save_to_disk(tmp_path / "own")
    else:
        (tmp_path / "own").mkdir()
        made.to_parquet(tmp_path / "own" / "train.parquet")
    tracemalloc.start()
    try:
        seen = 0
        for image in read(tmp_path / "own", columns={"patient": "who"}):
            seen += image.load()[0].size
        assert tracemalloc.get_traced_memory()[1] < 8 * size
    finally:
        tracemalloc.stop()
    assert seen == count * size


def test_the_classes_of_a_set_are_its_labels(tmp_path: Path) -> None:
    folder = written(tmp_path / "own", "arrow")
    values = CurateConfig.model_validate({"sources": [config().model_dump()]})
    assert resolve_label_set(values, [SourceInputs(folder)]).names == tuple(NAMES)
    kidneys = LabelSet.derived(["kidney"])
    both = config(classes=dict.fromkeys(NAMES, "kidney"))
    assert {image.plane for image in read_source(both, SourceInputs(folder, labels=kidneys))} == {"kidney"}


def test_empty_rows_are_noted_and_the_others_read(tmp_path: Path) -> None:
    rows = {"image": [{"bytes": png(picture(n)), "path": None} for n in range(4)], "label": ["a", None, "a", "a"]}
    rows |= {"who": ["1", "2", "", "3"], "mm": ["0.2", "0.2", "0.2", "12"]}
    made = datasets.Dataset.from_dict(
        rows,
        features=datasets.Features(
            {
                "image": datasets.Image(),
                "label": datasets.Value("string"),
                "who": datasets.Value("string"),
                "mm": datasets.Value("string"),
            }
        ),
    )
    made.save_to_disk(tmp_path / "own")
    told: list[str] = []
    images = read(tmp_path / "own", told, columns={"patient": "who", "pixel_size_mm": "mm"})
    assert [image.name for image in images] == ["train/000000"]
    assert [message.partition("own, ")[2] for message in told[:2]] == [
        "train, row 1: has no class",
        "train, row 2: has no patient",
    ]
    assert "row 3: pixel_size_mm" in told[2]


def test_a_picture_that_is_missing_or_outside_the_folder_is_named(tmp_path: Path) -> None:
    Pil.fromarray(picture(0)).save(tmp_path / "elsewhere.png")
    for name, cell, message in (
        ("out", str(tmp_path / "elsewhere.png"), "leads out of"),
        ("gone", "gone.png", "cannot be read"),
        ("empty", None, "has no picture"),
    ):
        features = datasets.Features({"image": datasets.Value("string"), "label": datasets.Value("string")})
        made = datasets.Dataset.from_dict({"image": [cell], "label": ["a"]}, features=features)
        made.save_to_disk(tmp_path / name)
        image = read(tmp_path / name, columns={}, patients_unknown=True)[0]
        with pytest.raises(SourceError, match=message):
            image.load()


def test_names_of_files_and_plain_bytes_are_pictures_too(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    Pil.fromarray(picture(1)).save(tmp_path / "own" / "one.png")
    rows = {"image": ["one.png"], "raw": [png(picture(2))], "number": [3]}
    kinds = {"image": "string", "raw": "binary", "number": "int64"}
    features = datasets.Features({name: datasets.Value(kind) for name, kind in kinds.items()})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "own" / "train.parquet")
    for column, number in (("image", 1), ("raw", 2)):
        about = {"columns": {"image": column, "label": ""}, "plane": "a", "patients_unknown": True}
        assert np.array_equal(read(tmp_path / "own", **about)[0].load()[0], picture(number))
    with pytest.raises(SourceError, match=r"column number is .*; it must hold pictures"):
        read(tmp_path / "own", columns={"image": "number", "label": ""}, plane="a", patients_unknown=True)
    with pytest.raises(SourceError, match=r"column number is .*; a class is a ClassLabel or text"):
        read(tmp_path / "own", columns={"label": "number"}, patients_unknown=True)
    with pytest.raises(SourceError, match="no column view; its columns: image, raw, number"):
        read(tmp_path / "own", columns={"label": "view"}, patients_unknown=True)


def test_what_cannot_be_opened_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        read(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="datasets cannot open it"):
        read(tmp_path / "empty")
    (tmp_path / "empty" / "train.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceError, match="datasets cannot open it"):
        read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hub": "a/b", "revision": REVISION}, "give either folder, .* or hub"),
        ({"folder": ""}, "give either folder, .* or hub"),
        ({"folder": "", "hub": "a/b"}, "with its commit, 40 hexadecimal digits"),
        ({"folder": "", "hub": "a/b", "revision": "main"}, "with its commit, 40 hexadecimal digits"),
        ({"folder": "", "hub": "just_a_name", "revision": REVISION}, "a data set on the hub is owner/name"),
        ({"revision": REVISION}, "revision goes with hub"),
        ({"plane": "kidney"}, "give the column of the class, or"),
        ({"columns": COLUMNS | {"label": ""}}, "give the column of the class, or"),
        ({"patients_unknown": True}, "patients are unknown"),
        ({"columns": {}}, "patients are unknown"),
    ],
)
def test_what_does_not_fit_together_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**values)


def test_a_set_of_the_hub_is_no_folder_of_data_root() -> None:
    hub = config(folder="", hub="a/b", revision=REVISION)
    assert hub.input_paths() == {}
    with pytest.raises(SourceError, match="a/b: not downloaded yet"):
        list(hub.read(SourceInputs()))
