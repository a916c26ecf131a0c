"""`fulora assess`: whether synthetic images are near real ones, diverse, and nobody's copies."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fulora.assessment.pictures import Pictures

DEFAULT = ("pixels", "hash", "clip")


def assess(
    synthetic: Annotated[Path, typer.Argument(help="Image set or folder of synthetic pictures.")],
    real: Annotated[Path, typer.Option(help="Image set or folder of real pictures of patients who trained nothing.")],
    train: Annotated[
        Path | None, typer.Option(help="Those that trained the generator: then copies of patients are looked for.")
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="pixels, hash, clip, clip:FOLDER, timm:NAME[:FILE] or torchscript:FILE; several times."),
    ] = None,
    draws: Annotated[int, typer.Option(min=100, help="Random divisions of patients in each test.")] = 9999,
    seed: Annotated[int, typer.Option(help="Of subsets and draws.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps features, so that they are made once.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write a PNG of the 20 most suspicious pairs of each encoder (needs --train).")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON; - prints them.")] = None,
) -> None:
    """Fidelity, diversity and memorisation of synthetic pictures, each beside what real pictures give.

    Where the real set is an image set, its training split is left out if --train is the same set, so that
    `--real SET --train SET` compares with the validation and test patients of a set.

    A test without a finding is no evidence of copies; it is no proof of privacy.

    Examples:

      fulora assess work/generate-0123456789abcdef --real work/curate-89abcdef --train work/curate-89abcdef

      fulora assess synthetic --real my_real_pictures --encoder pixels --encoder timm:resnet18:weights.safetensors

      fulora assess synthetic --real held_out --train trained_on --figure pairs.png --json figures.json
    """
    from fulora.assessment.assess import Encoded, Sets, as_json, figures, verdicts
    from fulora.assessment.encoders import load_encoder
    from fulora.assessment.pictures import read_pictures

    sets = Sets(read_pictures(synthetic), *_real(real, train))
    if figure is not None and sets.train is None:
        raise ValueError("--figure shows pairs of synthetic and training pictures: give --train too")
    found = []
    for name in encoder or DEFAULT:
        named = load_encoder(name)
        features = [
            None if part is None else named.features(part.pixels, cache)
            for part in (sets.synthetic, sets.held_out, sets.train)
        ]
        assert features[0] is not None
        assert features[1] is not None
        found.append(figures(sets, Encoded(features[0], features[1], features[2]), name, draws=draws, seed=seed))
    facts = {
        "synthetic": {"images": len(sets.synthetic)},
        "real": _counts(sets.held_out),
        "train": None if sets.train is None else _counts(sets.train),
        "encoders": [as_json(one) for one in found],
    }
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    if figure is not None and sets.train is not None:
        from fulora.report.pairs import plot_pairs

        figure.write_bytes(plot_pairs(sets.synthetic, sets.train, sets.held_out, found))
    if str(json_file) == "-":
        print(json.dumps(facts, indent=1))
        return
    for one in found:
        print("\n".join([f"{one.encoder}:", *(f"  {line}" for line in verdicts(one))]))


def _real(real: Path, train: Path | None) -> tuple["Pictures", "Pictures | None"]:
    import numpy as np

    from fulora.assessment.pictures import PicturesError, read_pictures
    from fulora.data.manifest import ImageSet

    if train is None:
        return read_pictures(real), None
    if real.resolve() != train.resolve():
        return read_pictures(real), read_pictures(train)
    everything, trained = read_pictures(real), {row.image_id for row in ImageSet(real, "").iter_rows("train")}
    if not trained or len(trained) == len(everything):
        raise PicturesError(f"{real}: has no training split beside others; give --real and --train as two sets")
    is_trained = np.array([image_id in trained for image_id in everything.ids])
    return everything.of(~is_trained), everything.of(is_trained)


def _counts(pictures: "Pictures") -> dict[str, object]:
    return {
        "images": len(pictures),
        "patients": len(set(pictures.patients)),
        "patients_known": pictures.patients_known,
    }
