"""The command line as a user meets it: quick, quiet on what works, one clear message on what does not."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ROOT, fulora, fulora_alone
from PIL import Image as Pil

from fulora.data.label_set import label_set
from pipelines.stages.fetch import HubRepository, has_backbone, has_clip

PLANES = label_set("fetal_planes").names
CURATE_ONLY = """
study: pretraining
models:
  images:
    image_size_px: 32
    sources:
      - {kind: phantoms, sites: [A], planes: [brain], per_plane: 2}
"""


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that refused: exit code 2, nothing on standard output, no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("fulora: ")
    return done.stderr


def test_help_names_the_commands() -> None:
    done = fulora_alone("--help")
    assert done.returncode == 0
    for word in (
        "run",
        "status",
        "show",
        "configs",
        "data",
        "generate",
        "score",
        "export",
        "Research use only",
        "fulora run demo",
    ):
        assert word in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "status",
        "show",
        "configs",
        "generate",
        "regenerate",
        "score classification",
        "export",
        "classify train",
        "classify predict",
        "clip tune",
        "segment train",
        "segment predict",
        "data download",
        "data check",
        "data curate",
        "data deidentify",
    ],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = fulora(*command.split(), "--help")
    assert done.returncode == 0
    assert f"fulora {command} " in done.stdout


def test_configs_are_listed_and_printed() -> None:
    listed = fulora("configs").stdout
    lines = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert lines["demo"].startswith("The whole study on phantoms")
    assert {"demo", "smoke", "real_small", "study"} <= set(lines)
    assert fulora("configs", "smoke").stdout == (ROOT / "configs" / "smoke.yaml").read_text(encoding="utf-8")
    assert "no such config. Shipped: demo" in refused(fulora("configs", "dmo"))


def test_status_predicts_every_stage(tmp_path: Path) -> None:
    done = fulora("status", "smoke", "--work", tmp_path / "work", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert {step["state"] for step in steps} == {"missing"}
    assert len({step["folder"] for step in steps}) == len(steps) == 40
    assert [steps[0]["stage"], steps[-1]["stage"]] == ["curate", "report"]
    assert all(Path(step["folder"]).parent == tmp_path / "work" for step in steps)
    changed = fulora("status", "smoke", "lora.rank=3", "--work", tmp_path / "work", "--json").stdout.splitlines()
    same = {step["label"] for step, line in zip(steps, changed, strict=True) if step == json.loads(line)}
    assert {"curate", "generate (base)", "zero_shot", "train_classifier (real, seed 0)"} <= same
    assert not {"train_lora", "generate (LoRA)", "mix", "train_classifier (hybrid, seed 0)", "report"} & same


def test_status_for_people(tmp_path: Path) -> None:
    done = fulora("status", "smoke", "--work", tmp_path)
    assert done.returncode == 0
    assert "train_lora" in done.stdout
    assert "0 of 40 stages ready" in done.stdout


def test_a_misspelled_key_a_wrong_type_and_more_come_at_once(tmp_path: Path) -> None:
    wrong = ["lora.rnak=8", "generate.per_class=lots", "mix.ratio=-1"]
    message = refused(fulora("run", "smoke", *wrong, "--work", tmp_path / "work"))
    assert "smoke.yaml: 3 errors" in message
    assert "lora.rnak: unknown key; did you mean 'rank'?" in message
    assert "generate.per_class: Input should be a valid integer" in message
    assert "(given: 'lots')" in message
    assert "mix.ratio" in message
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [("lora", "lora: an override has the form key.sub=value"), ("lora.rank=[", "not valid YAML")],
)
def test_an_override_that_is_none(override: str, message: str, tmp_path: Path) -> None:
    assert message in refused(fulora("run", "smoke", override, "--work", tmp_path / "work"))
    assert not (tmp_path / "work").exists()


def test_missing_folders_are_all_named_and_how_to_set_them(tmp_path: Path) -> None:
    for command in (["run"], ["run", "--dry-run"], ["status"]):
        message = refused(fulora(*command, "real_small", "data_root=/nonexistent", "--work", tmp_path / "work"))
        assert (
            "planes.sources.0.folder, backbone.images.sources.0.folder: /nonexistent/fetal_planes_lora: not found. "
            "Set data_root=FOLDER"
        ) in message
        for name in ("african/african_train", "hc18", "psfhs", "weights/mobilenet_v2_imagenet_folded.npz"):
            assert message.count(f"/nonexistent/{name}: not found") == 1 + ("weights" in name)
    assert not (tmp_path / "work").exists()


def test_a_missing_folder_of_weights_says_what_to_place_there(tmp_path: Path) -> None:
    weights = "backbone={kind: folder, diffusion: /nonexistent, clip: /nonexistent}"
    message = refused(fulora("run", "smoke", weights, "--work", tmp_path / "work"))
    assert "/nonexistent: not found. Place a diffusers folder there" in message
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(("check", "file"), [(has_backbone, "model_index.json"), (has_clip, "open_clip_config.json")])
def test_a_hub_that_cannot_be_reached_says_what_to_place_where(
    check: Callable[[HubRepository], None], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def unreachable(request: urllib.request.Request, timeout: float) -> None:
        asked.append(request.full_url)
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(ValueError, match=r"a/b \(revision v1\) cannot be had from the hub.*backbone\.diffusion=FOLDER"):
        check(HubRepository(name="a/b", revision="v1"))
    assert len(asked) == 1
    assert asked[0].endswith(f"a/b/resolve/v1/{file}")


def lora_planes(folder: Path) -> Path:
    for number, plane in enumerate(PLANES):
        (folder / plane).mkdir(parents=True)
        for patient in range(4):
            name = f"Patient{number}{patient}_Plane1_1_of_1.png"
            Pil.new("L", (40, 40), 10 * number + patient).save(folder / plane / name)
    return folder


def test_an_unreadable_image_is_found_before_any_work(tmp_path: Path) -> None:
    (lora_planes(tmp_path / "data" / "planes") / "femur" / "Patient22_Plane1_1_of_1.png").write_bytes(b"\x89PNG broken")
    config = tmp_path / "mine.yaml"
    config.write_text(
        CURATE_ONLY.replace(
            "kind: phantoms, sites: [A], planes: [brain], per_plane: 2", "kind: lora_planes, folder: planes"
        )
    )
    message = refused(fulora("run", config, "--work", tmp_path / "work", f"data_root={tmp_path / 'data'}"))
    assert "femur/Patient22_Plane1_1_of_1.png: cannot be read as an image" in message
    assert message.count("\n") == 1
    assert not list((tmp_path / "work").glob("*/"))
    assert not list((tmp_path / "work").glob(".*.partial"))


def test_a_config_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("study: [")
    assert "x.yaml: not valid YAML" in refused(fulora("status", tmp_path / "x.yaml"))
    assert "gone.yaml: no such config" in refused(fulora("status", tmp_path / "gone.yaml"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated set, a table of scores, and what they hang on."""
    from fulora.data.results import Scores, write_table
    from fulora.data.score import Score, ScoreConfig
    from fulora.engine import InProcess
    from fulora.stage import stage
    from fulora.workspace import Workspace
    from pipelines.configs import load
    from pipelines.stages.curate import ImageSet, curate

    @stage(version=1)
    def invent(out: Path, config: ScoreConfig, images: ImageSet) -> Scores:
        row = Score(quantity="accuracy", arm="real", value=0.123456, protocol="transfer", n_images=2, n_patients=1)
        write_table(out, [row] * 40)
        return Scores(out, "")

    folder = tmp_path_factory.mktemp("made")
    (folder / "mine.yaml").write_text(CURATE_ONLY)
    config = load(str(folder / "mine.yaml"))[1]
    work = Workspace(folder / "work", InProcess())
    images = work.run(curate, config.models.images, inputs=[{}])  # type: ignore[attr-defined]
    work.run(invent, ScoreConfig(), images=images)
    return folder / "work"


def test_show_says_what_an_artifact_is(made: Path) -> None:
    images, scores = next(made.glob("curate-*")), next(made.glob("invent-*"))
    done = fulora("show", images)
    assert done.returncode == 0, done.stderr
    assert "curate (ImageSet, stage curate)" in done.stdout
    assert images.name.split("-")[1] in done.stdout
    assert "per_plane: 2" in done.stdout
    shown = fulora("show", scores).stdout
    assert f"images: {images.name}" in shown
    assert "table.jsonl: 40 rows" in shown
    assert "0.1235" in shown


def test_show_gives_the_whole_record_as_json(made: Path) -> None:
    folder = next(made.glob("curate-*"))
    done = fulora("show", folder, "--json")
    assert json.loads(done.stdout) == json.loads((folder / "stage.json").read_text())


def test_show_of_something_else(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        assert f"{folder} is not a finished artifact" in refused(fulora("show", folder))


def test_a_finished_stage_is_ready_for_status(made: Path) -> None:
    done = fulora("status", made.parent / "mine.yaml", "--work", made, "--json")
    states = {line["label"]: line["state"] for line in map(json.loads, done.stdout.splitlines())}
    assert states == {"curate": "ready", "pretrain": "missing", "pretrain_clip": "missing"}


LIGHT = """
import sys
{code}
print([name for name in ("torch", "torchvision", "diffusers", "transformers", "peft", "open_clip", "datasets",
       "sklearn", "matplotlib") if name in sys.modules])
"""


@pytest.mark.parametrize(
    "code",
    [
        "import pipelines.__main__",
        """
from pathlib import Path
from fulora.engine import InProcess
from fulora.workspace import Workspace
from pipelines.configs import load
study, config = load("demo")
plan = Workspace(Path("nowhere"), InProcess(), plan=True)
study.run(config, plan)
assert len(plan.steps) > 20
""",
    ],
    ids=["help", "status"],
)
def test_help_and_status_load_nothing_heavy(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT.format(code=code)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
