"""The one error of bad input, and the kinds of it that somebody has to tell apart."""


class InputError(Exception):
    """What the user gave cannot be used.

    The message is one line: it names the file or the field, says what is wrong with its
    numbers, and how to mend it. Only the command line catches it (exit code 2).
    """


class Diverged(InputError):
    """A training whose loss or gradient is no number any more: with the same settings it would be again."""

    def __init__(self, step: int, loss: float, norm: float) -> None:
        super().__init__(
            f"[train] the loss is {loss} and the gradient's norm {norm} at step {step:,}: training has diverged. "
            f"Lower learning_rate (and muon_learning_rate); checkpoints up to here are whole."
        )
        self.step, self.loss, self.norm = step, loss, norm


class FolderInUse(InputError):
    """A folder that another process works in now."""
