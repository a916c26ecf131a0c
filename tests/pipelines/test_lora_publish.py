"""`fulora lora publish`: what goes out, what never does, and what is said when it cannot. No test asks the real Hub."""

import http.server
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from command_line import fulora
from huggingface_hub import HfApi, ModelCard, metadata_load
from huggingface_hub.utils import filter_repo_objects
from PIL import Image as Pil
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fulora.diffusion.config import LoraConfig, PretrainConfig, SamplesConfig
from fulora.diffusion.lora.card import KOHYA_FILE, CardError
from fulora.diffusion.lora.files import FILE, convert_lora
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.publish import Publication, PublishError, publish_lora
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.diffusion.models.architectures import build_backbone
from fulora.diffusion.models.tokenizers import collect_words
from fulora.diffusion.training.examples import Examples
from fulora.diffusion.training.train import fit
from pipelines.__main__ import app

REPO = "someone/planes"
TOKEN = "hf_not_a_token"
OUT = [FILE, "metrics.jsonl", "samples/step_000000.png", "samples/step_000002.png"]
CAPTIONS = ["a photo of fetal brain", "a photo of fetal femur"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of two steps on a tiny backbone, as the trainer leaves it."""
    place = tmp_path_factory.mktemp("trained")
    tiny = PretrainConfig(vae_channels=(8, 8, 8), unet_channels=(16, 32), text_width=16, device="cpu")
    config = LoraConfig(
        rank=2,
        steps=2,
        batch_size=2,
        resolution_px=32,
        bucket_step_px=8,
        validate_every=1,
        licence="cc-by-4.0",
        samples=SamplesConfig(every=2, per_caption=1, steps=1),
        compile="never",
        device="cpu",
    )
    pictures = list(np.random.default_rng(0).integers(0, 256, (2, 32, 32)).astype(np.uint8))
    fit(
        place / "lora",
        config,
        build_backbone(tiny, 32, place / "words", collect_words(CAPTIONS)),
        Examples(pictures, CAPTIONS),
        validation=Examples(pictures, CAPTIONS),
        facts=TrainingFacts(base_model="owner/base", patients=2),
    )
    return place / "lora"


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, beside what a stage and its users leave there, none of which may go out."""
    copy = shutil.copytree(trained, tmp_path / "lora")
    (copy / "provenance.json").write_text('["source/site/patient-4711"]')
    (copy / "stage.json").write_text('{"input_folders": {"images": "/home/someone/images"}}')
    for name in (".hidden", "checkpoint.pt", "last_good.safetensors", "notes.md", "samples/.step_000001.png"):
        (copy / name).write_text("patient-4711")
    for name in ("samples/step_000004.png", "samples/patient.png", "audit.png"):
        Pil.fromarray(np.zeros((8, 8), np.uint8)).save(copy / name)  # without the mark of a synthetic picture
    (copy / "samples" / "step_000006.png").symlink_to(copy / "samples" / "step_000002.png")
    (copy / "more").mkdir()
    shutil.copy(copy / FILE, copy / "more" / FILE)
    return copy


class Hub(HfApi):
    """The Hub's client with the Hub left out: it keeps what it is asked and what would be sent."""

    def __init__(self, *, private: bool = True, error: Exception | None = None) -> None:
        super().__init__(endpoint="https://hub.invalid")
        self.private, self.error = private, error
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.sent: dict[str, bytes] = {}

    def create_repo(self, repo_id: str, **values: Any) -> Any:
        self.calls.append(("create_repo", {"repo_id": repo_id, **values}))
        if self.error:
            raise self.error

    def model_info(self, repo_id: str, **values: Any) -> Any:
        self.calls.append(("model_info", {"repo_id": repo_id, **values}))
        return SimpleNamespace(private=self.private)

    def upload_folder(self, **values: Any) -> Any:
        self.calls.append(("upload_folder", values))
        place = Path(values["folder_path"])
        found = [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()]
        for name in filter_repo_objects(found, allow_patterns=values["allow_patterns"]):
            self.sent[name] = (place / name).read_bytes()
        return SimpleNamespace(commit_url=f"https://hub.invalid/{values['repo_id']}/commit/1")


def pushed(folder: Path, hub: HfApi, *, private: bool = True, licence: str = "") -> Publication:
    return publish_lora(folder, REPO, push=True, private=private, token=TOKEN, licence=licence, api=hub)


def rewritten(folder: Path, **ours: object) -> None:
    """Write the LoRA anew with other words in fulora's part of its header; None removes one."""
    with safe_open(folder / FILE, "pt") as file:
        header = dict(file.metadata())
    said = {key: value for key, value in (json.loads(header["fulora"]) | ours).items() if value is not None}
    save_file(load_file(folder / FILE), folder / FILE, header | {"fulora": json.dumps(said)})


# --- what goes out


@pytest.mark.slow
def test_a_push_sends_the_files_that_may_go_out_in_one_commit(folder: Path) -> None:
    hub = Hub()
    done = pushed(folder, hub)
    (created, asked, sent) = hub.calls
    assert created == (
        "create_repo",
        {"repo_id": REPO, "repo_type": "model", "private": True, "exist_ok": True, "token": TOKEN},
    )
    assert asked[0] == "model_info"
    assert (sent[0], sent[1]["repo_id"], sent[1]["token"]) == ("upload_folder", REPO, TOKEN)
    assert sorted(hub.sent) == sorted(["README.md", *OUT])
    assert {name: (folder / name).read_bytes() for name in OUT} == {name: hub.sent[name] for name in OUT}
    assert hub.sent["README.md"].decode() == done.card
    assert done.sizes == {name: len(content) for name, content in hub.sent.items()}
    assert done.url == "https://hub.invalid/someone/planes/commit/1"
    assert not Path(sent[1]["folder_path"]).exists()


def test_nothing_of_patients_or_of_this_machine_goes_out(folder: Path, tmp_path: Path) -> None:
    hub = Hub()
    done = pushed(folder, hub)
    for name, content in hub.sent.items():
        for words in (b"patient-4711", b"/home/", str(tmp_path).encode(), TOKEN.encode()):
            assert words not in content, (name, words)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    assert set(done.left_out) == there - set(OUT)
    assert {"provenance.json", "stage.json", "samples/step_000004.png", "samples/step_000006.png"} < set(done.left_out)


def test_without_push_nothing_is_sent(folder: Path, tmp_path: Path) -> None:
    hub, before = Hub(), sorted(folder.rglob("*"))
    done = publish_lora(folder, REPO, push=False, out=tmp_path / "look", api=hub)
    assert (hub.calls, done.url) == ([], "")
    gathered = {path.relative_to(tmp_path / "look").as_posix(): path for path in (tmp_path / "look").rglob("*.*")}
    assert {name: path.stat().st_size for name, path in gathered.items()} == done.sizes
    assert sorted(done.sizes) == sorted(["README.md", *OUT])
    assert sorted(folder.rglob("*")) == before


def test_the_card_tells_what_the_header_and_the_log_say(folder: Path, tmp_path: Path) -> None:
    publish_lora(folder, REPO, push=False, title="Two planes", out=tmp_path / "look")
    head = metadata_load(tmp_path / "look" / "README.md")
    assert head is not None
    assert (head["license"], head["base_model"]) == ("cc-by-4.0", "owner/base")
    card = ModelCard.load(tmp_path / "look" / "README.md").text
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    evaluated = [row for row in losses if "validation_loss" in row]
    assert len(evaluated) == 3
    for words in (
        *("# Two planes", "| `a photo of fetal brain` | 1 |", "Patients: 2.", "validation loss: 2.", "| `rank` | 2 |"),
        *("![Synthetic pictures](samples/step_000002.png)", "The weights are those after step 2."),
        f"| last | 2 | {evaluated[-1]['validation_loss']:.4g} | {evaluated[-1]['seen_loss']:.4g} |",
    ):
        assert words in card, words


def test_a_kohya_file_of_the_same_training_goes_out_too(folder: Path, tmp_path: Path) -> None:
    convert_lora(folder / FILE, folder / KOHYA_FILE, format="kohya")
    hub = Hub()
    assert "<lora:lora_kohya:1>" in pushed(folder, hub).card
    assert KOHYA_FILE in hub.sent
    rewritten(folder, facts={"patients": 3})
    assert KOHYA_FILE in pushed(folder, hub := Hub()).left_out
    assert KOHYA_FILE not in hub.sent


def test_a_lora_without_log_and_samples_can_go_out(folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()
    shutil.rmtree(folder / "samples")
    pushed(folder, hub := Hub())
    assert sorted(hub.sent) == ["README.md", FILE]
    assert "No validation loss was recorded" in hub.sent["README.md"].decode()


# --- who may see it


def test_public_only_if_asked_for(folder: Path) -> None:
    pushed(folder, hub := Hub(private=False), private=False)
    assert hub.calls[0][1]["private"] is False
    assert hub.sent


@pytest.mark.parametrize(
    ("private", "message"),
    [(True, "already and is public: add --public"), (False, "already and is private: leave out --public")],
)
def test_a_repository_that_is_there_is_taken_as_it_is_or_not(folder: Path, private: bool, message: str) -> None:
    hub = Hub(private=not private)
    with pytest.raises(PublishError, match=f"someone/planes exists {message}"):
        pushed(folder, hub, private=private)
    assert not hub.sent


# --- what is refused, before the Hub is asked


@pytest.mark.parametrize("name", ["planes", "a/b/c", "so meone/planes", "someone/planes.git", "some--one/x", "/x", ""])
def test_a_repository_has_an_owner_and_a_name(folder: Path, name: str) -> None:
    with pytest.raises(PublishError, match="is not a repository name: write owner/name"):
        publish_lora(folder, name, push=True, token=TOKEN, api=Hub())


def test_a_folder_without_a_lora(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(PublishError, match=r"is not a finished LoRA: lora\.safetensors is not in it"):
        pushed(tmp_path / "nowhere", Hub())
    (folder / FILE).rename(folder / "elsewhere.safetensors")
    (folder / FILE).symlink_to(folder / "elsewhere.safetensors")
    with pytest.raises(PublishError, match=r"is not a finished LoRA: lora\.safetensors is not in it"):
        pushed(folder, Hub())


def test_a_training_that_has_not_ended(folder: Path) -> None:
    (folder / "checkpoints").mkdir()
    with pytest.raises(PublishError, match="is not a finished LoRA: it has checkpoints/; let its training end"):
        pushed(folder, Hub())


def test_a_file_that_is_damaged_or_no_lora(folder: Path) -> None:
    (folder / FILE).write_bytes(b"12345678")
    with pytest.raises(LoraError, match="not a complete safetensors file"):
        pushed(folder, Hub())
    save_file({"weight": torch.zeros(2)}, folder / FILE)
    with pytest.raises(LoraError, match="no LoRA of a Stable Diffusion is in it"):
        pushed(folder, Hub())


@pytest.mark.parametrize(
    "ours", [{"config": None}, {"facts": None}, {"config": {"rank": 0}}, {"facts": {"patients": "x"}}]
)
def test_a_file_that_does_not_say_how_it_was_trained(folder: Path, ours: dict[str, object]) -> None:
    rewritten(folder, **ours)
    with pytest.raises(PublishError, match="its header does not say how it was trained and on what"):
        pushed(folder, Hub())


@pytest.mark.parametrize("said", ["", "unknown"])
def test_a_licence_has_to_be_known(folder: Path, said: str) -> None:
    rewritten(folder, config={"licence": said, "steps": 2})
    with pytest.raises(PublishError, match=r"the licence of the training images is not known.*--licence cc-by-4\.0"):
        pushed(folder, Hub())
    card = pushed(folder, Hub(), licence="cc-by-nc-4.0").card
    assert ModelCard(card).data.license == "cc-by-nc-4.0"
    with pytest.raises(PublishError, match="the licence of the training images is not known"):
        pushed(folder, Hub(), licence="unknown")
    with pytest.raises(CardError, match="'CC BY' is not as the Hub writes it"):
        pushed(folder, Hub(), licence="CC BY")


@pytest.mark.parametrize("token", [None, ""])
def test_a_push_needs_a_token(folder: Path, token: str | None) -> None:
    hub = Hub()
    with pytest.raises(PublishError, match="no token for the Hub: run `hf auth login`, or set HF_TOKEN"):
        publish_lora(folder, REPO, push=True, token=token, api=hub)
    assert hub.calls == []


@pytest.mark.parametrize("line", ["[1]", '{"step": 1, "patient": "4711"}', '{"loss": 1}', "no"])
def test_a_log_that_is_none(folder: Path, line: str) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    number = len((folder / "metrics.jsonl").read_text().splitlines())
    with pytest.raises(PublishError, match=f"metrics.jsonl, line {number}: not a JSON object of numbers with their"):
        pushed(folder, Hub())


def test_files_are_gathered_in_a_new_folder(folder: Path) -> None:
    with pytest.raises(PublishError, match="lora: exists already; give a new folder"):
        publish_lora(folder, REPO, push=False, out=folder)


# --- what the Hub and the network say, by the real client


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is allowed to ask; the tests give it addresses of this machine alone."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def closed_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of a server that answers every request with `status`."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.usefixtures("online")
def test_a_hub_that_cannot_be_reached_is_given_up_within_seconds(folder: Path) -> None:
    start = time.monotonic()
    with pytest.raises(
        PublishError, match=r"not sent: the Hub at http://127.* cannot be reached.*HTTPS_PROXY.*\. --private`"
    ):
        pushed(folder, HfApi(endpoint=f"http://127.0.0.1:{closed_port()}"))
    assert time.monotonic() - start < 10


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "this token may not write to someone/planes .401: .*hf auth login"),
        (403, "this token may not write to someone/planes .403: "),
        (400, "the Hub refused someone/planes .400: "),
    ],
)
def test_a_hub_that_refuses(folder: Path, status: int, message: str) -> None:
    with answering(status) as endpoint, pytest.raises(PublishError, match=message) as caught:
        pushed(folder, HfApi(endpoint=endpoint))
    assert TOKEN not in str(caught.value)


def test_a_client_that_may_not_ask(folder: Path) -> None:
    with pytest.raises(PublishError, match="HF_HUB_OFFLINE is set; unset it"):
        pushed(folder, HfApi())


@pytest.mark.parametrize("error", [RuntimeError("cut off"), ConnectionError("cut off")])
def test_an_upload_that_is_cut_off(folder: Path, error: Exception) -> None:
    with pytest.raises(
        PublishError, match=r"was not sent: the Hub at https://hub\.invalid cannot be reached \(cut off"
    ):
        pushed(folder, Hub(error=error))


# --- the command


def test_the_command_shows_what_would_go_out(folder: Path) -> None:
    done = fulora("lora", "publish", folder, "--to", REPO)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "someone/planes, private: nothing was sent"
    size = f"{(folder / FILE).stat().st_size:,}"
    assert f"  {size:>13} bytes  lora.safetensors" in lines
    assert f"  {'stays here':>19}  provenance.json" in lines
    assert "You must check: whether the licence of the training images (cc-by-4.0)" in done.stdout
    assert "\n---\nbase_model: owner/base\n" in done.stdout


def test_the_command_passes_its_options_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*options: str | Path) -> str:
        done = CliRunner().invoke(app, ["lora", "publish", str(folder), "--to", REPO, *map(str, options)])
        assert done.exit_code == 0, done.output
        return done.stdout

    said = asked("--public", "--out", tmp_path / "look", "--title", "T", "--licence", "mit")
    assert said.startswith("someone/planes, public: nothing was sent")
    assert f"Gathered in {tmp_path / 'look'}: read {tmp_path / 'look' / 'README.md'}." in said.splitlines()
    card = ModelCard.load(tmp_path / "look" / "README.md")
    assert (card.data.license, "# T" in card.text.splitlines()) == ("mit", True)
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **values: hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: TOKEN)
    assert asked("--push").startswith("someone/planes, private: sent, https://hub.invalid/someone/planes/commit/1")
    assert [(call, values["token"]) for call, values in hub.calls] == [
        ("create_repo", TOKEN),
        ("model_info", TOKEN),
        ("upload_folder", TOKEN),
    ]
    assert hub.calls[0][1]["private"] is True


@pytest.mark.usefixtures("online")
def test_the_command_says_what_is_missing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    done = fulora("lora", "publish", folder, "--to", REPO, "--push")
    assert (done.returncode, done.stdout) == (2, "")
    assert "fulora: no token for the Hub: run `hf auth login`" in done.stderr
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    done = fulora("lora", "publish", folder, "--to", REPO, "--push", "--licence", "cc-by-4.0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "fulora: someone/planes was not sent: the Hub at http://127.0.0.1" in done.stderr
    assert TOKEN not in done.stderr
    assert "Traceback" not in done.stderr
