"""The one error of bad input."""


class InputError(Exception):
    """What the user gave cannot be used.

    The message is one line: it names the file or the field, says what is wrong with its
    numbers, and how to mend it. Only the command line catches it (exit code 2).
    """
