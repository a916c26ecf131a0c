"""A whole synthetic set: begun once, made shard by shard by any number of processes, and put together."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from shutil import rmtree

from PIL import Image as Pil

from fulora import progress
from fulora.config import digest, identity
from fulora.data.image import METADATA, Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import FILE as LABELS
from fulora.data.patient_numbers import different_patients
from fulora.data.provenance import FILE as PROVENANCE
from fulora.data.provenance import Provenance, ProvenanceEntry, derive_provenance
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import describe_clip_skip
from fulora.diffusion.models.distinct_captions import describe_identical_captions, find_identical_captions
from fulora.diffusion.models.noise_schedules import describe_schedule
from fulora.diffusion.sampling.compute import Compute, choose_compute, hardware
from fulora.diffusion.sampling.image_generator import (
    ImageGenerator,
    build_generator,
    check_size,
    with_control,
    with_start_images,
)
from fulora.diffusion.sampling.inputs import start_rows
from fulora.diffusion.sampling.picture_grid import write_overview
from fulora.diffusion.sets.blank_images import GATE, Fault, RejectionCounts
from fulora.diffusion.sets.job import (
    OVERVIEW,
    PLAN,
    SOURCES,
    GenerationError,
    GenerationJob,
    check_folder,
    check_masks,
    is_complete,
    read_plan,
    sources_of,
    write_whole,
)
from fulora.diffusion.sets.shard_writer import REJECTED, make_shard
from fulora.diffusion.sets.shards import WORK, Shard, claimed, part_of, read_shard, shards_of
from fulora.engine import Engine
from fulora.environment import versions
from fulora.files import raise_on_disk_full, sync
from fulora.integrity import LIST, check, write_list
from fulora.training.devices import pick_device

KEPT = "all complete shards are kept"
"""What a full disk leaves of a set."""


def generate_set(job: GenerationJob, engine: Engine, *, part: tuple[int, int] = (0, 1)) -> list[Shard]:
    """Draw the shards of a part of a set that are not there, and put the set together if none is missing then.

    May run in any number of processes at once, with the same part or others; each shard is made by one of them.

    Args:
        part: i of n, counted from 0.

    Returns:
        The shards that are still missing, of other parts.

    Raises:
        GenerationError: the folder holds something else, or the set was begun on another kind of device.
        GateError: as `make_shard`.
        DiskFullError: there is no room.
        DamagedArtifactError: the set is complete, and not as it was made.
    """
    every = shards_of(job.cfg)
    chosen = part_of(every, part)
    check_folder(job)
    if not is_complete(job.out) or _lost(job):
        list(engine.map(begin, [job]))
        todo = [shard for shard in chosen if not shard.is_complete(job.out)]
        total, left = sum(map(len, chosen)), sum(map(len, todo))
        with progress.meter("synthetic", unit="images", total=total, start=total - left) as advance:
            _work_through(job, todo, engine, advance)
    elif (job.out / LIST).is_file():
        check(job.out)
    missing = [shard for shard in every if not shard.is_complete(job.out)]
    if not missing:
        list(engine.map(put_together, [job]))
    return missing


def generate_shard(job: GenerationJob, name: str) -> None:
    """Draw one shard, by its name, without putting the set together; waits where another process is at it."""
    begin(job)
    _made(job, True, _silent, next(shard for shard in shards_of(job.cfg) if shard.name == name))


def begin(job: GenerationJob) -> None:
    """Check what can be checked, choose how to compute, and write the plan, unless it is there."""
    job.out.mkdir(parents=True, exist_ok=True)
    with raise_on_disk_full(job.out, KEPT), claimed(job.out, "begin", wait=True):
        if (job.out / PLAN).is_file():
            check_folder(job)  # another process may have begun another set in it since
            return
        job.ingredients.provenance()  # what an earlier version made is refused before anything is drawn
        pipe = job.ingredients.load()
        check_size(pipe, job.cfg)
        check_masks(job)
        if special := describe_schedule(pipe.scheduler.config):
            progress.note(f"sampled as the backbone says: {special}")
        if skipped := describe_clip_skip(pipe, job.cfg.clip_skip):
            progress.note(skipped)
        prompts = {plane: [prompt] for plane, prompt in job.cfg.prompts.items()}
        one_to_it = find_identical_captions(pipe, prompts)
        for line in describe_identical_captions(pipe, prompts):
            progress.note(line)
        compute = choose_compute(pipe, job.cfg, job.cfg.per_class * len(job.cfg.planes))
        _ready.clear()
        _ready[_key(job)] = _painter(job, pipe, compute)
        write_whole(job.out / SOURCES, json.dumps(sources_of(job), indent=1))
        plan = job.planned(compute, one_to_it)
        write_whole(job.out / PLAN, json.dumps(plan.model_dump(mode="json"), indent=1))


_ready: dict[str, ImageGenerator] = {}
"""The painter of this process' job: weights are loaded once, however many shards it makes."""


def _painter(job: GenerationJob, pipe: Pipeline, compute: Compute) -> ImageGenerator:
    painter = with_start_images(build_generator(pipe, job.cfg, compute), job.ingredients.start)
    control = job.ingredients.control
    if control is None:
        return painter
    return with_control(painter, control.path, lambda draft: control.mask_of(draft.plane, draft.index))


def _key(job: GenerationJob) -> str:
    return digest([str(job.out.resolve()), identity(job.cfg), job.ingredients.generator()])


def painter_of(job: GenerationJob) -> ImageGenerator:
    """What this process draws a begun set with.

    Raises:
        GenerationError: the set was begun on a device of another kind.
    """
    key = _key(job)
    if key not in _ready:
        plan, device = read_plan(job.out), pick_device(job.cfg.device)
        if device.type != plan.compute.device:
            raise GenerationError(
                f"{job.out}: was begun on {plan.compute.device}, and this is {device.type}, whose pictures differ in "
                f"more than the last digits; go on with device={plan.compute.device}, or give a new folder"
            )
        here = plan.compute.changed(hardware=hardware(device))
        if here != plan.compute:
            progress.note(f"begun on {plan.compute.hardware}, goes on on {here.hardware}: last digits may differ")
        if (known := versions()) != plan.versions:
            changed = [f"{name} {old}" for name, old in plan.versions.items() if known.get(name) != old]
            progress.note(f"begun with {', '.join(changed)}, which is another now: pictures may differ")
        _ready.clear()
        _ready[key] = _painter(job, job.ingredients.load(), here)
    return _ready[key]


def _work_through(job: GenerationJob, shards: Sequence[Shard], engine: Engine, advance: Callable[[int], None]) -> None:
    """Shards that another process is at are left to it, and waited for when there are no others."""
    wait = False
    while shards:
        made = engine.map(partial(_made, job.travelling(), wait, advance if engine.is_local else _silent), shards)
        busy = []
        for shard, done in zip(shards, made, strict=True):
            if not done:
                busy.append(shard)
            elif not engine.is_local:
                advance(len(shard))
        wait = len(busy) == len(shards)
        shards = busy


def _silent(images: int) -> None:
    pass


def _made(job: GenerationJob, wait: bool, advance: Callable[[int], None], shard: Shard) -> bool:
    """Whether the shard is there now; if not, another process is at it."""
    with raise_on_disk_full(job.out, KEPT), claimed(job.out, shard.name, wait=wait) as mine:
        if not mine:
            return False
        if shard.is_complete(job.out):
            advance(len(shard))
        else:
            make_shard(shard, job.out, painter_of(job), job.ingredients, drawn=advance)
        return True


def _lost(job: GenerationJob) -> bool:
    """Whether shards of a complete set are gone; it is not complete any more then."""
    with raise_on_disk_full(job.out, KEPT), claimed(job.out, "together", wait=True):
        lost = not all(shard.is_complete(job.out) for shard in shards_of(job.cfg))
        if lost:
            (job.out / GATE).unlink(missing_ok=True)
            (job.out / LIST).unlink(missing_ok=True)
    return lost


def put_together(job: GenerationJob) -> None:
    """The manifest of all shards, once, when no two of them have a picture in common."""
    with raise_on_disk_full(job.out, KEPT), claimed(job.out, "together", wait=True):
        if not is_complete(job.out):
            _without_duplicates(job)
            rejected = {plane: Counter[Fault]() for plane in job.cfg.planes}
            for shard in shards_of(job.cfg):
                rejected[shard.plane].update(each.fault for each in read_shard(shard, job.out).rejected)
            _write_masks(job)
            images = ImageSet.write_rows(job.out, _rows(job), labels=job.labels, provenance=provenance_of_set(job))
            write_overview(job.out / WORK / OVERVIEW, ImageSet(job.out, ""), job.cfg.planes)
            os.replace(job.out / WORK / OVERVIEW, job.out / OVERVIEW)
            for path in (job.out / "train" / METADATA, job.out / LABELS, job.out / PROVENANCE, job.out / OVERVIEW):
                if path.is_file():
                    sync(path)
            drawn = images + sum(counts.total() for counts in rejected.values())
            counted = RejectionCounts(images=images, drawn=drawn, rejected=rejected, alike=read_plan(job.out).alike)
            write_whole(job.out / GATE, counted.model_dump_json(indent=1))
            for plane, counts in rejected.items():
                if counts:
                    causes = ", ".join(f"{count} {fault}" for fault, count in counts.items())
                    progress.note(f"{plane}: {counts.total()} pictures were rejected and drawn again ({causes})")
        rmtree(job.out / REJECTED, ignore_errors=True)
        if not (job.out / LIST).is_file():
            write_list(job.out)
    rmtree(job.out / WORK, ignore_errors=True)


def _write_masks(job: GenerationJob) -> None:
    """The masks that pictures were drawn on, each where its row says."""
    if (control := job.ingredients.control) is None:
        return
    for shard in shards_of(job.cfg):
        for index, row in enumerate(read_shard(shard, job.out).rows, shard.first):
            path = job.out / row.split / row.mask_file
            path.parent.mkdir(parents=True, exist_ok=True)
            Pil.fromarray(control.mask_of(shard.plane, index)).save(path)
            sync(path)


def _rows(job: GenerationJob) -> Iterator[Image]:
    for shard in shards_of(job.cfg):
        yield from read_shard(shard, job.out).rows


def _without_duplicates(job: GenerationJob) -> None:
    """A shard with a picture that one before it has is made anew, and draws that picture with another seed."""
    taken: set[str] = set()
    for shard in shards_of(job.cfg):
        if taken & {row.sha256 for row in read_shard(shard, job.out).rows}:
            with claimed(job.out, shard.name, wait=True):
                make_shard(shard, job.out, painter_of(job), job.ingredients, taken=taken)
        taken |= {row.sha256 for row in read_shard(shard, job.out).rows}


def provenance_of_set(job: GenerationJob) -> Provenance:
    """The book of the set: of its backbone and LoRAs, and of the images that it is drawn over."""
    given, name = job.ingredients, f"synthetic images by {job.ingredients.generator()}"
    if given.start is None:
        return derive_provenance(name, [given.provenance()])
    start = ImageSet(given.start, "")
    over = [row for rows in start_rows(given.start, job.cfg).values() for row in rows]
    own = ProvenanceEntry.of(name, over, different_patients=different_patients(given.start))
    return derive_provenance(name, [given.provenance(), start.provenance()], base_images=own)
