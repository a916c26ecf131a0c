"""One shard: the rows of its images, what is generated again, and what stops it."""

import errno
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generation_run import complete, inputs, tree
from PIL import Image as Pil

from fulora.data.image import Image
from fulora.data.pictures.embedded_metadata import read_mark
from fulora.data.pictures.pixels import pixel_digest
from fulora.diffusion.sampling.compute import choose_compute
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sampling.image_generator import GeneratedImage, ImageGenerator, ImageRequest, build_generator
from fulora.diffusion.sampling.inputs import GenerationInputs
from fulora.diffusion.sampling.recipe import read_row
from fulora.diffusion.sampling.sample import image_seed
from fulora.diffusion.sets import shard_writer
from fulora.diffusion.sets.blank_images import Fault, RejectedImagesError
from fulora.diffusion.sets.generation import KEPT
from fulora.diffusion.sets.shard_writer import make_shard
from fulora.diffusion.sets.shards import RejectedImage, Shard, read_shard
from fulora.files import DiskFullError, raise_on_disk_full

pytestmark = pytest.mark.slow

EIGHT = Shard("brain", 1, 8, 16)
Spoil = Callable[[ImageRequest], Fault | None]


@pytest.fixture(scope="module")
def used(backbone: Path) -> GenerationInputs:
    return inputs(backbone)


@pytest.fixture(scope="module")
def generator(used: GenerationInputs) -> ImageGenerator:
    return ready(used, complete(batch_size=4, max_rejected=1.0))


def ready(used: GenerationInputs, cfg: SamplingConfig) -> ImageGenerator:
    pipe = used.load()
    return build_generator(pipe, cfg, choose_compute(pipe, cfg, 10))


def spoilt(drawn: GeneratedImage, fault: Fault | None) -> GeneratedImage:
    """A picture with a fault."""
    shape = drawn.pixels.shape
    if fault == "nan":
        return replace(drawn, finite=False)
    levels = {"black": 0, "saturated": 255, "constant": 99}
    return replace(drawn, pixels=np.full(shape, levels[fault], np.uint8)) if fault in levels else drawn


def spoil(monkeypatch: pytest.MonkeyPatch, fault_of: Spoil) -> None:
    """Every picture that is drawn from now on has the fault that `fault_of` its request says."""
    real = ImageGenerator.generate

    def draw(self: ImageGenerator, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        return [spoilt(drawn, fault_of(drawn.request)) for drawn in real(self, requests)]

    monkeypatch.setattr(ImageGenerator, "generate", draw)


def test_a_shard_holds_its_pictures_each_with_its_row(
    tmp_path: Path, generator: ImageGenerator, used: GenerationInputs
) -> None:
    told: list[int] = []
    make_shard(EIGHT, tmp_path, generator, used, advance=told.append)
    folder, record = EIGHT.folder(tmp_path), read_shard(EIGHT, tmp_path)
    assert sum(told) == 8
    assert record.rejected == ()
    assert [row.image_id for row in record.rows] == [f"synthetic_brain_{index:05d}" for index in range(8, 16)]
    assert {path.name for path in folder.iterdir()} == {
        "shard.json",
        *(f"synthetic_brain_{index:05d}.png" for index in range(8, 16)),
    }
    for index, row in enumerate(record.rows, 8):
        path = tmp_path / "train" / row.file_name
        found, recipe = read_row(path)
        assert found == row
        assert (recipe.index, recipe.attempt, recipe.seed) == (index, 0, image_seed(generator.cfg, "brain", index))
        assert row.seed == str(recipe.seed)
        with Pil.open(path) as image:
            pixels = np.asarray(image)
        assert (image.mode, pixels.shape, pixel_digest(pixels)) == ("L", (32, 32), row.sha256)
        mark = read_mark(path)
        assert mark is not None
        assert (mark.synthetic, mark.caption, mark.seed) == (True, "a photo of fetal brain", row.seed)


def test_equal_shards_have_equal_bytes(tmp_path: Path, generator: ImageGenerator, used: GenerationInputs) -> None:
    for name in ("a", "b"):
        make_shard(EIGHT, tmp_path / name, generator, used)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize("fault", ["nan", "black", "saturated", "constant"])
def test_a_picture_with_a_fault_is_drawn_again_with_the_next_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: ImageGenerator, used: GenerationInputs, fault: Fault
) -> None:
    make_shard(EIGHT, tmp_path / "clean", generator, used)
    spoil(monkeypatch, lambda request: fault if (request.index, request.attempt) in {(9, 0), (9, 1), (14, 0)} else None)
    told: list[int] = []
    make_shard(EIGHT, tmp_path / "out", generator, used, advance=told.append)
    clean, record = read_shard(EIGHT, tmp_path / "clean"), read_shard(EIGHT, tmp_path / "out")
    assert record.rejected == tuple(
        RejectedImage(index=index, attempt=attempt, fault=fault) for index, attempt in ((9, 0), (14, 0), (9, 1))
    )
    assert sum(told) == 8
    assert [row.image_id for row in record.rows] == [row.image_id for row in clean.rows]
    attempts = {9: 2, 14: 1}
    for row, without in zip(record.rows, clean.rows, strict=True):
        index = int(row.image_id[-5:])
        assert row.seed == str(image_seed(generator.cfg, "brain", index, attempts.get(index, 0)))
        assert json.loads(row.recipe)["attempt"] == attempts.get(index, 0)
        assert (row == without) == (index not in attempts)
        assert read_row(tmp_path / "out" / "train" / row.file_name)[0] == row
    assert not (tmp_path / "out" / "rejected").exists()
    assert list((tmp_path / "out" / ".work").iterdir()) == []


def test_of_two_equal_pictures_in_a_shard_the_later_one_is_generated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: ImageGenerator, used: GenerationInputs
) -> None:
    def seed(cfg: SamplingConfig, plane: str, index: int, attempt: int) -> int:
        same = {(13, 0): 10, (14, 0): 10, (14, 1): 10}  # 14 again at its second attempt
        return index * 100 + attempt if (index, attempt) not in same else same[index, attempt] * 100

    monkeypatch.setattr("fulora.diffusion.sampling.image_generator.image_seed", seed)
    make_shard(EIGHT, tmp_path, generator, used)
    record = read_shard(EIGHT, tmp_path)
    assert record.rejected == tuple(
        RejectedImage(index=index, attempt=attempt, fault="duplicate") for index, attempt in ((13, 0), (14, 0), (14, 1))
    )
    assert [row.seed for row in record.rows] == ["800", "900", "1000", "1100", "1200", "1301", "1402", "1500"]
    assert len({row.sha256 for row in record.rows}) == 8


def test_pixels_that_other_shards_have_are_drawn_again(
    tmp_path: Path, generator: ImageGenerator, used: GenerationInputs
) -> None:
    make_shard(EIGHT, tmp_path / "clean", generator, used)
    taken = [read_shard(EIGHT, tmp_path / "clean").rows[3].sha256]
    make_shard(EIGHT, tmp_path / "out", generator, used, taken=taken)
    record = read_shard(EIGHT, tmp_path / "out")
    assert record.rejected == (RejectedImage(index=11, attempt=0, fault="duplicate"),)
    assert record.rows[3].seed == str(image_seed(generator.cfg, "brain", 11, 1))
    assert len(taken) == 1


def test_pictures_of_two_samplers_are_in_order(tmp_path: Path, used: GenerationInputs) -> None:
    both = ready(used, complete(batch_size=4, sampler=("euler", "unipc")))
    make_shard(EIGHT, tmp_path, both, used)
    recipes = [json.loads(row.recipe) for row in read_shard(EIGHT, tmp_path).rows]
    assert [(recipe["index"], recipe["sampler"]) for recipe in recipes] == [
        (index, "unipc" if index % 2 else "euler") for index in range(8, 16)
    ]


def test_a_few_faults_stop_nothing_and_many_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: GenerationInputs
) -> None:
    strict = ready(used, complete(batch_size=4, max_rejected=0.0))
    spoil(monkeypatch, lambda request: "black" if request.attempt == 0 and request.index < 12 else None)
    make_shard(EIGHT, tmp_path, strict, used)
    assert len(read_shard(EIGHT, tmp_path).rejected) == 4


def test_too_large_a_share_stops_and_is_kept_to_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: GenerationInputs
) -> None:
    faults: dict[int, Fault] = {8: "black", 9: "nan", 11: "saturated", 12: "constant", 15: "black"}
    generator = ready(used, complete(batch_size=4, max_rejected=0.5))
    with monkeypatch.context() as patched:
        spoil(patched, lambda request: faults.get(request.index) if request.attempt == 0 else None)
        for _ in range(2):  # the second takes the place of the first
            with pytest.raises(
                RejectedImagesError,
                match=r"brain-00001: 5 images rejected \(2 black, 1 nan, 1 saturated, 1 constant\), more than "
                r"max_rejected=0\.5 of its 8 images: the backbone .* The rejected images are in .*brain-00001\.$",
            ):
                make_shard(EIGHT, tmp_path, generator, used)
    kept = sorted((tmp_path / "rejected" / "brain-00001").iterdir())
    assert Counter(path.name for path in kept) == Counter(
        f"0_{fault}_synthetic_brain_{index:05d}.png" for index, fault in faults.items()
    )
    for path in kept:
        mark = read_mark(path)
        assert mark is not None
        assert mark.synthetic
        with Pil.open(path) as image:
            assert image.size == (32, 32)
    assert not EIGHT.folder(tmp_path).exists()
    assert list((tmp_path / ".work").iterdir()) == []
    make_shard(EIGHT, tmp_path, generator, used)
    assert EIGHT.is_complete(tmp_path)


def test_exactly_the_allowed_share_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: GenerationInputs
) -> None:
    generator = ready(used, complete(batch_size=4, max_rejected=0.75))
    spoil(monkeypatch, lambda request: "black" if request.attempt == 0 and request.index < 14 else None)
    make_shard(EIGHT, tmp_path, generator, used)
    assert len(read_shard(EIGHT, tmp_path).rejected) == 6


def test_a_picture_that_never_succeeds_stops_after_max_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: GenerationInputs
) -> None:
    generator = ready(used, complete(batch_size=4, max_attempts=3, max_rejected=1.0))
    spoil(monkeypatch, lambda request: "constant" if request.index == 10 else None)
    with pytest.raises(
        RejectedImagesError,
        match=r"brain 10 was generated 3 times, and rejected each time \(3 constant in brain-00001\): the",
    ):
        make_shard(EIGHT, tmp_path, generator, used)
    kept = sorted(path.name for path in (tmp_path / "rejected" / "brain-00001").iterdir())
    assert kept == [f"{attempt}_constant_synthetic_brain_00010.png" for attempt in range(3)]
    assert not EIGHT.folder(tmp_path).exists()


def test_a_backbone_that_gives_no_numbers_is_found_out(tmp_path: Path, used: GenerationInputs) -> None:
    """Real NaN, from the decoder on."""
    generator = ready(used, complete(batch_size=4))
    generator.vae.decoder.conv_out.weight.data.fill_(float("nan"))
    with pytest.raises(
        RejectedImagesError, match=r"brain-00001: 8 images rejected \(8 nan\), more than max_rejected=0\.2"
    ):
        make_shard(EIGHT, tmp_path, generator, used)


def failing(monkeypatch: pytest.MonkeyPatch, number: int, at: int) -> None:
    """The `at`-th picture, counted from 1, is half written, and then the system says `number`."""
    real, written = shard_writer.write_image, []

    def write(path: Path, row: Image, drawn: GeneratedImage) -> None:
        written.append(path)
        if len(written) == at:
            path.write_bytes(b"half")
            raise OSError(number, "what the system says")
        real(path, row, drawn)

    monkeypatch.setattr(shard_writer, "write_image", write)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_with_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: ImageGenerator, used: GenerationInputs, number: int
) -> None:
    first = replace(EIGHT, number=0, first=0, last=8)
    make_shard(first, tmp_path, generator, used)
    before = tree(tmp_path)
    with monkeypatch.context() as patched:
        spoil(patched, lambda request: "black" if request.attempt == 0 and request.index < 10 else None)
        failing(patched, number, 6)
        with pytest.raises(
            DiskFullError, match=r"the disk is full; all complete shards are kept, and the same command"
        ):
            fill(tmp_path, generator, used)
    assert tree(tmp_path) == before
    make_shard(EIGHT, tmp_path, generator, used)
    assert EIGHT.is_complete(tmp_path)


def fill(out: Path, generator: ImageGenerator, used: GenerationInputs) -> None:
    with raise_on_disk_full(out, KEPT):
        make_shard(EIGHT, out, generator, used)


def test_other_system_errors_are_reported_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: ImageGenerator, used: GenerationInputs
) -> None:
    failing(monkeypatch, errno.EACCES, 1)
    with pytest.raises(PermissionError, match="what the system says"):
        fill(tmp_path, generator, used)
    assert list((tmp_path / ".work").iterdir()) == []


def test_an_error_of_the_caller_leaves_nothing(
    tmp_path: Path, generator: ImageGenerator, used: GenerationInputs
) -> None:
    """While other pictures are still being written."""

    def stop(images: int) -> None:
        raise RuntimeError("enough")

    for _ in range(5):
        with pytest.raises(RuntimeError, match="enough"):
            make_shard(EIGHT, tmp_path, generator, used, advance=stop)
        assert list((tmp_path / ".work").iterdir()) == []
        assert not EIGHT.folder(tmp_path).exists()
