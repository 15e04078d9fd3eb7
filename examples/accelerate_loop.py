"""A training loop of your own around tezgah's model, data and optimizer, with Accelerate.

    accelerate launch examples/accelerate_loop.py RUN [STEPS]

RUN is a finished run. Its model is trained on for STEPS steps on its own tokens, and written as a
Hugging Face folder to RUN/accelerated.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

import tezgah
from tezgah.models.checkpoint import save_model
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.shards import TokenStream
from tezgah.training.optimizer import build_optimizer
from tezgah.training.settings import TrainSettings


class Rows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Sequences one by one, as a DataLoader asks for them."""

    def __init__(self, sequences: Sequences) -> None:
        self.sequences = sequences

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids, targets = self.sequences.batch(np.array([index]))
        return torch.from_numpy(ids[0]), torch.from_numpy(targets[0])  # each (time,)


def main(run: Path, steps: int, batch_size: int = 4) -> None:
    accelerator = Accelerator()
    model, tokenizer = tezgah.load(run)
    assert tokenizer is not None, "a run's model has its tokenizer beside it"
    rows = Rows(Sequences(TokenStream(run / "tokens", "train"), model.config.context_length))
    loader = DataLoader(rows, batch_size, shuffle=True, drop_last=True)
    optimizer = build_optimizer(model, TrainSettings(learning_rate=1e-3, muon_learning_rate=0.005))
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    model.train()
    step = 0
    while step < steps:
        for ids, targets in loader:  # (batch, time)
            loss = cross_entropy(model(ids).flatten(0, 1), targets.flatten())
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            accelerator.print(f"step {step:,}  loss {accelerator.reduce(loss.detach(), 'mean').item():.3f}")
            if step == steps:
                break
    if accelerator.is_main_process:
        folder = run / "accelerated"
        save_model(accelerator.unwrap_model(model), folder, tokenizer.separator_id)
        tokenizer.save(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20)
