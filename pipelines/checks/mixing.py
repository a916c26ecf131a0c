"""Whether as many synthetic images are drawn as the arms of a study add."""

from collections.abc import Mapping

from fulora.data.hybrid import ASSESSED, MixConfig, added_to
from fulora.data.label_set import LabelSet, LabelSetError
from fulora.data.labels import Plane
from pipelines.arms import ArmConfig
from pipelines.checks.findings import Findings
from pipelines.fu_lora_config import FuLoraConfig
from pipelines.sources import labels_of

SPARE = 0.2
"""The share of drawn images that must be left for filters to reject; with fewer to spare there is a note. How many they
reject is not known before images are drawn."""

SHOWN = 4
"""Arms that a message names; the rest are counted."""


def check_mixing(found: Findings, cfg: FuLoraConfig, training: Mapping[str, Mapping[str, int] | None]) -> None:
    """Compare `generate.per_class` with what every arm adds, and `real_per_plane` with what there is.

    Args:
        training: by the name of real images (those of `planes` have none), the training images of each class; None
            where they are not known.
    """
    short: dict[str, int] = {}
    scarce: dict[str, int] = {}
    for name, arm in cfg.all_arms().items():
        have = training.get(arm.images)
        if arm.mix is None or have is None:
            continue
        labels = labels_of(cfg.other_images[arm.images] if arm.images else cfg.planes, cfg.data_root)
        wanted = _wanted(found, name, arm, have, labels)
        if arm.mix.arm != "hybrid":
            continue
        undrawn = [
            plane for plane, count in wanted.items() if count and plane not in (cfg.generate.planes or labels.names)
        ]
        if undrawn:
            found.problem(
                "generate.planes",
                f"{', '.join(undrawn)} is not drawn, and arms add images of it: add it, or give mix.ratio plane by "
                "plane with 0 for it",
            )
        most = max((count for plane, count in wanted.items() if plane not in undrawn), default=0)
        if most > cfg.generate.per_class:
            (short if arm.mix.too_few == "fail" else scarce)[name] = most
        elif _narrow(arm.mix, most, cfg.generate.per_class):
            found.note("generate.per_class", _spare(most, cfg.generate.per_class, arm.mix))
    _say(found, cfg, short, scarce)


def _wanted(found: Findings, name: str, arm: ArmConfig, have: Mapping[str, int], labels: LabelSet) -> dict[Plane, int]:
    """What an arm adds, of each plane."""
    mix = arm.mix or MixConfig(arm="none")
    counts: dict[Plane, int] = {plane: have[plane] for plane in labels.names if have.get(plane, 0)}
    if mix.real == "balanced":
        least = min(counts.values(), default=0)
        if mix.real_per_plane is not None and mix.real_per_plane > least:
            few = ", ".join(f"{plane} {count}" for plane, count in counts.items() if count < mix.real_per_plane)
            found.problem(
                "real_per_plane",
                f"the arm {name!r} keeps {mix.real_per_plane} real images of each plane; training has fewer of {few}",
            )
            return {}
        counts = dict.fromkeys(counts, mix.real_per_plane or least)
    try:
        labels.require(mix.ratio if isinstance(mix.ratio, dict) else (), where="mix.ratio")
    except LabelSetError as error:
        found.problem("mix.ratio", f"the arm {name!r}: {error}")
        return {}
    return added_to({plane: counts.get(plane, 0) for plane in labels.names}, mix)


def _narrow(mix: MixConfig, wanted: int, drawn: int) -> bool:
    return mix.assessed and mix.too_few == "fail" and wanted > (1 - SPARE) * drawn


def _spare(wanted: int, drawn: int, mix: MixConfig) -> str:
    asked = ", ".join(name for name in mix.filters if name in ASSESSED)
    return (
        f"{drawn} images of each plane are drawn and {wanted} are added: the filters ({asked}) may reject "
        f"{drawn - wanted} ({(drawn - wanted) / drawn:.0%}) before the study stops; draw more, or set "
        "mix.too_few=repeat"
    )


def _say(found: Findings, cfg: FuLoraConfig, short: Mapping[str, int], scarce: Mapping[str, int]) -> None:
    drawn = cfg.generate.per_class
    if short:
        found.problem(
            "generate.per_class",
            f"{drawn} images of each plane are drawn, and more are added by {_arms(short)}: set "
            f"generate.per_class={max(short.values())} at least, and more for what filters reject; or lower mix.ratio "
            "or mix.cap; or set mix.too_few=repeat",
        )
    if scarce:
        found.note(
            "generate.per_class",
            f"{drawn} images of each plane are drawn, and more are added by {_arms(scarce)}: some are used several "
            "times (mix.too_few=repeat)",
        )


def _arms(wanted: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name!r} ({count})" for name, count in list(wanted.items())[:SHOWN])
    return shown + (f" and {len(wanted) - SHOWN} more arms" if len(wanted) > SHOWN else "")
