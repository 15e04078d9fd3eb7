"""The process that decides about one sample: runs the task's prompt and test, never the completion.

To the test the candidate looks like a function. Behind it stands a link to the candidate's process,
over which plain data goes and comes; whatever else comes over it ends the trial as a failure, which
no `except` of a test can undo. This process is confined too, for a task file may come from anywhere,
and a value may make a test run forever.
"""

import builtins
import json
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tezgah.evaluation.prompt_code import complete
from tezgah.evaluation.sandbox import cell, codec, frames
from tezgah.evaluation.sandbox.confinement import Confinement
from tezgah.evaluation.sandbox.forking import cut_off
from tezgah.evaluation.sandbox.verdict import one_line

MODULE = "trial"
ENDED = "the candidate's process ended"
LONGEST_VERDICT = 4_096  # bytes: 200 letters as JSON escapes them, and little else; written at once (PIPE_BUF)
REHEARSED = f"""
def check(candidate):
    for number in range({cell.CALLS}):
        assert candidate([number, 0.5]) == number
"""
_NOT_CROSSING = StopIteration, StopAsyncIteration, ExceptionGroup  # that is made of others


class Broken(BaseException):
    """The candidate's process said what no honest one says, or nothing any more."""


class Handle:
    """Stands for something that only the candidate's process has, such as an instance of a class of its own.

    It can be handed back and no more. A test that looks into it, or asks what it equals, would be answered by
    this side, rightly or not; so `looked_into` is called, which ends the trial.
    """

    def __init__(self, number: int, looked_into: Callable[[], BaseException]) -> None:
        self.__dict__.update(number=number, looked_into=looked_into)

    def _refuse(self, *_: Any) -> Any:
        raise self.__dict__["looked_into"]()

    __getattr__ = __setattr__ = __delattr__ = __eq__ = __ne__ = __hash__ = __bool__ = _refuse


@dataclass(frozen=True)
class Read:
    """A task's prompt and test as code, and the names that they ask for."""

    prompt: types.CodeType
    test: types.CodeType
    names: frozenset[str]


@lru_cache(maxsize=16)
def read(prompt: str, test: str) -> Read | str:
    """Compile, but do not run, a prompt and a test: once for the many samples of a task. A text says why not."""
    try:
        with warnings.catch_warnings(action="ignore"):  # an old escape in a task is not ours to tell, in every worker
            code = compile(test, "<test>", "exec", dont_inherit=True)
            beginning = compile(complete(prompt), "<prompt>", "exec", dont_inherit=True)
        return Read(beginning, code, frozenset(_names(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the task is no Python code: {error}"


def main(link: int, verdict: int, confinement: Confinement, task: dict[str, str], read: Read | str) -> None:
    """Judge the candidate behind `link`; one message to `verdict` tells whether it passed, and why not."""
    cut_off(link, verdict, *confinement.descriptors)
    confinement.confine()
    passed, reason = (False, read) if isinstance(read, str) else _found(Link(link), task, read)
    os.write(verdict, json.dumps({"passed": passed, "reason": one_line(reason)}).encode())


def rehearse(link: int) -> None:
    """Do, in the process that trials' processes are forked from, what each of them will do; see `cell.rehearse`."""
    rehearsed = read("from typing import List\n", REHEARSED)
    task = {"program": cell.REHEARSED, "entry_point": "answer"}
    if isinstance(rehearsed, str) or not _found(Link(link), task, rehearsed)[0]:
        raise RuntimeError("the sandbox does not work here")
    del sys.modules[MODULE]


def _found(link: "Link", task: dict[str, str], read: Read) -> tuple[bool, str]:
    """Whether it passed, and why not.

    It passed where the test came to its end and the link is whole: no text of anybody's is read for that.
    """
    passed, reason = False, "passed"
    try:
        _try(link, task, read)
        passed = True
    except BaseException as error:  # noqa: BLE001  whatever a test raises
        message = _text(error)
        reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if link.broken is not None:
        return False, link.broken
    if link.is_waiting():
        return False, "it spoke without being asked"
    return passed, reason


def _try(link: "Link", task: dict[str, str], read: Read) -> None:
    link.define(task["program"])
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    names = module.__dict__
    exec(read.prompt, names)
    # A name that nobody on this side defines must be the candidate's, a class say; the test may still define it.
    names |= {name: link.function(name, is_helper=True) for name in read.names - names.keys()}
    names[task["entry_point"]] = candidate = link.function(task["entry_point"])
    exec(read.test, names)
    names["check"](candidate)


class Link:
    """Calls into the candidate's process, strictly one question and one answer at a time."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.calls = 0
        self.broken: str | None = None  # why nothing more can come of this sample

    def define(self, program: str) -> None:
        """Have the program run. Raises what it raises."""
        self._exchange(codec.dumps(program), 0)

    def function(self, name: str, is_helper: bool = False) -> Callable[..., Any]:
        """The candidate's function `name`. What a helper returns may be no plain data: it can be handed back."""

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            kind = "help" if is_helper else "call"
            try:
                question = codec.dumps((kind, self.calls, name, arguments, named), _number)
            except codec.NotPlain as error:
                raise self._break(f"the test gives {name} what cannot be handed over: {error}") from None
            value, after = self._exchange(question, self.calls, self._handle if is_helper else None)
            if value is None and type(after) is tuple and len(after) == len(arguments):
                for argument, now in zip(arguments, after, strict=True):
                    _become(argument, now)
            return value

        call.__name__ = call.__qualname__ = name
        return call

    def is_waiting(self) -> bool:
        """Whether the candidate says something now; its end is not meant."""
        if not frames.is_waiting(self.descriptor):
            return False
        try:
            return bool(os.read(self.descriptor, 1))
        except OSError:
            return False

    def _exchange(self, question: str, number: int, handled: Callable[[int], Any] | None = None) -> tuple[Any, Any]:
        if self.broken is not None:
            raise Broken(self.broken)
        if self.is_waiting():
            raise self._break("it spoke without being asked")
        try:
            frames.send(self.descriptor, question.encode())
            answer = codec.loads(frames.receive(self.descriptor), handled)
        except frames.Closed as error:
            raise self._break(ENDED if str(error) == "closed" else str(error)) from None
        except codec.NotPlain as error:
            raise self._break(f"its answer is {error}") from None
        except MemoryError:
            raise self._break("its answer takes more memory than there is") from None
        if type(answer) is not tuple or len(answer) != 4 or type(answer[1]) is not int or answer[1] != number:
            raise self._break("its answer is to no question that was asked")
        said, _, first, second = answer
        if said == "returned":
            return first, second
        if said == "raised" and type(first) is str and type(second) is str:
            raise _error(first, second)
        if said == "unfit" and type(second) is str:  # its own words: they explain, and decide nothing
            raise self._break(f"its answer is unfit: {second}")
        raise self._break("its answer is none")

    def _break(self, reason: str) -> Broken:
        if self.broken is None:
            self.broken = reason
        return Broken(reason)

    def _handle(self, number: int) -> Handle:
        return Handle(number, lambda: self._break("the test looks into what only the candidate has"))


def _number(value: Any) -> int:
    if type(value) is Handle:
        number: int = value.__dict__["number"]
        return number
    raise codec.NotPlain(f"a value of type {type(value).__name__} is no plain data")


def _become(argument: Any, now: Any) -> None:
    """Change what was given in place into what the candidate made of its copy."""
    if type(argument) is not type(now):
        return
    if type(now) in (list, bytearray):
        argument[:] = now
    elif type(now) in (dict, set):
        argument.clear()
        argument.update(now)


def _error(kind: str, message: str) -> Exception:
    """An exception of Python's own that tests can expect; one of the candidate's own kind becomes a RuntimeError.

    So do those that end a loop: one from a function given to `map` would end the map, and its asserts with it.
    """
    known = getattr(builtins, kind, None)
    if not (isinstance(known, type) and issubclass(known, Exception)) or issubclass(known, _NOT_CROSSING):
        return RuntimeError(f"{kind}: {message}" if message else kind)
    error = known.__new__(known, message)  # some kinds want other arguments than a message
    error.args = (message,)
    return error


def _names(code: types.CodeType) -> Iterator[str]:
    """What a code asks for by name and Python has not, attributes included."""
    yield from (name for name in code.co_names if not hasattr(builtins, name))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  UnicodeDecodeError without its parts, say
        return ""
