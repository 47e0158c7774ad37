"""What an edge needs before a deployment touches anything, and where clients come to."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter.edge import (
    edge_names,
    edge_notes,
    edge_problems,
    edge_public_ports,
    edge_url,
)
from ansible_collections.slm.serving.plugins.filter.settings import KINDS

GOOD: dict[str, Any] = {
    "mode": "certificate",
    "domain": "notes.example.org",
    "email": "",
    "trusted_proxies": [],
    "open": [],
    "tag": "v1",
    "secret": "slm-ft-serving/edge-certificate",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mode": "off", "domain": "", "tag": "", "secret": ""},
        {"mode": "off", "domain": "Not a name", "open": ["everything"]},
        {"mode": "acme", "secret": "", "email": "ops@example.org"},
        {"mode": "plain", "domain": "", "secret": "", "trusted_proxies": ["10.0.0.0/8", "fd00::/8"]},
        {"domain": "localhost", "open": ["docs", "metrics"]},
    ],
)
def test_what_can_work_is_no_problem(changes: dict[str, Any]) -> None:
    assert edge_problems(GOOD | changes, "/app") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "tls"}, "none of off, acme, certificate, plain: correct the parameter /app/edge/mode"),
        ({"mode": ""}, "none of off, acme, certificate, plain"),
        ({"tag": ""}, "put the parameter /app/images/edge-tag"),
        ({"mode": "acme", "domain": ""}, "put the parameter /app/edge/domain"),
        ({"domain": ""}, "put the parameter /app/edge/domain"),
        ({"domain": "notes.example.org/path"}, "is not a host name"),
        ({"domain": "Notes.Example.Org"}, "is not a host name in lower case"),
        ({"domain": "*.example.org"}, "is not a host name"),
        ({"domain": "a.b {\n"}, "is not a host name"),
        ({"mode": "acme", "domain": "localhost"}, "no authority gives a certificate by ACME"),
        ({"mode": "acme", "domain": "notes.internal"}, "no authority gives a certificate by ACME"),
        ({"mode": "acme", "domain": "203.0.113.9"}, "no authority gives a certificate by ACME"),
        ({"secret": ""}, "into the parameter /app/secrets/edge-certificate"),
        ({"mode": "acme", "email": "ops@example.org }"}, "is not an e-mail address"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "is not a network in CIDR form"),
        ({"trusted_proxies": ["private_ranges"]}, "is not a network in CIDR form"),
        ({"trusted_proxies": ["0.0.0.0/0"]}, "anybody's X-Forwarded-For is believed"),
        ({"open": ["admin"]}, "'admin' cannot be opened at the edge: there are docs and metrics"),
    ],
)
def test_what_cannot_work_is_said_with_what_to_do(changes: dict[str, Any], words: str) -> None:
    (problem,) = edge_problems(GOOD | changes, "/app")
    assert words in problem
    assert problem.isprintable()


def test_all_problems_are_said_at_once() -> None:
    assert len(edge_problems(GOOD | {"mode": "certificate", "domain": "", "secret": "", "tag": ""}, "/app")) == 3


def test_a_plain_edge_says_what_it_relies_on() -> None:
    assert edge_notes(GOOD) == []
    (note,) = edge_notes(GOOD | {"mode": "plain"})
    assert "without encryption" in note
    assert "believed from nobody" in note
    (note,) = edge_notes(GOOD | {"mode": "plain", "trusted_proxies": ["10.0.0.0/8"]})
    assert "believed from 10.0.0.0/8 alone" in note


@pytest.mark.parametrize(
    ("mode", "domain", "url"),
    [
        ("off", "notes.example.org", ""),
        ("acme", "notes.example.org", "https://notes.example.org"),
        ("certificate", "notes.example.org", "https://notes.example.org"),
        ("plain", "notes.example.org", "https://notes.example.org"),
        ("plain", "", ""),
    ],
)
def test_clients_call_the_domain_where_there_is_an_edge(mode: str, domain: str, url: str) -> None:
    assert edge_url(GOOD | {"mode": mode, "domain": domain}) == url


@pytest.mark.parametrize(
    ("mode", "ports"), [("off", [8081]), ("acme", [80, 443]), ("certificate", [443]), ("plain", [80]), ("", [8081])]
)
def test_ports_are_those_of_the_mode(mode: str, ports: list[int]) -> None:
    assert edge_public_ports(mode, 8081) == ports


def test_names_are_the_parts_between_commas() -> None:
    assert edge_names("docs, metrics,") == ["docs", "metrics"]
    assert edge_names(["docs"]) == ["docs"]
    assert edge_names("") == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("edge/mode", ["off", "acme", "certificate", "plain"], ["on", "TLS", "acme,plain"]),
        (
            "edge/domain",
            ["notes.example.org", "localhost", "xn--bcher-kva.example"],
            ["a..b", "-a.b", "a b", "https://a.b"],
        ),
        ("edge/email", ["ops@example.org"], ["ops", "ops@example", "a@b.c\nd"]),
        ("edge/open", ["docs", "metrics", "docs, metrics"], ["all", "docs;metrics"]),
        ("edge/trusted-proxies", ["10.0.0.0/8", "10.0.0.0/8, fd00::/8"], ["10.0.0.1", "private_ranges"]),
    ],
)
def test_settings_have_the_form_that_the_edge_needs(name: str, good: list[str], bad: list[str]) -> None:
    pattern = KINDS[name].pattern
    assert [text for text in good if not pattern.fullmatch(text)] == []
    assert [text for text in bad if pattern.fullmatch(text)] == []
