"""Random draws of a training, seeded by (seed, name, step) and never by a running state.

A resumed run draws the same as an uninterrupted one, and no random state has to be saved.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fulora.environment import derive_seed


def seeded_generator(*parts: str | int) -> torch.Generator:
    """Return a CPU generator seeded by names and numbers: the same draws on every machine."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def batch_indices(count: int, batch_size: int, step: int, *parts: str | int) -> Tensor:
    """Return (batch_size,) indices below `count` of training step `step`: epochs, each in its own random order.

    They depend on the step alone: epoch e is a permutation seeded by (parts, e).
    """
    places = range(step * batch_size, (step + 1) * batch_size)
    orders = {
        e: torch.randperm(count, generator=seeded_generator(*parts, "epoch", e)) for e in {p // count for p in places}
    }
    return torch.stack([orders[place // count][place % count] for place in places])


def indices_by_class(targets: Tensor, *parts: str | int) -> dict[tuple[str | int, ...], Tensor]:
    """Return the indices of each class in `targets`, by the seed of its draws: `parts` and the number of the class."""
    return {(*parts, which): torch.nonzero(targets == c)[:, 0] for which, c in enumerate(torch.unique(targets))}


def round_robin_batch(
    groups: Mapping[tuple[str | int, ...], Tensor],
    batch_size: int,
    step: int,
    narrowed: Callable[[int, Tensor], Tensor] = lambda position, group: group,
) -> Tensor:
    """Return (batch_size,) members, from the groups in turn; each group is drawn in epochs (`batch_indices`).

    Args:
        groups: their members, by the seed of a group's draws.
        narrowed: returns the members to draw from at a position of the whole training, counted from 0.
    """
    seeded, chosen = list(groups.items()), []
    for position in range(step * batch_size, (step + 1) * batch_size):
        turn, which = divmod(position, len(seeded))
        parts, group = seeded[which]
        members = narrowed(position, group)
        chosen.append(members[batch_indices(len(members), 1, turn, *parts)])
    return torch.cat(chosen)
