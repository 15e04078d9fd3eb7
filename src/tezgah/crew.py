"""The processes of one launch: the first prepares the run, all of them train, the first goes on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import msgspec

from tezgah.errors import InputError
from tezgah.training.settings import TrainTable

Result = TypeVar("Result")

PREPARING = timedelta(days=7)  # the other processes wait this long for the stages before training
DONE, TRAIN, FAILED = 0.0, 1.0, -1.0  # what the first process tells those that wait for its word


class Crew:
    """A launch as one of its processes sees it; `tell` waits for all, and gives each what the first one said."""

    def __init__(self, is_first: bool, tell: Callable[[float], float]) -> None:
        self.is_first, self._tell = is_first, tell
        self._is_apart = True  # the first works alone, the others wait

    def together(self, train: Callable[[], Result]) -> Result:
        """For the first process: what `train` gives, done by every process at once."""
        self._tell(TRAIN)
        self._is_apart = False
        result = train()
        self._is_apart = True
        return result

    def follow(self, train: Callable[[], object]) -> None:
        """For the others: train with the first when it says so, until it is done. InputError where it has failed."""
        while (word := self._tell(DONE)) == TRAIN:
            train()
        if word == FAILED:
            raise InputError("the first process of this launch has failed, and says why.")

    def dismiss(self, word: float) -> None:
        """For the first process: its last word, where the others wait for one. Where they train, they hear its end."""
        if self.is_first and self._is_apart:
            self._tell(word)


@contextmanager
def crew(settings: TrainTable) -> Iterator[Crew]:
    """This process among those of its launch. One process needs no torch for it."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Crew(True, lambda word: word)
        return
    from tezgah.training.place import choose_place
    from tezgah.training.world import begin, end, join_world

    world = join_world()
    begun = begin(world, choose_place(msgspec.structs.replace(settings, compile=False), world.local_rank), PREPARING)
    members = Crew(world.is_first, world.from_first)
    try:
        yield members
        members.dismiss(DONE)  # nobody leaves while another still needs the group
    except BaseException:
        with suppress(RuntimeError):  # they may be gone
            members.dismiss(FAILED)
        raise
    finally:
        if begun:
            end()
