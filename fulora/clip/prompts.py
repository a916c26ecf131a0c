"""The words of CLIP: prompts a plane is asked for with, captions the tiny CLIP is pre-trained with. Data, no torch.

Both are our own. They share a vocabulary and no sentence: zero-shot then asks in other words than those learned from.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import field_validator

import fulora
from fulora.config import Config, read_yaml, validated
from fulora.data.captions import CAPTIONS
from fulora.data.labels import PLANES, Plane

SHIPPED = Path(fulora.__file__).parent / "assets" / "prompts"


class PromptSet(Config):
    """Prompts of every plane, and of views that count as "other".

    Attributes:
        planes: any number of prompts each; their directions are averaged.
        distractors: other views by name, each with its prompts.
    """

    name: str
    planes: Mapping[Plane, tuple[str, ...]]
    distractors: Mapping[str, tuple[str, ...]] = {}

    @field_validator("planes")
    @classmethod
    def _complete(cls, prompts: Mapping[Plane, tuple[str, ...]]) -> Mapping[Plane, tuple[str, ...]]:
        if set(prompts) != set(PLANES) or not all(prompts.values()):
            raise ValueError(f"prompts names exactly the planes {', '.join(PLANES)}, each with one prompt or more")
        return {plane: prompts[plane] for plane in PLANES}

    @field_validator("distractors")
    @classmethod
    def _others(cls, prompts: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        wrong = sorted(name for name, texts in prompts.items() if name in PLANES or not texts)
        if wrong:
            raise ValueError(f"distractors {', '.join(wrong)}: each has one prompt or more, and none is a plane")
        return prompts

    def classes(self, *, distractors: bool = False) -> dict[str, tuple[str, ...]]:
        """The prompts of the planes, in order, and then of the distractors if asked for."""
        planes = {str(plane): texts for plane, texts in self.planes.items()}
        return {**planes, **self.distractors} if distractors else planes


@cache
def prompt_set(name: str) -> PromptSet:
    """A shipped set by its name, or the set in a YAML file of one's own.

    Raises:
        ValueError: neither, or a set that is not complete.
    """
    shipped = {path.stem: path for path in SHIPPED.glob("*.yaml")}
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise ValueError(
            f"{name}: no set of prompts; shipped: {', '.join(sorted(shipped))}, or the path of a .yaml file"
        )
    return validated(PromptSet, read_yaml(path), where=str(path))


_MODALITIES = (
    "ultrasound",
    "an ultrasound image",
    "B-mode ultrasound",
    "a sonogram",
    "a prenatal scan",
    "ultrasound scan",
)
_NAMES: Mapping[Plane, tuple[str, ...]] = {
    "abdomen": ("the fetal abdomen", "a fetal belly", "the abdominal plane of a fetus"),
    "brain": ("the fetal brain", "a fetal head", "the transthalamic plane of a fetus"),
    "femur": ("the fetal femur", "a fetal thigh", "the femur plane of a fetus"),
    "thorax": ("the fetal thorax", "a fetal chest", "the thoracic plane of a fetus"),
    "other": ("another fetal view", "a non-standard plane", "maternal tissue", "no standard plane of a fetus"),
}
_ANATOMY: Mapping[Plane, tuple[str, ...]] = {
    "abdomen": ("stomach and umbilical vein", "the liver and a dark stomach bubble", "a round section with the spine"),
    "brain": ("thalami and midline falx", "an oval bright skull", "the cavum septi pellucidi and the ventricles"),
    "femur": ("one long bright bone", "a straight shaft and its shadow", "the bone in soft tissue"),
    "thorax": ("the four chambers of the heart", "heart, lungs and ribs", "a round section with the beating heart"),
    "other": ("placenta and amniotic fluid", "face, hand or spine", "umbilical cord and uterine wall"),
}


def pretraining_captions(plane: Plane) -> list[str]:
    """Captions of a plane for pre-training: every modality x name x visible anatomy, and the project's own caption.

    Raises:
        ValueError: a plane that is not one of the five.
    """
    if plane not in PLANES:
        raise ValueError(f"plane {plane!r} has no pre-training captions; the planes are {', '.join(PLANES)}")
    names, anatomy = _NAMES[plane], _ANATOMY[plane]
    varied = [f"{how} of {name}, {parts}" for how in _MODALITIES for name in names for parts in anatomy]
    return [CAPTIONS[plane], *(f"{how} of {name}" for how in _MODALITIES for name in names), *varied]
