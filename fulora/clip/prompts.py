"""The words of CLIP: prompts a plane is asked for with, captions the tiny CLIP is pre-trained with. Data, no torch.

Both are our own. They share a vocabulary and no sentence: zero-shot then asks in other words than those learned from.
"""

from collections.abc import Mapping

from fulora.data.captions import CAPTIONS
from fulora.data.labels import PLANES, Plane

PROMPTS: Mapping[Plane, tuple[str, ...]] = {
    "abdomen": (
        "Ultrasound of the fetal abdomen in cross-section, with the stomach bubble and the umbilical vein.",
        "A B-mode ultrasound frame of the abdominal circumference plane of a fetus, round, with the stomach.",
        "Prenatal ultrasound, transverse fetal abdomen: liver, stomach and spine.",
        "Obstetric sonogram of a fetal belly, a round section with the portal vein inside.",
        "Standard abdominal plane on a fetal ultrasound scan, showing liver and umbilical vein.",
        "Greyscale ultrasound picture of the fetal abdomen with a dark stomach.",
    ),
    "brain": (
        "Ultrasound of the fetal brain in cross-section, with the midline falx and the thalami.",
        "A B-mode ultrasound frame of the head circumference plane of a fetus, an oval bright skull.",
        "Prenatal ultrasound, axial fetal head: cavum septi pellucidi and lateral ventricles.",
        "Obstetric sonogram of a fetal head, an oval skull with the midline inside.",
        "Standard transthalamic plane on a fetal ultrasound scan, showing thalami and midline.",
        "Greyscale ultrasound picture of the fetal brain inside the skull.",
    ),
    "femur": (
        "Ultrasound of the fetal femur along its length, a bright straight bone.",
        "A B-mode ultrasound frame of the femur length plane of a fetus, with an acoustic shadow below the bone.",
        "Prenatal ultrasound, fetal thigh: the femoral shaft and both of its ends.",
        "Obstetric sonogram of a fetal leg, a long bright shaft with a shadow.",
        "Standard femur plane on a fetal ultrasound scan, showing one long bone in the thigh.",
        "Greyscale ultrasound picture of the fetal femur, a bright line in soft tissue.",
    ),
    "thorax": (
        "Ultrasound of the fetal thorax in cross-section, with the four chambers of the heart.",
        "A B-mode ultrasound frame of the four-chamber plane of a fetus, the heart between the lungs.",
        "Prenatal ultrasound, transverse fetal chest: heart, lungs and ribs.",
        "Obstetric sonogram of a fetal chest, a round section with the beating heart inside.",
        "Standard thoracic plane on a fetal ultrasound scan, showing heart chambers and spine.",
        "Greyscale ultrasound picture of the fetal thorax with the heart.",
    ),
    "other": (
        "Ultrasound of a pregnancy without a standard plane, with placenta and amniotic fluid.",
        "A B-mode ultrasound frame of another view of a fetus, such as the face, a hand or the spine.",
        "Prenatal ultrasound, non-standard view: no head, belly, chest or thigh section.",
        "Obstetric sonogram of maternal tissue and the uterine wall.",
        "Non-standard plane on a fetal ultrasound scan, showing umbilical cord and fluid.",
        "Greyscale ultrasound picture of something else than a biometry plane.",
    ),
}
"""Six prompts a plane; each names modality, plane and visible anatomy."""

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
