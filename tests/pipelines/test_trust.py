"""A TorchScript file is a program: it runs only where that very file is trusted."""

import warnings
from pathlib import Path

import pytest
import torch
from command_inside import called
from PIL import Image as Pil

from fulora.assessment.config import AssessConfig
from fulora.assessment.encoders import load_encoder
from fulora.assessment.trusted_encoders import UntrustedEncoderError, check_trusted
from fulora.digests import file_digest


class Writer(torch.nn.Module):
    """An encoder that also writes a file."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        torch.save(pixels, self.target)
        return pixels.mean(dim=(2, 3))


@pytest.fixture
def writer(tmp_path: Path) -> Path:
    """A TorchScript file whose code writes `written` beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Writer(str(tmp_path / "written"))).save(tmp_path / "writer.pt")
    return tmp_path / "writer.pt"


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Twelve gray pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        Pil.effect_noise((48, 48), 20 + number).save(folder / f"p{number}.png")
    return folder


@pytest.mark.slow
def test_code_of_an_encoder_does_not_run_unless_it_is_trusted(writer: Path, picture_folder: Path) -> None:
    encoder, target = f"torchscript:{writer}", writer.with_name("written")
    command = ("assess", picture_folder, "--real", picture_folder, "--encoder", encoder, "--encoder", "pixels")
    refused = called(*command)
    assert refused.code == 2
    assert "a TorchScript file is a program" in refused.stderr
    assert "--trust-encoder" in refused.stderr
    assert file_digest(writer) in refused.stderr
    assert not target.exists()
    assert called(*command, "--trust-encoder").code == 0
    assert target.is_file()  # what the refusal protects from


def test_trust_is_in_one_content_not_in_a_name(writer: Path) -> None:
    trusted = AssessConfig(encoders=(f"torchscript:{writer}",), trusted_encoders=(file_digest(writer),))
    check_trusted(trusted.encoders, trusted.trusted_encoders)
    writer.write_bytes(writer.read_bytes() + b"x")
    with pytest.raises(UntrustedEncoderError, match="fulora has not run it"):
        check_trusted(trusted.encoders, trusted.trusted_encoders)
    with pytest.raises(UntrustedEncoderError, match="fulora has not run it"):
        load_encoder(f"torchscript:{writer}", trusted=trusted.trusted_encoders)
    with pytest.raises(ValueError, match="trusted_encoders"):
        AssessConfig(trusted_encoders=("all",))


def test_a_study_stops_before_any_stage_runs(writer: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    refused = called("run", "smoke", f"assess.encoders=['pixels','torchscript:{writer}']", "--work", work)
    assert refused.code == 2
    assert "a TorchScript file is a program" in refused.stderr
    assert not list(work.glob("*-*"))
    assert not writer.with_name("written").exists()
