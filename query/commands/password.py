"""`postwatch password NAME`: the line of the password file for an owner, a reseller or an engineer."""

from __future__ import annotations

import argparse
import getpass
import sys

from postwatch.producers.service.errors import BadInputError
from postwatch.query.access.passwords import LEAST_LENGTH, password_line
from postwatch.query.access.roles import ROLES


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the name to log in with")
    parser.add_argument(
        "--role", choices=ROLES, default="", help="default: owner and reseller of what the lists say of the name"
    )
    parser.epilog = (
        f"Asks for the password ({LEAST_LENGTH} characters or more), or reads it from standard input. Add the line that"
        " it prints to the file that POSTWATCH_ACCESS_PASSWORDS names; it counts at once."
    )


def run(arguments: argparse.Namespace) -> int:
    print(password_line(arguments.name, _read(), arguments.role))
    return 0


def _read() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise BadInputError("the two passwords differ")
    return password
