"""Describe a generation before it runs: images, shards, work and disk space."""

import shutil

from fulora.diffusion.models.distinct_captions import describe_identical_captions
from fulora.diffusion.models.native_size import describe_other_size, native_size_of
from fulora.diffusion.sampling.image_generator import check_size
from fulora.diffusion.sets.job import GenerationJob, check_folder
from fulora.diffusion.sets.shards import part_of

RECORD_BYTES = 5000
"""Size of the record of an image, in its file and in the manifest."""


def describe_job(job: GenerationJob, part: tuple[int, int]) -> list[str]:
    """Describe what a run would do and need, in lines. Loads the weights, and writes nothing.

    Args:
        part: of the shards: every n-th from the i-th on.

    Raises:
        BackboneError: if the weights cannot be loaded, or cannot generate the size.
    """
    check_folder(job)
    cfg, pipe = job.cfg, job.inputs.load()
    alike = describe_identical_captions(pipe, {plane: [prompt] for plane, prompt in cfg.prompts.items()})
    check_size(pipe, cfg)
    warning = describe_other_size(cfg.size, native_size_of(pipe))
    chosen = part_of(job.shards, part)
    complete = sum(shard.is_complete(job.out) for shard in chosen)
    width, height = cfg.size
    images = sum(map(len, chosen))
    pixels = width * height * (3 if cfg.colour == "rgb" else 1)
    calls = sum(-(-len(shard) // cfg.batch_size) for shard in chosen) * cfg.steps
    disk = shutil.disk_usage(next(folder for folder in (job.out, *job.out.parents) if folder.exists())).free
    size = cfg.batch_size * cfg.shard_batches
    return [
        f"images      {images}, {cfg.per_class} of each of {', '.join(cfg.planes)}, {width}x{height} px, {cfg.colour}",
        f"shards      {len(chosen)} of {len(job.shards)}, of {size} images; {complete} are complete",
        f"weights     {job.inputs.used.name}" + "".join(f" + {lora.used.name}" for lora in job.inputs.loras),
        f"sampling    {', '.join(cfg.samplers)}, {cfg.steps} steps, guidance {cfg.guidance_scale:g}, seed {cfg.seed}",
        f"work        {calls} calls of the denoiser, for {cfg.batch_size} images each",
        f"disk        {images * (pixels * 0.6 + RECORD_BYTES) / 1e9:.2f} GB at most, of {disk / 1e9:.0f} GB free",
        *([f"note: image_size_px: {warning}"] if warning else []),
        *alike,
    ]
