"""Trains one norm twin on a CPU and writes the app's files and the goldens.

    python training/train.py dyt --corpus ../shared/corpus

Seeded and resumable: the same command goes on where a stopped run was saved. The order in which modules are made and
initialized and batches are drawn is part of the recipe: every draw moves the random numbers of those after it.
"""

import json
import math
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from files import CONTEXT, EPS, HEADS, LAYERS, ROPE_THETA, VOCABULARY, WIDTH, install, write_model
from golden import write_goldens
from recipe import LOG_EVERY, TWINS, VALIDATE_EVERY, Recipe, learning_rate, parse_args
from tokens import Tokenizer, encode_tales

VALIDATION_SEED, VALIDATION_BATCHES, VALIDATION_BATCH = 7, 10, 24
CLIP_NORM = 1.0


class Affine(nn.Module):
    """gamma * x + beta: the twin "none", and the base of the others."""

    def __init__(self, alpha0: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x):
        return x * self.weight + self.bias


class LayerNorm(Affine):
    def forward(self, x):
        return F.layer_norm(x, (WIDTH,), self.weight, self.bias, EPS)


class RMSNorm(nn.Module):
    def __init__(self, alpha0: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return F.rms_norm(x, (WIDTH,), self.weight, EPS)


class BatchNorm(nn.BatchNorm1d):
    """Statistics per channel over all tokens of the batch; running ones outside training."""

    def __init__(self, alpha0: float):
        super().__init__(WIDTH, eps=EPS, momentum=0.01)

    def forward(self, x):
        return super().forward(x.flatten(0, -2)).view_as(x)


class DyT(Affine):
    """arXiv 2503.10622."""

    def __init__(self, alpha0: float):
        super().__init__(alpha0)
        self.alpha = nn.Parameter(torch.tensor([alpha0]))

    def forward(self, x):
        return torch.tanh(self.alpha * x) * self.weight + self.bias


class Derf(DyT):
    def __init__(self, alpha0: float):
        super().__init__(alpha0)
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.erf(self.alpha * x + self.shift) * self.weight + self.bias


NORMS = {
    "layernorm": LayerNorm,
    "rmsnorm": RMSNorm,
    "batchnorm": BatchNorm,
    "none": Affine,
    "dyt": DyT,
    "derf": Derf,
}


def rope_tables(T: int, D: int):
    """Cosines and sines [T, D] of the rotary positions; both halves of a head turn by the same angles."""
    frequency = 1.0 / (ROPE_THETA ** (torch.arange(0, D, 2) / D))
    angle = torch.outer(torch.arange(T), frequency)
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


COS, SIN = rope_tables(CONTEXT, WIDTH // HEADS)


def rotate(x):
    """x [..., T, D] turned by its positions: pairs are (i, i + D/2)."""
    T, half = x.shape[-2], x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * COS[:T].to(x.dtype) + turned * SIN[:T].to(x.dtype)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH)
        self.c_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = nn.Linear(WIDTH, 4 * WIDTH)
        self.c_proj = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, make_norm):
        super().__init__()
        self.ln_1 = make_norm()
        self.attn = Attention()
        self.ln_2 = make_norm()
        self.mlp = Mlp()

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """Names of modules are the names in model.safetensors."""

    def __init__(self, norm: str, recipe: Recipe):
        super().__init__()
        self.norm = NORMS[norm]
        make_norm = partial(self.norm, recipe.alpha0)
        self.wte = nn.Embedding(VOCABULARY, WIDTH)
        self.h = nn.ModuleList([Block(make_norm) for _ in range(LAYERS)])
        self.ln_f = make_norm()
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                std = {"wte.weight": recipe.estd, "lm_head.weight": 0.02}.get(name, recipe.std)
                if "proj" in name:
                    std /= math.sqrt(2 * LAYERS)
                nn.init.normal_(parameter, 0, std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def sites(self) -> list[nn.Module]:
        """The norms in the order they run."""
        return [module for module in self.modules() if type(module) is self.norm]

    def forward(self, tokens):
        """Tokens [B, T] to logits [B, T, V]."""
        x = self.wte(tokens)
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))

    def loss(self, inputs, targets):
        return F.cross_entropy(self(inputs).float().view(-1, VOCABULARY), targets.reshape(-1))


@contextmanager
def sigmas_of(model: Gpt):
    """A list that the forwards inside fill: for each site the mean over tokens of the input's sigma over channels."""
    sigmas: list[float] = []

    def note(_module, args):
        sigmas.append(args[0].detach().float().std(-1, correction=0).mean().item())

    hooks = [site.register_forward_pre_hook(note) for site in model.sites()]
    yield sigmas
    for hook in hooks:
        hook.remove()


def batch(stream, generator: torch.Generator, count: int):
    """`count` windows of CONTEXT tokens from anywhere in the stream, and the tokens that follow each."""
    starts = torch.randint(len(stream) - CONTEXT - 1, (count,), generator=generator)
    inputs = torch.stack([stream[i : i + CONTEXT] for i in starts])
    targets = torch.stack([stream[i + 1 : i + CONTEXT + 1] for i in starts])
    return inputs, targets


@torch.no_grad()
def validate(model: Gpt, stream) -> float:
    """Loss on the same VALIDATION_BATCHES batches each time, in float32."""
    model.eval()
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    losses = [model.loss(*batch(stream, generator, VALIDATION_BATCH)).item() for _ in range(VALIDATION_BATCHES)]
    model.train()
    return sum(losses) / len(losses)


class Run:
    """Everything a stopped run needs to go on as if it had not stopped."""

    def __init__(self, norm: str, recipe: Recipe):
        torch.manual_seed(recipe.seed)
        self.norm, self.recipe, self.step = norm, recipe, 0
        self.log: list[dict] = []
        self.model = Gpt(norm, recipe)
        matrices = [p for p in self.model.parameters() if p.dim() == 2]
        others = [p for p in self.model.parameters() if p.dim() != 2]
        groups = [{"params": matrices, "weight_decay": recipe.wd}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.95), fused=True)
        self.generator = torch.Generator().manual_seed(recipe.seed)

    def save(self, path: Path) -> None:
        state = {
            "identity": [self.norm, *self.recipe],
            "step": self.step,
            "log": self.log,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        if state["identity"] != [self.norm, *self.recipe]:
            raise SystemExit(f"Cannot go on from {path}: it is of another recipe; move it away to start anew")
        self.step, self.log = state["step"], state["log"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def train_step(self, train, validation) -> float:
        """One step on the stream `train`; logs it when it is its turn. Returns the loss before the step."""
        step, last = self.step, self.recipe.steps - 1
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, step)
        inputs, targets = batch(train, self.generator, self.recipe.bs)
        is_logged = step % LOG_EVERY == 0 or step == last
        watch = sigmas_of(self.model) if is_logged else nullcontext()
        with watch as sigmas, torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.model.loss(inputs, targets)
        loss.backward()
        gradient_norm = nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if is_logged:
            is_validated = step % VALIDATE_EVERY == 0 or step == last
            entry = {
                "step": step,
                "train": loss.item(),
                "val": validate(self.model, validation) if is_validated else None,
                "gn": gradient_norm.item(),
                "alphas": [p.item() for name, p in self.model.named_parameters() if name.endswith(".alpha")],
                "sigmas": sigmas,
            }
            self.log.append(entry)
            print(json.dumps(entry), flush=True)
        self.step += 1
        return loss.item()

    def tensors(self) -> dict[str, np.ndarray]:
        """What model.safetensors holds, in float32."""
        state = self.model.state_dict()
        return {name: t.numpy() for name, t in state.items() if not name.endswith("num_batches_tracked")}


def read_stream(corpus: Path, name: str):
    """The tokens of `<name>.txt` as int64 [tokens]."""
    text = (corpus / f"{name}.txt").read_text(encoding="ascii")
    return torch.from_numpy(encode_tales(text, Tokenizer()).astype(np.int64))


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    run, checkpoint = Run(args.norm, TWINS[args.norm]), args.out / "checkpoint.pt"
    if checkpoint.exists():
        run.load(checkpoint)
        print(f"going on at step {run.step}")
    train, validation = read_stream(args.corpus, "train"), read_stream(args.corpus, "validation")
    end = min(run.recipe.steps, args.stop_at or run.recipe.steps)
    started, first = time.monotonic(), run.step
    while run.step < end:
        loss = run.train_step(train, validation)
        if not math.isfinite(loss):
            raise SystemExit(f"Cannot go on: the loss is {loss} at step {run.step - 1}")
        if run.step % args.save_every == 0 or run.step == end:
            run.save(checkpoint)
            rate = (run.step - first) * run.recipe.bs * CONTEXT / (time.monotonic() - started)
            print(f"saved after {run.step} steps, {rate:.0f} tokens/s", flush=True)
    if run.step < run.recipe.steps:
        return
    write_model(args.norm, run.tensors(), {"recipe": run.recipe._asdict(), "log": run.log}, args.out)
    held_out_loss = write_goldens(args.norm, args.out / "model.safetensors", args.out)
    print(f"{args.norm}: held-out loss {held_out_loss:.4f}, files in {args.out}")
    if args.install:
        install(args.norm, args.out, held_out_loss)


if __name__ == "__main__":
    main()
