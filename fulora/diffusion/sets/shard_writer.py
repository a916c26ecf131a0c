"""Make one shard: draw, look whether a picture shows anything, write it, and draw again what does not."""

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
from fulora.diffusion.sampling.ingredients import Ingredients
from fulora.diffusion.sampling.painter import Draft, Drawn, Painter, sampler_of
from fulora.diffusion.sampling.recipe import Recipe, StartUsed
from fulora.diffusion.sets.blank_images import Fault, GateError, fault
from fulora.diffusion.sets.shards import WORK, Rejected, Shard, ShardRecord, scratch, write_record
from fulora.engine import threaded
from fulora.environment import versions

REJECTED = "rejected"
"""Where rejected pictures are kept when they stop a run."""

COMPRESSION = 4
"""Of zlib, 0 to 9: on a head of 512 px, 6 takes 2.7 times as long as 4 and saves 1 %."""

MANY = 5
"""Fewer rejected pictures than this never stop a run, whatever share they are."""

MATTERING = ("fulora", "torch", "diffusers", "transformers")
"""The libraries on which pixels depend."""


def make_shard(
    shard: Shard,
    out: Path,
    painter: Painter,
    ingredients: Ingredients,
    *,
    taken: Collection[str] = (),
    drawn: Callable[[int], None] = lambda images: None,
) -> None:
    """Write a shard's folder. Hold its lock.

    Args:
        taken: pixel digests that no image may have, for other shards have them.
        drawn: told of each image that was kept.

    Raises:
        GateError: too many pictures show nothing; they are kept in `rejected/SHARD`, to be looked at.
    """
    rejects = out / WORK / f"{shard.name}.rejected"
    shutil.rmtree(rejects, ignore_errors=True)
    try:
        with scratch(shard, out) as folder:
            write_record(folder, _filled(folder, rejects, shard, painter, ingredients, set(taken), drawn))
    except GateError as error:
        shown = out / REJECTED / shard.name
        shutil.rmtree(shown, ignore_errors=True)
        shown.parent.mkdir(exist_ok=True)
        rejects.replace(shown)
        raise GateError(f"{error} The rejected pictures are in {shown}.") from None
    finally:
        shutil.rmtree(rejects, ignore_errors=True)


def _filled(
    folder: Path,
    rejects: Path,
    shard: Shard,
    painter: Painter,
    ingredients: Ingredients,
    taken: set[str],
    drawn: Callable[[int], None],
) -> ShardRecord:
    rows: dict[int, Image] = {}
    rejected: list[Rejected] = []
    drafts = [Draft(shard.plane, index) for index in range(shard.first, shard.last)]
    write = partial(_written, folder, shard.name, painter, ingredients)
    while drafts:
        again: list[Draft] = []
        for draft, row, found in threaded(write, _pictures(painter, drafts)):
            cause: Fault | None = "duplicate" if found is None and row.sha256 in taken else found
            if cause is None:
                taken.add(row.sha256)
                rows[draft.index] = row
                drawn(1)
                continue
            rejects.mkdir(exist_ok=True)
            name = Path(row.file_name).name
            (folder / name).replace(rejects / f"{draft.attempt}_{cause}_{name}")
            rejected.append(Rejected(index=draft.index, attempt=draft.attempt, fault=cause))
            again.append(Draft(draft.plane, draft.index, draft.attempt + 1))
        _check(shard, rejected, painter)
        drafts = again
    return ShardRecord(rows=tuple(rows[index] for index in sorted(rows)), rejected=tuple(rejected))


def _pictures(painter: Painter, drafts: Sequence[Draft]) -> Iterator[Drawn]:
    """Batch after batch, each of one sampler."""
    size = painter.compute.batch_size
    for sampler in dict.fromkeys(painter.cfg.samplers):
        alike = [draft for draft in drafts if sampler_of(painter.cfg, draft) == sampler]
        for start in range(0, len(alike), size):
            yield from painter.draw(alike[start : start + size])


def _written(
    folder: Path, shard_name: str, painter: Painter, ingredients: Ingredients, drawn: Drawn
) -> tuple[Draft, Image, Fault | None]:
    row = row_of(drawn, painter, ingredients, f"images/{shard_name}")
    write_picture(folder / Path(row.file_name).name, row, drawn)
    return drawn.draft, row, fault(drawn.pixels, drawn.finite)


def write_picture(path: Path, row: Image, drawn: Drawn) -> None:
    """A PNG that says what it is. Equal rows and pixels give equal bytes."""
    Pil.fromarray(drawn.pixels).save(path, pnginfo=png_info(row), compress_level=COMPRESSION)


def row_of(drawn: Drawn, painter: Painter, ingredients: Ingredients, folder: str) -> Image:
    """The row of a picture in an image set.

    Args:
        folder: that its file stands in, from the split's folder.
    """
    draft, height, width = drawn.draft, *drawn.pixels.shape[:2]
    on_mask = "" if drawn.mask is None else "on_mask_"
    image_id = f"synthetic_{on_mask}{draft.plane}_{draft.index:05d}"
    return Image(
        file_name=f"{folder}/{image_id}.png",
        image_id=image_id,
        plane=draft.plane,
        split="train",
        origin="synthetic",
        source="fulora",
        site="",
        patient="",
        mask_file=f"masks/{image_id}.png" if on_mask else "",
        caption=painter.cfg.prompts[draft.plane],
        seed=str(drawn.seed),
        generator=ingredients.generator(),
        recipe=json.dumps(_recipe(drawn, painter, ingredients).model_dump(mode="json"), sort_keys=True),
        width=width,
        height=height,
        sha256=pixel_digest(drawn.pixels),
    )


def _recipe(drawn: Drawn, painter: Painter, ingredients: Ingredients) -> Recipe:
    cfg, draft = painter.cfg, drawn.draft
    start = drawn.start and StartUsed(
        image_id=drawn.start.image_id, sha256=drawn.start.sha256, strength=cfg.start_strength
    )
    return Recipe(
        plane=draft.plane,
        set_seed=cfg.seed,
        index=draft.index,
        attempt=draft.attempt,
        seed=drawn.seed,
        prompt=cfg.prompts[draft.plane],
        negative_prompt=cfg.negative_prompt,
        clip_skip=cfg.clip_skip,
        width=cfg.size[0],
        height=cfg.size[1],
        colour=cfg.colour,
        sampler=drawn.sampler,
        steps=cfg.steps,
        guidance_scale=cfg.guidance_scale,
        guidance_interval=cfg.guidance_interval,
        backbone=ingredients.used,
        loras=tuple(lora.used for lora in ingredients.loras),
        start=start,
        control=ingredients.control.used if ingredients.control else None,
        mask="" if drawn.mask is None else pixel_digest(drawn.mask),
        compute=painter.compute,
        versions={name: version for name, version in versions().items() if name in MATTERING},
    )


def _check(shard: Shard, rejected: Sequence[Rejected], painter: Painter) -> None:
    cfg = painter.cfg
    counts = ", ".join(f"{count} {cause}" for cause, count in Counter(each.fault for each in rejected).items())
    hopeless = [each for each in rejected if each.attempt + 1 >= cfg.max_attempts]
    if hopeless:
        raise GateError(
            f"{shard.plane} {hopeless[0].index} was drawn {cfg.max_attempts} times, and never with a picture worth "
            f"keeping ({counts} in {shard.name}): the backbone or a LoRA is broken, untrained or too strong."
        )
    if len(rejected) >= MANY and len(rejected) > cfg.max_rejected * len(shard):
        raise GateError(
            f"{shard.name}: {len(rejected)} pictures rejected ({counts}), more than max_rejected={cfg.max_rejected:g} "
            f"of its {len(shard)} images: the backbone or a LoRA is broken, untrained or too strong."
        )
