"""Kinds of weight files are recognised by their content; no message advises to read them unsafely."""

import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fulora.data.state_dicts import StateDictError, kind_of, read_state, wrong_format

WEIGHTS = {"a": torch.ones(2)}
ADVICE = ("weights_only", "add_safe_globals", "arbitrary code execution", "two options")


class Program(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def script(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.trace(Program(), torch.ones(1)), path)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.txt", "none")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "torch.pt": (lambda path: torch.save(WEIGHTS, path), "pickle"),
    "old.pth": (lambda path: torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False), "pickle"),
    "plain.bin": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "pickle"),
    "protocol0.ckpt": (lambda path: path.write_bytes(pickle.dumps({"a": 1}, protocol=0)), "pickle"),
    "program.pt": (script, "torchscript"),
    "other.zip": (zipped, "zip"),
    "whole.safetensors": (lambda path: save_file(WEIGHTS, path), "safetensors"),
    "without_ending": (lambda path: save_file(WEIGHTS, path), "safetensors"),
    "model.gguf": (lambda path: path.write_bytes(b"GGUF" + bytes(40)), "gguf"),
    "model.h5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40)), "hdf5"),
    "pointer.safetensors": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "lfs",
    ),
    "page.safetensors": (lambda path: path.write_text("\n<!DOCTYPE html><html>log in</html>"), "page"),
    "empty.safetensors": (lambda path: path.write_bytes(b""), "empty"),
    "noise.safetensors": (lambda path: path.write_bytes(b"not weights at all, not weights"), "unknown"),
}
SAID = {
    "pickle": r"a pickle, such as a \.ckpt, can run any code; convert it to \.safetensors",
    "torchscript": "a TorchScript archive, which is a program",
    "zip": "a zip archive without weights of torch",
    "gguf": "a GGUF file, of quantised weights",
    "hdf5": "an HDF5 file",
    "lfs": "a Git LFS pointer and not the weights; run `git lfs pull`",
    "page": "a web page or XML and not the weights",
    "empty": "it is empty; download or copy it again",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_its_content_says_whatever_its_name(tmp_path: Path, name: str) -> None:
    write, kind = FILES[name]
    for path in (tmp_path / name, tmp_path / "renamed.safetensors"):
        write(path)
        assert kind_of(path) == kind
        assert (SAID[kind].replace("\\", "") in wrong_format(path)) if kind in SAID else wrong_format(path) == ""


@pytest.mark.parametrize("name", ["torch.pt", "old.pth", "whole.safetensors", "without_ending"])
def test_weights_are_read_and_nothing_else(tmp_path: Path, name: str) -> None:
    FILES[name][0](tmp_path / name)
    assert torch.equal(read_state(tmp_path / name)["a"], WEIGHTS["a"])


@pytest.mark.parametrize(
    "name",
    [
        "program.pt",
        "other.zip",
        "model.gguf",
        "model.h5",
        "pointer.safetensors",
        "page.safetensors",
        "empty.safetensors",
    ],
)
def test_what_is_something_else_is_named(tmp_path: Path, name: str) -> None:
    write, kind = FILES[name]
    write(tmp_path / name)
    with pytest.raises(StateDictError, match=SAID[kind]) as caught:
        read_state(tmp_path / name)
    assert not any(word in str(caught.value) for word in ADVICE)


def test_a_pickle_of_more_than_weights_is_refused_without_torchs_advice(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    said = r"holds more than weights \(torch\.nn\.modules\.linear\.Linear\): such a pickle can run any code; save its"
    with pytest.raises(StateDictError, match=said) as caught:
        read_state(tmp_path / "module.pt")
    assert not any(word in str(caught.value) for word in ADVICE)
