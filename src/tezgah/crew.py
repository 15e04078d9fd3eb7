"""The processes of one launch: the first prepares the run, all of them train, the first goes on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import msgspec

from tezgah.training.settings import TrainSettings

# Waits until the first process calls it too; returns, in every process, what the first one gave.
Gather = Callable[[bool], bool]

PREPARING = timedelta(days=7)  # the other processes wait this long for the stages before training


@contextmanager
def crew(settings: TrainSettings) -> Iterator[tuple[bool, Gather]]:
    """Whether this process is the first, and how it calls the others. One process needs no torch for it."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield True, lambda wanted: wanted
        return
    from tezgah.training.place import choose_place
    from tezgah.training.world import begin, end, join_world

    world = join_world()
    begun = begin(world, choose_place(msgspec.structs.replace(settings, compile=False), world.local_rank), PREPARING)
    try:
        yield world.is_first, lambda wanted: bool(world.from_first(float(wanted)))
        world.from_first(0.0)  # nobody leaves while another still needs the group
    finally:
        if begun:
            end()
