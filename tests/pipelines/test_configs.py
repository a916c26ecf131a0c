"""Every config that is shipped loads and validates whole, and says at its top what it is."""

from pathlib import Path

import pytest

from fulora.config import ConfigError, identity
from pipelines.configs import STUDIES, config_path, configs_folder, load, shipped

FOLDER = Path(__file__).parents[2] / "configs"
NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.y*ml"))


def test_there_are_configs_and_the_command_line_knows_them_all() -> None:
    assert {"demo", "smoke", "real_small", "study"} <= set(NAMES)
    assert configs_folder() == FOLDER
    assert sorted(shipped()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_config_loads(name: str) -> None:
    study, config = load(name)
    assert isinstance(config, study.config)
    assert study in STUDIES.values()
    assert config == load(name)[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_config_begins_with_what_it_is_and_its_command(name: str) -> None:
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    head = [line for line in lines[:12] if line.startswith("#")]
    assert lines[0].startswith("# ")
    assert any(f"fulora run {name}" in line for line in head)


def test_a_path_is_a_config_too(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"base: {FOLDER / 'smoke.yaml'}\nlora: {{rank: 7}}\n")
    config = load(str(mine))[1].model_dump()
    assert config["lora"]["rank"] == 7
    assert config["lora"]["steps"] == load("smoke")[1].model_dump()["lora"]["steps"]


@pytest.mark.parametrize("name", ["dmo", "gone.yaml", "configs"])
def test_a_name_that_is_no_config(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: no such config\. Shipped: demo, .*or give the path"):
        config_path(name)


def test_overrides_reach_every_depth() -> None:
    overrides = [
        "lora.rank=9",
        "classifier_seeds=[7]",
        "segmentation=null",
        "planes.sources=[{kind: hc18, limit: 3, role: train+validation+test}]",
        "data_root=/elsewhere",
        "backbone={kind: folder, diffusion: sd, clip: c}",
    ]
    config = load("demo", overrides)[1].model_dump()
    assert config["lora"]["rank"] == 9
    assert config["classifier_seeds"] == (7,)
    assert config["segmentation"] is None
    assert config["planes"]["sources"][0]["limit"] == 3
    assert config["data_root"] == Path("/elsewhere")
    assert config["backbone"]["kind"] == "folder"


def test_where_the_data_are_does_not_change_what_is_computed() -> None:
    assert identity(load("demo")[1]) == identity(load("demo", ["data_root=/elsewhere"])[1])
    assert identity(load("demo")[1]) != identity(load("demo", ["lora.rank=9"])[1])


def test_a_config_names_its_study(tmp_path: Path) -> None:
    for text, given in (("planes: {}\n", "None"), ("study: fu_laro\n", "'fu_laro'")):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(
            ConfigError,
            match=rf"x\.yaml: study: must be one of fu_lora, segmentation, .*, pretraining \(given: {given}\)",
        ):
            load(str(tmp_path / "x.yaml"))


def test_all_errors_of_a_study_come_at_once() -> None:
    overrides = ["lora.rnak=8", "generate.per_class=lots", "mix.ratio=-1", "classifier_seeds=[]", "backbone.kind=magic"]
    with pytest.raises(ConfigError, match="5 errors") as raised:
        load("demo", overrides)
    for path in ("lora.rnak", "generate.per_class", "mix.ratio", "classifier_seeds", "backbone"):
        assert f"\n  {path}: " in str(raised.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("planes.sources=[{kind: lora_planes, role: train+validation}]", "no source has the role test"),
        ("segmentation.heads.sources=[{kind: lora_planes}]", r"source 0 \(lora_planes\) has no masks"),
        ("segmentation.heads.sources=[{kind: hc18}]", "no source has the role validation or test"),
        (
            "backbone.images.sources=[{kind: hc18}, {kind: african_planes}]",
            "backbone.images reads african/african_train, which planes keeps for the test",
        ),
    ],
)
def test_a_study_that_would_fail_or_leak_later_is_refused_at_once(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("real_small", [override])
