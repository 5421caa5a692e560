"""What a server's collection has learnt: listed, learnt from images, and removed."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adaptation.concepts import learn_concept
from adaptation.learned import learned, remove_learned
from indexer.errors import ArtifactError
from indexer.store.paths import display
from search import Engine
from search.labels.artifact import read_manifest
from serving.schemas.responses import LearnedAnswer
from serving.services.engine_pool import EnginePool
from serving.services.errors import NotFound


class LearningService:
    """The heads, concepts and text classifiers of one server's collection.

    Args:
        engines: The engines on the collection.
    """

    def __init__(self, engines: EnginePool) -> None:
        self._engines = engines

    async def all(self) -> list[LearnedAnswer]:
        """Return those that can be read."""

        def read() -> list[LearnedAnswer]:
            found = []
            for folder in learned(self._engines.collection):
                try:
                    found.append(_described(read_manifest(folder)))
                except ArtifactError:  # `clipdex adapt list` says what is wrong with it
                    continue
            return found

        return await asyncio.to_thread(read)

    async def learn_concept(
        self, name: str, like: Sequence[int], unlike: Sequence[int]
    ) -> LearnedAnswer:
        """Make a name the word for what some images of the collection show and others do not.

        Raises:
            ImageNotFound: No image has one of the ids.
            ExamplesError: The images cancel each other out.
            CollectionError: The collection cannot be written.
            Busy: Too many requests wait.
        """

        def learn(engine: Engine) -> LearnedAnswer:
            engine.collection.require_writable()
            with engine.question():
                shows, lacks = engine.vectors_of(like), engine.vectors_of(unlike)
                contents = engine.catalog.contents([*like, *unlike])
                model = engine.model
            made = learn_concept(
                engine.collection,
                name,
                shows,
                lacks,
                fingerprint=model.fingerprint,
                model=model.name,
                images={
                    key: [Path(display(contents[number].paths[0])) for number in ids]
                    for key, ids in (("like", like), ("unlike", unlike))
                },
            )
            return _described(made.artifact.metadata)

        return await self._engines.run(learn)

    async def remove(self, name: str) -> None:
        """Delete what has this name.

        Raises:
            NotFound: There is none.
            CollectionError: It cannot be deleted.
        """

        def remove() -> None:
            if name not in {folder.name for folder in learned(self._engines.collection)}:
                raise NotFound("no head, concept or text classifier has this name")
            remove_learned(self._engines.collection, name)

        await asyncio.to_thread(remove)


def _described(manifest: Any) -> LearnedAnswer:
    classes = list(manifest.get("classes", ()))
    kind = "text" if manifest.get("task") == "text" else "head" if classes else "concept"
    images = sum(manifest["examples"].values()) if classes and "examples" in manifest else None
    if kind == "concept":
        images = len(manifest["images"]["like"])
    held = (manifest.get("metrics") or {}).get("held_out")
    return LearnedAnswer(
        name=manifest["name"],
        kind=kind,
        classes=classes,
        images=images,
        accuracy=held["accuracy"] if held else None,
        made=manifest.get("made"),
    )
