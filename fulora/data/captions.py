"""Captions: the words a plane is trained with, and asked for with."""

from fulora.data.labels import Plane

# FU-LoRA's own captions for the five planes (its training prompt is its generation prompt).
CAPTIONS: dict[Plane, str] = {
    "abdomen": "a photo of fetal abdomen",
    "brain": "a photo of fetal brain",
    "femur": "a photo of fetal femur",
    "thorax": "a photo of fetal thorax",
    "other": "a photo of fetal ultrasound",
    "intrapartum": "a photo of fetal head and pubic symphysis",
}
