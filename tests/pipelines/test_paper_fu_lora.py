"""The paper's config against what its authors published, and against the table in the project's reading of it."""

import re
from pathlib import Path

import pytest

from fulora.classification.config import ClassifierConfig
from fulora.data.label_set import label_set
from fulora.diffusion.sampling.config import resolve_config
from pipelines.configs import load
from pipelines.fu_lora import FuLoraConfig

FETAL = label_set("fetal_planes")
READING = Path(__file__).parents[3] / "shared" / "reference" / "fu_lora.md"

PUBLISHED = {
    "mask_channel": False,
    "rank": 128,
    "alpha": 128.0,
    "target": "kohya",
    "initialisation": "kaiming",
    "rslora": False,
    "dora": False,
    "sizes": "buckets",
    "resolution_px": 512,
    "bucket_step_px": 64,
    "bucket_upscale": False,
    "flip": False,
    "latents": "once",
    "clip_skip": 2,
    "caption_dropout": 0.0,
    "timesteps": "uniform",
    "min_snr_gamma": None,
    "noise_offset": 0.0,
    "prior_weight": 1.0,
    "steps": 2000,
    "batch_size": 1,
    "accumulation": 1,
    "optimizer": "adamw8bit",
    "unet_learning_rate": 1e-4,
    "text_encoder_learning_rate": 5e-5,
    "weight_decay": 0.01,
    "schedule": "constant",
    "warmup_steps": 0,
    "max_grad_norm": 1.0,
    "ema_decay": None,
    "precision": "fp16",
    "seed": 1234,
    "keep": "last",
    "licence": "cc-by-4.0",
}
OURS = {
    "spike",
    "validate_every",
    "samples",
    "log_every",
    "checkpoint_every",
    "gradient_checkpointing",
    "compile",
    "device",
}
"""Fields that change nothing of what is learned."""


@pytest.fixture
def config() -> FuLoraConfig:
    loaded = load("paper/fu_lora")[1]
    assert isinstance(loaded, FuLoraConfig)
    return loaded


def test_every_hyper_parameter_is_the_published_one(config: FuLoraConfig) -> None:
    values = config.lora.model_dump()
    assert {key: value for key, value in values.items() if key not in OURS} == PUBLISHED
    assert config.lora.spike is None
    loras = {name: one.lora for name, one in config.synthetic.items() if one.lora is not None}
    assert loras == {"LoRA": config.lora} | {
        f"LoRA of rank {rank}": config.lora.changed(rank=rank, alpha=rank) for rank in (32, 8)
    }
    assert config.synthetic["LoRA"].generate == config.synthetic["base"].generate == config.generate
    assert config.prior is None


def test_images_and_generation_are_the_published_ones(config: FuLoraConfig) -> None:
    assert config.lora_images is not None
    assert [source.kind for source in config.lora_images.sources] == ["lora_planes"]
    assert (config.lora_images.fit, config.lora_images.sources[0].role) == ("native", "train")
    made = config.generate
    assert (made.per_class, made.steps, made.guidance_scale, made.image_size_px) == (1000, 20, 7.0, 512)
    assert (made.samplers, made.negative_prompt, made.clip_skip) == (("euler", "unipc"), "", 2)
    assert resolve_config(made, FETAL).planes == ("abdomen", "brain", "femur", "thorax", "other")


def test_classifiers_are_the_notebooks(config: FuLoraConfig) -> None:
    notebook = ClassifierConfig(
        architecture="resnet18",
        weights="imagenet",
        stem="imagenet",
        image_size_px=224,
        fit="squash",
        statistics="none",
        steps=None,
        epochs=20,
        batch_size=24,
        optimizer="sgd",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="constant",
        warmup_steps=0,
        augmentation="fu_lora",
        balanced=False,
        select="last",
        seed=0,
    )  # github.com/13204942/FU-LoRA, cells 23 to 52 of the replication
    assert config.classifier == notebook
    arms = config.all_arms()
    plain = arms["HB, no augmentation"].classifier(config.classifier, seed=0)
    assert plain == notebook.changed(augmentation="none")
    assert list(arms) == [*PAPER_ARMS, *(f"{name}, no augmentation" for name in PAPER_ARMS)]
    assert config.score.comparisons.declared == ("HB", "real")
    assert config.score.legacy_auc


PAPER_ARMS = ("real", "hybrid", "HB", "1150")


@pytest.mark.real_data
def test_sets_are_of_the_published_sizes(config: FuLoraConfig, data_root: Path) -> None:
    """6,148 and 1,150 rows, and 5,000 synthetic images beside either: HB is 6,150."""
    rows = {}
    for name, images in {"real": config.planes, **config.other_images}.items():
        file = images.sources[0].list_file  # type: ignore[union-attr]
        text = (data_root / "fu_lora_lists" / str(file)).read_text(encoding="utf-8-sig")
        rows[name] = len(text.splitlines()) - 1
    assert rows == {"real": 6148, "balanced": 1150}
    mix, made = config.all_arms()["HB"].mix, config.generate.per_class
    assert mix is not None
    assert {min(round(mix.ratio_of(plane) * 230), mix.cap or 0, made) for plane in FETAL.names} == {1000}


@pytest.mark.real_data
def test_captions_are_the_published_ones_to_the_byte(config: FuLoraConfig, data_root: Path) -> None:
    for plane in ("abdomen", "brain", "femur", "thorax", "other"):
        (file,) = (data_root / "fetal_planes_lora" / plane).glob("duplicate_text*")
        assert file.read_bytes() == FETAL.captions[plane].encode()
        assert resolve_config(config.generate, FETAL).prompts[plane] == FETAL.captions[plane]


@pytest.mark.skipif(not READING.is_file(), reason="the reading of the authors' material is not beside the repository")
def test_the_config_is_what_the_reading_says(config: FuLoraConfig) -> None:
    text = READING.read_text(encoding="utf-8").split("### a.2 ")[1].split("### a.3 ")[0]
    table = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", text, re.MULTILINE))
    lora = config.lora
    assert f"max_train_steps={lora.steps}" in table["steps"]
    assert table["batch / accumulation"] == f"{lora.batch_size} / {lora.accumulation}"
    assert f"`{lora.resolution_px},{lora.resolution_px}` = *area* limit" in table["resolution"]
    assert f"bucket_reso_steps={lora.bucket_step_px}" in table["resolution"]
    assert ("bucket_no_upscale" in table["resolution"]) != lora.bucket_upscale
    ranks = " / ".join(str(one.lora.rank) for one in config.synthetic.values() if one.lora is not None)
    assert f"dim = alpha = **{ranks}**" in table["network"]
    assert lora.alpha == lora.rank
    rates = re.findall(r"(?:unet|text encoder) ([\de.-]+)", table["learning rates"])
    assert [float(rate) for rate in rates] == [lora.unet_learning_rate, lora.text_encoder_learning_rate]
    assert table["schedule"].startswith(f"`{lora.schedule}`, warm-up {lora.warmup_steps}")
    assert table["optimiser"].lower().startswith(lora.optimizer)
    assert f"weight decay {lora.weight_decay}" in table["optimiser"]
    assert f"`max_grad_norm` default **{lora.max_grad_norm}**" in table["optimiser"]
    assert f"mixed {lora.precision}" in table["precision"]
    assert table["seed"] == str(lora.seed)
    assert table["clip_skip"].startswith(f"**{lora.clip_skip}**")
    assert "encoded **once**" in table["latents"]
    assert "flip_aug=false" in table["augmentation"]
    assert "no caption dropout" in table["augmentation"]
    assert "no noise offset, no min-SNR" in table["augmentation"]
