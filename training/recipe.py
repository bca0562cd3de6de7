"""The recipe of the twins: what is equal for all, what differs, the learning rate over time, the command line."""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

from files import SITE_TENSORS

HERE = Path(__file__).resolve().parent


class Recipe(NamedTuple):
    """The part of a run that decides its numbers; written into training-log.json under these names."""

    steps: int = 1200
    lr: float = 4e-3
    bs: int = 24  # windows a batch
    warm: int = 100  # steps of linear warm-up
    wd: float = 0.1  # on matrices only
    seed: int = 1337
    alpha0: float = 1.0  # α of DyT and Derf at the start
    std: float = 0.06  # of a matrix at the start; a block's two residual projections: divided by sqrt(2 * LAYERS)
    estd: float = 0.7  # of the embedding at the start


TWINS = {
    "layernorm": Recipe(),
    "rmsnorm": Recipe(),
    "batchnorm": Recipe(),
    "none": Recipe(lr=1e-3),
    "dyt": Recipe(alpha0=2.0),
    "derf": Recipe(alpha0=1.77),
}
assert TWINS.keys() == SITE_TENSORS.keys()

LOG_EVERY, VALIDATE_EVERY = 50, 300


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine to 10 %."""
    if step < recipe.warm:
        return recipe.lr * ((step + 1) / recipe.warm)
    progress = (step - recipe.warm) / (recipe.steps - recipe.warm)
    return recipe.lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train.py", description="Train one norm twin and write the app's files.")
    parser.add_argument("norm", choices=TWINS)
    parser.add_argument("--corpus", type=Path, default=HERE / "data", help="folder of train.txt and validation.txt")
    parser.add_argument("--out", type=Path, help="folder of the run (default: training/runs/<norm>)")
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="leave after this many steps; run again to go on")
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS", help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (the twins were trained with 1)")
    parser.add_argument("--install", action="store_true", help="copy the finished twin into public/ and test/golden/")
    args = parser.parse_args(argv)
    args.out = args.out or HERE / "runs" / args.norm
    return args
