import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from jaxtyping import UInt8
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fulora.diffusion.config import LoraConfig, SamplesConfig
from fulora.diffusion.lora.adapters import add_lora, all_lora_parameters
from fulora.diffusion.models.architectures import Pipeline, build
from fulora.diffusion.models.loading import load_backbone, networks
from fulora.diffusion.training import train
from fulora.diffusion.training.examples import Examples
from fulora.diffusion.training.live_memory import LARGE_BLOCK, Peak, measure_peak
from fulora.diffusion.training.memory import HOLES, optimizer_bytes, outline, predict_memory, training_memory
from fulora.diffusion.training.optimizers import build_optimizer

pytestmark = pytest.mark.slow

Images = UInt8[np.ndarray, "10 32 32"]
CONFIG = LoraConfig(rank=2, batch_size=2, steps=2, log_every=1, device="cpu", checkpoint_every=100)
CAPTIONS = ["a photo of fetal brain", "a photo of fetal femur"] * 2


def with_settings(**settings: object) -> LoraConfig:
    return LoraConfig.model_validate(CONFIG.model_dump() | settings)


@pytest.fixture(scope="module")
def loaded(backbone: Path) -> Pipeline:
    """A backbone that no test changes."""
    return load_backbone(backbone)


def on_gpu(loaded: Pipeline, size_px: int = 32, **settings: object) -> int:
    cfg = with_settings(**settings)
    return training_memory(outline(loaded, cfg), cfg, {(size_px, size_px): 4}, CAPTIONS).gpu


class Allocations(TorchDispatchMode):
    """Follows every storage that PyTorch allocates on the CPU, whatever code allocates it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.at_start = 0
        self.alive: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self.follow(value)
        return result

    def follow(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self.alive:
            self.alive.add(storage)
            self.add(storage.nbytes())
            weakref.finalize(storage, self.add, -storage.nbytes())

    def add(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)

    def resident(self, written: int) -> float:
        """The peak of a process that keeps holes of freed blocks, and writes so much at the end."""
        blocks = self.peak - self.at_start
        return self.at_start + (1 + HOLES) * blocks + written


@pytest.mark.parametrize(
    ("size_px", "settings"),
    [
        pytest.param(64, {"rank": 16}, marks=pytest.mark.heavy),  # all blocks and layers of SD 1.5
        (32, {"text_encoder_learning_rate": 0.0, "rank": 16}),
        (32, {"gradient_checkpointing": True, "accumulation": 2, "batch_size": 4}),
        (32, {"precision": "bf16", "ema_decay": 0.9}),
    ],
)
def test_the_real_steps_use_what_was_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Path, size_px: int, settings: dict[str, object]
) -> None:
    """Compared with all allocations of the real trainer, with real numbers, at its second step."""
    cfg = with_settings(**settings)
    pipe = load_backbone(backbone) if size_px == 32 else build("sd1", tmp_path / "sd1", small=True, seed=0)
    pictures = list(np.random.default_rng(0).integers(0, 256, (4, size_px, size_px)).astype(np.uint8))
    expected = training_memory(outline(pipe, cfg), cfg, {(size_px, size_px): 4}, CAPTIONS).cpu
    allocations = Allocations()
    real_step = train.step

    def followed(learner: train.LoraLearner, cfg: LoraConfig, data: train.LoraData, done: int) -> torch.Tensor:
        if done == 1:
            return real_step(learner, cfg, data, done)
        states = [value for state in learner.optimizer.state.values() for value in state.values()]
        averages = learner.average.values if learner.average else []
        latents = [*data.losses["lora"].latents.mean, *data.losses["lora"].latents.std]
        weights = [tensor for module in networks(pipe) for tensor in (*module.parameters(), *module.buffers())]
        for tensor in [*weights, *states, *averages, *latents]:
            allocations.follow(tensor)
        learner.optimizer.zero_grad(set_to_none=True)
        allocations.at_start = allocations.now
        with allocations:
            return real_step(learner, cfg, data, done)

    monkeypatch.setattr(train, "step", followed)
    train.fit(tmp_path / "out", cfg, pipe, Examples(pictures, CAPTIONS))
    written = 2 * sum(parameter.nbytes for parameter in all_lora_parameters(pipe))
    assert expected == pytest.approx(allocations.resident(written), rel=0.05)


PEAK = """
import json, sys, tempfile
from pathlib import Path
import numpy as np
from fulora.diffusion.models.architectures import build_backbone
from fulora.diffusion.config import LoraConfig, PretrainConfig
from fulora.diffusion.training.examples import Examples
from fulora.diffusion.training.memory import predict_memory
from fulora.diffusion.models.tokenizers import collect_words
from fulora.diffusion.training.train import fit

cfg = LoraConfig.model_validate(json.loads(sys.argv[1]))
wide = PretrainConfig(vae_channels=(32, 32, 32), unet_channels=(64, 128, 256), text_width=64)
with tempfile.TemporaryDirectory() as folder:
    pipe = build_backbone(wide, 256, Path(folder), collect_words(()))
    captions = ["a photo of fetal brain"] * 4
    print(predict_memory(pipe, cfg, {(256, 256): 4}, captions).cpu)
    Path("/proc/self/clear_refs").write_text("5")
    pictures = list(np.random.default_rng(0).integers(0, 256, (4, 256, 256)).astype(np.uint8))
    fit(Path(folder) / "out", cfg, pipe, Examples(pictures, captions))
    lines = Path("/proc/self/status").read_text().splitlines()
    print(1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1]))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
def test_a_process_takes_what_was_predicted_within_15_percent() -> None:
    cfg = with_settings(batch_size=4, steps=1).model_dump_json()
    code = [sys.executable, "-W", "ignore", "-c", PEAK, cfg]
    printed = subprocess.run(code, check=True, capture_output=True, text=True).stdout
    expected, measured = map(int, printed.split()[-2:])
    assert expected == pytest.approx(measured, rel=0.15)


def test_settings_move_the_prediction_the_way_they_should(loaded: Pipeline) -> None:
    plain, four = on_gpu(loaded), on_gpu(loaded, batch_size=4)
    assert four > plain
    assert on_gpu(loaded, batch_size=4, accumulation=2) < four
    assert on_gpu(loaded, 64, gradient_checkpointing=True) < on_gpu(loaded, 64)
    assert on_gpu(loaded, precision="bf16") < plain
    assert on_gpu(loaded, text_encoder_learning_rate=0) < plain
    assert on_gpu(loaded, samples=SamplesConfig(per_caption=64).model_dump()) > plain
    assert on_gpu(loaded, dora=True) > plain


def test_what_is_kept_between_steps_is_counted_byte_by_byte(loaded: Pipeline) -> None:
    weights = sum(parameter.numel() for parameter in all_lora_parameters(outline(loaded, CONFIG)))
    plain = on_gpu(loaded)
    assert on_gpu(loaded, optimizer="prodigy", text_encoder_learning_rate=1e-3) - plain == pytest.approx(
        8 * weights, abs=512
    )
    assert on_gpu(loaded, ema_decay=0.9, keep="best") - plain == pytest.approx(2 * 4 * weights, abs=512)
    latents = 4 * 2 * 4 * (32 // 4) ** 2 * 4  # of four images: mean and std, four channels, fp32
    assert on_gpu(loaded, flip=True) - plain == pytest.approx(latents, abs=512)


def test_a_prior_loss_meets_the_gradients_of_the_first(loaded: Pipeline) -> None:
    cfg = with_settings(rank=64)
    pipe = outline(loaded, cfg)
    alone, both = (training_memory(pipe, cfg, {(32, 32): 4}, CAPTIONS, prior=prior).gpu for prior in (False, True))
    gradients = sum(parameter.nbytes for parameter in all_lora_parameters(pipe))
    assert gradients / 2 < both - alone < gradients * 1.05


def test_a_loaded_backbone_is_left_as_it_was_and_gives_the_same(backbone: Path, captions: Sequence[str]) -> None:
    pipe = load_backbone(backbone)
    before = [parameter.clone() for module in networks(pipe) for parameter in module.parameters()]
    predicted = predict_memory(pipe, CONFIG, {(32, 32): 10}, captions)
    after = [parameter for module in networks(pipe) for parameter in module.parameters()]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
    assert not getattr(pipe.unet, "peft_config", None)
    for module in networks(pipe):
        module.to("meta")
    assert predict_memory(pipe, CONFIG, {(32, 32): 10}, captions).gpu == predicted.gpu
    assert predicted.cpu > 2 * 10**8
    assert abs(predicted.cpu - psutil.Process().memory_info().rss) < 3 * 10**8


def test_an_adapter_has_the_authors_number_of_weights(tmp_path: Path) -> None:
    """589,824 a rank: the sum over the 264 layers that kohya adapts."""
    with torch.device("meta"):
        pipe = build("sd1", tmp_path, small=False, seed=0)
    parameters = all_lora_parameters(outline(pipe, with_settings(rank=8)))
    assert sum(parameter.numel() for parameter in parameters) == 589_824 * 8


@pytest.mark.parametrize("optimizer", ["adamw", "adamw8bit", "prodigy"])
def test_an_optimizer_keeps_what_is_counted(backbone: Path, optimizer: str) -> None:
    if optimizer != "adamw":
        pytest.importorskip({"adamw8bit": "bitsandbytes", "prodigy": "prodigyopt"}[optimizer])
    cfg, pipe = with_settings(optimizer=optimizer, rank=256, text_encoder_learning_rate=0), load_backbone(backbone)
    add_lora(pipe, cfg)
    parameters, made = all_lora_parameters(pipe), build_optimizer(pipe, cfg)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    made.step()
    states = [value for state in made.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    from_zero = sum(p.nbytes for n, p in pipe.unet.named_parameters() if "lora_B" in n) if optimizer == "prodigy" else 0
    kept = sum(state.nbytes for state in states)
    assert optimizer_bytes(parameters, cfg) - from_zero == pytest.approx(kept, rel=0.02)


def test_storages_are_counted_from_allocation_to_release() -> None:
    def compute() -> None:
        first = torch.empty(1000, dtype=torch.uint8, device="meta")
        view = first[10:]
        del first  # its storage is the view's
        second = view + 1
        del view, second
        torch.empty(1500, dtype=torch.uint8, device="meta")

    assert measure_peak(compute) == (1990, 1990)


def test_what_autograd_saves_stays_until_the_graph_goes() -> None:
    weight = torch.nn.Parameter(torch.empty(8, 8, device="meta"))

    def compute() -> None:
        result = torch.empty(4, 8, device="meta")
        for _ in range(3):
            result = torch.tanh(result @ weight)

    assert measure_peak(compute).total == 4 * 4 * 8 * 5  # the input, three results of tanh, one product before it
    with torch.no_grad():
        assert measure_peak(compute).total == 4 * 4 * 8 * 3  # what a step reads, its product and its tanh


def test_attention_keeps_no_matrix_of_its_weights() -> None:
    query = torch.empty(1, 2, 1000, 4, device="meta", requires_grad=True)
    attend = torch.nn.functional.scaled_dot_product_attention
    assert measure_peak(lambda: attend(query, query, query).sum()).total == query.nbytes + 4


def test_arguments_are_cast_as_by_autocast() -> None:
    layer = torch.nn.Linear(1000, 1000, bias=False, device="meta")
    states, norm = torch.empty(1000, 1000, device="meta"), torch.nn.functional.layer_norm
    half = 2 * 1000 * 1000
    assert measure_peak(lambda: layer(states)).total == 2 * half
    assert measure_peak(lambda: layer(states), torch.bfloat16).total == 3 * half  # input, weight and result
    low = states.bfloat16()
    assert measure_peak(lambda: norm(low, (1000,)), torch.bfloat16).total == half
    assert measure_peak(lambda: norm(low, (1000,)), torch.bfloat16, norms_in_fp32=True).total == 4 * half


def test_small_memory_blocks_are_counted_separately() -> None:
    """Only they leave holes on a CPU."""

    def compute() -> None:
        torch.empty(1000, dtype=torch.uint8, device="meta")
        torch.empty(LARGE_BLOCK, dtype=torch.uint8, device="meta")

    assert measure_peak(compute) == Peak(LARGE_BLOCK, 1000)
