"""Generate a synthetic set: begun once, made shard by shard by any number of processes, and assembled."""

from collections.abc import Callable, Sequence
from functools import partial

from fulora import progress
from fulora.diffusion.sets.assembly import assemble_set
from fulora.diffusion.sets.begin_set import begin_set, generator_of
from fulora.diffusion.sets.blank_images import GATE
from fulora.diffusion.sets.job import KEPT, GenerationJob, check_folder, grows, is_complete
from fulora.diffusion.sets.shard_writer import make_shard
from fulora.diffusion.sets.shards import Shard, claimed, part_of
from fulora.engine import Engine, ProcessCache
from fulora.files import raise_on_disk_full
from fulora.integrity import LIST, check


def generate_set(job: GenerationJob, engine: Engine, *, part: tuple[int, int] = (0, 1)) -> list[Shard]:
    """Generate the missing shards of a part of a set, and assemble the set if no shard is missing then.

    A complete set of fewer images of each class grows: its images stay, and those that it lacks are made.

    May run in any number of processes at once, with the same part or others; each shard is made by one of them.

    Args:
        part: i of n, counted from 0.

    Returns:
        The shards that are still missing, of other parts.

    Raises:
        GenerationError: if the folder holds something else, or the set was begun on another kind of device.
        RejectedImagesError: as `make_shard`.
        DiskFullError: if the disk is full.
        DamagedArtifactError: if the set is complete, and its files have changed since.
    """
    chosen = part_of(job.shards, part)
    check_folder(job)
    if is_complete(job.out):
        is_growing = grows(job)
        if (is_growing or not job.missing_shards()) and (job.out / LIST).is_file():
            check(job.out)
        if not is_growing and job.missing_shards():
            _reopen(job)
    if grows(job) or not is_complete(job.out):
        list(engine.map_with_cache(begin_set, [job]))
        _generate_shards(job, chosen, engine)
    missing = job.missing_shards()
    if not missing:
        list(engine.map_with_cache(assemble_set, [job]))
    return missing


def generate_shard(cache: ProcessCache, job: GenerationJob, name: str) -> None:
    """Generate one shard, by its name, without assembling the set; waits while another process is at it."""
    begin_set(cache, job)
    shard = next(shard for shard in job.shards if shard.name == name)
    _make_unless_busy(job, True, _no_progress, cache, shard)


def _reopen(job: GenerationJob) -> None:
    """Remove what marks a set as complete, if it still has missing shards once no other process assembles it."""
    with raise_on_disk_full(job.out, KEPT), claimed(job.out, "together", wait=True):
        if job.missing_shards():
            (job.out / GATE).unlink(missing_ok=True)
            (job.out / LIST).unlink(missing_ok=True)


def _generate_shards(job: GenerationJob, shards: Sequence[Shard], engine: Engine) -> None:
    """Generate missing shards. Those that another process is at come last, and are waited for."""
    missing = [shard for shard in shards if not shard.is_complete(job.out)]
    total, left = sum(map(len, shards)), sum(map(len, missing))
    if left < total:
        progress.note(f"  synthetic: goes on after {total - left} of {total} images")
    with progress.meter("synthetic", unit="images", total=total, start=total - left) as advance:
        wait = False
        while missing:
            make = partial(_make_unless_busy, job.for_worker(), wait, advance if engine.is_local else _no_progress)
            busy = []
            for shard, is_made in zip(missing, engine.map_with_cache(make, missing), strict=True):
                if not is_made:
                    busy.append(shard)
                elif not engine.is_local:
                    advance(len(shard))
            wait = len(busy) == len(missing)
            missing = busy


def _no_progress(images: int) -> None:
    pass


def _make_unless_busy(
    job: GenerationJob, wait: bool, advance: Callable[[int], None], cache: ProcessCache, shard: Shard
) -> bool:
    """Make a shard unless it is complete; return False if another process is at it, and `wait` is not set."""
    with raise_on_disk_full(job.out, KEPT), claimed(job.out, shard.name, wait=wait) as is_claimed:
        if not is_claimed:
            return False
        if shard.is_complete(job.out):
            advance(len(shard))
        else:
            make_shard(shard, job.out, generator_of(cache, job), job.inputs, advance=advance)
        return True
