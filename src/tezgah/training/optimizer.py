"""One optimizer for the whole model: Muon for hidden matrices and AdamW for the rest, or AdamW or SGD for all.

Muon (Jordan et al. 2024): the step of a matrix is its momentum, orthogonalized. The iteration is
Polar Express (Amsel et al. 2025, arXiv 2505.16932), whose coefficients fall step by step. AdamW
is torch's own.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from tezgah.training.settings import TrainSettings
from tezgah.training.sharding import gathered, is_divided, own, rows_of

# Polar Express, five steps (arXiv 2505.16932, algorithm 1; safety factor 2e-2, cushion 2).
POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
MOST_GATHERED = 1 << 26  # numbers of sharded matrices that are whole at one time, 256 MB in float32


def build_optimizer(
    model: nn.Module, settings: TrainSettings, orthogonal_dtype: torch.dtype = torch.float32
) -> "GroupOptimizer":
    """The optimizer of `settings` over every parameter of `model`, each in exactly one group.

    Muon takes the blocks' matrices. Weight decay, decoupled from the gradient, is for matrices; with Muon, embeddings
    and head have none. `orthogonal_dtype` is the precision of Muon's products.
    """
    hidden, tables, small = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            small.append((name, parameter))
        elif settings.optimizer == "muon" and ".blocks." in f".{name}":
            hidden.append((name, parameter))
        else:
            tables.append((name, parameter))
    decay = 0.0 if settings.optimizer == "muon" else settings.weight_decay
    rest: dict[str, Any] = {"algorithm": "adamw", "betas": (settings.beta1, settings.beta2)}
    if settings.optimizer == "sgd":
        rest = {"algorithm": "sgd", "momentum": settings.momentum}
    rest["lr"] = settings.learning_rate
    muon = {"algorithm": "muon", "lr": settings.muon_learning_rate, "momentum": settings.momentum}
    groups = [
        {**muon, "params": hidden, "weight_decay": settings.weight_decay},
        {**rest, "params": tables, "weight_decay": decay},
        {**rest, "params": small, "weight_decay": 0.0},
    ]
    optimizer = GroupOptimizer([group for group in groups if group["params"]], orthogonal_dtype)
    owned = sum(len(group["params"]) for group in optimizer.param_groups)
    assert owned == len(list(model.parameters())), "every parameter belongs to exactly one group"
    return optimizer


class GroupOptimizer(torch.optim.Optimizer):
    """Groups with `algorithm` "muon" (matrices), "adamw" or "sgd"; `peak_lr` remembers the schedule's height."""

    # Torch wraps these two to keep its compiler out of them, and so imports it, which alone takes a second.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def __init__(self, groups: Iterable[dict[str, Any]], orthogonal_dtype: torch.dtype) -> None:
        super().__init__(groups, {"weight_decay": 0.0})
        self.orthogonal_dtype = orthogonal_dtype
        for group in self.param_groups:
            group["peak_lr"] = group["lr"]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step with the gradients at hand; parameters without one are left alone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                {"muon": self._muon, "adamw": self._adamw, "sgd": self._sgd}[group["algorithm"]](group, parameters)
        return loss

    def _muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for same in _by_shape(parameters):
            weights, gradients = _own(same), _gradients(same)
            buffers = [self._state(parameter)["momentum"] for parameter in same]
            torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, buffers, group["momentum"])  # Nesterov's look ahead
            turned = self._turned(torch.stack(updates), same[0])
            rows, columns = same[0].shape
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, list(turned.unbind()), alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _turned(self, updates: Tensor, like: Tensor) -> Tensor:
        """Updates orthogonalized, (count, rows, columns); of matrices sharded as `like` each process has its rows.

        Those are gathered once, and every process orthogonalizes them all.
        """
        if not is_divided(like):
            return orthogonalize(self._lowered(updates)).to(updates.dtype)
        held, is_half = rows_of(like), self.orthogonal_dtype is torch.float16
        whole = self._lowered(gathered(updates if is_half else self._lowered(updates), like))
        return orthogonalize(whole)[:, held.start : held.start + held.count].to(updates.dtype)

    def _lowered(self, updates: Tensor) -> Tensor:
        """Updates in the precision of products; small ones would be 0 in fp16, so that they are of norm 1 there."""
        if self.orthogonal_dtype is torch.float16:
            updates = updates / updates.norm(dim=(1, 2), keepdim=True).clamp_min(1e-30)
        return updates.to(self.orthogonal_dtype)

    def _adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self._state(parameter, moments=2) for parameter in parameters]
        adamw(
            _own(parameters),
            _gradients(parameters),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=parameters[0].device.type in ("cpu", "cuda", "mps"),
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )

    def _sgd(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        weights = _own(parameters)
        buffers = [self._state(parameter)["momentum"] for parameter in parameters]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, _gradients(parameters))
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, buffers, alpha=-group["lr"])

    def _state(self, parameter: Tensor, moments: int = 1) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state and moments == 1:
            state["momentum"] = torch.zeros_like(own(parameter))
        elif not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(own(parameter)) for _ in range(2))
        return state

    def named_state(self) -> dict[str, Tensor]:
        """Every state tensor as `<parameter name>/<state name>`; of a sharded parameter, this process's rows."""
        return {
            f"{name}/{key}": value
            for group in self.param_groups
            for name, parameter in zip(group["param_names"], group["params"], strict=True)
            for key, value in self.state[parameter].items()
        }

    def load_named_state(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `named_state` gave (before a first step, nothing). Raises KeyError where a tensor lacks."""
        if not tensors:
            self.state.clear()
            return
        for group in self.param_groups:
            for name, parameter in zip(group["param_names"], group["params"], strict=True):
                for key, value in self._state(parameter, 1 if group["algorithm"] == "muon" else 2).items():
                    value.copy_(tensors[f"{name}/{key}"])


def orthogonalize(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix of each of `matrices`, (count, rows, columns), nearly.

    Polar Express: singular values end within a few percent of 1; same shape and precision.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices  # the smaller side first: its square is the cheaper one
    x = x / (x.norm(dim=(1, 2), keepdim=True) * 1.02 + 1e-6)
    for a, b, c in POLAR_EXPRESS:
        square = x @ x.mT  # (count, rows, rows)
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _own(parameters: list[Tensor]) -> list[Tensor]:
    return [own(parameter) for parameter in parameters]


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [own(parameter.grad) for parameter in parameters if parameter.grad is not None]


def _by_shape(parameters: list[Tensor]) -> list[list[Tensor]]:
    """Matrices of one shape together, to be one stack; where they are sharded, no more than may be gathered."""
    shapes: dict[torch.Size, list[Tensor]] = {}
    for parameter in parameters:
        shapes.setdefault(parameter.shape, []).append(parameter)
    stacks = []
    for same in shapes.values():
        most = max(1, MOST_GATHERED // same[0].numel()) if is_divided(same[0]) else len(same)
        stacks += [same[start : start + most] for start in range(0, len(same), most)]
    return stacks
