"""The gateway's settings: environment variables that begin with GATEWAY_, checked before anything starts."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "GATEWAY_"
EngineKind = Literal["vllm", "llamacpp"]
PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


class SettingsError(Exception):
    """A setting is missing or wrong; the text names the variable and says what to write."""


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _engine_base(url: AnyHttpUrl) -> AnyHttpUrl:
    """Return the address that the engine's paths, such as /v1/models, are put after.

    Raises:
        ValueError: it holds what does not belong into it; the text does not repeat it.
    """
    if url.username is not None or url.password is not None:
        raise ValueError(
            "credentials do not belong into the address; for an engine that asks for a key, write the key into a file "
            "and set GATEWAY_ENGINE_API_KEY_FILE to its path"
        )
    if url.query is not None or url.fragment is not None:
        raise ValueError("write the base address alone, such as http://127.0.0.1:8000, without `?` and `#`")
    path = (url.path or "").rstrip("/")
    if path.endswith(("/completions", "/models", "/tokenize")):
        raise ValueError("write the base address alone, such as http://127.0.0.1:8000, without an endpoint's path")
    base = str(url).rstrip("/")
    # OpenAI's clients are set up with an address that ends so.
    return AnyHttpUrl(base.removesuffix("/v1").rstrip("/"))


class Settings(BaseSettings):
    """The operator's choices. Every field is the variable GATEWAY_<NAME>; a test keeps README.md's table equal."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on; the image sets 0.0.0.0.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on.")
    engine_url: Annotated[AnyHttpUrl, AfterValidator(_engine_base)] = Field(
        default=AnyHttpUrl("http://127.0.0.1:8000"),
        description="Base address of the OpenAI-compatible engine; `/v1` at its end is taken off.",
    )
    engine_kind: EngineKind = Field(
        default="vllm",
        description="What the engine is, where engines differ: `vllm`, or `llamacpp` for llama.cpp's server.",
    )
    engine_api_key_file: Path | None = Field(
        default=None,
        description="File with the key that the engine asks for (`vllm serve --api-key`). Read again when it changes.",
    )
    auth: Literal["required", "off"] = Field(
        default="required", description="`required`: every path under /api and /v1 needs a key. `off`: none does."
    )
    api_keys_file: Path | None = Field(
        default=None,
        description="File of `name:sha256-hex` lines; needed unless auth is off. Read again when it changes.",
    )
    max_connections: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Open connections; at the limit the one idle for longest is closed, and if all are busy, more get "
        "503.",
    )
    keep_alive_timeout: float = Field(
        default=75.0,
        gt=0,
        le=3600,
        description="Seconds that a connection may stay open between two requests; let a proxy's time be shorter.",
    )
    head_timeout: float = Field(
        default=10.0, gt=0, le=3600, description="Seconds for a request's head, also of a connection's first one."
    )
    send_timeout: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds that a client may take nothing of an answer that is sent; then the connection is cut.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        description="Browser origins that may call, comma-separated; `*` stands for one label of a host name.",
    )
    request_timeout: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds that one request may take in all, with its wait in the queue; in a batch, each text. Its "
        "body has as long to arrive.",
    )
    connect_timeout: float = Field(default=2.0, gt=0, le=60, description="Seconds to reach the engine.")
    engine_patience: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="Seconds from the engine's loss in which requests are held for it, each no longer than its own "
        "time; then 503. One that answers 5xx, as while it ends, is waited for 4 s at most. The deployment sets 30.",
    )
    first_token_timeout: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds from asking the engine to a stream's first token."
    )
    max_concurrency: int = Field(default=32, ge=1, le=10_000, description="Requests at the engine at once.")
    max_queue: int = Field(
        default=128, ge=0, le=100_000, description="Requests that may wait for a slot; more get 503."
    )
    queue_timeout: float = Field(default=10.0, gt=0, le=3600, description="Seconds that a request may wait for a slot.")
    key_share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="Part of the slots and of the queue that one key may take, where there are several keys.",
    )
    rate_limit: str = Field(
        default="off",
        pattern=r"^(off|[1-9][0-9]*/(second|minute|hour))$",
        description="Requests per key, such as `120/minute`; each text or completion of one counts. `off`: no limit.",
    )
    max_text_chars: int = Field(default=100_000, ge=1, description="Characters of one text; longer gets 413.")
    max_body_bytes: int = Field(default=4_194_304, ge=1024, description="Bytes of one request's body; longer gets 413.")
    max_bodies_bytes: int = Field(
        default=67_108_864, ge=1024, description="Bytes of the bodies of all requests at once; more get 503."
    )
    max_batch_items: int = Field(default=100, ge=1, description="Texts in one batch, or prompts in one request.")
    engine_extras: Literal["off", "on"] = Field(
        default="off", description="`on`: the OpenAI endpoints also take some of vLLM's own sampling members."
    )
    cache_salt: Literal["on", "off"] = Field(
        default="on",
        description="`on`: each key has its own prefix cache. `off`: for an engine that does not take `cache_salt`, "
        "or where all clients may share one.",
    )
    page: Literal["on", "off"] = Field(
        default="on", description="`on`: `/` is a page for people. `off`: there is none."
    )
    tasks_dir: Path = Field(
        default=Path(__file__).parent / "tasks", description="Folder of task files; the package's own unless set."
    )
    default_task: str = Field(default="medical_ie", description="The task behind /api/v1/extract.")
    drain_timeout: float = Field(
        default=30.0, ge=0, le=3600, description="Seconds that running requests get to finish after SIGTERM."
    )
    drain_mode: Literal["refuse", "close"] = Field(
        default="refuse",
        description="What new requests meet after SIGTERM. `refuse`: 503 with Retry-After. `close`: a closed port, for "
        "a proxy that holds what it cannot connect; what comes on open connections is answered, and ends them. The "
        "deployment sets `close` under its edge.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged."
    )

    @model_validator(mode="after")
    def _settings_fit_together(self) -> Self:
        if self.auth == "required" and self.api_keys_file is None:
            raise ValueError(
                "GATEWAY_API_KEYS_FILE is not set. Name the keys file (`python -m gateway keys create NAME` makes its "
                "lines), or set GATEWAY_AUTH=off to serve without keys"
            )
        for origin in self.cors_origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.*-]+(:[0-9]{1,5})?", origin):
                raise ValueError(f"GATEWAY_CORS_ORIGINS: {origin!r} is not an origin such as https://*.example.org")
        if self.engine_extras == "on" and self.engine_kind != "vllm":
            raise ValueError(
                f"GATEWAY_ENGINE_EXTRAS: GATEWAY_ENGINE_KIND={self.engine_kind} has none of vLLM's sampling members "
                "and would ignore them without a word; turn it off"
            )
        if self.max_bodies_bytes < self.max_body_bytes:
            raise ValueError(
                "GATEWAY_MAX_BODIES_BYTES: must be at least GATEWAY_MAX_BODY_BYTES, or no body of that size could come"
            )
        return self

    @property
    def rate(self) -> tuple[int, float] | None:
        """Requests and the seconds they are for, or None without a limit."""
        if self.rate_limit == "off":
            return None
        count, period = self.rate_limit.split("/")
        return int(count), PERIODS[period]


def shown_default(name: str) -> str:
    """Return a setting's default as a person would write it; the package's own folder is shortened."""
    default = Settings.model_fields[name].default
    if default is None or default == ():
        return "none"
    return "gateway/tasks" if name == "tasks_dir" else str(default)


def load() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: with one line for every variable that is wrong.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_input=False):
            name = "".join(f"{PREFIX}{part}".upper() for part in problem["loc"][:1])
            text = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {text}" if name else text)
        raise SettingsError("\n".join(lines)) from None
