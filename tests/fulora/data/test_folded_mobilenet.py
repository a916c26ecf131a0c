from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.models import mobilenet_v2

from fulora.data.folded_mobilenet import (
    EncoderFileError,
    load_folded,
    pad_like_tensorflow,
    read_folded,
    unfold_batch_norm,
)
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.model import build_unet, load_unet, save_unet

WEIGHTS = Path(__file__).parents[3].parent / "shared" / "data" / "weights"
FILE = WEIGHTS / "mobilenet_v2_imagenet_folded.npz"
FOLDED = UnetConfig(image_size_px=64, encoder_weights="imagenet_folded", strategy="d0-4")

needs_file = pytest.mark.skipif(not FILE.is_file(), reason="../shared/data/weights is not here")


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderFileError, match="not a readable"):
        read_folded(tmp_path / "absent.npz")
    path = tmp_path / "text.npz"
    path.write_text("no weights")
    with pytest.raises(EncoderFileError, match="not a readable"):
        read_folded(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(EncoderFileError, match="not a readable"):
        read_folded(tmp_path / "one.npy")
    np.savez(path, a=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(EncoderFileError, match="not a readable"):
        read_folded(path)
    np.savez(path, **{"00.conv.weight": np.zeros(3), "00.bias": np.zeros(3)})
    with pytest.raises(EncoderFileError, match="1 weights and 1 biases, where a folded MobileNetV2 has 53"):
        read_folded(path)
    np.savez(path, **{f"{i:02}.{kind}": np.zeros(1) for i in range(53) for kind in ("conv.weight", "bias")})
    with pytest.raises(EncoderFileError, match="do not have the shapes"):
        build_unet(FOLDED, path)


def test_strides_pad_as_tensorflow_does() -> None:
    """ "SAME" of an even size: output i stands over inputs 2i, 2i + 1, 2i + 2."""
    encoder = mobilenet_v2(weights=None).features
    pad_like_tensorflow(encoder)
    first = encoder[0][0]
    torch.nn.init.ones_(first.weight)
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, 1, 1], image[0, 0, 7, 7] = 1, 10
    expected = torch.zeros(4, 4)
    expected[0, 0], expected[3, 3] = 1, 10
    assert torch.equal(first(image)[0, 0], expected)


@pytest.mark.slow
def test_unfolding_changes_the_statistics_and_not_the_function() -> None:
    net = mobilenet_v2(weights=None).features.double()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_in")
    random = torch.Generator().manual_seed(0)
    inputs = 2 * torch.rand(8, 3, 64, 64, generator=random).double() - 1
    with torch.no_grad():
        unfold_batch_norm(net, inputs)
        before, mean = net(inputs), net[0][1].running_mean.clone()
        unfold_batch_norm(net, inputs[:4] * 0.5)
        assert not torch.equal(net[0][1].running_mean, mean)
        torch.testing.assert_close(net(inputs), before)
        unfold_batch_norm(net, inputs)
        difference = (net.train()(inputs) - before).abs().mean() / before.abs().mean()
    assert difference < 0.05


@needs_file
@pytest.mark.real_data
def test_batch_norm_adds_the_bias_and_nothing_else() -> None:
    layers = read_folded(FILE)
    encoder = build_unet(FOLDED, FILE).net.encoder.eval()
    image = 2 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 1
    weight, bias = (torch.tensor(array) for array in layers[0])
    expected = functional.conv2d(functional.pad(image, (0, 1, 0, 1)), weight, bias, stride=2).clamp(0, 6)
    torch.testing.assert_close(encoder.features[0](image), expected, rtol=1e-4, atol=1e-5)
    weight, bias = (torch.tensor(array) for array in layers[51])
    deep = torch.rand(1, 320, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = functional.conv2d(deep, weight, bias).clamp(0, 6)
    torch.testing.assert_close(encoder.features[18](deep), expected, rtol=1e-4, atol=1e-4)


@needs_file
@pytest.mark.real_data
def test_the_weights_recognise_a_photograph() -> None:
    """scikit-learn's picture of the Summer Palace is a palace, before and after unfolding."""
    from sklearn.datasets import load_sample_image

    labels = (WEIGHTS / "coral_imagenet_labels.txt").read_text().splitlines()
    net = mobilenet_v2(weights=None, num_classes=len(labels)).eval()
    load_folded(net.features, FILE)
    weight, bias = read_folded(FILE)[-1]
    net.classifier[1].load_state_dict({"weight": torch.tensor(weight[:, :, 0, 0]), "bias": torch.tensor(bias)})
    photograph = torch.tensor(load_sample_image("china.jpg")[:, 107:534]).movedim(-1, 0)[None].float()
    photograph = functional.interpolate(photograph, (224, 224), mode="bilinear", antialias=True) / 127.5 - 1
    with torch.no_grad():
        likely = net(photograph).softmax(dim=1)[0]
        unfold_batch_norm(net.features, photograph)
        unfolded = net(photograph).softmax(dim=1)[0]
    assert labels[int(likely.argmax())] == "palace"
    assert likely.max() > 0.3
    torch.testing.assert_close(unfolded, likely, rtol=1e-3, atol=1e-4)


@needs_file
@pytest.mark.real_data
def test_a_saved_network_keeps_its_padding(tmp_path: Path) -> None:
    model = build_unet(FOLDED, FILE).eval()
    save_unet(tmp_path, FOLDED, model.net.state_dict())
    image = 255 * torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(load_unet(tmp_path)(image), model(image))
