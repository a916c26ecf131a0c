"""The arms of a study that rest on a CLIP: by prompts, adapted and then by prompts, and heads on its embeddings."""

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
from pipelines.changes import about
from pipelines.stages.embed_images import embed_images
from pipelines.stages.forgetting import forgetting
from pipelines.stages.probe_clip import probe_clip
from pipelines.stages.tune_clip import tune_clip
from pipelines.stages.zero_shot import zero_shot
from pipelines.trainings import Training


class ClipArmConfig(Config):
    """A CLIP adapted to an arm's images, or a head on its embeddings of them.

    Attributes:
        images: the arm of classifiers whose image set it is given.
        tune, probe: one of the two.
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
    """A few patients of the population tested on, and the rest of them to be tested on; the head that learns from them.

    Attributes:
        images: its training split holds the few, its test split others, e.g. a source with `role: train+test` and
            `patients_per_plane: 2`.
    """

    images: CurateConfig
    probe: ProbeConfig = Field(default_factory=lambda: ProbeConfig(head="tip"))


FEW_SHOT = "CLIP, few-shot"


@dataclass
class ClipResults:
    """What CLIP arms made, by arm."""

    predictions: dict[str, list[Predictions]] = field(default_factory=dict)
    forgetting: dict[str, Forgetting] = field(default_factory=dict)
    curves: dict[str, Artifact] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompted:
    """A CLIP, how it is asked, and what it is asked about."""

    clip: ClipWeights | Source
    asked: ZeroShotConfig
    tested_on: ImageSet

    def embedded(self, images: ImageSet, work: Workspace) -> Embeddings:
        """The embeddings of a set by this CLIP."""
        return work.run(embed_images, images=images, clip=self.clip)


def compare_clips(
    arms: Mapping[str, ClipArmConfig],
    sets: Mapping[str, ImageSet],
    seeds: tuple[int, ...],
    by: Prompted,
    work: Workspace,
) -> ClipResults:
    """The CLIP by prompts, and every arm: tuned ones once a seed, heads once.

    Args:
        sets: the image set of each arm of classifiers.
    """
    done = ClipResults()
    here = by.embedded(by.tested_on, work)
    done.predictions[PROMPT] = [work.run(zero_shot, by.asked, images=by.tested_on, clip=by.clip, embeddings=here)]
    for name, arm in arms.items():
        images = sets[arm.images]
        if arm.probe is not None:
            done.predictions[name] = [
                work.run(
                    probe_clip,
                    arm.probe,
                    images=images,
                    tested_on=by.tested_on,
                    clip=by.clip,
                    embeddings=by.embedded(images, work),
                    test_embeddings=here,
                )
            ]
        elif arm.tune is not None:
            _tuned(name, arm.tune, images, seeds, by, work, done)
    return done


def _tuned(
    name: str,
    tune: TuneClipConfig,
    images: ImageSet,
    seeds: tuple[int, ...],
    by: Prompted,
    work: Workspace,
    done: ClipResults,
) -> None:
    """Tune once a seed, ask each; the first seed's forgetting and losses are told."""
    tuned = work.each(
        {one: tune_clip.call(config, images=images, clip=by.clip) for one, config in tunings(name, tune, seeds).items()}
    )
    seen = work.each({one: embed_images.call(images=by.tested_on, clip=clip) for one, clip in tuned.items()})
    found = work.each(
        {
            one: zero_shot.call(by.asked, images=by.tested_on, clip=clip, embeddings=seen[one])
            for one, clip in tuned.items()
        }
    )
    done.predictions[name] = list(found.values())
    first = next(iter(tuned))
    config = ForgettingConfig(prompts=by.asked.prompts)
    made = work.each({first: forgetting.call(config, images=by.tested_on, before=by.clip, after=tuned[first])})
    done.forgetting[name] = made[first]
    done.curves[str(first)] = tuned[first]


def tunings(name: str, tune: TuneClipConfig, seeds: tuple[int, ...]) -> dict[Training, TuneClipConfig]:
    """The trainings of an arm that tunes a CLIP: a config for each seed.

    Raises:
        ValueError: one cannot be; the arm is named.
    """
    with about(f"clip_arms.{name}"):
        return {Training(name, seed): tune.changed(seed=seed) for seed in seeds}


def few_shot(config: FewShotConfig, images: ImageSet, by: Prompted, work: Workspace) -> list[Predictions]:
    """A head that has seen a few patients of the population tested on, on the others."""
    seen = by.embedded(images, work)
    return [
        work.run(
            probe_clip,
            config.probe,
            images=images,
            tested_on=images,
            clip=by.clip,
            embeddings=seen,
            test_embeddings=seen,
        )
    ]
