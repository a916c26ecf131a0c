"""Merge real and added images into a hybrid set that cannot leak."""

from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

from fulora.data.hybrid import Filter, FilterName, MixConfig
from fulora.data.manifest import Image, ImageSet, Picture
from fulora.stage import stage


@stage(version=2)
def mix(out: Path, config: MixConfig, real: ImageSet, synthetic: ImageSet) -> ImageSet:
    """The real images of the training and validation splits, and what the config's arm adds to the training split.

    The real set's test split is checked for leaks but not copied: models are tested on the real set itself. `mix.json`
    says how many images of each plane were added, what the filters rejected, and the schedule for training.
    """
    from fulora.data.hybrid import MIX_RECORD, MixRecord, Selection, added_counts, balanced, copies
    from fulora.data.manifest import check

    rows = [row for row in real.rows() if row.split != "test"]
    training = [row for row in rows if row.split == "train"]
    wanted = added_counts(training, config) if config.arm != "balanced" else {}
    selection = Selection(config, _filters(config, rows))
    added: Iterable[Picture] = ()
    tainted_by: list[str] = []
    if config.arm == "hybrid":
        chosen, tainted_by = (
            selection.choose(wanted, synthetic.rows(), partial(_picture, synthetic)),
            synthetic.tainted_by(),
        )
        check([*real.rows(), *chosen], tainted_by)
        added = map(partial(_picture, synthetic), chosen)
    elif config.arm == "balanced":
        kept = {row.image_id for row in balanced(training, config.seed)}
        rows = [row for row in rows if row.split != "train" or row.image_id in kept]
    else:
        added = copies(training, wanted, partial(_picture, real), config)
    ImageSet.write(out, chain(map(partial(_picture, real), rows), added), tainted_by=tainted_by)
    said = MixRecord(arm=config.arm, schedule=config.schedule, added=wanted, rejected=selection.rejected)
    (out / MIX_RECORD).write_text(said.model_dump_json(indent=1), encoding="utf-8")
    return ImageSet(out, "")


def _filters(config: MixConfig, rows: list[Image]) -> dict[FilterName, Filter]:
    from fulora.data.hybrid import never_seen, shows_something

    known: dict[FilterName, Filter] = {"blank": shows_something, "duplicate": never_seen(row.sha256 for row in rows)}
    return {name: known[name] for name in config.filters}


def _picture(images: ImageSet, row: Image) -> Picture:
    return Picture(row, images.pixels(row))
