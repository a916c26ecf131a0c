"""How a set is computed: what is chosen, by what it is chosen, and what becomes of a pipeline then."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

from fulora import progress
from fulora.data.label_set import label_set
from fulora.diffusion.config import Architecture
from fulora.diffusion.models.architectures import Pipeline, build
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling import compute
from fulora.diffusion.sampling.compute import (
    DTYPES,
    FORMATS,
    Compute,
    Layout,
    Precision,
    cast_copy,
    choose_compute,
    loading_dtype,
    move_to_device,
    pinned_threads,
)
from fulora.diffusion.sampling.config import GenerateConfig, SamplingConfig, resolve_config

CPU = Compute(
    device="cpu", hardware="a", precision="fp32", layout="contiguous", compiled=False, batch_size=3, threads=2
)


def like(**changes: Any) -> SamplingConfig:
    small = {"per_class": 4, "image_size_px": 32, "steps": 3, "batch_size": 3, "device": "cpu"}
    return resolve_config(GenerateConfig.model_validate(small | changes), label_set("fetal_planes"))


def changed(**values: Any) -> Compute:
    return CPU.model_copy(update=values)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(progress, "note", found.append)
    return found


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*given: Any) -> Any:
        raise AssertionError("the clock was asked")

    for name in ("median_seconds", "choose_unet", "_probe"):
        monkeypatch.setattr(compute, name, asked)


# --- on a CPU


@pytest.mark.usefixtures("no_clock")
def test_auto_on_a_cpu_is_fp32_and_contiguous_and_asks_no_clock(backbone: Path, notes: list[str]) -> None:
    found = choose_compute(load_backbone(backbone), like(), 10**9)
    expected = {"device": "cpu", "precision": "fp32", "layout": "contiguous", "compiled": False, "batch_size": 3}
    assert found.model_dump(exclude={"hardware"}) == expected | {"threads": 1}
    assert found.hardware.endswith(torch.backends.cpu.get_cpu_capability())
    assert notes == [f"computed on cpu ({found.hardware}): fp32, contiguous, 3 at once, 1 thread"]


@pytest.mark.usefixtures("no_clock", "notes")
def test_what_the_config_says_is_what_is_done(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    for precision in get_args(Precision):
        for layout in get_args(Layout):
            found = choose_compute(pipe, like(precision=precision, layout=layout, compile="never"), 10**9)
            assert (found.precision, found.layout, found.compiled) == (precision, layout, False)


@pytest.mark.usefixtures("no_clock")
def test_compile_always_compiles_on_a_cpu_too(backbone: Path, notes: list[str]) -> None:
    assert choose_compute(load_backbone(backbone), like(compile="always"), 1).compiled
    assert notes[0].endswith("fp32, contiguous, compiled, 3 at once, 1 thread")


def timed(monkeypatch: pytest.MonkeyPatch, seconds: dict[tuple[torch.dtype, bool], float]) -> None:
    """A clock that tells these for a precision and channels_last; it calls the probe, too, as the real one does."""

    def median_seconds(probe: Callable[[Any], None], unet: Any, device: torch.device) -> float:
        probe(unet)
        weight = unet.conv_in.weight
        return seconds[weight.dtype, weight.is_contiguous(memory_format=torch.channels_last)]

    monkeypatch.setattr(compute, "median_seconds", median_seconds)


TIMES = {
    (torch.float32, False): 0.4,
    (torch.float32, True): 0.2,
    (torch.bfloat16, False): 0.1,
    (torch.bfloat16, True): 0.3,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("auto", ("bf16", "contiguous")),
        ("contiguous", ("bf16", "contiguous")),
        ("channels_last", ("fp32", "channels_last")),
    ],
)
def test_fastest_takes_the_fastest_of_what_is_allowed(
    backbone: Path, monkeypatch: pytest.MonkeyPatch, notes: list[str], layout: str, expected: tuple[str, str]
) -> None:
    timed(monkeypatch, TIMES)
    pipe = load_backbone(backbone)
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    found = choose_compute(pipe, like(precision="fastest", layout=layout, threads=1), 100)
    assert (found.precision, found.layout) == expected
    told = {"auto": 4}.get(layout, 2)
    assert notes[0].count(" s (") == told
    assert ("0.100 s (bf16, contiguous)" in notes[0]) == (layout != "channels_last")
    assert all(torch.equal(before[name], weight) for name, weight in pipe.unet.state_dict().items())
    assert pipe.unet.dtype == torch.float32


@pytest.mark.usefixtures("notes")
def test_a_probe_is_a_guided_step_of_a_whole_batch(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def median_seconds(probe: Callable[[Any], None], unet: Any, device: torch.device) -> float:
        def seen(latents: Any, time: Any, **arguments: Any) -> None:
            asked.append((tuple(latents.shape), latents.dtype, arguments["encoder_hidden_states"].shape[0]))
            assert torch.get_num_threads() == 3

        probe(seen)
        return 1.0

    monkeypatch.setattr(compute, "median_seconds", median_seconds)
    cfg = like(precision="fastest", layout="contiguous", image_size_px=(48, 32), threads=3)
    choose_compute(load_backbone(backbone), cfg, 1)
    assert asked == [((6, 4, 8, 12), torch.float32, 6), ((6, 4, 8, 12), torch.bfloat16, 6)]


@pytest.mark.slow
@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
def test_fastest_can_time_every_architecture(tmp_path: Path, architecture: Architecture) -> None:
    pipe = build(architecture, tmp_path, small=True, seed=0)
    cfg = like(precision="fastest", layout="contiguous", image_size_px=64, batch_size=1, threads=1)
    found = choose_compute(pipe, cfg, 1)
    assert found.precision in ("fp32", "bf16")


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("auto", torch.float32), ("fastest", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_a_denoiser_is_loaded_in_its_precision_unless_a_clock_chooses_it(precision: str, expected: torch.dtype) -> None:
    assert loading_dtype(like(precision=precision)) == expected


def test_a_missing_device_is_reported(backbone: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=r"device=cuda: torch .* sees no GPU; use device=cpu or device=auto"):
        choose_compute(load_backbone(backbone), like(device="cuda"), 1)


# --- on a GPU, as far as one is not needed


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A GPU by its properties alone; `bf16` says whether it has that."""
    properties = {"bf16": True}
    monkeypatch.setattr(compute, "pick_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: properties["bf16"])
    return properties


@pytest.mark.usefixtures("no_clock")
def test_auto_on_a_gpu_is_the_half_precision_it_has_and_channels_last(
    backbone: Path, gpu: dict[str, bool], notes: list[str]
) -> None:
    pipe = load_backbone(backbone)
    found = choose_compute(pipe, like(compile="never"), 1)
    assert (found.device, found.hardware, found.precision) == ("cuda", "A GPU", "bf16")
    assert (found.layout, found.compiled, found.threads) == ("channels_last", False, 0)
    assert choose_compute(pipe, like(compile="always"), 1) == found.model_copy(update={"compiled": True})
    assert choose_compute(pipe, like(compile="never", precision="fastest"), 1) == found  # only a CPU asks its clock
    gpu["bf16"] = False
    assert choose_compute(pipe, like(compile="never"), 1) == found.model_copy(update={"precision": "fp16"})
    asked = choose_compute(pipe, like(compile="never", precision="fp32", layout="contiguous"), 1)
    assert (asked.precision, asked.layout) == ("fp32", "contiguous")
    assert notes[0] == "computed on cuda (A GPU): bf16, channels_last, 3 at once"


@pytest.mark.usefixtures("gpu", "notes")
@pytest.mark.parametrize("pays", [True, False])
def test_a_gpu_compiles_where_a_copy_of_the_denoiser_says_that_it_pays(
    backbone: Path, monkeypatch: pytest.MonkeyPatch, pays: bool
) -> None:
    pipe = load_backbone(backbone)
    steps_left: list[int] = []

    def choose_unet(unet: Any, probe: Any, steps: int, mode: str, device: torch.device) -> Any:
        assert unet is not pipe.unet
        assert (mode, device.type) == ("auto", "cuda")
        steps_left.append(steps)
        return object() if pays else unet

    monkeypatch.setattr(compute, "choose_unet", choose_unet)
    monkeypatch.setattr(compute, "_probe", lambda *given: None)
    monkeypatch.setattr(compute, "cast_copy", lambda module, *given: copy.deepcopy(module))
    assert choose_compute(pipe, like(batch_size=3, steps=25), 1000).compiled is pays
    assert steps_left == [334 * 25]


# --- what becomes of a pipeline


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("layout", get_args(Layout))
def test_a_cast_copy_leaves_the_denoiser_and_holds_no_weight_twice(
    backbone: Path, precision: Precision, layout: Layout
) -> None:
    """Of (fp32, contiguous), which loaded weights are, a copy shares all."""
    unet = load_backbone(backbone).unet
    expected = copy.deepcopy(unet).to(DTYPES[precision]).to(memory_format=FORMATS[layout])
    copied = cast_copy(unet, DTYPES[precision], layout, torch.device("cpu"))
    for mine, theirs in zip(copied.parameters(), expected.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.dtype == theirs.dtype
        assert mine.dim() != 4 or mine.is_contiguous(memory_format=FORMATS[layout])
    shared = {weight.data_ptr() for weight in unet.parameters()} & {weight.data_ptr() for weight in copied.parameters()}
    assert (len(shared) == len(list(unet.parameters()))) == ((precision, layout) == ("fp32", "contiguous"))
    assert unet.dtype == torch.float32


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("layout", get_args(Layout))
def test_the_denoiser_is_cast_and_nothing_else(backbone: Path, precision: Precision, layout: Layout) -> None:
    pipe = load_backbone(backbone)
    move_to_device(pipe, changed(precision=precision, layout=layout))
    assert {weight.dtype for weight in pipe.unet.parameters()} == {DTYPES[precision]}
    for module in (pipe.vae, pipe.text_encoder):
        assert {weight.dtype for weight in module.parameters()} == {torch.float32}
    for module in (pipe.unet, pipe.vae):
        kernels = [weight for weight in module.parameters() if weight.ndim == 4 and weight.shape[2] == 3]
        assert len(kernels) > 10
        assert all(kernel.is_contiguous(memory_format=FORMATS[layout]) for kernel in kernels)


@pytest.mark.parametrize(("force_upcast", "expected"), [(False, torch.float16), (True, torch.float32)])
def test_on_a_gpu_the_autoencoder_is_fp16_unless_its_config_says_that_it_overflows(
    backbone: Path, monkeypatch: pytest.MonkeyPatch, force_upcast: bool, expected: torch.dtype
) -> None:
    pipe: Pipeline = load_backbone(backbone)
    pipe.vae.register_to_config(force_upcast=force_upcast)
    monkeypatch.setattr(compute, "cast", lambda module, dtype, device: module.to(dtype))  # to a GPU that is not there
    move_to_device(pipe, changed(device="cuda", precision="bf16", layout="channels_last"))
    assert (pipe.vae.dtype, pipe.unet.dtype, pipe.text_encoder.dtype) == (expected, torch.bfloat16, torch.float32)


def test_inside_torch_has_the_threads_of_the_set() -> None:
    before = torch.get_num_threads()
    with pinned_threads(changed(threads=before + 1)):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pinned_threads(changed(device="cuda", threads=0)):
        assert torch.get_num_threads() == before
    with pytest.raises(KeyError), pinned_threads(changed(threads=before + 1)):
        raise KeyError
    assert torch.get_num_threads() == before


def test_a_record_that_lacks_something_is_refused() -> None:
    assert Compute.model_validate_json(CPU.model_dump_json()) == CPU
    for name in Compute.model_fields:
        with pytest.raises(ValidationError, match=name):
            Compute.model_validate(CPU.model_dump(exclude={name}))
