import hashlib
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from fulora.data.captions import CAPTIONS
from fulora.data.labels import PLANES
from fulora.diffusion.backbone import (
    BackboneError,
    build_backbone,
    build_tokenizer,
    load_backbone,
    quiet,
    save_backbone,
    token_ids,
)
from fulora.diffusion.config import PretrainConfig


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_words_of_the_five_planes_are_one_token_each(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path)
    for caption in (CAPTIONS[plane] for plane in PLANES):
        assert tokenizer.tokenize(caption) == [f"{word}</w>" for word in caption.split()]


def test_an_unknown_word_is_spelled(tmp_path: Path) -> None:
    assert build_tokenizer(tmp_path).tokenize("cyst") == ["c", "y", "s", "t</w>"]


def test_other_words_may_be_given(tmp_path: Path) -> None:
    assert build_tokenizer(tmp_path, ["cyst"]).tokenize("cyst") == ["cyst</w>"]


def test_saved_weights_are_small_and_come_back_in_fp32(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    assert {p.dtype for m in (pipe.unet, pipe.vae, pipe.text_encoder) for p in m.parameters()} == {torch.float32}
    count = sum(parameter.numel() for parameter in pipe.unet.parameters())
    size = (backbone / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert 2 * count < size < 2.5 * count
    assert pipe.safety_checker is None


def test_the_default_backbone_weighs_less_than_13_mb(tmp_path: Path) -> None:
    pipe = build_backbone(PretrainConfig(), 64, tmp_path)
    counts = [sum(p.numel() for p in module.parameters()) for module in (pipe.unet, pipe.vae, pipe.text_encoder)]
    assert counts[0] <= 5.2e6
    assert counts[1] <= 1.5e6
    assert 2 * sum(counts) < 13e6


def test_the_same_seed_gives_the_same_bytes_and_leaves_torch_alone(tmp_path: Path, tiny: PretrainConfig) -> None:
    for name in ("first", "second"):
        torch.manual_seed(5)
        save_backbone(build_backbone(tiny, 32, tmp_path / name), tmp_path / name, half=True)
        assert torch.initial_seed() == 5
        assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(5)))
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


def test_full_precision_can_be_kept(tmp_path: Path, tiny: PretrainConfig) -> None:
    pipe = build_backbone(tiny, 32, tmp_path)
    save_backbone(pipe, tmp_path, half=False)
    again = load_backbone(str(tmp_path))
    assert torch.equal(pipe.unet.conv_in.weight, again.unet.conv_in.weight)


def test_diffusers_opens_the_folder_by_itself(backbone: Path) -> None:
    with quiet():
        pipe = StableDiffusionPipeline.from_pretrained(backbone, dtype=torch.float32)
    assert pipe.vae_scale_factor == 4


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"has no model_index\.json"):
        load_backbone(tmp_path)


@pytest.mark.parametrize("source", [Path("nowhere/at_all"), "./nowhere", "/nowhere/at/all"])
def test_a_path_that_leads_nowhere_is_refused(source: Path | str) -> None:
    with pytest.raises(BackboneError, match="there is no such folder or file"):
        load_backbone(source)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not weights at all, not weights at all")
    with pytest.raises(BackboneError, match="cannot be loaded as a Stable Diffusion"):
        load_backbone(path)


def test_a_hub_id_without_the_hub_says_what_to_place_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("the hub cannot be reached\nmore")

    monkeypatch.setattr(StableDiffusionPipeline, "from_pretrained", unreachable)
    with pytest.raises(
        BackboneError, match=r"cannot be reached\. Without internet, run `hf download owner/name --local"
    ):
        load_backbone("owner/name")


def test_a_prompt_that_is_too_long_is_refused(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    assert token_ids(pipe, ["a photo", ""]).shape == (2, 32)
    with pytest.raises(BackboneError, match="has 42 tokens, the backbone reads 32"):
        token_ids(pipe, ["a " * 40])
