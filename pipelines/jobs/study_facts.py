"""What the records of a finished study tell: facts for checklists, each with the file that holds it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from fulora.data.column_types import SPLITS
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.results import Scores
from fulora.data.score import Score
from fulora.metrics.image_groups import ALL_IMAGES
from fulora.report.checklist import Fact
from fulora.report.score_text import describe_arm
from fulora.stage import RECORD, read_record
from fulora.words import counted

TRAININGS = {
    "pretrain": "a diffusion model trained from random weights",
    "train_lora": "LoRA fine-tuning of a diffusion model",
    "train_classifier": "networks that classify",
    "tune_clip": "fine-tuning of a CLIP",
    "train_unet": "networks that segment",
}
"""Stages that fit weights, and what they fit."""
TRAINING_SETTINGS = (
    *("architecture", "encoder", "method", "rank", "alpha", "steps", "epochs", "batch_size", "optimizer"),
    *("learning_rate", "unet_learning_rate", "augmentation", "precision"),
)
INITIAL_SETTINGS = ("weights", "encoder_weights", "initialisation")
SELECTION_SETTINGS = ("select", "keep", "evaluate_every")


class StudyRecords:
    """The records of everything that a report was made from, by folder."""

    def __init__(self, report: Path) -> None:
        """Read them.

        Raises:
            MissingInputError: if the folder is not a finished artifact.
        """
        self.report = report
        self.records: dict[Path, Mapping[str, Any]] = {}
        self._read(report)

    def _read(self, folder: Path) -> None:
        outside = folder != self.report and not (folder / RECORD).is_file()
        if folder in self.records or outside:
            return
        record = read_record(folder)
        self.records[folder] = record
        for name in record["input_folders"].values():
            self._read(folder.parent / name)

    def of(self, *stages: str) -> dict[Path, Mapping[str, Any]]:
        """Return the records of some stages."""
        return {folder: record for folder, record in self.records.items() if record["stage"] in stages}

    def configs(self, *stages: str) -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
        """Yield folder, label and config of every artifact of some stages."""
        for folder, record in self.of(*stages).items():
            yield folder, record["label"], record["identity"]["arguments"].get("config") or {}

    @cached_property
    def images(self) -> dict[Path, list[Image]]:
        """The rows of the curated sets."""
        return {folder: ImageSet(folder, "").rows() for folder in self.of("curate")}

    @cached_property
    def scores(self) -> list[Score]:
        """All scores of the study."""
        return [score for folder in self.of("score", "score_masks") for score in Scores(folder, "").rows()]


def study_facts(report: Path) -> dict[str, Fact]:
    """Return the facts that the records of a study's report hold; a fact that they do not hold is absent.

    Args:
        report: the folder of a `Report` artifact, beside the artifacts that it was made from.

    Raises:
        MissingInputError: if the folder is not a finished artifact.
    """
    records = StudyRecords(report)
    found = {**_of_images(records), **_of_trainings(records), **_of_scores(records), **_of_software(records)}
    return {name: fact for name, fact in found.items() if fact.text}


def _of_images(records: StudyRecords) -> dict[str, Fact]:
    configs = list(records.configs("curate"))
    where = _places(records.images)
    rows = [row for of_set in records.images.values() for row in of_set]
    sources = [source for _, _, config in configs for source in config["sources"]]
    taken = [
        f"{name}={source[name]}"
        for source in sources
        for name in ("images_per_plane", "patients_per_plane", "limit")
        if source.get(name)
    ]
    processing = _distinct(
        f"{config['fit']} to {config['image_size_px']} px" if config["image_size_px"] else config["fit"]
        for _, _, config in configs
    )
    removed = _distinct(f"text removal: {config['deidentify']}" for _, _, config in configs)
    rules = _distinct(f"{source['kind']}: {source['role']}, rule {source['split']}" for source in sources)
    seeds = _distinct(str(config["split_seed"]) for _, _, config in configs)
    machines = _distinct(row.machine for row in rows if row.machine)
    return {
        "sources": Fact(_by(rows, "source"), where),
        "processing": Fact(processing, where),
        "subsets": Fact("; ".join(taken) or "no limit of images or patients was set for any source", where),
        "deidentification": Fact(removed, where),
        "machines": Fact(machines and f"machines: {machines}", where),
        "partitions": Fact(f"{rules}; seed {seeds}", where),
        "disjoint": Fact(
            "patients, and identical pictures: a set in which one crosses two splits cannot be written", where
        ),
        "numbers": Fact(
            "; ".join(f"{folder.name}: {_by(of_set, 'split')}" for folder, of_set in records.images.items()), where
        ),
        "characteristics": Fact(f"by plane: {_by(rows, 'plane')}; by site: {_by(rows, 'site')}", where),
    }


def _of_trainings(records: StudyRecords) -> dict[str, Fact]:
    configs = list(records.configs(*TRAININGS))
    where = _places([folder for folder, _, _ in configs])
    stages = _distinct(TRAININGS[record["stage"]] for record in records.of(*TRAININGS).values())
    networks = _distinct(
        str(config[name]) for _, _, config in configs for name in ("architecture", "encoder") if config.get(name)
    )

    def settings(names: tuple[str, ...]) -> str:
        lines = (
            (label, [f"{name}={config[name]}" for name in names if config.get(name) is not None])
            for _, label, config in configs
        )
        return "; ".join(f"{label}: {', '.join(given)}" for label, given in lines if given)

    return {
        "technology": Fact(stages and f"deep learning: {stages}", where),
        "models": Fact(networks and f"{networks}; all settings in the records", where),
        "initialisation": Fact(settings(INITIAL_SETTINGS), where),
        "training": Fact(settings(TRAINING_SETTINGS), where),
        "selection": Fact(settings(SELECTION_SETTINGS), where),
    }


def _of_scores(records: StudyRecords) -> dict[str, Fact]:
    where = _places(records.of("score", "score_masks"))
    shown = [score for score in records.scores if score.rank and score.group == ALL_IMAGES and not score.baseline]
    declared = [score for score in records.scores if score.role == "declared"]
    kinds = _distinct(score.group.kind for score in records.scores if score.group != ALL_IMAGES)
    configs = [config for _, _, config in records.configs("score", "score_masks")]
    draws = _distinct(f"{config['draws']} draws, level {config['level']:g}" for config in configs)
    seeds = max((score.n_seeds for score in records.scores), default=0)
    tables = "tables/ of the report"
    return {
        "hypothesis": Fact(
            _distinct(f"declared before the run: {describe_arm(one)} in {one.quantity}" for one in declared), where
        ),
        "seeds": Fact(
            f"scores of an arm are means over up to {counted(seeds, 'training seed')}" if seeds else "", where
        ),
        "metrics": Fact(_distinct(score.quantity for score in shown), where),
        "statistics": Fact(
            draws
            and f"intervals by resampling patients within sites ({draws}); p by permutation of patients and over "
            "training seeds, Holm over other arms",
            where,
        ),
        "robustness": Fact(kinds and f"scores by {kinds}", tables),
        **_of_sites(records),
        "performance": Fact("; ".join(_with_interval(one) for one in (*declared, *shown[:12])), tables),
        "classes": Fact("recall, precision, F1 and AUC of each class" if "class" in kinds else "", tables),
        "failures": Fact("confusion matrices, and the worst cases of masks" if shown else "", _report_name(records)),
    }


def _of_sites(records: StudyRecords) -> dict[str, Fact]:
    """Of each set, whether its test images come from sites that its training images come from."""
    inside, outside = [], []
    for folder, rows in records.images.items():
        trained, tested = ({row.site for row in rows if row.split == split} for split in ("train", "test"))
        if same := sorted(tested & trained):
            inside.append(f"{folder.name}: other patients of {', '.join(same)}, which it is trained on too")
        if others := sorted(tested - trained):
            outside.append(f"{folder.name}: {', '.join(others)}, which it is not trained on")
    where = _places(records.images)
    return {"internal": Fact("; ".join(inside), where), "external": Fact("; ".join(outside), where)}


def _of_software(records: StudyRecords) -> dict[str, Fact]:
    record = records.records[records.report]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    where = f"{RECORD} of every artifact"
    commit = f", commit {record['commit']}" if record.get("commit") else ""
    return {
        "software": Fact(versions, where),
        "protocol": Fact(
            f"the whole config and the inputs of {counted(len(records.records), 'artifact')}{commit}", where
        ),
        "availability": Fact(f"software: fulora {record['versions']['fulora']}, Apache-2.0{commit}", where),
    }


def _report_name(records: StudyRecords) -> str:
    """Return where the report is."""
    return f"{records.report.name}/report.html"


def _places(folders: Iterable[Path]) -> str:
    """The names of folders, of each stage the first with the number of others."""
    stages = Counter(folder.name.rpartition("-")[0] for folder in folders)
    first = {folder.name.rpartition("-")[0]: folder.name for folder in reversed(list(folders))}
    return ", ".join(
        f"{first[stage]}{f' and {count - 1} more' if count > 1 else ''}" for stage, count in stages.items()
    )


def _with_interval(score: Score) -> str:
    interval = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    of = f"{counted(score.n_images, 'image')}, {counted(score.n_patients, 'patient')}"
    return f"{describe_arm(score)}, {score.quantity}: {score.value:.3f}{interval} ({of})"


def _by(rows: list[Image], column: str) -> str:
    """Images and patients by the values of a column."""
    counts = Counter(getattr(row, column) for row in rows)
    names = [name for name in SPLITS if name in counts] if column == "split" else sorted(counts)
    patients = {name: {row.patient_key for row in rows if getattr(row, column) == name} for name in names}
    return ", ".join(
        f"{name} {counted(counts[name], 'image')} of {counted(len(patients[name]), 'patient')}" for name in names
    )


def _distinct(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))
