"""What the sources of a study will give: missing folders, names that fit no pattern, classes, splits, sizes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fulora.data.label_set import LabelSet
from fulora.data.labels import Split
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.forecast import ForecastImage, Size, count_sizes, forecast_images
from fulora.intake.curate.patient_checks import read_and_check_patients
from fulora.intake.image_set_labels import inputs_under, resolve_label_set
from fulora.intake.patient_pattern import NO_PATIENT
from fulora.intake.raw_image import FileNote, OnSkip, PassedOver
from fulora.intake.source_config import SourceInputs
from pipelines.checks.findings import Findings
from pipelines.sources import HINTS

SHOWN = 3
"""Messages of a reader that are quoted; the others are counted."""


@dataclass(frozen=True)
class ExpectedSet:
    """The images that curating a config will give.

    Attributes:
        complete: whether every source could be listed; counts are only worth something then.
    """

    config: CurateConfig
    images: Sequence[ForecastImage]
    complete: bool

    def counts(self, split: Split) -> Counter[str]:
        """Images of each class in a split."""
        return Counter(str(image.plane) for image in self.images if image.split == split)

    def sizes(self, *splits: Split) -> Counter[Size]:
        """Width and height of the curated images of some splits; where they keep their own, from the files' headers."""
        chosen = [image for image in self.images if image.split in splits]
        own = [image.path for image in chosen if image.path and self.config.fit == "native"]
        side = self.config.image_size_px
        fitted = Counter({(side, side): len(chosen) - len(own)}) if len(chosen) > len(own) else Counter[Size]()
        return fitted + count_sizes(own)


@dataclass
class Sources:
    """Lists the sources of a study, each once, and gathers what is wrong with them.

    Attributes:
        root: the study's `data_root`.
    """

    found: Findings
    root: Path
    _known: dict[tuple[str, str, bool], list[ForecastImage] | None] = field(default_factory=dict)
    _checked: set[str] = field(default_factory=set)

    def expect(self, where: str, config: CurateConfig, *, compare_pictures: bool = False) -> ExpectedSet:
        """What a config will give.

        Args:
            where: the config's path, such as `planes`.
            compare_pictures: decode all pictures of sources whose split is drawn, for exact counts.
        """
        try:
            inputs = inputs_under(config, self.root)
        except ValueError as error:
            self.found.problem(where, str(error))
            return ExpectedSet(config, [], complete=False)
        listed = []
        for number, (source, given) in enumerate(zip(config.sources, inputs, strict=True)):
            exact = compare_pictures and len(source.split_shares()) > 1
            listed.append(self._list(f"{where}.sources.{number}", source, given, config, exact))
        complete = all(images is not None for images in listed)
        if complete and where not in self._checked:
            self._checked.add(where)
            self._patients(where, config, inputs)
            self._classes(where, config, inputs)
        return ExpectedSet(config, [image for images in listed for image in images or ()], complete)

    def labels(self, where: str, config: CurateConfig) -> LabelSet | None:
        """The classes that a config's images will have; None where they cannot be told, which `expect` tells of."""
        if not self.expect(where, config).complete:
            return None
        try:
            return resolve_label_set(config, inputs_under(config, self.root))
        except (ValueError, OSError):
            return None

    def _patients(self, where: str, config: CurateConfig, inputs: Sequence[SourceInputs]) -> None:
        """Patients who would be in two splits, under one name or two, and two images of one id.

        Rows that cannot be used, which are told elsewhere, are passed over, so that both are told at once.
        """
        try:
            read_and_check_patients(config.changed(unusable="leave_out"), inputs)
        except (ValueError, OSError) as error:
            self.found.problem(where, str(error))

    def _classes(self, where: str, config: CurateConfig, inputs: Sequence[SourceInputs]) -> None:
        """Names of class folders and labels that make no label set."""
        try:
            resolve_label_set(config, inputs)
        except (ValueError, OSError) as error:
            self.found.problem(where, str(error))

    def read(self, where: str, file: Path | None, hint: str) -> None:
        """Check that a file of the study is there."""
        if file is not None and not (self.root / file).exists():
            self.found.problem(where, f"{self.root / file} is not there. {hint}")

    def _list(
        self, where: str, source: AnySource, inputs: SourceInputs, config: CurateConfig, exact: bool
    ) -> list[ForecastImage] | None:
        """The images of a source; None where they cannot be told."""
        if not self._are_there(where, source):
            return None
        key = (config.changed(sources=(source,)).model_dump_json(), repr(inputs.labels), exact)
        if key not in self._known:
            told: list[str] = []
            images = self._expected(where, source, inputs, config, told.append, exact)
            if images is not None and (nameless := [message for message in told if NO_PATIENT in message]):
                self._say_nameless(where, source, nameless, len(images), config)
                images = self._without_patients(where, source, inputs, config)
            unusable = [message for message in told if NO_PATIENT not in message and not isinstance(message, FileNote)]
            self._say_unusable(where, unusable, config)
            for message in told:
                if isinstance(message, FileNote) and not isinstance(message, PassedOver):
                    self.found.note(where, message)
            if images == [] and not told:
                self.found.problem(where, "it has no image")
            self._known[key] = images
        return self._known[key]

    def _expected(
        self, where: str, source: AnySource, inputs: SourceInputs, config: CurateConfig, on_skip: OnSkip, exact: bool
    ) -> list[ForecastImage] | None:
        try:
            return forecast_images(source, inputs, config, on_skip, compare_pictures=exact)
        except (ValueError, OSError) as error:
            self.found.problem(where, str(error))
            return None

    def _without_patients(
        self, where: str, source: AnySource, inputs: SourceInputs, config: CurateConfig
    ) -> list[ForecastImage] | None:
        """The images of a source whose patients are not known, where their split does not depend on patients."""
        if len(source.split_shares()) > 1 or config.unusable != "stop":
            return None
        unknown = source.changed(patient_pattern=None, patients_unknown=True)
        return self._expected(where, unknown, inputs, config, lambda message: None, False)

    def _say_nameless(
        self, where: str, source: AnySource, nameless: Sequence[str], count: int, config: CurateConfig
    ) -> None:
        say = self.found.note if count and config.unusable == "leave_out" else self.found.problem
        pattern = getattr(source, "patient_pattern", None)
        name = nameless[0].split(": patient_pattern")[0]
        say(
            f"{where}.patient_pattern",
            f"{pattern!r} finds a patient in {count} of {count + len(nameless)} names, and none in {name}: correct the "
            "pattern, a regular expression with one group that is the patient",
        )

    def _say_unusable(self, where: str, told: Sequence[str], config: CurateConfig) -> None:
        if not told:
            return
        more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        shown = "; ".join(told[:SHOWN]) + more
        if config.unusable == "stop":
            what = "cannot be used (correct them, or unusable=leave_out leaves them out and lists them)"
            self.found.problem(where, f"{len(told)} rows, files or folders {what}: {shown}")
        else:
            self.found.note(where, f"{len(told)} rows, files or folders will be left out: {shown}")

    def _are_there(self, where: str, source: AnySource) -> bool:
        for name, path in source.input_paths().items():
            self.read(f"{where}.{name}", path, HINTS.get(name, ""))
        return all((self.root / path).exists() for path in source.input_paths().values())
