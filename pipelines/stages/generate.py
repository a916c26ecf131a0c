"""Ask a backbone, with or without a LoRA, for synthetic images of every plane."""

import json
from collections.abc import Iterator
from pathlib import Path

from fulora.data.manifest import Image, ImageSet, Picture
from fulora.data.weights import Backbone, LoraWeights
from fulora.diffusion.config import GenerateConfig
from fulora.stage import Source, stage


@stage(version=1)
def generate(out: Path, config: GenerateConfig, backbone: Backbone | Source, lora: LoraWeights | None) -> ImageSet:
    """Write `per_class` synthetic images of each plane, each with its seed and its generator's fingerprint."""
    from fulora.diffusion.backbone import load_backbone
    from fulora.diffusion.lora_files import load_lora

    pipe = load_backbone(backbone.path)
    generator, patients = backbone.fingerprint, []
    if lora is not None:
        load_lora(pipe, lora.path / "lora.safetensors", config.lora_strength)
        generator = f"{backbone.fingerprint}+{lora.fingerprint}@{config.lora_strength:g}"
        patients = json.loads((lora.path / "train_patients.json").read_text(encoding="utf-8"))
    ImageSet.write(out, _pictures(pipe, config, generator), tainted_by=patients)
    return ImageSet(out, "")


def _pictures(pipe: object, config: GenerateConfig, generator: str) -> Iterator[Picture]:
    from fulora.diffusion.sample import sample
    from fulora.progress import track

    for plane in config.planes:
        images = sample(pipe, config, plane, range(config.per_class))
        for index, seed, pixels in track(images, f"synthetic {plane}", total=config.per_class):
            row = Image(
                file_name="",
                image_id=f"synthetic_{plane}_{index:05d}",
                plane=plane,
                split="train",
                origin="synthetic",
                source="fulora",
                site="",
                patient="",
                caption=config.prompts[plane],
                seed=str(seed),
                generator=generator,
                width=config.image_size_px,
                height=config.image_size_px,
                sha256="",
            )
            yield Picture(row, pixels)
