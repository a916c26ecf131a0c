"""The arms of a study: what classifiers are trained on, and how, at equal steps and the same architecture."""

from collections.abc import Mapping

from pydantic import PositiveFloat, model_validator

from fulora.classification.config import Augmentation, ClassifierConfig
from fulora.config import Config
from fulora.data.assessed_images import Assessment
from fulora.data.hybrid import MixConfig
from fulora.data.image_set import ImageSet
from fulora.workspace import Workspace
from pipelines.changes import about
from pipelines.stages.mix import mix

REAL, HYBRID = "real", "hybrid"
PLAIN = ", no augmentation"


class ArmConfig(Config):
    """One arm. What is None is as the study says.

    Attributes:
        images: real images that the study names, instead of those of its `planes`.
        mix: what is mixed; None trains on the real images as they are.
        synthetic: the generator whose images mixing adds, by its name in the study's `synthetic`.
        balanced, augmentation, synthetic_weight: of its classifiers.
    """

    images: str = ""
    mix: MixConfig | None = None
    synthetic: str | None = None
    balanced: bool | None = None
    augmentation: Augmentation | None = None
    synthetic_weight: PositiveFloat | None = None

    @model_validator(mode="after")
    def _says_nothing_in_vain(self) -> "ArmConfig":
        if self.mix is not None and self.mix.arm == "hybrid":
            return self
        vain = [name for name in ("synthetic", "synthetic_weight") if getattr(self, name) is not None]
        if vain:
            raise ValueError(
                f"{vain[0]}={getattr(self, vain[0])}: this arm adds no synthetic images; set mix.arm=hybrid"
            )
        return self

    @property
    def said(self) -> str:
        """What its classifiers are trained on, in a few words."""
        everything = f"all of {self.images}" if self.images else "all real"
        if self.mix is None:
            return everything
        kept = {"all": everything, "balanced": "real, as many of each plane", "none": "no real"}[self.mix.real]
        ratio = self.mix.ratio if isinstance(self.mix.ratio, dict) else f"{self.mix.ratio:g}"
        added = {
            "none": "",
            "hybrid": f" + {ratio} synthetic ({self.synthetic}) each",
            "duplicated": f" + {ratio} copies each",
            "augmented": f" + {ratio} augmented copies each",
        }[self.mix.arm]
        return kept + added

    def classifier(self, common: ClassifierConfig, seed: int) -> ClassifierConfig:
        """The config of its classifier with a seed."""
        own = {
            "balanced": self.balanced,
            "augmentation": self.augmentation,
            "synthetic_weight": self.synthetic_weight,
        }
        return common.changed(seed=seed, **{key: value for key, value in own.items() if value is not None})


def arms_of(
    hybrid: MixConfig,
    more: Mapping[str, ArmConfig],
    ratios: tuple[float, ...],
    counts: tuple[int, ...],
    crossed: bool,
    generator: str,
) -> dict[str, ArmConfig]:
    """All arms by name: `real`, `hybrid`, those that the study names, and those of sweeps.

    Args:
        hybrid: what the arm `hybrid` mixes.
        ratios: `hybrid, ratio R` for each.
        counts: `real, N a plane` and `hybrid, N a plane` for each: of fewer real images.
        crossed: every arm also without augmentation.
        generator: whose images an arm adds that names no generator.

    Raises:
        ValueError: two arms have one name, or one cannot be.
    """
    arms = {REAL: ArmConfig(), HYBRID: ArmConfig(mix=hybrid)}
    _add(arms, more)
    for ratio in ratios:
        with about(f"ratios: {ratio:g}"):
            _add(arms, {with_ratio(ratio): ArmConfig(mix=hybrid.changed(ratio=ratio))})
    for count in counts:
        with about(f"real_per_plane: {count}"):
            few = ArmConfig(mix=MixConfig(arm="none", real="balanced", real_per_plane=count))
            mixed_with_few = ArmConfig(mix=hybrid.changed(real="balanced", real_per_plane=count))
        _add(arms, {few_of(REAL, count): few, few_of(HYBRID, count): mixed_with_few})
    arms = {name: _adding(arm, generator) for name, arm in arms.items()}
    if crossed:
        _add(arms, {name + PLAIN: arm.changed(augmentation="none") for name, arm in arms.items()})
    return arms


def _add(arms: dict[str, ArmConfig], more: Mapping[str, ArmConfig]) -> None:
    taken = [name for name in more if name in arms]
    if taken:
        raise ValueError(f"arms: {taken[0]} is there already; give another name")
    arms |= more


def _adding(arm: ArmConfig, generator: str) -> ArmConfig:
    """An arm that adds synthetic images, with the generator that it does not name itself."""
    adds = arm.mix is not None and arm.mix.arm == "hybrid" and arm.synthetic is None
    return arm.changed(synthetic=generator) if adds else arm


def with_ratio(ratio: float) -> str:
    """The name of the arm `hybrid` with another ratio."""
    return f"{HYBRID}, ratio {ratio:g}"


def few_of(arm: str, count: int) -> str:
    """The name of `real` or `hybrid` with so many real images of each plane."""
    return f"{arm}, {count} a plane"


def sweeps_of(
    hybrid: MixConfig, ratios: tuple[float, ...], counts: tuple[int, ...]
) -> dict[str, dict[str, dict[str, float]]]:
    """What is varied, by curve, and where each arm stands on it."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    if ratios and not isinstance(hybrid.ratio, dict):
        places = {with_ratio(ratio): ratio for ratio in ratios if ratio not in (0, hybrid.ratio)}
        found["synthetic images per real one"] = {HYBRID: {REAL: 0.0, **places, HYBRID: hybrid.ratio}}
    if counts:
        found["real images of each plane"] = {
            arm: {few_of(arm, count): float(count) for count in counts} for arm in (REAL, HYBRID)
        }
    return found


def mixed(
    arms: Mapping[str, ArmConfig],
    work: Workspace,
    real: Mapping[str, ImageSet],
    synthetic: Mapping[str, ImageSet],
    assessments: Mapping[str, Assessment],
) -> dict[str, ImageSet]:
    """The image set of each arm.

    Args:
        real: by the name that arms give; those of the study's `planes` have none.
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
