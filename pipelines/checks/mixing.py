"""Whether as many synthetic images are drawn as the arms of a study add."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fulora.data.hybrid import ASSESSED, MixConfig, added_to
from fulora.data.label_set import LabelSet
from pipelines.arms import ArmConfig
from pipelines.checks.findings import Findings
from pipelines.fu_lora_config import FuLoraConfig

SPARE = 0.2
"""The share of drawn images that must be left for filters to reject; with fewer to spare there is a note. How many they
reject is not known before images are drawn."""

SHOWN = 4
"""Arms that a message names; the rest are counted."""


def check_mixing(
    found: Findings, cfg: FuLoraConfig, training: Mapping[str, Mapping[str, int] | None], labels: LabelSet | None
) -> None:
    """Compare what each generator draws with what every arm adds, and `real_per_plane` with what there is.

    Args:
        training: by the name of real images (those of `planes` have none), the training images of each class; None
            where they are not known.
        labels: of all of them; None where it is not known.
    """
    drawn: dict[str, Drawn] = {}
    for name, arm in cfg.all_arms().items():
        have = training.get(arm.images)
        if arm.mix is None or have is None:
            continue
        wanted = _wanted(found, name, arm, have, labels)
        if arm.synthetic is None:
            continue
        own = cfg.synthetic[arm.synthetic].generate
        where = "generate" if own == cfg.generate else f"synthetic.{arm.synthetic}.generate"
        undrawn = [plane for plane, count in wanted.items() if count and own.planes and plane not in own.planes]
        if undrawn:
            found.problem(
                f"{where}.planes",
                f"{', '.join(undrawn)} is not drawn, and arms add images of it: add it, or give mix.ratio plane by "
                "plane with 0 for it",
            )
        most = max((count for plane, count in wanted.items() if plane not in undrawn), default=0)
        if most > own.per_class:
            kind = drawn.setdefault(where, Drawn(own.per_class))
            (kind.short if arm.mix.too_few == "fail" else kind.scarce)[name] = most
        elif _narrow(arm.mix, most, own.per_class):
            found.note(f"{where}.per_class", _spare(most, own.per_class, arm.mix))
    for where, kind in drawn.items():
        _say(found, f"{where}.per_class", kind)


@dataclass
class Drawn:
    """How many images of each class are drawn, and which arms want more, by name with the most that they want.

    Attributes:
        short: arms that then fail.
        scarce: arms that then use some images several times.
    """

    per_class: int
    short: dict[str, int] = field(default_factory=dict)
    scarce: dict[str, int] = field(default_factory=dict)


def _wanted(
    found: Findings, name: str, arm: ArmConfig, have: Mapping[str, int], labels: LabelSet | None
) -> dict[str, int]:
    """What an arm adds, of each class."""
    mix, names = arm.mix or MixConfig(arm="none"), have if labels is None else labels.names
    counts = {plane: have[plane] for plane in names if have.get(plane, 0)}
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
    return added_to({plane: counts.get(plane, 0) for plane in names}, mix)


def _narrow(mix: MixConfig, wanted: int, drawn: int) -> bool:
    return mix.assessed and mix.too_few == "fail" and wanted > (1 - SPARE) * drawn


def _spare(wanted: int, drawn: int, mix: MixConfig) -> str:
    asked = ", ".join(name for name in mix.filters if name in ASSESSED)
    return (
        f"{drawn} images of each plane are drawn and {wanted} are added: the filters ({asked}) may reject "
        f"{drawn - wanted} ({(drawn - wanted) / drawn:.0%}) before the study stops; draw more, or set "
        "mix.too_few=repeat"
    )


def _say(found: Findings, where: str, drawn: Drawn) -> None:
    if drawn.short:
        found.problem(
            where,
            f"{drawn.per_class} images of each plane are drawn, and more are added by {_arms(drawn.short)}: set "
            f"{where}={max(drawn.short.values())} at least, and more for what filters reject; or lower mix.ratio "
            "or mix.cap; or set mix.too_few=repeat",
        )
    if drawn.scarce:
        found.note(
            where,
            f"{drawn.per_class} images of each plane are drawn, and more are added by {_arms(drawn.scarce)}: some are "
            "used several times (mix.too_few=repeat)",
        )


def _arms(wanted: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name!r} ({count})" for name, count in list(wanted.items())[:SHOWN])
    return shown + (f" and {len(wanted) - SHOWN} more arms" if len(wanted) > SHOWN else "")
