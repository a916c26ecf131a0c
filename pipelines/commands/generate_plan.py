"""`fulora generate --dry-run`: what a run would do and take."""

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fulora.diffusion.sets.job import Job

RECORD_BYTES = 5000
"""What the record of a picture takes, in its file and in the manifest."""


def plan_lines(job: "Job", part: tuple[int, int]) -> list[str]:
    """What a run would do and take, a line each.

    Args:
        part: of the shards: every n-th from the i-th on.

    Raises:
        BackboneError: weights that cannot be had, or a size that they cannot draw.
    """
    from fulora.diffusion.models.distinct_captions import describe_identical_captions
    from fulora.diffusion.sampling.painter import check_size
    from fulora.diffusion.sets.job import check_folder
    from fulora.diffusion.sets.shards import part_of, shards_of
    from pipelines.checks.backbones import made_of
    from pipelines.checks.findings import Findings
    from pipelines.checks.sizes import check_drawn_size

    check_folder(job)
    pipe, found = job.ingredients.load(), Findings()
    alike = describe_identical_captions(pipe, {plane: [prompt] for plane, prompt in job.cfg.prompts.items()})
    check_size(pipe, job.cfg)
    check_drawn_size(found, "", job.cfg, made_of(pipe))
    cfg, every = job.cfg, shards_of(job.cfg)
    chosen = part_of(every, part)
    there = sum(shard.is_complete(job.out) for shard in chosen)
    images, (width, height) = sum(map(len, chosen)), cfg.size
    pixels = width * height * (3 if cfg.colour == "rgb" else 1)
    calls = sum(-(-len(shard) // cfg.batch_size) for shard in chosen) * cfg.steps
    disk = shutil.disk_usage(next(folder for folder in (job.out, *job.out.parents) if folder.exists())).free
    return [
        f"images      {images}, {cfg.per_class} of each of {', '.join(cfg.planes)}, {width}x{height} px, {cfg.colour}",
        f"shards      {len(chosen)} of {len(every)}, of {cfg.batch_size * cfg.shard_batches} images; {there} are there",
        f"weights     {job.ingredients.used.name}" + "".join(f" + {x.used.name}" for x in job.ingredients.loras),
        f"sampling    {', '.join(cfg.samplers)}, {cfg.steps} steps, guidance {cfg.guidance_scale:g}, seed {cfg.seed}",
        f"work        {calls} calls of the denoiser, for {cfg.batch_size} images each",
        f"disk        {images * (pixels * 0.6 + RECORD_BYTES) / 1e9:.2f} GB at most, of {disk / 1e9:.0f} GB free",
        *found.note_lines(),
        *alike,
    ]
