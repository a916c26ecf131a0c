"""`fulora lora publish`: a trained LoRA with its model card to the Hugging Face Hub, and nothing else with it."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from fulora.diffusion.config import LoraConfig
    from fulora.diffusion.lora.training_facts import TrainingFacts

TITLE = "Fetal ultrasound LoRA"
CARD = "README.md"
METRICS = "metrics.jsonl"
GRID = re.compile(r"step_\d+\.png")
UNKNOWN = ("", "unknown")


class PublishError(ValueError):
    """A LoRA that cannot be published, or could not be sent; says what is wrong and what to do."""


@dataclass(frozen=True)
class Publication:
    """What went out, or would.

    Attributes:
        sizes: bytes of each file by its name in the repository.
        left_out: files of the folder that stay where they are.
        card: the text of README.md.
        images_licence: as the LoRA file states it; "" where it does not.
        url: of the commit; "" where nothing was sent.
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
    """Gather what may go out, with a model card, and send it to the Hub in one commit if `push`.

    That is the LoRA, its classes, its metrics, and sample grids that are marked as synthetic: no checkpoints, no
    numbers of patients, no records with paths, nothing that is not known here, and nothing that a link points to.

    Args:
        folder: of a finished LoRA.
        licence: that the weights are given out under; "" takes the one that the file states for the images.
        out: folder to gather the files in and to keep, which must not be there; None keeps none.
        api: the Hub's client; None makes one.

    Raises:
        PublishError: no valid repository id, no finished LoRA, an unknown licence, no token, a Hub that cannot be
            reached or refuses, or a repository that is public already where a private one was asked for.
        CardError: a title or a licence that cannot stand in the card.
        LoraError: a LoRA file that is damaged or not finite.
    """
    if push and not token:
        raise PublishError("no token for the Hub: run `hf auth login`, or set HF_TOKEN to a token that may write")
    from huggingface_hub import HfApi

    from fulora.diffusion.lora.card import hub_id, model_card

    if hub_id(repo_id) is None:
        raise PublishError(
            f"{repo_id!r} is no repository's name: write owner/name, of letters, digits, '-', '_' and single '.', at "
            "most 96, the owner being a user or an organisation of the Hub"
        )
    config, facts, pipeline = read_header(folder)
    files = outgoing(folder)
    licence = licence or config.licence
    if licence in UNKNOWN:
        raise PublishError(
            f"{folder}: the licence of the training images is not known, so neither is that of the weights. Find out "
            "whether it allows giving the weights out, then name theirs, such as --licence cc-by-4.0"
        )
    if out is not None and out.exists():
        raise PublishError(f"{out}: is there already; name a folder that is not")
    metrics = read_metrics(folder / METRICS) if METRICS in files else []
    card = model_card(config, facts, metrics, title=title, licence=licence, files=list(files), pipeline=pipeline)
    with tempfile.TemporaryDirectory() as temporary:
        place = out or Path(temporary)
        gather(files, card, place)
        sizes = {name: (place / name).stat().st_size for name in (CARD, *files)}
        url = send(api or HfApi(library_name="fulora"), place, repo_id, list(sizes), private, token) if push else ""
    return Publication(sizes, _left_out(folder, files), card, config.licence, url)


def read_header(folder: Path) -> "tuple[LoraConfig, TrainingFacts, str]":
    """How `lora.safetensors` was trained, on what, and for which of diffusers' pipelines, by its header.

    Raises:
        PublishError: training has not finished, or the file is not one that fulora trained.
        LoraError: it is damaged, or holds numbers that are not finite.
    """
    from pydantic import TypeAdapter, ValidationError

    from fulora.config import ConfigError, validated
    from fulora.diffusion.config import LoraConfig
    from fulora.diffusion.lora.files import FILE
    from fulora.diffusion.lora.training_facts import TrainingFacts
    from fulora.training.checkpoints import CHECKPOINTS

    path = folder / FILE
    if not _plain(path):
        raise PublishError(f"{folder} is not a finished LoRA: {FILE} is not in it; give the folder of a training")
    if (folder / CHECKPOINTS).exists():
        raise PublishError(f"{folder} is not a finished LoRA: it has {CHECKPOINTS}/; let its training end first")
    said = _said(path)
    try:
        config = validated(LoraConfig, said["config"], where=str(path))
        facts = TypeAdapter(TrainingFacts).validate_python(said["facts"])
    except (KeyError, ConfigError, ValidationError) as error:
        raise PublishError(
            f"{path}: its header does not say how it was trained and on what ({error}), so no model card can be "
            "written. Publish files that this version of `fulora lora train` wrote; the Hub's own tools send others"
        ) from error
    return config, facts, f"StableDiffusion{'XL' if said.get('architecture') == 'sdxl' else ''}Pipeline"


def outgoing(folder: Path) -> dict[str, Path]:
    """The files that may go out, by their name in the repository: what is known to hold no patient, and no more."""
    from fulora.data.label_set import FILE as CLASSES
    from fulora.data.pictures.embedded_metadata import read_mark
    from fulora.diffusion.lora.card import KOHYA_FILE
    from fulora.diffusion.lora.files import FILE
    from fulora.diffusion.training.preview import SAMPLES

    files = {name: folder / name for name in (FILE, KOHYA_FILE, METRICS, CLASSES) if _plain(folder / name)}
    if KOHYA_FILE in files:
        ours, kohyas = _said(folder / FILE), _said(folder / KOHYA_FILE)
        if any(ours.get(key) != kohyas.get(key) for key in ("config", "facts")):
            del files[KOHYA_FILE]  # it is of another training
    samples = folder / SAMPLES
    for path in sorted(samples.iterdir()) if samples.is_dir() and not samples.is_symlink() else ():
        if _plain(path) and GRID.fullmatch(path.name):
            mark = read_mark(path)
            if mark is not None and mark.synthetic:
                files[f"{SAMPLES}/{path.name}"] = path
    return files


def _said(path: Path) -> dict[str, Any]:
    """fulora's part of the header of a LoRA file that is whole."""
    from fulora.diffusion.lora.metadata import own
    from fulora.diffusion.lora.read import read_lora

    return own(read_lora(path).metadata)


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _left_out(folder: Path, files: Mapping[str, Path]) -> tuple[str, ...]:
    stays = {path for path in folder.rglob("*") if not path.is_dir()} - set(files.values())
    return tuple(sorted(path.relative_to(folder).as_posix() for path in stays))


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a metrics log.

    Raises:
        PublishError: a line is not a JSON object of numbers with its step, so it is not known what it tells.
    """
    from pydantic import TypeAdapter, ValidationError

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


def gather(files: Mapping[str, Path], card: str, out: Path) -> None:
    """Copy the files to `out` under their names, and write the card beside them."""
    for name, path in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / name)
    (out / CARD).write_text(card, encoding="utf-8")


def send(api: "HfApi", folder: Path, repo_id: str, names: list[str], private: bool, token: str | None) -> str:
    """Make the repository if it is not there, and send the named files in one commit. Returns the commit's address.

    Raises:
        PublishError: the Hub cannot be reached, refuses, or has the repository already, public and not private or the
            other way round.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    try:
        api.create_repo(repo_id, repo_type="model", private=private, exist_ok=True, token=token)
        if api.model_info(repo_id, token=token).private is not private:
            found = "public: add --public if that is meant" if private else "private: leave out --public"
            raise PublishError(f"{repo_id} is there already and {found}, or name another")
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type="model",
            folder_path=folder,
            allow_patterns=names,
            commit_message="LoRA and model card, by fulora",
            token=token,
        )
    except OfflineModeIsEnabled as error:
        raise PublishError("the Hub may not be asked: HF_HUB_OFFLINE is set; unset it and try again") from error
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
    return f"the Hub did not take {repo_id} ({status}: {reason})"


def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished LoRA, as `lora train` and `run` write it.")],
    to: Annotated[str, typer.Option("--to", metavar="OWNER/NAME", help="Repository on the Hub; made if not there.")],
    push: Annotated[bool, typer.Option("--push", help="Send it. Without this, nothing leaves this machine.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Open to all; otherwise the repository is private.")] = False,
    licence: Annotated[str, typer.Option(help="Of the weights; otherwise that of the training images.")] = "",
    title: Annotated[str, typer.Option(help="Of the model card.")] = TITLE,
    out: Annotated[Path | None, typer.Option("--out", help="New folder to gather the files in, to look at.")] = None,
) -> None:
    """Publish a LoRA on the Hugging Face Hub, with a model card. Without --push it shows what would be sent: read it.

    Examples:

      fulora lora publish work/train_lora-0123456789abcdef --to me/fetal-planes --out look

      fulora lora publish work/train_lora-0123456789abcdef --to me/fetal-planes --licence cc-by-4.0 --push
    """
    from huggingface_hub import get_token

    done = publish_lora(
        folder,
        to,
        push=push,
        private=not public,
        token=get_token() if push else None,
        licence=licence,
        title=title,
        out=out,
    )
    print(f"{to}, {'public' if public else 'private'}: {f'sent, {done.url}' if push else 'nothing was sent'}")
    for name, size in done.sizes.items():
        print(f"  {size:>13,} bytes  {name}")
    for name in done.left_out:
        print(f"  {'stays here':>19}  {name}")
    print(
        f"You must check: whether the licence of the training images ({done.images_licence or 'not stated'}) and that "
        "of the base model allow giving out these weights, and whether pictures drawn with them copy training images."
    )
    if out is not None:
        print(f"Gathered in {out}: read {out / CARD}.")
    elif not push:
        print(f"\n{done.card}", end="")
