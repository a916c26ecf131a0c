"""Checks of classes: that the image sets of a study show the same ones, and that a config names existing ones."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from fulora.data.class_counts import ClassCounts
from fulora.data.column_types import Split
from fulora.data.hybrid import MixConfig
from fulora.data.label_set import LabelSet, LabelSetError, refuse_other_classes
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.intake.config import CurateConfig
from pipelines.checks.findings import Findings
from pipelines.checks.images import ExpectedSet, Sources
from pipelines.fu_lora_config import LORA_AT, PLANES_AT, FuLoraConfig
from pipelines.generators import Generators


def check_classes(findings: Findings, sources: Sources, cfg: FuLoraConfig) -> None:
    """Check that training and test images show the same classes, all of the label set."""
    labels = sources.labels(PLANES_AT, cfg.planes)
    if labels is not None:
        _one_label_set(findings, sources, cfg, labels)
        _names(findings, cfg, labels)
    used = {f"other_images.{name}": cfg.other_images[name] for name in cfg.names_of_images() if name}
    compared = [_compared(findings, sources, cfg.accept_missing_classes, {PLANES_AT: cfg.planes, **used}, PLANES_AT)]
    if cfg.few_shot is not None:
        few = {"few_shot.images": cfg.few_shot.images}
        compared.append(_compared(findings, sources, cfg.accept_missing_classes, few, "few_shot.images"))
    missing = [counts.missing() for counts in compared if counts is not None]
    for name in cfg.accept_missing_classes:
        sentences = [sentence for by_class in missing for sentence in by_class.get(name, ())]
        for sentence in sentences or ["it is missing nowhere"] * bool(missing):
            findings.note("accept_missing_classes", f"{name}: {sentence}")
    planes = sources.expect(PLANES_AT, cfg.planes)
    tested, validated = planes.counts("test"), planes.counts("validation")
    unvalidated = [name for name in (labels.names if labels else tested) if tested[name] and not validated[name]]
    if planes.complete and unvalidated:
        findings.note(PLANES_AT, f"no validation image of {', '.join(unvalidated)}: classifiers are chosen without it")


def _one_label_set(findings: Findings, sources: Sources, cfg: FuLoraConfig, labels: LabelSet) -> None:
    """Check that all real images of the study have the classes of its test images, two or more."""
    if len(labels.names) < 2:
        only = labels.names[0]
        findings.problem(PLANES_AT, f"its label set {labels.name} has one class, {only}; a study needs two or more")
    others: dict[str, CurateConfig] = {f"other_images.{name}": images for name, images in cfg.other_images.items()}
    if cfg.lora_images is not None:
        others[LORA_AT] = cfg.lora_images
    if cfg.few_shot is not None:
        others["few_shot.images"] = cfg.few_shot.images
    for where, images in others.items():
        other_labels = sources.labels(where, images)
        if other_labels is not None:
            with findings.collect(where, LabelSetError):
                refuse_other_classes(labels, other_labels, name=PLANES_AT, other_name=where)


def _names(findings: Findings, cfg: FuLoraConfig, labels: LabelSet) -> None:
    """Check that the classes that the config names are in the label set of `planes`."""
    named: dict[str, Iterable[str]] = {
        "accept_missing_classes": cfg.accept_missing_classes,
        "score.prior": cfg.score.prior or (),
        "mix.ratio": _of_ratio(cfg.mix),
        **{f"arms.{name}.mix.ratio": _of_ratio(arm.mix) for name, arm in cfg.arms.items() if arm.mix is not None},
    }
    for where, names in named.items():
        check_names(findings, where, names, labels)
    check_generator_names(findings, cfg.generate, cfg.synthetic, labels)
    if cfg.prior is not None:
        check_names(findings, "prior.planes", cfg.prior.planes or (), labels)


def check_generator_names(
    findings: Findings, generate: GenerateConfig, generators: Generators, labels: LabelSet
) -> None:
    """Check the classes that a study's `generate` names, and those of generators that differ from it."""
    check_names(findings, "generate.planes", generate.planes or (), labels)
    check_names(findings, "generate.prompts", generate.prompts, labels)
    for name, one in generators.items():
        at = f"synthetic.{name}.generate"
        if one.generate.planes != generate.planes:
            check_names(findings, f"{at}.planes", one.generate.planes or (), labels)
        if one.generate.prompts != generate.prompts:
            check_names(findings, f"{at}.prompts", one.generate.prompts, labels)


def check_names(findings: Findings, where: str, names: Iterable[str], labels: LabelSet) -> None:
    """Refuse names of classes that a label set does not have."""
    unknown = [repr(name) for name in names if name not in labels.names]
    if unknown:
        are = "are no classes" if len(unknown) > 1 else "is no class"
        findings.problem(where, f"{', '.join(unknown)} {are} of the label set {labels.name}: {', '.join(labels.names)}")


def _of_ratio(mix: MixConfig) -> Iterable[str]:
    return mix.ratio if isinstance(mix.ratio, dict) else ()


def _compared(
    findings: Findings, sources: Sources, accepted: Sequence[str], sets: Mapping[str, CurateConfig], tested: str
) -> ClassCounts | None:
    """Compare the classes of training sets with those of the test split of one of them; None if a set is unknown.

    Before a random split stops a study, images are compared, as curation does.

    Args:
        sets: by their place in the config.
        tested: the place of the set with the test images.
    """

    def counted(compare_pictures: bool) -> ClassCounts | None:
        expected = {
            where: sources.expect(where, images, compare_pictures=compare_pictures) for where, images in sets.items()
        }
        if not all(images.complete for images in expected.values()):
            return None
        labels = sources.labels(tested, sets[tested])
        training = {where: images.counts("train") for where, images in expected.items()}
        return None if labels is None else ClassCounts(labels, training, expected[tested].counts("test"))

    counts = counted(compare_pictures=False)
    if counts is not None and _may_change(counts.missing(accepted), counts, sets, sources):
        counts = counted(compare_pictures=True)
    if counts is not None and counts.missing(accepted):
        findings.problem(tested, counts.explained(accepted))
    return counts


def _may_change(
    missing: Collection[str], counts: ClassCounts, sets: Mapping[str, CurateConfig], sources: Sources
) -> bool:
    """Whether an image of a class that a split lacks may move to that split once images are compared."""
    lacking: dict[str, Split] = {name: "train" if counts.test.get(name) else "test" for name in missing}
    images = (image for where, config in sets.items() for image in sources.expect(where, config).images)
    return bool(lacking) and any(lacking.get(image.plane) in image.others for image in images)


def check_generated_classes(
    findings: Findings,
    generators: Generators,
    labels: LabelSet | None,
    lora_at: str,
    lora_images: ExpectedSet,
    starts: Mapping[str, ExpectedSet],
) -> None:
    """Check that there are training images, and images to start from, of each class that a generator generates.

    Args:
        lora_at: the place of `lora_images`, the training images of LoRAs.
        starts: the images that a generator's `start` may name.
    """
    for name, one in generators.items():
        classes = one.generate.planes or (labels.names if labels else ())
        untrained = _without(lora_images, classes)
        if one.lora is not None and untrained:
            findings.note(
                "generate.planes",
                f"the LoRA is asked for {', '.join(untrained)}, of which {lora_at} has no training image",
            )
        without_start = _without(starts[one.start], classes) if one.start is not None else []
        if without_start:
            findings.problem(
                f"synthetic.{name}.start",
                f"{one.start} has no training image of {', '.join(without_start)} to start from: leave it out "
                "with generate.planes",
            )


def _without(images: ExpectedSet, classes: Iterable[str]) -> list[str]:
    counts = images.counts("train")
    return [name for name in classes if not counts[name]] if images.complete else []
