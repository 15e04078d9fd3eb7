"""Checkpoints are written by a thread of their own, one at a time, while training goes on."""

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from pathlib import Path

from torch.autograd.profiler import record_function

from tezgah.console import warn
from tezgah.errors import InputError
from tezgah.files import atomic_folder
from tezgah.models.language import LanguageModel
from tezgah.training.best import FOLDER
from tezgah.training.checkpoint import TrainingState, folder_of, save_checkpoint
from tezgah.training.optimizer import GroupOptimizer
from tezgah.training.profile import READ
from tezgah.training.settings import TrainSettings
from tezgah.training.sharding import is_sharded
from tezgah.training.signals import StopWish
from tezgah.training.snapshot import take_snapshot
from tezgah.training.space import with_space
from tezgah.training.world import World

SAVING = timedelta(days=1)  # processes that write a checkpoint together wait for one another so long: for a full disk


class Checkpoints:
    """When a checkpoint of a run is due, and its way onto the disk; `seconds` is the clock of the run."""

    def __init__(
        self,
        run: Path,
        model: LanguageModel,
        optimizer: GroupOptimizer,
        settings: TrainSettings,
        separator_id: int,
        save_extras: Callable[[Path], None],
        world: World,
        wish: StopWish,
        seconds: Callable[[], float],
    ) -> None:
        self._run, self._model, self._optimizer, self._settings = run, model, optimizer, settings
        self._separator_id, self._save_extras = separator_id, save_extras
        self._world, self._wish, self._seconds = world, wish, seconds
        self._is_sharded = is_sharded(model)
        self._apart = world.apart(SAVING) if self._is_sharded else world  # for the thread that writes
        self._saver = Saver(wish)
        self._saved = seconds()  # when the newest one was begun

    @property
    def has_failed(self) -> bool:
        """Whether the one that was begun has come to a bad end."""
        return self._saver.has_failed

    def is_due(self, step: int) -> bool:
        """Whether one is due after this step, or for the time that has passed."""
        settings = self._settings
        if settings.checkpoint_steps and step % settings.checkpoint_steps == 0:
            return True
        minutes = (self._seconds() - self._saved) / 60
        return 0 < settings.checkpoint_minutes <= minutes

    @record_function(READ)
    def begin(self, state: TrainingState) -> None:
        """Copy what a checkpoint holds and let it be written while training goes on. Waits for the one before."""
        self.wait()
        if self._world.is_first or self._is_sharded:
            snapshot = take_snapshot(self._model, self._optimizer)
            keep = self._settings.keep_checkpoints
            write = partial(
                save_checkpoint, self._run, snapshot, state, self._separator_id, self._save_extras, keep, self._apart
            )
            self._saver.begin(partial(with_space, write, self._is_stopped))
        self._saved = self._seconds()

    def wait(self) -> None:
        """Until what was begun is written; where it fails, training ends in every process."""
        self._world.together(self._run / "checkpoints", self._saver.wait)

    def write_model(self, step: int) -> None:
        """The model to use, from the last checkpoint: as it stands, or as it stood at the best reading."""
        best = self._run / FOLDER
        source = best if self._settings.keep_best and best.is_dir() else folder_of(self._run, step)
        with atomic_folder(self._run / "model") as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("training_state"))

    def close(self) -> None:
        """End the thread, with what was begun written or given up."""
        self._saver.close()

    def _is_stopped(self) -> bool:
        """Whether those who write a checkpoint together are asked to stop, or who writes it alone."""
        return self._apart.any(self._wish.made)[0] if self._is_sharded else self._wish.made


class Saver:
    """What was begun and is not yet written. Its error is raised by who waits for it, and lost by nobody."""

    def __init__(self, wish: StopWish) -> None:
        """`wish` is made where training ends early: what waits for space then waits no longer."""
        self._wish = wish
        self._thread = ThreadPoolExecutor(1, "tezgah-checkpoint")
        self._writing: Future[None] | None = None

    def begin(self, write: Callable[[], None]) -> None:
        """Have `write` done, after what was begun before it."""
        self.wait()
        self._writing = self._thread.submit(copy_context().run, write)  # the log hears the thread too

    @property
    def has_failed(self) -> bool:
        """Whether what was begun has come to a bad end."""
        writing = self._writing
        return writing is not None and writing.done() and writing.exception() is not None

    def wait(self) -> None:
        """Until everything is written. Raises what went wrong."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """End the thread, with what was begun written or given up."""
        if self._writing is not None:  # training ends by an error of its own
            self._wish.made = True
            try:
                self.wait()
            except (InputError, OSError, RuntimeError) as error:
                warn(f"the last checkpoint may not have been written: {error}")
        self._thread.shutdown()
