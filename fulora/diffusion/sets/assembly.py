"""Assemble a set whose shards are complete: no two equal images, one manifest, provenance, an overview, the counts."""

from collections import Counter
from collections.abc import Iterator
from shutil import rmtree

from PIL import Image as Pil

from fulora import progress
from fulora.data.image import METADATA, Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import FILE as LABELS
from fulora.data.patient_numbers import different_patients
from fulora.data.provenance import FILE as PROVENANCE
from fulora.data.provenance import Provenance, ProvenanceEntry, derive_provenance
from fulora.diffusion.sampling.inputs import start_rows
from fulora.diffusion.sampling.picture_grid import write_overview
from fulora.diffusion.sets.begin_set import generator_of
from fulora.diffusion.sets.blank_images import GATE, Fault, RejectionCounts
from fulora.diffusion.sets.job import KEPT, OVERVIEW, GenerationJob, check_folder, is_complete, read_plan
from fulora.diffusion.sets.shard_writer import REJECTED, make_shard
from fulora.diffusion.sets.shards import WORK, claimed, read_shard
from fulora.engine import ProcessCache
from fulora.files import move_into_place, raise_on_disk_full, sync, write_atomic
from fulora.integrity import LIST, write_list


def assemble_set(cache: ProcessCache, job: GenerationJob) -> None:
    """Write the manifest of all shards and what else belongs to a complete set, unless it is there.

    Raises:
        GenerationError: if another process has let the set grow since.
    """
    with raise_on_disk_full(job.out, KEPT), claimed(job.out, "together", wait=True):
        check_folder(job)  # the set may have grown since
        if not is_complete(job.out):
            _replace_duplicates(cache, job)
            _write_masks(job)
            provenance = build_set_provenance(job)
            images = ImageSet.write_rows(job.out, _rows(job), labels=job.labels, provenance=provenance)
            write_overview(job.out / WORK / OVERVIEW, ImageSet(job.out, ""), job.cfg.planes)
            move_into_place(job.out / WORK / OVERVIEW, job.out / OVERVIEW)
            for path in (job.out / "train" / METADATA, job.out / LABELS, job.out / PROVENANCE, job.out / OVERVIEW):
                if path.is_file():
                    sync(path)
            _write_counts(job, images)
        rmtree(job.out / REJECTED, ignore_errors=True)
        if not (job.out / LIST).is_file():
            write_list(job.out)
    rmtree(job.out / WORK, ignore_errors=True)


def _write_counts(job: GenerationJob, images: int) -> None:
    """Write `gate.json`, with which the set is complete."""
    rejected = {plane: Counter[Fault]() for plane in job.cfg.planes}
    for shard in job.shards:
        rejected[shard.plane].update(each.fault for each in read_shard(shard, job.out).rejected)
    generated = images + sum(faults.total() for faults in rejected.values())
    counts = RejectionCounts(images=images, drawn=generated, rejected=rejected, alike=read_plan(job.out).alike)
    write_atomic(job.out / GATE, counts.model_dump_json(indent=1), durable=True)
    for plane, faults in rejected.items():
        if faults:
            causes = ", ".join(f"{count} {fault}" for fault, count in faults.items())
            progress.note(f"{plane}: {faults.total()} images were rejected and generated again ({causes})")


def _write_masks(job: GenerationJob) -> None:
    if (control := job.inputs.control) is None:
        return
    for shard in job.shards:
        for index, row in enumerate(read_shard(shard, job.out).rows, shard.first):
            path = job.out / row.split / row.mask_file
            path.parent.mkdir(parents=True, exist_ok=True)
            Pil.fromarray(control.mask_of(shard.plane, index)).save(path)
            sync(path)


def _rows(job: GenerationJob) -> Iterator[Image]:
    for shard in job.shards:
        yield from read_shard(shard, job.out).rows


def _replace_duplicates(cache: ProcessCache, job: GenerationJob) -> None:
    """Make a shard again that has an image of an earlier shard: that image is generated from another seed."""
    taken: set[str] = set()
    for shard in job.shards:
        if taken & {row.sha256 for row in read_shard(shard, job.out).rows}:
            with claimed(job.out, shard.name, wait=True):
                make_shard(shard, job.out, generator_of(cache, job), job.inputs, taken=taken)
        taken |= {row.sha256 for row in read_shard(shard, job.out).rows}


def build_set_provenance(job: GenerationJob) -> Provenance:
    """Return the provenance of the set: that of its weights, and of the images to start from."""
    inputs, name = job.inputs, f"synthetic images by {job.inputs.fingerprint()}"
    if inputs.start is None:
        return derive_provenance(name, [inputs.provenance()])
    start = ImageSet(inputs.start, "")
    rows = [row for rows in start_rows(inputs.start, job.cfg).values() for row in rows]
    learned = ProvenanceEntry.of(name, rows, different_patients=different_patients(inputs.start))
    return derive_provenance(name, [inputs.provenance(), start.provenance()], base_images=learned)
