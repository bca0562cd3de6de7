"""Checks of training/: against the twins the app ships, and, where torch is installed, a few steps of training.

    CORPUS=../shared/corpus python training/test_train.py                 # all, minutes
    CORPUS=../shared/corpus python training/test_train.py TestSteps       # the smoke test, needs torch
"""

import json
import os
import tempfile
import unittest
from pathlib import Path

import numpy as np

import corpus
from files import card_with, read_safetensors, tensor_shapes, write_model, write_safetensors
from golden import PROMPTS, Gpt, golden
from recipe import HERE, TWINS, learning_rate, parse_args
from tokens import MODEL, ROOT, SEPARATOR, Tokenizer, encode_tales

try:
    import torch

    import train
except ModuleNotFoundError:
    torch = None

CORPUS = Path(os.environ.get("CORPUS", HERE / "data"))
has_corpus = unittest.skipUnless((CORPUS / "train.txt").exists(), f"no train.txt in {CORPUS}")
has_torch = unittest.skipUnless(torch, "torch is not installed")


def shipped_log(norm: str) -> list[dict]:
    return json.loads((MODEL / norm / "training-log.json").read_text())["log"]


def shipped_weights(norm: str) -> dict[str, np.ndarray]:
    return read_safetensors(MODEL / norm / "model.safetensors")[0]


class TestFiles(unittest.TestCase):
    def test_a_twin_is_written_as_it_was_read(self):
        for norm in TWINS:
            with self.subTest(norm), tempfile.TemporaryDirectory() as folder:
                shipped, out = MODEL / norm, Path(folder)
                weights, metadata = read_safetensors(shipped / "model.safetensors")
                self.assertEqual({name: list(w.shape) for name, w in weights.items()}, tensor_shapes(norm))
                self.assertEqual(metadata, {"format": "pt", "norm": norm})
                write_safetensors(out / "again", weights, metadata)
                self.assertEqual((out / "again").read_bytes(), (shipped / "model.safetensors").read_bytes())
                as_trained = {name: w.astype(np.float32) for name, w in weights.items()}
                write_model(norm, as_trained, {}, out)
                self.assertEqual((out / "config.json").read_bytes(), (shipped / "config.json").read_bytes())
                again = read_safetensors(out / "model.safetensors")[0]
                self.assertTrue(all(np.array_equal(again[name], w) for name, w in weights.items()))
                self.assertEqual(again["wte.weight"].dtype, np.float16)

    def test_a_twin_with_a_missing_tensor_is_refused(self):
        weights = shipped_weights("dyt")
        del weights["ln_f.alpha"]
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(ValueError):
            write_model("dyt", weights, {}, Path(folder))

    def test_the_card_stays_as_it_is_for_the_same_twin(self):
        text = (MODEL / "model.json").read_text()
        card = json.loads(text)
        for norm, twin in card["twins"].items():
            same = card_with(card, norm, MODEL / norm / "model.safetensors", twin["heldOutLoss"])
            self.assertEqual(json.dumps(same, indent=2, ensure_ascii=False) + "\n", text)


class TestGolden(unittest.TestCase):
    def test_goldens_come_out_as_they_are(self):
        for norm in TWINS:
            with self.subTest(norm), tempfile.TemporaryDirectory() as folder:
                shipped = ROOT / "test/golden" / norm
                said, tensors = golden(norm, shipped_weights(norm), Tokenizer())
                expected = json.loads((shipped / "golden.json").read_text())
                mean = expected["heldOutLoss"].pop("mean")
                self.assertAlmostEqual(said["heldOutLoss"].pop("mean"), mean, delta=1e-12)
                self.assertEqual(said, expected)
                path = Path(folder) / "golden.safetensors"
                write_safetensors(path, tensors)
                self.assertEqual(path.read_bytes(), (shipped / "golden.safetensors").read_bytes())


class TestRecipe(unittest.TestCase):
    def test_the_recipes_are_those_of_the_logs(self):
        for norm, recipe in TWINS.items():
            log = json.loads((MODEL / norm / "training-log.json").read_text())
            self.assertEqual(recipe._asdict(), log["recipe"])

    def test_learning_rate(self):
        recipe = TWINS["dyt"]
        self.assertAlmostEqual(learning_rate(recipe, 0), 4e-5)
        self.assertAlmostEqual(learning_rate(recipe, 99), 4e-3)
        self.assertAlmostEqual(learning_rate(recipe, 650), 0.55 * 4e-3)
        self.assertAlmostEqual(learning_rate(recipe, 1199), 4e-4, delta=1e-7)

    def test_arguments(self):
        args = parse_args(["dyt", "--stop-at", "101"])
        self.assertEqual((args.norm, args.stop_at, args.threads), ("dyt", 101, 1))
        self.assertEqual(args.out, HERE / "runs/dyt")

    @has_corpus
    def test_validation_batches_without_torch(self):
        """torch.randint on a CPU is MT19937 modulo the range: the windows behind the last `val` of the log."""
        norm = "layernorm"
        stream = encode_tales((CORPUS / "validation.txt").read_text(), Tokenizer())
        draws = np.random.RandomState(7).randint(0, 2**32, 240, dtype=np.uint32)
        windows = np.stack([stream[i : i + 257] for i in draws % (len(stream) - 257)])
        loss = np.mean(Gpt(shipped_weights(norm), norm).losses(windows))
        self.assertAlmostEqual(loss, shipped_log(norm)[-1]["val"], delta=1e-5)


class TestCorpus(unittest.TestCase):
    def test_cleaning(self):
        long = "Once upon a time there lived a king. " * 20
        book = (
            "\ufeffHeader\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\nThe M\u00e4rchen\n\n"
            f"THE KING\n\n[Illustration: a\nking]\n\n{long}\n\n\u2018Oh,\u2019 said\n_he_.\n\nShe said:\n\n* * *\n\n"
            f"II\n\ntoo short\n\n{'BE BOLD, ' * 10}\n\n{long}\n\n*** END OF THE PROJECT"
        )
        told = " ".join(long.split())
        bold = ("BE BOLD, " * 10).strip()
        self.assertEqual(corpus.tales(book), [f"{told}\n'Oh,' said he.", f"{bold}\n{told}"])

    def test_split(self):
        train_tales, held_out = corpus.split([str(i) for i in range(464)])
        self.assertEqual((len(train_tales), len(held_out), held_out[:3]), (441, 23, ["2", "5", "41"]))

    @has_corpus
    def test_the_corpus_gives_its_binaries(self):
        texts = [(CORPUS / f"{name}.txt").read_text() for name in ("train", "validation")]
        hashes = {name: corpus.sha256(data) for name, data in corpus.corpus_files(*texts).items()}
        self.assertEqual(hashes, corpus.SHA256)
        self.assertEqual(len(texts[0].split(SEPARATOR)), 441)


@has_torch
class TestModel(unittest.TestCase):
    def test_the_models_logits_are_the_goldens(self):
        for norm, recipe in TWINS.items():
            with self.subTest(norm), torch.no_grad():
                weights = shipped_weights(norm)
                model = train.Gpt(norm, recipe).double().eval()
                state = {name: torch.from_numpy(w.astype(np.float64)) for name, w in weights.items()}
                missing = model.load_state_dict(state, strict=False)
                self.assertEqual(missing.unexpected_keys, [])
                self.assertTrue(all(key.endswith("num_batches_tracked") for key in missing.missing_keys))
                tokens = Tokenizer().encode(PROMPTS["p1"])
                logits = model(torch.tensor([tokens]))[0].numpy()
                np.testing.assert_allclose(logits, Gpt(weights, norm)(tokens), atol=1e-4)  # the RoPE tables are f32


@has_torch
@has_corpus
class TestSteps(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        cls.streams = [train.read_stream(CORPUS, name) for name in ("train", "validation")]

    def test_the_first_step_is_that_of_the_log(self):
        for norm, recipe in TWINS.items():
            with self.subTest(norm):
                run, expected = train.Run(norm, recipe), shipped_log(norm)[0]
                self.assertAlmostEqual(run.train_step(*self.streams), expected["train"], delta=2e-3)
                self.assertAlmostEqual(run.log[0]["gn"], expected["gn"], delta=0.02)
                self.assertAlmostEqual(run.log[0]["val"], expected["val"], delta=2e-3)
                np.testing.assert_allclose(run.log[0]["alphas"], expected["alphas"], atol=1e-5)
                self.assertEqual(len(run.log[0]["sigmas"]), 13)

    def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(self):
        with tempfile.TemporaryDirectory() as folder:
            path, recipe = Path(folder) / "checkpoint.pt", TWINS["dyt"]
            whole, stopped = train.Run("dyt", recipe), train.Run("dyt", recipe)
            for run, steps in ((whole, 4), (stopped, 2)):
                for _ in range(steps):
                    run.train_step(*self.streams)
            stopped.save(path)
            resumed = train.Run("dyt", recipe)
            resumed.load(path)
            for _ in range(2):
                resumed.train_step(*self.streams)
            self.assertEqual((resumed.step, len(resumed.log)), (4, 1))
            for name, tensor in whole.tensors().items():
                np.testing.assert_array_equal(tensor, resumed.tensors()[name], name)


@has_torch
@has_corpus
class TestLog(unittest.TestCase):
    def test_losses_at_steps_50_and_100_are_those_of_the_log(self):
        torch.set_num_threads(1)
        streams = [train.read_stream(CORPUS, name) for name in ("train", "validation")]
        for norm in ("layernorm", "dyt"):
            run, expected = train.Run(norm, TWINS[norm]), shipped_log(norm)
            for _ in range(101):
                run.train_step(*streams)
            for ours, theirs in zip(run.log[1:], expected[1:3], strict=True):
                with self.subTest(norm, step=theirs["step"]):
                    self.assertAlmostEqual(ours["train"], theirs["train"], delta=0.02)


if __name__ == "__main__":
    unittest.main()
