"""``insignia env``: what a report of a bug should say about the machine; no secret, and no path."""

from insignia.flags.fields import takes
from insignia.reporting.output import Output

__all__ = ["env"]


@takes()
def env(output: Output) -> None:
    """Tell versions, processors, memory and devices, for a report of a bug; no secret, and no path.

    Examples:
        insignia env
        insignia env --json
    """
    from insignia.reporting.machine import machine_report

    output.finish(machine_report())
