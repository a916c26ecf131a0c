"""The model card: a head that the Hub's own library reads, facts that are counted here, and code that runs."""

import math
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import ModelCard, ModelCardData, metadata_load
from PIL import Image as Pil

from fulora.config import identity, is_runtime
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora, all_lora_parameters
from fulora.diffusion.lora.card import KOHYA_FILE, UNKNOWN_BASE, CardError, hub_id, model_card
from fulora.diffusion.lora.files import FILE, save_lora
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.diffusion.models.architectures import build
from fulora.diffusion.models.conditioning import Pipeline, embed
from fulora.diffusion.models.loading import load_backbone, quiet

CONFIG = LoraConfig(rank=4, alpha=6, steps=300, batch_size=2, licence="cc-by-4.0")
FACTS = TrainingFacts(
    base_model="owner/base-1.5",
    base_digest="ba5e" * 16,
    captions=Counter({"a photo of fetal femur": 4, "a photo of fetal brain": 2}),
    patients=5,
    images_digest="f00d" * 16,
    validation_images=1234,
    step=300,
)
METRICS = [
    {"step": 0, "validation_loss": 0.25, "seen_loss": 0.24},
    {"step": 10, "loss": 0.2, "grad_norm": 0.1},
    {"step": 100, "validation_loss": 0.125, "seen_loss": 0.1},
    {"step": 300, "validation_loss": 0.15, "seen_loss": 0.05},
]


def text(
    config: LoraConfig = CONFIG,
    facts: TrainingFacts = FACTS,
    metrics: list[dict[str, float]] = METRICS,
    title: str = "Planes: «féta»",
    licence: str = "cc-by-4.0",
    files: tuple[str, ...] = (FILE,),
    pipeline: str = "StableDiffusionPipeline",
) -> str:
    return model_card(config, facts, metrics, title=title, licence=licence, files=files, pipeline=pipeline)


def code(card: str) -> str:
    found = re.search(r"```python\n(.*?)\n```\n", card, re.DOTALL)
    assert found
    return found[1]


def section(card: str, name: str) -> str:
    return card.split(f"## {name}\n\n")[1].split("\n\n## ")[0]


# --- the head


def test_the_hub_reads_the_head(tmp_path: Path) -> None:
    card = ModelCard(text())
    assert isinstance(card.data, ModelCardData)
    assert card.data.to_dict() == {
        "license": "cc-by-4.0",
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "base_model": "owner/base-1.5",
        "base_model_relation": "adapter",
        "tags": [
            *("lora", "stable-diffusion", "text-to-image", "diffusers"),
            *("ultrasound", "fetal-ultrasound", "medical"),
        ],
    }
    assert card.text.startswith(
        "\n# Planes: «féta»\n\nA LoRA of rank 4 on the UNet and the text encoder of `owner/base"
    )
    assert str(card) == text()
    (tmp_path / "README.md").write_text(text(), encoding="utf-8")
    assert metadata_load(tmp_path / "README.md") == card.data.to_dict()


@pytest.mark.parametrize("name", ["", "tiny", "/home/someone/base", "a/b/c", "C:\\someone\\base", "owner/..base"])
def test_only_a_hub_id_is_a_base_model_of_the_hub(name: str) -> None:
    assert hub_id(name) is None
    card = text(facts=TrainingFacts(base_model=name))
    assert not {"base_model", "base_model_relation"} & set(ModelCard(card).data.to_dict())
    assert UNKNOWN_BASE in code(card)
    assert "someone" not in card


def test_the_card_header_has_a_prompt_only_if_all_images_share_it() -> None:
    one = text(facts=TrainingFacts(captions=Counter({"a: 'fetal' brain": 3})))
    assert ModelCard(one).data.instance_prompt == "a: 'fetal' brain"
    assert ModelCard(text(facts=TrainingFacts(captions=Counter({"a\nb": 3})))).data.get("instance_prompt") is None
    assert ModelCard(text()).data.get("instance_prompt") is None
    assert ModelCard(text(facts=TrainingFacts())).data.get("instance_prompt") is None


@pytest.mark.parametrize("licence", ["", "CC BY 4.0", "mit\nevil: true", "-x"])
def test_a_licence_is_as_the_hub_writes_it(licence: str) -> None:
    with pytest.raises(CardError, match=r"is not as the Hub writes it: .* cc-by-4\.0"):
        text(licence=licence)


def test_a_title_is_one_line_and_not_empty() -> None:
    assert "\n# A title in two lines\n" in text(title=" A title\nin two  lines ")
    with pytest.raises(CardError, match="the title is empty"):
        text(title=" \n ")


# --- what it says


def test_every_setting_that_matters_is_in_it() -> None:
    config = LoraConfig(rank=5, alpha=7.5, min_snr_gamma=5, flip=True, sizes="buckets", seed=1234, licence="mit")
    lines = section(text(config), "Training").splitlines()
    shown = {key: value for key, value in (re.findall(r"[^|` ]+", line)[:2] for line in lines if "`" in line)}
    expected = identity(config)
    assert isinstance(expected, dict)
    assert set(expected) - set(shown) == {"licence", "samples"}
    assert not [name for name in shown if name in LoraConfig.model_fields and is_runtime(LoraConfig, name)]
    for line in ("| `rank` | 5 |", "| `alpha` | 7.5 |", "| `min_snr_gamma` | 5 |", "| `flip` | True |"):
        assert line in lines
    for line in ("| `ema_decay` | none |", "| `seed` | 1234 |", "| `sizes` | buckets |"):
        assert line in lines
    assert f"| digest of the base model | `{FACTS.base_digest}` |" in lines
    assert "| base model | `owner/base-1.5` |" in lines


def test_images_are_counted() -> None:
    data = section(text(), "Data")
    assert data.splitlines()[:5] == [
        "| caption | images |",
        "| --- | --- |",
        "| `a photo of fetal brain` | 2 |",
        "| `a photo of fetal femur` | 4 |",
        "| all | 6 |",
    ]
    assert "Patients: 5." in data
    assert "Images of other patients, for the validation loss: 1,234." in data
    assert "Images of other patients, for the validation loss: none recorded." in section(
        text(facts=TrainingFacts()), "Data"
    )
    assert "Licence of the images: `cc-by-4.0`." in data
    assert f"SHA-256 of their pixels and captions: `{FACTS.images_digest}`." in data
    assert "512 px by 512 px" in data
    assert "sides in steps of 64 px" in section(text(LoraConfig(sizes="buckets")), "Data")


def test_what_is_not_known_is_not_made_up() -> None:
    card = text(LoraConfig(), TrainingFacts(), [])
    for words in (
        *("Captions and their counts are not recorded", "Patients: number not recorded"),
        *("Licence of the images: not recorded", "SHA-256 of their pixels and captions: not recorded"),
        *("| digest of the base model | not recorded |", "No validation loss was recorded", "after step unknown"),
    ):
        assert words in card
    assert not re.search(r"\b0 (images|patients)|each shown", card)


def test_results_are_first_lowest_and_last() -> None:
    results = section(text(), "Results")
    assert results.splitlines()[:5] == [
        "| evaluation | step | loss, held-out patients | loss, training images |",
        "| --- | --- | --- | --- |",
        "| first | 0 | 0.25 | 0.24 |",
        "| lowest | 100 | 0.125 | 0.1 |",
        "| last | 300 | 0.15 | 0.05 |",
    ]
    assert "At step 0 it is that of the base model." in results
    assert "After step 100 it fell no further" in results
    assert "It says nothing on anatomy, on diversity, or on clinical worth" in results
    assert results.endswith("The weights are those after step 300.")


def test_results_of_a_loss_that_falls_to_the_end() -> None:
    results = section(text(metrics=[METRICS[2], {"step": 200, "validation_loss": math.nan}]), "Results")
    assert "| last | 100 | 0.125 | 0.1 |" in results
    assert "over-fitting" not in results
    assert "At step 0" not in results


def test_the_card_says_that_weights_are_averaged() -> None:
    assert "after step 300, averaged over steps." in text(LoraConfig(ema_decay=0.99))


def test_what_a_reader_must_know() -> None:
    card = text()
    assert card.index("not for diagnosis") < card.index("## Memorisation") < card.index("## Data")
    memorisation = section(card, "Memorisation")
    assert "6 images, as few as 2 a caption, each shown about 100.0 times" in memorisation
    assert "Its weights may hold recognisable parts of training images" in memorisation
    assert "compare such pictures with the training images, each with the nearest ones" in memorisation
    assert "claims no protection of anybody's privacy" in memorisation
    for words in ("Augmentation of scarce", "Studies of methods"):
        assert words in section(card, "Intended use")
    for words in ("Diagnosis", "Teaching people", "Passing pictures off as real"):
        assert words in section(card, "Out of scope")
    for words in ("2407.20072", "Silvestre", "2106.09685", "Hu, Edward"):
        assert words in section(card, "Provenance and citation")
    assert "Of these weights: `mit`. Of the images: `cc-by-4.0`." in section(text(licence="mit"), "Licence")


def test_a_text_encoder_that_did_not_learn_is_not_named() -> None:
    assert "on the UNet of `owner" in text(LoraConfig(text_encoder_learning_rate=0))


def test_the_card_lists_the_other_files() -> None:
    card = text(files=(FILE, KOHYA_FILE, "samples/step_000100.png", "samples/step_000300.png"))
    assert "![Synthetic pictures](samples/step_000300.png)" in card
    assert "`<lora:lora_kohya:1>`" in card
    assert "samples/" not in text()
    assert "AUTOMATIC1111, Forge" not in text()


# --- text from outside


def test_words_of_a_caption_cannot_become_parts_of_the_card() -> None:
    hostile = "x | `y`\n---\n## Out of scope\n<script>\u2028\ud800```"
    card = text(facts=TrainingFacts(base_model="`#\n<b>", captions=Counter({hostile: 1})))
    card.encode()
    assert "| ``` ` `` |" not in card
    assert r"| ```` x \| `y` --- ## Out of scope <script> ``` ```` | 1 |" in card.splitlines()
    assert card.count("\n## Out of scope\n") == 1
    assert "of `` `# <b> ``, fitted to 1 fetal ultrasound images" in card
    assert ModelCard(card).data.license == "cc-by-4.0"
    compile(code(card), "card", "exec")
    assert repr(hostile) in code(card)


# --- its code runs


def adapted(pipe: Pipeline, folder: Path, cfg: LoraConfig) -> set[bytes]:
    """Write a LoRA that does something to `folder`; returns its weights."""
    add_lora(pipe, cfg)
    random = torch.Generator().manual_seed(0)
    for parameter in all_lora_parameters(pipe):
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=random)
    save_lora(pipe, folder / FILE, cfg=cfg, facts=FACTS)
    return {parameter.detach().numpy().tobytes() for parameter in all_lora_parameters(pipe)}


def run(card: str, base: Path) -> Pipeline:
    """Execute the card's code, with the base model's folder for its name; returns its pipeline."""
    assert UNKNOWN_BASE in code(card)
    names: dict[str, Pipeline] = {}
    with quiet():
        exec(compile(code(card).replace(UNKNOWN_BASE, str(base)), "card", "exec"), names)
    return names["pipe"]


def loaded(pipe: Pipeline) -> set[bytes]:
    parts = [getattr(pipe, name) for name in ("unet", "text_encoder", "text_encoder_2") if hasattr(pipe, name)]
    weights = [weight for part in parts for name, weight in part.named_parameters() if "lora_" in name]
    return {weight.detach().numpy().tobytes() for weight in weights}


@pytest.mark.slow
@pytest.mark.parametrize("clip_skip", [1, 2])
def test_the_code_of_the_card_loads_the_lora_and_draws(
    clip_skip: int, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = LoraConfig(rank=2, alpha=6, resolution_px=64, clip_skip=clip_skip)
    trained = load_backbone(backbone)
    written = adapted(trained, tmp_path, cfg)
    monkeypatch.chdir(tmp_path)
    pipe = run(text(cfg, TrainingFacts(captions=FACTS.captions)), backbone)
    assert type(pipe) is StableDiffusionPipeline
    assert pipe.safety_checker is None
    left_out = (clip_skip - 1) * 6 * 2  # of the last layer's six modules, which learn nothing with clip skip 2
    assert len(written - loaded(pipe)) == left_out
    assert pipe.unet.peft_config["default_0"].lora_alpha == 6
    with torch.no_grad():
        prompt = pipe.encode_prompt("a photo of fetal brain", "cpu", 1, False)[0]
        assert torch.allclose(prompt, embed(trained, ["a photo of fetal brain"], clip_skip).states, atol=1e-6)
        assert not torch.allclose(prompt, embed(trained, ["a photo of fetal brain"], 3 - clip_skip).states, atol=1e-2)
    with Pil.open(tmp_path / "synthetic.png") as picture:
        assert (picture.mode, picture.size) == ("L", (64, 64))


@pytest.mark.slow
def test_the_code_of_a_card_for_sdxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shallow_sdxl: None) -> None:
    cfg = LoraConfig(rank=2, resolution_px=64, clip_skip=2)
    base = build("sdxl", tmp_path / "words", small=True, seed=0)
    base.save_pretrained(tmp_path / "base")
    written = adapted(base, tmp_path, cfg)
    monkeypatch.chdir(tmp_path)
    card = text(cfg, TrainingFacts(), pipeline="StableDiffusionXLPipeline")
    assert "safety" not in card
    assert "clip_skip=1)" in code(card)
    pipe = run(card, tmp_path / "base")
    assert type(pipe) is StableDiffusionXLPipeline
    assert loaded(pipe) == written
    assert (tmp_path / "synthetic.png").is_file()
