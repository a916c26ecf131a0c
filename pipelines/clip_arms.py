"""The arms of a study that use a CLIP: prompted, tuned and prompted, and heads on its embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field, model_validator

from fulora.clip.config import ForgettingConfig, ProbeConfig, TuneClipConfig, ZeroShotConfig
from fulora.config import Config
from fulora.data.embeddings import Embeddings
from fulora.data.image_set import ImageSet
from fulora.data.results import PROMPT, Forgetting, Predictions
from fulora.data.weights import ClipWeights
from fulora.intake.config import CurateConfig
from fulora.stage import Artifact, Source
from fulora.workspace import Workspace
from pipelines.arms import HYBRID
from pipelines.merged_settings import locate_errors
from pipelines.stages.embed_images import embed_images
from pipelines.stages.forgetting import forgetting
from pipelines.stages.probe_clip import probe_clip
from pipelines.stages.tune_clip import tune_clip
from pipelines.stages.zero_shot import zero_shot
from pipelines.training_key import Training


class ClipArmConfig(Config):
    """A CLIP tuned on the images of an arm, or a head on its embeddings of them; exactly one of the two.

    Attributes:
        images: the arm of classifiers whose image set it is fitted to.
    """

    images: str = HYBRID
    tune: TuneClipConfig | None = None
    probe: ProbeConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> "ClipArmConfig":
        if (self.tune is None) == (self.probe is None):
            raise ValueError("give either tune or probe")
        return self


class FewShotConfig(Config):
    """A few patients of the test population, and the head that is fitted to them and tested on the others.

    Attributes:
        images: its training split has the few patients, its test split others, e.g. a source with `role: train+test`
            and `patients_per_plane: 2`.
    """

    images: CurateConfig
    probe: ProbeConfig = Field(default_factory=lambda: ProbeConfig(head="tip"))


FEW_SHOT = "CLIP, few-shot"


@dataclass
class ClipResults:
    """Results of the CLIP arms, by arm."""

    predictions: dict[str, list[Predictions]] = field(default_factory=dict)
    forgetting: dict[str, Forgetting] = field(default_factory=dict)
    curves: dict[str, Artifact] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptedClip:
    """A CLIP, its prompts, and the images that it is tested on."""

    clip: ClipWeights | Source
    config: ZeroShotConfig
    tested_on: ImageSet

    def embed(self, images: ImageSet, work: Workspace) -> Embeddings:
        """Return the embeddings of a set by this CLIP."""
        return work.run(embed_images, images=images, clip=self.clip, device=self.config.device)

    def probe(self, config: ProbeConfig, images: ImageSet, tested_on: ImageSet, work: Workspace) -> Predictions:
        """Return the predictions of a head on the embeddings of this CLIP."""
        return work.run(
            probe_clip,
            config,
            images=images,
            tested_on=tested_on,
            clip=self.clip,
            embeddings=self.embed(images, work),
            test_embeddings=self.embed(tested_on, work),
        )


def compare_clips(
    arms: Mapping[str, ClipArmConfig],
    sets: Mapping[str, ImageSet],
    seeds: tuple[int, ...],
    base: PromptedClip,
    work: Workspace,
) -> ClipResults:
    """Predict by the prompted CLIP and by every arm: tuned ones once a seed, heads once.

    Args:
        sets: the image set of each arm of classifiers.
    """
    results = ClipResults()
    embeddings = base.embed(base.tested_on, work)
    prompted = work.run(zero_shot, base.config, images=base.tested_on, clip=base.clip, embeddings=embeddings)
    results.predictions[PROMPT] = [prompted]
    for name, arm in arms.items():
        images = sets[arm.images]
        if arm.probe is not None:
            results.predictions[name] = [base.probe(arm.probe, images, base.tested_on, work)]
        elif arm.tune is not None:
            _tune(name, tuning_configs(name, arm.tune, seeds), images, base, work, results)
    return results


def _tune(
    name: str,
    configs: Mapping[Training, TuneClipConfig],
    images: ImageSet,
    base: PromptedClip,
    work: Workspace,
    results: ClipResults,
) -> None:
    """Tune and prompt a CLIP for each seed; forgetting and losses are those of the first seed."""
    tested_on = base.tested_on
    tuned = work.each({key: tune_clip.call(config, images=images, clip=base.clip) for key, config in configs.items()})
    device = base.config.device
    embedded = work.each(
        {key: embed_images.call(images=tested_on, clip=clip, device=device) for key, clip in tuned.items()}
    )
    prompted = {
        key: zero_shot.call(base.config, images=tested_on, clip=clip, embeddings=embedded[key])
        for key, clip in tuned.items()
    }
    results.predictions[name] = list(work.each(prompted).values())
    first = next(iter(tuned))
    config = ForgettingConfig(prompts=base.config.prompts, device=device)
    forgotten = work.each({first: forgetting.call(config, images=tested_on, before=base.clip, after=tuned[first])})
    results.forgetting[name] = forgotten[first]
    results.curves[str(first)] = tuned[first]


def tuning_configs(name: str, tune: TuneClipConfig, seeds: tuple[int, ...]) -> dict[Training, TuneClipConfig]:
    """Return the trainings of an arm that tunes a CLIP: a config for each seed.

    Raises:
        ValueError: if one is not valid; it names the arm.
    """
    with locate_errors(f"clip_arms.{name}"):
        return {Training(name, seed): tune.changed(seed=seed) for seed in seeds}
