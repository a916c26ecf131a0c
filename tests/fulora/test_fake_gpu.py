"""Every function that predicts runs where its network is: on a simulated GPU, no tensor stays on the CPU."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from fake_gpu import GPU, fake_gpu

import fulora
from fulora.assessment import encoders
from fulora.assessment.encoders import load_encoder
from fulora.assessment.judges import FOLDS, judge
from fulora.assessment.loaded_pictures import Pictures
from fulora.classification.config import ClassifierConfig
from fulora.classification.model import build_classifier, save_classifier
from fulora.classification.predict import predict
from fulora.clip.embed import image_directions, text_directions
from fulora.clip.loading import load_clip
from fulora.data.label_set import label_set
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling import image_generator
from fulora.diffusion.sampling.compute import choose_compute
from fulora.diffusion.sampling.config import GenerateConfig, resolve_config
from fulora.diffusion.sampling.image_generator import ImageRequest, build_generator
from fulora.diffusion.sampling.sample import encode
from fulora.digests import file_digest
from fulora.segmentation.config import SegmentConfig, UnetConfig
from fulora.segmentation.model import Unet, build_unet
from fulora.segmentation.predict import predict as predict_masks
from fulora.segmentation.pseudo_label import predict_ensemble
from fulora.training.devices import pick_device

ASSETS = Path(fulora.__file__).parent / "assets"
FETAL = label_set("fetal_planes")
PICTURES = list(np.random.default_rng(0).integers(0, 256, (5, 40, 50)).astype(np.uint8))
CLASSIFIER = ClassifierConfig(image_size_px=32)


def unet(seed: int, image_size_px: int | None) -> Unet:
    settings = {"encoder": "resnet18", "decoder_channels": (16, 16, 8, 8, 8), "seed": seed}
    return build_unet(UnetConfig.model_validate(settings | {"image_size_px": image_size_px})).eval()


def test_the_device_of_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = torch.nn.Linear(2, 2)
    with fake_gpu(monkeypatch):
        assert pick_device("auto") == torch.device("cuda")
        assert layer.to(GPU)(torch.zeros(1, 2, device=GPU)).device == GPU


def test_what_is_left_on_the_cpu_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(AssertionError, match="no network ran on the GPU"), fake_gpu(monkeypatch):
        layer(torch.zeros(1, 2))
    with pytest.raises(AssertionError, match="ran on the CPU: ReLU"), fake_gpu(monkeypatch):
        [torch.nn.ReLU()(torch.zeros(1, 2, device=place)) for place in ("cpu", GPU)]
    with pytest.raises(RuntimeError, match="on the same device"), fake_gpu(monkeypatch):
        layer.to(GPU)(torch.zeros(1, 2))


def test_pictures_and_prompts_of_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = load_clip(ASSETS / "clip")
    with fake_gpu(monkeypatch) as gpu:
        clip.on("auto")
        assert image_directions(clip.model, len(PICTURES), PICTURES.__getitem__).shape == (5, 64)
        assert gpu.networks
        assert text_directions(clip.model, clip.tokenizer, {"a": ["a head"], "b": ["a belly"]}).device == GPU


def test_classes_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_classifier(CLASSIFIER, 5)
    with fake_gpu(monkeypatch):
        model.to(pick_device("auto"))
        assert predict(model, np.zeros((3, 32, 32), np.uint8)).shape == (3, 5)


def test_judges(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for fold in range(2):
        save_classifier(build_classifier(CLASSIFIER, 5), tmp_path / str(fold))
    (tmp_path / FOLDS).write_text('{"p": 0, "q": 1}')
    names = np.array(["a", "b", "c", "d", "e"])
    planes, patients, unknown = np.array(["brain"] * 5), np.array(["p", "p", "q", "q", "p"]), np.array([""] * 5)
    pictures = Pictures(PICTURES, names, planes, patients, True, unknown, unknown, np.zeros((5, 2)))
    with fake_gpu(monkeypatch, ["fulora.assessment.judges.load_classifier"]):
        scores = judge(tmp_path, pictures, np.array(["p", "q", "p", "", "q"]), pictures, np.zeros(5, int))
    assert scores.made.shape == scores.real.shape == (5, 5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["clip", "timm", "torchscript"])
def test_encoders(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(encoders, "check_stable", lambda name, form, encode, picture: encode([picture]))
    monkeypatch.setattr(encoders, "check_varied", lambda name, features, pictures: None)
    network = timm.create_model("resnet10t", num_classes=0)
    torch.save(network.state_dict(), tmp_path / "timm.pth")
    scripted = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 7, 32), torch.nn.Flatten())
    torch.jit.script(scripted).save(tmp_path / "net.pt")
    monkeypatch.setattr(torch.jit, "load", lambda file, map_location: scripted.to(map_location))
    name = {
        "clip": "clip",
        "timm": f"timm:resnet10t:{tmp_path}/timm.pth",
        "torchscript": f"torchscript:{tmp_path}/net.pt",
    }
    loaders = ["fulora.clip.loading.load_clip", "timm.create_model", "torch.load"]
    with fake_gpu(monkeypatch, loaders):
        encoder = load_encoder(name[kind], trusted=[file_digest(tmp_path / "net.pt")])
        assert encoder.features(PICTURES).shape[0] == 5
        assert encoder.identity.endswith(" cuda")
        if encoder.directions is not None:
            assert encoder.directions({"a": ["a head"], "b": ["a belly"]}).shape == (2, 64)


@pytest.mark.parametrize("image_size_px", [64, None])
def test_masks(image_size_px: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [unet(seed, image_size_px) for seed in range(2)]
    with fake_gpu(monkeypatch):
        placed = [model.to(pick_device("auto")) for model in models]
        masks = list(predict_masks(placed, PICTURES, SegmentConfig(flip=True, batch_size=2)))
    assert [mask.shape for mask in masks] == [(40, 50)] * 5


def test_pseudo_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [unet(seed, 64) for seed in range(2)]
    with fake_gpu(monkeypatch):
        predicted = list(predict_ensemble([model.to(pick_device("auto")) for model in models], PICTURES[:2]))
    assert [one.mask.shape for one in predicted] == [(40, 50)] * 2


class StraightSampler:
    """A sampler without tables of numbers, which fake tensors do not have."""

    init_noise_sigma = 1.0

    def set_timesteps(self, steps: int, device: torch.device) -> None:
        self.timesteps = torch.zeros(steps, dtype=torch.long, device=device)

    def scale_model_input(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return latents

    def step(self, predicted: torch.Tensor, time: torch.Tensor, latents: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(prev_sample=latents - predicted)


def test_generated_images_and_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"per_class": 2, "image_size_px": 32, "steps": 2, "batch_size": 2, "compile": "never"}
    cfg, pipe = resolve_config(GenerateConfig.model_validate(small), FETAL), load_backbone(ASSETS / "diffusion")
    monkeypatch.setattr(image_generator, "build_sampler", lambda schedule, name: StraightSampler())
    with fake_gpu(monkeypatch) as gpu:
        generator = build_generator(pipe, cfg, choose_compute(pipe, cfg, 2))
        (image,) = generator.generate([ImageRequest("brain", 0)])
        assert {"CLIPTextModel", "UNet2DConditionModel", "Decoder"} <= gpu.networks
        assert encode(generator.vae, torch.zeros(1, 32, 32, dtype=torch.uint8)).device == GPU
    assert image.pixels.shape == (32, 32)
