"""The predictions that zero-shot classification compares: of every CLIP by every set of prompts, and of heads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, get_args

from fulora.clip.config import ProbeConfig, ZeroShotConfig
from fulora.clip.prompts import prompts_of
from fulora.clip.tuned_classes import refuse_tuned_on_others
from fulora.data.comparisons import ComparisonsConfig
from fulora.data.embeddings import Embeddings
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.leak_check import describe_unknown, refuse_leaks
from fulora.data.patient_numbers import different_patients
from fulora.data.provenance import provenance_of
from fulora.data.results import Predictions, Scores
from fulora.data.score import ScoreConfig
from fulora.data.weights import ClipWeights
from fulora.stage import Artifact, Call, Source
from fulora.workspace import Workspace
from pipelines.jobs.clips import NamedClip
from pipelines.jobs.prompt_sets import NamedPrompts
from pipelines.jobs.tested_images import ImagesUnderTest, refuse_unnamed_classes, same_classes
from pipelines.stages.embed_images import embed_images
from pipelines.stages.probe_clip import probe_clip
from pipelines.stages.score import score
from pipelines.stages.take_few import FewConfig, take_few
from pipelines.stages.take_tested import TakeTestedConfig, take_tested
from pipelines.stages.zero_shot import zero_shot

Head = Literal["linear", "tip"]
HEADS: tuple[Head, ...] = get_args(Head)
HEAD_NAMES: Mapping[Head, str] = {"linear": "linear probe", "tip": "Tip-Adapter"}
PROMPTS_OF_ALL = "Give prompts for all classes of the tuned CLIP in their order, also for those that no image shows"


@dataclass(frozen=True)
class Heads:
    """Heads on the embeddings of a training set.

    Attributes:
        trained_on: the image set whose training split they are fitted to, and validation split chosen on.
        kinds: of heads.
        few_shot: for each number, heads fitted to so many training images a class; empty for all of them.
        seed: of the choice of few images.
    """

    trained_on: ImageSet
    kinds: tuple[Head, ...]
    few_shot: tuple[int, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """The artifacts of a comparison, the predictions by name.

    Attributes:
        embeddings: of the images that are predicted on, by the name of the CLIP.
        scores: None without labels.
        notes: on CLIPs whose training data are unknown.
    """

    embeddings: Mapping[str, Embeddings]
    predictions: Mapping[str, Predictions]
    scores: Scores | None
    notes: tuple[str, ...]

    def fingerprints(self) -> dict[str, str]:
        """Return what identifies each of the artifacts."""
        artifacts: dict[str, Artifact] = {f"embeddings, {name}": item for name, item in self.embeddings.items()}
        artifacts |= self.predictions
        artifacts |= {} if self.scores is None else {"scores": self.scores}
        return {name: item.fingerprint for name, item in artifacts.items()}


@dataclass(frozen=True)
class Comparison:
    """What is compared on which images.

    Attributes:
        labels: the classes that are predicted.
        leave_out: classes of images that are left out.
        heads: None without a training set.
        score: how intervals are drawn; every two predictions are compared.
        device: that the CLIPs compute on.
    """

    tested: ImagesUnderTest
    labels: LabelSet
    clips: tuple[NamedClip, ...]
    prompts: tuple[NamedPrompts, ...]
    leave_out: tuple[str, ...] = ()
    heads: Heads | None = None
    score: ScoreConfig = field(default_factory=ScoreConfig)
    device: str = "auto"

    def rows(self) -> list[Image]:
        """Return the rows that are predicted on."""
        return [row for row in self.tested.rows() if row.plane not in self.leave_out]

    def n_patients(self) -> int:
        """Return how many patients the images show."""
        return len({row.patient_key for row in self.rows()})

    def prompt_texts(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Return the prompts of each class, by set."""
        return {one.name: prompts_of(self.labels, one.own).texts() for one in self.prompts}

    def notes(self) -> tuple[str, ...]:
        """Return what is noteworthy about the images, such as classes that none of them shows."""
        left_out = f"left out: images of {', '.join(self.leave_out)}"
        return (*self.tested.notes_on(self.rows(), self.labels), *([left_out] if self.leave_out else []))

    def run(self, work: Workspace) -> Outcome:
        """Make all artifacts in `work`, or, if that only plans, record what has to be made.

        Raises:
            OverlapError, SameNumberError: if a CLIP or a head learned from a tested image or patient.
            LabelSetError: if images show other classes, or a CLIP was tuned on others.
        """
        images = self.tested.of_classes(self.labels, work, leave_out=self._left_out(self.tested.source))
        clips = {clip.name: clip.open(work) for clip in self.clips}
        notes = [line for name, clip in clips.items() for line in self._check(name, clip)]
        embeddings = work.each(
            {name: embed_images.call(self.tested.source, clip, device=self.device) for name, clip in clips.items()}
        )
        calls = {
            f"{name}, {prompts.name}": zero_shot.call(
                ZeroShotConfig(prompts=prompts.own, device=self.device),
                images=images,
                clip=clip,
                embeddings=embeddings[name],
            )
            for name, clip in clips.items()
            for prompts in self.prompts
        }
        if self.heads is not None:
            calls |= self._head_calls(self.heads, images, clips, embeddings, work)
        predictions = work.each(calls)
        scores = self._score(predictions, work) if self.tested.labelled else None
        return Outcome(embeddings, predictions, scores, tuple(notes))

    def _check(self, name: str, clip: ClipWeights | Source) -> list[str]:
        """Refuse a CLIP that the stages would refuse after images are embedded; return what is not known of it."""
        if not clip.path.exists():
            return []  # planned, and not fetched yet
        if any(prompts.own is not None for prompts in self.prompts):
            refuse_tuned_on_others(clip.path, self.labels, whose="the prompts", advice=PROMPTS_OF_ALL)
        else:
            refuse_tuned_on_others(clip.path, self.labels, whose=f"the images {self.tested.source.path.name}")
        learned = provenance_of(clip.path, f"CLIP {name}")
        distinct = different_patients(self.tested.source.path)
        return describe_unknown(refuse_leaks([learned], self.rows(), distinct_patients=distinct))

    def _head_calls(
        self,
        heads: Heads,
        images: ImageSet,
        clips: Mapping[str, ClipWeights | Source],
        embeddings: Mapping[str, Embeddings],
        work: Workspace,
    ) -> dict[str, Call[Predictions]]:
        trained_on = self._of_classes(heads.trained_on, work)
        embedded = work.each(
            {name: embed_images.call(heads.trained_on, clip, device=self.device) for name, clip in clips.items()}
        )
        few = work.each(
            {number: take_few.call(FewConfig(images=number, seed=heads.seed), trained_on) for number in heads.few_shot}
        )
        sets = {f"{number} a class": one for number, one in few.items()} or {"": trained_on}
        calls: dict[str, Call[Predictions]] = {}
        for name, clip in clips.items():
            for kind in heads.kinds:
                for prompts in self.prompts if kind == "tip" else (NamedPrompts("", None),):
                    for number, fitted_to in sets.items():
                        arm = ", ".join(filter(None, (name, prompts.name, HEAD_NAMES[kind], number)))
                        calls[arm] = probe_clip.call(
                            ProbeConfig(head=kind, prompts=prompts.own, device=self.device),
                            images=fitted_to,
                            tested_on=images,
                            clip=clip,
                            embeddings=embedded[name],
                            test_embeddings=embeddings[name],
                        )
        return calls

    def _of_classes(self, images: ImageSet, work: Workspace) -> ImageSet:
        """Return the training set under the predicted classes; itself if it has them."""
        left_out = self._left_out(images)
        refuse_unnamed_classes(images.rows(), self.labels, leave_out=left_out, where=str(images.path))
        if not left_out and same_classes(images.label_set(), self.labels):
            return images
        return work.run(take_tested, TakeTestedConfig(classes=self.labels, split="each", leave_out=left_out), images)

    def _left_out(self, images: ImageSet) -> tuple[str, ...]:
        shown = {row.plane for row in images.iter_rows()}
        return tuple(name for name in self.leave_out if name in shown)

    def _score(self, predictions: Mapping[str, Predictions], work: Workspace) -> Scores:
        pairs = tuple((second, first) for first, second in combinations(predictions, 2))
        config = self.score.changed(comparisons=ComparisonsConfig(further=pairs))
        return work.run(score, config, {name: [one] for name, one in predictions.items()})
