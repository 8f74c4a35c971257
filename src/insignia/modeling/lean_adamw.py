"""AdamW with small states: moments in eight bits, and bfloat16 weights that lose no update.

torchao's and bitsandbytes' optimizers were tried first: on a CPU the one takes minutes to compile, and the other rounds small
updates of bfloat16 weights away (docs/adr/0009-what-is-kept-while-a-model-is-marked.md).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["LeanAdamW"]

_BLOCK = 256  # elements that share a scale
_PIECE = {"cpu": 2**17}  # elements per piece of work, so that a CPU's cache holds it
_PIECE_ELSEWHERE = 2**24


class LeanAdamW(Optimizer):
    """AdamW (Loshchilov and Hutter 2017) over float32 or bfloat16 weights, computed in float32 piece by piece.

    ``eight_bits`` keeps both moments in eight bits with a scale for each block. bfloat16 weights are rounded stochastically, so
    small updates count on average. With ``master``, what rounding cut off is kept beside them in two bytes; together they are
    the float32 weights. Every process that has the same weights rounds them alike.
    """

    def __init__(
        self,
        weights: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        eight_bits: bool = True,
        master: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(weights, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self._eight_bits = eight_bits
        self._master = master
        self._seed = seed
        self._chance: dict[torch.device, torch.Generator] = {}  # of one step, so that a run that goes on rounds alike

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step; see ``torch.optim.Optimizer.step``."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        self._chance.clear()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(_flat(weight), _flat(weight.grad), self._state_of(weight), group)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state; torch's own would turn moments of eight bits into weights' dtype."""
        weights = [weight for group in self.param_groups for weight in group["params"]]
        stored = state_dict["state"]
        super().load_state_dict({"state": {}, "param_groups": state_dict["param_groups"]})
        for number, parts in stored.items():
            weight = weights[number]
            self.state[weight] = {
                name: part.to(_flat(weight).device) if isinstance(part, Tensor) else part for name, part in parts.items()
            }

    def _state_of(self, weight: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[weight]
        if not state:
            flat = _flat(weight)
            state["step"] = 0
            for moment, dtype in (("first", torch.int8), ("second", torch.uint8)):
                state[moment] = torch.zeros_like(flat, dtype=dtype if self._eight_bits else torch.float32)
                if self._eight_bits:
                    state[f"{moment} scale"] = torch.zeros(-(-len(flat) // _BLOCK), device=flat.device)
            if self._master and flat.dtype == torch.bfloat16:
                state["cut off"] = torch.zeros_like(flat, dtype=torch.int16)
        return state

    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        state["step"] += 1
        (keep, keep_square), rate = group["betas"], float(group["lr"])
        unbias, unbias_square = 1 - keep ** state["step"], 1 - keep_square ** state["step"]
        size = _PIECE.get(weight.device.type, _PIECE_ELSEWHERE)
        for start in range(0, len(weight), size):
            piece = slice(start, start + size)
            slope = gradient[piece].float()
            first = self._moment(state, "first", piece).lerp_(slope, 1 - keep)
            second = self._moment(state, "second", piece).mul_(keep_square).addcmul_(slope, slope, value=1 - keep_square)
            self._keep_moment(state, "first", piece, first)
            denominator = second.sqrt()
            self._keep_moment(state, "second", piece, denominator if self._eight_bits else second)
            denominator = denominator.div_(unbias_square**0.5).add_(group["eps"])
            exact = self._exact(weight[piece], state, piece).mul_(1 - rate * group["weight_decay"])
            self._round(exact.addcdiv_(first, denominator, value=-rate / unbias), weight[piece], state, piece)

    def _moment(self, state: dict[str, Any], name: str, piece: slice) -> Tensor:
        codes: Tensor = state[name][piece]
        if not self._eight_bits:
            return codes.clone()
        scale = _spread(state[f"{name} scale"], piece, len(codes))
        if name == "first":
            values = codes.float().div_(127)
            return values.div_(2 - values.abs()).mul_(scale)
        values = codes.float().div_(255)
        return values.div_(2 - values).mul_(scale).square_()

    def _keep_moment(self, state: dict[str, Any], name: str, piece: slice, values: Tensor) -> None:
        """Store a moment: of the second its root. Codes are finer near zero, by x -> 2x / (1 + |x|).

        No code of the second is 0, which would make its weight leap.
        """
        if not self._eight_bits:
            state[name][piece] = values
            return
        count = len(values)
        padded = torch.nn.functional.pad(values, (0, -count % _BLOCK)).view(-1, _BLOCK)
        state[f"{name} scale"][piece.start // _BLOCK :][: len(padded)] = padded.abs().amax(1)
        share = values / _spread(state[f"{name} scale"], piece, count).clamp_(min=1e-30)
        share = share.mul_(2).div_(1 + share.abs() / 2)
        state[name][piece] = (share.mul_(127).round_() if name == "first" else share.mul_(255).round_().clamp_(min=1)).to(
            state[name].dtype
        )

    def _exact(self, weight: Tensor, state: dict[str, Any], piece: slice) -> Tensor:
        exact = weight.to(torch.float32, copy=True)
        if "cut off" in state:
            exact.view(torch.int32).add_(state["cut off"][piece])
        return exact

    def _round(self, exact: Tensor, weight: Tensor, state: dict[str, Any], piece: slice) -> None:
        if weight.dtype != torch.bfloat16:
            weight.copy_(exact)
            return
        bits = exact.view(torch.int32)
        if "cut off" in state:
            # Half up in the bits, so that the rest always fits in two bytes.
            rounded = (bits + 2**15) & -(2**16)
            state["cut off"][piece] = (bits - rounded).to(torch.int16)
            weight.copy_(rounded.view(torch.float32))
            return
        if exact.device not in self._chance:
            self._chance[exact.device] = torch.Generator(exact.device).manual_seed(self._seed + state["step"])
        chance = self._chance[exact.device]
        bits += torch.randint(2**16, bits.shape, generator=chance, device=exact.device, dtype=torch.int32)
        bits &= -(2**16)
        weight.copy_(exact)


def _flat(tensor: Tensor) -> Tensor:
    """The elements that this process has, as a vector that shares their memory."""
    local = getattr(tensor, "to_local", None)
    values: Tensor = tensor if local is None else local()
    return values.detach().view(-1)


def _spread(scales: Tensor, piece: slice, count: int) -> Tensor:
    """The scale of each element of a piece, which begins at a block."""
    first: int = piece.start // _BLOCK
    return scales[first : first + -(-count // _BLOCK)].repeat_interleave(_BLOCK)[:count]
