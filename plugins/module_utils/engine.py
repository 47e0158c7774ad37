"""Ask the containers whether they work: an engine that hangs still calls itself healthy, so a token is asked for."""

from __future__ import annotations

from ansible_collections.slm.serving.plugins.module_utils.containers import Container
from ansible_collections.slm.serving.plugins.module_utils.engine_kinds import GENERATED_TOKENS, PROMPT_TOKENS
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact

# Seconds for what is answered without computing, and for the `docker exec` around a question.
PROMPT_ANSWER = 20
EXEC_SLACK = 20
WORKS = "works"
ASK = """\
import sys, urllib.request
path, timeout, *body = sys.argv[1:]
data = body[0].encode() if body else None
request = urllib.request.Request("http://127.0.0.1:8000" + path, data, {"Content-Type": "application/json"})
sys.stdout.write(urllib.request.urlopen(request, timeout=float(timeout)).read().decode())
"""
# Says "works" as soon as a token was made, for this question or for another: an engine that is too busy for one more
# request goes on with those it has. One program, since each `docker exec` takes its time.
PROVE_ENGINE = """\
import json, sys, time, urllib.request
end = time.monotonic() + float(sys.argv[1])

def ask(path, body=None):
    data = body and json.dumps(body).encode()
    request = urllib.request.Request("http://127.0.0.1:8000" + path, data, {"Content-Type": "application/json"})
    left = max(1, end - time.monotonic())
    return urllib.request.urlopen(request, timeout=left if body else min(left, 10)).read().decode()

def made():
    names = tuple(sys.argv[2:])
    return sum(float(line.rpartition(" ")[2]) for line in ask("/metrics").splitlines() if line.startswith(names))

first = None
while True:
    try:
        first = made() if first is None else first
        model = json.loads(ask("/v1/models"))["data"][0]["id"]
        ask("/v1/completions", {"model": model, "prompt": "A", "max_tokens": 1})
        sys.exit("works")
    except Exception as error:
        last = repr(error)
    try:
        if first is not None and made() > first:
            sys.exit("works")
    except Exception as error:
        last = repr(error)
    if time.monotonic() >= end:
        sys.exit("hangs: " + last)
    time.sleep(0.5)
"""
# The gateway's own life only: /health is the engine's too.
PROVE_GATEWAY = """\
import sys, time, urllib.request
end = time.monotonic() + float(sys.argv[1])
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:8080/live", timeout=min(10, max(1, end - time.monotonic())))
        sys.exit("works")
    except Exception as error:
        if time.monotonic() >= end:
            sys.exit("hangs: " + repr(error))
    time.sleep(0.5)
"""
PROOFS = {"engine": (PROVE_ENGINE, (*GENERATED_TOKENS, *PROMPT_TOKENS)), "gateway": (PROVE_GATEWAY, ())}


def ask_engine(engine: Container, path: str, *body: str, timeout: float = PROMPT_ANSWER) -> str:
    """Return what the engine answers to a GET, or to a POST with a body.

    It is asked from inside its container, because it has no port outside.

    Raises:
        StackError: it does not answer within `timeout` seconds, or with an error.
    """
    command = ["docker", "exec", engine["id"], "python3", "-c", ASK, path, str(timeout), *body]
    answer = run(command, timeout=timeout + EXEC_SLACK)
    if answer.returncode != 0:
        raise StackError(f"the engine does not answer {path}: {redact(last_line(answer.stderr))}")
    return answer.stdout


def hangs(container: Container, patience: float) -> bool:
    """Say whether a container that runs does not work.

    Args:
        container: one that runs and has had the time to start.
        patience: seconds for it to show that it works: an engine makes a token, a gateway answers.
    """
    proof = PROOFS.get(container["service"])
    if proof is None:
        return False
    program, metrics = proof
    command = ["docker", "exec", container["id"], "python3", "-c", program, str(patience), *metrics]
    try:
        return last_line(run(command, timeout=patience + EXEC_SLACK).stderr) != WORKS
    except StackError:  # Not even the question can be asked.
        return True
