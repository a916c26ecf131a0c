"""One side's drawing under a clock, in a process of its own: diffusers' pipeline as scripts use it, or fulora.

    python benchmarks/clocked_drawing.py REPORT.json SIDE FOLDER '[{"images": 40, "batch_size": 20, ...}]'

FOLDER holds `backbone` and `lora.safetensors`; pictures go to FOLDER/drawn/SIDE/NUMBER, by the setting's number. The
clock runs from loaded, compiled and warmed-up weights until the last picture's file, and what belongs to it, is there.
`generate.py` starts these runs and sets them side by side.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from clocked_run import peak_mb

import fulora
from fulora.data.column_types import Plane
from fulora.data.label_set import label_set
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora
from fulora.diffusion.lora.files import save_lora
from fulora.diffusion.models.architectures import Pipeline, build
from fulora.diffusion.models.loading import load_backbone, quiet, save_backbone
from fulora.diffusion.sampling.config import GenerateConfig, SamplingConfig, resolve_config
from fulora.diffusion.sampling.image_generator import ImageGenerator, ImageRequest
from fulora.diffusion.sampling.inputs import GenerationInputs, lora_source, weights_digest
from fulora.diffusion.sampling.recipe import BackboneUsed
from fulora.diffusion.sampling.sample import image_seed, start_noise
from fulora.diffusion.sampling.samplers import build_sampler
from fulora.diffusion.sets.begin_set import begin_set, generator_of
from fulora.diffusion.sets.blank_images import read_counts
from fulora.diffusion.sets.generation import generate_set
from fulora.diffusion.sets.job import GenerationJob
from fulora.engine import InProcess, ProcessCache

FETAL = label_set("fetal_planes")

HERE = Path(__file__).parent
EMBEDDED = Path(fulora.__file__).parent / "assets" / "diffusion"
SIDES = ("pipeline", "pipeline_batched", "fulora")
PLANE: Plane = "brain"
PICTURES = f"*{PLANE}_*.png"
RANK = 8
BACKBONE, LORA, DRAWN = "backbone", "lora.safetensors", "drawn"
WARM_UPS = {"cpu": 1, "cuda": 3}
"""Batches of two steps before the clock starts: a CUDA graph is recorded at the second call and played at the third."""

PRECISION = {"cpu": torch.float32, "cuda": torch.bfloat16}
"""Of the pipelines: what fulora takes by itself for the denoiser. Its autoencoder is fp16 on a GPU."""

Numbers = dict[str, float]
Draw = Callable[[Path, SamplingConfig], None]
"""Draws a config's pictures into a folder."""


@dataclass(frozen=True)
class Setting:
    """What is drawn.

    Attributes:
        batch_size: of the sides that have one.
        compiling: on a GPU, by the batched pipeline: `documented`, or `quick`, without coordinate descent.
    """

    images: int
    batch_size: int
    steps: int
    size_px: int
    device: str
    compiling: str = "documented"

    def config(self) -> SamplingConfig:
        """What fulora draws; the others follow it. A GPU compiles, as it does by itself where a set is large."""
        asked = GenerateConfig(
            per_class=self.images,
            planes=(PLANE,),
            image_size_px=self.size_px,
            steps=self.steps,
            batch_size=self.batch_size,
            device=self.device,
            threads=torch.get_num_threads(),
            compile="always" if self.device == "cuda" else "auto",
            max_rejected=1.0,
        )
        return resolve_config(asked, FETAL)


# --- diffusers' pipeline


def loaded(folder: Path, device: str, *, fused: bool) -> Pipeline:
    """The pipeline with its LoRA and fulora's sampler."""
    pipe = load_backbone(folder / BACKBONE)
    pipe.scheduler = build_sampler(pipe.scheduler.config, "dpm++")
    with quiet():
        pipe.load_lora_weights(folder, weight_name=LORA)
        if fused:
            pipe.fuse_lora()
            pipe.unload_lora_weights()
        return pipe.to(device, PRECISION[device])


def compiled(pipe: Pipeline, compiling: str) -> Pipeline:
    """As the page "Accelerate inference" of diffusers' documentation advises, quantization apart."""
    import torch._inductor.config as inductor

    inductor.conv_1x1_as_mm = True
    inductor.epilogue_fusion = False
    inductor.coordinate_descent_tuning = compiling == "documented"
    inductor.coordinate_descent_check_all_directions = compiling == "documented"
    pipe.fuse_qkv_projections()
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    pipe.unet = torch.compile(pipe.unet, mode="max-autotune", fullgraph=True)
    pipe.vae.decode = torch.compile(pipe.vae.decode, mode="max-autotune", fullgraph=True)
    return pipe


def by_pipeline(pipe: Pipeline, at_once: int) -> Draw:
    """The pipeline's own loop, pictures saved as a script saves them: RGB, Pillow's defaults, one after the other.

    Each starts from the noise that fulora gives it, so that all sides draw the same pictures.
    """

    def draw(out: Path, cfg: SamplingConfig) -> None:
        out.mkdir(parents=True)
        width, height = cfg.size
        latent_size = (height // pipe.vae_scale_factor, width // pipe.vae_scale_factor)
        for first in range(0, cfg.per_class, at_once):
            numbers = range(first, min(first + at_once, cfg.per_class))
            noise = start_noise(4, latent_size, [image_seed(cfg, PLANE, number) for number in numbers])
            images = pipe(
                cfg.prompts[PLANE],
                num_images_per_prompt=len(numbers),
                num_inference_steps=cfg.steps,
                guidance_scale=cfg.guidance_scale,
                width=width,
                height=height,
                latents=noise.to(pipe.dtype),
            ).images
            for number, image in zip(numbers, images, strict=True):
                image.save(out / f"{PLANE}_{number:05d}.png")

    return draw


# --- fulora


def begun(folder: Path, out: Path, cfg: SamplingConfig) -> GenerationJob:
    """The job of a set."""
    used = BackboneUsed(name=BACKBONE, digest=weights_digest(folder / BACKBONE))
    job = GenerationJob(
        out, cfg, GenerationInputs(folder / BACKBONE, used, loras=(lora_source(folder / LORA, 1.0),)), FETAL
    )
    return job


def _begun_generator(cache: ProcessCache, job: GenerationJob) -> ImageGenerator:
    begin_set(cache, job)
    return generator_of(cache, job)


def warm_up(job: GenerationJob, engine: InProcess) -> None:
    """Begin a set, and generate a batch of two steps."""
    (generator,) = engine.map_with_cache(_begun_generator, [job])
    replace(generator, cfg=generator.cfg.model_copy(update={"steps": 2})).generate([ImageRequest(PLANE, 0)])


# --- under the clock


def ready(side: str, folder: Path, out: Path, setting: Setting) -> Callable[[], object]:
    """What draws the pictures of a setting into a folder, loaded and warmed up."""
    cfg, rounds = setting.config(), range(WARM_UPS[setting.device])
    if side == "fulora":
        job, engine = begun(folder, out, cfg), InProcess()
        for _ in rounds:
            warm_up(job, engine)
        return lambda: generate_set(job, engine)
    batched = side == "pipeline_batched"
    pipe, at_once = loaded(folder, setting.device, fused=batched), setting.batch_size if batched else 1
    if batched and setting.device == "cuda":
        pipe = compiled(pipe, setting.compiling)
    draw = by_pipeline(pipe, at_once)
    for number in rounds:
        few = cfg.model_copy(update={"per_class": at_once, "steps": 2})
        draw(out.with_name(f"{out.name}-warm-up{number}"), few)
    return lambda: draw(out, cfg)


def run(side: str, folder: Path, settings: Sequence[Setting]) -> list[Numbers]:
    """What each setting took: by the image in its folder, so that pictures that were rejected are on fulora's account.

    `drawn` counts those as well. On a CPU the peak of memory is that of the process so far.
    """
    shutil.rmtree(folder / DRAWN / side, ignore_errors=True)
    found = []
    for number, setting in enumerate(settings):
        out = folder / DRAWN / side / str(number)
        draw = ready(side, folder, out, setting)
        if setting.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        wall, processor = time.perf_counter(), time.process_time()
        draw()
        seconds, processor_seconds = time.perf_counter() - wall, time.process_time() - processor
        images, counts = len(list(out.rglob(PICTURES))), read_counts(out)
        assert images == setting.images, f"{side} drew {images} images, not {setting.images}"
        found.append(
            {
                "seconds_an_image": seconds / images,
                "processor_seconds_an_image": processor_seconds / images,
                "drawn": counts.drawn if counts else images,
                "peak_mb": peak_mb(),
            }
        )
    return found


# --- started from outside


@dataclass(frozen=True)
class Bench:
    """A folder with a backbone and a LoRA for it, what is drawn where nothing else is said, and how often."""

    folder: Path
    base: Setting
    repeats: int

    def run(self, side: str, settings: Sequence[Setting]) -> list[Numbers]:
        """What one run of one side found, setting after setting."""
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
        if self.base.device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        report = self.folder / "report.json"
        said = json.dumps([vars(setting) for setting in settings])
        command = [sys.executable, str(HERE / "clocked_drawing.py"), str(report), side, str(self.folder), said]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
        found: list[Numbers] = json.loads(report.read_text(encoding="utf-8"))
        for setting, numbers in zip(settings, found, strict=True):
            print(f"  {side}: {1 / numbers['seconds_an_image']:.3g} images/s, {setting}", file=sys.stderr, flush=True)
        return found

    def turns(self, sides: Sequence[str], settings: Sequence[Setting]) -> dict[str, list[list[Numbers]]]:
        """Of every side, what each of its runs found."""
        found: dict[str, list[list[Numbers]]] = {side: [] for side in sides}
        for turn in range(self.repeats):
            for side in sides if turn % 2 == 0 else reversed(sides):
                found[side].append(self.run(side, settings))
        return found


def prepare(folder: Path, backbone: str) -> None:
    """The backbone's folder, and a random LoRA for all the modules that kohya's trainer adapts."""
    if backbone == "embedded":
        shutil.copytree(EMBEDDED, folder / BACKBONE)
    else:
        save_backbone(build("sd1", folder / "made", small=False, seed=0), folder / BACKBONE, half=False)
    pipe = load_backbone(folder / BACKBONE)
    add_lora(pipe, LoraConfig(rank=RANK, alpha=RANK, target="kohya"))
    random = torch.Generator().manual_seed(0)
    for module in (pipe.unet, pipe.text_encoder):
        for name, parameter in module.named_parameters():
            if "lora_B" in name:
                parameter.data = 1e-3 * torch.randn(parameter.shape, generator=random)
    save_lora(pipe, folder / LORA)


if __name__ == "__main__":
    report, chosen, place, said = sys.argv[1:]
    numbers = run(chosen, Path(place), [Setting(**values) for values in json.loads(said)])
    Path(report).write_text(json.dumps(numbers), encoding="utf-8")
