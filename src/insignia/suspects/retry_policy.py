"""Rate limits and retry policy of an endpoint: options that need no network."""

from typing import Annotated

from pydantic import ConfigDict, Field

from insignia.records import Flag, Record

__all__ = ["API_KEY_VARIABLE", "DAY", "RetryPolicy"]

DAY = 86_400.0  # seconds; no reply takes longer, and larger waits overflow the system's clocks

API_KEY_VARIABLE = "INSIGNIA_API_KEY"
"""Default variable. It is not a provider's own, whose key must not be sent to the tested address by accident."""


class RetryPolicy(Record):
    """Rate limits and retry policy of an endpoint."""

    model_config = ConfigDict(title="Network")

    concurrency: Annotated[int, Field(ge=1, le=1024)] = 8  # slows few servers; a verdict rarely needs more at once
    """Most simultaneous requests."""
    attempts: Annotated[int, Field(ge=1)] = 6  # a server that fails 30 % of requests loses 1 question in 1,400
    """Most requests for one question, which is unanswered after the last."""
    timeout_s: Annotated[float, Field(gt=0, le=DAY), Flag("--timeout")] = 120.0  # vLLM's first request may take 24 s
    """Time limit of a request in seconds, from connecting (at most 10 s) to the last byte of the reply."""
    first_wait_s: Annotated[float, Field(ge=0, le=DAY), Flag(hidden=True)] = 0.5
    """Approximate wait before the second attempt in seconds; it doubles before each further one."""
    longest_wait_s: Annotated[float, Field(ge=0, le=DAY), Flag(hidden=True)] = 60.0
    """Longest wait in seconds, even if the server asks for more."""
    requests_per_second: Annotated[float | None, Field(ge=1 / DAY, allow_inf_nan=False)] = None
    """Most requests per second; unlimited by default."""
    budget: Annotated[int | None, Field(ge=1)] = None
    """Most requests in total for each suspect; unlimited by default."""
