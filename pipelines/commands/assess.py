"""`fulora assess`: whether synthetic images are near real ones, diverse, nobody's copies, and show what they should."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fulora.assessment.config import AssessConfig
from fulora.assessment.trust import check_trusted, torchscript_files
from fulora.digests import file_digest

if TYPE_CHECKING:
    from fulora.assessment.pictures import Pictures

DEFAULT = ("pixels", "hash", "clip")


def assess(
    synthetic: Annotated[Path, typer.Argument(help="Image set or folder of synthetic pictures.")],
    real: Annotated[Path, typer.Option(help="Image set or folder of real pictures of patients who trained nothing.")],
    train: Annotated[
        Path | None, typer.Option(help="Those that trained the generator: then copies of patients are looked for.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Their label set; by default that of image sets, else the names of class folders.",
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="pixels, hash, clip, clip:FOLDER, timm:NAME[:FILE] or torchscript:FILE; several times."),
    ] = None,
    trust_encoder: Annotated[
        bool,
        typer.Option("--trust-encoder", help="Run the code of torchscript:FILE, which could write files of yours."),
    ] = False,
    clip: Annotated[
        Path | None,
        typer.Option(
            help="open_clip folder that `clip` means and that is asked for the classes; else the embedded one."
        ),
    ] = None,
    prompts: Annotated[str, typer.Option(help="YAML file of prompts; else those of the label set.")] = "",
    judges: Annotated[
        Path | None, typer.Option(help="Folder of a study's `train_judges`, asked for the classes.")
    ] = None,
    false_reject: Annotated[float, typer.Option(help="Share of real pictures that each filter may reject.")] = 0.05,
    draws: Annotated[int, typer.Option(min=100, help="Random divisions of patients in each test.")] = 9999,
    seed: Annotated[int, typer.Option(help="Of subsets and draws.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps features, so that they are made once.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with pictures, tables and curves there.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON; - prints them.")] = None,
) -> None:
    """Fidelity, diversity, copies, label truth and shortcuts of synthetic pictures, beside what real pictures give.

    `--real SET --train SET` of one image set takes its training split for what trained the generator, and compares with
    its validation patients (those of the test split where there are none).

    A test without a finding is no evidence of copies; it is no proof of privacy.

    Examples:

      fulora assess work/generate-0123456789abcdef --real work/curate-89abcdef --train work/curate-89abcdef

      fulora assess synthetic --real my_real_pictures --encoder pixels --encoder timm:resnet18:weights.safetensors

      fulora assess synthetic --real held_out --encoder torchscript:sscd_disc_mixup.torchscript.pt --trust-encoder

      fulora assess synthetic --real held_out --train trained_on --report page --json figures.json
    """
    from fulora.assessment.assess import as_json
    from fulora.assessment.assess import assess as assessed
    from fulora.assessment.verdicts import describe_memorisation
    from fulora.clip.prompts import prompt_file, prompts_of
    from pipelines.commands.assess_sets import sets_given

    encoders = tuple(encoder or DEFAULT)
    trusted = (
        tuple(file_digest(file) for file in torchscript_files(encoders) if file.is_file()) if trust_encoder else ()
    )
    check_trusted(encoders, trusted)
    sets = sets_given(synthetic, real, train, labels)
    _refuse_leaks(synthetic, sets.held_out)
    config = AssessConfig(
        encoders=encoders, false_reject=false_reject, draws=draws, seed=seed, trusted_encoders=trusted
    )
    own = prompt_file(prompts) if prompts else None
    texts = {} if sets.labels is None else prompts_of(sets.labels, own).texts()
    found, rows = assessed(sets, config, prompts=texts, clip=clip, judges=judges, cache=cache)
    if report is not None:
        from fulora.report.assessment import write_page

        write_page(report, sets, found, rows, title=f"Synthetic images: {synthetic.name}")
    if str(json_file) == "-":
        print(as_json(found).decode())
        return
    if json_file is not None:
        json_file.write_bytes(as_json(found))
    print("\n".join([*map(str, found.verdicts), *describe_memorisation(found.encoders)]))
    if report is not None:
        print(report / "report.html")


def _refuse_leaks(synthetic: Path, held_out: "Pictures") -> None:
    """Refuse real pictures that a generator, or a parent of it, was fitted to; a note of those that are not known.

    Raises:
        OverlapError: there are some.
        SameNumberError: their patients may be known under another name.
    """
    from fulora.data.image_set import ImageSet
    from fulora.data.leak_check import ImageIdentity, describe_unknown, refuse_leaked_identities
    from fulora.data.pictures.pixels import pixel_digest
    from fulora.data.provenance import provenance_of
    from fulora.progress import note

    images = ImageSet(synthetic, "")
    own = next(images.iter_rows(), None) is not None
    book = images.provenance() if own else provenance_of(synthetic, f"the generator of {synthetic.name}")
    patients = held_out.patients.tolist() if held_out.patients_known else [""] * len(held_out)
    pictures = zip(held_out.ids.tolist(), map(pixel_digest, held_out.pixels), patients, strict=True)
    for line in describe_unknown(
        refuse_leaked_identities([book], [ImageIdentity(*one) for one in pictures], uses=("fitted",))
    ):
        note(line)
