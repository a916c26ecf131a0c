"""Make one shard: generate its images, check and write each, and generate those that are rejected again."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image as Pil

from fulora.data.image import Image
from fulora.data.pictures.embedded_metadata import png_info
from fulora.data.pictures.pixels import pixel_digest
from fulora.diffusion.sampling.image_generator import GeneratedImage, ImageGenerator, ImageRequest, sampler_of
from fulora.diffusion.sampling.inputs import GenerationInputs
from fulora.diffusion.sampling.recipe import SETTINGS, Recipe, StartUsed
from fulora.diffusion.sets.blank_images import Fault, RejectedImagesError, find_fault
from fulora.diffusion.sets.shards import (
    SHARD_RECORD,
    WORK,
    RejectedImage,
    Shard,
    ShardRecord,
    read_shard,
    scratch,
    write_record,
)
from fulora.engine import threaded
from fulora.environment import versions

REJECTED = "rejected"
"""Where rejected images are kept when they stop a run."""

COMPRESSION = 4
"""Of zlib, 0 to 9: on a head of 512 px, 6 takes 2.7 times as long as 4 and saves 1 %."""

MANY = 5
"""Fewer rejected images than this never stop a run, whatever share they are."""

LIBRARIES = ("fulora", "torch", "diffusers", "transformers")
"""The libraries that pixels depend on."""


def make_shard(
    shard: Shard,
    out: Path,
    generator: ImageGenerator,
    inputs: GenerationInputs,
    *,
    taken: Collection[str] = (),
    advance: Callable[[int], None] = lambda images: None,
) -> None:
    """Write a shard's folder. The caller holds the shard's lock. Images of the shard of a smaller set are kept.

    Args:
        taken: pixel digests of other shards' images, which no image may have.
        advance: called for each image that is kept.

    Raises:
        RejectedImagesError: if too many images are rejected; they are kept in `rejected/SHARD` for inspection.
    """
    rejects = out / WORK / f"{shard.name}.rejected"
    shutil.rmtree(rejects, ignore_errors=True)
    try:
        with scratch(shard, out) as folder:
            before = _keep_images(shard, out, folder)
            advance(len(before.rows))
            write_record(folder, _fill(folder, rejects, shard, generator, inputs, before, set(taken), advance))
    except RejectedImagesError as error:
        kept = out / REJECTED / shard.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(exist_ok=True)
        rejects.replace(kept)
        raise RejectedImagesError(f"{error} The rejected images are in {kept}.") from None
    finally:
        shutil.rmtree(rejects, ignore_errors=True)


def _keep_images(shard: Shard, out: Path, folder: Path) -> ShardRecord:
    """Copy the images of the shard of a smaller set into the new folder, and return their record; else an empty one."""
    if not (shard.folder(out) / SHARD_RECORD).is_file():
        return ShardRecord(rows=(), rejected=())
    record = read_shard(shard, out)
    if len(record.rows) >= len(shard):  # it is made anew, for one of its images is a duplicate
        return ShardRecord(rows=(), rejected=())
    for row in record.rows:
        name = Path(row.file_name).name
        shutil.copyfile(shard.folder(out) / name, folder / name)
    return record


def _fill(
    folder: Path,
    rejects: Path,
    shard: Shard,
    generator: ImageGenerator,
    inputs: GenerationInputs,
    kept: ShardRecord,
    taken: set[str],
    advance: Callable[[int], None],
) -> ShardRecord:
    rows: dict[int, Image] = dict(enumerate(kept.rows, shard.first))
    taken |= {row.sha256 for row in kept.rows}
    rejected = list(kept.rejected)
    requests = [ImageRequest(shard.plane, index) for index in range(shard.first + len(kept.rows), shard.last)]
    write = partial(_write, folder, shard.name, generator, inputs)
    while requests:
        again: list[ImageRequest] = []
        for request, row, fault in threaded(write, _generate(generator, requests)):
            cause: Fault | None = "duplicate" if fault is None and row.sha256 in taken else fault
            if cause is None:
                taken.add(row.sha256)
                rows[request.index] = row
                advance(1)
                continue
            rejects.mkdir(exist_ok=True)
            name = Path(row.file_name).name
            (folder / name).replace(rejects / f"{request.attempt}_{cause}_{name}")
            rejected.append(RejectedImage(index=request.index, attempt=request.attempt, fault=cause))
            again.append(ImageRequest(request.plane, request.index, request.attempt + 1))
        _check(shard, rejected, generator)
        requests = again
    return ShardRecord(rows=tuple(rows[index] for index in sorted(rows)), rejected=tuple(rejected))


def _generate(generator: ImageGenerator, requests: Sequence[ImageRequest]) -> Iterator[GeneratedImage]:
    size = generator.compute.batch_size
    for sampler in dict.fromkeys(generator.cfg.samplers):
        batchable = [request for request in requests if sampler_of(generator.cfg, request) == sampler]
        for start in range(0, len(batchable), size):
            yield from generator.generate(batchable[start : start + size])


def _write(
    folder: Path, shard_name: str, generator: ImageGenerator, inputs: GenerationInputs, image: GeneratedImage
) -> tuple[ImageRequest, Image, Fault | None]:
    row = row_of(image, generator, inputs, f"images/{shard_name}")
    write_image(folder / Path(row.file_name).name, row, image)
    return image.request, row, find_fault(image.pixels, image.finite)


def write_image(path: Path, row: Image, image: GeneratedImage) -> None:
    """Write a PNG marked as synthetic, with its row. Equal rows and pixels give equal bytes."""
    Pil.fromarray(image.pixels).save(path, pnginfo=png_info(row), compress_level=COMPRESSION)


def row_of(image: GeneratedImage, generator: ImageGenerator, inputs: GenerationInputs, folder: str) -> Image:
    """Return the row of a generated image in an image set.

    Args:
        folder: of its file, relative to the split's folder.
    """
    request = image.request
    height, width = image.pixels.shape[:2]
    on_mask = "" if image.mask is None else "on_mask_"
    image_id = f"synthetic_{on_mask}{request.plane}_{request.index:05d}"
    return Image(
        file_name=f"{folder}/{image_id}.png",
        image_id=image_id,
        plane=request.plane,
        split="train",
        origin="synthetic",
        source="fulora",
        site="",
        patient="",
        mask_file=f"masks/{image_id}.png" if on_mask else "",
        caption=generator.cfg.prompts[request.plane],
        seed=str(image.seed),
        generator=inputs.fingerprint(),
        recipe=json.dumps(_recipe(image, generator, inputs).model_dump(mode="json"), sort_keys=True),
        width=width,
        height=height,
        sha256=pixel_digest(image.pixels),
    )


def _recipe(image: GeneratedImage, generator: ImageGenerator, inputs: GenerationInputs) -> Recipe:
    cfg, request = generator.cfg, image.request
    start = image.start and StartUsed(
        image_id=image.start.image_id, sha256=image.start.sha256, strength=cfg.start_strength
    )
    return Recipe(
        **{name: getattr(cfg, name) for name in SETTINGS},
        plane=request.plane,
        set_seed=cfg.seed,
        index=request.index,
        attempt=request.attempt,
        seed=image.seed,
        prompt=cfg.prompts[request.plane],
        width=cfg.size[0],
        height=cfg.size[1],
        sampler=image.sampler,
        backbone=inputs.used,
        loras=tuple(lora.used for lora in inputs.loras),
        start=start,
        control=inputs.control.used if inputs.control else None,
        mask="" if image.mask is None else pixel_digest(image.mask),
        compute=generator.compute,
        versions={name: version for name, version in versions().items() if name in LIBRARIES},
    )


def _check(shard: Shard, rejected: Sequence[RejectedImage], generator: ImageGenerator) -> None:
    cfg = generator.cfg
    counts = ", ".join(f"{count} {cause}" for cause, count in Counter(each.fault for each in rejected).items())
    hopeless = [each for each in rejected if each.attempt + 1 >= cfg.max_attempts]
    if hopeless:
        raise RejectedImagesError(
            f"{shard.plane} {hopeless[0].index} was generated {cfg.max_attempts} times, and rejected each time "
            f"({counts} in {shard.name}): the backbone or a LoRA is broken, untrained or too strong."
        )
    if len(rejected) >= MANY and len(rejected) > cfg.max_rejected * len(shard):
        raise RejectedImagesError(
            f"{shard.name}: {len(rejected)} images rejected ({counts}), more than max_rejected={cfg.max_rejected:g} "
            f"of its {len(shard)} images: the backbone or a LoRA is broken, untrained or too strong."
        )
