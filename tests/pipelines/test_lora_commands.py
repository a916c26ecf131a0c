import json
from pathlib import Path

import pytest
import torch
from command_line import fulora
from safetensors.torch import load_file, save_file

K = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
TENSORS = {
    f"{K}.lora_down.weight": torch.ones(2, 768),
    f"{K}.lora_up.weight": torch.zeros(32, 2),
    f"{K}.alpha": torch.tensor(1.0),
}


@pytest.fixture
def kohya(tmp_path: Path) -> Path:
    """A LoRA of one layer that learned nothing."""
    path = tmp_path / "theirs.safetensors"
    frequency = json.dumps({"20_brain": {"a photo of fetal brain": 20}})
    save_file(TENSORS, path, {"ss_tag_frequency": frequency, "ss_clip_skip": "2"})
    return path


def test_inspect_prints_a_table_and_writes_json(kohya: Path, tmp_path: Path) -> None:
    done = fulora("lora", "inspect", kohya, "--json", tmp_path / "facts.json")
    assert done.returncode == 0, done.stderr
    for text in (
        "Stable Diffusion 1.x",
        "kohya",
        "1 layers by 1,600 parameters",
        "captions: a photo of fetal brain: 20",
        "settings: clip_skip: 2",
        "unet: 1 of 1 layers learned nothing (up is 0): unet.mid_block",
    ):
        assert text in done.stdout
    facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    assert facts["hashes"]["lora_hash"] in done.stdout
    assert facts["parts"]["unet"]["zero_up"] == ["unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"]
    printed = fulora("lora", "inspect", kohya, "--json", "-")
    assert json.loads(printed.stdout) == facts


def test_convert_says_what_it_wrote_and_writes_over_nothing(kohya: Path, tmp_path: Path) -> None:
    to = tmp_path / "new" / "ours.safetensors"
    done = fulora("lora", "convert", kohya, to, "--format", "diffusers", "--precision", "fp16")
    assert done.returncode == 0, done.stderr
    assert f"{to}: diffusers, 1 layers (unet), float16" in done.stdout
    assert {tensor.dtype for tensor in load_file(to).values()} == {torch.float16}
    before = to.read_bytes()
    refused = fulora("lora", "convert", kohya, to, "--format", "kohya")
    assert refused.returncode == 2
    assert "is there already: give another name, or --force" in refused.stderr
    assert to.read_bytes() == before
    forced = fulora("lora", "convert", kohya, to, "--format", "kohya", "--force")
    assert forced.returncode == 0, forced.stderr
    assert all(torch.equal(tensor, TENSORS[key]) for key, tensor in load_file(to).items())


def test_convert_warns_of_dora_in_kohyas_format(kohya: Path, tmp_path: Path) -> None:
    save_file(TENSORS | {f"{K}.dora_scale": torch.ones(32, 1)}, kohya)
    done = fulora("lora", "convert", kohya, tmp_path / "dora.safetensors", "--format", "kohya")
    assert "DoRA in kohya's format is ignored by diffusers" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "missing.safetensors"), "there is no such LoRA file"),
        (("convert", "theirs.safetensors", "ours.bin", "--format", "kohya"), "ends in .safetensors"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_2(kohya: Path, arguments: tuple[str, ...], message: str) -> None:
    done = fulora("lora", *arguments, cwd=kohya.parent)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
