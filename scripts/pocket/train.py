"""Stage 6: train both towers. Needs the files of `gather`, and nothing else of this recipe.

    python -m pocket.train --data FOLDER --out FOLDER --seconds 420

On a GPU seven minutes do; on two CPU cores the same number of steps takes days, so take fewer
(`--batch 128 --seconds 40000`). The schedule follows the clock, so that a run ends when told, and
images are taken as their files arrive.
"""

import argparse
import copy
import json
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import augment
from .pool import SIDE, ImagePool, centred, views
from .towers import ImageTower, TextTower, sentence_embeddings

# How much of a batch each source gives; what is not here yet leaves its share to the others.
SHARES = {
    "flickr8k": 0.27,
    "cc": 0.38,
    "coco": 0.12,
    "imagenet": 0.08,
    "openclipart": 0.05,
    "emoji": 0.02,
    "blip": 0.02,
    "clothing": 0.02,
    "grocery": 0.02,
    "scenes": 0.02,
}
DRAWN = ("openclipart", "emoji")
# So many Flickr8k train photos take no part and tell how the run is doing.
FOLD = 300


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=420, help="overridden by DATA/end")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--phrases", type=int, default=2048, help="texts a step for the student")
    parser.add_argument("--text-seconds", type=float, default=45)
    parser.add_argument("--head-seconds", type=float, default=12)
    parser.add_argument("--begin-with", type=int, default=14_000, help="images to wait for")
    parser.add_argument("--small", type=int, default=208, help="pixels in the first part")
    parser.add_argument("--small-part", type=float, default=0.5)
    parser.add_argument("--tower-rate", type=float, default=2e-4)
    parser.add_argument("--head-rate", type=float, default=6e-4)
    parser.add_argument("--text-rate", type=float, default=4e-4)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--texts", type=int, default=0, help="only so many phrases, for tests")
    return parser.parse_args()


def say(*words: object) -> None:
    """Print with the time."""
    sys.stdout.write(f"{time.time() - BEGUN:6.1f} {' '.join(map(str, words))}\n")
    sys.stdout.flush()


BEGUN = time.time()


class Training:
    """Everything that a run holds."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen = chosen
        self.generator = random.Random(chosen.seed)
        self.numbers = np.random.default_rng(chosen.seed)
        torch.manual_seed(chosen.seed)
        with np.load(chosen.data / "texts.npz") as file:
            table = {name: file[name] for name in file.files}
        self.names = table["names"].tolist()
        self.source = table["source"]
        self.pool = ImagePool(chosen.data, len(self.source), chosen.workers)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.half = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        clip = torch.from_numpy(table["clip"].astype(np.int32))
        self.clip = clip.to(self.device)
        self.ends = self.clip.argmax(1)
        self.minilm = torch.from_numpy(table["minilm"].astype(np.int32))
        if chosen.texts:
            self.minilm = self.minilm[: chosen.texts]
        self.of_image, self.of_style = table["of_image"], table["of_style"]
        self.of_class = torch.from_numpy(table["of_class"]).long()
        self.wrong, self.sided = table["wrong"], table["sided"]
        self.drawn = np.isin(self.source, [self.names.index(n) for n in DRAWN if n in self.names])
        flickr = np.flatnonzero(self.source == self.names.index("flickr8k"))
        self.fold = self.numbers.permutation(flickr)[:FOLD]
        self.free = np.ones(len(self.source), bool)
        self.free[self.fold] = False
        self.pool.start(self.device)

        first = torch.load(
            chosen.data / "weights_text.pt", map_location=self.device, weights_only=True
        )
        self.text = TextTower(first["text"]).to(self.device)
        images = torch.load(
            chosen.data / "weights_image.pt", map_location=self.device, weights_only=True
        )
        self.image = ImageTower(images["visual"]).to(self.device)
        self.original = copy.deepcopy(self.image).requires_grad_(False)
        self.classifier = {k: v.float() for k, v in images["classifier"].items()}
        self.posteriors = torch.zeros(
            (len(self.source), 1000), dtype=torch.float16, device=self.device
        )
        self.features = torch.zeros(
            (len(self.source), 1280), dtype=torch.float16, device=self.device
        )
        self.known = np.zeros(len(self.source), bool)
        self.scales = nn.Parameter(
            torch.tensor([float(first["logit_scale"]), math.log(40)], device=self.device)
        )
        say("read", len(self.clip), "texts", len(self.source), "images on", self.device)

    def end(self) -> float:
        """Return when the run has to be over."""
        told = self.chosen.data / "end"
        return float(told.read_text()) if told.is_file() else BEGUN + self.chosen.seconds

    # Texts.

    def teach(self) -> None:
        """Embed all texts with the teacher, and fit its projection to where the student is."""
        teacher = torch.load(
            self.chosen.data / "weights_teacher.pt", map_location=self.device, weights_only=True
        )
        if self.device.type == "cpu":
            teacher = {name: tensor.float() for name, tensor in teacher.items()}
        parts = []
        for ids in self.minilm.split(4096):
            ids = ids.to(self.device)
            parts.append(sentence_embeddings(teacher, ids[:, : int((ids != 0).sum(1).max())]))
        self.taught = torch.cat(parts)
        say("teacher's embeddings", tuple(self.taught.shape))
        some = torch.randperm(len(self.taught), device=self.device)[:100_000]
        with torch.no_grad():
            x = torch.cat([self.taught[some], torch.ones(len(some), 1, device=self.device)], 1)
            y = torch.cat([self.student(part) for part in some.split(8192)])
            square = x.T @ x + 1e-2 * torch.eye(x.shape[1], device=self.device)
            fitted = torch.linalg.solve(square.double(), (x.T @ y).double()).float()
        self.projection = nn.Linear(self.taught.shape[1], y.shape[1]).to(self.device)
        with torch.no_grad():
            self.projection.weight.copy_(fitted[:-1].T)
            self.projection.bias.copy_(fitted[-1])
            cosine = (self.teacher(some) * y).sum(1).mean()
        say(f"projection fitted to the student: cosine {cosine:.3f}")

    def teacher(self, texts: Tensor) -> Tensor:
        """Return the teacher's normalised embeddings in the shared space."""
        return functional.normalize(self.projection(self.taught[texts]), dim=1)

    def student(self, texts: Tensor) -> Tensor:
        """Return the student's normalised embeddings."""
        ends = self.ends[texts]
        ids = self.clip[texts, : int(ends.max()) + 1]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half != torch.float32):
            made = self.text(ids, ends)
        return functional.normalize(made.float(), dim=1)

    def imitate(self) -> None:
        """Train the student on phrases alone."""
        begun = time.time()
        until = begun + self.chosen.text_seconds
        optimiser = torch.optim.AdamW(self.text.parameters(), 1e-3, (0.9, 0.98), weight_decay=0.01)
        step, mean = 0, 0.0
        while time.time() < until:
            part = (time.time() - begun) / (until - begun)
            for group in optimiser.param_groups:
                group["lr"] = 1e-3 * min(1, (step + 1) / 100) * (1 - 0.7 * part)
            texts = torch.randint(len(self.taught), (4 * self.chosen.phrases,), device=self.device)
            with torch.no_grad():
                target = self.teacher(texts)
            loss = 10 * (1 - (self.student(texts) * target).sum(1)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            if step % 20 == 0:
                mean = float(loss.detach())
            if step % 400 == 0:
                say(f"text step {step} cosine {1 - mean / 10:.3f} images {self.pool.here.sum()}")
        say(f"text: {step} steps, cosine {1 - mean / 10:.3f}")

    # Images.

    @torch.no_grad()
    def learn_posteriors(self) -> None:
        """Take down what the untrained tower sees in the images that have come."""
        new = np.flatnonzero(self.pool.here & ~self.known)
        torch.backends.cudnn.benchmark = False
        for rows in np.array_split(new, max(1, len(new) // 512)):
            if len(rows):
                features = self.original.features(self.clean(rows))
                logits = functional.linear(
                    features, self.classifier["weight"], self.classifier["bias"]
                )
                at = torch.from_numpy(rows).to(self.device)
                self.posteriors[at] = logits.half()
                self.features[at] = features.half()
        self.known[new] = True
        torch.backends.cudnn.benchmark = True

    def clean(self, rows: np.ndarray, side: int = SIDE) -> Tensor:
        """Return images as the model's preprocessing makes them."""
        at = torch.from_numpy(rows).to(self.device)
        aspects = torch.from_numpy(self.pool.aspects[rows]).to(self.device)
        return self._shaped(views(self.pool.pixels[at], centred(aspects), side))

    def _shaped(self, pixels: Tensor) -> Tensor:
        # Not channels last: tuning its depthwise convolutions takes minutes.
        return (pixels * 2 - 1).to(self.half).contiguous()

    def draw(self) -> np.ndarray:
        """Return the rows of a batch."""
        rows = []
        available = self.known & self.free
        by_source = {}
        for name, share in SHARES.items():
            if name in self.names:
                here = np.flatnonzero(available & (self.source == self.names.index(name)))
                if len(here):
                    by_source[name] = (share, here)
        total = sum(share for share, _ in by_source.values())
        for share, here in by_source.values():
            count = min(len(here), round(self.chosen.batch * share / total))
            rows.append(self.numbers.choice(here, count, replace=False))
        drawn = np.concatenate(rows)[: self.chosen.batch]
        if len(drawn) < self.chosen.batch:  # Always as many, so that convolutions are tuned once.
            more = np.flatnonzero(available)
            missing = self.chosen.batch - len(drawn)
            drawn = np.append(drawn, self.numbers.choice(more, missing, len(more) < missing))
        return drawn

    def batch(self, rows: np.ndarray, side: int) -> tuple[Tensor, np.ndarray]:
        """Return augmented images and a text for each."""
        listed = self.of_image[rows]
        counts = (listed >= 0).sum(1)
        texts = listed[np.arange(len(rows)), (self.numbers.random(len(rows)) * counts).astype(int)]
        style = np.full(len(rows), -1)
        can = (self.of_style[rows, 0] >= 0) & (self.numbers.random(len(rows)) < 0.25)
        can |= self.drawn[rows] & (self.numbers.random(len(rows)) < 0.2)
        chosen = self.numbers.choice(3, len(rows), p=[0.45, 0.3, 0.25])
        chosen[self.drawn[rows]] = 0
        style[can] = chosen[can]
        named = can & ~self.drawn[rows] & (self.numbers.random(len(rows)) < 0.6)
        texts[named] = self.of_style[rows[named], style[named]]
        order = np.argsort(style, kind="stable")
        rows, texts, style = rows[order], texts[order], style[order]
        self.rows = rows
        at = torch.from_numpy(rows).to(self.device)
        aspects = torch.from_numpy(self.pool.aspects[rows]).to(self.device)
        mirror = torch.from_numpy(~self.sided[texts]).to(self.device)
        with torch.no_grad():
            pixels = views(self.pool.pixels[at], augment.boxes(aspects, 0.4, mirror), side)
            plain = int((style < 0).sum())
            parts = [augment.coloured(pixels[:plain])]
            soft = plain // 6
            some = torch.randperm(plain, device=self.device)[:soft]
            parts[0][some] = augment.blurred(parts[0][some], self.generator.uniform(0.5, 1.0))
            for number, make in enumerate(augment.STYLES):
                where = np.flatnonzero(style == number)
                for half in np.array_split(where, 2):
                    if len(half):
                        parts.append(make(pixels[half[0] : half[-1] + 1], self.generator))
            return self._shaped(torch.cat(parts)), texts

    def losses(self, pixels: Tensor, texts: np.ndarray) -> dict[str, Tensor]:
        """Return the terms of the loss of one batch, weighted."""
        count = len(texts)
        ids = torch.from_numpy(texts).long().to(self.device)
        wrong = self.wrong[texts]
        wrong = torch.from_numpy(wrong[wrong >= 0][:256]).long().to(self.device)
        named = self._some_names()
        phrases = torch.randint(len(self.taught), (self.chosen.phrases,), device=self.device)

        features = self.image.features(pixels)
        seen = functional.normalize(self.image.head(functional.dropout(features, 0.1)), dim=1)
        said = self.student(torch.cat([ids, named, wrong]))
        said, classes, wrong = said.split([count, len(named), len(wrong)])
        imitated = self.student(phrases)
        taught = self.teacher(torch.cat([ids, named]))
        taught, taught_classes = taught.split([count, len(named)])

        raw = self.taught[ids]
        with torch.no_grad():
            target = ((raw @ raw.T) / 0.07).softmax(1)
        scale, class_scale = self.scales.exp().clamp(max=100)

        def contrast(text: Tensor, extra: Tensor | None = None) -> Tensor:
            logits = scale * seen @ text.T
            wide = logits if extra is None else torch.cat([logits, scale * seen @ extra.T], 1)
            forth = -(target * wide.log_softmax(1)[:, :count]).sum(1).mean()
            back = -(target * logits.T.log_softmax(1)).sum(1).mean()
            both: Tensor = (forth + back) / 2
            return both

        at = torch.from_numpy(self.rows).to(self.device)
        posterior = self.posteriors[at].float().softmax(1)

        # What the untrained tower sees in a drawing is no good name for it.
        photo = torch.from_numpy(~self.drawn[self.rows]).to(self.device).float()

        def divergence(logits: Tensor, weight: Tensor | float = 1.0) -> Tensor:
            return -((posterior * logits.log_softmax(1)).sum(1) * weight).mean()

        own = functional.linear(features, self.classifier["weight"], self.classifier["bias"])
        with torch.no_grad():
            target_phrases = self.teacher(phrases)
        together = (said * taught.detach()).sum(1).mean() + (classes * taught_classes.detach()).sum(
            1
        ).mean()
        return {
            "student": contrast(said, wrong),
            "teacher": 0.5 * contrast(taught),
            "classes": 0.25 * divergence(class_scale * seen @ classes.T, photo),
            "taught classes": 0.25 * divergence(class_scale * seen @ taught_classes.T, photo),
            "imagined": 0.15 * self.imagined_loss(512, classes, class_scale),
            "own": 0.4 * divergence(own),
            "imitation": 10 * (1 - (imitated * target_phrases).sum(1).mean()) + 2 * (2 - together),
        }

    def imagine(self, each: int = 24) -> None:
        """Make features of every class: those of photos, changed until the classifier is sure."""
        rows = self.numbers.choice(np.flatnonzero(self.known & ~self.drawn), 1000 * each)
        x = self.features[torch.from_numpy(rows).to(self.device)].float()
        wanted = torch.arange(1000, device=self.device).repeat_interleave(each)
        sure = torch.log(0.35 + 0.63 * torch.rand(len(x), 1, device=self.device))
        for _ in range(60):
            x.requires_grad_(True)
            logits = functional.linear(x, self.classifier["weight"], self.classifier["bias"])
            own = logits.log_softmax(1).gather(1, wanted[:, None])
            (slope,) = torch.autograd.grad(own.sum(), x)
            with torch.no_grad():
                step = 0.6 * slope / (slope.norm(dim=1, keepdim=True) + 1e-6)
                x = (x + step * (own < sure)).clamp(0, 6)
        logits = functional.linear(x, self.classifier["weight"], self.classifier["bias"])
        self.imagined = x.detach().half()
        self.imagined_posteriors = logits.detach().half()
        right = (logits.argmax(1) == wanted).float().mean()
        say(f"imagined features: {len(x)}, {100 * float(right):.0f} % of the class they should be")

    def imagined_loss(self, count: int, classes: Tensor, scale: Tensor) -> Tensor:
        """Return how far the head's classes of imagined features are from the classifier's."""
        some = torch.randint(len(self.imagined), (count,), device=self.device)
        x = self.imagined[some].float()
        x = x * (1 + 0.3 * torch.randn_like(x))
        seen = functional.normalize(self.image.head(functional.dropout(x, 0.2)), dim=1)
        posterior = self.imagined_posteriors[some].float().softmax(1)
        return -(posterior * (scale * seen @ classes.T).log_softmax(1)).sum(1).mean()

    def warm_head(self) -> None:
        """Train a new head on the features of the untrained tower."""
        for name, parameter in self.image.named_parameters():
            if name.startswith("head") and parameter.ndim > 1:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
            elif name.startswith("head"):
                nn.init.zeros_(parameter)
        head = [p for name, p in self.image.named_parameters() if name.startswith("head")]
        groups: list[dict[str, Any]] = [
            {"params": head},
            {"params": [*self.projection.parameters(), self.scales], "lr": 1e-4},
        ]
        optimiser = torch.optim.AdamW(
            groups,
            2e-3,
            (0.9, 0.98),
            weight_decay=0.1,
        )
        tops = [group["lr"] for group in optimiser.param_groups]
        loss = torch.zeros(())
        with torch.no_grad():
            needed = int(self.of_image.max()) + 1
            needed = max(needed, int(self.of_class.max()) + 1)
            every = torch.arange(needed, device=self.device)
            said = torch.cat([self.student(part) for part in every.split(8192)])
        begun, step = time.time(), 0
        while (part := (time.time() - begun) / self.chosen.head_seconds) < 1:
            for group, top in zip(optimiser.param_groups, tops, strict=True):
                group["lr"] = top * min(1, (step + 1) / 50) * (1 - 0.8 * part)
            rows = self.draw()
            listed = self.of_image[rows]
            counts = (listed >= 0).sum(1)
            picked = (self.numbers.random(len(rows)) * counts).astype(int)
            ids = torch.from_numpy(listed[np.arange(len(rows)), picked]).long().to(self.device)
            at = torch.from_numpy(rows).to(self.device)
            x = self.features[at].float()
            x = x * (1 + 0.4 * torch.randn_like(x))
            seen = functional.normalize(self.image.head(functional.dropout(x, 0.25)), dim=1)
            scale, class_scale = self.scales.exp().clamp(max=100)
            with torch.no_grad():
                target = ((self.taught[ids] @ self.taught[ids].T) / 0.07).softmax(1)
            named = self._some_names()
            loss = torch.zeros((), device=self.device)
            for text, classes in (
                (said[ids], said[named]),
                (self.teacher(ids), self.teacher(named)),
            ):
                logits = scale * seen @ text.T
                forth = -(target * logits.log_softmax(1)).sum(1).mean()
                back = -(target * logits.T.log_softmax(1)).sum(1).mean()
                photo = torch.from_numpy(~self.drawn[rows]).to(self.device)
                posterior = self.posteriors[at].float().softmax(1)
                named_loss = -(posterior * (class_scale * seen @ classes.T).log_softmax(1)).sum(1)
                loss = loss + (forth + back) / 4 + 0.25 * (named_loss * photo).mean()
                loss = loss + 0.25 * self.imagined_loss(512, classes, class_scale)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
        say(
            f"head: {step} steps, loss {float(loss.detach()):.2f}, "
            f"scales {self.scales.exp().tolist()}"
        )
        self.measure("new head")

    def _some_names(self) -> Tensor:
        """Return a text of each class, drawn from its names."""
        picked = torch.rand(self.of_class.shape) - (self.of_class < 0).float() * 2
        return self.of_class.gather(1, picked.argmax(1, keepdim=True))[:, 0].to(self.device)

    def run(self) -> None:
        """Train everything together."""
        while self.pool.here.sum() < self.chosen.begin_with and time.time() < self.end() - 60:
            time.sleep(0.2)
        self.learn_posteriors()
        say("posteriors of", self.known.sum())
        self.imagine()
        self.warm_head()
        optimiser = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98), fused=False, foreach=True)
        trained = [p for group in optimiser.param_groups for p in group["params"]]
        averaged = [p.detach().clone() for p in trained]
        begun, step, shown, samples = time.time(), 0, time.time(), 0
        saved = time.time()
        while (now := time.time()) < self.end():
            part = (now - begun) / (self.end() - begun)
            factor = min(1, (step + 1) / 40) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))
            for group in optimiser.param_groups:
                group["lr"] = group["top"] * factor
            if step % 10 == 0 and (self.pool.here & ~self.known).any():
                self.learn_posteriors()
            side = self.chosen.small if part < self.chosen.small_part else SIDE
            pixels, texts = self.batch(self.draw(), side)
            losses = self.losses(pixels, texts)
            optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            norm = nn.utils.clip_grad_norm_(trained, 5.0)
            optimiser.step()
            decay = min(0.99, (1 + step) / (10 + step))
            torch._foreach_lerp_(averaged, [p.detach() for p in trained], 1 - decay)
            step += 1
            samples += len(texts)
            if step % 3 == 0:
                float(norm)
            if step % 25 == 0 or step == 1:
                rate = samples / (time.time() - shown)
                shown, samples = time.time(), 0
                terms = " ".join(
                    f"{name} {float(term.detach()):.2f}" for name, term in losses.items()
                )
                scales = self.scales.detach().exp().tolist()
                say(
                    f"step {step} {100 * part:.0f}% {rate:.0f}/s known {self.known.sum()} norm"
                    f" {float(norm):.2f} scales {scales[0]:.1f} {scales[1]:.1f} {terms}"
                )
            if time.time() - saved > 60:
                with _Swapped(trained, averaged):
                    self.measure(f"step {step}")
                    self.save()
                saved = time.time()
        self.measure("last weights")
        with _Swapped(trained, averaged):
            self.measure("averaged")
            self.save()
        say("done", step, "steps")
        (self.chosen.out / "done").touch()

    def _groups(self) -> list[dict[str, object]]:
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}

        def add(parameter: nn.Parameter, rate: float) -> None:
            decay = 0.05 if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)

        for name, parameter in self.image.named_parameters():
            name = name.replace("/", ".")
            if name.startswith("head"):
                add(parameter, self.chosen.head_rate)
                continue
            stage = int(name.split(".")[2]) if ".blocks." in name else 0 if "stem" in name else 7
            if name.startswith("trunk.bn1"):
                stage = 0
            add(parameter, self.chosen.tower_rate * 0.85 ** (7 - stage))
        for parameter in self.text.parameters():
            add(parameter, self.chosen.text_rate)
        for parameter in self.projection.parameters():
            add(parameter, self.chosen.text_rate)
        add(self.scales, 3e-3)
        return [
            {"params": list(some), "lr": rate, "top": rate, "weight_decay": decay}
            for (rate, decay), some in groups.items()
        ]

    @torch.no_grad()
    def measure(self, what: str) -> None:
        """Say how well captions and photos of the fold find each other."""
        rows = self.fold[self.known[self.fold] | self.pool.here[self.fold]]
        if not len(rows):
            return
        torch.backends.cudnn.benchmark = False
        seen = functional.normalize(self.image.head(self.image.features(self.clean(rows))), dim=1)
        torch.backends.cudnn.benchmark = True
        ids = torch.from_numpy(self.of_image[rows][:, :5]).to(self.device).long()
        said = self.student(ids.clamp(min=0).flatten())
        owner = torch.arange(len(rows), device=self.device).repeat_interleave(5)
        taught = self.teacher(ids.clamp(min=0).flatten())
        figures = []
        for text in (said, taught):
            scores = text @ seen.T
            own = scores.gather(1, owner[:, None])
            figures += [100 * float(((scores > own).sum(1) < k).float().mean()) for k in (1, 5, 10)]
            best = owner[scores.argmax(0)] == torch.arange(len(rows), device=self.device)
            figures.append(100 * float(best.float().mean()))
        say(
            f"{what}: fold of {len(rows)}, captions to photos R@1/5/10 and photos to captions R@1:"
            " {:.1f} {:.1f} {:.1f} {:.1f}; teacher's text {:.1f} {:.1f} {:.1f} {:.1f}".format(
                *figures
            )
        )

    def save(self) -> None:
        """Write the towers in half precision, in files of at most 16 MB."""
        out = self.chosen.out
        out.mkdir(parents=True, exist_ok=True)
        text = {name: tensor.half().cpu() for name, tensor in self.text.state().items()}
        words = text.pop("token_embedding.weight")
        middle = len(words) // 2
        image = {name: tensor.half().cpu() for name, tensor in self.image.state().items()}
        rest = {
            "text": text,
            "words": words[middle:].clone(),
            "projection": {k: v.half().cpu() for k, v in self.projection.state_dict().items()},
            "scales": self.scales.detach().exp().tolist(),
        }
        for name, content in (("image", image), ("words", words[:middle].clone()), ("text", rest)):
            torch.save(content, out / f"{name}.part")
            (out / f"{name}.part").replace(out / f"{name}.pt")
        options = {name: str(value) for name, value in vars(self.chosen).items()}
        (out / "options.json").write_text(json.dumps(options, indent=1))


class _Swapped:
    """Let parameters hold other values for a while."""

    def __init__(self, parameters: list[nn.Parameter], values: list[Tensor]) -> None:
        self._parameters, self._values = parameters, values

    def __enter__(self) -> None:
        self._kept = [parameter.detach().clone() for parameter in self._parameters]
        with torch.no_grad():
            torch._foreach_copy_(list[Tensor](self._parameters), self._values)

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            torch._foreach_copy_(list[Tensor](self._parameters), self._kept)


def main() -> None:
    """Train as the command line says."""
    training = Training(options())
    training.teach()
    training.imitate()
    training.run()


if __name__ == "__main__":
    main()
