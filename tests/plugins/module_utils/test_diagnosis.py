"""The cause in an engine's log: what failed first, not what was said after it. The logs have vLLM's form, shortened."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.module_utils.diagnosis import cause

STARTED = "(APIServer pid=1) INFO 01-02 03:04:05 [api_server.py:101] vLLM API server version 0.32.0"
CORE = "(EngineCore_DP0 pid=77) ERROR 01-02 03:04:15 [core.py:900]"
# What the API server adds when its core did not come up.
SEE_ABOVE = """\
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "/usr/lib/vllm/entrypoints/openai/api_server.py", line 500, in <module>
(APIServer pid=1)     uvloop.run(run_server(args))
(APIServer pid=1)   File "/usr/lib/vllm/v1/engine/utils.py", line 800, in wait_for_engine_startup
(APIServer pid=1)     raise RuntimeError(
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"""


def core_failure(*exception: str) -> str:
    """Return the log of an engine whose core cannot start, with the exception's lines."""
    traceback = [
        "EngineCore failed to start.",
        "Traceback (most recent call last):",
        '  File "/usr/lib/vllm/v1/engine/core.py", line 890, in run_engine_core',
        "    engine_core = EngineCoreProc(*args, **kwargs)",
        *exception,
    ]
    logged = "\n".join(f"{CORE} {line}" for line in traceback)
    bare = "\n".join(f"(EngineCore_DP0 pid=77) {line}" for line in ["Process EngineCore_DP0:", *traceback[1:]])
    return f"{STARTED}\n{logged}\n{bare}\n{SEE_ABOVE}\n"


KV_CACHE = (
    "ValueError: To serve at least one request with the models's max seq len (2048), (0.06 GiB KV cache is needed,"
    " which is larger than the available KV cache memory (0.00 GiB). Try decreasing `max_model_len`."
)
SHARD = "FileNotFoundError: Weight files referenced in index but missing: {'/models/base/model-00002.safetensors'}"
MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 112.00 MiB. GPU 0 has a capacity of 21.95 GiB."
NO_FILE = "python3: can't open file '/x.py': [Errno 2] No such file or directory"


# Of these the name does not say that they are exceptions.
NAMED = (
    "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 101376, Hardware limit: 101376.",
    "zmq.error.Again: Resource temporarily unavailable",
    "concurrent.futures.process.BrokenProcessPool: A process in the pool was terminated abruptly",
)


@pytest.mark.parametrize(
    "exception", [KV_CACHE, SHARD, MEMORY, "ImportError: libcuda.so.1: cannot open shared object", *NAMED]
)
def test_the_cores_own_exception_is_the_cause(exception: str) -> None:
    assert cause(core_failure(exception)) == exception


def test_the_lines_of_one_message_stay_together() -> None:
    validation = [
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        "  Value error, Model architectures ['Unheard'] are not supported for now.",
        "    For further information visit https://errors.pydantic.dev/2.12/v/value_error",
    ]
    log = "\n".join(["Traceback (most recent call last):", '  File "a.py", line 1, in <module>', *validation])
    assert cause(log) == "\n".join(validation[:2])


def test_of_a_chain_of_exceptions_the_last_is_told_with_the_first() -> None:
    log = core_failure(
        "KeyError: 'unheard'",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "/usr/lib/vllm/a.py", line 1, in load',
        "ValueError: the model type 'unheard' is not known",
    )
    assert cause(log) == "ValueError: the model type 'unheard' is not known\n(after KeyError: 'unheard')"


def test_a_workers_exception_comes_before_the_cores_that_waited_for_it() -> None:
    worker = "(Worker_TP0 pid=99) ERROR 01-02 03:04:14 [multiproc_executor.py:700]"
    log = "\n".join(
        [
            f"{worker} WorkerProc failed to start.",
            f"{worker} Traceback (most recent call last):",
            f'{worker}   File "/usr/lib/vllm/v1/executor/multiproc_executor.py", line 690, in worker_main',
            f"{worker} RuntimeError: NCCL error: unhandled system error",
            core_failure(
                "Exception: WorkerProc initialization failed due to an exception in a background process."
                " See stack trace for root cause."
            ),
        ]
    )
    assert cause(log) == "RuntimeError: NCCL error: unhandled system error"


def test_a_core_that_dies_while_it_serves_is_the_cause_and_no_request_that_failed_before() -> None:
    request = [
        "(APIServer pid=1) ERROR 01-02 03:00:00 [serving.py:10] Error in preprocessing prompt inputs",
        "(APIServer pid=1) ERROR 01-02 03:00:00 [serving.py:10] Traceback (most recent call last):",
        '(APIServer pid=1) ERROR 01-02 03:00:00 [serving.py:10]   File "/usr/lib/vllm/serving.py", line 1, in render',
        "(APIServer pid=1) ERROR 01-02 03:00:00 [serving.py:10] ValueError: a client's mistake",
    ]
    died = [
        f"{CORE} EngineCore encountered a fatal error.",
        f"{CORE} Traceback (most recent call last):",
        f'{CORE}   File "/usr/lib/vllm/v1/engine/core.py", line 1, in run_busy_loop',
        f"{CORE} {MEMORY}",
        "(APIServer pid=1) ERROR 01-02 03:04:16 [async_llm.py:600] AsyncLLM output_handler failed.",
        "(APIServer pid=1) ERROR 01-02 03:04:16 [async_llm.py:600] Traceback (most recent call last):",
        '(APIServer pid=1) ERROR 01-02 03:04:16 [async_llm.py:600]   File "/usr/lib/a.py", line 1, in output_handler',
        "(APIServer pid=1) ERROR 01-02 03:04:16 [async_llm.py:600] vllm.v1.engine.exceptions.EngineDeadError:"
        " EngineCore encountered an issue. See stack trace (above) for the root cause.",
        "(APIServer pid=1) INFO:     Application shutdown complete.",
    ]
    assert cause("\n".join([STARTED, *request, *died])) == MEMORY


def test_a_core_that_was_killed_leaves_only_what_noticed_it() -> None:
    killed = (
        "(APIServer pid=1) ERROR 01-02 03:04:16 [core_client.py:500] Engine core proc EngineCore_DP0 died unexpectedly,"
        " shutting down client."
    )
    log = "\n".join([STARTED, killed, "(APIServer pid=1) INFO:     Application shutdown complete."])
    assert cause(log) == "Engine core proc EngineCore_DP0 died unexpectedly, shutting down client."


def test_an_option_that_is_refused_is_the_cause_and_not_the_usage_before_it() -> None:
    log = """\
usage: api_server.py [-h] [--headless]
                     [--max-num-seqs MAX_NUM_SEQS]
api_server.py: error: argument --max-num-seqs: invalid int value: 'many'
"""
    assert cause(log) == "api_server.py: error: argument --max-num-seqs: invalid int value: 'many'"


def test_a_warnings_traceback_is_not_the_cause() -> None:
    warned = [
        "WARNING 01-02 03:04:05 [a.py:1] a plugin was left out:",
        "WARNING 01-02 03:04:05 [a.py:1] Traceback (most recent call last):",
        'WARNING 01-02 03:04:05 [a.py:1]   File "/usr/lib/a.py", line 1, in load',
        "WARNING 01-02 03:04:05 [a.py:1] ImportError: no module of this name",
    ]
    assert cause("\n".join([*warned, core_failure(SHARD)])) == SHARD


def test_of_a_group_of_exceptions_the_one_in_it_is_the_cause() -> None:
    log = """\
INFO: starting
  + Exception Group Traceback (most recent call last):
  |   File "/usr/lib/a.py", line 3, in serve
  |     run()
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/usr/lib/b.py", line 3, in bind
    |     bind()
    | OSError: [Errno 98] Address already in use
    +------------------------------------
"""
    assert cause(log) == "OSError: [Errno 98] Address already in use"


def test_what_a_library_in_c_says_of_its_end_stays_with_it() -> None:
    log = """\
terminate called after throwing an instance of 'c10::Error'
  what():  CUDA error: an illegal memory access was encountered
Exception raised from c10_cuda_check_implementation at CUDAException.cpp:43
"""
    assert cause(log).endswith("'c10::Error': CUDA error: an illegal memory access was encountered")


def test_of_a_server_that_logs_json_the_last_error_is_the_cause() -> None:
    log = """\
{"time":"2026-01-02T03:04:05","level":"ERROR","message":"the engine failed"}
{"time":"2026-01-02T03:04:06","level":"ERROR","message":"no port","error":"OSError"}
{"level":"info","msg":"shutdown complete"}
[{"level":"error"
"""
    assert cause(log) == "no port: OSError"


def test_colours_do_not_hide_the_cause() -> None:
    coloured = core_failure(SHARD).replace("(EngineCore_DP0 pid=77)", "\x1b[1;36m(EngineCore_DP0 pid=77)\x1b[0;0m")
    assert cause(coloured) == SHARD


def test_a_log_that_begins_in_the_middle_of_a_traceback_still_tells() -> None:
    log = core_failure(KV_CACHE)
    assert cause(log[log.index("Process EngineCore_DP0") :]) == KV_CACHE


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", "its log is empty"),
        ("\n \n", "its log is empty"),
        ("first\nthe stand-in was told to crash\n", "the stand-in was told to crash"),
        ("exec /usr/bin/python3: exec format error\n", "exec /usr/bin/python3: exec format error"),
        (f"{NO_FILE}\nbye", NO_FILE),
        ("ERROR:    [Errno 98] already in use\nINFO:     Shutdown complete.\n", "ERROR:    [Errno 98] already in use"),
        ("m: error loading model: cut\nmain: exiting due to model loading error\n", "m: error loading model: cut"),
        ('{"level":"info","msg":"using config"}\nError: adapting config: x\nbye\n', "Error: adapting config: x"),
    ],
)  # fmt: skip
def test_without_a_traceback_the_error_or_the_last_line_is_the_cause(log: str, expected: str) -> None:
    assert cause(log) == expected


def test_a_message_of_any_length_is_shown_in_part() -> None:
    assert len(cause(core_failure(f"ValueError: {'x' * 100_000}"))) < 1000
