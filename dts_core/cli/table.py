"""Every command of `dts`: where it is, and its line in the help."""

from typing import Final

_CLI = "dts_core.cli"
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": (f"{_CLI}.up:up", "Start everything on this machine: server, engine, workers."),
    "run": (f"{_CLI}.run:run", "Start everything and open the console (`make run`)."),
    "submit": (f"{_CLI}.client_jobs:submit", "Submit a job."),
    "jobs": (f"{_CLI}.client_jobs:jobs", "List jobs."),
    "job": (f"{_CLI}.client_jobs:job", "Show a job with its result or error."),
    "cancel": (f"{_CLI}.client_jobs:cancel", "Cancel jobs."),
    "again": (f"{_CLI}.client_jobs:again", "Run a job again."),
    "me": (f"{_CLI}.client_jobs:me", "Who you are, and what you submitted."),
    "status": (f"{_CLI}.client_watch:status", "The dashboard once, as text."),
    "queues": (f"{_CLI}.client_queues:queues", "List queues; pause and resume them."),
    "dead": (f"{_CLI}.client_queues:dead", "Dead letters: list, show, send again, discard."),
    "hosts": (f"{_CLI}.client_hosts:hosts", "List hosts; drain and undrain them."),
    "logs": (f"{_CLI}.client_watch:logs", "Show and follow logs."),
    "functions": (f"{_CLI}.client_functions:functions", "List, show, add, change functions."),
    "login": (f"{_CLI}.client_login:login", "Log in to a server."),
    "logout": (f"{_CLI}.client_login:logout", "End a login."),
    "server": (f"{_CLI}.server:server", "Server with engine and daemons, from a file."),
    "doctor": (f"{_CLI}.doctor:doctor", "Look at what a part needs, and say what to do."),
    "broker": (f"{_CLI}.broker:broker", "RabbitMQ's users: what each host may do."),
    "daemon": (f"{_CLI}.daemon:daemon", "Daemons alone, beside a distributed engine."),
}
