"""The command line: prints and renders, decides nothing.

Only click is imported here. Each command imports what it needs when it runs, so that
``hydrusd --help`` answers at once.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from hydrusd import __version__

EXIT_CODES = """\b
Exit codes:
  0  it went well, or was stopped by you
  1  it failed: the ledger cannot be opened, another hydrusd runs, …
  2  the command line or the rules are wrong; nothing was done
"""

RULES = click.argument("rules", required=False, type=click.Path(path_type=Path), metavar="[RULES]")
STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="HYDRUSD_STATE_DIR",
    help="Where the ledger is kept. Default: the platform's folder for such data.",
)
SAFE_MODE = click.option("--safe-mode", is_flag=True, help="Load the built-in plugins only.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
RULES_FILE = click.option(
    "--rules-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The rules file. Default: as for `hydrusd run`.",
)
_COMMAND_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
NUMBER = click.IntRange(1, 2**63 - 1)
JOBS = click.argument("jobs", nargs=-1, type=NUMBER, metavar="[JOB]...")
LIMIT = click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="How many to list at most.",
)


class _Main(click.Group):
    """All commands; those that plugins add are looked for only when one is asked for.

    To list them, every plugin would have to be imported each time somebody asks for help.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give a command, ours or that of a plugin."""
        found = super().get_command(ctx, cmd_name)
        if found is None and _COMMAND_NAME.fullmatch(cmd_name):
            from hydrusd.cli._plugins import plugin_command

            found = plugin_command(cmd_name)
        return found


@click.group(cls=_Main, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hydrusd")
def cli() -> None:
    """Automate a Hydrus client by rules: watched folders, tags, settled imports.

    RULES is a YAML file; without it, rules.yaml in this folder is taken, then the one in the
    platform's configuration folder. Plugins may add commands: `hydrusd plugins` names them.
    """


@cli.command(epilog=EXIT_CODES)
@RULES
@STATE_DIR
@SAFE_MODE
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="How much to tell.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the log as JSON lines.")
def run(
    rules: Path | None, state_dir: Path | None, safe_mode: bool, log_level: str, as_json: bool
) -> None:
    """Run the daemon until it is stopped (Ctrl-C or SIGTERM)."""
    from hydrusd.cli._sparing import load_without_colours

    load_without_colours()
    from hydrusd.cli._run import run_daemon

    run_daemon(rules, state_dir, safe_mode=safe_mode, log_level=log_level, as_json=as_json)


@cli.command(epilog=EXIT_CODES)
@RULES
@SAFE_MODE
@click.option(
    "--live",
    is_flag=True,
    help="Also ask the clients (permissions, services, …) and look at the watched folders.",
)
@click.option("--strict", is_flag=True, help="Fail for warnings, too.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="How to print it: for people, for programs, or as SARIF 2.1.0 for editors.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def check(
    rules: Path | None, safe_mode: bool, live: bool, strict: bool, form: str, as_json: bool
) -> None:
    """Read the rules and say all that is wrong with them, or doubtful. Changes nothing.

    Warnings are about what is allowed and probably not meant; they stop nothing.
    """
    from hydrusd.cli._check import Format, check_rules

    wanted: Format = "json" if as_json else form  # type: ignore[assignment]
    check_rules(rules, safe_mode=safe_mode, live=live, strict=strict, form=wanted)


@cli.command(epilog=EXIT_CODES)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[RULES]...")
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="TEXT",
    help="Only tests with this in their name; may be repeated.",
)
@SAFE_MODE
@JSON
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write what came of them to this file, as JUnit XML.",
)
def test(
    files: tuple[Path, ...],
    names: tuple[str, ...],
    safe_mode: bool,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Run the tests that rules carry (`tests:`), on a simulated client.

    No folder, client or ledger of yours is touched, no command is run, and nothing is waited
    for. Exit code 1 says that a test failed.
    """
    from hydrusd.cli._test import run_tests

    run_tests(files, names, safe_mode=safe_mode, as_json=as_json, junit=junit)


@cli.command(epilog=EXIT_CODES)
@RULES
@click.option(
    "--included",
    is_flag=True,
    help="Print that of files that others `include`: with rules, and without a client.",
)
@SAFE_MODE
def schema(rules: Path | None, included: bool, safe_mode: bool) -> None:
    """Print the JSON Schema of rules files, by which editors complete and explain them.

    With the plugins that RULES has. Put it beside the rules, as in
    `hydrusd schema > hydrusd.schema.json`.
    """
    from hydrusd.cli._schema import print_schema

    print_schema(rules, included=included, safe_mode=safe_mode)


@cli.command(epilog=EXIT_CODES)
@RULES
@STATE_DIR
@SAFE_MODE
@click.option("--all", "everything", is_flag=True, help="Show the built-in ones, too.")
@JSON
def plugins(
    rules: Path | None, state_dir: Path | None, safe_mode: bool, everything: bool, as_json: bool
) -> None:
    """Show which plugins are loaded from where, what they bring and cost, and what was left out.

    With the plugins that RULES has. What they cost was counted by the daemon that runs, or by
    the last that did.
    """
    from hydrusd.cli._plugins import show_plugins

    show_plugins(rules, state_dir, safe_mode=safe_mode, everything=everything, as_json=as_json)


@cli.command(epilog=EXIT_CODES)
@click.argument("subjects", nargs=-1, metavar="[RULES] [PATH|URL]...")
@click.option("--rule", "names", multiple=True, help="Only this rule; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Show every item, however many.")
@STATE_DIR
@SAFE_MODE
@JSON
def plan(
    subjects: tuple[str, ...],
    names: tuple[str, ...],
    everything: bool,
    state_dir: Path | None,
    safe_mode: bool,
    as_json: bool,
) -> None:
    """Show what `hydrusd run` would do now, and change nothing, anywhere.

    Looks at folders, lists and the Hydrus client, and says of each file what would be imported,
    tagged and disposed of. With a PATH (a file or a folder) or a URL it is about these alone,
    also where they are known already. RULES is a file that ends in .yaml or .yml.
    """
    from hydrusd.cli._plan import show_plan

    show_plan(
        subjects,
        names,
        everything=everything,
        state_dir=state_dir,
        safe_mode=safe_mode,
        as_json=as_json,
    )


@cli.command(epilog=EXIT_CODES)
@STATE_DIR
@JSON
def reload(state_dir: Path | None, as_json: bool) -> None:
    """Have the running daemon read its rules again now, and say what has changed, or is wrong.

    It does so by itself when it sees that a file has changed, and (not on Windows) at SIGHUP.
    Rules that cannot be used change nothing; a rule that is wrong by itself is left out.
    """
    from hydrusd.cli._reload import reload_rules

    reload_rules(state_dir, as_json=as_json)


@cli.command(epilog=EXIT_CODES)
@STATE_DIR
@click.option("--watch", is_flag=True, help="Look again every 2 seconds, until Ctrl-C.")
@JSON
def status(state_dir: Path | None, watch: bool, as_json: bool) -> None:
    """Show what was done, how far the rest is, what waits and for what, and what gave up."""
    from hydrusd.cli._status import show_status

    show_status(state_dir, as_json=as_json, watch=watch)


class _Listing(click.Group):
    """A group that lists where nobody says what to do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; options alone are those of ``list``."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@cli.group(cls=_Listing, epilog=EXIT_CODES)
def dead() -> None:
    """Show dead letters (what gave up), put them back to work, or drop them.

    Without a command it lists them.
    """


@dead.command("list", epilog=EXIT_CODES)
@click.option("--rule", help="Only those of this rule.")
@LIMIT
@STATE_DIR
@JSON
def dead_list(rule: str | None, limit: int, state_dir: Path | None, as_json: bool) -> None:
    """List the newest dead letters: their numbers, what they are about, and the error."""
    from hydrusd.cli._dead import list_dead

    list_dead(state_dir, rule=rule, limit=limit, as_json=as_json)


@dead.command("show", epilog=EXIT_CODES)
@click.argument("job", type=NUMBER)
@RULES_FILE
@STATE_DIR
@JSON
def dead_show(job: int, rules_file: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show all of a dead letter: event, error, steps, parameters, and what to try next."""
    from hydrusd.cli._dead import show_dead

    show_dead(job, state_dir=state_dir, rules_file=rules_file, as_json=as_json)


@dead.command("retry", epilog=EXIT_CODES)
@JOBS
@click.option("--rule", help="All dead letters of this rule.")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@STATE_DIR
@JSON
def dead_retry(
    jobs: tuple[int, ...],
    rule: str | None,
    everything: bool,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Put dead letters back to work.

    They begin again under the rule as it is now; a running daemon takes them up by itself.
    """
    from hydrusd.cli._dead import retry_dead

    retry_dead(jobs, rule=rule, everything=everything, state_dir=state_dir, as_json=as_json)


@dead.command("drop", epilog=EXIT_CODES)
@JOBS
@click.option("--rule", help="All dead letters of this rule.")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@STATE_DIR
@JSON
def dead_drop(
    jobs: tuple[int, ...],
    rule: str | None,
    everything: bool,
    yes: bool,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Give dead letters up for good: they end as skipped.

    They stay known, so that the same file is not done again. Nothing on the disk or in Hydrus
    is changed.
    """
    from hydrusd.cli._dead import drop_dead

    drop_dead(jobs, rule=rule, everything=everything, yes=yes, state_dir=state_dir, as_json=as_json)


@cli.command(epilog=EXIT_CODES)
@click.argument("subject", metavar="PATH|HASH|URL|JOB")
@RULES_FILE
@STATE_DIR
@JSON
def explain(subject: str, rules_file: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Tell all that is known of a file, a URL, a file in Hydrus, or a job.

    What was noticed, which rules took it and what they did, which did not and why, and what it
    waits for now. Of a path of which nothing is known, only its name counts. A file whose name
    is a number is asked for as ./123.
    """
    from hydrusd.cli._explain import explain as explain_subject

    explain_subject(subject, state_dir=state_dir, rules_file=rules_file, as_json=as_json)


@cli.group(cls=_Listing, epilog=EXIT_CODES)
def runs() -> None:
    """Show what each firing of a rule did, and how long it took.

    Without a command it lists the newest.
    """


@runs.command("list", epilog=EXIT_CODES)
@click.option("--rule", help="Only those of this rule.")
@click.option(
    "--all", "everything", is_flag=True, help="Also those in which there was nothing to do."
)
@LIMIT
@STATE_DIR
@JSON
def runs_list(
    rule: str | None, everything: bool, limit: int, state_dir: Path | None, as_json: bool
) -> None:
    """List the newest runs: those that changed something, gave up, or are not over."""
    from hydrusd.cli._runs import list_runs

    list_runs(state_dir, rule=rule, everything=everything, limit=limit, as_json=as_json)


@runs.command("show", epilog=EXIT_CODES)
@click.argument("run", type=NUMBER)
@click.option("--all", "everything", is_flag=True, help="All jobs, however many.")
@STATE_DIR
@JSON
def runs_show(run: int, everything: bool, state_dir: Path | None, as_json: bool) -> None:
    """Show a run: its steps, its jobs, and how long they took."""
    from hydrusd.cli._runs import show_run

    show_run(run, everything=everything, state_dir=state_dir, as_json=as_json)


@cli.group(epilog=EXIT_CODES)
def ledger() -> None:
    """Look after the ledger itself: check it, back it up, mend it."""


@ledger.command("check", epilog=EXIT_CODES)
@STATE_DIR
@JSON
def ledger_check(state_dir: Path | None, as_json: bool) -> None:
    """Look at every page of the ledger and of its backups, and say what is wrong.

    Changes nothing; a daemon may run meanwhile.
    """
    from hydrusd.cli._ledger import check_ledger

    check_ledger(state_dir, as_json=as_json)


@ledger.command("backup", epilog=EXIT_CODES)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    help="Write it to this file. Default: beside those that are made every day.",
)
@STATE_DIR
@JSON
def ledger_backup(target: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Make a backup of the ledger now; a daemon may run meanwhile.

    The newest 5 that were asked for are kept beside the daily ones.
    """
    from hydrusd.cli._ledger import back_up_ledger

    back_up_ledger(state_dir, target=target, as_json=as_json)


@ledger.command("forget-mount", epilog=EXIT_CODES)
@click.argument("mount", metavar="FOLDER")
@STATE_DIR
@JSON
def ledger_forget_mount(mount: str, state_dir: Path | None, as_json: bool) -> None:
    """Wait no longer for a disk that was mounted at FOLDER.

    What was to be written to it is written to the folder itself, then, until a disk is mounted
    there again. A daemon may run meanwhile.
    """
    from hydrusd.cli._ledger import forget_mount_point

    forget_mount_point(state_dir, mount=mount, as_json=as_json)


@ledger.command("repair", epilog=EXIT_CODES)
@click.option("--yes", is_flag=True, help="Ask nothing.")
@STATE_DIR
@JSON
def ledger_repair(yes: bool, state_dir: Path | None, as_json: bool) -> None:
    """Make a sound ledger of what can be read and of the newest backup.

    Says first what would be missing, and asks. The damaged ledger is kept beside the new one.
    The daemon must not run.
    """
    from hydrusd.cli._ledger import repair_ledger

    repair_ledger(state_dir, yes=yes, as_json=as_json)


@ledger.command("prune", epilog=EXIT_CODES)
@click.option(
    "--older-than",
    metavar="AGE",
    help="As in 90d; for everything. Default: what `history` in the rules file says.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--compact", is_flag=True, help="Make the file smaller, too. hydrusd must not be running."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@RULES_FILE
@STATE_DIR
@JSON
def ledger_prune(
    older_than: str | None,
    dry_run: bool,
    compact: bool,
    yes: bool,
    rules_file: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Let go of the details of what ended long ago.

    That a file was had stays known, so it is not imported again. Dead letters and what is not
    over are kept whatever their age. What was pruned cannot be explained in full, nor undone. A
    running daemon does it by itself, once a day.
    """
    from hydrusd.cli._prune import prune_ledger

    prune_ledger(
        older_than=older_than,
        dry_run=dry_run,
        compact=compact,
        yes=yes,
        rules_file=rules_file,
        state_dir=state_dir,
        as_json=as_json,
    )


@cli.command(epilog=EXIT_CODES)
@click.argument("kind", type=click.Choice(["run", "job"]), metavar="run|job")
@click.argument("number", type=NUMBER)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--all", "everything", is_flag=True, help="Show all jobs, however many.")
@RULES_FILE
@STATE_DIR
@JSON
def undo(
    kind: str,
    number: int,
    only_plan: bool,
    yes: bool,
    everything: bool,
    rules_file: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Take back what a run or a job did, by its number.

    Just what it changed is taken back, and what somebody has changed since is left alone. First
    it is shown what that is, and what cannot be taken back and why; then you are asked. An
    undo is a run, too, and can be undone. A running daemon does it; without one it is done here.
    """
    from hydrusd.cli._undo import undo as undo_jobs

    undo_jobs(
        kind,
        number,
        rules_file=rules_file,
        state_dir=state_dir,
        only_plan=only_plan,
        yes=yes,
        everything=everything,
        as_json=as_json,
    )


@cli.command(epilog=EXIT_CODES)
@click.argument("rule")
@click.option(
    "--set",
    "values",
    metavar="NAME=VALUE",
    multiple=True,
    help="What the rule sees as {{ NAME }}; may be repeated. hash=… says which file it is about.",
)
@RULES_FILE
@STATE_DIR
def fire(
    rule: str, values: tuple[str, ...], rules_file: Path | None, state_dir: Path | None
) -> None:
    """Fire a rule that is `on: manual`, by its name.

    A running daemon takes it up by itself; without one it happens when hydrusd is started next.
    """
    from hydrusd.cli._fire import fire_rule

    fire_rule(rule, values, rules_file=rules_file, state_dir=state_dir)


@cli.command(epilog=EXIT_CODES)
@click.option(
    "--pictures", type=click.IntRange(1, 5000), default=24, show_default=True, help="How many."
)
@JSON
def demo(pictures: int, as_json: bool) -> None:
    """See the main job at work on an embedded simulator. Needs nothing, leaves nothing behind."""
    from hydrusd.cli._demo import run_demo

    run_demo(pictures, as_json=as_json)


@cli.command(epilog=EXIT_CODES)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=45869,
    show_default=True,
    help="Where to listen; 0 takes a free one.",
)
@click.option(
    "--api-version",
    type=click.Choice(["95", "32", "11"]),
    default="95",
    show_default=True,
    help="Which client to be: Hydrus v682, v500 or v377.",
)
@click.option("--access-key", help="64 hexadecimal digits. Default: a fixed one, which is printed.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the collection here. Default: in memory only.",
)
@click.option(
    "--commit-seconds",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="How long it keeps what it was sent before it commits.",
)
@click.option(
    "--import-seconds",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How long an import takes; a real client needs 0.06.",
)
def simulator(
    host: str,
    port: int,
    api_version: str,
    access_key: str | None,
    state_dir: Path | None,
    commit_seconds: float,
    import_seconds: float,
) -> None:
    """Serve a stand-in for a Hydrus client, to try rules on."""
    from hydrusd.cli._simulator import run_simulator

    run_simulator(
        host,
        port,
        api_version=int(api_version),
        access_key=access_key,
        state_dir=state_dir,
        commit_seconds=commit_seconds,
        import_seconds=import_seconds,
    )


@cli.group(epilog=EXIT_CODES)
def plugin() -> None:
    """Write plugins of your own, and test them."""


@plugin.command("new", epilog=EXIT_CODES)
@click.argument("name")
@click.option("--package", is_flag=True, help="A package that can be installed, not one file.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write. Default: NAME, here.",
)
def plugin_new(name: str, package: bool, folder: Path | None) -> None:
    """Write a new plugin that works: with its test, a README and a file for CI.

    NAME is that of its step in rules, like tag_by_size.
    """
    from hydrusd.cli._plugin_new import write_new_plugin

    write_new_plugin(name, folder, package=package)


@plugin.command("test", epilog=EXIT_CODES)
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS OF PYTEST]")
def plugin_test(path: Path, arguments: tuple[str, ...]) -> None:
    """Run the tests of a plugin, by its file or folder.

    Without pytest the contract is tried on the examples of the tests, and nothing else.
    """
    from hydrusd.cli._plugin_test import run_tests

    run_tests(path, arguments)


class _LateGroup(click.Group):
    """A group whose commands are imported when one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give their names."""
        from hydrusd.cli._api import COMMANDS

        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give one by its name."""
        from hydrusd.cli._api import COMMANDS

        del ctx
        return COMMANDS.get(cmd_name)


@cli.group(cls=_LateGroup, epilog=EXIT_CODES)
def api() -> None:
    """Ask the Hydrus client something: services, searches, tags, pages, …

    Where it is stands in the rules file, or is said by --url.
    """


@cli.command(epilog=EXIT_CODES)
@click.option("--url", help="Where the Client API listens; usually http://127.0.0.1:45869.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Take the access key from this file (- is standard input) and ask Hydrus for none.",
)
@click.option(
    "--store",
    type=click.Choice(["file", "keyring", "env"]),
    help="Where to keep the access key; env has you keep it in an environment variable.",
)
@click.option(
    "--rules-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The rules file to write; one that exists is only read.",
)
@click.option("--allow-plain-http", is_flag=True, help="Trust the network on the way there.")
@click.option("--tls-fingerprint", help="The SHA-256 of the client's certificate, for https.")
@click.option("--show-key", is_flag=True, help="With --store env: print a key just made, once.")
@click.option("--yes", is_flag=True, help="Ask nothing; take what is usual.")
def setup(
    url: str | None,
    key_file: Path | None,
    store: str | None,
    rules_file: Path | None,
    allow_plain_http: bool,
    tls_fingerprint: str | None,
    show_key: bool,
    yes: bool,
) -> None:
    """Connect hydrusd to your Hydrus client and write a first rules file.

    Nothing that exists is overwritten.
    """
    from hydrusd.cli._setup import Answers, run_setup

    run_setup(
        Answers(
            url=url,
            key_file=key_file,
            store=store,
            rules_file=rules_file,
            allow_plain_http=allow_plain_http,
            tls_fingerprint=tls_fingerprint,
            show_key=show_key,
            yes=yes,
        )
    )


def main() -> None:
    """Run the command line; errors that hydrusd raises on purpose are told without a traceback."""
    from hydrusd.cli._failing import failing_plainly
    from hydrusd.cli._terminal import write_what_can_be_written

    write_what_can_be_written()
    with failing_plainly():
        cli(prog_name="hydrusd")


if __name__ == "__main__":
    main()
