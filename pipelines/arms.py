"""The arms of a study: the training images and settings of its classifiers, at equal steps and architecture."""

from collections.abc import Mapping

from pydantic import PositiveFloat, model_validator

from fulora.classification.config import Augmentation, ClassifierConfig
from fulora.config import Config
from fulora.data.assessed_images import Assessment
from fulora.data.hybrid import MixConfig
from fulora.data.image_set import ImageSet
from fulora.workspace import Workspace
from pipelines.merged_settings import locate_errors
from pipelines.stages.mix import mix

REAL, HYBRID = "real", "hybrid"
NO_AUGMENTATION = ", no augmentation"


class ArmConfig(Config):
    """One arm. A value of None is that of the study.

    Attributes:
        images: real images, by a name in the study's `other_images`; "" for its `planes`.
        mix: how images are mixed; None trains on the real images as they are.
        synthetic: the generator whose images are added, by its name in the study's `synthetic`.
        balanced, augmentation, synthetic_weight: of its classifiers.
    """

    images: str = ""
    mix: MixConfig | None = None
    synthetic: str | None = None
    balanced: bool | None = None
    augmentation: Augmentation | None = None
    synthetic_weight: PositiveFloat | None = None

    @model_validator(mode="after")
    def _uses_all_settings(self) -> "ArmConfig":
        if self.mix is not None and self.mix.arm == "hybrid":
            return self
        for name, value in (("synthetic", self.synthetic), ("synthetic_weight", self.synthetic_weight)):
            if value is not None:
                raise ValueError(f"{name}={value}: this arm adds no synthetic images; set mix.arm=hybrid")
        return self

    @property
    def description(self) -> str:
        """A short description of the training images."""
        all_real = f"all of {self.images}" if self.images else "all real"
        if self.mix is None:
            return all_real
        kept = {"all": all_real, "balanced": "real, as many of each plane", "none": "no real"}[self.mix.real]
        ratio = self.mix.ratio if isinstance(self.mix.ratio, dict) else f"{self.mix.ratio:g}"
        added = {
            "none": "",
            "hybrid": f" + {ratio} synthetic ({self.synthetic}) each",
            "duplicated": f" + {ratio} copies each",
            "augmented": f" + {ratio} augmented copies each",
        }[self.mix.arm]
        return kept + added

    def classifier(self, common: ClassifierConfig, seed: int) -> ClassifierConfig:
        """Return the config of the arm's classifier with a seed."""
        names = ("balanced", "augmentation", "synthetic_weight")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return common.changed(seed=seed, **changes)


def build_arms(
    hybrid: MixConfig,
    more: Mapping[str, ArmConfig],
    ratios: tuple[float, ...],
    counts: tuple[int, ...],
    crossed: bool,
    generator: str,
) -> dict[str, ArmConfig]:
    """Return all arms by name: `real`, `hybrid`, those that the study names, and those of sweeps.

    Args:
        hybrid: the mix of the arm `hybrid`.
        ratios: `hybrid, ratio R` for each.
        counts: `real, N a plane` and `hybrid, N a plane` for each: with fewer real images.
        crossed: every arm also without augmentation.
        generator: the generator of arms that name none.

    Raises:
        ValueError: if two arms have the same name, or an arm is not valid.
    """
    arms = {REAL: ArmConfig(), HYBRID: ArmConfig(mix=hybrid)}
    _add(arms, more)
    for ratio in ratios:
        with locate_errors(f"ratios: {ratio:g}"):
            _add(arms, {name_with_ratio(ratio): ArmConfig(mix=hybrid.changed(ratio=ratio))})
    for count in counts:
        with locate_errors(f"real_per_plane: {count}"):
            few_real = ArmConfig(mix=MixConfig(arm="none", real="balanced", real_per_plane=count))
            few_hybrid = ArmConfig(mix=hybrid.changed(real="balanced", real_per_plane=count))
        _add(arms, {name_with_count(REAL, count): few_real, name_with_count(HYBRID, count): few_hybrid})
    for name, arm in arms.items():
        if arm.mix is not None and arm.mix.arm == "hybrid" and arm.synthetic is None:
            arms[name] = arm.changed(synthetic=generator)
    if crossed:
        _add(arms, {name + NO_AUGMENTATION: arm.changed(augmentation="none") for name, arm in arms.items()})
    return arms


def _add(arms: dict[str, ArmConfig], more: Mapping[str, ArmConfig]) -> None:
    taken = [name for name in more if name in arms]
    if taken:
        raise ValueError(f"arms: {taken[0]} is taken; give another name")
    arms |= more


def name_with_ratio(ratio: float) -> str:
    """Return the name of the arm `hybrid` with another ratio."""
    return f"{HYBRID}, ratio {ratio:g}"


def name_with_count(arm: str, count: int) -> str:
    """Return the name of `real` or `hybrid` with `count` real images of each plane."""
    return f"{arm}, {count} a plane"


def build_sweeps(
    hybrid: MixConfig, ratios: tuple[float, ...], counts: tuple[int, ...]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the sweeps by the varied quantity: for each curve, the value of each of its arms."""
    sweeps: dict[str, dict[str, dict[str, float]]] = {}
    if ratios and not isinstance(hybrid.ratio, dict):
        varied = {name_with_ratio(ratio): ratio for ratio in ratios if ratio not in (0, hybrid.ratio)}
        sweeps["synthetic images per real one"] = {HYBRID: {REAL: 0.0, **varied, HYBRID: hybrid.ratio}}
    if counts:
        sweeps["real images of each plane"] = {
            arm: {name_with_count(arm, count): float(count) for count in counts} for arm in (REAL, HYBRID)
        }
    return sweeps


def mix_arms(
    arms: Mapping[str, ArmConfig],
    work: Workspace,
    real: Mapping[str, ImageSet],
    synthetic: Mapping[str, ImageSet],
    assessments: Mapping[str, Assessment],
) -> dict[str, ImageSet]:
    """Return the image set of each arm.

    Args:
        real: by `ArmConfig.images`.
        synthetic, assessments: by generator.
    """
    calls = {
        name: mix.call(
            arm.mix,
            real=real[arm.images],
            synthetic=None if arm.synthetic is None else synthetic[arm.synthetic],
            assessment=assessments[arm.synthetic] if arm.synthetic is not None and arm.mix.assessed else None,
        )
        for name, arm in arms.items()
        if arm.mix is not None
    }
    sets = work.each(calls)
    return {name: sets.get(name, real[arm.images]) for name, arm in arms.items()}
