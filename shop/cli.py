"""`flask shop …`: what an operator does at the command line. Each command calls one function."""

import getpass
import sys
from pathlib import Path
from typing import TextIO

import click
from flask import Flask
from flask.cli import AppGroup
from sqlalchemy import func, select

from shop import books
from shop.accounts import demo as demo_people
from shop.accounts import people, second_factor
from shop.accounts.models import User
from shop.catalog import demo as demo_catalogue
from shop.config import table_rows
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.jobs import runner
from shop.jobs.handlers import why_no_retry
from shop.jobs.models import Job, JobStatus
from shop.operations import backup as copies
from shop.operations import by_hand, exchange
from shop.webhooks import inbox

ACTOR = "command line"

group = AppGroup("shop", help="Commands of the shop.")


class _Said(click.ClickException):
    """A refusal in one line instead of a traceback."""


def init_app(app: Flask) -> None:
    """Add the commands."""
    app.cli.add_command(group)


@group.command()
def demo() -> None:
    """Fill in the demo: catalogue, an admin, a customer. Twice does nothing more."""
    try:
        with transaction():
            made = demo_catalogue.seed_catalogue()
            told = demo_people.seed_people()
    except Refused as error:
        raise _Said(str(error)) from error
    click.echo(f"{made} products added.", err=True)
    for what, email, password in told:
        click.echo(f"Sign in as {what}: {email} / {password}")


@group.command("second-factor-off")
@click.argument("email")
def second_factor_off(email: str) -> None:
    """Switch off the second factor of somebody who lost both phone and recovery codes."""
    with transaction():
        user_id = db.session.scalar(select(User.id).where(User.email == email.strip().casefold()))
        if user_id is None:
            raise _Said("Nobody has an account with that address.")
        second_factor.switch_off(user_id, ACTOR)
    click.echo("It is off, and every sign-in of theirs has ended.")


@group.command("create-admin")
@click.argument("email")
def create_admin(email: str) -> None:
    """Make the first owner. The password is asked for, or read from standard input."""
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        with transaction():
            people.create_owner(email, password)
    except Refused as error:
        raise _Said(str(error)) from error
    click.echo(f"{email} may sign in at /admin now.")


@group.command()
def jobs() -> None:
    """Count the jobs by kind and state, and name those that failed."""
    rows = db.session.execute(
        select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status).order_by(Job.kind)
    )
    for kind, status, number in rows:
        click.echo(f"{number:>7}  {status.value:<10} {kind}")
    failed = select(Job).where(Job.status == JobStatus.FAILED).order_by(Job.id.desc()).limit(50)
    for job in db.session.scalars(failed):
        click.echo(f"failed: {job.id} {job.kind}: {(job.error or '').splitlines()[0][:120]}")


@group.command("retry-job")
@click.argument("job_id", type=int)
def retry_job(job_id: int) -> None:
    """Queue a job that failed or was cancelled once more."""
    with transaction():
        is_queued = runner.retry(job_id)
        job = db.session.get(Job, job_id)
        reason = why_no_retry(job.kind, job.payload) if job else ""
    if not is_queued:
        raise _Said(reason or f"Job {job_id} is not one that failed or was cancelled.")
    click.echo(f"Job {job_id} is queued.")


@group.command("replay-webhook")
@click.argument("event_id", type=int)
def replay_webhook(event_id: int) -> None:
    """Process a stored message of a gateway or courier once more."""
    try:
        with transaction():
            inbox.replay(event_id, ACTOR)
    except Refused as error:
        raise _Said(str(error)) from error
    click.echo(f"Message {event_id} is queued.")


@group.command()
@click.option("--light", is_flag=True, help="Only what is cheap enough for every hour.")
def audit(light: bool) -> None:
    """Prove the books. Exit code 1 and the rows where they do not add up."""
    faults = books.faults(light=light)
    for fault in faults:
        click.echo(fault)
    if faults:
        sys.exit(1)
    click.echo("The books are right.")


@group.command()
@click.option("--since", "days", type=click.IntRange(1, 90), default=30, help="Days back (30).")
def reconcile(days: int) -> None:
    """Ask gateways and couriers for what their messages may have missed."""
    for what, state in by_hand.reconcile(days).items():
        click.echo(f"{state:<10} {what}")


@group.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write a consistent copy of the database while the shop runs."""
    try:
        copies.copy_to(file)
    except Refused as error:
        raise _Said(str(error)) from error
    click.echo(f"Copied to {file}.")


@group.command("import-products")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
def import_products(file: TextIO) -> None:
    """Add or change products by sku: the whole file or nothing."""
    try:
        with transaction():
            count = exchange.import_products(file, ACTOR)
    except Refused as error:
        raise _Said(str(error)) from error
    click.echo(f"{count} variants imported.")


@group.command("export-products")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
def export_products(file: TextIO) -> None:
    """Write all variants as CSV."""
    count = exchange.export_products(file)
    click.echo(f"{count} variants exported.", err=True)


@group.command("export-orders")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
def export_orders(file: TextIO) -> None:
    """Write all orders as CSV; the audit remembers it."""
    with transaction():
        count = exchange.export_orders(file, ACTOR)
    click.echo(f"{count} orders exported.", err=True)


@group.command("settings-table")
@click.option("--env", is_flag=True, help="As .env.example instead of Markdown.")
def settings_table(env: bool) -> None:
    """Print every setting, for README.md and .env.example."""
    click.echo(env_example() if env else markdown_table(), nl=False)


def markdown_table() -> str:
    """The settings as the README shows them."""
    lines = ["| group | name | default | what it does |", "| --- | --- | --- | --- |"]
    for name_group, name, default, words in table_rows():
        shown = f"`{default}`" if default else ""
        lines.append(f"| {name_group} | `{name}` | {shown} | {words.replace('|', '&#124;')} |")
    return "\n".join(lines) + "\n"


def env_example() -> str:
    """The settings as .env.example lists them: commented out, with their defaults."""
    lines: list[str] = []
    last = ""
    for name_group, name, default, words in table_rows():
        if name_group != last:
            lines.append(f"{'' if not last else chr(10)}## {name_group}")
            last = name_group
        lines.append(f"# {words}\n# {name}={default}")
    return "\n".join(lines) + "\n"
