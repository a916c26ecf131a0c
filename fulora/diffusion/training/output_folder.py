"""The folder that a LoRA is trained in: which files it may contain, and whether it holds the requested LoRA already."""

from pathlib import Path

from fulora.config import identity
from fulora.data.label_set import FILE as CLASSES
from fulora.data.provenance import FILE as PROVENANCE
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.card import KOHYA_FILE
from fulora.diffusion.lora.files import FILE, METRICS, SAMPLES
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.metadata import facts_in, settings_in
from fulora.diffusion.lora.publish import CARD
from fulora.diffusion.lora.read import read_lora
from fulora.diffusion.lora.training_facts import INPUT_DIGESTS, TrainingFacts, input_digests
from fulora.diffusion.training.examples import TrainingImages, add_image_counts
from fulora.diffusion.training.train import LAST_GOOD
from fulora.integrity import LIST, LIST_FILES, check
from fulora.training.checkpoints import CHECKPOINTS

OF_A_LORA = {FILE, KOHYA_FILE, LAST_GOOD, METRICS, PROVENANCE, CLASSES, SAMPLES, CHECKPOINTS, CARD, *LIST_FILES}
"""Every name that a training writes, or that is added to a trained LoRA."""


def refuse_other_contents(out: Path) -> None:
    """Refuse a folder with other contents, among which the files of a LoRA would be scattered.

    Raises:
        LoraError: if `out` is a file, or contains a file that no training writes.
    """
    if out.exists() and not out.is_dir():
        raise LoraError(f"{out}: is a file; --out names a folder for the LoRA")
    others = sorted(path.name for path in out.glob("*") if path.name not in OF_A_LORA) if out.is_dir() else []
    if others:
        raise LoraError(f"{out}: it contains something else ({others[0]}): give --out a new folder")


def holds_finished(out: Path, cfg: LoraConfig, base_digest: str, material: TrainingImages) -> bool:
    """Return whether `out` holds the LoRA of this config, backbone and training data.

    Raises:
        LoraError: if it holds another finished LoRA.
        DamagedArtifactError: if its files were changed since it was trained.
    """
    if not (out / FILE).is_file():
        return False
    if (out / LIST).is_file():
        check(out)
    header = read_lora(out / FILE).metadata
    trained_on = facts_in(header)
    facts = add_image_counts(
        TrainingFacts(base_digest=base_digest), material.images, material.validation, material.prior
    )
    if (settings_in(header), [trained_on.get(name, "") for name in INPUT_DIGESTS]) != (
        identity(cfg),
        input_digests(facts),
    ):
        raise LoraError(
            f"{out}: it holds another finished LoRA, of other images, another backbone or other settings: give another "
            "--out"
        )
    return True
