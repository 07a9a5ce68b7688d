"""Where proofs are had: as JSON, as a file, as a page to print; and the keys that check them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from postwatch.query.api import ERRORS
from postwatch.query.errors import NotFoundError
from postwatch.query.identity import known_viewer
from postwatch.query.proofs.canonical import Document
from postwatch.query.proofs.document import RETENTION, SCOPE, STILL_OPEN
from postwatch.query.proofs.issuer import ProofIssuer
from postwatch.query.report_service import ReportService
from postwatch.query.reports.delivery import REPORT, DeliveryQuestion
from postwatch.query.row_id import NO_SUCH_ROW
from postwatch.query.sentences import Moment, Sentence
from postwatch.query.shapes import ErrorShape
from postwatch.query.statements import Delivery
from postwatch.query.story import story_of
from postwatch.query.translation import N_, PLAIN, speaking
from postwatch.query.web.rendering import render

KEYS_PATH = "/.well-known/postwatch-keys.json"
NO_KEY = N_("Proofs of delivery are not made here, because your provider has set up no key that signs them.")
_ID = "The id of a delivery, as reports, the API and exports show it."
_ERRORS: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    404: {"model": ErrorShape, "description": "Nothing that you may see has this id, or no proofs are made here."},
}


def proof_router(service: ReportService, issuer: ProofIssuer) -> APIRouter:
    router = APIRouter()

    def prove(request: Request, word: str) -> tuple[Delivery, int, Document]:
        """What is proved, when, and the document."""
        if not issuer.is_on:
            raise NotFoundError(NO_KEY)
        found = service.answer(known_viewer(request), REPORT, DeliveryQuestion(word))
        if not found.rows:
            raise NotFoundError(NO_SUCH_ROW)
        issued_ms = service.now_ms()
        with speaking(PLAIN):  # a proof says the same to every reader
            return found.rows[0], issued_ms, issuer.prove(found.rows[0], issued_ms, service.retention_days)

    @router.get("/api/v1/deliveries/{id}/proof", responses=_ERRORS, tags=["proofs"])
    def proof(request: Request, id: Annotated[str, Path(description=_ID)]) -> dict[str, Any]:
        """A signed document of what you may see of a delivery. `postwatch verify` checks it, with the published key."""
        return prove(request, id)[2]

    @router.get("/delivery/{id}/proof.json", include_in_schema=False)
    def proof_file(request: Request, id: str) -> Response:
        document = prove(request, id)[2]
        text = json.dumps(document, ensure_ascii=False, indent=1)
        # The id of what was found: what was asked with may have blanks and line ends around it.
        name = f"proof-of-delivery-{document['delivery']['id']}.json"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(text, media_type="application/json", headers=headers)

    @router.get("/delivery/{id}/proof", include_in_schema=False)
    def proof_page(request: Request, id: str) -> HTMLResponse:
        row, issued_ms, document = prove(request, id)
        signed = json.dumps(document, ensure_ascii=False, indent=1).splitlines()
        # The page says in its reader's language and zone what the document says in English and UTC.
        told: list[Sentence] = [story_of(row).headline]
        if row.result == "pending":
            told.append(Sentence(STILL_OPEN, {"at": Moment(issued_ms)}))
        html = render(
            "proof.html",
            known_viewer(request),
            proof=document,
            row=row,
            issued_ms=issued_ms,
            told=told,
            scope=SCOPE,
            retention=RETENTION,
            days=service.retention_days,
            signed=signed,
            id=id,
            keys_path=KEYS_PATH,
        )
        return HTMLResponse(html)

    @router.get(KEYS_PATH, tags=["proofs"])
    def keys() -> JSONResponse:
        """The public keys that check proofs of delivery, those of earlier proofs too (a JWK set). For everybody."""
        return JSONResponse(issuer.published(), headers={"cache-control": "public, max-age=3600"})

    return router
