"""A model that is read, not trained; and little work, that is not shared out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

LITTLE = 1 << 19  # numbers; above it several threads win more than waiting for them costs


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, no compilation; afterwards every module's mode is what it was.

    no_grad and not inference_mode: what a module keeps from such a pass stays usable in training.
    Uncompiled, because reading and decoding meet many shapes and a compiler would build each anew:
    7 to 16 s a shape for a forward pass that took 2.9 s compiled and 2.6 s as written (6 layers of
    256, 16 sequences of 512, bf16, 2 busy cores).
    """
    modes = [(module, module.training) for module in model.modules()]
    # Nothing is compiled where torch's compiler was never imported, which alone takes a second.
    stance = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    model.eval()
    try:
        with torch.no_grad(), stance:
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training


@contextmanager
def little_work(numbers: Tensor) -> Iterator[None]:
    """One thread of torch's while the block works on few numbers.

    Threads that torch has woken look out for more work for milliseconds, on the cores that the compiled step's are to
    run on: a token of 20 M parameters took 5.8 ms so, with one thread 4.3 (2 cores).
    """
    threads = torch.get_num_threads()
    if threads == 1 or numbers.numel() > LITTLE:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
