"""Networks of torchvision and timm with weights from local files, and the real ImageNet MobileNetV2."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from fulora.classification.config import ClassifierConfig
from fulora.classification.model import build_classifier, load_classifier, save_classifier
from fulora.classification.networks import ClassifierError
from fulora.data.folded_mobilenet import EncoderFileError, read_folded

FOLDED = ClassifierConfig(architecture="mobilenet_v2", weights="imagenet_folded", stem="imagenet", image_size_px=64)
FILE = ClassifierConfig(architecture="resnet18", weights="file", stem="imagenet", image_size_px=32)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_any_network_of_timm(name: str, tmp_path: Path) -> None:
    cfg = ClassifierConfig(architecture=f"timm/{name}", stem="imagenet", image_size_px=64)
    model, pixels = build_classifier(cfg, classes=3).eval(), torch.rand(2, 1, 64, 64)
    settings = timm.get_pretrained_cfg(name)
    assert (model.facts.mean, model.facts.std) == (settings.mean, settings.std)
    save_classifier(model, tmp_path)
    with torch.no_grad():
        assert model(pixels).shape == (2, 3)
        assert torch.equal(load_classifier(tmp_path)(pixels), model(pixels))


def test_an_unknown_name_of_timm_gets_near_ones() -> None:
    cfg = ClassifierConfig(architecture="timm/resnet19", stem="imagenet")
    with pytest.raises(ClassifierError, match=r"timm has no network 'resnet19'; near: .*resnet"):
        build_classifier(cfg, 5)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("classes", [5, 1000])
def test_a_local_file_starts_all_layers_and_a_head_of_its_size(ending: str, classes: int, tmp_path: Path) -> None:
    state = torchvision.models.resnet18(num_classes=classes).state_dict()
    file = tmp_path / f"weights{ending}"
    save_file(state, file) if ending == ".safetensors" else torch.save(state, file)
    found = build_classifier(FILE, 5, file).network.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state if not name.startswith("fc."))
    assert (classes == 5) == (found["fc.weight"].shape == state["fc.weight"].shape)
    assert classes != 5 or torch.equal(found["fc.weight"], state["fc.weight"])


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "other.safetensors"
    save_file(torchvision.models.mobilenet_v2(num_classes=5).state_dict(), wrong)
    with pytest.raises(ClassifierError, match=r"not weights of resnet18: conv1.weight is missing; .* and \d+ more"):
        build_classifier(FILE, 5, wrong)
    state = torchvision.models.resnet18(num_classes=5).state_dict()
    save_file(state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, wrong)
    with pytest.raises(ClassifierError, match=r"conv1.weight is \(64, 1, 7, 7\), not \(64, 3, 7, 7\)"):
        build_classifier(FILE, 5, wrong)
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ClassifierError, match="cannot be read as"):
        build_classifier(FILE, 5, tmp_path / "text.safetensors")
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "pickle.pth")
    with pytest.raises(ClassifierError, match="holds more than weights"):
        build_classifier(FILE, 5, tmp_path / "pickle.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ClassifierError, match="holds no state dict"):
        build_classifier(FILE, 5, tmp_path / "list.pth")


def test_a_weights_file_is_required_if_and_only_if_one_is_read(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="weights=file needs a file of weights"):
        build_classifier(FILE, 5)
    with pytest.raises(ClassifierError, match="weights=none has no use for"):
        build_classifier(ClassifierConfig(), 5, start=tmp_path)
    with pytest.raises(EncoderFileError, match="not a readable"):
        build_classifier(FOLDED, 5, start=tmp_path / "absent.npz")


@pytest.mark.real_data
def test_the_folded_mobilenet_names_what_it_sees(data_root: Path, tmp_path: Path) -> None:
    """With ImageNet's own head, drawn bars are a radiator and drawn rings a labyrinth; it survives saving."""
    file = data_root / "weights" / "mobilenet_v2_imagenet_folded.npz"
    if not file.is_file():
        pytest.skip("no weights here")
    cfg = FOLDED.model_copy(update={"image_size_px": 224})
    model = build_classifier(cfg, classes=1001, start=file).eval()
    weight, bias = read_folded(file)[-1]
    head = model.network.get_submodule("classifier.1")
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weight.reshape(1001, 1280)))
        head.bias.copy_(torch.tensor(bias))
    names = (data_root / "weights" / "coral_imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    rows, columns = np.mgrid[:224, :224]
    stripes = torch.tensor((columns // 16 % 2 == 0) * 0.9, dtype=torch.float32)[None, None]
    radius = np.hypot(rows - 112, columns - 112)
    rings = torch.tensor((radius // 12 % 2 == 0) * (radius < 100) * 0.9 + 0.05, dtype=torch.float32)[None, None]
    with torch.no_grad():
        seen = [names[int(model(picture).argmax())].split(maxsplit=1)[-1] for picture in (stripes, rings)]
    assert seen == SEEN
    save_classifier(model, tmp_path)
    with torch.no_grad():
        assert torch.equal(load_classifier(tmp_path)(rings), model(rings))


SEEN = ["radiator", "labyrinth"]
