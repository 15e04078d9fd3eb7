"""Those that training_step.py sets side by side, each a process that trains k steps when it is told to.

Its standard input says how many, a number a line; the answer, a line of JSON, says how long they
took. Between two rounds it waits for the next line and costs nothing.
"""

import dataclasses
import importlib.util
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import IO, Any, Literal

import companion
import numpy as np
from task import Task, config_of

FOREVER = 1_000_000  # steps of a run that nobody waits for
LEARNING_RATE, WEIGHT_DECAY, BETAS, CLIP = 6e-4, 0.1, (0.9, 0.95), 1.0  # nanoGPT's own


class Rounds:
    """A loop's side of the conversation: it calls `before_step` at the head of every step."""

    def __init__(self, answers: IO[str], synchronize: Callable[[], None]) -> None:
        self.answers, self.synchronize = answers, synchronize
        self.left = self.steps = 0
        self.started = 0.0  # when the first of them began
        self.waited = self.busy = 0.0  # seconds of the wait before it, and of CPU in that wait

    def before_step(self) -> None:
        """Go on, or, when the steps asked for are done, answer and wait for the next number."""
        if self.left == 0:
            self._answer()
            self._wait()
        self.left -= 1

    def _answer(self) -> None:
        if self.steps:
            self.synchronize()
            answer = {"seconds": time.perf_counter() - self.started, "waited": self.waited, "busy": self.busy}
            answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(json.dumps(answer), file=self.answers, flush=True)

    def _wait(self) -> None:
        since, cpu = time.perf_counter(), time.process_time()
        line = sys.stdin.readline()
        if not line:
            sys.exit()  # nobody asks any more
        self.left = self.steps = int(line)
        self.started = time.perf_counter()
        self.waited, self.busy = self.started - since, time.process_time() - cpu


def tezgah_gpt2(task: Task, rounds: Rounds) -> None:
    """tezgah as GPT-2 with AdamW: like with like."""
    _train_ours(task, rounds, "gpt2", "adamw")


def tezgah_default(task: Task, rounds: Rounds) -> None:
    """tezgah's default: Qwen3's shape with Muon."""
    _train_ours(task, rounds, "qwen3", "muon")


def _train_ours(
    task: Task, rounds: Rounds, shape: Literal["gpt2", "qwen3"], optimizer: Literal["adamw", "muon"]
) -> None:
    from tezgah.models.build import build_model
    from tezgah.tokens.sequences import Sequences
    from tezgah.tokens.shards import TokenStream
    from tezgah.training.loop import Trainer
    from tezgah.training.place import choose_place
    from tezgah.training.reader import Callbacks, Data
    from tezgah.training.settings import TrainSettings
    from tezgah.training.signals import StopWish
    from tezgah.training.world import join_world

    settings = TrainSettings(
        steps=FOREVER,
        batch_size=task.batch_size,
        optimizer=optimizer,
        learning_rate=LEARNING_RATE,
        device=task.device,
        precision="bf16",
        compile=task.compiled,
        threads=task.threads,
    )
    sequences = Sequences(TokenStream(Path(task.data) / "tokens", "train"), task.context_length)
    data = Data(sequences, sequences, separator_id=0)
    nothing = Callbacks(lambda model, place: {}, lambda model, place: [], lambda folder: None)
    model = build_model(config_of(task, shape), seed=1)
    with TemporaryDirectory() as run:
        here = join_world(), choose_place(settings), StopWish()
        trainer = Trainer(model, data, settings, Path(run), "", nothing, *here)
        for step in range(1, FOREVER):
            rounds.before_step()
            trainer.step(step, FOREVER)


def nanogpt(task: Task, rounds: Rounds) -> None:
    """nanoGPT as its train.py sets it: no biases."""
    _train_nanogpt(task, rounds, bias=False)


def nanogpt_biases(task: Task, rounds: Rounds) -> None:
    """nanoGPT with the biases of GPT-2."""
    _train_nanogpt(task, rounds, bias=True)


def _train_nanogpt(task: Task, rounds: Rounds, bias: bool) -> None:
    """The loop of its train.py around its model.py, in bf16 and compiled; the learning rate stands still."""
    import torch

    device = task.device
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    theirs = _module(Path(task.nanogpt) / "model.py")
    sizes = {"n_layer": task.n_layers, "n_head": task.n_heads, "n_embd": task.width, "dropout": 0.0, "bias": bias}
    config = theirs.GPTConfig(block_size=task.context_length, vocab_size=task.vocab_size, **sizes)
    model = theirs.GPT(config).to(device)
    optimizer = model.configure_optimizers(WEIGHT_DECAY, LEARNING_RATE, BETAS, device)
    if task.compiled:
        model = torch.compile(model)

    def get_batch() -> tuple[torch.Tensor, torch.Tensor]:
        data = np.memmap(Path(task.data) / "train.bin", dtype=np.uint16, mode="r")
        time = task.context_length
        ix = torch.randint(len(data) - time, (task.batch_size,)).tolist()
        x = torch.stack([torch.from_numpy(data[i : i + time].astype(np.int64)) for i in ix])  # (batch, time)
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + time].astype(np.int64)) for i in ix])
        if device == "cuda":
            return x.pin_memory().to(device, non_blocking=True), y.pin_memory().to(device, non_blocking=True)
        return x.to(device), y.to(device)

    x, y = get_batch()
    while True:
        rounds.before_step()
        with torch.amp.autocast(device, torch.bfloat16):
            _, loss = model(x, y)
        x, y = get_batch()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()  # it logs every step


def nanochat(task: Task, rounds: Rounds) -> None:
    """nanochat's model and MuonAdamW.

    As deep and wide; its value embeddings come on top, and cost no FLOPs.
    """
    import os

    import torch

    os.environ["NANOCHAT_DTYPE"] = "bfloat16"
    sys.path.insert(0, task.nanochat)
    from nanochat.gpt import GPT, GPTConfig  # type: ignore[import-not-found]

    heads = {"n_head": task.n_heads, "n_kv_head": task.n_heads}
    sizes = {"vocab_size": task.vocab_size, "n_layer": task.n_layers, "n_embd": task.width, **heads}
    model = GPT(GPTConfig(sequence_len=task.context_length, **sizes))
    model.init_weights()
    model.to(task.device)
    optimizer = model.setup_optimizer()
    compiled: Any = torch.compile(model, dynamic=False)
    ids = np.memmap(Path(task.data) / "train.bin", dtype=np.uint16, mode="r")
    chance = np.random.default_rng(1)
    while True:
        rounds.before_step()
        starts = chance.integers(0, len(ids) - task.context_length - 1, task.batch_size)
        taken = torch.from_numpy(ids[starts[:, None] + np.arange(task.context_length + 1)].astype(np.int64))
        taken = taken.to(task.device)  # (batch, time + 1)
        loss = compiled(taken[:, :-1].contiguous(), taken[:, 1:].contiguous())
        loss.backward()
        optimizer.step()
        model.zero_grad(set_to_none=True)
        loss.item()  # it logs every step


def trainer(task: Task, rounds: Rounds) -> None:
    """`transformers`' Trainer with GPT2LMHeadModel.

    bf16, torch_compile, fused AdamW; nothing is logged or saved.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

    class Asking(TrainerCallback):
        def on_step_begin(self, *arguments: Any, **named: Any) -> None:
            rounds.before_step()

    config = GPT2Config(
        vocab_size=task.vocab_size,
        n_positions=task.context_length,
        n_embd=task.width,
        n_layer=task.n_layers,
        n_head=task.n_heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    model = GPT2LMHeadModel(config)
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            use_cpu=task.device == "cpu",
            bf16=True,
            torch_compile=task.compiled,
            per_device_train_batch_size=task.batch_size,
            max_steps=FOREVER,
            optim="adamw_torch_fused",
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            adam_beta2=BETAS[1],
            max_grad_norm=CLIP,
            dataloader_num_workers=0,
            dataloader_pin_memory=task.device == "cuda",
            disable_tqdm=True,
            report_to="none",
            logging_strategy="no",
            save_strategy="no",
        )
        Trainer(model, arguments, train_dataset=Rows(task), callbacks=[Asking()]).train()


class Rows:
    """The random ids as a dataset of sequences."""

    def __init__(self, task: Task) -> None:
        ids = np.memmap(Path(task.data) / "train.bin", dtype=np.uint16, mode="r")
        self.rows = ids[: len(ids) // task.context_length * task.context_length].reshape(-1, task.context_length)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        import torch

        ids = torch.from_numpy(self.rows[index].astype(np.int64))  # (time,)
        return {"input_ids": ids, "labels": ids}


CONTESTANTS: dict[str, Callable[[Task, Rounds], None]] = {
    "tezgah-gpt2": tezgah_gpt2,
    "tezgah-default": tezgah_default,
    "nanogpt": nanogpt,
    "nanogpt-biases": nanogpt_biases,
    "nanochat": nanochat,
    "trainer": trainer,
}


def flops_of(name: str, task: Task) -> int:
    """FLOPs per token of a contestant's model, by our formula."""
    from tezgah.models.cost import flops_per_token

    config = config_of(task, "qwen3" if name in ("tezgah-default", "nanochat") else "gpt2")
    if name == "nanogpt":
        stack = dataclasses.replace(config.stack, qkv_bias=False, output_bias=False, mlp_bias=False)
        config = dataclasses.replace(config, stack=stack)
    return flops_per_token(config)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main(name: str, task: Task) -> None:
    """Be the contestant `name` until nobody asks any more."""
    import torch

    answers = companion.answering()
    torch.set_num_threads(task.threads)
    torch.manual_seed(1)
    CONTESTANTS[name](task, Rounds(answers, torch.cuda.synchronize if task.device == "cuda" else lambda: None))


if __name__ == "__main__":
    main(sys.argv[1], Task(**json.loads(sys.argv[2])))
