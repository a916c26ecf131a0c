"""Masks of a prediction and of its reference, read and scored case by case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fulora.biometry.ellipse import MeasurementError
from fulora.biometry.quality import field_of_view_mm
from fulora.intake.masks.files import map_cases, read_region
from fulora.intake.masks.spacing import spacing_conflict
from fulora.intake.masks.validation import check_background
from fulora.intake.masks.value_mapping import MaskValues
from fulora.intake.pixel_sizes import PixelSize
from fulora.metrics.psfhs_challenge import ChallengeError
from fulora.progress import track
from fulora.segmentation.challenge_protocols import (
    CaseScores,
    Mask,
    Region,
    score_hc18,
    score_plain,
    score_psfhs,
)
from fulora.segmentation.protocols import Protocol


@dataclass(frozen=True)
class CaseScorer:
    """How the cases of a folder are scored.

    Attributes:
        classes: those that any reference contains.
        pixel_sizes: by case; None for distances in pixels.
        label: the class number of the head, for `hc18` and masks of several classes.
    """

    protocol: Protocol
    mapping: MaskValues
    classes: Sequence[int]
    pixel_sizes: Mapping[str, PixelSize] | None
    label: int | None

    def score_folder(
        self, name: str, references: Mapping[str, Path], predictions: Mapping[str, Path], workers: int
    ) -> list[CaseScores]:
        """Score the predictions of a folder against every reference, both by case.

        Args:
            name: of the prediction, for messages.

        Raises:
            ValueError: if no prediction has the name of a reference, or a case cannot be scored.
        """
        if not references.keys() & predictions.keys():
            first, other = next(iter(references)), next(iter(predictions))
            raise ValueError(f"{name}: no mask has the name of a reference; a reference is {first}, a mask {other}")
        cases = map_cases(references, lambda case, path: self._score(case, path, predictions.get(case)), workers)
        return list(track(cases, f"{name} scored", total=len(references)))

    def _score(self, case: str, reference: Path, prediction: Path | None) -> CaseScores:
        read: Callable[[Path], Mask | Region] = self.mapping.read
        if self.protocol == "hc18":
            read = partial(read_region, values=self.mapping, label=self.label)
        truth = read(reference)
        check_background(truth, reference)
        size, view, spacing = self._pixel_size(case, (reference, prediction), truth.shape)
        labels = None if prediction is None else read(prediction)
        if labels is not None and labels.shape != truth.shape and self.protocol != "psfhs":
            raise ValueError(
                f"{prediction}: (height, width) {labels.shape}, but its reference has {truth.shape}; "
                "resize the prediction to the reference's size before it is scored"
            )
        try:
            scores = self._scores(case, labels, truth, size)
        except ChallengeError as error:
            raise ChallengeError(f"{prediction or reference}: {error}") from error
        except MeasurementError as error:
            raise ValueError(
                f"{reference}: the reference cannot be measured ({error}); correct or remove it"
            ) from error
        return replace(scores, view=view, spacing=spacing)

    def _scores(self, case: str, labels: Mask | Region | None, truth: Mask | Region, size: float) -> CaseScores:
        if self.protocol == "psfhs":
            return score_psfhs(case, labels, truth)
        if self.protocol == "plain":
            return score_plain(case, labels, truth, self.classes, size)
        return score_hc18(case, labels, truth, size)

    def _pixel_size(self, case: str, files: Sequence[Path | None], shape: tuple[int, ...]) -> tuple[float, str, str]:
        """The mm of a pixel, the field of view if it is implausible, and pixel spacings of the files that differ."""
        if self.pixel_sizes is None:
            return 1.0, "", ""
        if case not in self.pixel_sizes:
            raise ValueError(f"{case} is not in the list of pixel sizes; distances in mm need it")
        size, width_height = self.pixel_sizes[case], shape[::-1]
        if size.original not in (None, width_height):
            raise ValueError(
                f"{case}: its masks have (width, height) {width_height}, and the list of pixel sizes says "
                f"{size.original}; resize them to the original's size before they are scored"
            )
        view = field_of_view_mm(float(width_height[0]), float(width_height[1]), size.mm)
        conflicts = {path: spacing_conflict(path, (size.mm, size.mm)) for path in files if path}
        return size.mm, view, "; ".join(f"{path}: {conflict}" for path, conflict in conflicts.items() if conflict)
