"""Merge real and added images into a hybrid set that cannot leak."""

from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

from fulora.data.hybrid import Filter, FilterName, MixConfig
from fulora.data.manifest import Image, ImageSet, Picture
from fulora.stage import stage


@stage(version=3)
def mix(out: Path, config: MixConfig, real: ImageSet, synthetic: ImageSet) -> ImageSet:
    """The real images of the training and validation splits, and what the config's arm adds to the training split.

    The real set's test split is checked for leaks but not copied: models are tested on the real set itself. `mix.json`
    says how many images of each plane were added, what the filters rejected, and the schedule for training.
    """
    from fulora.data.hybrid import MIX_RECORD, MixRecord, Selection, added_counts, copies, kept
    from fulora.data.manifest import check

    every, validation = real.rows("train"), real.rows("validation")
    training = kept(every, config)
    wanted = added_counts(every if config.real == "none" else training, config)
    selection = Selection(config, _filters(config, [*every, *validation]))
    added: Iterable[Picture] = ()
    tainted_by: list[str] = []
    if config.arm == "hybrid":
        chosen, tainted_by = (
            selection.choose(wanted, synthetic.rows(), partial(_picture, synthetic)),
            synthetic.tainted_by(),
        )
        check([*real.rows(), *chosen], tainted_by)
        added = map(partial(_picture, synthetic), chosen)
    elif config.arm != "none":
        added = copies(training, wanted, partial(_picture, real), config)
    ImageSet.write(out, chain(map(partial(_picture, real), [*training, *validation]), added), tainted_by=tainted_by)
    said = MixRecord(arm=config.arm, schedule=config.schedule, added=wanted, rejected=selection.rejected)
    (out / MIX_RECORD).write_text(said.model_dump_json(indent=1), encoding="utf-8")
    return ImageSet(out, "")


def _filters(config: MixConfig, rows: list[Image]) -> dict[FilterName, Filter]:
    from fulora.data.hybrid import never_seen, shows_something

    known: dict[FilterName, Filter] = {"blank": shows_something, "duplicate": never_seen(row.sha256 for row in rows)}
    return {name: known[name] for name in config.filters}


def _picture(images: ImageSet, row: Image) -> Picture:
    return Picture(row, images.pixels(row))
