"""Check that enough synthetic images are generated for the arms of a study."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fulora.data.hybrid import ASSESSED, MixConfig, added_to
from fulora.data.label_set import LabelSet
from pipelines.arms import ArmConfig
from pipelines.checks.findings import Findings
from pipelines.fu_lora_config import FuLoraConfig

SPARE = 0.2
"""Share of generated images that filters may reject without a note; their true rate is unknown before generation."""

SHOWN = 4
"""Number of arms that a message names; the rest are counted."""


def check_mixing(
    findings: Findings, cfg: FuLoraConfig, training: Mapping[str, Mapping[str, int] | None], labels: LabelSet | None
) -> None:
    """Compare the number of generated images with what each arm adds, and `real_per_plane` with the real images.

    Args:
        training: by name of real images ("" for `planes`), the training images of each class; None if unknown.
        labels: of all of them; None if unknown.
    """
    supplies: dict[str, Supply] = {}
    for name, arm in cfg.all_arms().items():
        counts = training.get(arm.images)
        if arm.mix is None or counts is None:
            continue
        wanted = _wanted(findings, name, arm, counts, labels)
        if arm.synthetic is None:
            continue
        generate = cfg.synthetic[arm.synthetic].generate
        where = "generate" if generate == cfg.generate else f"synthetic.{arm.synthetic}.generate"
        planes = generate.planes or tuple(wanted)
        absent = [plane for plane, count in wanted.items() if count and plane not in planes]
        if absent:
            findings.problem(
                f"{where}.planes",
                f"{', '.join(absent)} is not generated, and arms add images of it: add it, or give mix.ratio plane by "
                "plane with 0 for it",
            )
        most = max((count for plane, count in wanted.items() if plane not in absent), default=0)
        if most > generate.per_class:
            supply = supplies.setdefault(where, Supply(generate.per_class))
            (supply.short if arm.mix.too_few == "fail" else supply.scarce)[name] = most
        elif arm.mix.assessed and arm.mix.too_few == "fail" and most > (1 - SPARE) * generate.per_class:
            findings.note(f"{where}.per_class", _describe_spare(most, generate.per_class, arm.mix))
    for where, supply in supplies.items():
        _report(findings, f"{where}.per_class", supply)


@dataclass
class Supply:
    """Number of generated images of each class, and the arms that need more, by name with the number that they need.

    Attributes:
        short: arms that fail without them.
        scarce: arms that use some images several times.
    """

    per_class: int
    short: dict[str, int] = field(default_factory=dict)
    scarce: dict[str, int] = field(default_factory=dict)


def _wanted(
    findings: Findings, name: str, arm: ArmConfig, real: Mapping[str, int], labels: LabelSet | None
) -> dict[str, int]:
    """The number of images of each class that an arm adds."""
    mix, names = arm.mix or MixConfig(arm="none"), real if labels is None else labels.names
    counts = {plane: real[plane] for plane in names if real.get(plane, 0)}
    if mix.real == "balanced":
        least = min(counts.values(), default=0)
        if mix.real_per_plane is not None and mix.real_per_plane > least:
            few = ", ".join(f"{plane} {count}" for plane, count in counts.items() if count < mix.real_per_plane)
            findings.problem(
                "real_per_plane",
                f"the arm {name!r} keeps {mix.real_per_plane} real images of each plane; training has fewer of {few}",
            )
            return {}
        counts = dict.fromkeys(counts, mix.real_per_plane or least)
    return added_to({plane: counts.get(plane, 0) for plane in names}, mix)


def _describe_spare(wanted: int, drawn: int, mix: MixConfig) -> str:
    filters = ", ".join(name for name in mix.filters if name in ASSESSED)
    return (
        f"{drawn} images of each plane are generated and {wanted} are added: the filters ({filters}) may reject "
        f"{drawn - wanted} ({(drawn - wanted) / drawn:.0%}) before the study stops; generate more, or set "
        "mix.too_few=repeat"
    )


def _report(findings: Findings, where: str, supply: Supply) -> None:
    if supply.short:
        findings.problem(
            where,
            f"{supply.per_class} images of each plane are generated, and more are added by {_arms(supply.short)}: set "
            f"{where}={max(supply.short.values())} at least, and more for what filters reject; or lower mix.ratio "
            "or mix.cap; or set mix.too_few=repeat",
        )
    if supply.scarce:
        findings.note(
            where,
            f"{supply.per_class} images of each plane are generated, and more are added by {_arms(supply.scarce)}: "
            "some are used several times (mix.too_few=repeat)",
        )


def _arms(wanted: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name!r} ({count})" for name, count in list(wanted.items())[:SHOWN])
    return shown + (f" and {len(wanted) - SHOWN} more arms" if len(wanted) > SHOWN else "")
