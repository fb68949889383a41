"""TLS at both doors: what is spoken, which certificates are refused in which words, and one that was renewed."""

from __future__ import annotations

import asyncio
import logging
import ssl
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import trustme
from boxes import until
from conftest import StartBox
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from test_command_line import Terminal, one_sentence, terminal

from broker import host as host_module
from broker.doors.tls import CertificateError, read_certificate
from broker.host import Host

__all__ = ["terminal"]

DAY = timedelta(days=1)


class Authority:
    """Issues certificates into a folder: ``cert.pem`` with its chain, and ``key.pem``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = trustme.CA()
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"

    def issue(self, *names: str, valid_from: timedelta = -DAY, valid_for: timedelta = 90 * DAY) -> trustme.LeafCert:
        now = datetime.now(UTC)
        return self.root.issue_cert(*(names or ("localhost",)), not_before=now + valid_from, not_after=now + valid_for)

    def write(self, issued: trustme.LeafCert) -> None:
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))

    @property
    def files(self) -> dict[str, str]:
        return {"certfile": str(self.cert), "keyfile": str(self.key)}

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.root.configure_trust(context)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.write(made.issue())
    return made


async def tls_box(box: StartBox, authority: Authority) -> Host:
    return await box(listeners={"web": authority.files, "tcp": authority.files})


def doors(host: Host) -> list[tuple[str, int]]:
    return [host.web_addresses[0], host.tcp_addresses[0]]


async def shown(address: tuple[str, int], context: ssl.SSLContext) -> tuple[str | None, int]:
    """The version that is spoken, and the serial number of the certificate that is shown."""
    _, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="localhost")
    spoken = writer.get_extra_info("ssl_object")
    serial = int(spoken.getpeercert()["serialNumber"], 16)
    writer.transport.abort()
    return spoken.version(), serial


# What is spoken


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_doors_speak_tls_1_2_and_1_3(box: StartBox, authority: Authority, version: ssl.TLSVersion) -> None:
    host = await tls_box(box, authority)
    context = authority.trusting()
    context.minimum_version = context.maximum_version = version
    for address in doors(host):
        assert (await shown(address, context))[0] == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_both_doors_refuse_what_is_older(box: StartBox, authority: Authority, version: ssl.TLSVersion) -> None:
    host = await tls_box(box, authority)
    context = authority.trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")  # else this client would not even offer it
    context.minimum_version = context.maximum_version = version
    for address in doors(host):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(address, context)


async def test_a_device_comes_in_by_mqtts(box: StartBox, authority: Authority) -> None:
    host = await tls_box(box, authority)
    came_in, codes = threading.Event(), []
    device = paho.Client(paho.CallbackAPIVersion.VERSION2)
    device.username_pw_set("ann", "ann-demo")
    device.tls_set_context(authority.trusting())
    device.on_connect = lambda client, data, flags, code, properties: (codes.append(code.value), came_in.set())
    device.connect_async("localhost", host.tcp_addresses[0][1])
    device.loop_start()
    try:
        assert await asyncio.to_thread(came_in.wait, 10)
    finally:
        device.disconnect()
        device.loop_stop()
    assert codes == [0]


# Which certificates cannot be served with


def missing(authority: Authority) -> str:
    authority.cert.unlink()
    return "there is no file {cert}"


def without_its_key(authority: Authority) -> str:
    authority.key.unlink()
    return "there is no file {key}"


def a_folder(authority: Authority) -> str:
    authority.cert.unlink()
    authority.cert.mkdir()
    return "{cert} cannot be read: Is a directory"


def not_pem(authority: Authority) -> str:
    authority.cert.write_bytes(b"\x30\x82not PEM")
    return "{cert} is not a certificate in PEM"


def a_certificate_in_the_keys_place(authority: Authority) -> str:
    authority.key.write_bytes(authority.cert.read_bytes())
    return "{key} is not a private key in PEM"


def with_the_key_of_another(authority: Authority) -> str:
    authority.key.write_bytes(authority.issue().private_key_pem.bytes())
    return "the key {key} is not that of the certificate {cert}"


def with_an_encrypted_key(authority: Authority) -> str:
    key = serialization.load_pem_private_key(authority.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"a password of the key")
    kind = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    authority.key.write_bytes(key.private_bytes(*kind, encryption))
    return "the key {key} is encrypted, and at a start nobody is there to type its password: decrypt it"


def with_its_issuer_first(authority: Authority) -> str:
    issued = authority.root.create_child_ca().issue_cert("localhost")
    authority.write(issued)
    authority.cert.write_bytes(b"".join(pem.bytes() for pem in reversed(issued.cert_chain_pems)))
    return "the certificates in {cert} are in the wrong order: the box's own comes first, then each one's issuer"


def with_its_issuers_in_the_wrong_order(authority: Authority) -> str:
    issued = authority.root.create_child_ca().create_child_ca().issue_cert("localhost")
    authority.write(issued)
    own, *issuers = [pem.bytes() for pem in issued.cert_chain_pems]
    assert len(issuers) == 2
    authority.cert.write_bytes(b"".join((own, *reversed(issuers))))
    return "the certificates in {cert} are in the wrong order: the box's own comes first, then each one's issuer"


def with_other_bytes(authority: Authority, before: bytes, after: bytes) -> str:
    der = x509.load_pem_x509_certificate(authority.cert.read_bytes()).public_bytes(serialization.Encoding.DER)
    assert der.count(before) == 1
    authority.cert.write_bytes(ssl.DER_cert_to_PEM_cert(der.replace(before, after)).encode())
    return "{cert} holds a certificate with parts that cannot be read"


def with_a_key_of_an_unknown_kind(authority: Authority) -> str:
    id_ec_public_key = bytes.fromhex("2a8648ce3d0201")
    return with_other_bytes(authority, id_ec_public_key, id_ec_public_key[:-1] + b"\x09")


def with_an_extension_twice(authority: Authority) -> str:
    """The key's usage in the place of its extended usage."""
    return with_other_bytes(authority, bytes.fromhex("0603551d25"), bytes.fromhex("0603551d0f"))


@pytest.mark.parametrize("door", ["web", "tcp"])
@pytest.mark.parametrize(
    "spoil",
    [
        missing,
        without_its_key,
        a_folder,
        not_pem,
        a_certificate_in_the_keys_place,
        with_the_key_of_another,
        with_an_encrypted_key,
        with_its_issuer_first,
        with_its_issuers_in_the_wrong_order,
        with_a_key_of_an_unknown_kind,
        with_an_extension_twice,
    ],
)
def test_a_bad_certificate_is_one_sentence_at_start_and_the_same_in_check(
    terminal: Terminal, authority: Authority, spoil: Callable[[Authority], str], door: str
) -> None:
    said = spoil(authority).format(cert=authority.cert, key=authority.key)
    settings = {f"LYNRIE_LISTENERS__{door.upper()}__{name.upper()}": file for name, file in authority.files.items()}
    settings.setdefault("LYNRIE_LISTENERS__TCP__BIND", "127.0.0.1:0")
    assert one_sentence(terminal.run(**settings), 1) == said
    checked = terminal.run("check", **settings)
    assert checked.returncode == 1
    assert f"STOP  listeners.{door}: {said}; " in checked.stdout


def test_a_certificate_that_may_not_be_read_is_told(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:  # root may read everything
        raise PermissionError(13, "Permission denied")

    authority.key.chmod(0)
    assert stat.S_IMODE(authority.key.stat().st_mode) == 0
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CertificateError, match=r"cert\.pem cannot be read: Permission denied$"):
        read_certificate(authority.cert, authority.key)


def test_a_chain_in_order_can_be_served_with(authority: Authority) -> None:
    authority.write(authority.root.create_child_ca().create_child_ca().issue_cert("localhost"))
    assert read_certificate(authority.cert, authority.key).names == {"localhost"}


# Which certificates browsers refuse, or soon will


@pytest.mark.parametrize(
    ("valid_from", "valid_for", "line"),
    [
        (-40 * DAY, 31 * DAY, "ok    listeners.web: the certificate {cert} fits, until {end}"),
        (-40 * DAY, 29.5 * DAY, "todo  listeners.web: the certificate {cert} expires on {end}, in 29 days; renew it"),
        (-40 * DAY, 1.5 * DAY, "todo  listeners.web: the certificate {cert} expires on {end}, in 1 day; renew it"),
        (-40 * DAY, DAY / 2, "todo  listeners.web: the certificate {cert} expires on {end}, in less than a day; renew"),
        (-40 * DAY, -DAY, "STOP  listeners.web: the certificate {cert} has expired on {end}; renew it, and look at"),
        (DAY, 90 * DAY, "STOP  listeners.web: the certificate {cert} is not valid before {begin}; renew it, and"),
    ],
)
def test_check_tells_of_a_certificates_end(
    terminal: Terminal, authority: Authority, valid_from: timedelta, valid_for: timedelta, line: str
) -> None:
    authority.write(authority.issue(valid_from=valid_from, valid_for=valid_for))
    days = {
        name: (datetime.now(UTC) + offset).strftime("%Y-%m-%d")
        for name, offset in (("begin", valid_from), ("end", valid_for))
    }
    checked = terminal.run(
        "check", **{f"LYNRIE_LISTENERS__WEB__{name.upper()}": file for name, file in authority.files.items()}
    )
    assert line.format(cert=authority.cert, **days) in checked.stdout
    assert checked.returncode == (1 if line.startswith("STOP") else 0)


@pytest.mark.parametrize(
    ("names", "url", "is_covered"),
    [
        (["box.example.org"], "https://box.example.org", True),
        (["box.example.org"], "https://BOX.example.org:8443", True),
        (["*.example.org"], "https://box.example.org", True),
        (["*.example.org"], "https://deep.box.example.org", False),
        (["*.example.org"], "https://example.org", False),
        (["localhost"], "https://box.example.org", False),
        (["192.0.2.7"], "https://192.0.2.7", True),
        (["2001:db8::7"], "https://[2001:db8:0::7]:9001", True),
        (["192.0.2.7"], "https://192.0.2.8", False),
        (["localhost"], "http://box.example.org", True),  # no TLS under this address
    ],
)
def test_check_says_whether_the_certificate_is_for_the_public_name(
    terminal: Terminal, authority: Authority, names: list[str], url: str, is_covered: bool
) -> None:
    authority.write(authority.issue(*names))
    settings = {f"LYNRIE_LISTENERS__WEB__{name.upper()}": file for name, file in authority.files.items()}
    checked = terminal.run("check", LYNRIE_LISTENERS__WEB__PUBLIC_URLS=f'["{url}"]', **settings)
    assert checked.returncode == 0
    assert ("is not for" not in checked.stdout) is is_covered


@pytest.mark.parametrize(
    ("valid_from", "valid_for", "told"),
    [
        (-40 * DAY, -DAY, "listeners.web: the certificate {} has expired on "),
        (DAY, 90 * DAY, "listeners.web: the certificate {} is not valid before "),
        (-40 * DAY, 9.5 * DAY, "listeners.web: the certificate {} expires on "),
    ],
)
async def test_a_box_whose_certificate_is_out_of_its_time_opens_and_says_so(
    box: StartBox,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    valid_from: timedelta,
    valid_for: timedelta,
    told: str,
) -> None:
    authority.write(authority.issue(valid_from=valid_from, valid_for=valid_for))
    with caplog.at_level(logging.WARNING):
        host = await tls_box(box, authority)
    assert host.web_addresses
    assert told.format(authority.cert) in caplog.text


# A certificate that is renewed while the box is open


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are looked at all the time."""
    monkeypatch.setattr(host_module, "CERTIFICATE_SECONDS", 0.01)


@pytest.mark.usefixtures("often")
async def test_a_renewed_certificate_is_shown_without_a_restart_and_who_is_in_stays(
    box: StartBox, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    host = await tls_box(box, authority)
    before = [await shown(address, authority.trusting()) for address in doors(host)]
    reader, writer = await asyncio.open_connection(
        *doors(host)[0], ssl=authority.trusting(), server_hostname="localhost"
    )
    with caplog.at_level(logging.INFO):
        authority.write(authority.issue())
        await until(lambda: caplog.text.count("the certificate is renewed") >= 2)
    after = [await shown(address, authority.trusting()) for address in doors(host)]
    assert before[0][1] == before[1][1] != after[0][1] == after[1][1]
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.usefixtures("often")
async def test_a_renewal_that_does_not_fit_leaves_the_certificate_before_in_its_place(
    box: StartBox, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    host = await tls_box(box, authority)
    before = [await shown(address, authority.trusting()) for address in doors(host)]
    issued = authority.issue()
    authority.cert.write_bytes(issued.cert_chain_pems[0].bytes())  # and the key is still the old one's
    await until(lambda: caplog.text.count("the certificate is not renewed: the key") >= 2)
    with_a_key_of_an_unknown_kind(authority)
    await until(lambda: caplog.text.count("parts that cannot be read") >= 2)
    authority.cert.write_bytes(issued.cert_chain_pems[0].bytes())
    assert [await shown(address, authority.trusting()) for address in doors(host)] == before
    authority.key.write_bytes(issued.private_key_pem.bytes())  # as it comes a moment later
    await until(lambda: caplog.text.count("the certificate is renewed") >= 2)
    serials = {(await shown(address, authority.trusting()))[1] for address in doors(host)}
    assert serials.isdisjoint(serial for _, serial in before)
