"""Search over HTTP: `create_app(settings)` is the FastAPI application; routes only."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Header, Query, Response, UploadFile
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from indexer.encoder import Encoder
from indexer.errors import CollectionNotFound
from indexer.store.paths import display
from indexer.store.records import Model
from search import Engine, Hit
from search.labels.zero_shot import Labeller, Labels
from serving.errors import Problem, install
from serving.metrics import Metrics
from serving.middleware.credentials import Access
from serving.middleware.stack import Guard
from serving.openapi import describe
from serving.routes import internal, jobs, sessions, status
from serving.schemas import requests, responses
from serving.service import Service, ServiceDep, running
from serving.services.embeddings import embed
from serving.services.labels import count_labels, label_image, label_stored, own_head
from serving.services.search import Asked
from serving.services.translate import asked_by, asked_in, echo, filter_of, options_of
from serving.settings import Settings

WEB = Path(__file__).parent / "serving" / "web"
ImageId = Annotated[int, PathParameter(alias="id", ge=1, le=requests.MAX_ID)]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application of one collection; `Settings()` where none are given."""
    chosen = settings or Settings()
    access, metrics = Access(chosen.api_keys), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(app, chosen, access, metrics):
            yield

    app = FastAPI(
        title="clipdex", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    install(app)
    if chosen.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
        )
    app.add_middleware(Guard, settings=chosen, access=access, metrics=metrics)
    app.mount("/static", StaticFiles(directory=WEB), name="static")
    for add in (_page_routes, _search_routes, _image_routes, _model_routes):
        add(app)
    for router in (status.router, jobs.router, sessions.router, internal.router):
        app.include_router(router)
    describe(app)
    return app


def _page_routes(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})


def _search_routes(app: FastAPI) -> None:
    @app.get("/v1/search", summary="Search by text; the newest images without one")
    async def search(
        service: ServiceDep, query: Annotated[requests.SearchQuery, Query()]
    ) -> responses.SearchAnswer:
        return await _search(service, query, ())

    @app.post("/v1/search", summary="Search by text, image, or both")
    async def search_json(service: ServiceDep, body: requests.SearchBody) -> responses.SearchAnswer:
        began = time.perf_counter()
        asked = asked_in(body)
        _need_question(asked)
        absolute = service.settings.expose_paths
        options = options_of(body.filter, k=body.k, offset=body.offset, absolute=absolute)
        hits, total = await service.answering.search(asked, options)
        return await _page(service, echo(body), hits, total, began)

    @app.post("/v1/search/image", summary="Search by an uploaded image")
    async def search_image(
        service: ServiceDep,
        query: Annotated[requests.SearchQuery, Query()],
        file: Annotated[UploadFile, File(description="An image.")],
    ) -> responses.SearchAnswer:
        return await _search(service, query, (await file.read(),))


async def _search(
    service: Service, query: requests.SearchQuery, images: tuple[bytes, ...]
) -> responses.SearchAnswer:
    began = time.perf_counter()
    absolute = service.settings.expose_paths
    options = options_of(filter_of(query), k=query.k, offset=query.offset, absolute=absolute)
    asked = asked_by(query, images)
    if not images and query.q is None and not query.without:
        hits, total = await service.answering.newest(options)
        return await _page(service, echo(query), hits, total, began, scored=False)
    _need_question(asked)
    hits, total = await service.answering.search(asked, options)
    return await _page(service, echo(query), hits, total, began)


def _need_question(asked: Asked) -> None:
    if not asked.images and asked.image_id is None and not (asked.query.text or "").strip():
        raise Problem(422, "nothing to search for: give a text or an image")


async def _page(
    service: Service,
    query: dict[str, Any],
    hits: list[Hit],
    total: int,
    began: float,
    *,
    scored: bool = True,
) -> responses.SearchAnswer:
    shown = await service.shown([path for hit in hits for path in hit.raw_paths])
    return responses.SearchAnswer(
        query=query,
        total=total,
        hits=[responses.PublicHit.of(hit, shown, scored=scored) for hit in hits],
        took_ms=round((time.perf_counter() - began) * 1000, 2),
    )


def _image_routes(app: FastAPI) -> None:
    @app.get("/v1/images/{id}", summary="An image's metadata")
    async def image(service: ServiceDep, number: ImageId) -> responses.ImageAnswer:
        def look(engine: Engine) -> tuple[Hit, str, int]:
            with engine.question():
                found = engine.catalog.contents([number])
                kind = engine.catalog.digest_and_format(number)
                files = engine.catalog.files_of(number)
            if kind is None or number not in found or not files:
                raise Problem(404, f"no image has the id {number}")
            return Hit.of(found[number], 0.0, None), kind[1], files[0].size

        hit, form, size = await service.answering.engines.ask(look)
        shown = await service.shown(hit.raw_paths)
        return responses.ImageAnswer(
            id=number,
            **shown.metadata(hit.raw_paths[0]),
            paths=[display(shown.path(path)) for path in hit.raw_paths],
            width=hit.width,
            height=hit.height,
            format=form,
            taken_at=hit.taken_at,
            size_bytes=size,
            **responses.links(number),
        )

    @app.get(
        "/v1/images/{id}/thumbnail",
        summary="A small WebP of an image",
        response_class=Response,
        responses={200: {"content": {"image/webp": {}}}, 304: {"description": "Not modified."}},
    )
    async def thumbnail(
        service: ServiceDep,
        number: ImageId,
        size: requests.ThumbnailSize = 320,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        return await service.images.thumbnail(number, size, if_none_match)

    @app.get(
        "/v1/images/{id}/file",
        summary="An image's file, without its metadata",
        response_class=Response,
        responses={200: {"content": {"image/*": {}}}, 304: {"description": "Not modified."}},
    )
    async def file(
        service: ServiceDep, number: ImageId, if_none_match: Annotated[str | None, Header()] = None
    ) -> Response:
        return await service.images.file(number, if_none_match)

    @app.get("/v1/images/{id}/similar", summary="The images most like one")
    async def similar(
        service: ServiceDep, number: ImageId, k: requests.Count = 20, offset: requests.Offset = 0
    ) -> responses.SearchAnswer:
        body = requests.SearchBody(image_id=number, k=k, offset=offset)
        began = time.perf_counter()
        hits, total = await service.answering.search(asked_in(body), {"k": k, "offset": offset})
        return await _page(service, echo(body), hits, total, began)


def _model_routes(app: FastAPI) -> None:
    @app.post("/v1/label", summary="Which of these labels fits an image best")
    async def label(service: ServiceDep, body: requests.LabelBody) -> responses.LabelAnswer:
        def chosen(encoder: Encoder, model: Model) -> Labels:
            if body.head is None:
                return Labeller(encoder, body.labels, body.templates)
            return own_head(service.answering, body.head, model)

        if body.image is not None:
            ids: list[int | None] = [None]
            answers = [await label_image(service.answering, body.image, chosen, body.top)]
        else:
            ids = list(body.image_ids)
            answers = await label_stored(service.answering, body.image_ids, chosen, body.top)
        return responses.LabelAnswer(
            images=[
                responses.LabelledImage(
                    id=number,
                    labels=[
                        responses.LabelShare(label=n, probability=round(p, 6)) for n, p in best
                    ],
                    none=none,
                )
                for number, (best, none) in zip(ids, answers, strict=True)
            ]
        )

    @app.post("/v1/labels/count", summary="How many images show each of these labels")
    async def counts(
        service: ServiceDep, body: requests.LabelCountBody
    ) -> responses.LabelCountAnswer:
        options = options_of(body.filter, absolute=service.settings.expose_paths)
        try:
            found = await count_labels(
                service.answering, body.labels, body.min_probability, options
            )
        except CollectionNotFound:
            found = [0] * len(body.labels)
        return responses.LabelCountAnswer(
            counts=[
                responses.LabelCount(label=name, count=count)
                for name, count in zip(body.labels, found, strict=True)
            ]
        )

    @app.post("/v1/embeddings", summary="Vectors of texts and images, as OpenAI's clients ask")
    async def embeddings(
        service: ServiceDep, body: requests.EmbeddingsBody
    ) -> responses.EmbeddingsAnswer:
        return await embed(service.answering, body)
