"""Templates → HTML. Whatever a template prints is made `visible` and escaped; no template can forget to."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from postwatch.query import translation
from postwatch.query.details import attempt_words, facts, finer_status, way_words
from postwatch.query.identity import asker
from postwatch.query.labels import label
from postwatch.query.reports.registry import load_reports
from postwatch.query.reports.server import clock_words, loss_words, server_facts
from postwatch.query.reports.servers import silence, up_to_date_ms
from postwatch.query.sentences import Moment, Sentence, Value, plain
from postwatch.query.translation import language, spelled
from postwatch.query.viewer import Viewer
from postwatch.query.web.language_choice import PATH as LANGUAGE_PATH
from postwatch.query.web.language_choice import page_address
from postwatch.query.web.languages import languages
from postwatch.query.web.track import own_account, status_label, telling_reason
from postwatch.query.wording import byte_size, count, decimal, reply_lines, time_span, utc_time, visible
from postwatch.query.zones import as_shown, zone_name, zone_names
from postwatch.streams.contracts.outcome import iso_time

_OWN_ADDRESS = re.compile(r'(<[a-z][^<>]*? (?:href|src|action|formaction|data-[a-z-]+)=")/(?![/\\])')
"""Where a template leads on this site. In a text a quote is escaped, so nothing else looks like it."""

_SELECTED = Markup(" selected")

FOLDER = Path(__file__).parent


def _finalize(value: Any) -> Any:
    # Markup, which is a str too, comes from the templates' own macros.
    return visible(value) if type(value) is str else value


def _gettext(message: str, **values: Any) -> Markup:
    """A text that a template names. Catalogs are ours and may hold markup; values are not, and may not."""
    return _marked(translation.gettext(message), values)


def _ngettext(one: str, many: str, num: int, **values: Any) -> Markup:
    return _marked(translation.language().translations.ngettext(one, many, num), {"num": num, **values})


def _pgettext(context: str, message: str, **values: Any) -> Markup:
    return _marked(translation.pgettext(context, message), values)


def _said(sentence: Sentence) -> Markup:
    """A sentence with its times as times, and each text that is not ours apart from the words around it."""
    return _marked(translation.gettext(sentence.message), {k: _value(v) for k, v in sentence.values.items()})


def _value(value: Value) -> Any:
    if isinstance(value, Moment):
        words = plain(value)
        return Markup('<time datetime="{}">{}</time>').format(iso_time(value.at_ms), words)
    return Markup("<bdi>{}</bdi>").format(visible(value)) if isinstance(value, str) else plain(value)


def _marked(text: str, values: dict[str, Any]) -> Markup:
    # With a `%` always, as newstyle gettext has it: a template writes 5 % as "5 %%".
    return Markup(text) % {name: spelled(_finalize(value)) for name, value in values.items()}


@lru_cache(64)
def _zone_options(chosen: str) -> Markup:
    """Some four hundred, the same on each page but for the one that is chosen."""
    options = (Markup("<option{}>{}</option>").format(_SELECTED if one == chosen else "", one) for one in zone_names())
    return Markup("\n").join(options)


def _navigation(viewer: Viewer | None) -> list[tuple[str, str]]:
    """The pages that every page links to: address and title; none before the log-in."""
    if viewer is None:
        return []
    return [
        (report.page, translation.gettext(report.title))
        for report in load_reports().values()
        if report.has_link
        and (viewer.is_engineer or not report.is_for_engineers)
        and not (report.is_for_several and own_account(viewer))
    ]


_environment = Environment(
    extensions=["jinja2.ext.i18n"],
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.policies["ext.i18n.trimmed"] = True
_environment.newstyle_gettext = True  # type: ignore[attr-defined]
_environment.filters["capitalize_first"] = lambda words: words[:1].upper() + words[1:]
_environment.filters["path_segment"] = partial(quote, safe="")  # `urlencode` leaves a slash as it is
_environment.globals.update(
    _=_gettext,
    asker=asker,
    gettext=_gettext,
    ngettext=_ngettext,
    pgettext=_pgettext,
    language=language,
    language_path=LANGUAGE_PATH,
    languages=languages,
    page_address=page_address,
    attempt_words=attempt_words,
    byte_size=byte_size,
    decimal=decimal,
    clock_words=clock_words,
    count=count,
    facts=facts,
    finer_status=finer_status,
    iso_time=iso_time,
    label=label,
    loss_words=loss_words,
    navigation=_navigation,
    reply_lines=reply_lines,
    said=_said,
    server_facts=server_facts,
    silence=silence,
    status_label=status_label,
    telling_reason=telling_reason,
    number=lambda number: language().number(number),
    zone_name=zone_name,
    as_shown=as_shown,
    zone_options=_zone_options,
    zone_words=lambda zone: zone or zone_name(),
    time_span=time_span,
    up_to_date_ms=up_to_date_ms,
    utc_time=utc_time,
    way_words=way_words,
)


def render(template: str, viewer: Viewer | None, **context: Any) -> str:
    """A template and what it shows to this viewer → HTML. None: nobody has logged in."""
    html = _environment.get_template(template).render(context, viewer=viewer)
    base_path = one.base_path if (one := asker()) else ""
    return _OWN_ADDRESS.sub(rf"\1{base_path}/", html) if base_path else html
