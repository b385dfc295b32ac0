"""Log lines: one event with fields each, as text or JSON, with secrets masked."""

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import structlog

from seaway import secret_tokens

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")  # added to every line logged meanwhile

_log = structlog.get_logger()


def set_up(log_format: str, level: str) -> None:
    """Send all logs of this process, including its libraries, through one masking writer to standard error."""
    shared: list[Any] = [
        _with_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    is_colored = log_format == "text" and sys.stderr.isatty()
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=is_colored)
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, _masked, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(_standard_error()),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _masked,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=getattr(logging, level.upper()), force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    if is_colored or level not in ("debug", "info"):
        REQUEST_LOG.use_structlog()
    else:
        REQUEST_LOG.use_format(_as_json if log_format == "json" else _as_text)


class RequestLog:
    """
    Writer of the log line of each request: the same line that `log.info("request", ...)` would write.

    structlog takes longer for this line than the rest of a 304 response, and nearly all lines of a server are of this
    kind. So it is formatted here directly; a test compares the two. The lines of requests that end in the same
    iteration of the event loop are written together at its end, which wakes the reader of the log only once.
    """

    def __init__(self) -> None:
        self._format: Callable[..., str] | None = None
        self._write: Callable[[str], None] = print
        self._pending: list[str] = []

    def use_structlog(self) -> None:
        """Write lines through structlog, which supports levels and colors."""
        self._format = None

    def use_format(self, format_line: Callable[..., str]) -> None:
        """Write lines in this format to standard error."""
        self._format, self._write = format_line, structlog.WriteLogger(_standard_error()).msg

    def write(self, method: str, path: str, status: int, ms: float, client: str, code: str = "") -> None:
        """Log a finished request; `code` is that of its error, if any. Must be called in an event loop."""
        if self._format is None:
            code_field = {"code": code} if code else {}
            _log.info("request", method=method, path=path, status=status, ms=ms, client=client, **code_field)
            return
        at = datetime.now(UTC).isoformat()[:-6]  # without the +00:00
        self._pending.append(self._format(f"{at}Z", method, secret_tokens.mask(path), status, ms, client, code))
        if len(self._pending) == 1:
            asyncio.get_running_loop().call_soon(self._write_pending)

    def _write_pending(self) -> None:
        lines, self._pending = self._pending, []
        self._write("\n".join(lines))


REQUEST_LOG = RequestLog()


class _LossyStream:
    """Stream that drops what cannot be written: a log on a full disk must not make requests fail."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _standard_error() -> TextIO:
    return cast("TextIO", _LossyStream(sys.stderr))


def _as_text(at: str, method: str, path: str, status: int, ms: float, client: str, code: str) -> str:
    code_field = f" code={_quoted(code)}" if code else ""
    return (
        f"{at} [info     ] request                        client={_quoted(client)}{code_field} method={_quoted(method)}"
        f" ms={ms} path={_quoted(path)} request_id={REQUEST_ID.get()} status={status}"
    )


def _as_json(at: str, method: str, path: str, status: int, ms: float, client: str, code: str) -> str:
    fields = {"method": method, "path": path, "status": status, "ms": ms, "client": client}
    code_field = {"code": code} if code else {}
    common = {"event": "request", "request_id": REQUEST_ID.get(), "level": "info", "timestamp": at}
    return json.dumps({**fields, **code_field, **common})


_PLAIN = re.compile(r"[!#-&(-<>-~]+")  # ASCII without spaces, quotes and =


def _quoted(value: str) -> str:
    # structlog would not quote terminal control characters, such as an escape in a path.
    is_plain = _PLAIN.fullmatch(value) or (value.isprintable() and not set(value) & set(" =\"'"))
    return value if is_plain else repr(value)


def _with_request_id(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    request_id = REQUEST_ID.get()
    if request_id:
        event["request_id"] = request_id
    return event


def _masked(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = secret_tokens.mask(value)
    return event
