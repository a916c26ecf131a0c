"""The most suspicious synthetic images, each above the real image that it is nearest to."""

from collections.abc import Sequence

from fulora.assessment.encoder_figures import EncoderFigures
from fulora.assessment.loaded_pictures import Pictures
from fulora.report.figure_canvas import FigureError
from fulora.report.figures import plot_image_grid

A_LINE = 10


def plot_pairs(synthetic: Pictures, train: Pictures, held_out: Pictures, encoders: Sequence[EncoderFigures]) -> bytes:
    """Plot lines of ten pairs for each encoder, the most suspicious first.

    Raises:
        FigureError: if no encoder has pairs, or an image of a pair is missing.
    """
    pixels = {
        pictures.digest(place): pictures.pixels[place]
        for pictures in (synthetic, train, held_out)
        for place in range(len(pictures))
    }
    missing = {digest for one in encoders for pair in one.pairs for digest in pair} - pixels.keys()
    if missing:
        raise FigureError(
            f"{len(missing)} images of the most suspicious pairs are not among the images that are shown, such as the "
            f"one of pixel digest {min(missing)[:16]}: give the sets that were assessed"
        )
    rows = {}
    for one in encoders:
        for start in range(0, len(one.pairs), A_LINE):
            pairs = one.pairs[start : start + A_LINE]
            about = f"{one.encoder}, {start + 1} to {start + len(pairs)}"
            rows[f"{about}: synthetic"] = [pixels[made] for made, _ in pairs]
            rows[f"{about}: nearest real"] = [pixels[real] for _, real in pairs]
    if not rows:
        raise FigureError("there are no pairs to draw: give the images that the generator was trained on")
    return plot_image_grid(rows)
