"""Draw a picture on each of many proposed masks of heads."""

from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.weights import Backbone, ControlWeights
from fulora.diffusion.config import GenerateConfig
from fulora.stage import Source, stage


@stage(version=2)
def draw_on_masks(
    out: Path, config: GenerateConfig, backbone: Backbone | Source, control: ControlWeights, labelled: ImageSet
) -> ImageSet:
    """`per_class` synthetic heads, each with the mask that it was drawn on: an ellipse near that of a labelled head."""
    from fulora.data.manifest import Image, Picture
    from fulora.diffusion.backbone import load_backbone
    from fulora.diffusion.control import draw, load_control
    from fulora.diffusion.drawing import drawing
    from fulora.diffusion.material import PATIENTS
    from fulora.diffusion.sample import image_seed
    from fulora.json_files import read_json
    from fulora.segmentation.gates import GateConfig
    from fulora.segmentation.proposals import propose

    known = [labelled.mask(row) for row in labelled.rows("train")]
    masks = propose(known, config.per_class, config.seed, GateConfig())
    whole = drawing(config, labelled.label_set())
    plane = whole.planes[0]
    seeds = [image_seed(config, plane, number) for number in range(len(masks))]
    prompt = whole.prompts[plane]
    pixels = draw(load_backbone(backbone.path), load_control(control.path), masks, prompt, seeds, config)
    height, width = masks.shape[1:]
    pictures = [
        Picture(
            Image(
                file_name="", image_id=f"synthetic_on_mask_{number:05d}", plane=plane, split="train",
                origin="synthetic", source="fulora", site="", patient="", caption=prompt, seed=str(seeds[number]),
                generator=control.fingerprint, width=width, height=height, sha256="",
            ),
            picture,
            masks[number],
        )
        for number, picture in enumerate(pixels)
    ]  # fmt: skip
    ImageSet.write(out, pictures, labels=labelled.label_set(), tainted_by=read_json(control.path / PATIENTS, list[str]))
    return ImageSet(out, "")
