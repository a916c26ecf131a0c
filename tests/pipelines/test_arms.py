"""The arms of a study: named apart, at equal steps, each with what its name says."""

from pathlib import Path

import pytest

from fulora.classification.config import ClassifierConfig
from fulora.config import ConfigError
from fulora.data.hybrid import MixConfig
from fulora.engine import InProcess
from fulora.workspace import Workspace
from pipelines import configs
from pipelines.arms import ArmConfig, build_arms, build_sweeps
from pipelines.fu_lora import FuLoraConfig

MIX = MixConfig(ratio=2.0)


def test_a_sweep_differs_in_its_ratio_alone() -> None:
    arms = build_arms(MIX, {}, (0.5, 10.0), (), crossed=False, generator="LoRA")
    assert list(arms) == ["real", "hybrid", "hybrid, ratio 0.5", "hybrid, ratio 10"]
    assert arms["real"].mix is None
    assert arms["hybrid, ratio 10"].mix == MIX.changed(ratio=10.0)


def test_a_learning_curve_has_real_and_hybrid_at_every_count() -> None:
    arms = build_arms(MIX, {}, (), (5, 20), crossed=False, generator="LoRA")
    assert list(arms)[2:] == ["real, 5 a plane", "hybrid, 5 a plane", "real, 20 a plane", "hybrid, 20 a plane"]
    assert arms["real, 5 a plane"].mix == MixConfig(arm="none", real="balanced", real_per_plane=5)
    assert arms["hybrid, 20 a plane"].mix == MIX.changed(real="balanced", real_per_plane=20)


def test_sweeps_name_arms_that_are_there() -> None:
    ratios, counts = (0.0, 0.5, 2.0, 10.0), (5, 20)
    sweeps = build_sweeps(MIX, ratios, counts)
    swept = {arm for curves in sweeps.values() for places in curves.values() for arm in places}
    assert swept <= set(build_arms(MIX, {}, ratios, counts, crossed=False, generator="LoRA"))
    assert sweeps["synthetic images per real one"] == {
        "hybrid": {"real": 0.0, "hybrid, ratio 0.5": 0.5, "hybrid, ratio 10": 10.0, "hybrid": 2.0}
    }
    assert sweeps["real images of each plane"]["real"] == {"real, 5 a plane": 5.0, "real, 20 a plane": 20.0}
    assert build_sweeps(MIX, (), ()) == {}


def test_arms_are_crossed_with_augmentation() -> None:
    arms = build_arms(MIX, {"base": ArmConfig(mix=MIX, synthetic="base")}, (), (), crossed=True, generator="LoRA")
    assert len(arms) == 6
    assert arms["base, no augmentation"] == ArmConfig(mix=MIX, synthetic="base", augmentation="none")


def test_an_arm_changes_what_it_says_and_keeps_the_rest() -> None:
    common = ClassifierConfig(steps=70, balanced=True)
    own = ArmConfig(mix=MIX, balanced=False, synthetic_weight=0.5).classifier(common, seed=4)
    assert own == common.changed(balanced=False, synthetic_weight=0.5, seed=4)
    assert ArmConfig().classifier(common, seed=0) == common


def test_an_arm_says_what_it_is_trained_on() -> None:
    assert ArmConfig().description == "all real"
    assert ArmConfig(mix=MIX, synthetic="base").description == "all real + 2 synthetic (base) each"
    assert ArmConfig(mix=MIX.changed(real="none"), synthetic="LoRA").description == "no real + 2 synthetic (LoRA) each"
    assert ArmConfig(mix=MixConfig(arm="none", real="balanced")).description == "real, as many of each plane"
    assert ArmConfig(mix=MixConfig(arm="duplicated")).description == "all real + 1 copies each"


def test_every_arm_of_the_reference_study_is_trained_at_equal_steps(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in ("fetal_planes_lora", "african/african_train", "hc18", "weights", "models"):
        (data / folder).mkdir(parents=True)
    (data / "weights" / "mobilenet_v2_imagenet_folded.npz").touch()
    here = [f"data_root={data}", *(f"backbone.{key}={data}/models" for key in ("diffusion", "clip"))]
    study, config = configs.load("study", ["backbone={kind: folder}", *here])
    assert isinstance(config, FuLoraConfig)
    work = Workspace(tmp_path / "work", InProcess(), plan=True)
    study.run(config, work)
    trained = [step.call.arguments["config"] for step in work.steps if step.call.stage.name == "train_classifier"]
    assert len(trained) == len(config.all_arms()) * len(config.classifier_seeds) == 30 * 5
    assert {(cfg.steps, cfg.architecture, cfg.batch_size) for cfg in trained} == {(2000, "resnet18", 24)}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("arms={hybrid: {}}", "arms: hybrid is taken"),
        ("arms={a: {images: mine}}", "arms: other_images has no 'mine'; it has none"),
        ("arms={prompt: {}}", "arms: prompt is taken"),
        (r'arms={"a\nb": {}}', r"arms: 'a\\nb': a name has a letter or sign, and no line breaks"),
        ("arms={' ': {}}", "arms: ' ': a name has a letter or sign"),
        ("score.comparisons.declared=[hybrid, copies]", r"score.comparisons: no arm 'copies'; there are real, hybrid"),
        ("score.metrics=[kappa]", "there is no 'kappa'; there are accuracy, "),
        (
            "arms={copies: {balanced: true}} ; classifier={steps: null, epochs: 3, balanced: false}",
            "arms.copies: an epoch uses every image once",
        ),
        ("arms={'hybrid, ratio 1': {}} ; ratios=[1.0]", "arms: hybrid, ratio 1 is taken; give another name"),
        ("arms={a: {mix: {}, synthetic: strong}}", "arms: 'a' adds images of 'strong'; the generators are base, LoRA"),
        ("default_generator=mine", "arms: 'hybrid' adds images of 'mine'; the generators are base, LoRA"),
        ("arms={a: {synthetic: base}}", "synthetic=base: this arm adds no synthetic images; set mix.arm=hybrid"),
        ("arms={a: {synthetic_weight: 0.5}}", "synthetic_weight=0.5: this arm adds no synthetic images"),
        ("arms={a: {mix: {filters: [plane]}}}", "arms.a: mix.filters: plane asks judges"),
        ("mix.filters=[clip] ; assess.encoders=[pixels]", "arms.hybrid: mix.filters: clip asks the study's CLIP"),
        ("classifier.seed=5", "classifier.seed=5 would not be used: each is trained with all classifier_seeds"),
        ("clip_arms={a: {tune: {seed: 5}}}", "clip_arms.a.tune.seed=5 would not be used"),
        ("synthetic={base: {lora: none}, LoRA: {}, U-Net: {}}", "'U-Net' would name two trainings"),
        (
            "arms={'a, seed 1': {}, a: {}} ; synthetic={LoRA: {}, 'a, seed 1': {}}",
            "'a, seed 1' would name two trainings",
        ),
        ("judge={} ; judge.classifier.seed=18446744073709551614", "judge: seed is 18446744073709551616; the largest"),
        ("arms={half: {synthetic_weight: 0}}", "greater than 0"),
        ("arms={none: {mix: {real: none, arm: none}}}", "real=none leaves nothing to train on"),
    ],
)
def test_what_cannot_be_compared_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configs.load("demo", override.split(" ; "))
