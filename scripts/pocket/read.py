"""Read each source: image bytes with the sentences that belong to them."""

import csv
import io
import json
import random
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .fetch import blobs, files, folder, text
from .places import DATASETS, EXCLUDE, SEED
from .sources import SOURCES, Source
from .wordnet import WordNet

BY_NAME = {source.name: source for source in SOURCES}

# COCO's labels in the alphabetical order of its own names, as the columns of the label files have
# them (found by comparing with the captions of val 2017).
COCO = [
    "airplane",
    "apple",
    "backpack",
    "banana",
    "baseball bat",
    "baseball glove",
    "bear",
    "bed",
    "bench",
    "bicycle",
    "bird",
    "boat",
    "book",
    "bottle",
    "bowl",
    "broccoli",
    "bus",
    "cake",
    "car",
    "carrot",
    "cat",
    "cell phone",
    "chair",
    "clock",
    "couch",
    "cow",
    "cup",
    "dining table",
    "dog",
    "donut",
    "elephant",
    "fire hydrant",
    "fork",
    "frisbee",
    "giraffe",
    "hair dryer",
    "handbag",
    "horse",
    "hot dog",
    "computer keyboard",
    "kite",
    "knife",
    "laptop",
    "microwave",
    "motorcycle",
    "computer mouse",
    "orange",
    "oven",
    "parking meter",
    "person",
    "pizza",
    "potted plant",
    "refrigerator",
    "remote control",
    "sandwich",
    "scissors",
    "sheep",
    "sink",
    "skateboard",
    "skis",
    "snowboard",
    "spoon",
    "ball",
    "stop sign",
    "suitcase",
    "surfboard",
    "teddy bear",
    "tennis racket",
    "tie",
    "toaster",
    "toilet",
    "toothbrush",
    "traffic light",
    "train",
    "truck",
    "television",
    "umbrella",
    "vase",
    "wine glass",
    "zebra",
]
SCENES = {
    "buildings": ("buildings", "a city with buildings", "a building"),
    "forest": ("a forest", "trees in a forest", "the woods"),
    "glacier": ("a glacier", "ice and snow in the mountains", "a snowy mountain"),
    "mountain": ("a mountain", "mountains", "a mountain landscape"),
    "sea": ("the sea", "the ocean", "a view of the sea"),
    "street": ("a street", "a street in a city", "a road between buildings"),
}
CLOTHES = {
    "Blazer": "blazer",
    "Blouse": "blouse",
    "Body": "baby bodysuit",
    "Dress": "dress",
    "Hat": "hat",
    "Hoodie": "hoodie",
    "Longsleeve": "long-sleeved shirt",
    "Outwear": "jacket",
    "Pants": "pair of trousers",
    "Polo": "polo shirt",
    "Shirt": "shirt",
    "Shoes": "pair of shoes",
    "Shorts": "pair of shorts",
    "Skirt": "skirt",
    "T-Shirt": "t-shirt",
    "Top": "top",
    "Undershirt": "undershirt",
}
BRANDS = {"Bravo", "God-Morgon", "Tropicana", "Arla", "Garant", "Alpro", "Yoggi", "Valio", "Oatly"}


# Clip art that shows no thing.
USELESS = re.compile(
    r"duplicates|patterns|gradients|flowchart|computer/icons|stars/|jigsaw|map_sym"
)


@dataclass(frozen=True)
class Example:
    """An image as its source has it, its sentences, and a noun phrase of what it shows, if any."""

    key: str
    image: bytes
    sentences: tuple[str, ...]
    thing: str = ""


def article(noun: str) -> str:
    """Return a noun with "a" or "an" before it."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def examples(name: str) -> Iterator[Example]:
    """Yield the images of a source, at most as many as its limit."""
    if name not in EXCLUDE:
        yield from READERS[name](BY_NAME[name])


def _drawn(source: Source, names: list[str]) -> list[str]:
    """Return as many names as the source's limit allows, by the seed, in their own order."""
    if not source.limit or len(names) <= source.limit:
        return names
    generator = random.Random(f"{SEED} {source.name}")
    return sorted(generator.sample(names, source.limit))


def _flickr8k(source: Source) -> Iterator[Example]:
    root = DATASETS / "flickr8k"
    with (root / "train.jsonl").open() as lines:
        for line in map(json.loads, lines):
            captions = tuple(clean(caption) for caption in line["captions"])
            yield Example(line["image"], (root / line["image"]).read_bytes(), captions)


def _cc(source: Source) -> Iterator[Example]:
    images = files(source, (".jpg",), "data/")
    texts = files(source, (".txt",), "data/")
    keys = [path for path in sorted(images) if path[:-3] + "txt" in texts]
    sentences = list(blobs(source, [texts[key[:-3] + "txt"] for key in keys]))
    for key, image, sentence in zip(
        keys, blobs(source, [images[key] for key in keys]), sentences, strict=True
    ):
        yield Example(key, image, (clean(sentence.decode("utf-8", "replace")),))


def coco_labels() -> dict[int, list[str]]:
    """Return the labels of COCO 2014's photos by id."""
    source = BY_NAME["coco_labels"]
    if source.name in EXCLUDE:
        return {}
    found = {}
    parts = [f"test/{part}{number}.txt" for part in ("database", "test") for number in range(8)]
    for path in ("train.txt", *parts):
        for line in text(source, f"caffe/data/coco/{path}").splitlines():
            name, *flags = line.split()
            labels = [COCO[i] for i, flag in enumerate(flags) if flag == "1"]
            found[int(name[-16:-4])] = labels
    return found


def coco_captions() -> dict[int, list[str]]:
    """Return the human captions of COCO val 2017's photos by id."""
    source = BY_NAME["coco_captions"]
    if source.name in EXCLUDE:
        return {}
    found: dict[int, list[str]] = {}
    for one in json.loads(text(source, "annotations/captions_val2017.json"))["annotations"]:
        found.setdefault(one["image_id"], []).append(clean(one["caption"]))
    return found


def _coco(source: Source) -> Iterator[Example]:
    generator = random.Random(f"{SEED} coco")
    labels, captions = coco_labels(), coco_captions()
    images = {
        path: blob for path, blob in files(source, (".jpg",), "data/").items() if "resized" in path
    }
    keys = sorted(images)
    for key, image in zip(keys, blobs(source, [images[key] for key in keys]), strict=True):
        number = int(key[-16:-4])
        sentences = captions.get(number, [])[:5]
        things = labels.get(number, [])
        if not sentences and things:
            sentences = [_listed(things, generator) for _ in range(4 if len(things) > 1 else 2)]
        if sentences:
            thing = things[0] if len(things) == 1 else ""
            yield Example(key, image, tuple(dict.fromkeys(sentences)), thing)


def _listed(things: list[str], generator: random.Random) -> str:
    """Return a sentence that lists labels, people first, at most four of them."""
    things = sorted(things, key=lambda thing: (thing != "person", generator.random()))[:4]
    named = [
        generator.choice(("a person", "someone", "people")) if one == "person" else
        one if one in ("skis", "scissors") else article(one)
        for one in things
    ]  # fmt: skip
    if len(named) == 1:
        return generator.choice(("a photo of {}", "{}", "a picture of {}")).format(named[0])
    return f"{', '.join(named[:-1])} {generator.choice(('and', 'with'))} {named[-1]}"


def _openclipart(source: Source) -> Iterator[Example]:
    root = folder(source) / "usr" / "share" / "openclipart"
    for path in sorted((root / "png").rglob("*.png")):
        part = path.relative_to(root / "png")
        if USELESS.search(str(part)):
            continue
        title, subjects = _about((root / "svg" / part).with_suffix(".svg"), part)
        if "flags" in part.parts:
            title = f"the flag of {title.removesuffix(' flag').removeprefix('flag of ')}"
        thing = title
        sentences = [f"a drawing of {thing}", f"clip art of {thing}", f"a cartoon of {thing}"]
        if title and subjects:
            sentences.append(f"a drawing of {', '.join(subjects[:3])}")
        yield Example(str(part), path.read_bytes(), tuple(dict.fromkeys(sentences)), thing)


def _about(svg: Path, part: Path) -> tuple[str, list[str]]:
    """Return a drawing's title and subjects in plain words."""
    title, subjects = "", []
    if svg.is_file():
        metadata = svg.read_text("utf-8", "replace")
        found = re.search(r"<dc:title>([^<]+)</dc:title>", metadata)
        title = found[1] if found else ""
        bag = re.search(r"<dc:subject>(.*?)</dc:subject>", metadata, re.S)
        subjects = re.findall(r"<rdf:li>([^<]+)</rdf:li>", bag[1]) if bag else []
    title = _words(title)
    if not title or re.search(r"\b(by|clip ?art|icons?|set|symbol signs|collection)\b", title):
        title = _words(re.sub(r"(_[a-z]+)?_+\d*_?$", "", part.stem)) or _words(part.stem)
    useless = {"unsorted", "special", "examples", "png", "svg", "clip art", "clipart", "color"}
    subjects = [word for word in map(_words, subjects) if len(word) > 2 and word not in useless]
    return title, list(dict.fromkeys(subjects))


def _words(name: str) -> str:
    """Return a file-like title as lower-case words, without numbers and authors' marks."""
    name = re.sub(r"\.svg.*$", "", name)
    name = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    name = re.sub(r"[^A-Za-z' ]+", " ", name).lower()
    words = [word for word in name.split() if len(word) > 1 or word == "a"]
    return " ".join(words[:6])


def _emoji(source: Source) -> Iterator[Example]:
    images = files(source, (".png",), "png/512/")
    keys = [path for path in sorted(images) if not re.search(r"1f3f[bcdf]", path)]
    named = [(key, name) for key in keys if (name := _code_points(key))]
    contents = blobs(source, [images[key] for key, _ in named])
    for (key, name), image in zip(named, contents, strict=True):
        sentences = (f"a drawing of {name}", f"an emoji of {name}", f"a cartoon of {name}")
        yield Example(key, image, sentences, name)


def _code_points(path: str) -> str:
    """Return the lower-case names of an emoji's code points, "" for those that say nothing."""
    names = []
    for number in path.rsplit("emoji_u", 1)[-1].removesuffix(".png").split("_"):
        try:
            name = unicodedata.name(chr(int(number, 16))).lower()
        except ValueError:
            return ""
        if any(word in name for word in ("joiner", "variation", "fitzpatrick", "keycap")):
            continue
        if any(word in name for word in ("regional indicator", "tag ", "squared", "digit")):
            return ""
        names.append({"female sign": "woman", "male sign": "man"}.get(name, name))
    return " ".join(names).replace("-", " ")


def _clothing(source: Source) -> Iterator[Example]:
    rows = csv.DictReader(io.StringIO(text(source, "images.csv")))
    labels = {
        f"images/{row['image']}.jpg": (CLOTHES[row["label"]], row["kids"] == "True")
        for row in rows
        if row["label"] in CLOTHES
    }
    images = files(source, (".jpg",), "images/")
    keys = _drawn(source, sorted(set(images) & set(labels)))
    for key, image in zip(keys, blobs(source, [images[key] for key in keys]), strict=True):
        label, kids = labels[key]
        sentences = [f"a photo of {article(label)}", article(label), f"{article(label)} lying flat"]
        if kids:
            sentences.append(f"a child's {label.removeprefix('baby ')}")
        yield Example(key, image, tuple(sentences), label)


def _grocery(source: Source) -> Iterator[Example]:
    classes = {
        row["Class ID (int)"]: (row["Class Name (str)"], row["Coarse Class Name (str)"])
        for row in csv.DictReader(io.StringIO(text(source, "dataset/classes.csv")))
    }
    listed = {}
    for line in text(source, "dataset/train.txt").splitlines():
        path, number, _ = line.split(", ")
        listed[f"dataset/{path}"] = classes[number]
    images = files(source, (".jpg",), "dataset/train/")
    keys = _drawn(source, sorted(set(images) & set(listed)))
    for key, image in zip(keys, blobs(source, [images[key] for key in keys]), strict=True):
        fine, coarse = listed[key]
        for brand in BRANDS:
            fine = fine.removeprefix(f"{brand}-")
        fine, coarse = fine.replace("-", " ").lower(), coarse.replace("-", " ").lower()
        full = fine if coarse.split()[-1] in fine else f"{fine} {coarse}"
        sentences = (f"a photo of {article(full)}", full, f"{coarse} in a grocery store")
        yield Example(key, image, tuple(dict.fromkeys(sentences)), coarse)


def _scenes(source: Source) -> Iterator[Example]:
    images = files(source, (".jpg",), "train/")
    keys = _drawn(source, sorted(images))
    for key, image in zip(keys, blobs(source, [images[key] for key in keys]), strict=True):
        yield Example(key, image, SCENES[key.split("/")[1]])


def _blip(source: Source) -> Iterator[Example]:
    images = files(source, (".jpg",), "images/")
    listed = json.loads(text(source, "data/cleaned_data.json"))
    listed = [one for one in listed if one["image_path"] in images]
    contents = blobs(source, [images[one["image_path"]] for one in listed])
    for one, image in zip(listed, contents, strict=True):
        yield Example(one["image_path"], image, (clean(one["caption"]),))


def _imagenet(source: Source) -> Iterator[Example]:
    wordnet = WordNet()
    images = files(source, (".jpeg",))
    keys = sorted(images)
    for key, image in zip(keys, blobs(source, [images[key] for key in keys]), strict=True):
        synset, name = key.removesuffix(".JPEG").split("_", 1)
        names = list(dict.fromkeys((name.replace("_", " "), *wordnet.lemmas(synset))))[:4]
        sentences = tuple(f"a photo of {article(one)}" for one in names)
        yield Example(key, image, sentences, names[0])


def clean(sentence: str) -> str:
    """Return a caption without the spaces before its punctuation and without a final stop."""
    sentence = re.sub(r"\s+([.,;:!?'])", r"\1", " ".join(sentence.split()))
    return sentence.strip().rstrip(".").strip()


def checksum(image: bytes) -> int:
    """Return a short checksum of an image's bytes."""
    return zlib.crc32(image)


READERS: dict[str, Callable[[Source], Iterator[Example]]] = {
    "flickr8k": _flickr8k,
    "cc": _cc,
    "coco": _coco,
    "openclipart": _openclipart,
    "emoji": _emoji,
    "clothing": _clothing,
    "grocery": _grocery,
    "scenes": _scenes,
    "blip": _blip,
    "imagenet": _imagenet,
}
