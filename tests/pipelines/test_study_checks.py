"""What `run`, `--dry-run` and `status` say before anything is curated: all problems at once, each with its place."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command_line import fulora
from PIL import Image as Pil

from fulora.data.class_counts import MissingClassError
from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.leak_check import Overlap
from fulora.data.results import LeakTable, Scores, write_table
from fulora.data.score import Score
from fulora.diffusion.models.native_size import NativeSize, read_native_size
from fulora.engine import InProcess
from fulora.report.parts import ClassificationPart, TrainingPart
from fulora.workspace import ReachedError, Workspace
from pipelines import configs
from pipelines.checks.backbones import check_backbone
from pipelines.checks.findings import Findings
from pipelines.checks.mixing import check_mixing
from pipelines.checks.studies import check_study
from pipelines.fu_lora_config import FuLoraConfig
from pipelines.stages.report import report

pytestmark = pytest.mark.slow

PLANES = label_set("fetal_planes").names

COMMANDS = (["run"], ["run", "--dry-run"], ["status"], ["status", "--json"])


def class_folders(root: Path, half: str, counts: dict[str, int], size: tuple[int, int] = (40, 40)) -> None:
    """Pictures of noise, of two images a patient: `half/plane/PatientN_i.png`."""
    random = np.random.default_rng(len(half))
    for place, (plane, count) in enumerate(counts.items()):
        (root / half / plane).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            name = f"Patient{len(half)}{place}{number // 2:03d}_{number}.png"
            Pil.fromarray(random.integers(0, 255, size[::-1], dtype=np.uint8)).save(root / half / plane / name)


def own(tmp_path: Path, *overrides: str) -> list[str | Path]:
    return ["own_images", f"data_root={tmp_path / 'data'}", *overrides, "--work", tmp_path / "work"]


def refused(tmp_path: Path, *overrides: str, commands: Sequence[Sequence[str]] = COMMANDS[:1]) -> str:
    """The message, the same from every one of the commands; nothing is curated."""
    found = set()
    for command in commands:
        done = fulora(*command, *own(tmp_path, *overrides))
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stdout == ""
        found.add(done.stderr)
    assert len(found) == 1
    assert not list((tmp_path / "work").glob("*/"))
    return found.pop()


ALL = dict.fromkeys(PLANES, 8)


def config_of(name: str, *overrides: str) -> FuLoraConfig:
    config = configs.load(name, overrides)[1]
    assert isinstance(config, FuLoraConfig)
    return config


# --- classes


def test_a_class_without_test_images_stops_everything_with_the_counts(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "train", ALL)
    class_folders(tmp_path / "data", "test", {plane: 6 for plane in PLANES if plane != "thorax"})
    message = refused(tmp_path, "generate.per_class=60", commands=COMMANDS)
    lines = [line.split() for line in message.splitlines()]
    assert ["abdomen", "brain", "femur", "thorax", "other"] in lines
    trained = next(line for line in lines if line[:1] == ["training"])
    assert trained[1] == "(planes)"
    assert min(map(int, trained[2:])) > 0
    assert ["test", "6", "6", "6", "0", "6"] in lines
    assert f"no image of the class 'thorax' and training (planes) has {trained[5]}" in message
    assert "accept_missing_classes=[thorax]" in message


def test_a_class_without_training_images_stops_everything(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "train", {plane: 8 for plane in PLANES if plane != "femur"})
    class_folders(tmp_path / "data", "test", ALL)
    message = refused(tmp_path)
    assert "Training (planes) has no image of the class 'femur' and the test set has 8" in message


def test_only_the_accepted_classes_may_be_missing(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "train", ALL)
    class_folders(tmp_path / "data", "test", {"abdomen": 6, "brain": 6, "femur": 6})
    message = refused(tmp_path, "accept_missing_classes=[thorax]")
    assert "'other'" in message
    assert "accept_missing_classes=[thorax, other]" in message
    accepted = fulora("status", *own(tmp_path, "accept_missing_classes=[thorax, other, brain]"))
    assert accepted.returncode == 0, accepted.stderr
    assert "accept_missing_classes: thorax: The test set has no image of the class 'thorax'" in accepted.stdout
    assert "accept_missing_classes: brain: it is missing nowhere" in accepted.stdout


def test_a_split_that_is_drawn_is_foreseen(tmp_path: Path) -> None:
    """One patient alone shows a thorax, so one side has none whatever is drawn."""
    class_folders(tmp_path / "data", "both", ALL | {"thorax": 2})
    both = "{kind: class_folders, folder: both, patient_pattern: 'Patient(\\d+)', role: train+validation+test}"
    assert "'thorax'" in refused(tmp_path, f"planes.sources=[{both}]")


def test_the_images_of_every_arm_are_counted(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "train", ALL)
    class_folders(tmp_path / "data", "test", ALL)
    class_folders(tmp_path / "data", "more", {"brain": 4, "femur": 4, "abdomen": 4, "other": 4})
    more = "{more: {sources: [{kind: class_folders, folder: more, patients_unknown: true}], label_set: fetal_planes}}"
    unused = fulora("status", *own(tmp_path, f"other_images={more}"))
    assert unused.returncode == 0, unused.stderr
    message = refused(tmp_path, f"other_images={more}", "arms={more: {images: more}}")
    assert "Training (other_images.more) has no image of the class 'thorax' and the test set has 8" in message


def test_the_few_patients_of_a_few_shot_head_show_what_it_is_tested_on(tmp_path: Path) -> None:
    few = "{kind: phantoms, sites: [B], per_plane: 4, "
    train = f"{few}role: train, first_patient: 50, planes: [brain, femur]}}"
    sources = f"[{train}, {few}role: test, first_patient: 90, planes: [brain, thorax]}}]"
    config = config_of("smoke", f"few_shot.images.sources={sources}")
    (problem,) = check_study(config, tmp_path).problems
    assert "Training (few_shot.images) has no image of the class 'thorax' and the test set has 4" in problem
    assert "no image of the class 'femur' and training (few_shot.images) has 4" in problem
    with pytest.raises(MissingClassError, match=r"Training \(few_shot.images\) has no image of the class 'thorax'"):
        configs.STUDIES["fu_lora"].run(config, Workspace(tmp_path, InProcess()))


def test_a_study_that_is_run_from_python_stops_after_curating(tmp_path: Path) -> None:
    sources = (
        "[{kind: phantoms, role: train, sites: [A], per_plane: 2, planes: [brain, femur]},"
        " {kind: phantoms, role: validation, sites: [A], per_plane: 2, first_patient: 9},"
        " {kind: phantoms, role: test, sites: [B], per_plane: 2, planes: [brain, thorax]}]"
    )
    study, config = configs.load("smoke", [f"planes.sources={sources}", "few_shot=null"])
    with pytest.raises(
        MissingClassError, match=r"'femur' and training \(planes\) has 2(.|\n)*'thorax' and the test set"
    ):
        study.run(config, Workspace(tmp_path, InProcess()))
    assert {folder.name.split("-")[0] for folder in tmp_path.glob("[a-z]*")} == {"curate"}


PHANTOMS = (
    "[{kind: phantoms, role: train, sites: [A], per_plane: 4},"
    " {kind: phantoms, role: validation, sites: [A], per_plane: 4, first_patient: 9},"
    " {kind: phantoms, role: test, sites: [B], per_plane: 4, planes: [abdomen, brain, femur, other]}]"
)


def test_an_accepted_missing_class_is_in_red_in_the_report(tmp_path: Path) -> None:
    """The images are the study's own; the report has only the section on classification, with one score."""
    config = config_of("smoke", f"planes.sources={PHANTOMS}", "accept_missing_classes=[thorax]")
    work = Workspace(tmp_path, InProcess(), until="train_lora")
    with pytest.raises(ReachedError):
        configs.STUDIES["fu_lora"].run(config, work)
    real = ImageSet(work.steps[0].artifact.path, work.steps[0].artifact.fingerprint)
    accuracy = Score(quantity="accuracy", arm="real", value=0.5, rank=1, protocol="transfer", n_images=4, n_patients=4)
    rows = {Scores: [accuracy], LeakTable: [Overlap(trained_on="LoRA", images=9, patients=4)]}
    for kind, some in rows.items():
        (tmp_path / kind.__name__).mkdir()
        write_table(tmp_path / kind.__name__, some)
    scores, leaks = Scores(tmp_path / "Scores", ""), LeakTable(tmp_path / "LeakTable", "")
    part = ClassificationPart(real, {"planes": real}, None, {}, scores, {}, leaks)
    report.function(tmp_path / "report", config.report, [part, TrainingPart({}, real)])
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    warning = page.split('<div class="warning" role="alert">')[1].split("</div>")[0]
    assert warning.count("<p>") == 1
    assert "The test set has no image of the class &#39;thorax&#39; and training (planes) has 4: no score" in warning
    assert page.index('class="warning"') < page.index('class="headline"')


def test_the_shipped_studies_of_phantoms_have_nothing_to_say(tmp_path: Path) -> None:
    for name in ("smoke", "demo", "known_shift", "pretrain_demo"):
        found = check_study(configs.load(name)[1], tmp_path)
        assert (found.problems, found.notes) == ({}, {}), name


@pytest.mark.real_data
def test_the_shipped_studies_of_african_planes_accept_that_other_is_not_tested(tmp_path: Path, data_root: Path) -> None:
    here = f"data_root={data_root}"
    for name in ("real_small", "real_filters", "study"):
        found = check_study(configs.load(name, [here])[1], tmp_path)
        assert not found.problems, name
        assert any("no image of the class 'other'" in note for note in found.notes)
    planes_only = ["accept_missing_classes=[]", "backbone={kind: demo}", "segmentation=null"]
    (problem,) = check_study(configs.load("real_small", [here, *planes_only])[1], tmp_path).problems
    counts = [line.split() for line in problem.splitlines()]
    assert ["test", "60", "60", "61", "36", "0"] in counts


# --- everything at once


def test_all_problems_come_at_once_each_with_its_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    class_folders(data, "train", ALL | {"torax": 3})
    class_folders(data, "train", {"brain": 1}, size=(40, 48))
    class_folders(data, "test", {plane: 6 for plane in PLANES if plane != "femur"})
    (tmp_path / "sd").mkdir()
    message = refused(
        tmp_path,
        "planes.fit=native",
        "planes.sources=[{kind: class_folders, folder: train, patient_pattern: 'Patient(\\d+)', role: train},"
        " {kind: class_folders, folder: train, patient_pattern: 'Pat(\\d+)', role: validation},"
        " {kind: class_folders, folder: test, patient_pattern: 'Patient(\\d+)', role: test}]",
        f"backbone={{kind: folder, diffusion: {tmp_path / 'sd'}, clip: {tmp_path / 'clip'}}}",
        "generate.per_class=5",
        "classifier_file=weights.safetensors",
        commands=COMMANDS,
    )
    for said in (
        "own_images: ",
        f"planes.sources.0: 1 rows, files or folders cannot be used (correct them, or unusable="
        f"leave_out leaves them out and lists them): {data}/train/torax/",
        "planes.sources.1.patient_pattern: 'Pat(\\\\d+)' finds a patient in 0 of 44 names, and none in abdomen/Patient",
        "lora.sizes: planes has images of 2 sizes, 40x40 (80), 40x48 (2), and sizes=fixed trains on one: set "
        "lora.sizes=buckets",
        f"backbone.clip: {tmp_path}/clip: not found. Place open_clip_config.json",
        f"backbone.diffusion: {tmp_path}/sd: model_index.json, unet, vae, text_encoder, tokenizer, scheduler not "
        "found; expected a folder in diffusers' layout",
        "generate.per_class: 5 images of each plane are generated, and more are added by 'hybrid' (9): set "
        "generate.per_class=9 at least",
        f"classifier_file: {data}/weights.safetensors: not found",
        "planes: training and test images do not show the same classes",
        "no image of the class 'femur' and training (planes) has 8",
    ):
        assert said in message, (said, message)
    count = int(message.split("own_images: ")[1].split()[0])
    assert sum(line.startswith("  ") and line[2] != " " for line in message.splitlines()) == count


def test_a_pattern_that_finds_some_patients_says_how_many(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "train", ALL)
    class_folders(tmp_path / "data", "test", ALL)
    for number in range(3):
        Pil.new("L", (40, 40), 9 + number).save(tmp_path / "data" / "test" / "brain" / f"Person{number}.png")
    said = "finds a patient in 40 of 43 names, and none in brain/Person0"
    assert f"planes.sources.1.patient_pattern: 'Patient(\\\\d+)' {said}" in refused(tmp_path)
    left_out = fulora("status", *own(tmp_path, "planes.unusable=leave_out"))
    assert left_out.returncode == 0, left_out.stderr
    assert said in left_out.stdout
    as_json = fulora("status", *own(tmp_path, "planes.unusable=leave_out"), "--json")
    assert said in as_json.stderr
    assert all("stage" in json.loads(line) for line in as_json.stdout.splitlines())


def test_classes_unknown_to_a_study_are_reported(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "train", ALL | {"Intrapartum": 8})
    class_folders(tmp_path / "data", "test", ALL | {"heart": 2, "Fetal_head": 2})
    message = refused(tmp_path)
    assert (
        "unknown class 'Intrapartum', of 8 images; rename it to one of abdomen, brain, femur, thorax, other" in message
    )
    assert "planes.sources.1: 2 rows, files or folders cannot be used" in message
    assert "unknown class 'Fetal_head', of 2 images" in message
    assert "unknown class 'heart', of 2 images" in message
    left_out = fulora("status", *own(tmp_path, "planes.unusable=leave_out"))
    assert left_out.returncode == 0, left_out.stderr
    assert "note: planes.sources.1: 2 rows, files or folders will be left out" in left_out.stdout


def test_phantoms_of_a_population_that_there_is_none_of() -> None:
    found = check_study(config_of("demo", f"planes.sources={PHANTOMS.replace('[B]', '[Z]')}"), Path("nowhere"))
    (problem,) = found.problems
    assert "sites: unknown population Z; known are base1" in problem


def test_every_real_set_that_an_arm_is_trained_on_reaches_the_report(tmp_path: Path) -> None:
    more = "{more: {sources: [{kind: phantoms, sites: [D], per_plane: 2}]}}"
    config = config_of("demo", f"other_images={more}", "arms={more: {images: more}}")
    work = Workspace(tmp_path, InProcess(), plan=True)
    configs.STUDIES["fu_lora"].run(config, work)
    sections = work.steps[-1].call.arguments["sections"]
    (part,) = [part for part in sections if isinstance(part, ClassificationPart)]
    assert set(part.training) == {"planes", "other_images.more"}


def test_too_few_patients_for_the_splits_are_reported(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "train", {"brain": 2})
    class_folders(tmp_path / "data", "test", ALL)
    assert "planes.sources.0: role=train+validation by stratified" in refused(tmp_path)


# --- sizes and backbones


@pytest.mark.parametrize(
    ("overrides", "place", "said"),
    [
        (
            ["generate.image_size_px=512"],
            "generate.image_size_px",
            "512x512 px, and the backbone was made for 64x64 px",
        ),
        (
            ["planes.image_size_px=128"],
            "lora.sizes",
            "trained on at 128x128 (200) px, and the backbone was made for 64x64",
        ),
        (["lora={sizes: buckets, resolution_px: 1024}"], "lora.resolution_px", "buckets of about 1024x1024 px, and"),
        (["lora={sizes: buckets, resolution_px: 64, bucket_step_px: 16}", "planes.image_size_px=32"], "", ""),
        (["generate.image_size_px=64"], "", ""),
    ],
)
def test_sizes_that_the_backbone_was_not_made_for_are_noted(overrides: list[str], place: str, said: str) -> None:
    base = ["mix.ratio=1", "segmentation=null"]
    found = check_study(config_of("demo", *base, *overrides), Path("nowhere"))
    notes = {message: places for message, places in found.notes.items() if "made for" in message}
    assert not found.problems
    assert [(places, said in message) for message, places in notes.items()] == ([([place], True)] if place else [])


def test_sides_that_the_networks_cannot_halve_are_a_problem() -> None:
    found = check_study(
        config_of(
            "demo",
            "lora={sizes: buckets, resolution_px: 64, bucket_step_px: 8}",
            "planes.image_size_px=32",
            "planes.fit=native",
        ),
        Path("nowhere"),
    )
    assert not found.problems
    wrong = check_study(
        config_of("demo", "lora={sizes: buckets, resolution_px: 60, bucket_step_px: 8}"), Path("nowhere")
    )
    (problem,) = wrong.problems
    assert "56x56 (200) pixels cannot be trained on" in problem
    assert "multiples of 16: set lora.bucket_step_px=16" in problem


def stable_diffusion(folder: Path, side: int = 512) -> Path:
    """The files of Stable Diffusion 1.5 that tell what it was made for; its weights are empty."""
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        (folder / part).mkdir(parents=True)
        (folder / part / "model.safetensors").touch()
    (folder / "model_index.json").write_text("{}")
    widths = [320, 640, 1280, 1280]
    (folder / "unet" / "config.json").write_text(json.dumps({"sample_size": side // 8, "block_out_channels": widths}))
    (folder / "vae" / "config.json").write_text(json.dumps({"block_out_channels": [128, 256, 512, 512]}))
    return folder


def test_buckets_larger_than_the_backbone_was_made_for_are_noted(tmp_path: Path) -> None:
    sd = stable_diffusion(tmp_path / "sd")
    assert read_native_size(sd) == NativeSize(512, 8, 64)
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "open_clip_config.json").write_text("{}")
    (tmp_path / "clip" / "open_clip_model.safetensors").touch()
    backbone = f"backbone={{kind: folder, diffusion: {sd}, clip: {tmp_path / 'clip'}}}"
    large = ["lora={sizes: buckets, resolution_px: 1024}", "planes.image_size_px=1024", "generate.image_size_px=512"]
    found = check_study(config_of("demo", backbone, *large), tmp_path)
    assert not found.problems
    (note,) = found.notes
    assert "buckets of about 1024x1024 px, and the backbone was made for 512x512 px" in note
    (sd / "vae" / "config.json").write_text(json.dumps({"block_out_channels": [32] * 5}))
    odd = check_study(config_of("demo", backbone, "planes.image_size_px=96", "generate.image_size_px=504"), tmp_path)
    assert "504x504 px: sides must be multiples of 16 px" in odd.problems
    assert sorted(place for places in odd.problems.values() for place in places) == [
        "generate.image_size_px",
        "lora.sizes",
    ]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("unet/model.safetensors", "unet/*.safetensors not found"),
        ("model_index.json", "model_index.json not found; expected a folder in diffusers' layout"),
    ],
)
def test_a_backbone_with_a_missing_part_is_reported(broken: str, said: str, tmp_path: Path) -> None:
    sd = stable_diffusion(tmp_path / "sd")
    (sd / broken).unlink()
    (message,) = backbone_problems(f"{{kind: folder, diffusion: {sd}, clip: {sd}}}")
    assert said in message


def backbone_problems(backbone: str) -> list[str]:
    found = Findings()
    config = config_of("demo", f"backbone={backbone}")
    check_backbone(found, "backbone", config.backbone, Path("nowhere"), clip=False)
    return list(found.problems)


def test_weights_in_a_pickle_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "sd.ckpt").touch()
    (message,) = backbone_problems(f"{{kind: folder, diffusion: {tmp_path}/sd.ckpt, clip: {tmp_path}}}")
    assert "sd.ckpt: is a .ckpt; give a folder in diffusers' layout" in message


def test_published_weights_that_are_not_on_this_machine_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def cached(name: str, file: str, revision: str) -> str | None:
        asked.append((name, file, revision))
        return str(stable_diffusion(tmp_path / "cache") / file) if file == "model_index.json" else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    found = Findings()
    hub = config_of("demo", "backbone={kind: hub}").backbone
    assert check_backbone(found, "backbone", hub, tmp_path) == NativeSize(512, 8, 64)
    assert {file for _, file, _ in asked} == {"model_index.json", "open_clip_config.json"}
    assert list(found.notes.values()) == [["backbone.clip"]]
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K (revision main) is neither among the artifacts" in next(
        iter(found.notes)
    )


def test_a_backbone_that_is_trained_on_site_needs_squares_of_one_size(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "train", ALL, size=(64, 48))
    images = "{fit: native, sources: [{kind: class_folders, folder: train, patients_unknown: true}]}"
    on_site = f"backbone={{kind: pretrain, images: {images}}}"
    found = check_study(config_of("demo", on_site, f"data_root={tmp_path / 'data'}"), tmp_path)
    (message,) = found.problems
    assert "images of 64x48 (40) px (fit=native): pre-training needs squares of one size" in message


# --- numbers of synthetic images


def mixing(*overrides: str) -> Findings:
    """The demo's 20 training images of each plane, and what is said of what arms add to them."""
    found = Findings()
    check_mixing(found, config_of("demo", *overrides), {"": dict.fromkeys(PLANES, 20)}, label_set("fetal_planes"))
    return found


@pytest.mark.parametrize(
    ("overrides", "least"),
    [
        (["mix.ratio=3"], 60),
        (["ratios=[10.0]"], 200),
        (["mix.ratio={brain: 4, femur: 1}"], 80),
        (["arms={only: {mix: {real: none, ratio: 2}}}"], 60),
        (["arms={even: {mix: {ratio: 3, prior: uniform}}}"], 60),
    ],
)
def test_fewer_synthetic_images_than_arms_add_are_a_problem(overrides: list[str], least: int) -> None:
    found = mixing("generate.per_class=55", *overrides)
    (problem,) = found.problems
    assert f"set generate.per_class={least} at least, and more for what filters reject" in problem
    assert found.problems[problem] == ["generate.per_class"]
    assert not mixing(f"generate.per_class={2 * least}", *overrides).problems
    assert not mixing(f"generate.per_class={least}", *overrides).problems


def test_too_few_images_after_filters_are_noted() -> None:
    spare = mixing("generate.per_class=60", "mix.ratio=3")
    assert not spare.problems
    (note,) = spare.notes
    assert "60 images of each plane are generated and 60 are added: the filters (memorised) may reject 0 (0%)" in note
    assert not mixing("generate.per_class=60", "mix={ratio: 3, filters: [blank, duplicate]}").notes
    assert not mixing("generate.per_class=75", "mix.ratio=3").notes


def test_repeated_images_are_noted_and_no_problem() -> None:
    found = mixing("generate.per_class=10", "mix={ratio: 2, too_few: repeat}")
    assert not found.problems
    (note,) = found.notes
    assert (
        "10 images of each plane are generated, and more are added by 'hybrid' (40): some are used several times"
        in note
    )


def test_a_cap_and_copies_need_no_more_images() -> None:
    assert not mixing("generate.per_class=40", "mix={ratio: 9, cap: 40, filters: [blank]}").problems
    assert not mixing("generate.per_class=40", "arms={copies: {mix: {arm: duplicated, ratio: 9}}}").problems


def test_a_plane_that_is_not_drawn_is_a_problem() -> None:
    found = mixing("generate.planes=[brain, femur, abdomen, other]", "generate.per_class=55")
    assert found.problems == {
        "thorax is not generated, and arms add images of it: add it, or give mix.ratio plane by plane with 0 for it": [
            "generate.planes"
        ]
    }
    assert not mixing("generate.planes=[brain]", "mix.ratio={brain: 1}").problems


def test_more_real_images_of_each_plane_than_there_are() -> None:
    first, second = mixing("real_per_plane=[5, 30]", "generate.per_class=100").problems
    assert "the arm 'real, 30 a plane' keeps 30 real images of each plane; training has fewer of abdomen 20" in first
    assert "the arm 'hybrid, 30 a plane' keeps 30" in second
    assert not mixing("real_per_plane=[5, 20]", "generate.per_class=100").problems
