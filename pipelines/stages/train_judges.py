"""Train judges of classes: classifiers of real images alone, each without one fold of the patients."""

from pathlib import Path

from fulora.classification.config import ClassifierConfig
from fulora.data.image_set import ImageSet
from fulora.data.weights import JudgeWeights
from fulora.stage import Source, stage


@stage(version=2, resumes=True)
def train_judges(
    out: Path, folds: int, classifier: ClassifierConfig, images: ImageSet, start: Source | None = None
) -> JudgeWeights:
    """Train on the real training and validation images.

    Args:
        start: the weights file that the classifiers' config reads, if any.
    """
    from fulora.assessment.judges import judged_images
    from fulora.assessment.judges import train_judges as train
    from fulora.data.model_provenance import write_model_provenance
    from fulora.data.provenance import provenance_of

    train(out, folds, classifier, images, None if start is None else start.path)
    parents = [] if start is None else [provenance_of(start.path, f"weights {start.path.name}")]
    write_model_provenance(out, "judges", images, judged_images(images), parents=parents)
    return JudgeWeights(out, "")
