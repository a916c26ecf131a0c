import hashlib
import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from fulora.diffusion.config import Architecture, PretrainConfig
from fulora.diffusion.models.architectures import ARCHITECTURES, Pipeline, build, build_backbone
from fulora.diffusion.models.loading import BackboneError, load_backbone, networks, quiet, save_backbone
from fulora.diffusion.models.tokenizers import collect_words


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def equal(first: Pipeline, second: Pipeline) -> bool:
    states = [[module.state_dict() for module in networks(pipe)] for pipe in (first, second)]
    return all(
        one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
        for one, two in zip(*states, strict=True)
    )


@pytest.fixture
def copied(backbone: Path, tmp_path: Path) -> Path:
    """A backbone whose files may be changed."""
    return shutil.copytree(backbone, tmp_path / "backbone")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client refuses by itself."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_saved_weights_are_small_and_come_back_in_fp32(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    assert {p.dtype for m in (pipe.unet, pipe.vae, pipe.text_encoder) for p in m.parameters()} == {torch.float32}
    count = sum(parameter.numel() for parameter in pipe.unet.parameters())
    size = (backbone / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert 2 * count < size < 2.5 * count
    assert pipe.safety_checker is None


def test_the_same_seed_gives_the_same_bytes_and_leaves_torch_alone(tmp_path: Path, tiny: PretrainConfig) -> None:
    for name in ("first", "second"):
        torch.manual_seed(5)
        save_backbone(build_backbone(tiny, 32, tmp_path / name, collect_words(())), tmp_path / name, half=True)
        assert torch.initial_seed() == 5
        assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(5)))
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_comes_back_from_its_folder(architecture: Architecture, half: bool, tmp_path: Path) -> None:
    pipe = build(architecture, tmp_path, small=True, seed=0)
    save_backbone(pipe, tmp_path, half=half)
    again = load_backbone(str(tmp_path))
    assert type(again) is type(pipe)
    assert equal(pipe, again)
    assert not any(module.training for module in networks(again))
    assert again.scheduler.config.prediction_type == ("v_prediction" if architecture == "sd2-v" else "epsilon")
    assert again.tokenizer("fetal", padding="max_length") == pipe.tokenizer("fetal", padding="max_length")
    if architecture == "sdxl":
        assert again.watermark is None
        assert again.tokenizer_2.pad_token_id == 0
    else:
        assert again.safety_checker is None


def test_diffusers_opens_the_folder_by_itself(backbone: Path) -> None:
    with quiet():
        pipe = StableDiffusionPipeline.from_pretrained(backbone, dtype=torch.float32)
    assert pipe.vae_scale_factor == 4


def test_weights_of_a_text_encoder_under_their_older_names_are_read(backbone: Path, copied: Path) -> None:
    """Published folders name them `text_model.…` and hold the positions' numbers, which transformers dropped."""
    path = copied / "text_encoder" / "model.safetensors"
    older = {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in load_file(path).items()}
    save_file(older | {"text_model.embeddings.position_ids": torch.arange(32)[None]}, path, metadata={"format": "pt"})
    assert equal(load_backbone(backbone), load_backbone(copied))


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"has no model_index\.json"):
        load_backbone(tmp_path)


@pytest.mark.parametrize("index", [{"_class_name": "StableDiffusionInpaintPipeline"}, {}])
def test_another_kind_of_pipeline_is_refused(copied: Path, index: dict[str, str]) -> None:
    (copied / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(
        BackboneError, match=r"says (StableDiffusionInpaintPipeline|None), not StableDiffusionPipeline or"
    ):
        load_backbone(copied)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("text_encoder/model.safetensors", "text_encoder lacks 1 weights, such as final_layer_norm.bias"),
        ("unet/diffusion_pytorch_model.safetensors", "UNet2DConditionModel lacks 1 weights, such as conv_in.bias"),
    ],
)
def test_weights_that_are_missing_are_not_drawn_at_random(copied: Path, file: str, said: str) -> None:
    weights = load_file(copied / file)
    lost = said.rsplit(" ", 1)[1]
    save_file({n: w for n, w in weights.items() if not n.endswith(lost)}, copied / file, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=said):
        load_backbone(copied)


def test_pickled_weights_in_a_folder_are_not_read(copied: Path) -> None:
    path = copied / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(BackboneError, match=r"no file named diffusion_pytorch_model\.safetensors"):
        load_backbone(copied)


@pytest.mark.parametrize("source", [Path("nowhere/at_all"), "./nowhere", "/nowhere/at/all"])
def test_a_path_that_leads_nowhere_is_refused(source: Path | str) -> None:
    with pytest.raises(BackboneError, match="there is no such folder or file"):
        load_backbone(source)


@pytest.mark.usefixtures("offline")
def test_a_hub_id_without_the_hub_says_what_to_place_where() -> None:
    with pytest.raises(
        BackboneError,
        match=r"cannot be downloaded from the hub: .* Without internet, run "
        "`hf download owner/name --revision 0123abc --local",
    ):
        load_backbone("owner/name", revision="0123abc")


def test_a_hub_id_is_had_at_its_revision(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def download(source: str, **settings: object) -> str:
        asked[source] = settings
        return str(backbone)

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    assert equal(load_backbone("owner/name", revision="0123abc"), load_backbone(backbone))
    assert asked["owner/name"]["revision"] == "0123abc"
    assert asked["owner/name"]["use_safetensors"] is True


def test_a_revision_of_a_folder_is_refused(backbone: Path) -> None:
    with pytest.raises(BackboneError, match=r"revision='main' is for hub ids"):
        load_backbone(backbone, revision="main")


def test_an_architecture_of_a_folder_is_refused(backbone: Path) -> None:
    with pytest.raises(BackboneError, match=r"architecture='sd1' is for checkpoint files"):
        load_backbone(backbone, architecture="sd1")
