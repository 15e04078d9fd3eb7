"""Items made ahead: in order, a bounded number of them, with their errors."""

import threading
import time
from collections.abc import Generator
from threading import Event

import pytest

from tezgah.tokens.ahead import Ahead


def wait_for(made: list[int], count: int) -> None:
    for _ in range(500):
        if len(made) >= count:
            return
        time.sleep(0.01)


def counting(made: list[int], closed: list[bool], most: int = 1_000) -> Generator[int, None, None]:
    try:
        for number in range(most):
            made.append(number)
            yield number
    finally:
        closed.append(True)


def test_items_come_in_order_and_end():
    closed: list[bool] = []
    assert list(Ahead(counting([], closed, 50), Event())) == list(range(50))
    assert closed == [True]


def test_only_a_few_are_made_before_they_are_asked_for():
    made: list[int] = []
    ahead = Ahead(counting(made, []), Event(), waiting=2)
    assert next(ahead) == 0
    wait_for(made, 4)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]  # one in use, two waiting, one that waits for its place
    ahead.close()


def test_an_error_is_raised_where_its_item_is_asked_for_and_again():
    def failing() -> Generator[int, None, None]:
        yield 1
        raise OSError("the disk is gone")

    ahead = Ahead(failing(), Event())
    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            next(ahead)
    ahead.close()


@pytest.mark.parametrize("asked", [0, 1])
def test_closing_ends_the_thread_and_the_generator(asked: int):
    closed: list[bool] = []
    ahead = Ahead(counting([], closed), Event())
    for _ in range(asked):
        next(ahead)
    ahead.close()
    assert closed == [True]
    assert not [thread for thread in threading.enumerate() if thread.name == "tezgah-ahead"]


def test_closing_does_not_wait_for_an_item_that_heeds_it():
    unwanted = Event()

    def slow() -> Generator[int, None, None]:
        while not unwanted.wait(0.01):
            pass
        yield 0

    begun = time.perf_counter()
    Ahead(slow(), unwanted).close()
    assert time.perf_counter() - begun < 2
