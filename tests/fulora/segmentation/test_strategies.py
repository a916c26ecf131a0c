import copy

import pytest
import torch

from fulora.segmentation.config import STRATEGIES, StrategyName, UnetConfig
from fulora.segmentation.model import Unet, build_unet
from fulora.segmentation.strategies import apply_strategy, parts, settle_batch_norm
from fulora.segmentation.train import step

HEAD = 145
PUBLISHED = {  # trainable parameters without the head: arXiv 2307.09067, table 2; recomputed
    "all": 6_628_800,
    "scratch": 6_628_800,
    "random_frozen_encoder": 4_404_928,
    "encoder": 2_223_872,
    "d0": 3_761_152,
    "d0-1": 4_240_896,
    "d0-2": 4_365_568,
    "d2-4": 164_032,
    "d4": 6_976,
    "d0-4": 4_404_928,
}


@pytest.fixture(scope="module")
def model() -> Unet:
    return build_unet(UnetConfig(image_size_px=64))


def test_the_table_is_complete() -> None:
    assert set(PUBLISHED) == set(STRATEGIES)


def test_size_of_the_network(model: Unet) -> None:
    assert sum(p.numel() for p in model.parameters()) == 6_628_945


@pytest.mark.parametrize("train_head", [True, False])
@pytest.mark.parametrize("name", STRATEGIES)
def test_exactly_the_named_parts_learn(model: Unet, name: StrategyName, train_head: bool) -> None:
    learning = apply_strategy(model.net, name, train_head)
    assert sum(p.numel() for p in learning) == PUBLISHED[name] + HEAD * train_head
    expected = {*STRATEGIES[name].learns, *(["head"] if train_head else [])}
    for part, module in parts(model.net).items():
        assert {p.requires_grad for p in module.parameters()} == {part in expected}


@pytest.mark.parametrize("name", ["d0-4", "d0", "encoder"])
def test_what_is_frozen_does_not_move_and_what_learns_does(model: Unet, name: StrategyName) -> None:
    model = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(apply_strategy(model.net, name, False), lr=1e-2)
    before = {part: copy.deepcopy(module.state_dict()) for part, module in parts(model.net).items()}
    random = torch.Generator().manual_seed(0)
    for _ in range(2):
        images = 255 * torch.rand(2, 64, 64, generator=random)
        step(model, optimizer, images, (images > 128).long())
    for part, module in parts(model.net).items():
        same = [torch.equal(value, before[part][key]) for key, value in module.state_dict().items()]
        assert not any(same) if part in STRATEGIES[name].learns else all(same), part


def test_settling_gives_a_random_encoder_something_to_say(model: Unet) -> None:
    model = copy.deepcopy(model)
    inputs = model.normalise(255 * torch.rand(8, 64, 64, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        silent = model.net.eval().encoder(inputs)[-1].std()
        settle_batch_norm(model.net, inputs, encoder=True)
        assert silent < 1e-4
        assert model.net.eval().encoder(inputs)[-1].std() > 0.1
    assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.1}


def test_settling_leaves_a_pretrained_encoder_alone(model: Unet) -> None:
    model = copy.deepcopy(model)
    before = copy.deepcopy(model.net.encoder.state_dict())
    settle_batch_norm(model.net, torch.zeros(2, 3, 64, 64), encoder=False)
    assert all(torch.equal(value, before[key]) for key, value in model.net.encoder.state_dict().items())
    assert model.net.decoder.blocks[0].conv1[1].running_var.mean() != 1
