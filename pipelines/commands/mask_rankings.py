"""Rankings of several predictions over the figures of a protocol, for `fulora score segmentation`."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.mask_protocols import higher_is_better

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from fulora.metrics.ranking import Ranking, Stability

    Ranked = dict[str, dict[str, tuple[Ranking, Stability]]]
    """By figure and scheme."""


def ranked(
    matrices: Mapping[str, "Float[np.ndarray, 'methods cases']"], patients: Sequence[str], draws: int, seed: int
) -> "Ranked":
    """The ranking of each figure by each scheme, with its stability.

    Args:
        matrices: of each figure its values, (predictions, cases).
    """
    import numpy as np

    from fulora.metrics.ranking import SCHEMES, ranking, stability
    from fulora.progress import track

    found: Ranked = {}
    for metric, values in track(matrices.items(), "ranked", total=len(matrices)):
        better, clusters = higher_is_better(metric), np.array(patients)
        found[metric] = {
            scheme: (
                ranking(values, scheme, higher_is_better=better),
                stability(values, scheme, higher_is_better=better, clusters=clusters, draws=draws, seed=seed),
            )
            for scheme in SCHEMES
        }
    return found


def ranking_facts(found: "Ranked") -> dict[str, Any]:
    """By scheme: ranks on each figure with their stability, and the ranks of the mean rank over all figures."""
    import numpy as np

    from fulora.metrics.ranking import SCHEMES, mean_rank

    facts: dict[str, Any] = {}
    for scheme in SCHEMES:
        by_metric = {}
        for metric, schemes in found.items():
            one, drawn = schemes[scheme]
            known = drawn.taus[np.isfinite(drawn.taus)]
            by_metric[metric] = {
                "ranks": one.ranks,
                "values": one.values,
                "first": drawn.first,
                "low": drawn.low,
                "high": drawn.high,
                "kendall_tau": float(known.mean()) if known.size else None,
                "draws_without_order": int(drawn.taus.size - known.size),
            }
        overall = mean_rank([schemes[scheme][0] for schemes in found.values()])
        facts[scheme] = {"overall_ranks": overall.ranks, "mean_ranks": overall.values, "metrics": by_metric}
    return facts


def write_figure(path: Path, names: Sequence[str], found: "Ranked") -> None:
    """A PNG: for each figure the ranks under resampling (aggregate-then-rank), and Kendall's tau of the schemes."""
    import numpy as np

    from fulora.report.ranking import plot_kendall_tau, plot_rank_stability

    rows = []
    for metric, schemes in found.items():
        one, drawn = schemes["aggregate_then_rank"]
        rows.append([plot_rank_stability(names, one, drawn, f"{metric}: aggregate then rank")])
        ordered: dict[str, Stability] = {
            scheme: resampled for scheme, (_, resampled) in schemes.items() if np.isfinite(resampled.taus).any()
        }
        rows[-1] += [plot_kendall_tau(ordered, f"{metric}: stability of each scheme")] if ordered else []
    path.write_bytes(_sheet(rows))


def _sheet(rows: Sequence[Sequence[bytes]]) -> bytes:
    """Rows of PNGs on one white sheet."""
    from PIL import Image as Pil

    opened = [[Pil.open(io.BytesIO(png)) for png in row] for row in rows]
    heights = [max(panel.height for panel in row) for row in opened]
    width = max(sum(panel.width for panel in row) for row in opened)
    paper, y = Pil.new("RGB", (width, sum(heights)), "white"), 0
    for row, height in zip(opened, heights, strict=True):
        x = 0
        for panel in row:
            paper.paste(panel, (x, y))
            x += panel.width
        y += height
    stream = io.BytesIO()
    paper.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
