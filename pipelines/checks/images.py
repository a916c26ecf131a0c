"""Forecast of the images that the sources of a study will give, and the problems that reading them would meet."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fulora.data.column_types import Split
from fulora.data.label_set import LabelSet
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.forecast import ForecastImage, Size, count_sizes, forecast_images
from fulora.intake.curate.patient_checks import read_and_check_patients
from fulora.intake.image_set_labels import inputs_under, resolve_label_set
from fulora.intake.patient_pattern import NO_PATIENT
from fulora.intake.raw_image import FileNote, OnSkip, PassedOver
from fulora.intake.source_config import SourceInputs
from pipelines.checks.findings import Findings
from pipelines.study_inputs import HINTS

SHOWN = 3
"""Number of messages of a reader that are quoted; the others are counted."""


@dataclass(frozen=True)
class ExpectedSet:
    """The images that curation by a config will give.

    Attributes:
        complete: whether every source could be listed; otherwise counts mean nothing.
    """

    config: CurateConfig
    images: Sequence[ForecastImage]
    complete: bool

    def counts(self, split: Split) -> Counter[str]:
        """Count the images of each class in a split."""
        return Counter(str(image.plane) for image in self.images if image.split == split)

    def sizes(self, *splits: Split) -> Counter[Size]:
        """Count the curated images of some splits by (width, height), pixels; native sizes are from file headers."""
        chosen = [image for image in self.images if image.split in splits]
        own = [image.path for image in chosen if image.path and self.config.fit == "native"]
        side = self.config.image_size_px
        fitted = Counter({(side, side): len(chosen) - len(own)}) if len(chosen) > len(own) else Counter[Size]()
        return fitted + count_sizes(own)


@dataclass
class Sources:
    """Lists the sources of a study, each once, and collects their problems.

    Attributes:
        root: the study's `data_root`.
    """

    findings: Findings
    root: Path
    _listed: dict[tuple[str, str, bool], list[ForecastImage] | None] = field(default_factory=dict)
    _checked: set[str] = field(default_factory=set)

    def expect(self, where: str, config: CurateConfig, *, compare_pictures: bool = False) -> ExpectedSet:
        """Forecast the images of a config.

        Args:
            where: the config's path, such as `planes`.
            compare_pictures: decode all images of sources that are split at random, for exact counts.
        """
        try:
            inputs = inputs_under(config, self.root)
        except ValueError as error:
            self.findings.problem(where, str(error))
            return ExpectedSet(config, [], complete=False)
        listed = []
        for number, (source, given) in enumerate(zip(config.sources, inputs, strict=True)):
            exact = compare_pictures and len(source.split_shares()) > 1
            listed.append(self._list(f"{where}.sources.{number}", source, given, config, exact))
        complete = all(images is not None for images in listed)
        if complete and where not in self._checked:
            self._checked.add(where)
            with self.findings.collect(where, ValueError, OSError):
                # Unusable rows are reported elsewhere; left out here, they do not hide what is wrong with patients.
                read_and_check_patients(config.changed(unusable="leave_out"), inputs)
            with self.findings.collect(where, ValueError, OSError):
                resolve_label_set(config, inputs)
        return ExpectedSet(config, [image for images in listed for image in images or ()], complete)

    def labels(self, where: str, config: CurateConfig) -> LabelSet | None:
        """Return the label set that a config's images will have; None if unknown, which `expect` reports."""
        if not self.expect(where, config).complete:
            return None
        try:
            return resolve_label_set(config, inputs_under(config, self.root))
        except (ValueError, OSError):
            return None

    def require(self, where: str, file: Path | None, hint: str) -> None:
        """Report a file or folder of the study that does not exist."""
        if file is not None and not (self.root / file).exists():
            self.findings.problem(where, f"{self.root / file}: not found. {hint}")

    def _list(
        self, where: str, source: AnySource, inputs: SourceInputs, config: CurateConfig, exact: bool
    ) -> list[ForecastImage] | None:
        """The images of a source; None if they cannot be listed."""
        paths = source.input_paths()
        for name, path in paths.items():
            self.require(f"{where}.{name}", path, HINTS.get(name, ""))
        if not all((self.root / path).exists() for path in paths.values()):
            return None
        key = (config.changed(sources=(source,)).model_dump_json(), repr(inputs.labels), exact)
        if key not in self._listed:
            skipped: list[str] = []
            images = self._forecast(where, source, inputs, config, skipped.append, exact)
            if images is not None and (unmatched := [message for message in skipped if NO_PATIENT in message]):
                self._report_unmatched(where, source, unmatched, len(images), config)
                images = self._without_patients(where, source, inputs, config)
            unusable = [
                message for message in skipped if NO_PATIENT not in message and not isinstance(message, FileNote)
            ]
            self._report_unusable(where, unusable, config)
            for message in skipped:
                if isinstance(message, FileNote) and not isinstance(message, PassedOver):
                    self.findings.note(where, message)
            if images == [] and not skipped:
                self.findings.problem(where, "no image found")
            self._listed[key] = images
        return self._listed[key]

    def _forecast(
        self, where: str, source: AnySource, inputs: SourceInputs, config: CurateConfig, on_skip: OnSkip, exact: bool
    ) -> list[ForecastImage] | None:
        images = None
        with self.findings.collect(where, ValueError, OSError):
            images = forecast_images(source, inputs, config, on_skip, compare_pictures=exact)
        return images

    def _without_patients(
        self, where: str, source: AnySource, inputs: SourceInputs, config: CurateConfig
    ) -> list[ForecastImage] | None:
        """The images of a source with unknown patients, if their split does not depend on patients."""
        if len(source.split_shares()) > 1 or config.unusable != "stop":
            return None
        unknown = source.changed(patient_pattern=None, patients_unknown=True)
        return self._forecast(where, unknown, inputs, config, lambda message: None, False)

    def _report_unmatched(
        self, where: str, source: AnySource, unmatched: Sequence[str], count: int, config: CurateConfig
    ) -> None:
        report = self.findings.note if count and config.unusable == "leave_out" else self.findings.problem
        pattern = getattr(source, "patient_pattern", None)
        name = unmatched[0].split(": patient_pattern")[0]
        report(
            f"{where}.patient_pattern",
            f"{pattern!r} finds a patient in {count} of {count + len(unmatched)} names, and none in {name}: correct "
            "the pattern, a regular expression with one group that is the patient",
        )

    def _report_unusable(self, where: str, messages: Sequence[str], config: CurateConfig) -> None:
        if not messages:
            return
        count = len(messages)
        shown = "; ".join(messages[:SHOWN]) + (f"; and {count - SHOWN} more" if count > SHOWN else "")
        if config.unusable == "stop":
            reason = "cannot be used (correct them, or unusable=leave_out leaves them out and lists them)"
            self.findings.problem(where, f"{count} rows, files or folders {reason}: {shown}")
        else:
            self.findings.note(where, f"{count} rows, files or folders will be left out: {shown}")
