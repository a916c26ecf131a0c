"""Fine-tune a backbone on a few planes of one population: LoRA on the UNet and the text encoder."""

import json
from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.weights import Backbone, LoraWeights
from fulora.diffusion.config import LoraConfig
from fulora.stage import RECORD, Artifact, Source, read_record, stage


@stage(version=2, resumes=True)
def train_lora(
    out: Path,
    config: LoraConfig,
    backbone: Backbone | Source,
    images: ImageSet,
    prior: ImageSet | None = None,
    tested_on: ImageSet | None = None,
) -> LoraWeights:
    """Train on the training split; the validation split gives the validation loss.

    Args:
        prior: images that the LoRA must not unlearn, such as the base's own.
        tested_on: a set of whose validation and test patients nothing may be trained on.
    """
    from fulora.diffusion.plan import check

    from fulora.diffusion.backbone import load_backbone
    from fulora.diffusion.examples import Facts, load_examples
    from fulora.diffusion.train import fit

    rows, held_out = images.rows("train"), images.rows("validation")
    examples = load_examples(images, rows)
    pipe = load_backbone(backbone.path)
    check(config, pipe, examples)
    patients = sorted({row.patient_key for row in rows})
    fit(
        out,
        config,
        pipe,
        examples,
        validation=load_examples(images, held_out) if held_out else None,
        prior=load_examples(prior, prior.rows("train")) if prior else None,
        facts=Facts(base_model=_name(backbone), base_digest=backbone.fingerprint, patients=len(patients)),
    )
    (out / "train_patients.json").write_text(json.dumps(patients, indent=1), encoding="utf-8")
    return LoraWeights(out, "")


def _name(backbone: Artifact) -> str:
    """The hub id of a backbone that was fetched, or the name of its folder."""
    if (backbone.path / RECORD).is_file():
        config = read_record(backbone.path)["identity"]["arguments"]["config"]
        return str(config.get("name", backbone.path.name))
    return backbone.path.name
