"""Answers in pages where AWS makes pages and moto answers all at once, or makes pages that no test ever fills.

Small ones, so nobody gets by with the first; of parameters that one is empty, as AWS says that a page of them may be.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from werkzeug.wrappers import Response

from tests.local_region.aws_api.calls import Call, json_answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

PAGE = 2
TOKEN = "page-"


class Paged(NamedTuple):
    """Names of an operation's members.

    Attributes:
        items: of the list.
        token: of the next page, in the request and in the answer.
        limit: of the greatest size.
        named: with which the caller names what it wants, and gets it at once.
        first: things on the first page.
    """

    items: str
    token: str
    limit: str
    named: str = ""
    first: int = PAGE


PAGED = {
    ("ecr", "DescribeImages"): Paged("imageDetails", "nextToken", "maxResults", "imageIds"),
    ("ecr", "ListImages"): Paged("imageIds", "nextToken", "maxResults"),
    ("ssm", "GetParametersByPath"): Paged("Parameters", "NextToken", "MaxResults", first=0),
}


def page_of(call: Call, environ: WSGIEnvironment, moto: WSGIApplication) -> Response | None:
    """Return one page of moto's answer; nothing for a call that AWS answers at once.

    Args:
        call: The call.
        environ: The request.
        moto: Who has the whole answer.
    """
    paged = PAGED.get((call.service, call.action))
    if paged is None:
        return None
    asked = call.json()
    if paged.named and asked.get(paged.named):
        return None
    token = str(asked.pop(paged.token, "") or "")
    # Who sets a limit wants no more than that, and gets it at once.
    size = int(asked.pop(paged.limit, 0) or 0)
    begin = int(token.removeprefix(TOKEN)) if token.startswith(TOKEN) else 0
    answer = _ask(asked, environ, moto)
    if answer.status_code != 200:
        return answer
    content: dict[str, Any] = json.loads(answer.get_data())
    items = content.get(paged.items, [])
    while next_of_moto := content.pop(paged.token, None):
        answer = _ask({**asked, paged.token: next_of_moto}, environ, moto)
        content = json.loads(answer.get_data())
        items += content[paged.items]
    end = begin + (size or (PAGE if token else paged.first))
    content[paged.items] = items[begin:end]
    if end < len(items):
        content[paged.token] = f"{TOKEN}{end}"
    return json_answer(content)


def _ask(asked: dict[str, Any], environ: WSGIEnvironment, moto: WSGIApplication) -> Response:
    body = json.dumps(asked).encode()
    request = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    return Response.from_app(moto, request, buffered=True)
