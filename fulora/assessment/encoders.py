"""Named encoders, which compute the features of pictures that distances are taken of."""

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import torch
from jaxtyping import Int
from PIL import Image as Pil
from torch import Tensor

import fulora
from fulora.assessment.encoder_checks import (
    EncoderError,
    Features,
    GrayPicture,
    check_finite,
    check_stable,
    check_varied,
    rows_of,
)
from fulora.assessment.trust import check_trusted
from fulora.data.pictures.normalisation import IMAGENET, Statistics, timm_statistics
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.pictures.resize import to_square
from fulora.data.state_dicts import kind_of, more_than_weights, wrong_format
from fulora.files import atomic_file
from fulora.integrity import content_digest
from fulora.metrics.fidelity import pixel_features
from fulora.progress import note, track
from fulora.training.devices import pick_device
from fulora.training.inference import Inference, decoded_ahead, device_of

SIDE_PX, HASH_SIZE, BATCH = 64, 16, 32
EMBEDDED_CLIP = Path(fulora.__file__).parent / "assets" / "clip"
KNOWN = "pixels, hash, clip, clip:FOLDER, timm:NAME, timm:NAME:FILE, torchscript:FILE"


@dataclass(frozen=True)
class Views:
    """Features of pictures, and of the mirrored pictures: a copy may be flipped."""

    plain: Features
    mirrored: Features

    def of(self, places: Int[np.ndarray, " m"]) -> "Views":
        """Select some pictures by index."""
        return Views(self.plain[places], self.mirrored[places])

    def __add__(self, other: "Views") -> "Views":
        """Concatenate."""
        return Views(*(np.concatenate(pair) for pair in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Encoder:
    """An encoder.

    Attributes:
        name: shown beside every figure.
        identity: everything but the pictures that its features depend on.
        directions: embeds the prompts of classes, one row a class, if it is a CLIP.
    """

    name: str
    identity: str
    encode: Callable[[Sequence[GrayPicture]], Features]
    directions: Callable[[Mapping[str, Sequence[str]]], Features] | None = None

    def features(self, pictures: Sequence[GrayPicture], cache: Path | None = None) -> Features:
        """Compute the features of pictures, or read them from the cache."""
        if cache is None:
            return self.encode(pictures)
        key = hashlib.sha256("\n".join([self.identity, *map(pixel_digest, pictures)]).encode()).hexdigest()[:24]
        path = cache / f"{key}.npz"
        if path.is_file() and (cached := _read_cached(path, len(pictures))) is not None:
            return cached
        features = self.encode(pictures)
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as new:
            np.savez(new, features=features)
        return features

    def views(self, pictures: Sequence[GrayPicture], cache: Path | None = None) -> Views:
        """Compute the features of pictures, and of the mirrored ones."""
        turned = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
        return Views(self.features(pictures, cache), self.features(turned, cache))


def _read_cached(path: Path, count: int) -> Features | None:
    """Read features; None, with a note, if the file is damaged (a zip file has checksums)."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            features = np.asarray(archive["features"])
        if features.shape[:1] != (count,):
            raise ValueError(f"it holds {features.shape} numbers for {count} pictures")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        note(f"{path}: is damaged ({error}); its features are computed again")
        return None
    return features


def load_encoder(text: str, clip: Path | None = None, trusted: Collection[str] = (), device: str = "auto") -> Encoder:
    """Load an encoder by name.

    pixels: intensities, histogram and spectrum at 64 px (`pixel_features`). hash: perceptual hash of 256 bits, whose
    squared distance is the number of bits that differ. clip: the embedded CLIP's image tower, or of an open_clip folder
    or `hub:` name. timm: a network of timm's, its weights from the hub or a file. torchscript: a TorchScript file that
    takes ImageNet-normalised pictures of 288 px, such as SSCD's. Such a file is a program that can write files.

    Args:
        clip: the CLIP of the name `clip`, if it is not the embedded one.
        trusted: SHA-256 digests of the TorchScript files that may run.
        device: of networks (`pick_device`). On a CUDA GPU a CLIP and timm's run in half precision, within the tolerance
            of `fulora.training.inference.Inference`; a TorchScript file, which may fix its precision, in full.

    Raises:
        DeviceError: if there is no such device.
        EncoderError: if there is no such encoder, or it cannot be loaded.
        UntrustedEncoderError: if a TorchScript file is not trusted.
    """
    check_trusted([text], trusted)
    kind, _, rest = text.partition(":")
    match kind:
        case "pixels" if not rest:
            return Encoder(text, "pixels 1", _pixels)
        case "hash" if not rest:
            return Encoder(text, "hash 1", _hashes)
        case "clip":
            return _clip(text, rest or str(clip or EMBEDDED_CLIP), device)
        case "timm" if rest:
            return _timm(text, pick_device(device), *rest.split(":", 1))
        case "torchscript" if rest:
            return _torchscript(text, pick_device(device), Path(rest))
    raise EncoderError(f"{text}: no such encoder; there are {KNOWN}")


def _pixels(pictures: Sequence[GrayPicture]) -> Features:
    return pixel_features(np.stack([to_square(picture, SIDE_PX, "letterbox") for picture in pictures]))


def _hashes(pictures: Sequence[GrayPicture]) -> Features:
    hashes = [imagehash.phash(Pil.fromarray(picture), HASH_SIZE).hash.ravel() for picture in pictures]
    return np.array(hashes, np.float32)


def _computed_on(device: torch.device) -> str:
    """The end of an identity: a GPU's features differ in more than the last digits, and do not serve a CPU."""
    return "" if device.type == "cpu" else f" {device.type}"


def _clip(name: str, source: str, device: str) -> Encoder:
    from fulora.clip.embed import image_directions, text_directions
    from fulora.clip.loading import load_clip

    identity = content_digest(Path(source), None) if Path(source).exists() else source
    clip = load_clip(source).on(device)

    def encode(pictures: Sequence[GrayPicture]) -> Features:
        features: Features = image_directions(clip.model, len(pictures), pictures.__getitem__, BATCH).numpy()
        if not np.isfinite(features).all():
            raise EncoderError(f"{name}: gives NaN or infinity for pictures: its weights may be damaged")
        check_varied(name, features, pictures)
        return features

    def directions(prompts: Mapping[str, Sequence[str]]) -> Features:
        return text_directions(clip.model, clip.tokenizer, prompts).cpu().numpy().T

    return Encoder(name, f"clip {identity}{_computed_on(device_of(clip.model))}", encode, directions)


def _timm(name: str, device: torch.device, architecture: str, file: str = "") -> Encoder:
    import timm
    from timm.data import resolve_model_data_config

    try:
        if file and (wrong := wrong_format(Path(file), pickles=True)):
            raise EncoderError(f"{name}: cannot be read as weights: {wrong}")
        if file and kind_of(Path(file)) == "pickle":
            torch.load(file, "cpu", weights_only=True)  # timm's own message would advise to read it nevertheless
        overlay = {"file": file} if file else None
        model = timm.create_model(architecture, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
    except EncoderError:
        raise
    except pickle.UnpicklingError as error:
        raise EncoderError(f"{name}: {more_than_weights(error)}") from error
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EncoderError(
            f"{name}: cannot be loaded by timm: {reason}; without internet give timm:NAME:FILE"
        ) from error
    data = resolve_model_data_config(model)
    identity = content_digest(Path(file), None) if file else "hub"
    side = int(data["input_size"][-1])
    encode = _network(name, model.eval().to(device), side, timm_statistics(architecture), device, half=True)
    return Encoder(name, f"timm checked {architecture} {identity}{_computed_on(device)}", encode)


def _torchscript(name: str, device: torch.device, file: Path) -> Encoder:
    if kind_of(file) != "torchscript":
        raise EncoderError(
            f"{name}: is not a TorchScript file; give one, or of a network of timm's timm:NAME:FILE with its weights"
        )
    try:
        with warnings.catch_warnings():  # SSCD, and much else, is published in this format alone
            warnings.simplefilter("ignore", FutureWarning)
            model = torch.jit.load(str(file), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError, ValueError) as error:
        raise EncoderError(f"{name}: no TorchScript file can be read there: {error}") from error
    encode = _network(name, model, 288, IMAGENET, device, half=False)
    return Encoder(name, f"torchscript checked {content_digest(file, None)}{_computed_on(device)}", encode)


def _network(
    name: str, model: Callable[[Any], Any], side: int, seen: Statistics, device: torch.device, *, half: bool
) -> Callable[[Sequence[GrayPicture]], Features]:
    """Return the features function of a network, which checks that features depend on the picture alone and differ."""
    shift, scale = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (seen.mean, seen.std))
    received = "ImageNet-normalised" if seen == IMAGENET else f"normalised by mean {seen.mean} and std {seen.std}"

    def rows(pixels: Tensor) -> Tensor:
        return rows_of(name, received, model, (pixels[:, None].float() / 255 - shift) / scale)

    inference = Inference(rows, device, cpu_batch=BATCH, half=half)
    exact = Inference(rows, device, cpu_batch=BATCH)
    checked = False

    def computed(pictures: Sequence[GrayPicture], by: Inference) -> Iterator[Features]:
        squares = decoded_ahead(lambda picture: to_square(picture, side, "letterbox"), pictures, by.batch_size)
        for features in by.rows(track(squares, "encoded", total=len(pictures))):
            check_finite(name, received, side, features.numpy())
            yield features.numpy()

    def encode(pictures: Sequence[GrayPicture]) -> Features:
        nonlocal checked
        if not checked and len(pictures):
            form = f"N x 3 x {side} x {side}, {received}"
            check_stable(name, form, lambda few: np.concatenate(list(computed(few, exact))), pictures[0])
            checked = True
        features = np.concatenate(list(computed(pictures, inference)))
        check_varied(name, features, pictures)
        return features

    return encode
