"""The goldens: a float64 forward in NumPy that shares nothing with the model of train.py, and the files it fills.

    python training/golden.py dyt --weights <folder with model.safetensors> --out <folder>
"""

import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from files import EPS, HEADS, ROPE_THETA, read_safetensors, write_safetensors
from tokens import MODEL, ROOT, Tokenizer


HELD_OUT = ROOT / "test/golden/held-out.bin"

erf = np.vectorize(math.erf, otypes=[np.float64])


def center(x, axis):
    d = x - x.mean(axis, keepdims=True)
    return d / np.sqrt((d * d).mean(axis, keepdims=True) + EPS)


def batchnorm(x, p):
    return (x - p["running_mean"]) / np.sqrt(p["running_var"] + EPS)


# The norms before gamma and beta: x [T, C] and the site's parameters to [T, C].
NORMS = {
    "layernorm": lambda x, p: center(x, -1),
    "rmsnorm": lambda x, p: x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS),
    "instancenorm": lambda x, p: center(x, 0),
    "batchnorm": batchnorm,
    "none": lambda x, p: x,
    "dyt": lambda x, p: np.tanh(p["alpha"] * x),
    "derf": lambda x, p: erf(p["alpha"] * x + p["shift"]),
    "dyisru": lambda x, p: x / np.sqrt(p["b"] + x * x),
}


class Swap(NamedTuple):
    """Another norm at every site; the site's own parameters stay, `defaults` are those that the new norm lacks."""

    case: str
    norm: str
    defaults: dict[str, float]


SWAPS = {
    "layernorm": [
        Swap("swap-rmsnorm", "rmsnorm", {}),
        Swap("swap-none", "none", {}),
        Swap("swap-instancenorm", "instancenorm", {}),
        Swap("swap-dyt-1.0", "dyt", {"alpha": 1.0}),
        Swap("swap-dyt-0.5", "dyt", {"alpha": 0.5}),
        Swap("swap-derf-1.0", "derf", {"alpha": 1.0, "shift": 0.0}),
        Swap("swap-dyisru-1.0", "dyisru", {"b": 1.0}),
    ],
    "dyt": [Swap("swap-layernorm", "layernorm", {}), Swap("swap-derf", "derf", {"shift": 0.0})],
}
PROMPTS = {
    "p0": "Omeed likes to eat potatoes",
    "p1": "Once upon a time there lived a king who had three daughters.",
    "p2": '"Who are you?" said the wolf',
}
SWAP_PROMPT = "p1"
INNER = "p0"


class Gpt:
    """The forward of one twin; a call fills `sites` and `entropy` (statistics) and `inner` (intermediates)."""

    def __init__(self, weights: dict[str, np.ndarray], norm: str, defaults: dict[str, float] | None = None):
        self.w = {name: w.astype(np.float64) for name, w in weights.items()}
        self.norm, self.defaults = norm, defaults or {}
        self.layers = sum(name.endswith("c_attn.weight") for name in weights)

    def linear(self, name, x):
        return x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", 0.0)

    def site(self, name, x):
        own = {key.rpartition(".")[2]: w for key, w in self.w.items() if key.startswith(f"{name}.")}
        y = NORMS[self.norm](x, self.defaults | own) * own["weight"] + own.get("bias", 0.0)
        self.sites[name] = {
            "inMean": x.mean(-1),
            "inStd": x.std(-1),
            "inAbsMax": np.abs(x).max(-1),
            "outRms": np.sqrt((y * y).mean(-1)),
        }
        return y

    def attention(self, qkv):
        """Causal attention with rotary positions: [T, 3C] to [T, C]; adds its entropy in nats, [H, T]."""
        T, D = len(qkv), qkv.shape[1] // (3 * HEADS)
        q, k, v = qkv.reshape(T, 3, HEADS, D).transpose(1, 2, 0, 3)
        angle = np.arange(T)[:, None] / ROPE_THETA ** (np.arange(0, D, 2) / D)
        turn = np.exp(1j * angle)

        def rotate(x):
            z = (x[..., : D // 2] + 1j * x[..., D // 2 :]) * turn
            return np.concatenate([z.real, z.imag], -1)

        scores = rotate(q) @ rotate(k).transpose(0, 2, 1) / math.sqrt(D)
        scores = np.where(np.tril(np.ones((T, T), bool)), scores, -np.inf)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p = p / p.sum(-1, keepdims=True)
        self.entropy.append(-(p * np.log(np.where(p > 0, p, 1))).sum(-1))
        return (p @ v).transpose(1, 0, 2).reshape(T, -1)

    def __call__(self, tokens) -> np.ndarray:
        """Tokens [T] to logits [T, V]; leaves `sites`, `inner` and `entropy` of this call behind."""
        self.sites, self.inner, self.entropy = {}, {}, []
        x = self.inner["embed"] = self.w["wte.weight"][tokens]
        for layer in range(self.layers):
            h = f"h.{layer}"
            normed = self.inner[f"{h}.ln_1"] = self.site(f"{h}.ln_1", x)
            qkv = self.inner[f"{h}.attn.c_attn"] = self.linear(f"{h}.attn.c_attn", normed)
            heads = self.inner[f"{h}.attn.heads"] = self.attention(qkv)
            x = self.inner[f"{h}.resid_mid"] = x + self.linear(f"{h}.attn.c_proj", heads)
            normed = self.inner[f"{h}.ln_2"] = self.site(f"{h}.ln_2", x)
            u = self.linear(f"{h}.mlp.c_fc", normed)
            gelu = self.inner[f"{h}.mlp.gelu"] = 0.5 * u * (1 + np.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
            x = self.inner[f"{h}.resid"] = x + self.linear(f"{h}.mlp.c_proj", gelu)
        self.inner["resid_final"] = x
        normed = self.inner["ln_f"] = self.site("ln_f", x)
        return self.linear("lm_head", normed)

    def greedy(self, tokens: list[int], count: int) -> list[int]:
        """The `count` likeliest next tokens, the whole prefix run again for each."""
        sequence = list(tokens)
        for _ in range(count):
            sequence.append(int(self(sequence)[-1].argmax()))
        return sequence[len(tokens) :]

    def losses(self, windows: np.ndarray) -> list[float]:
        """Mean cross-entropy in nats of each window [n + 1 tokens]: n inputs, n predictions."""
        result = []
        for window in windows:
            logits = self(window[:-1])
            top = logits.max(-1)
            log_sum = top + np.log(np.exp(logits - top[:, None]).sum(-1))
            result.append(float((log_sum - logits[np.arange(len(logits)), window[1:]]).mean()))
        return result


def is_kept(name: str) -> bool:
    """Goldens hold the first block's intermediates and the ends."""
    return not name.startswith("h.") or name.startswith("h.0.")


def rounded(values, digits):
    return [round(float(value), digits) for value in values]


def golden(norm: str, weights: dict[str, np.ndarray], tokenizer: Tokenizer) -> tuple[dict, dict[str, np.ndarray]]:
    """What golden.json says and golden.safetensors holds of the twin trained with `norm`."""
    cases, tensors = [], {}

    def case(name, prompt, norm, defaults, kind, count):
        model = Gpt(weights, norm, defaults)
        tokens = tokenizer.encode(PROMPTS[prompt])
        tensors[f"{name}.logits"] = model(tokens)
        tensors[f"{name}.entropy"] = np.stack(model.entropy)
        sites = {id: {key: rounded(v, 6) for key, v in site.items()} for id, site in model.sites.items()}
        if name == INNER:
            tensors.update({f"{name}.{key}": x for key, x in model.inner.items() if is_kept(key)})
        greedy = model.greedy(tokens, count)
        cases.append(
            {
                "name": name,
                "tokens": tokens,
                "norm": norm,
                "weights": kind,
                "defaults": defaults,
                "greedy": greedy,
                "greedyText": tokenizer.decode(greedy),
                "sites": sites,
            }
        )

    for prompt in PROMPTS:
        case(prompt, prompt, norm, {}, "native", 24)
    for swap in SWAPS.get(norm, []):
        case(swap.case, SWAP_PROMPT, swap.norm, swap.defaults, "raw swap", 8)
    each = Gpt(weights, norm).losses(np.fromfile(HELD_OUT, "<u2").reshape(16, -1))
    said = {
        "model": norm,
        "dtype": "weights as stored (f16 matrices), arithmetic float64",
        "cases": cases,
        "heldOutLoss": {
            "windows": "16 windows of 256 tokens of validation.bin, starting at 4600*w",
            "mean": float(np.mean(each)),
            "each": rounded(each, 5),
        },
    }
    return said, {name: tensor.astype("<f4") for name, tensor in tensors.items()}


def write_goldens(norm: str, weights: Path, out: Path) -> float:
    """Writes golden.json and golden.safetensors into `out`; returns the held-out loss in nats per token."""
    said, tensors = golden(norm, read_safetensors(weights)[0], Tokenizer())
    out.mkdir(parents=True, exist_ok=True)
    (out / "golden.json").write_text(json.dumps(said), encoding="utf-8")
    write_safetensors(out / "golden.safetensors", tensors)
    return said["heldOutLoss"]["mean"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("norm")
    parser.add_argument("--weights", type=Path, help="folder of model.safetensors (default: the app's)")
    parser.add_argument("--out", type=Path, help="folder of the goldens (default: test/golden/<norm>)")
    args = parser.parse_args()
    weights = (args.weights or MODEL / args.norm) / "model.safetensors"
    print(f"held-out loss {write_goldens(args.norm, weights, args.out or ROOT / 'test/golden' / args.norm):.6f}")
