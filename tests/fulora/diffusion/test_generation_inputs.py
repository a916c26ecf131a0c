"""What a set is drawn with: known by content, loaded where it is used, and whose images are behind it."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from generation_run import complete, inputs, lora_file
from image_rows import image_row
from published_layouts import write_layout

from fulora.data.column_types import Plane, Split
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.provenance import EarlierVersionError, Provenance, ProvenanceEntry
from fulora.data.weights import Backbone
from fulora.diffusion.config import PretrainConfig
from fulora.diffusion.lora.files import load_lora
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.architectures import build, build_backbone
from fulora.diffusion.models.loading import BackboneError, load_backbone, save_backbone
from fulora.diffusion.models.tokenizers import collect_words
from fulora.diffusion.sampling import inputs as module
from fulora.diffusion.sampling.inputs import (
    GenerationInputs,
    LoraSource,
    lora_source,
    start_rows,
    weights_digest,
)
from fulora.diffusion.sampling.recipe import BackboneUsed, LoraUsed, RecipeError
from fulora.engine import InProcess
from fulora.integrity import DamagedArtifactError
from fulora.stage import Source, stage
from fulora.workspace import Workspace

FETAL = label_set("fetal_planes")


def test_a_lora_is_known_by_the_sha256_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()[:16]
    assert lora_source(tmp_path / "a.safetensors", 0.8) == LoraSource(
        tmp_path / "a.safetensors", LoraUsed(name="a.safetensors", digest=digest, strength=0.8, text_strength=0.8)
    )
    assert lora_source(tmp_path / "a.safetensors", 0.8, 0.0).used.text_strength == 0.0
    with pytest.raises(FileNotFoundError):
        lora_source(tmp_path / "b.safetensors", 1.0)


def test_the_fingerprint_names_weights_and_strengths(tmp_path: Path) -> None:
    used = BackboneUsed(name="b", digest="abc")
    loras = tuple(
        LoraSource(tmp_path, LoraUsed(name="l", digest=digest, strength=strength, text_strength=text))
        for digest, strength, text in (("d1", 1.0, 1.0), ("d2", 0.8, 0.5))
    )
    assert GenerationInputs(tmp_path, used).fingerprint() == "abc"
    assert GenerationInputs(tmp_path, used, loras=loras).fingerprint() == "abc+d1@1+d2@0.8/0.5"


def test_a_backbone_is_identified_by_its_content_in_any_folder(tmp_path: Path, backbone: Path) -> None:
    shutil.copytree(backbone, tmp_path / "copy")
    digest = weights_digest(backbone)
    assert len(digest) == 16
    assert weights_digest(tmp_path / "copy") == digest
    assert weights_digest(tmp_path / "copy", cache=tmp_path / "digests.json") == digest
    assert (tmp_path / "digests.json").is_file()
    assert weights_digest(tmp_path / "copy", cache=tmp_path / "digests.json") == digest
    (tmp_path / "copy" / "more").write_text("")
    assert weights_digest(tmp_path / "copy", cache=tmp_path / "digests.json") != digest


@stage(version=1)
def copied(out: Path, backbone: Source) -> Backbone:
    shutil.copytree(backbone.path, out, dirs_exist_ok=True)
    return Backbone(out, "")


def test_a_backbone_of_a_study_is_known_by_its_fingerprint(tmp_path: Path, backbone: Path) -> None:
    made = Workspace(tmp_path, InProcess()).run(copied, backbone=Source(backbone, "f"))
    assert weights_digest(made.path) == made.fingerprint
    (made.path / "model_index.json").write_text("{}")
    with pytest.raises(DamagedArtifactError, match=r"1 file is not as it was made: model_index\.json \(changed\)"):
        weights_digest(made.path)


def test_a_hub_id_is_known_by_what_was_downloaded(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []
    monkeypatch.setattr(module, "download_backbone", lambda *given: [asked.append(given), backbone][1])
    assert weights_digest("owner/name", "main") == weights_digest(backbone)
    assert asked == [("owner/name", "main")]


def test_loras_are_fused_one_after_the_other_at_their_strengths(tmp_path: Path, backbone: Path) -> None:
    files = [lora_file(backbone, tmp_path / f"{seed}.safetensors", seed) for seed in range(2)]
    sources = (lora_source(files[0], 0.7, 0.2), lora_source(files[1], 0.3))
    found = inputs(backbone, loras=sources).load()
    expected = load_backbone(backbone)
    load_lora(expected, files[0], 0.7, 0.2)
    load_lora(expected, files[1], 0.3, 0.3)
    plain = load_backbone(backbone)
    for part in ("unet", "text_encoder"):
        weights = [dict(getattr(pipe, part).named_parameters()) for pipe in (found, expected, plain)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
        assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[2])
        assert {weight.dtype for weight in weights[0].values()} == {torch.float32}


def test_a_lora_that_does_not_fit_is_reported_on_loading(tmp_path: Path, backbone: Path) -> None:
    wide = PretrainConfig(vae_channels=(8, 8, 8), unet_channels=(32, 64), text_width=32)
    (tmp_path / "wide").mkdir()
    save_backbone(build_backbone(wide, 32, tmp_path / "wide", collect_words(())), tmp_path / "wide", half=True)
    file = lora_file(tmp_path / "wide", tmp_path / "lora.safetensors")
    with pytest.raises(LoraError, match=r"lora\.safetensors: cannot be used as a LoRA of this backbone"):
        inputs(backbone, loras=(lora_source(file, 1.0),)).load()


def test_the_native_size_is_that_of_the_networks(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = BackboneUsed(name="b", digest="abc")
    assert GenerationInputs(backbone, used).native_size() == 32
    monkeypatch.setattr(module, "download_backbone", lambda source, revision: backbone)
    assert GenerationInputs("owner/name", used).native_size() == 32


def test_a_unet_is_loaded_in_another_precision_unless_loras_are_fused(backbone: Path, tmp_path: Path) -> None:
    lora = lora_source(lora_file(backbone, tmp_path / "lora.safetensors"), 1.0)
    assert inputs(backbone).load(torch.bfloat16).unet.dtype == torch.bfloat16
    assert inputs(backbone, loras=(lora,)).load(torch.bfloat16).unet.dtype == torch.float32


def test_the_native_size_of_a_file_is_that_of_its_header(tmp_path: Path) -> None:
    pipe = build("sd1", tmp_path, small=True, seed=0, dtype=torch.float16)
    file = write_layout(pipe, "file", tmp_path / "sd1", "1MB")
    used = BackboneUsed(name="b", digest="abc")
    assert GenerationInputs(file, used).native_size() == 64
    with pytest.raises(BackboneError, match=r"sd1\.safetensors: cannot be loaded .*architecture='sd2-v' was given"):
        GenerationInputs(file, used, architecture="sd2-v").native_size()


@pytest.mark.parametrize("side", ["32", None, [32, 32]])
def test_a_folder_that_does_not_say_its_native_size_is_named(backbone: Path, tmp_path: Path, side: object) -> None:
    folder = shutil.copytree(backbone, tmp_path / "backbone")
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": side}))
    with pytest.raises(BackboneError, match=r"unet/config\.json \(sample_size: .*do not say for which size.*--size"):
        GenerationInputs(folder, BackboneUsed(name="b", digest="abc")).native_size()


def test_training_patients_are_read_from_loras_and_backbone(tmp_path: Path, backbone: Path) -> None:
    loras = []
    for name, patients in (("a", ("s/A/1", "s/A/2")), ("b", ("s/A/1", "s/B/1")), ("c", None)):
        (tmp_path / name).mkdir()
        used = LoraUsed(name=f"{name}.safetensors", digest="0", strength=1.0, text_strength=1.0)
        loras.append(LoraSource(tmp_path / name / "lora.safetensors", used))
        if patients is not None:
            Provenance(entries=(ProvenanceEntry(name=f"LoRA {name}", patients=patients),)).write(tmp_path / name)
    found = inputs(backbone, loras=tuple(loras)).provenance()
    assert found.patients() == ["s/A/1", "s/A/2", "s/B/1"]
    assert found.unknowns() == ["LoRA c.safetensors", f"backbone {backbone.name}"]
    hub = GenerationInputs("somebody/sd", BackboneUsed(name="somebody/sd", digest="0")).provenance()
    assert hub.unknowns() == ["backbone somebody/sd"]
    (tmp_path / "c" / "train_patients.json").write_text("[]")
    with pytest.raises(EarlierVersionError, match="c: was made by an earlier version"):
        inputs(backbone, loras=tuple(loras)).provenance()


def test_images_to_start_from_are_those_of_training_by_plane_and_id(tmp_path: Path) -> None:
    def picture(image_id: str, plane: Plane, split: Split = "train") -> Picture:
        row = image_row(image_id, plane=plane, split=split, patient=f"{split}")
        noise = np.random.default_rng(list(image_id.encode())).integers(0, 256, (8, 8)).astype(np.uint8)
        return Picture(row, noise)

    ImageSet.write(
        tmp_path,
        [picture("b2", "brain"), picture("b1", "brain"), picture("f1", "femur"), picture("b3", "brain", "test")],
        labels=FETAL,
    )
    found = start_rows(tmp_path, complete())
    assert {plane: [row.image_id for row in rows] for plane, rows in found.items()} == {
        "brain": ["b1", "b2"],
        "femur": ["f1"],
    }
    with pytest.raises(RecipeError, match="has no training image of thorax, other to start from; leave that plane out"):
        start_rows(tmp_path, complete(planes=("brain", "thorax", "other")))


def test_they_travel_without_weights(backbone: Path) -> None:
    mine = inputs(backbone)
    assert pickle.loads(pickle.dumps(mine)) == mine
    assert len(pickle.dumps(mine)) < 2000
