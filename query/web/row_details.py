"""The details of a row of a list, as a piece of a page: they are asked for when somebody opens the row."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from postwatch.query.errors import NotFoundError
from postwatch.query.identity import known_viewer
from postwatch.query.report_service import ReportService
from postwatch.query.reports.delivery import REPORT as DELIVERY
from postwatch.query.reports.delivery import DeliveryQuestion
from postwatch.query.row_id import NO_SUCH_ROW
from postwatch.query.web.rendering import render


def row_details_router(service: ReportService) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get(f"{DELIVERY.page}/details")
    def row_details(request: Request, id: str) -> HTMLResponse:
        viewer = known_viewer(request)
        answer = service.answer(viewer, DELIVERY, DeliveryQuestion(id))
        if not answer.rows:
            raise NotFoundError(NO_SUCH_ROW)
        return HTMLResponse(render("details.html", viewer, answer=answer))

    return router
