"""Configs of the assessment of synthetic images, of their closeness, and of the judges that look at them."""

from typing import Annotated

from pydantic import Field, PositiveInt

from fulora.classification.config import ClassifierConfig
from fulora.config import Config, Runtime


class AssessConfig(Config):
    """How synthetic images are assessed.

    Attributes:
        encoders: whose features distances are taken of: pixels, hash, clip (the study's own), clip:FOLDER,
            timm:NAME[:FILE], torchscript:FILE. Two at least, for what one does not see.
        false_reject: of held-out real images, the share that each filter may reject.
        pairs: how many of the most suspicious pairs are kept for the report, for each encoder.
        draws: random divisions of the patients in each test of memorisation.
        seed: of subsets, draws and folds.
        trusted_encoders: SHA-256 digests of the TorchScript files whose code may run (`sha256sum FILE` prints one).
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    encoders: tuple[str, ...] = Field(default=("pixels", "clip"), min_length=1)
    false_reject: float = Field(default=0.05, gt=0, lt=1)
    pairs: PositiveInt = 20
    draws: Annotated[int, Field(ge=100)] = 9999
    seed: int = 0
    trusted_encoders: Annotated[tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...], Runtime] = ()
    device: Annotated[str, Runtime] = "auto"


class ClosenessConfig(Config):
    """How far synthetic images are from held-out real ones.

    Attributes:
        seed: of the `folds` of the domain classifier, at most one a patient.
        folds: parts of the patients on which the domain classifier is cross-validated.
        level: of the intervals.
        baseline: the synthetic set that each other one is compared with; None compares none with another.
    """

    seed: int = 0
    folds: int = Field(default=5, ge=2)
    level: float = Field(default=0.95, gt=0, lt=1)
    baseline: str | None = "base"


class JudgeConfig(Config):
    """Classifiers of real images alone that judge which plane a synthetic image shows.

    Attributes:
        folds: so many are trained, each without one fold of the patients. A real image is judged by the one that never
            saw its patient, a synthetic image by the one that never saw the patient it is nearest to: a copy is not
            recognised for having been memorised.
        classifier: their config; None takes the study's, from another seed.
    """

    folds: Annotated[int, Field(ge=2)] = 4
    classifier: ClassifierConfig | None = None
