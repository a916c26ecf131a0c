"""Publish a trained LoRA with its model card on the Hugging Face Hub, and no other file of its folder."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from fulora.config import ConfigError, validated
from fulora.data.label_set import FILE as CLASSES
from fulora.data.pictures.embedded_metadata import read_mark
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.card import KOHYA_FILE, hub_id, model_card
from fulora.diffusion.lora.files import FILE, METRICS, SAMPLES
from fulora.diffusion.lora.metadata import fulora_entry
from fulora.diffusion.lora.read import read_lora
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.training.checkpoints import CHECKPOINTS

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

TITLE = "Fetal ultrasound LoRA"
CARD = "README.md"
GRID = re.compile(r"step_\d+\.png")
UNKNOWN = ("", "unknown")


class PublishError(ValueError):
    """Raised if a LoRA cannot be published, or could not be uploaded."""


@dataclass(frozen=True)
class Publication:
    """What was published, or would be.

    Attributes:
        sizes: bytes of each file by its name in the repository.
        left_out: files of the folder that are not published.
        card: the text of README.md.
        images_licence: as the LoRA file states it; "" if it does not.
        url: of the commit; "" if nothing was uploaded.
    """

    sizes: Mapping[str, int]
    left_out: tuple[str, ...]
    card: str
    images_licence: str
    url: str


def publish_lora(
    folder: Path,
    repo_id: str,
    *,
    push: bool,
    private: bool = True,
    token: str | None = None,
    licence: str = "",
    title: str = TITLE,
    out: Path | None = None,
    api: "HfApi | None" = None,
) -> Publication:
    """Collect the files that may be published, with a model card, and upload them in one commit if `push`.

    These are the LoRA, its classes, its metrics, and sample grids that are marked as synthetic: no checkpoints, no
    patient numbers, no records with paths, no unknown files, and no targets of links.

    Args:
        folder: of a finished LoRA.
        licence: of the weights; "" takes the licence that the file states for the images.
        out: new folder in which the files are collected and kept; None keeps none.
        api: the Hub's client; None creates one.

    Raises:
        PublishError: if the repository id is invalid, the LoRA is not finished, the licence unknown, the token missing,
            the Hub cannot be reached or refuses, or the repository is already public although `private`.
        CardError: if a title or licence is not allowed in the card.
        LoraError: if the LoRA file is damaged or not finite.
    """
    if push and not token:
        raise PublishError("no token for the Hub: run `hf auth login`, or set HF_TOKEN to a token that may write")
    from huggingface_hub import HfApi

    if hub_id(repo_id) is None:
        raise PublishError(
            f"{repo_id!r} is not a repository name: write owner/name, of letters, digits, '-', '_' and single '.', at "
            "most 96, the owner being a user or an organisation of the Hub"
        )
    config, facts, pipeline = read_header(folder)
    files = outgoing(folder)
    licence = licence or config.licence
    if licence in UNKNOWN:
        raise PublishError(
            f"{folder}: the licence of the training images is not known, so neither is that of the weights. Find out "
            "whether it allows publishing the weights, then name their licence, such as --licence cc-by-4.0"
        )
    if out is not None and out.exists():
        raise PublishError(f"{out}: exists already; give a new folder")
    metrics = read_metrics(folder / METRICS) if METRICS in files else []
    card = model_card(config, facts, metrics, title=title, licence=licence, files=list(files), pipeline=pipeline)
    with tempfile.TemporaryDirectory() as temporary:
        place = out or Path(temporary)
        for name, path in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place / name)
        (place / CARD).write_text(card, encoding="utf-8")
        sizes = {name: (place / name).stat().st_size for name in (CARD, *files)}
        url = send(api or HfApi(library_name="fulora"), place, repo_id, list(sizes), private, token) if push else ""
    return Publication(sizes, _left_out(folder, files), card, config.licence, url)


def read_header(folder: Path) -> "tuple[LoraConfig, TrainingFacts, str]":
    """Return the config, the training data and diffusers' pipeline class from the header of `lora.safetensors`.

    Raises:
        PublishError: if training has not finished, or fulora did not train the file.
        LoraError: if it is damaged, or contains numbers that are not finite.
    """
    path = folder / FILE
    if not _plain(path):
        raise PublishError(f"{folder} is not a finished LoRA: {FILE} is not in it; give the folder of a training")
    if (folder / CHECKPOINTS).exists():
        raise PublishError(f"{folder} is not a finished LoRA: it has {CHECKPOINTS}/; let its training end first")
    header = _header(path)
    try:
        config = validated(LoraConfig, header["config"], where=str(path))
        facts = TypeAdapter(TrainingFacts).validate_python(header["facts"])
    except (KeyError, ConfigError, ValidationError) as error:
        raise PublishError(
            f"{path}: its header does not say how it was trained and on what ({error}), so no model card can be "
            "written. Publish files that this version of `fulora lora train` wrote; the Hub's own tools send others"
        ) from error
    return config, facts, f"StableDiffusion{'XL' if header.get('architecture') == 'sdxl' else ''}Pipeline"


def outgoing(folder: Path) -> dict[str, Path]:
    """Return the files that may be published, by their name in the repository: none that could hold patient data."""
    files = {name: folder / name for name in (FILE, KOHYA_FILE, METRICS, CLASSES) if _plain(folder / name)}
    if KOHYA_FILE in files:
        header, kohya_header = _header(folder / FILE), _header(folder / KOHYA_FILE)
        if any(header.get(key) != kohya_header.get(key) for key in ("config", "facts")):
            del files[KOHYA_FILE]  # from another training
    samples = folder / SAMPLES
    for path in sorted(samples.iterdir()) if samples.is_dir() and not samples.is_symlink() else ():
        if _plain(path) and GRID.fullmatch(path.name):
            mark = read_mark(path)
            if mark is not None and mark.synthetic:
                files[f"{SAMPLES}/{path.name}"] = path
    return files


def _header(path: Path) -> dict[str, Any]:
    return fulora_entry(read_lora(path).metadata)


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _left_out(folder: Path, files: Mapping[str, Path]) -> tuple[str, ...]:
    stays = {path for path in folder.rglob("*") if not path.is_dir()} - set(files.values())
    return tuple(sorted(path.relative_to(folder).as_posix() for path in stays))


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics log.

    Raises:
        PublishError: if a line is not a JSON object of numbers with its step.
    """
    row, rows = TypeAdapter(dict[str, float]), []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            rows.append(row.validate_json(line, strict=True))
            rows[-1]["step"]
        except (ValidationError, KeyError) as error:
            raise PublishError(
                f"{path}, line {number}: not a JSON object of numbers with their step; remove the line or the file"
            ) from error
    return rows


def send(api: "HfApi", folder: Path, repo_id: str, names: list[str], private: bool, token: str | None) -> str:
    """Create the repository if it does not exist, upload the named files in one commit, and return its URL.

    Raises:
        PublishError: if the Hub cannot be reached, refuses, or has the repository with another visibility.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    try:
        api.create_repo(repo_id, repo_type="model", private=private, exist_ok=True, token=token)
        if api.model_info(repo_id, token=token).private is not private:
            visibility = "public: add --public if that is intended" if private else "private: leave out --public"
            raise PublishError(f"{repo_id} exists already and is {visibility}, or name another")
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type="model",
            folder_path=folder,
            allow_patterns=names,
            commit_message="LoRA and model card, by fulora",
            token=token,
        )
    except OfflineModeIsEnabled as error:
        raise PublishError("the Hub may not be used: HF_HUB_OFFLINE is set; unset it and try again") from error
    except HfHubHTTPError as error:
        raise PublishError(_refusal(repo_id, error)) from error
    except (HTTPError, OSError, RuntimeError) as error:
        raise PublishError(
            f"{repo_id} was not sent: the Hub at {api.endpoint} cannot be reached ({error}). Check the connection, "
            "HTTPS_PROXY and HF_ENDPOINT; the same command tries again. Or give --out FOLDER without --push, take "
            f"FOLDER to a machine with internet, and run `hf upload {repo_id} FOLDER .{' --private' * private}` there"
        ) from error
    return str(commit.commit_url)


def _refusal(repo_id: str, error: "HfHubHTTPError") -> str:
    status, reason = error.response.status_code, " ".join(str(error).split())
    if status in (401, 403):
        return f"this token may not write to {repo_id} ({status}: {reason}): `hf auth login` with one that may"
    return f"the Hub refused {repo_id} ({status}: {reason})"
