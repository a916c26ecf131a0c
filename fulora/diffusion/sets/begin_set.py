"""Begin a set: check its inputs, choose how to compute it, write its plan, and load the weights that generate it."""

import json

from fulora import progress
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import describe_clip_skip
from fulora.diffusion.models.distinct_captions import describe_identical_captions, find_identical_captions
from fulora.diffusion.models.noise_schedules import describe_schedule
from fulora.diffusion.sampling.compute import DTYPES, Compute, choose_compute, hardware, loading_dtype
from fulora.diffusion.sampling.image_generator import (
    ImageGenerator,
    build_generator,
    check_size,
    with_control,
    with_start_images,
)
from fulora.diffusion.sets.blank_images import GATE
from fulora.diffusion.sets.job import (
    KEPT,
    PLAN,
    SOURCES,
    GenerationError,
    GenerationJob,
    check_folder,
    check_masks,
    grows,
    read_plan,
    sources_of,
)
from fulora.diffusion.sets.shards import claimed
from fulora.engine import ProcessCache
from fulora.environment import versions
from fulora.files import raise_on_disk_full, write_atomic
from fulora.integrity import LIST
from fulora.training.devices import pick_device


def begin_set(cache: ProcessCache, job: GenerationJob) -> None:
    """Check all inputs, choose how to compute the set, and write its plan, unless another process has.

    Args:
        cache: keeps the loaded weights for this process' shards.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    with raise_on_disk_full(job.out, KEPT), claimed(job.out, "begin", wait=True):
        if (job.out / PLAN).is_file():
            check_folder(job)  # another process may have begun another set in it since
            if grows(job):
                _grow(job)
            return
        job.inputs.provenance()  # inputs made by an earlier version are refused before anything is generated
        pipe = job.inputs.load(loading_dtype(job.cfg))
        check_size(pipe, job.cfg)
        check_masks(job)
        prompts = {plane: [prompt] for plane, prompt in job.cfg.prompts.items()}
        if schedule := describe_schedule(pipe.scheduler.config):
            progress.note(f"sampled as the backbone says: {schedule}")
        if skipped := describe_clip_skip(pipe, job.cfg.clip_skip):
            progress.note(skipped)
        for line in describe_identical_captions(pipe, prompts):
            progress.note(line)
        compute = choose_compute(pipe, job.cfg, job.cfg.per_class * len(job.cfg.planes))
        plan = job.build_plan(compute, find_identical_captions(pipe, prompts))
        cache.put(job.key(), _build(job, pipe, compute))
        write_atomic(job.out / SOURCES, json.dumps(sources_of(job), indent=1), durable=True)
        write_atomic(job.out / PLAN, json.dumps(plan.model_dump(mode="json"), indent=1), durable=True)


def _grow(job: GenerationJob) -> None:
    """Write the plan of the larger set; how it is computed stays. Processes that make the smaller set are refused then.

    The set is complete again when all images are there; until then its pictures and its manifest stay readable.
    """
    with claimed(job.out, "together", wait=True):
        check_masks(job)
        plan = read_plan(job.out)
        progress.note(f"grows from {plan.per_class} to {job.cfg.per_class} images of each class")
        for name in (GATE, LIST):
            (job.out / name).unlink(missing_ok=True)
        larger = plan.changed(config=job.build_plan(plan.compute).config)
        write_atomic(job.out / PLAN, json.dumps(larger.model_dump(mode="json"), indent=1), durable=True)


def generator_of(cache: ProcessCache, job: GenerationJob) -> ImageGenerator:
    """Return the generator of a set that was begun, loaded once in a process.

    Raises:
        GenerationError: if the set was begun on a device of another kind.
    """
    return cache.get(job.key(), lambda: _continue(job))


def _continue(job: GenerationJob) -> ImageGenerator:
    compute = _continued_compute(job)
    return _build(job, job.inputs.load(DTYPES[compute.precision]), compute)


def _continued_compute(job: GenerationJob) -> Compute:
    """How this process continues a set; notes what is not as it was when the set was begun."""
    plan, device = read_plan(job.out), pick_device(job.cfg.device)
    if device.type != plan.compute.device:
        raise GenerationError(
            f"{job.out}: was begun on {plan.compute.device}, and this is {device.type}, whose pictures differ in "
            f"more than the last digits; go on with device={plan.compute.device}, or give a new folder"
        )
    compute = plan.compute.changed(hardware=hardware(device))
    if compute != plan.compute:
        progress.note(f"begun on {plan.compute.hardware}, continued on {compute.hardware}: last digits may differ")
    installed = versions()
    if changed := [f"{name} {old}" for name, old in plan.versions.items() if installed.get(name) != old]:
        progress.note(f"begun with {', '.join(changed)}, which is another version now: images may differ")
    return compute


def _build(job: GenerationJob, pipe: Pipeline, compute: Compute) -> ImageGenerator:
    generator = with_start_images(build_generator(pipe, job.cfg, compute), job.inputs.start)
    control = job.inputs.control
    if control is None:
        return generator
    return with_control(generator, control.path, lambda request: control.mask_of(request.plane, request.index))
