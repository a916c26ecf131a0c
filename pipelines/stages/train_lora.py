"""Fine-tune a backbone on a few planes of one population: LoRA on the UNet and the text encoder."""

import json
from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.weights import Backbone, LoraWeights
from fulora.diffusion.config import LoraConfig
from fulora.stage import Source, stage


@stage(version=1, resumes=True)
def train_lora(out: Path, config: LoraConfig, backbone: Backbone | Source, images: ImageSet) -> LoraWeights:
    """Train on the training split; the validation split gives the validation loss."""
    from fulora.data.captions import CAPTIONS
    from fulora.data.loaders import load_pixels
    from fulora.diffusion.backbone import load_backbone
    from fulora.diffusion.train import fit

    rows, held_out = images.rows("train"), images.rows("validation")
    pipe = load_backbone(backbone.path)
    fit(
        out,
        config,
        pipe,
        load_pixels(images, rows),
        [CAPTIONS[row.plane] for row in rows],
        validation=(load_pixels(images, held_out), [CAPTIONS[row.plane] for row in held_out]) if held_out else None,
    )
    patients = sorted({row.patient_key for row in rows})
    (out / "train_patients.json").write_text(json.dumps(patients, indent=1), encoding="utf-8")
    return LoraWeights(out, "")
