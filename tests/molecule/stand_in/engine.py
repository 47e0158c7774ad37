"""Fake of the engine for the roles' scenarios: starts in a moment, serves the adapter and answers the golden note.

Only the standard library: it runs in an image made on the spot. Its --config file may hold `stand-in: crash` or
`stand-in: wrong`, so that a release can fail on purpose.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RIGHT = {
    "cancer_type": "lung adenocarcinoma",
    "stage": "IV",
    "gene_mutation": "EGFR L858R",
    "biomarker": None,
    "treatment": None,
    "response": None,
    "metastasis_site": None,
}
WRONG = {**RIGHT, "stage": "I"}


class Engine(BaseHTTPRequestHandler):
    """The paths that the gateway and the verification use."""

    answer = RIGHT
    tokens = 0

    def do_GET(self) -> None:
        """Health, models, metrics."""
        if self.path == "/v1/models":
            models = [{"id": name, "object": "model", "max_model_len": 2048} for name in ("base", "medical-ie")]
            self.reply(json.dumps({"object": "list", "data": models}))
        elif self.path == "/metrics":
            self.reply(f'vllm:generation_tokens_total{{model_name="base"}} {Engine.tokens}.0\n')
        else:
            self.reply("")

    def do_POST(self) -> None:
        """A completion, or the number of tokens of a text."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/tokenize":
            self.reply(json.dumps({"count": 50, "max_model_len": 2048, "tokens": list(range(50))}))
            return
        Engine.tokens += 10
        message = {"role": "assistant", "content": json.dumps(self.answer)}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}
        self.reply(json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}))

    def reply(self, body: str) -> None:
        """Send a body with status 200."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def main() -> int:
    """Serve on port 8000 until the container stops."""
    configuration = Path(sys.argv[sys.argv.index("--config") + 1]).read_text(encoding="utf-8")
    if "stand-in: crash" in configuration:
        sys.stderr.write("the stand-in was told to crash\n")
        return 3
    if "stand-in: wrong" in configuration:
        Engine.answer = WRONG
    ThreadingHTTPServer(("0.0.0.0", 8000), Engine).serve_forever()  # noqa: S104
    return 0


if __name__ == "__main__":
    sys.exit(main())
