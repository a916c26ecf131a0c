"""What zero-shot classification compares, from the arguments of the job: all of it checked, nothing computed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.clip.prompts import PromptSet
from fulora.config import ConfigError
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, LabelSetError
from fulora.data.score import ScoreConfig
from fulora.data.weights import ClipWeights
from fulora.metrics.statistics import MIN_DRAWS
from pipelines.jobs.clips import named_clips
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import is_image_set, open_images
from pipelines.jobs.prompt_sets import PromptsReference, classes_of_prompts, named_prompts
from pipelines.jobs.tested_images import ImagesUnderTest, read_tested_images
from pipelines.jobs.zero_shot_arms import HEADS, Comparison, Head, Heads
from pipelines.stages.take_tested import SplitChoice

ClipReference = str | Path | ClipWeights


class TrainingSetError(ValueError):
    """Heads without a training set, or a training set without heads. The message says what to give."""


def plan_comparison(
    images: str | Path | Images,
    *,
    clip: ClipReference | Sequence[ClipReference],
    prompts: PromptsReference | Sequence[PromptsReference],
    settings: Mapping[str, object] | None,
    split: SplitChoice,
    unlabelled: bool,
    leave_out: Sequence[str],
    train: str | Path | Images | None,
    heads: Sequence[Head],
    few_shot: Sequence[int],
    draws: int,
    seed: int,
    device: str,
    work: Path,
    command: str,
) -> Comparison:
    """Return what is compared; arguments and errors as for `fulora.zero_shot`. A folder of images is curated first."""
    from fulora.training.devices import pick_device

    if draws < MIN_DRAWS:
        raise ConfigError(f"draws is {draws}; at least {MIN_DRAWS} are needed")
    pick_device(device)
    clips = named_clips([clip] if isinstance(clip, str | Path | ClipWeights) else clip)
    sets = named_prompts([prompts] if isinstance(prompts, str | Path | Mapping | PromptSet) else prompts)
    kinds = _kinds(heads, few_shot, train)
    tested = read_tested_images(images, settings, split=split, unlabelled=unlabelled, work=work, command=command)
    trained_on = _training_set(tested, train, work) if kinds else None
    return Comparison(
        tested=tested,
        labels=classes_of_prompts(sets, _label_set(tested, trained_on)),
        clips=clips,
        prompts=sets,
        leave_out=_classes_left_out(leave_out, tested, trained_on),
        heads=None if trained_on is None else Heads(trained_on, kinds, tuple(few_shot), seed),
        score=ScoreConfig(draws=draws, seed=seed),
        device=device,
    )


def _kinds(heads: Sequence[Head], few_shot: Sequence[int], train: object) -> tuple[Head, ...]:
    """The heads that are fitted: the named ones; with few-shot alone, Tip-Adapter."""
    if unknown := [name for name in heads if name not in HEADS]:
        raise TrainingSetError(f"there is no head {unknown[0]!r}; there are {', '.join(HEADS)}")
    if wrong := [number for number in few_shot if number < 1]:
        raise TrainingSetError(f"few-shot {wrong[0]}: a number of training images a class is 1 or more")
    kinds = tuple(dict.fromkeys(heads)) or (("tip",) if few_shot else ())
    if train is not None and not kinds:
        raise TrainingSetError("a training set, and nothing to fit to it: add --probe linear, --tip or --few-shot K")
    return kinds


def _training_set(tested: ImagesUnderTest, train: str | Path | Images | None, work: Path) -> ImageSet:
    """The image set that heads are fitted to: the named one, else the one that is tested on."""
    trained_on = tested.source
    if train is not None:
        folder = Path(train.path if isinstance(train, Images) else train)
        if not is_image_set(folder):
            problem = "is no image set" if folder.exists() else "does not exist"
            raise TrainingSetError(f"{folder}: {problem}; --train takes the folder that `fulora data curate` prints")
        trained_on = open_images(folder, None, work)
    if not any(True for _ in trained_on.iter_rows("train")):
        raise TrainingSetError(
            f"{trained_on.path}: has no training images for a probe, Tip-Adapter or few-shot; name a set that has some "
            "with --train"
        )
    return trained_on


def _label_set(tested: ImagesUnderTest, trained_on: ImageSet | None) -> LabelSet | None:
    """The classes of the images; of unlabelled ones those of the training set, if there is one."""
    if tested.labelled:
        return tested.source.label_set()
    return None if trained_on is None else trained_on.label_set()


def _classes_left_out(names: Sequence[str], tested: ImagesUnderTest, trained_on: ImageSet | None) -> tuple[str, ...]:
    """The names, all of them classes of images.

    Raises:
        LabelSetError: if no image shows one of them.
    """
    sets = [tested.source, *([] if trained_on is None else [trained_on])]
    shown = dict.fromkeys(row.plane for images in sets for row in images.iter_rows())
    if absent := [name for name in names if name not in shown]:
        raise LabelSetError(f"leave out {absent[0]!r}: no image shows it; images show {', '.join(shown)}")
    return tuple(dict.fromkeys(names))
