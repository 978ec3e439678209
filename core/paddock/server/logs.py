"""What a server logs: lines for people, or one JSON object per line for machines."""

import json
import logging
import sys
import time

__all__ = ["configure_logging"]


class _JsonFormatter(logging.Formatter):
    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure_logging(level: str = "info", kind: str = "text") -> None:
    """Log to stderr.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        kind: ``text`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    if kind == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for library in ("mcp", "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    # uvicorn says this of every WebSocket that was refused with a status of its own: strangers
    # could fill the log with it.
    return "without completing handshake" not in record.getMessage()
