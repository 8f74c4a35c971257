"""How hard a server is asked: options of whoever asks one. Loads no network."""

from typing import Annotated

from pydantic import ConfigDict, Field

from insignia.records import Flag, Record

__all__ = ["API_KEY_VARIABLE", "DAY", "RetryPolicy"]

DAY = 86_400.0  # seconds; what waits longer is not waiting for a reply, and the system's clocks end somewhere beyond

API_KEY_VARIABLE = "INSIGNIA_API_KEY"
"""Not a provider's own variable: its key must not go to whatever address is being tested."""


class RetryPolicy(Record):
    """Rate limits, waits and retries."""

    model_config = ConfigDict(title="Network")

    concurrency: Annotated[int, Field(ge=1, le=1024)] = 8  # few servers are slower for it; a verdict rarely needs more at once
    """Requests at once."""
    attempts: Annotated[int, Field(ge=1)] = 6  # a server that fails 30 % of requests loses 1 question in 1,400
    """Requests for one question, at most. After the last it counts as unanswered."""
    timeout_s: Annotated[float, Field(gt=0, le=DAY), Flag("--timeout")] = 120.0  # vLLM's first request may take 24 s
    """Seconds for a whole exchange, from connecting, which gets 10 s of it at most, to the last byte of the reply."""
    first_wait_s: Annotated[float, Field(ge=0, le=DAY), Flag("--first-wait")] = 0.5
    """Seconds before the second attempt, about. They double before each further one."""
    longest_wait_s: Annotated[float, Field(ge=0, le=DAY), Flag("--longest-wait")] = 60.0
    """Seconds of any wait, at most, the server's wishes included."""
    requests_per_second: Annotated[float | None, Field(ge=1 / DAY, allow_inf_nan=False)] = None
    """Requests a second, at most. None: as many as there are replies."""
    budget: Annotated[int | None, Field(ge=1)] = None
    """Requests in all, for each suspect. None: without limit."""
