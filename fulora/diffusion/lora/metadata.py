"""The header of a LoRA file: kohya's `ss_*` keys where they apply, and all that fulora records, as JSON.

Equal LoRAs have equal headers, without times or names of machines.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fulora import __version__
from fulora.config import identity
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.diffusion.lora.weights import Lora
from fulora.diffusion.models.headers import declared_families
from fulora.diffusion.models.noise_schedules import zero_terminal_snr

if TYPE_CHECKING:  # diffusers takes seconds to import, and the files of LoRAs are read without it
    from fulora.diffusion.models.architectures import Pipeline

KEY = "fulora"
"""The key of the header that holds fulora's own JSON."""

_OPTIMIZERS = {
    "adamw": "torch.optim.adamw.AdamW",
    "adamw8bit": "bitsandbytes.optim.adamw.AdamW8bit",
    "prodigy": "prodigyopt.prodigy.Prodigy",
}
_VERSIONS = {
    ("sd1", 768, "epsilon"): "sd_v1",
    ("sd1", 768, "v_prediction"): "sd_v1_v",
    ("sd2", 1024, "epsilon"): "sd_v2",
    ("sd2", 1024, "v_prediction"): "sd_v2_768_v",
    ("sdxl", 2048, "epsilon"): "sdxl_base_v1-0",
    ("sdxl", 2048, "v_prediction"): "sdxl_base_v1-0",
}
"""kohya's names of published models, by architecture, width of the text and what is predicted."""


def build_metadata(pipe: "Pipeline", lora: Lora, cfg: LoraConfig | None, facts: TrainingFacts | None) -> dict[str, str]:
    """Return the header of a trained LoRA, without entries that are not known."""
    kind, predicts = family_of_pipe(pipe), str(pipe.scheduler.config.prediction_type)
    entry: dict[str, Any] = {"version": __version__, "architecture": kind, "prediction_type": predicts}
    zero_snr = zero_terminal_snr(pipe.scheduler.config)
    if zero_snr:
        entry["zero_terminal_snr"] = True
    if cfg is not None:
        entry |= {"licence": cfg.licence, "config": identity(cfg)}
    if facts is not None:
        entry["facts"] = {**vars(facts), "captions": dict(facts.captions)}
    kohya = _network(lora) | (_training(cfg) if cfg else {}) | (_data(facts) if facts else {})
    if version := _VERSIONS.get((kind, pipe.unet.config.cross_attention_dim, predicts)):
        kohya |= {"ss_base_model_version": version, "ss_v2": str(kind == "sd2")}
    kohya |= {"ss_v_parameterization": "True"} if predicts == "v_prediction" else {}
    kohya |= {"ss_zero_terminal_snr": "True"} if zero_snr else {}
    return {**kohya, KEY: json.dumps(entry, sort_keys=True)}


def family_of_pipe(pipe: "Pipeline") -> str:
    """Return the family of a pipeline: sd1, sd2 or sdxl."""
    if getattr(pipe, "text_encoder_2", None) is not None:
        return "sdxl"
    return "sd2" if pipe.unet.config.use_linear_projection else "sd1"


def _network(lora: Lora) -> dict[str, str]:
    """kohya's keys of the network; alpha as in its formula, alpha / rank, which does not know rsLoRA."""
    modules = lora.modules.values()
    values = {"dim": {f"{m.rank}" for m in modules}, "alpha": {f"{m.plain_alpha:.9g}" for m in modules}}
    keys = {f"ss_network_{key}": distinct.pop() for key, distinct in values.items() if len(distinct) == 1}
    return keys if any(m.magnitude is not None for m in modules) else keys | {"ss_network_module": "networks.lora"}


def _training(cfg: LoraConfig) -> dict[str, str]:
    keys: dict[str, object] = {
        "ss_learning_rate": cfg.unet_learning_rate,
        "ss_unet_lr": cfg.unet_learning_rate,
        "ss_max_train_steps": cfg.steps,
        "ss_total_batch_size": cfg.batch_size,
        "ss_gradient_accumulation_steps": cfg.accumulation,
        "ss_optimizer": f"{_OPTIMIZERS[cfg.optimizer]}(weight_decay={cfg.weight_decay})",
        "ss_lr_scheduler": "constant_with_warmup" if cfg.schedule == "constant" and cfg.warmup_steps else cfg.schedule,
        "ss_lr_warmup_steps": cfg.warmup_steps,
        "ss_max_grad_norm": cfg.max_grad_norm,
        "ss_clip_skip": cfg.clip_skip,
        "ss_caption_dropout_rate": cfg.caption_dropout,
        "ss_min_snr_gamma": cfg.min_snr_gamma,
        "ss_noise_offset": cfg.noise_offset,
        "ss_mixed_precision": "no" if cfg.precision == "fp32" else cfg.precision,
        "ss_enable_bucket": cfg.sizes == "buckets",
        "ss_seed": cfg.seed,
    }
    if cfg.text_encoder_learning_rate > 0:
        keys["ss_text_encoder_lr"] = cfg.text_encoder_learning_rate
    if cfg.sizes == "buckets":
        keys["ss_resolution"] = (cfg.resolution_px, cfg.resolution_px)
        keys["ss_bucket_no_upscale"] = not cfg.bucket_upscale
    return {key: str(value) for key, value in keys.items()}


def _data(facts: TrainingFacts) -> dict[str, str]:
    keys = {}
    if facts.captions:
        keys["ss_num_train_images"] = str(facts.captions.total())
        keys["ss_tag_frequency"] = json.dumps({"images": facts.captions}, sort_keys=True)
    if facts.step:
        keys["ss_steps"] = str(facts.step)
    if facts.base_model:
        keys["ss_sd_model_name"] = facts.base_model
    return keys


def fulora_entry(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return fulora's own JSON in a header; empty if it is missing or cannot be read."""
    return _json(metadata.get(KEY))


def facts_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return fulora's facts of the images and the base model; empty if there are none."""
    facts = fulora_entry(metadata).get("facts")
    return facts if isinstance(facts, dict) else {}


def architecture_in(lora: Lora) -> str:
    """Return sd1, sd2 or sdxl: from fulora's header, else from the layers and their widths, else from other headers.

    "" if it is not known.
    """
    recorded = fulora_entry(lora.metadata).get("architecture")
    if recorded in ("sd1", "sd2", "sdxl"):
        return str(recorded)
    names = list(lora.modules)
    if any(name.startswith("text_encoder_2.") or ".transformer_blocks.1." in name for name in names):
        return "sdxl"
    widths = {lora.modules[name].down.shape[1] for name in names if name.endswith(("attn2.to_k", "self_attn.q_proj"))}
    known = {frozenset({768}): "sd1", frozenset({1024}): "sd2"}
    return known.get(frozenset(widths)) or next(iter(declared_families(lora.metadata).values()), "")


def base_model_in(metadata: Mapping[str, str]) -> str:
    """Return the name of the base model, as kohya or peft writes it; "" if neither does."""
    return next((metadata[key] for key in ("ss_sd_model_name", "base_model_name_or_path") if metadata.get(key)), "")


def captions_in(metadata: Mapping[str, str]) -> dict[str, int]:
    """Return the number of images of each caption: fulora's count, else kohya's over all its image folders."""
    recorded = facts_in(metadata).get("captions")
    if recorded and isinstance(recorded, dict):
        return dict(sorted(recorded.items()))
    counts: dict[str, int] = {}
    for folder in _json(metadata.get("ss_tag_frequency")).values():
        for caption, count in folder.items() if isinstance(folder, dict) else ():
            if isinstance(count, int):
                counts[caption.strip()] = counts.get(caption.strip(), 0) + count
    return dict(sorted(counts.items()))


def settings_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the hyper-parameters: fulora's config, else kohya's keys without `ss_` and without those of the data."""
    config = fulora_entry(metadata).get("config")
    if isinstance(config, dict):
        return config
    data = ("ss_tag_frequency", "ss_dataset_dirs", "ss_bucket_info", "ss_datasets", "ss_reg_dataset_dirs")
    return {k.removeprefix("ss_"): v for k, v in sorted(metadata.items()) if k.startswith("ss_") and k not in data}


def licence_in(metadata: Mapping[str, str]) -> str:
    """Return the licence of the images (fulora) or of the model (`modelspec.license`); "" if both are missing."""
    return str(fulora_entry(metadata).get("licence") or metadata.get("modelspec.license", ""))


def _json(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
