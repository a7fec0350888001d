"""What the server is: its models, its health, its metrics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .requests.endpoint import Endpoint
from .sharing.service import Service

__all__ = ["endpoints"]


def endpoints(service: Service) -> list[Endpoint]:
    """Everything that needs no model, or only its name."""

    def models() -> list[dict[str, object]]:
        manifest = service.model.manifest
        return [{"id": manifest.name, "object": "model", "created": 0, "owned_by": "mimo_edge"}]

    async def list_models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": models()})

    async def audio_models(request: Request) -> Response:
        return JSONResponse({"models": [{"id": model["id"]} for model in models()]})

    async def health(request: Request) -> Response:
        status = 200 if service.state in ("ready", "busy") else 503
        return JSONResponse({"status": service.state}, status)

    async def metrics(request: Request) -> Response:
        text, content_type = service.metrics.text(request.headers.get("accept", ""))
        return Response(text, media_type=content_type)

    return [
        Endpoint(method="GET", path="/v1/models", summary="The models", handler=list_models),
        Endpoint(
            method="GET",
            path="/v1/audio/models",
            summary="The models, for clients that want those of speech only",
            handler=audio_models,
            public=True,
        ),
        Endpoint(
            method="GET",
            path="/health",
            summary="Whether the model is loaded: loading, ready, busy or failed",
            handler=health,
            public=True,
        ),
        Endpoint(
            method="GET",
            path="/metrics",
            summary="Counts and times, for Prometheus",
            handler=metrics,
            answers={"text/plain": {"type": "string"}},
        ),
    ]
