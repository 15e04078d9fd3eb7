"""Items made in a thread of its own before they are asked for."""

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 0.1  # seconds after which a thread with nowhere to put its item looks whether it is still wanted


@dataclass(frozen=True)
class _End:
    """What stands behind the last item: nothing, or the error that ended them."""

    error: BaseException | None = None


class Ahead(Generic[T], Iterator[T]):
    """The items of a generator, of which one is made and `waiting` more stand ready while one is in use.

    An error in the generator is raised where its item was asked for. `close` sets `unwanted`, on
    which a generator whose items take long ends early, and ends the thread.
    """

    def __init__(self, items: Generator[T, None, None], unwanted: Event, waiting: int = 1) -> None:
        self._items, self._unwanted = items, unwanted
        self._ready: Queue[T | _End] = Queue(waiting)
        self._thread = Thread(target=self._make, daemon=True, name="tezgah-ahead")
        self._thread.start()

    def __next__(self) -> T:
        item = self._ready.get()
        if not isinstance(item, _End):
            return item
        self._ready.put(item)  # for whoever asks again; there is room, nothing comes after it
        if item.error is not None:
            raise item.error
        raise StopIteration

    def close(self) -> None:
        """End the thread; nothing may be asked for afterwards."""
        self._unwanted.set()
        with suppress(Empty):
            while True:
                self._ready.get_nowait()
        self._thread.join()

    def _make(self) -> None:
        end = _End()
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as error:  # noqa: BLE001  raised again in the thread that asks
            end = _End(error)
        finally:
            self._items.close()
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        """Whether the item was taken, and not given up."""
        while not self._unwanted.is_set():
            with suppress(Full):
                self._ready.put(item, timeout=PATIENCE)
                return True
        return False
