"""The app's files: config.json, model.safetensors, and a twin's entry in the card model.json."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from tokens import MODEL, ROOT

LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY = 6, 4, 128, 256, 2048
EPS, ROPE_THETA = 1e-5, 10_000.0

DTYPES = {"F32": "<f4", "F16": "<f2"}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}

# What each norm stores at a site, with its shape.
GAMMA, BETA = {"weight": [WIDTH]}, {"bias": [WIDTH]}
SITE_TENSORS = {
    "layernorm": GAMMA | BETA,
    "rmsnorm": GAMMA,
    "batchnorm": GAMMA | BETA | {"running_mean": [WIDTH], "running_var": [WIDTH]},
    "none": GAMMA | BETA,
    "dyt": GAMMA | BETA | {"alpha": [1]},
    "derf": GAMMA | BETA | {"alpha": [1], "shift": [1]},
}


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors by name as stored (F16 or F32), and the metadata."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, info in header.items():
        begin, end = info["data_offsets"]
        tensors[name] = np.frombuffer(data[start + begin : start + end], DTYPES[info["dtype"]]).reshape(info["shape"])
    return tensors, metadata


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """The bytes the safetensors library writes: wide types first, then by name, header padded with spaces."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    chunks, offset = [], 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        data = np.ascontiguousarray(tensor).tobytes()
        offsets = [offset, offset + len(data)]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(chunks))


def tensor_shapes(norm: str) -> dict[str, list[int]]:
    """Every tensor of a twin's model.safetensors with its shape; matrices are out x in."""
    C, V = WIDTH, VOCABULARY
    shapes = {"wte.weight": [V, C], "lm_head.weight": [V, C]}
    sites = ["ln_f"]
    for layer in range(LAYERS):
        h = f"h.{layer}"
        sites += [f"{h}.ln_1", f"{h}.ln_2"]
        linears = {"attn.c_attn": (3 * C, C), "attn.c_proj": (C, C), "mlp.c_fc": (4 * C, C), "mlp.c_proj": (C, 4 * C)}
        for name, (rows, columns) in linears.items():
            shapes |= {f"{h}.{name}.weight": [rows, columns], f"{h}.{name}.bias": [rows]}
    return shapes | {f"{site}.{name}": shape for site in sites for name, shape in SITE_TENSORS[norm].items()}


def config(norm: str) -> dict[str, object]:
    return {
        "model_type": "normscope-gpt",
        "norm": norm,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_embd": WIDTH,
        "n_ctx": CONTEXT,
        "vocab_size": VOCABULARY,
        "activation": "gelu_tanh",
        "norm_eps": EPS,
        "position_embedding": "rope",
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": False,
    }


def write_model(norm: str, tensors: dict[str, np.ndarray], log: dict[str, object], out: Path) -> None:
    """config.json, model.safetensors (matrices f16, vectors f32) and training-log.json into `out`."""
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if shapes != tensor_shapes(norm):
        raise ValueError(f"Cannot write {norm}: other tensors than a {norm} twin has")
    stored = {name: tensor.astype("<f2" if tensor.ndim == 2 else "<f4") for name, tensor in tensors.items()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config(norm), indent=1), encoding="utf-8")
    write_safetensors(out / "model.safetensors", stored, {"format": "pt", "norm": norm})
    (out / "training-log.json").write_text(json.dumps(log), encoding="utf-8")


def card_with(card: dict, norm: str, weights: Path, held_out_loss: float) -> dict:
    """The card model.json with this twin's size, hash and held-out loss; everything else stays."""
    data = weights.read_bytes()
    entry = {
        "config": f"{norm}/config.json",
        "weights": {
            "path": f"{norm}/model.safetensors",
            "sizeBytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        },
        "heldOutLoss": round(held_out_loss, 6),
    }
    return card | {"twins": card["twins"] | {norm: entry}}


def install(norm: str, run: Path, held_out_loss: float, root: Path = ROOT) -> None:
    """Copies a finished run into the app and its tests: public/models, model.json, test/golden."""
    model, golden = root / MODEL.relative_to(ROOT), root / "test/golden" / norm
    places = {
        model / norm: ["config.json", "model.safetensors", "training-log.json"],
        golden: ["golden.json", "golden.safetensors"],
    }
    for folder, names in places.items():
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(run / name, folder / name)
    path = model / "model.json"
    card = card_with(json.loads(path.read_text(encoding="utf-8")), norm, run / "model.safetensors", held_out_loss)
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
