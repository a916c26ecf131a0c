"""Random draws of a training, seeded by (seed, name, step) and never by a running state.

A resumed run draws what an undisturbed one would have drawn, and no random state has to be saved.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fulora.environment import derive_seed


def seeded_generator(*parts: str | int) -> torch.Generator:
    """A CPU generator seeded by names and numbers: the same draws on every machine."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def batch_indices(count: int, batch_size: int, step: int, *parts: str | int) -> Tensor:
    """(batch_size,) indices below `count` of training step `step`: epoch after epoch, each in its own random order.

    Depends on the step alone: epoch e is a permutation drawn from (parts, e), and the step says where in it we are.
    """
    places = range(step * batch_size, (step + 1) * batch_size)
    orders = {
        e: torch.randperm(count, generator=seeded_generator(*parts, "epoch", e)) for e in {p // count for p in places}
    }
    return torch.stack([orders[place // count][place % count] for place in places])


def indices_by_class(targets: Tensor, *parts: str | int) -> dict[tuple[str | int, ...], Tensor]:
    """The places of each class in `targets`, classes in order; `parts` and the number of the class name its draws."""
    return {(*parts, which): torch.nonzero(targets == c)[:, 0] for which, c in enumerate(torch.unique(targets))}


def round_robin_batch(
    groups: Mapping[tuple[str | int, ...], Tensor],
    batch_size: int,
    step: int,
    narrowed: Callable[[int, Tensor], Tensor] = lambda place, group: group,
) -> Tensor:
    """(batch_size,) members of groups that take turns; each group goes through its own in epochs (`batch_indices`).

    Args:
        groups: their members, by what names a group's draws.
        narrowed: the members that are asked at a place of the whole training, counted from 0.
    """
    named, chosen = list(groups.items()), []
    for place in range(step * batch_size, (step + 1) * batch_size):
        turn, which = divmod(place, len(named))
        parts, group = named[which]
        own = narrowed(place, group)
        chosen.append(own[batch_indices(len(own), 1, turn, *parts)])
    return torch.cat(chosen)
