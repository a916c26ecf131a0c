"""The examination of an installation: versions, devices, room, and the published weights. No network is used."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.backbones import HubBackbone
from pipelines.checks.backbones import check_clip_folder, check_diffusion_folder
from pipelines.checks.findings import Findings
from pipelines.jobs.installation import examine_installation
from pipelines.jobs.machine import Finding, State, examine_accelerators, examine_processor, examine_room
from pipelines.stages.fetch import BACKBONE_FILES, CLIP_FILES


@dataclass(frozen=True)
class Examination:
    """All findings, in the order of their sections."""

    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """What is needed and does not work."""
        return tuple(each for each in self.findings if each.state == "broken")

    def sections(self) -> dict[str, list[Finding]]:
        """Return the findings by section."""
        sections: dict[str, list[Finding]] = {}
        for each in self.findings:
            sections.setdefault(each.section, []).append(each)
        return sections

    def to_json(self) -> dict[str, Any]:
        """Return the findings by section and name, as JSON values, and whether nothing is broken."""
        sections = {
            section: {
                each.name: {k: v for k, v in asdict(each).items() if k not in ("section", "name")} for each in all_
            }
            for section, all_ in self.sections().items()
        }
        return {"works": not self.broken, **sections}


def examine(work: Path, *, backbone: Path | None = None, clip: Path | None = None) -> Examination:
    """Examine the installation, the machine, and whether Stable Diffusion 1.5 and CLIP ViT-B/32 are there.

    Args:
        work: the folder of artifacts, which may not exist yet.
        backbone, clip: folders of weights to look at instead of the Hugging Face cache; an incomplete one is broken.
    """
    return Examination((*_machine(work), *examine_weights(backbone, clip)))


def _machine(work: Path) -> Iterator[Finding]:
    from huggingface_hub.constants import HF_HUB_CACHE

    yield from examine_installation()
    yield from examine_processor()
    yield from examine_accelerators()
    yield examine_room("work", work)
    yield examine_room("Hugging Face cache", Path(HF_HUB_CACHE))


@dataclass(frozen=True)
class PublishedWeights:
    """Weights on the Hugging Face hub, and how a folder of them is checked and given.

    Attributes:
        first: the file whose presence shows that they were fetched.
        files: patterns of the files that are needed.
        key: of a folder of them in a study.
        option: that names a folder of them.
    """

    title: str
    name: str
    first: str
    files: Sequence[str]
    key: str
    option: str
    check: Callable[[Findings, str, Path], object]


def _published() -> tuple[PublishedWeights, PublishedWeights]:
    hub = HubBackbone()
    return (
        PublishedWeights(
            title="Stable Diffusion 1.5",
            name=hub.diffusion.name,
            first="model_index.json",
            files=BACKBONE_FILES,
            key="backbone.diffusion",
            option="--backbone",
            check=check_diffusion_folder,
        ),
        PublishedWeights(
            title="CLIP ViT-B/32",
            name=hub.clip.name,
            first="open_clip_config.json",
            files=CLIP_FILES,
            key="backbone.clip",
            option="--clip",
            check=check_clip_folder,
        ),
    )


def examine_weights(backbone: Path | None, clip: Path | None) -> Iterator[Finding]:
    """Yield where the published weights are, or how to fetch them, also for a machine without internet."""
    for weights, folder in zip(_published(), (backbone, clip), strict=True):
        place = folder or _cached(weights)
        findings = Findings()
        if place is None:
            findings.problem(weights.key, f"{weights.name} is not in the Hugging Face cache")
        else:
            weights.check(findings, weights.key, place)
        if findings.problems:
            state: State = "missing" if folder is None else "broken"
            yield Finding("weights", weights.title, "; ".join(findings.problems), state, _how_to_fetch(weights))
        else:
            yield Finding("weights", weights.title, str(place))


def _cached(weights: PublishedWeights) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(weights.name, weights.first)
    return Path(path).parent if isinstance(path, str) else None


def _how_to_fetch(weights: PublishedWeights) -> str:
    command = " ".join(["hf download", weights.name, *(f"--include '{file}'" for file in weights.files)])
    return (
        f"{command}\nWithout internet: add --local-dir FOLDER to that command on a machine that has it, copy FOLDER "
        f"here, and give {weights.option} FOLDER to commands, {weights.key}=FOLDER (backbone.kind=folder) to studies"
    )
