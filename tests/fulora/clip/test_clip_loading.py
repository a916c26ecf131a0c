"""CLIPs as they come: bundles, an architecture with a .pt file, Hugging Face text towers; never a random one."""

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from transformers import BertConfig, BertModel

from fulora.clip.config import ClipPretrainConfig
from fulora.clip.loading import load_clip
from fulora.clip.model import (
    CONFIG,
    WEIGHTS,
    ClipError,
    build_clip,
    clip_config,
    normalise,
    save_clip,
    to_squares,
    to_unit_range,
)

TINY = ClipPretrainConfig(image_size_px=32, width=4, blocks=(1, 1, 1, 1), text_width=16, embed_dim=16)
FETAL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 28, "layers": 1, "width": 32, "patch_size": 14, "head_width": 16},
    "text_cfg": {"context_length": 117, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}
"""FetalCLIP's config (a ViT with patches of 14, a context of 117), with smaller numbers."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(build_clip(TINY), clip_config(TINY), folder)
    return folder


def fetal(folder: Path, ending: str = ".pt") -> dict[str, torch.Tensor]:
    (folder / "FetalCLIP_config.json").write_text(json.dumps(FETAL))
    state = open_clip.CLIP(**FETAL).state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / f"weights{ending}")
    return state


def test_an_architecture_beside_a_pt_file_as_fetalclip_is_published(tmp_path: Path) -> None:
    state = fetal(tmp_path)
    clip = load_clip(tmp_path)
    assert all(torch.equal(value, state[name]) for name, value in clip.model.state_dict().items())
    assert clip.tokenizer(["a sonogram"]).shape == (1, 117)
    seen = normalise(clip.model, to_unit_range(to_squares([np.full((14, 28), 255, np.uint8)], 28)))
    assert torch.equal(seen[0, :, 0, 0], seen[0, :, -1, -1])  # padded above and below, nothing cut off
    assert not torch.equal(seen[0, :, 0, 0], seen[0, :, 14, 14])
    save_clip(clip.model, clip.config, tmp_path / "saved", half=False)
    again = load_clip(tmp_path / "saved")
    assert all(torch.equal(value, state[name]) for name, value in again.model.state_dict().items())


def test_a_text_tower_of_hugging_face_from_a_folder_inside(tmp_path: Path) -> None:
    tower = BertModel(
        BertConfig(
            vocab_size=30,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=16,
            max_position_embeddings=32,
        )
    )
    tower.save_pretrained(tmp_path / "bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fetal", "brain"]
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "bert" / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    text = {"hf_model_name": "bert", "hf_tokenizer_name": "bert", "hf_pooler_type": "cls_pooler", "context_length": 16}
    config = FETAL | {"text_cfg": text, "custom_text": True}
    local = config | {"text_cfg": text | {"hf_model_name": str(tmp_path / "bert")}}
    settings = {key: local[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}
    state = open_clip.CustomTextCLIP(**settings).state_dict()
    torch.save(state, tmp_path / "model.pt")
    (tmp_path / "config.json").write_text(json.dumps(config))
    clip = load_clip(tmp_path)
    assert isinstance(clip.model, open_clip.CustomTextCLIP)
    assert torch.equal(clip.model.state_dict()["visual.proj"], state["visual.proj"])
    with torch.no_grad():
        assert clip.model.encode_text(clip.tokenizer(["a fetal brain"])).shape == (1, 16)


def test_never_a_random_model(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"has no open_clip_config.json, nor another .json with embed_dim, "):
        load_clip(tmp_path)
    shutil.copy(bundle / CONFIG, tmp_path / CONFIG)
    with pytest.raises(ClipError, match=r"exactly one file of weights is needed .*, present: none"):
        load_clip(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.save(build_clip(TINY).state_dict(), tmp_path / name)
    with pytest.raises(ClipError, match=r"present: a.pt, b.pt"):
        load_clip(tmp_path)
    config = json.loads((bundle / CONFIG).read_text())
    config["model_cfg"]["embed_dim"] = 24
    shutil.copy(bundle / WEIGHTS, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ClipError, match=r"open_clip_model.safetensors is not a CLIP of open_clip_config.json"):
        load_clip(tmp_path)
    (tmp_path / CONFIG).write_text("no json")
    with pytest.raises(ClipError, match="is not JSON"):
        load_clip(tmp_path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    fetal(tmp_path)
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "weights.pt")
    with pytest.raises(ClipError, match=r"is not a CLIP of FetalCLIP_config\.json .*: holds more than weights") as told:
        load_clip(tmp_path)
    assert "weights_only" not in str(told.value)


def test_a_download_that_failed_is_named_for_what_it_is(tmp_path: Path) -> None:
    fetal(tmp_path)
    (tmp_path / "weights.pt").write_text("<!DOCTYPE html><html>log in</html>")
    with pytest.raises(
        ClipError, match=r"weights\.pt is not a CLIP of FetalCLIP_config\.json: it is a web page or XML"
    ):
        load_clip(tmp_path)


def test_published_models(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def offline(name: str, tag: str, **options: object) -> None:
        asked.update(options, name=name, tag=tag)
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", offline)
    with pytest.raises(ClipError, match=r"hub:ViT-B-32/openai: .*no network.*Without a network, give the path"):
        load_clip("hub:ViT-B-32/openai")
    assert asked == {"name": "ViT-B-32", "tag": "openai", "force_quick_gelu": True}
    with pytest.raises(ClipError, match="open_clip has no weights for 'ViT-B-33'"):
        load_clip("hub:ViT-B-33/openai")
    with pytest.raises(ClipError, match="'ViT-B-32' has no pretrained tag 'oepnai'; it has openai, "):
        load_clip("hub:ViT-B-32/oepnai")
