"""The client against the simulated Hydrus of three eras, over real HTTP."""

from __future__ import annotations

import hashlib
import io
import logging
import traceback

import anyio
import httpx
import pytest
from PIL import Image

from hydrusd.errors import (
    AccessDenied,
    HydrusError,
    HydrusFailed,
    HydrusUnavailable,
    PermissionMissing,
    RequestRejected,
    VersionTooOld,
)
from hydrusd.hydrus import HydrusClient, ImportStatus, Permission, TagStatus, clean_tag
from hydrusd.simulator import Fault, FaultKind, Permissions, Simulator, SimulatorConfig

pytestmark = pytest.mark.anyio

SESSION = "/session_key"


@pytest.fixture
async def post(url, access_key):
    """Post to the client past hydrusd, as another program would."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as raw:

        async def post(path, content):
            headers = {"Hydrus-Client-API-Access-Key": access_key}
            answer = await raw.post(path, json=content, headers=headers)
            assert answer.status_code == 200

        yield post


def picture(number):
    image = Image.new("RGB", (16, 16), (number % 256, number // 256, 77))
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


@pytest.fixture
def pictures(tmp_path):
    """Make picture files; gives their paths by hash, in order."""

    def make(count):
        made = {}
        for number in range(count):
            content = picture(number)
            path = tmp_path / f"{number}.png"
            path.write_bytes(content)
            made[hashlib.sha256(content).hexdigest()] = path
        return made

    return make


class Stage(Simulator):
    """One server for the whole module, each test with a simulator of its own behind it.

    To stop a server takes longer than most tests.
    """

    player: Simulator

    @property
    def app(self):
        async def app(scope, receive, send):
            await self.player.app(scope, receive, send)

        return app


@pytest.fixture(scope="module")
def stage():
    with Stage() as stage, stage.serve() as url:
        yield stage, url


@pytest.fixture
def put_on(stage):
    """Put a simulator behind the server; gives the address."""

    def put_on(simulator):
        stage[0].player = simulator
        return stage[1]

    return put_on


@pytest.fixture
def simulator(era, access_key):
    keys = {access_key: Permissions(permits_everything=True)}
    with Simulator(SimulatorConfig(api_version=era, access_keys=keys)) as simulator:
        yield simulator


@pytest.fixture
def url(simulator, put_on):
    return put_on(simulator)


@pytest.fixture
async def client(url, access_key):
    async with HydrusClient(url, access_key) as client:
        await client.connect()
        yield client


async def test_the_main_job(client, simulator, pictures, era):
    files = pictures(3)
    boot = client.info.boot
    for sha256, path in files.items():
        result = await client.add_file(path)
        assert (result.status, result.hash, result.note) == (ImportStatus.IMPORTED, sha256, "")
    again = await client.add_file(next(iter(files.values())))
    assert again.status is ImportStatus.ALREADY_IN_DATABASE
    await client.add_tags(list(files), {"my tags": ["from:inbox", " Folder : A b "]})
    for sha256 in files:
        assert simulator.tags(sha256)[TagStatus.CURRENT] == {"from:inbox", "folder:a b"}
    found = await client.tags([*files, "ab" * 32])
    my_tags = client.tag_service("my tags").reference
    for sha256 in files:
        assert found[sha256][my_tags][TagStatus.CURRENT] == {"from:inbox", "folder:a b"}
    assert not any(any(statuses.values()) for statuses in found["ab" * 32].values())
    if client.can_force_commit:
        assert not simulator.committed_files()
        await client.force_commit()
        assert simulator.committed_files() == set(files)
    assert await client.boot() == boot


async def test_what_is_known_is_what_the_client_has(client, simulator, post, pictures, era):
    files = list(pictures(3).items())
    never = "cd" * 32
    merely_tagged = "ab" * 32
    await client.add_tags([merely_tagged], {"my tags": ["a"]})
    for _, path in files:
        await client.add_file(path)
    (kept, _), (trashed, _), (lost, _) = files
    asked = [kept, trashed, lost, merely_tagged, never]
    if era == 11:
        with pytest.raises(VersionTooOld):
            await client.known_hashes(asked)
        return
    assert await client.known_hashes(asked) == {kept, trashed, lost}
    await post("/add_files/delete_files", {"hashes": [trashed]})
    assert simulator.files[trashed].status == "trashed"
    assert await client.known_hashes(asked) == {kept, lost}
    simulator.crash()
    assert await client.known_hashes(asked) == set()


async def test_many_hashes_are_known_in_few_requests(client, simulator, pictures, era):
    files = pictures(3)
    for path in files.values():
        await client.add_file(path)
    asked = [f"{number:064x}" for number in range(3000)] + list(files)
    route = "/get_files/search_files"
    if era > 11:
        assert await client.known_hashes(asked) == set(files)
        assert simulator.requests[route] == 2


async def test_a_restart_shows_in_the_boot(client, simulator, era):
    before = client.info.boot
    assert await client.boot() == before
    simulator.crash()
    after = await client.boot()
    assert after != before
    assert await client.boot() == after
    assert (await client.connect()).boot == after
    assert simulator.requests[SESSION] == 2


async def test_a_restart_in_mid_work_costs_nothing_but_what_it_lost(client, simulator, pictures):
    (sha256, path), *_ = pictures(1).items()
    assert (await client.add_file(path)).status is ImportStatus.IMPORTED
    simulator.crash()
    assert (await client.add_file(path)).status is ImportStatus.IMPORTED  # with its body again
    assert simulator.imports()[sha256] == 2


async def test_an_expired_session_is_renewed(client, simulator, pictures):
    simulator.expire_sessions()
    ((sha256, path),) = pictures(1).items()
    assert (await client.add_file(path)).hash == sha256
    assert simulator.requests[SESSION] == 2


async def test_files_that_are_no_pictures(client, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"this is no picture")
    result = await client.add_file(path)
    assert (result.status, result.note) == (ImportStatus.FAILED, "Unknown filetype!")
    path.write_bytes(b"")
    result = await client.add_file(path)
    assert (result.status, result.note) == (ImportStatus.FAILED, "File is of zero length!")


async def test_a_veto(access_key, pictures, put_on):
    keys = {access_key: Permissions(permits_everything=True)}
    config = SimulatorConfig(access_keys=keys, veto_over_bytes=10)
    with Simulator(config) as simulator:
        async with HydrusClient(put_on(simulator), access_key) as client:
            await client.connect()
            (path,) = pictures(1).values()
            assert (await client.add_file(path)).status is ImportStatus.VETOED


@pytest.mark.parametrize("tag", ["100%22", "%25 a", "a+b&c=d", "é%e9", 'quote" and \\', "50% off?"])
async def test_tags_with_percent_signs_arrive_as_they_are(client, simulator, tag):
    assert await client.clean_tags([tag]) == [clean_tag(tag)]
    await client.add_tags(["ab" * 32], {"my tags": [tag]})
    assert simulator.tags("ab" * 32)[TagStatus.CURRENT] == {clean_tag(tag)}


async def test_a_removed_tag_stays_away_where_the_client_can_tell(client, simulator, post, era):
    sha256 = "ab" * 32
    await client.add_tags([sha256], {"my tags": ["a"]})
    reference = client.tag_service("my tags").reference
    services = "names" if era == 11 else "keys"
    await post(
        "/add_tags/add_tags",
        {
            "hashes": [sha256],
            f"service_{services}_to_actions_to_tags": {reference: {"1": ["a"]}},
        },
    )
    assert simulator.tags(sha256)[TagStatus.DELETED] == {"a"}
    await client.add_tags([sha256], {"my tags": ["a"]})
    spared = TagStatus.CURRENT not in simulator.tags(sha256)
    assert spared == client.can_spare_deleted_tags == (era == 95)
    await client.add_tags([sha256], {"my tags": ["a"]}, readd_deleted=True)
    assert simulator.tags(sha256)[TagStatus.CURRENT] == {"a"}


@pytest.mark.parametrize(
    ("fault", "kind", "unknown"),
    [
        (Fault(kind=FaultKind.STATUS, path="/add_tags/add_tags"), HydrusUnavailable, False),
        (
            Fault(kind=FaultKind.STATUS, path="/add_tags/add_tags", status=500, words="Oh!"),
            HydrusFailed,
            None,
        ),
        (
            Fault(kind=FaultKind.STATUS, path="/add_tags/add_tags", status=400, words="No!"),
            RequestRejected,
            None,
        ),
        (Fault(kind=FaultKind.CUT, path="/add_tags/add_tags"), HydrusUnavailable, True),
        (Fault(kind=FaultKind.WORK_THEN_CUT, path="/add_tags/add_tags"), HydrusUnavailable, True),
        (Fault(kind=FaultKind.NOT_JSON, path="/add_tags/add_tags"), HydrusFailed, None),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else "",
)
async def test_mishaps_of_a_write(client, simulator, fault, kind, unknown):
    simulator.inject(fault)
    with pytest.raises(kind) as caught:
        await client.add_tags(["ab" * 32], {"my tags": ["a"]})
    assert getattr(caught.value, "outcome_unknown", None) is unknown
    assert not simulator.faults_waiting
    was_done = fault.kind is FaultKind.WORK_THEN_CUT
    assert bool(simulator.tags("ab" * 32).get(TagStatus.CURRENT)) == was_done
    await client.add_tags(["ab" * 32], {"my tags": ["a"]})  # and repeating is always right
    assert simulator.tags("ab" * 32)[TagStatus.CURRENT] == {"a"}


async def test_an_upload_that_is_cut_off_after_the_work(client, simulator, pictures):
    ((sha256, path),) = pictures(1).items()
    for kind in (FaultKind.WORK_THEN_CUT, FaultKind.CUT_BODY):
        simulator.inject(Fault(kind=kind, path="/add_files/add_file"))
        with pytest.raises(HydrusUnavailable) as caught:
            await client.add_file(path)
        assert caught.value.outcome_unknown is True
    assert (await client.add_file(path)).status is ImportStatus.ALREADY_IN_DATABASE
    assert simulator.imports()[sha256] == 1


async def test_a_slow_answer_is_given_up(url, simulator, access_key):
    async with HydrusClient(url, access_key, timeout_seconds=0.2) as client:
        await client.connect()
        simulator.inject(Fault(kind=FaultKind.SLOW, path="/add_tags/add_tags", seconds=1.0))
        with pytest.raises(HydrusUnavailable, match=r"no answer from .* within 0\.2 s") as caught:
            await client.add_tags(["ab" * 32], {"my tags": ["a"]})
        assert caught.value.outcome_unknown is True


async def test_a_cancelled_call_leaves_the_client_usable(client, simulator, pictures):
    simulator.inject(Fault(kind=FaultKind.SLOW, path="/add_files/add_file", seconds=0.3))
    ((sha256, path),) = pictures(1).items()
    with anyio.move_on_after(0.05) as scope:
        await client.add_file(path)
    assert scope.cancelled_caught
    assert (await client.add_file(path)).hash == sha256


async def test_a_limited_key(era, put_on):
    limited = "ab" * 32
    keys = {limited: Permissions(name="looker", basic=frozenset({3}))}
    with Simulator(SimulatorConfig(api_version=era, access_keys=keys)) as simulator:
        async with HydrusClient(put_on(simulator), limited) as client:
            info = await client.connect()
            assert (info.key_name, info.permissions) == ("looker", {Permission.SEARCH_FILES})
            assert not info.permits_everything
            with pytest.raises(PermissionMissing):
                await client.add_tags(["ab" * 32], {"my tags": ["a"]})
            assert not simulator.requests["/add_tags/add_tags"]


async def test_a_permission_taken_away_after_connecting(simulator, client, era):
    words = "edit file tags" if era == 95 else "add tags to files"
    simulator.inject(
        Fault(
            kind=FaultKind.STATUS,
            path="/add_tags/add_tags",
            status=403,
            words=f"You do not have permission to: {words}",
            exception_name="InsufficientCredentialsException",
        )
    )
    with pytest.raises(PermissionMissing) as caught:
        await client.add_tags(["ab" * 32], {"my tags": ["a"]})
    assert caught.value.permission == words


async def test_an_unknown_and_a_revoked_key(url, simulator, client, access_key):
    async with HydrusClient(url, "ee" * 32) as stranger:
        with pytest.raises(AccessDenied):
            await stranger.connect()
    simulator.revoke(access_key)
    with pytest.raises(AccessDenied):
        await client.boot()


async def test_a_client_that_goes_and_comes_back(simulator, access_key):
    async with simulator.serve() as url:
        port = int(url.rpartition(":")[2])
        client = HydrusClient(url, access_key)
        first = await client.connect()
    async with client:
        with pytest.raises(HydrusUnavailable):
            await client.boot()
        simulator.crash()
        async with simulator.serve(port=port):
            assert (await client.connect()).boot != first.boot


async def test_no_secret_is_written_anywhere(
    url, simulator, client, access_key, pictures, caplog, capfd
):
    """Everything that says anything is made to say it, at the most talkative level."""
    caplog.set_level(logging.DEBUG)
    said = [repr(client), str(client), repr(vars(client)), repr(client.info), str(client.services)]
    ((sha256, path),) = pictures(1).items()
    session_keys = set()
    failures = []

    async def failing(call):
        try:
            await call
        except HydrusError as error:
            failures.append(error)

    def noted():
        session_keys.add(client._session._key.get_secret_value())

    noted()
    simulator.crash()
    await client.add_file(path)
    noted()
    for kind in (FaultKind.CUT, FaultKind.WORK_THEN_CUT, FaultKind.NOT_JSON, FaultKind.CUT_BODY):
        simulator.inject(Fault(kind=kind, path="/verify_access_key"))
        await failing(client.connect())
    told = " ".join([access_key, *session_keys])  # a client that tells what it was told
    for status in (400, 401, 403, 404, 500, 503):
        simulator.inject(
            Fault(kind=FaultKind.STATUS, path="/add_tags/add_tags", status=status, words=told)
        )
        await failing(client.add_tags([sha256], {"my tags": ["a"]}))
    simulator.crash()
    for kind in (FaultKind.CUT, FaultKind.NOT_JSON):
        simulator.inject(Fault(kind=kind, path=SESSION))
        await failing(client.boot())
    simulator.revoke(access_key)
    await failing(client.boot())
    assert len(failures) == 13
    for error in failures:
        said += [str(error), repr(error), "".join(traceback.format_exception(error))]
        said.append(error.excerpt)
    said += [record.getMessage() for record in caplog.records]
    said += [repr(record.args) for record in caplog.records]
    said += capfd.readouterr()
    assert len(session_keys) == 2
    for text in said:
        for key in (access_key, *session_keys):
            assert key not in text
