import json
from pathlib import Path

import pytest
import torch
from click.testing import Result
from command_line import fulora
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fulora.diffusion.lora.lora_error import LoraError
from pipelines.commands.lora import app

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


def lora(*arguments: str | Path) -> Result:
    """`fulora lora ...` in this process."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def test_inspect_prints_a_table_and_writes_json(kohya: Path, tmp_path: Path) -> None:
    done = lora("inspect", kohya, "--json", tmp_path / "facts.json")
    assert done.exit_code == 0, done.output
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
    printed = lora("inspect", kohya, "--json", "-")
    assert json.loads(printed.stdout) == facts


def test_convert_says_what_it_wrote_and_writes_over_nothing(kohya: Path, tmp_path: Path) -> None:
    to = tmp_path / "new" / "ours.safetensors"
    done = lora("convert", kohya, to, "--format", "diffusers", "--precision", "fp16")
    assert done.exit_code == 0, done.output
    assert f"{to}: diffusers, 1 layers (unet), float16" in done.stdout
    assert {tensor.dtype for tensor in load_file(to).values()} == {torch.float16}
    before = to.read_bytes()
    refused = lora("convert", kohya, to, "--format", "kohya")
    assert isinstance(refused.exception, LoraError)
    assert "exists already: give another name, or --force" in str(refused.exception)
    assert to.read_bytes() == before
    forced = lora("convert", kohya, to, "--format", "kohya", "--force")
    assert forced.exit_code == 0, forced.output
    assert all(torch.equal(tensor, TENSORS[key]) for key, tensor in load_file(to).items())


def test_convert_warns_of_dora_in_kohyas_format(kohya: Path, tmp_path: Path) -> None:
    save_file(TENSORS | {f"{K}.dora_scale": torch.ones(32, 1)}, kohya)
    done = lora("convert", kohya, tmp_path / "dora.safetensors", "--format", "kohya")
    assert "DoRA in kohya's format is ignored by diffusers" in done.stdout


def test_a_file_that_other_tools_would_not_find_is_not_written(kohya: Path) -> None:
    refused = lora("convert", kohya, kohya.with_name("ours.bin"), "--format", "kohya")
    assert isinstance(refused.exception, LoraError)
    assert "a LoRA file ends in .safetensors" in str(refused.exception)


def test_what_cannot_be_done_is_one_line_and_code_2(tmp_path: Path) -> None:
    done = fulora("lora", "inspect", tmp_path / "missing.safetensors")
    assert done.returncode == 2
    assert "there is no such LoRA file" in done.stderr
    assert "Traceback" not in done.stderr
