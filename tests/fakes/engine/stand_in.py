"""Fake of the engine for scenarios and drills: starts in a moment, serves the adapter and answers the golden notes.

It reads no model: its answers are those of a few known values that occur in the note, and of a further adapter one and
the same, a request that is none of the assistant's. Only the standard library, so
that its image is small. Two options that vLLM does not have, set by the role's `inference_stack_engine_options`, make
it fail on purpose:

- `stand-in`: `crash` (ends at start), `silent` (takes connections and never answers), `hang` (healthy, but makes no
  token), `no-adapter` (serves the base only) or `wrong` (another stage than the note's).
- `stand-in-load`: seconds until it listens, as if a model were loaded.
"""

import json
import re
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.fakes.engine import documents

BASE, ADAPTER = "base", "medical-ie"
MAX_MODEL_LEN = 2048
# As `lora-modules` has it: JSON within a string of YAML.
MODULE = re.compile(r'\\?"name\\?": *\\?"([\w.-]+)')
OTHER = {"intent": "other"}
BEHAVIOURS = ("", "crash", "silent", "hang", "no-adapter", "wrong")
FIELDS = ("cancer_type", "stage", "gene_mutation", "biomarker", "treatment", "response", "metastasis_site")
# Words of a note, the field that they are for, the field's value.
VALUES = (
    ("colorectal adenocarcinoma", "cancer_type", "colorectal adenocarcinoma"),
    ("lung adenocarcinoma", "cancer_type", "lung adenocarcinoma"),
    ("KRAS G12D", "gene_mutation", "KRAS G12D"),
    ("EGFR L858R", "gene_mutation", "EGFR L858R"),
    ("MSI-H", "biomarker", "MSI-H"),
    ("PD-L1 was 10%", "biomarker", "PD-L1 10%"),
    ("FOLFOX and bevacizumab", "treatment", "FOLFOX and bevacizumab"),
    ("osimertinib", "treatment", "osimertinib"),
    ("stable disease", "response", "stable disease"),
    ("partial response", "response", "partial response"),
    ("liver metastases", "metastasis_site", "liver"),
    ("brain metastases", "metastasis_site", "brain"),
)
STAGE = re.compile(r"\bstage (I{1,3}|IV)\b", re.IGNORECASE)


def extract(note: str) -> dict[str, str | None]:
    """Return the seven fields, as far as the note has words that the table above lists."""
    values = {field: value for words, field, value in VALUES if words in note}
    stage = STAGE.search(note)
    if stage:
        values["stage"] = stage[1].upper()
    return {field: values.get(field) for field in FIELDS}


class Engine(BaseHTTPRequestHandler):
    """The paths that the gateway and the verification use."""

    protocol_version = "HTTP/1.1"
    behaviour = ""
    adapters: tuple[str, ...] = (ADAPTER,)
    generated = 0
    counting = threading.Lock()

    def do_GET(self) -> None:
        """Answer for health, models and metrics."""
        if self.path == "/v1/models":
            self.reply(documents.models(BASE, self.adapters, MAX_MODEL_LEN))
        elif self.path == "/metrics":
            self.reply_text(f'vllm:generation_tokens_total{{model_name="{BASE}"}} {Engine.generated}.0\n')
        else:
            self.reply_text("")

    def do_POST(self) -> None:
        """Answer with a completion, or with the number of tokens of a text."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        if self.behaviour == "hang":
            threading.Event().wait()
        if self.path == "/tokenize":
            self.tokenize(body)
        elif body["model"] not in {BASE, *self.adapters}:
            self.reply({"error": {"message": f"The model `{body['model']}` does not exist."}}, status=404)
        else:
            self.complete(body)

    def tokenize(self, body: dict[str, Any]) -> None:
        """Reply with the tokens of a prompt; of messages, with their number only."""
        text = body.get("prompt") or json.dumps(body.get("messages", []))
        strings = [token["token"] for token in documents.tokens_of(text)]
        self.reply({"count": len(strings), "max_model_len": MAX_MODEL_LEN, "token_strs": strings})

    def complete(self, body: dict[str, Any]) -> None:
        """Reply with a chat completion, at once or as a stream."""
        messages = body.get("messages") or [{"content": body.get("prompt", "")}]
        values: dict[str, str | None] = {**OTHER}
        if body["model"] in {BASE, ADAPTER}:
            values = extract(str(messages[-1]["content"]))
        if self.behaviour == "wrong" and "stage" in values:
            values["stage"] = "I" if values["stage"] != "I" else "II"
        tokens = documents.tokens_of(json.dumps(values))[: body.get("max_tokens")]
        with Engine.counting:
            Engine.generated += len(tokens)
        counts = documents.usage(100, len(tokens))
        if body.get("stream"):
            self.stream([*map(json.dumps, documents.chunks(tokens, body, counts)), "[DONE]"])
            return
        content = "".join(token["token"] for token in tokens)
        logprobs = tokens if body.get("logprobs") else None
        document = documents.completion(content, logprobs, counts, model=body["model"])
        document["choices"][0]["text"] = content  # As /v1/completions has it.
        self.reply(document)

    def stream(self, events: list[str]) -> None:
        """Reply with server-sent events."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            data = f"data: {event}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def reply(self, content: dict[str, Any], *, status: int = 200) -> None:
        """Send JSON."""
        self.reply_text(json.dumps(content), status=status, kind="application/json")

    def reply_text(self, body: str, *, status: int = 200, kind: str = "text/plain") -> None:
        """Send a body whole."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def options(configuration: str) -> tuple[str, float]:
    """Return the behaviour and the seconds of the load that a configuration asks for.

    Raises:
        ValueError: There is no such behaviour.
    """
    settings = dict(re.findall(r"^(stand-in|stand-in-load): *['\"]?([\w.-]+)", configuration, re.MULTILINE))
    behaviour = settings.get("stand-in", "")
    if behaviour not in BEHAVIOURS:
        raise ValueError(f"the stand-in knows no behaviour {behaviour!r}")
    return behaviour, float(settings.get("stand-in-load", "0"))


def adapters(configuration: str, behaviour: str) -> tuple[str, ...]:
    """Return the names of the adapters to serve: those of the configuration, or the usual one."""
    return () if behaviour == "no-adapter" else tuple(MODULE.findall(configuration)) or (ADAPTER,)


def serve(port: int, behaviour: str, names: tuple[str, ...] = (ADAPTER,)) -> None:
    """Serve until the process is ended."""
    if behaviour == "silent":
        with socket.create_server(("0.0.0.0", port)):  # noqa: S104
            threading.Event().wait()
    Engine.behaviour, Engine.adapters = behaviour, names
    ThreadingHTTPServer(("0.0.0.0", port), Engine).serve_forever()  # noqa: S104


def main(arguments: list[str]) -> int:
    """Do as the file after `--config` says, on port 8000 unless `--port` names another; return the exit code."""
    configuration = Path(arguments[arguments.index("--config") + 1]).read_text(encoding="utf-8")
    behaviour, load = options(configuration)
    port = int(arguments[arguments.index("--port") + 1]) if "--port" in arguments else 8000
    if behaviour == "crash":
        sys.stderr.write("the stand-in was told to crash\n")
        return 3
    time.sleep(load)
    serve(port, behaviour, adapters(configuration, behaviour))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
