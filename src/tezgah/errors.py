"""The one error of bad input, and the kinds of it that somebody has to tell apart."""


class InputError(Exception):
    """What the user gave cannot be used.

    The message is one line: it names the file or the field, says what is wrong with its
    numbers, and how to mend it. Only the command line catches it (exit code 2).
    """


class Diverged(InputError):
    """A training whose loss or gradient is no number any more, or a spike: with the same settings it would be again."""

    def __init__(self, step: int, loss: float, norm: float, is_spike: bool = False) -> None:
        lower = "Lower learning_rate (and muon_learning_rate)"
        if is_spike:
            found = f"the loss is {loss:.4g} and the gradient's norm {norm:.4g} at step {step:,}, a spike"
            mend = f'Go on with on_divergence = "skip", or with spike_deviations = 0. Or begin anew: {lower.lower()}'
        else:
            found, mend = f"the loss is {loss} and the gradient's norm {norm} at step {step:,}", lower
        super().__init__(f"[train] {found}: training has diverged. {mend}; checkpoints up to here are whole.")
        self.step, self.loss, self.norm = step, loss, norm


class FolderInUse(InputError):
    """A folder that another process works in now."""
