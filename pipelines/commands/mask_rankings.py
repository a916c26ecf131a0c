"""Rankings of several predictions over the figures of a protocol, for `fulora score segmentation`."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from fulora.metrics.ranking import Ranking, Stability
    from pipelines.commands.mask_protocols import Figure

    Ranked = dict[str, dict[str, tuple[Ranking, Stability]]]
    """By figure and scheme."""


def ranked(
    matrices: Mapping[str, "Float[np.ndarray, 'methods cases']"],
    figures: "Mapping[str, Figure]",
    patients: Sequence[str],
    draws: int,
    seed: int,
) -> "Ranked":
    """The ranking of each figure by each scheme, with its stability.

    Args:
        matrices: of each figure its values, (predictions, cases).
        figures: which way each is better.
    """
    import numpy as np

    from fulora.metrics.ranking import SCHEMES, ranking, stability
    from fulora.progress import track

    found: Ranked = {}
    for metric, values in track(matrices.items(), "ranked", total=len(matrices)):
        better, clusters = figures[metric].higher_is_better, np.array(patients)
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
    """A PNG: on the left the ranks on each figure (aggregate-then-rank), on the right Kendall's tau by scheme."""
    import numpy as np

    from fulora.metrics.ranking import SCHEMES
    from fulora.report.ranking import plot_kendall_tau, plot_rank_stability

    title, left = "{}: aggregate then rank", []
    for metric, schemes in found.items():
        left.append(plot_rank_stability(names, *schemes["aggregate_then_rank"], title.format(metric)))
    right = []
    for scheme in SCHEMES:
        drawn = {metric: schemes[scheme][1] for metric, schemes in found.items()}
        ordered = {metric: one for metric, one in drawn.items() if np.isfinite(one.taus).any()}
        right += [plot_kendall_tau(ordered, f"Stability, {scheme.replace('_', ' ')}")] if ordered else []
    path.write_bytes(_sheet([left, right]))


def _sheet(columns: Sequence[Sequence[bytes]]) -> bytes:
    """Columns of PNGs on one white sheet."""
    from PIL import Image as Pil

    opened = [[Pil.open(io.BytesIO(png)) for png in column] for column in columns if column]
    width = sum(max(panel.width for panel in column) for column in opened)
    paper, x = Pil.new("RGB", (width, max(sum(panel.height for panel in column) for column in opened)), "white"), 0
    for column in opened:
        y = 0
        for panel in column:
            paper.paste(panel, (x, y))
            y += panel.height
        x += max(panel.width for panel in column)
    stream = io.BytesIO()
    paper.save(stream, format="PNG")
    return stream.getvalue()
