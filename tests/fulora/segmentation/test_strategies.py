import copy

import pytest
import torch
from torch import nn

from fulora.segmentation.config import STRATEGIES, StrategyName, UnetConfig
from fulora.segmentation.model import Unet, build_unet
from fulora.segmentation.strategies import (
    apply_strategy,
    initialise_batch_norm,
    is_norm,
    merge_adapters,
    parts,
    set_frozen_to_eval,
    trainable_parameters,
    unfreeze_joined,
)
from fulora.segmentation.train import UnetLearner, step

HEAD = 145
PUBLISHED = {  # trainable parameters without the head: arXiv 2307.09067, table 2; recomputed
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
OURS = {  # those that the papers left out; batch norm's affine weights of the encoder are 34,112
    "all": 6_628_800,
    "discriminative": 6_628_800,
    "gradual": 6_628_800,
    "norms": 4_404_928 + 34_112,
}


def cfg(name: StrategyName, **changes: object) -> UnetConfig:
    weights = "none" if STRATEGIES[name].random_start else "imagenet"
    return UnetConfig.model_validate({"strategy": name, "encoder_weights": weights, **changes})


@pytest.fixture(scope="module")
def model() -> Unet:
    return build_unet(UnetConfig())


def learner(model: Unet, config: UnetConfig) -> UnetLearner:
    groups = apply_strategy(model.net, config)
    optimizer = torch.optim.AdamW([{"params": group.parameters} for group in groups], lr=1e-2)
    return UnetLearner(config, model, None, nn.ModuleList([model]), groups, optimizer, None)


def test_the_tables_are_complete() -> None:
    assert {*PUBLISHED, *OURS, "lora"} == set(STRATEGIES)


def test_size_of_the_network(model: Unet) -> None:
    assert sum(p.numel() for p in model.parameters()) == 6_628_945


@pytest.mark.parametrize("train_head", [True, False])
@pytest.mark.parametrize("name", [*PUBLISHED, *OURS])
def test_exactly_the_named_parts_learn(model: Unet, name: StrategyName, train_head: bool) -> None:
    groups = apply_strategy(model.net, cfg(name, train_head=train_head))
    assert sum(p.numel() for p in trainable_parameters(groups)) == (PUBLISHED | OURS)[name] + HEAD * train_head
    assert all(p.requires_grad for p in trainable_parameters(groups))
    assert sum(p.requires_grad for p in model.parameters()) == len(trainable_parameters(groups))
    expected = {*STRATEGIES[name].learns, *(["head"] if train_head else [])}
    for part, module in parts(model.net).items():
        if part != "encoder" or name != "norms":
            assert {p.requires_grad for p in module.parameters()} == {part in expected}


@pytest.mark.parametrize("name", ["d0-4", "d0", "encoder"])
def test_what_is_frozen_does_not_move_and_what_learns_does(model: Unet, name: StrategyName) -> None:
    model = copy.deepcopy(model)
    ready = learner(model, cfg(name, train_head=False))
    before = {part: copy.deepcopy(module.state_dict()) for part, module in parts(model.net).items()}
    random = torch.Generator().manual_seed(0)
    for _ in range(2):
        images = 255 * torch.rand(2, 64, 64, generator=random)
        step(ready, images, (images > 128).long())
    for part, module in parts(model.net).items():
        same = [torch.equal(value, before[part][key]) for key, value in module.state_dict().items()]
        assert not any(same) if part in STRATEGIES[name].learns else all(same), part


def test_only_norms_of_the_encoder_move(model: Unet) -> None:
    model = copy.deepcopy(model)
    ready = learner(model, cfg("norms"))
    before = copy.deepcopy(model.net.get_submodule("encoder").state_dict())
    images = 255 * torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0))
    step(ready, images, (images > 128).long())
    norms = {name for name, module in model.net.get_submodule("encoder").named_modules() if is_norm(module)}
    for key, value in model.net.get_submodule("encoder").state_dict().items():
        moved = not torch.equal(value, before[key])
        assert moved == (key.rpartition(".")[0] in norms), key


def test_adapters_start_as_nothing_learn_and_are_merged(model: Unet) -> None:
    model = copy.deepcopy(model).eval()
    images = 255 * torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = model(images)
    weights = {key: value.clone() for key, value in model.net.state_dict().items()}
    ready = learner(model, cfg("lora", lora_rank=2))
    adapters = [name for name, p in model.net.named_parameters() if "lora_" in name]
    assert {name for name, p in model.net.get_submodule("encoder").named_parameters() if p.requires_grad} == {
        name.removeprefix("encoder.") for name in adapters
    }
    with torch.no_grad():
        assert torch.allclose(model.eval()(images), plain, atol=1e-5)
    for _ in range(2):
        step(ready, images, (images > 128).long())
    with torch.no_grad():
        learned = model.eval()(images)
        merge_adapters(model.net)
        assert torch.allclose(model(images), learned, atol=1e-3)
    assert set(model.net.state_dict()) == set(weights)
    changed = [
        key
        for key, value in model.net.get_submodule("encoder").state_dict().items()
        if not torch.equal(value, weights[f"encoder.{key}"])
    ]
    assert changed
    assert all(key.endswith("weight") for key in changed)


def test_adapters_do_not_depend_on_torchs_random_state(model: Unet) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        own = copy.deepcopy(model)
        apply_strategy(own.net, cfg("lora"))
        found.append({name: p.detach() for name, p in own.net.named_parameters() if "lora_" in name})
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_rates_fall_towards_the_first_layers(model: Unet) -> None:
    groups = apply_strategy(model.net, cfg("discriminative"))
    assert [round(group.rate, 4) for group in groups] == [0.0569, 0.1479, 0.3846, 1.0]
    encoder = list(model.net.get_submodule("encoder").parameters())
    assert [id(p) for group in groups[:3] for p in group.parameters] == [id(p) for p in encoder]


def test_layers_join_from_the_deepest(model: Unet) -> None:
    groups = apply_strategy(model.net, cfg("gradual"))
    for progress, expected in ((0.0, [0, 0, 0, 1]), (0.25, [0, 0, 1, 1]), (0.5, [0, 1, 1, 1]), (0.8, [1, 1, 1, 1])):
        unfreeze_joined(groups, progress)
        assert [int(all(p.requires_grad for p in group.parameters)) for group in groups] == expected
        assert [int(any(p.requires_grad for p in group.parameters)) for group in groups] == expected
    unfreeze_joined(groups, 0.3)
    model.net.train()
    set_frozen_to_eval(model.net)
    for module in model.net.modules():
        if is_norm(module):
            assert module.training == all(p.requires_grad for p in module.parameters())


def test_a_network_of_monai_is_one_part() -> None:
    config = UnetConfig(architecture="monai_basic_unet", encoder="none")
    net = build_unet(config).net
    assert set(parts(net)) == {"all"}
    assert len(trainable_parameters(apply_strategy(net, config))) == len(list(net.parameters()))


def test_settling_gives_a_random_encoder_something_to_say(model: Unet) -> None:
    model = copy.deepcopy(model)
    inputs = model.normalise(255 * torch.rand(8, 64, 64, generator=torch.Generator().manual_seed(0)))
    encoder = model.net.get_submodule("encoder")
    with torch.no_grad():
        silent = encoder.eval()(inputs)[-1].std()
        initialise_batch_norm(model.net, inputs, encoder=True)
        assert silent < 1e-4
        assert encoder.eval()(inputs)[-1].std() > 0.1
    assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.1}


def test_settling_leaves_a_pretrained_encoder_alone(model: Unet) -> None:
    model = copy.deepcopy(model)
    encoder = model.net.get_submodule("encoder")
    before = copy.deepcopy(encoder.state_dict())
    initialise_batch_norm(model.net, torch.zeros(2, 3, 64, 64), encoder=False)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert model.net.get_submodule("decoder.blocks.0.conv1.1").running_var.mean() != 1
