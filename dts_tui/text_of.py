"""Records as fields of text: what filters look at, and what exports write."""

from dts_core.views import JobView, LogLine

LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}


def level_name(level: int) -> str:
    """The word for a level; one in between counts as the next lower."""
    for floor in (50, 40, 30, 20):
        if level >= floor:
            return LEVELS[floor]
    return LEVELS[10]


def job_record(job: JobView) -> dict[str, str]:
    """What a filter of jobs sees."""
    return {
        "id": job.id,
        "state": job.state,
        "function": job.function,
        "namespace": job.function.partition("/")[0],
        "host": job.host,
        "by": job.submitter,
        "queue": job.queue,
        "reason": job.reason,
        "error": f"{job.error.type}: {job.error.message}" if job.error else "",
    }


LOG_KEYS = ("host", "source", "level", "text", "job", "function")


def log_record(line: LogLine) -> dict[str, str]:
    """What a filter of log lines sees."""
    return {
        "text": line.text,
        "host": line.host,
        "source": line.source,
        "level": level_name(line.level),
        "job": line.job,
        "function": line.function,
    }
