"""Whether the images of a study show the same classes, and whether a config names classes that there are."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from fulora.data.class_counts import ClassCounts
from fulora.data.hybrid import MixConfig
from fulora.data.label_set import LabelSet, LabelSetError, refuse_other_classes
from fulora.data.labels import Split
from fulora.diffusion.config import GenerateConfig
from fulora.intake.config import CurateConfig
from pipelines.checks.findings import Findings
from pipelines.checks.images import ExpectedSet, Sources
from pipelines.fu_lora_config import LORA_AT, PLANES_AT, FuLoraConfig
from pipelines.generators import Generators


def check_classes(found: Findings, sources: Sources, cfg: FuLoraConfig) -> None:
    """Whether training and test show the same classes, all of them known."""
    labels = sources.labels(PLANES_AT, cfg.planes)
    if labels is not None:
        _one_label_set(found, sources, cfg, labels)
        _names(found, cfg, labels)
    used = {f"other_images.{name}": cfg.other_images[name] for name in cfg.names_of_images() if name}
    compared = [_compared(found, sources, cfg.accept_missing_classes, {PLANES_AT: cfg.planes, **used}, PLANES_AT)]
    if cfg.few_shot is not None:
        few = {"few_shot.images": cfg.few_shot.images}
        compared.append(_compared(found, sources, cfg.accept_missing_classes, few, "few_shot.images"))
    missing = [counts.missing() for counts in compared if counts is not None]
    for name in cfg.accept_missing_classes:
        said = [sentence for sentences in missing for sentence in sentences.get(name, ())]
        for sentence in said or ["it is missing nowhere"] * bool(missing):
            found.note("accept_missing_classes", f"{name}: {sentence}")
    planes = sources.expect(PLANES_AT, cfg.planes)
    tested, validated = planes.counts("test"), planes.counts("validation")
    unseen = [name for name in (labels.names if labels else tested) if tested[name] and not validated[name]]
    if planes.complete and unseen:
        found.note(PLANES_AT, f"no validation image of {', '.join(unseen)}: classifiers are chosen without it")


def _one_label_set(found: Findings, sources: Sources, cfg: FuLoraConfig, labels: LabelSet) -> None:
    """All real images that meet in the study have the classes of those tested on, and these are two or more."""
    if len(labels.names) < 2:
        found.problem(
            PLANES_AT, f"its label set {labels.name} has one class, {labels.names[0]}; a study tells two or more apart"
        )
    others: dict[str, CurateConfig] = {f"other_images.{name}": images for name, images in cfg.other_images.items()}
    if cfg.lora_images is not None:
        others[LORA_AT] = cfg.lora_images
    if cfg.few_shot is not None:
        others["few_shot.images"] = cfg.few_shot.images
    for where, images in others.items():
        theirs = sources.labels(where, images)
        if theirs is None:
            continue
        try:
            refuse_other_classes(labels, theirs, name=PLANES_AT, other_name=where)
        except LabelSetError as error:
            found.problem(where, str(error))


def _names(found: Findings, cfg: FuLoraConfig, labels: LabelSet) -> None:
    """The classes that the config names, each of the label set of `planes`."""
    named: dict[str, Iterable[str]] = {
        "accept_missing_classes": cfg.accept_missing_classes,
        "score.prior": cfg.score.prior or (),
        "mix.ratio": _of_ratio(cfg.mix),
        **{f"arms.{name}.mix.ratio": _of_ratio(arm.mix) for name, arm in cfg.arms.items() if arm.mix is not None},
    }
    for where, names in named.items():
        check_names(found, where, names, labels)
    check_drawn_names(found, cfg.generate, cfg.synthetic, labels)
    if cfg.prior is not None:
        check_names(found, "prior.planes", cfg.prior.planes or (), labels)


def check_drawn_names(found: Findings, generate: GenerateConfig, generators: Generators, labels: LabelSet) -> None:
    """The classes that a study and its generators name, where a generator's are others than the study's."""
    check_names(found, "generate.planes", generate.planes or (), labels)
    check_names(found, "generate.prompts", generate.prompts, labels)
    for name, one in generators.items():
        at = f"synthetic.{name}.generate"
        if one.generate.planes != generate.planes:
            check_names(found, f"{at}.planes", one.generate.planes or (), labels)
        if one.generate.prompts != generate.prompts:
            check_names(found, f"{at}.prompts", one.generate.prompts, labels)


def check_names(found: Findings, where: str, names: Iterable[str], labels: LabelSet) -> None:
    """Refuse names of classes that a label set does not have."""
    unknown = [repr(name) for name in names if name not in labels.names]
    if unknown:
        are = "are no classes" if len(unknown) > 1 else "is no class"
        found.problem(where, f"{', '.join(unknown)} {are} of the label set {labels.name}: {', '.join(labels.names)}")


def _of_ratio(mix: MixConfig) -> Iterable[str]:
    return mix.ratio if isinstance(mix.ratio, dict) else ()


def _compared(
    found: Findings, sources: Sources, accepted: Sequence[str], sets: Mapping[str, CurateConfig], tested: str
) -> ClassCounts | None:
    """The classes of training sets against those of the test split of one of them; None where a set is not known.

    Before a study is stopped because of a split that was drawn, pictures are compared, as curating does.

    Args:
        sets: by their place in the config.
        tested: the place of the set that is tested on.
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
    if counts is not None and _may_be_drawn_otherwise(counts.missing(accepted), counts, sets, sources):
        counts = counted(compare_pictures=True)
    if counts is not None and counts.missing(accepted):
        found.problem(tested, counts.explained(accepted))
    return counts


def _may_be_drawn_otherwise(
    missing: Collection[str], counts: ClassCounts, sets: Mapping[str, CurateConfig], sources: Sources
) -> bool:
    """Whether an image of a class that is missing in a split may get into that split when pictures are compared."""
    lacking: dict[str, Split] = {name: "train" if counts.test.get(name) else "test" for name in missing}
    images = (image for where, config in sets.items() for image in sources.expect(where, config).images)
    return bool(lacking) and any(lacking.get(image.plane) in image.others for image in images)


def check_asked_for(
    found: Findings,
    generators: Generators,
    labels: LabelSet | None,
    lora_at: str,
    shown: ExpectedSet,
    starts: Mapping[str, ExpectedSet],
) -> None:
    """Classes that a generator is asked for, and of which its LoRA saw no image, or of which it has none to start from.

    Args:
        lora_at: the place of the images that LoRAs are trained on, `shown`.
        starts: the images that a generator's `start` may name.
    """
    for name, one in generators.items():
        asked = one.generate.planes or (labels.names if labels else ())
        unseen = _without(shown, asked)
        if one.lora is not None and unseen:
            found.note(
                "generate.planes",
                f"the LoRA is asked for {', '.join(unseen)}, of which {lora_at} has no training image",
            )
        nowhere = _without(starts[one.start], asked) if one.start is not None else []
        if nowhere:
            found.problem(
                f"synthetic.{name}.start",
                f"{one.start} has no training image of {', '.join(nowhere)} to draw over: leave it out with "
                "generate.planes",
            )


def _without(images: ExpectedSet, asked: Iterable[str]) -> list[str]:
    counts = images.counts("train")
    return [name for name in asked if not counts[name]] if images.complete else []
