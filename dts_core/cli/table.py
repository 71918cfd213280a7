"""Every command of `dts`: where it is, and its line in the help."""

from typing import Final, TypeAlias

Table: TypeAlias = dict[str, tuple[str, str]]
_CLI = "dts_core.cli"
COMMANDS: Final[Table] = {
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
    "ssh": (f"{_CLI}.ssh:ssh", "Run a command or a function on many hosts by SSH."),
    "login": (f"{_CLI}.client_login:login", "Log in to a server."),
    "logout": (f"{_CLI}.client_login:logout", "End a login."),
    "password": (f"{_CLI}.client_login:password", "Change your secret."),
    "context": (f"{_CLI}.contexts:context", "Servers that you have logged in to."),
    "token": (f"{_CLI}.client_tokens:token", "Access tokens for your programs."),
    "server": (f"{_CLI}.server:server", "Server with engine and daemons, from a file."),
    "admin": (f"{_CLI}.admin:admin", "Users, namespaces, virtual hosts, the audit."),
    "vhost": (f"{_CLI}.vhost:vhost", "Make workers of hosts reached by SSH."),
    "doctor": (f"{_CLI}.doctor:doctor", "Look at what a part needs, and say what to do."),
    "broker": (f"{_CLI}.broker:broker", "RabbitMQ's users: what each host may do."),
    "daemon": (f"{_CLI}.daemon:daemon", "Daemons alone, beside a distributed engine."),
}
ADMIN: Final[Table] = {
    "vhosts": (f"{_CLI}.admin_hostkeys:vhosts", "Virtual hosts: machines reached by SSH."),
    "vault": (f"{_CLI}.admin_vault:vault", "Keys that secrets in the store are sealed with."),
    "users": (f"{_CLI}.admin_documents:users", "Who may ask."),
    "tokens": (f"{_CLI}.admin_tokens:tokens", "Access tokens of all users."),
    "namespaces": (f"{_CLI}.admin_documents:namespaces", "What owns functions, and its members."),
    "functions": (
        f"{_CLI}.admin_functions:functions",
        "Functions as documents; canaries, deploys.",
    ),
    "operations": (f"{_CLI}.admin_operations:operations", "The audit of every write."),
    "export": (f"{_CLI}.admin_export:export", "Write all of these as files, without secrets."),
    "apply": (f"{_CLI}.admin_apply:apply", "Make all of these what files declare."),
    "backup": (f"{_CLI}.admin_backup:backup", "Write the whole store into a file."),
    "restore": (f"{_CLI}.admin_backup:restore", "Put a backup into a new data folder."),
    "mail": (f"{_CLI}.admin_mail:mail", "Mail to groups of users: a test of it."),
    "arguments": (f"{_CLI}.admin_arguments:arguments", "Keys that secret arguments are sealed to."),
    "signing": (f"{_CLI}.admin_signing:signing", "Keys that functions are signed with."),
}
"""Those of `dts admin`."""
