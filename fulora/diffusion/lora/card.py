"""The model card of a LoRA: a README with its data, training, results, intended use and out-of-scope use.

From its YAML head, the Hugging Face Hub lists the folder as an adapter of its base model.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from fulora import markdown
from fulora.config import Json, identity
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.files import FILE
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.terminal import printable

KOHYA_FILE = "lora_kohya.safetensors"
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
TAGS = ("lora", "stable-diffusion", "text-to-image", "diffusers", "ultrasound", "fetal-ultrasound", "medical")
UNKNOWN_BASE = "FOLDER-OR-ID-OF-THE-BASE-MODEL"
CUT = """text = getattr(pipe.text_encoder, "text_model", pipe.text_encoder)
text.encoder.layers = text.encoder.layers[:-{skipped}]  # clip skip: diffusers' own fails with transformers 5
"""

WARNING = (
    "Research use only. Pictures made with this model show no patient and prove nothing: not for diagnosis, screening "
    "or any other clinical decision, and not part of a medical device."
)
USE = (
    "Augmentation of scarce fetal ultrasound for training models that are then measured on real images of other "
    "patients.",
    "Studies of methods: fine-tuning, sampling, memorisation, measures of fidelity.",
)
OUT_OF_SCOPE = (
    "Diagnosis, screening, planning, or anything else that is done to or decided about a person.",
    "Teaching people to read ultrasound: anatomy can be wrong in ways that look right.",
    "Passing pictures off as real, in a data set, a publication, a record or anywhere else.",
    "Evaluation on synthetic pictures alone, or on patients whose images this was trained on.",
    "Trying to find out who is in the training images.",
)
LOSS = (
    "The loss is the mean squared error of what the UNet predicts, on images of patients who are not trained on, at "
    "timesteps and with noise that are the same at every evaluation. It says nothing on anatomy, on diversity, or on "
    "clinical worth, and cannot be compared with that of other images."
)
CITATIONS = (
    """@misc{wang2024fulora,
  title = {Generative Diffusion Model Bootstraps Zero-shot Classification of Fetal Ultrasound Images In Underrepresented
           African Populations},
  author = {Wang, Fangyijie and Whelan, Kevin and Silvestre, Gu{\\'e}nol{\\'e} and Curran, Kathleen M.},
  year = {2024},
  eprint = {2407.20072},
  archivePrefix = {arXiv}
}""",
    """@misc{hu2021lora,
  title = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and
            Wang, Lu and Chen, Weizhu},
  year = {2021},
  eprint = {2106.09685},
  archivePrefix = {arXiv}
}""",
)


class CardError(ValueError):
    """A model card without a title, or with a licence not as the Hub writes it."""


def model_card(
    config: LoraConfig,
    facts: TrainingFacts,
    metrics: Sequence[Mapping[str, float]],
    *,
    title: str,
    licence: str,
    files: Sequence[str] = (FILE,),
    pipeline: str = "StableDiffusionPipeline",
) -> str:
    """Return the model card of a LoRA as Markdown with the Hub's YAML head.

    Args:
        metrics: the rows of `metrics.jsonl`; those with `validation_loss` give the results.
        licence: licence of the weights, as the Hub writes it, such as `cc-by-4.0`; that of the images is
            `config.licence`.
        files: files beside the card, such as `lora.safetensors` or `samples/step_000100.png`.
        pipeline: diffusers' class for the base model.

    Raises:
        CardError: if the title is empty, or the licence is not as the Hub writes it.
    """
    title = " ".join(title.split())
    if not title:
        raise CardError("the title is empty: name the model in a few words")
    body = (
        f"# {title}\n\n{_about(config, facts)}",
        f"**{WARNING}**",
        f"## Memorisation\n\n{_memorisation(config, facts)}",
        f"## Data\n\n{_data(config, facts)}",
        f"## Training\n\n{_training(config, facts)}",
        f"## Results\n\n{_results(config, facts, metrics)}{_grid(files)}",
        f"## Intended use\n\n{_list(USE)}",
        f"## Out of scope\n\n{_list(OUT_OF_SCOPE)}",
        f"## How to use it\n\n{_usage(config, facts, files, pipeline)}",
        f"## Licence\n\n{_licence(config, licence)}",
        f"## Provenance and citation\n\n{_provenance()}",
    )
    head = header(facts, licence).to_yaml(line_break="\n")
    return str(ModelCard(f"---\n{head}\n---\n\n" + printable("\n\n".join(body)) + "\n"))


def header(facts: TrainingFacts, licence: str) -> ModelCardData:
    """Return the YAML head, with the base model only if it has a hub id, and a prompt only if all images share it.

    Raises:
        CardError: if the licence is not as the Hub writes it.
    """
    if not LICENCE.fullmatch(licence):
        raise CardError(
            f"licence {licence!r} is not as the Hub writes it: lower-case letters, digits, '.', '+' and '-', such as "
            "cc-by-4.0 or creativeml-openrail-m"
        )
    base, prompts = hub_id(facts.base_model), [caption for caption in facts.captions if caption.isprintable()]
    return ModelCardData(
        license=licence,
        library_name="diffusers",
        pipeline_tag="text-to-image",
        base_model=base,
        base_model_relation="adapter" if base else None,
        instance_prompt=prompts[0] if len(prompts) == len(facts.captions) == 1 else None,
        tags=list(TAGS),
    )


def hub_id(name: str) -> str | None:
    """Return the name if it is a valid repository id of the Hub (`owner/name`)."""
    try:
        validate_repo_id(name)
    except ValueError:
        return None
    return name if name.count("/") == 1 else None


def _base(facts: TrainingFacts) -> str:
    """The base model's hub id, or the last part of its path: a path says things about a machine and its user."""
    name = hub_id(facts.base_model) or re.split(r"[/\\]", facts.base_model.rstrip("/\\"))[-1]
    return markdown.code(name) if name else "a Stable Diffusion that is not named in the file"


def _about(config: LoraConfig, facts: TrainingFacts) -> str:
    parts = "the UNet and the text encoder" if config.text_encoder_learning_rate > 0 else "the UNet"
    images = f"{facts.captions.total():,} fetal ultrasound images" if facts.captions else "fetal ultrasound images"
    return f"A LoRA of rank {config.rank} on {parts} of {_base(facts)}, fitted to {images} to draw synthetic ones."


def _memorisation(config: LoraConfig, facts: TrainingFacts) -> str:
    seen = ""
    if count := facts.captions.total():
        seen = (
            f" This one was fitted to {_images(count)}, as few as {min(facts.captions.values()):,} a caption, each "
            f"shown about {config.steps * config.batch_size / count:,.1f} times."
        )
    return (
        "A LoRA fitted to a few images of each plane is where copies of patients' images are most to be expected."
        f"{seen} Its weights may hold recognisable parts of training images, and pictures drawn with it may repeat "
        "them. This card does not claim otherwise, and claims no protection of anybody's privacy.\n\n"
        "Before the weights or pictures made with them are passed on, compare such pictures with the training images, "
        "each with the nearest ones. Finding no copy in a sample does not prove that there is none."
    )


def _data(config: LoraConfig, facts: TrainingFacts) -> str:
    table = "Captions and their counts are not recorded."
    if facts.captions:
        lines = [(markdown.code(caption), f"{count:,}") for caption, count in sorted(facts.captions.items())]
        table = markdown.table(("caption", "images"), [*lines, ("all", f"{facts.captions.total():,}")])
    size = f"{config.resolution_px} px"
    shape = {
        "fixed": f"All are shown at {size} by {size}.",
        "buckets": f"Shown in buckets of their own shape, of an area up to {size} squared, sides in steps of "
        f"{config.bucket_step_px} px.",
    }[config.sizes]
    patients = f"{facts.patients:,}" if facts.patients else "number not recorded"
    held_out = f"{facts.validation_images:,}" if facts.validation_images else "none recorded"
    return f"{table}\n\n" + _list(
        (
            f"Patients: {patients}.",
            f"Images of other patients, for the validation loss: {held_out}.",
            f"Licence of the images: {_recorded(config.licence)}.",
            f"SHA-256 of their pixels and captions: {_recorded(facts.images_digest)}.",
            shape,
        )
    )


def _training(config: LoraConfig, facts: TrainingFacts) -> str:
    values = identity(config)
    assert isinstance(values, dict)
    base = [("base model", _base(facts)), ("digest of the base model", _recorded(facts.base_digest))]
    lines = [(f"`{name}`", _value(value)) for name, value in values.items() if name not in ("licence", "samples")]
    return markdown.table(("setting", "value"), [*base, *lines])


def _results(config: LoraConfig, facts: TrainingFacts, metrics: Sequence[Mapping[str, float]]) -> str:
    average = "" if config.ema_decay is None else ", averaged over steps"
    kept = f"The weights are those after step {facts.step or 'unknown'}{average}."
    rows = [row for row in metrics if math.isfinite(row.get("validation_loss", math.nan))]
    if not rows:
        return f"No validation loss was recorded: how it does on other patients' images is not known. {kept}"
    lowest = min(rows, key=lambda row: row["validation_loss"])
    losses = {"loss, held-out patients": "validation_loss", "loss, training images": "seen_loss"}
    lines = [
        (name, f"{row['step']:.0f}", *(f"{row[key]:.4g}" if key in row else "" for key in losses.values()))
        for name, row in (("first", rows[0]), ("lowest", lowest), ("last", rows[-1]))
    ]
    notes = [LOSS]
    if rows[0]["step"] == 0:
        notes.append("At step 0 it is that of the base model.")
    if lowest is not rows[-1]:
        notes.append(f"After step {lowest['step']:.0f} it fell no further, which points to over-fitting from there on.")
    return f"{markdown.table(('evaluation', 'step', *losses), lines)}\n\n{' '.join([*notes, kept])}"


def _grid(files: Sequence[str]) -> str:
    grids = sorted(name for name in files if name.startswith("samples/"))
    return f"\n\nSynthetic pictures, a row for each caption:\n\n![Synthetic pictures]({grids[-1]})" if grids else ""


def _usage(config: LoraConfig, facts: TrainingFacts, files: Sequence[str], pipeline: str) -> str:
    prompt, skipped = min(facts.captions, default="a photo of fetal ultrasound"), config.clip_skip - 1
    fixed = f"height={config.resolution_px}, width={config.resolution_px}, " if config.sizes == "fixed" else ""
    notes = ["Prompts are the captions above. Say of every picture that it is synthetic: the file itself does not."]
    checker, skip, cut = "", f", clip_skip={skipped}" if skipped else "", ""
    if pipeline == "StableDiffusionPipeline":
        checker, skip, cut = ", safety_checker=None", "", CUT.format(skipped=skipped) if skipped else ""
        notes.append("`safety_checker=None`, because the checker is made for photographs and blacks out ultrasound.")
    if skipped:
        notes.append(f"Clip skip is {skipped + 1} in kohya's and AUTOMATIC1111's count, {skipped} in diffusers' count.")
    code = f"""```python
import torch
from diffusers import {pipeline}

pipe = {pipeline}.from_pretrained({json.dumps(hub_id(facts.base_model) or UNKNOWN_BASE)}{checker})
pipe.to("cpu", torch.float32)  # with a GPU: pipe.to("cuda", torch.float16)
pipe.load_lora_weights(".", weight_name="{FILE}")  # "." is this folder; the repository's id does as well
{cut}picture = pipe({prompt!r}, {fixed}num_inference_steps=25, guidance_scale=3.0{skip}).images[0]
picture.convert("L").save("synthetic.png")
```"""
    if KOHYA_FILE in files:
        notes.append(
            f"For AUTOMATIC1111, Forge or ComfyUI, copy `{KOHYA_FILE}` to their folder of LoRAs; in the first two, "
            f"the prompt ends with `<lora:{KOHYA_FILE.removesuffix('.safetensors')}:1>`."
        )
    return f"{code}\n\n{_list(notes)}"


def _licence(config: LoraConfig, licence: str) -> str:
    return (
        f"Of these weights: `{licence}`. Of the images: {_recorded(config.licence)}. The base model's own licence "
        "binds whatever is made with it, these weights and their pictures too; Stable Diffusion's restricts its use."
    )


def _provenance() -> str:
    text = "Trained by fulora. The head of the file `lora.safetensors` repeats settings, captions and digests."
    return "\n\n".join([text, *(f"```bibtex\n{citation}\n```" for citation in CITATIONS)])


def _images(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"


def _value(value: Json) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _recorded(text: str) -> str:
    return markdown.code(text) if text else "not recorded"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
