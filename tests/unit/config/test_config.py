from __future__ import annotations

import base64
import pickle
from pathlib import Path

import pytest

from gateway.config import Config, Secret, effective, find_config_path, load
from gateway.config.kinds import parse_duration, parse_size, show_duration, show_size
from gateway.config.load import DEFAULT_PATH
from gateway.errors import ConfigError

KEY = base64.b64encode(bytes(range(32))).decode()
TOKEN_SECRET = "correct horse battery staple, thirty-two"
MINIMAL = f"""
[spool.keys]
active = "k1"
k1 = "{KEY}"
[tokens]
secret = "{TOKEN_SECRET}"
[endpoints.main]
url = "http://127.0.0.1:8042/dicom-web/"
"""


@pytest.fixture
def read(tmp_path):
    """Loads a text as the configuration, with further lines before it and an environment over it."""

    def read(text: str = MINIMAL, **environ: str) -> Config:
        path = tmp_path / "relaypacs.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ)

    return read


def refusal(read, text: str = MINIMAL, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, **environ)
    assert "\n" not in caught.value.detail, "an error is one line"
    return caught.value.detail


# --- what a file gives ----------------------------------------------------------------------------------------------


def test_three_tables_are_enough_and_the_rest_has_its_defaults(read):
    config = read()
    assert config.server.host == "127.0.0.1"
    assert config.server.port == 8080
    assert config.server.public_url == "http://127.0.0.1:8080"
    assert config.server.drain_s == 20
    assert config.database.path == Path("/var/relaypacs/relaypacs.db")
    assert config.spool.path == Path("/var/relaypacs/spool")
    assert config.spool.max_bytes == 50 * 1024**3
    assert config.spool.keys.active == "k1"
    assert config.spool.keys.by_name["k1"].reveal() == bytes(range(32))
    assert config.uploads.chunk_size_bytes == 4 * 1024**2
    assert config.uploads.expires_s == 24 * 3600
    assert config.tokens.secret.reveal() == TOKEN_SECRET
    assert config.retention.records_s == 90 * 86400
    assert config.delivery.retry_for_s == 72 * 3600
    assert config.validation.study_mismatch == "hold"
    assert config.audit.retention_s == 6 * 365 * 86400
    assert config.app.notice == ""


def test_the_only_endpoint_is_the_default_and_is_shown_by_its_id(read):
    endpoint = read().endpoints["main"]
    assert endpoint.endpoint_id == "main"
    assert endpoint.url == "http://127.0.0.1:8042/dicom-web"
    assert endpoint.default
    assert read().default_endpoint == endpoint
    assert endpoint.display_name == "main"
    assert (endpoint.kind, endpoint.mode, endpoint.identity, endpoint.notes) == ("dicomweb", "complete", "check", "sr")
    assert (endpoint.verify, endpoint.verify_for_s, endpoint.auth.kind) == (True, 600, "none")


def test_a_folder_has_a_path_and_a_layout_of_its_own(read):
    endpoint = read(MINIMAL + '[endpoints.inbox]\nkind = "folder"\npath = "/srv/inbox"\n').endpoints["inbox"]
    assert endpoint.path == Path("/srv/inbox")
    assert endpoint.layout == "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm"


def test_a_pacs_by_dicom_has_a_host_and_titles(read):
    text = MINIMAL + '[endpoints.b]\nkind = "dimse"\nhost = "10.1.2.3"\ncalled_aet = "ARCHIVE"\n'
    endpoint = read(text).endpoints["b"]
    assert (endpoint.port, endpoint.called_aet, endpoint.calling_aet) == (11112, "ARCHIVE", "RELAYPACS")
    assert (endpoint.associations, endpoint.tls) == (4, None)
    tls = read(text + "tls = { }\n", RELAYPACS__ENDPOINTS__B__TLS__CA=__file__).endpoints["b"].tls
    assert tls is not None
    assert tls.ca == Path(__file__)
    assert "[endpoints.b.tls]" in effective(read(text + "tls = { }\n"))


def test_of_several_endpoints_none_need_be_the_default(read):
    config = read(MINIMAL + '[endpoints.other]\nurl = "https://other.example.org"\n')
    assert config.default_endpoint is None
    config = read(MINIMAL + '[endpoints.other]\nurl = "https://other.example.org"\ndefault = true\n')
    assert config.default_endpoint is config.endpoints["other"]


@pytest.mark.parametrize(
    ("given", "size_bytes"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("64KiB", 65536),
        ("4MiB", 4194304),
        ("1.5GiB", 1610612736),
        ("2 TiB", 2 * 1024**4),
        ("1GB", 10**9),
        ("10mb", 10**7),
        ("12B", 12),
    ],
)
def test_sizes_are_read_in_the_units_people_write(given, size_bytes):
    assert parse_size(given) == size_bytes


@pytest.mark.parametrize("given", ["", "MiB", "-1", -1, True, "4 XiB", "1e9", None, [], 2**62, "4MiB4"])
def test_what_is_no_size_is_refused(given):
    with pytest.raises(ValueError, match="takes a size"):
        parse_size(given)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (20, 20.0),
        (0.5, 0.5),
        ("500ms", 0.5),
        ("60s", 60.0),
        ("15m", 900.0),
        ("24h", 86400.0),
        ("7d", 604800.0),
        ("2w", 1209600.0),
        ("6y", 189216000.0),
        ("20", 20.0),
    ],
)
def test_durations_are_seconds(given, seconds):
    assert parse_duration(given) == seconds


@pytest.mark.parametrize("given", ["", "s", "-1s", -1, True, "4 fortnights", None, "1h30", float("inf"), float("nan")])
def test_what_is_no_duration_is_refused(given):
    with pytest.raises(ValueError, match="takes a duration"):
        parse_duration(given)


@pytest.mark.parametrize("size_bytes", [0, 1, 1023, 1024, 65536, 4194304, 1610612736, 50 * 1024**3, 10**9])
def test_a_size_that_is_shown_reads_back_the_same(size_bytes):
    assert parse_size(show_size(size_bytes).strip('"')) == size_bytes


@pytest.mark.parametrize("seconds", [0.0, 0.5, 20.0, 60.0, 90.0, 600.0, 86400.0, 604800.0, 189216000.0, 10.0**8 + 1])
def test_a_duration_that_is_shown_reads_back_the_same(seconds):
    assert parse_duration(show_duration(seconds).strip('"')) == seconds


# --- the environment over the file ----------------------------------------------------------------------------------


def test_the_environment_overrides_the_file(read):
    config = read(
        MINIMAL + "[server]\nport = 1\n",
        RELAYPACS__SERVER__PORT="9000",
        RELAYPACS__SERVER__TRUSTED_PROXIES='["10.0.0.0/8"]',
        RELAYPACS__UPLOADS__CHUNK_SIZE="1MiB",
        RELAYPACS__UPLOADS__EXPIRES="3",
        RELAYPACS__APP__NOTICE="true",
    )
    assert config.server.port == 9000
    assert [str(network) for network in config.server.trusted_proxies] == ["10.0.0.0/8"]
    assert config.uploads.chunk_size_bytes == 1024**2
    assert config.uploads.expires_s == 3
    assert config.app.notice == "true", "a text stays a text, whatever it looks like"


def test_the_environment_reaches_endpoints_and_spool_keys(read):
    other = base64.b64encode(b"o" * 32).decode()
    config = read(
        MINIMAL.replace("endpoints.main", 'endpoints."Radiology-2"'),
        RELAYPACS__ENDPOINTS__RADIOLOGY_2__VERIFY="false",
        RELAYPACS__ENDPOINTS__RADIOLOGY_2__AUTH__KIND="basic",
        RELAYPACS__ENDPOINTS__RADIOLOGY_2__AUTH__USERNAME="relay",
        RELAYPACS__ENDPOINTS__RADIOLOGY_2__AUTH__PASSWORD="1234",
        RELAYPACS__ENDPOINTS__NEW__URL="https://new.example.org/dicomweb",
        RELAYPACS__SPOOL__KEYS__K2=other,
        RELAYPACS__SPOOL__KEYS__ACTIVE="k2",
    )
    endpoint = config.endpoints["Radiology-2"]
    assert not endpoint.verify
    assert endpoint.auth.password is not None
    assert endpoint.auth.password.reveal() == "1234"
    assert config.endpoints["new"].url == "https://new.example.org/dicomweb"
    assert config.spool.keys.active == "k2"
    assert config.spool.keys.by_name["k2"].reveal() == b"o" * 32


def test_an_inline_auth_table_may_come_from_the_environment(read):
    config = read(RELAYPACS__ENDPOINTS__MAIN__AUTH='{ kind = "bearer", token = "t0ken" }')
    token = config.endpoints["main"].auth.token
    assert token is not None
    assert token.reveal() == "t0ken"


def test_the_environment_alone_is_enough():
    environ = {
        "RELAYPACS_TOKEN_SECRET": TOKEN_SECRET,
        "RELAYPACS__SPOOL__KEYS__ACTIVE": "k1",
        "RELAYPACS__SPOOL__KEYS__K1": KEY,
        "RELAYPACS__ENDPOINTS__MAIN__URL": "https://pacs.example.org/dicom-web",
        "UNRELATED": "1",
        "RELAYPACS_CONFIG": "not ours to read here",
    }
    assert load(None, environ).endpoints["main"].default


def test_a_bad_value_of_the_environment_names_its_variable(read):
    assert refusal(read, RELAYPACS__SERVER__PORT="many") == (
        "server.port: takes a whole number from 0 to 65535 (set by RELAYPACS__SERVER__PORT)"
    )


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("RELAYPACS__SERVER__PROT", "server.port"),
        ("RELAYPACS__SERVERS__PORT", "server"),
        ("RELAYPACS__ENDPOINTS__MAIN__DISPLAYNAME", "endpoints.main.display_name"),
        ("RELAYPACS__ENDPOINTS__MAIN__AUTH__USER", "endpoints.main.auth.username"),
        ("RELAYPACS__SERVER", "RELAYPACS__SERVER__"),
        ("RELAYPACS__", "RELAYPACS__TABLE__KEY"),
        ("RELAYPACS__SPOOL__KEYS__A__B", "TABLE__KEY"),
        ("RELAYPACS__SERVER__PORT__X", "TABLE__KEY"),
    ],
)
def test_an_unknown_variable_is_refused_by_name(read, variable, nearest):
    detail = refusal(read, **{variable: "1"})
    assert variable in detail
    assert nearest in detail


# --- secrets --------------------------------------------------------------------------------------------------------


def test_a_secret_comes_from_the_environment_a_file_or_the_text(read, tmp_path):
    (tmp_path / "k1.key").write_text(KEY + "\n")
    by_file = MINIMAL.replace(f'"{KEY}"', '{ file = "k1.key" }')
    by_env = by_file.replace(f'"{TOKEN_SECRET}"', '{ env = "MY_SECRET" }')
    config = read(by_env, MY_SECRET=TOKEN_SECRET)
    assert config.spool.keys.by_name["k1"].reveal() == bytes(range(32)), "relative to the file's folder"
    assert config.tokens.secret.reveal() == TOKEN_SECRET


def test_a_secret_that_cant_be_had_says_where_it_was_looked_for(read):
    assert "NOT_THERE" in refusal(read, MINIMAL.replace(f'"{TOKEN_SECRET}"', '{ env = "NOT_THERE" }'))
    detail = refusal(read, MINIMAL.replace(f'"{KEY}"', '{ file = "gone.key" }'))
    assert detail.startswith("spool.keys.k1: ")
    assert "gone.key" in detail
    without = MINIMAL.replace(f'[tokens]\nsecret = "{TOKEN_SECRET}"', "")
    assert "RELAYPACS_TOKEN_SECRET" in refusal(read, without)


@pytest.mark.parametrize(
    "given", ["12", "[]", "{}", '{ vault = "x" }', "{ env = 1 }", '{ env = "A", file = "B" }', '""']
)
def test_a_secret_of_another_shape_is_refused(read, given):
    assert refusal(read, MINIMAL.replace(f'"{TOKEN_SECRET}"', given)).startswith("tokens.secret: ")


def test_no_print_of_the_configuration_shows_a_secret(read):
    config = read(
        MINIMAL
        + 'auth = { kind = "basic", username = "relay", password = "hush-hush" }\n'
        + '[endpoints.b]\nurl = "https://b.example.org"\nauth = { kind = "bearer", token = "t0p" }\n'
    )
    for shown in (repr(config), str(config), f"{config}", effective(config), repr(config.spool.keys.by_name)):
        for hidden in (KEY, TOKEN_SECRET, "hush-hush", "t0p", "\\x00\\x01\\x02"):
            assert hidden not in shown
    with pytest.raises(TypeError):
        pickle.dumps(config.tokens.secret)


def test_no_error_repeats_a_value_that_might_be_a_secret(read):
    misplaced = "s3cr3t-in-the-wrong-place"
    for text in (
        f'[server]\nport = "{misplaced}"\n',
        f'[server]\ntls_cert = "{misplaced}"\n',
        f'[server]\npublic_url = "https://u:{misplaced}@host"\n',
        f'[database]\nurl = "{misplaced}"\n',
        f'[uploads]\nexpires = "{misplaced}"\nchunk_size = "{misplaced}"\n',
        f'[validation]\nlevel = "{misplaced}"\n',
        f'[app]\nnotice = "{misplaced}\n',
    ):
        assert misplaced not in refusal(read, text + MINIMAL)
    assert misplaced not in refusal(read, MINIMAL.replace(KEY, misplaced))


def test_secrets_compare_by_what_they_hide():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("prot = 1", "prot: unknown key"),
        ("[server]\nprot = 8080", "server.prot: unknown key; did you mean server.port?"),
        ("[sever]\nport = 8080", "sever: unknown key; did you mean server?"),
        ("[uploads]\nqr_ttl = '1m'", "uploads.qr_ttl: unknown key; did you mean tokens.qr_ttl?"),
        ("[database]\nurls = 'x'", "database.urls: unknown key; did you mean database.url?"),
        ("server = 1", "server: must be a table, written [server]"),
        ("[server]\nport = 70000", "server.port: takes a whole number"),
        ("[server]\nport = true", "server.port: takes a whole number"),
        ("[server]\nhost = 1", "server.host: takes a text"),
        ("[server]\nworkers = 2", "server.workers: more than 1 needs PostgreSQL, which is not built yet"),
        ("[server]\nhost = '0.0.0.0'", "server.host: plain HTTP off loopback is refused"),
        ("[server]\nhost = '192.168.1.5'", "server.host: plain HTTP off loopback is refused"),
        ("[server]\nhost = 'relay.example.org'", "server.host: plain HTTP off loopback is refused"),
        ("[server]\ntls_cert = '/not/there.pem'", "server.tls_cert: names a file that isn't there"),
        (f"[dimse]\ntls_cert = '{__file__}'", "dimse.tls_key: is missing: tls_cert and tls_key go together"),
        (f"[dimse]\ntls_ca = '{__file__}'", "dimse.tls_cert: is missing"),
        ("[server]\ntrusted_proxies = ['proxy']", "server.trusted_proxies: takes a list of addresses"),
        ("[server]\ncors_origins = ['example.org/app']", "server.cors_origins: takes a list of origins"),
        ("[server]\nbody_idle_timeout = 0", "server.body_idle_timeout: must be longer than nothing"),
        ("[server]\npublic_url = 'ftp://x'", "server.public_url: takes an http or https address"),
        ("[database]\nurl = 'postgresql://u@h/db'", "database.url: postgresql:// is not built yet"),
        ("[database]\nurl = 'mysql://h/db'", "database.url: takes sqlite:///"),
        ("[database]\nurl = 'sqlite://host/db'", "database.url: takes sqlite:///"),
        ("[database]\nurl = 'sqlite:///:memory:'", "database.url: must be a file"),
        ("[spool]\nurl = 's3://bucket/prefix'", "spool.url: s3:// is not built yet"),
        ("[spool]\nurl = '/var/spool'", "spool.url: takes file:///"),
        ("[spool]\nmax_bytes = 0", "spool.max_bytes: must be more than nothing"),
        ("[uploads]\nchunk_size = '1023'", 'uploads.chunk_size: takes "1KiB" to "64MiB"'),
        ("[uploads]\nchunk_size = '65MiB'", 'uploads.chunk_size: takes "1KiB" to "64MiB"'),
        ("[uploads]\nmax_files = 0", "uploads.max_files: takes a whole number"),
        ("[uploads]\nexpires = '1 fortnight'", "uploads.expires: takes a duration"),
        ("[validation]\nlevel = 'lax'", 'validation.level: takes one of "standard", "strict"'),
        ("[validation]\nstudy_mismatch = 'ignore'", "validation.study_mismatch: takes one of"),
        ("[metrics]\ntoken = 'short'", "metrics.token: must have at least 16 bytes"),
        ("[metrics]\nport = 9100\nhost = '0.0.0.0'", "metrics.host: plain HTTP off loopback is refused"),
        ("[endpoints.b]\n", "endpoints.b.url: is missing"),
        ("[endpoints.b]\nurl = 'pacs.example.org'", "endpoints.b.url: takes an http or https address"),
        ("[endpoints.b]\nurl = 'https://u:p@x.org'", "endpoints.b.url: takes no name or password"),
        ("[endpoints.b]\nurl = 'https://x.org:port'", "endpoints.b.url: takes an http or https address"),
        ("[endpoints.b]\nurl = 'https://x.org?a=1'", "endpoints.b.url: takes an http or https address"),
        ("[endpoints.'a b']\nurl = 'https://x.org'", "a name has 1 to 63 letters"),
        ("[endpoints.a__b]\nurl = 'https://x.org'", "a name has 1 to 63 letters"),
        ("[endpoints.MAIN]\nurl = 'https://x.org'", "endpoints.main: differs from MAIN only in case"),
        ("[endpoints.b]\nkind = 'dimse'\nurl = 'https://x.org'", 'endpoints.b.url: is not used by kind "dimse"'),
        ("[endpoints.b]\nkind = 'dimse'\ncalled_aet = 'A'", "endpoints.b.host: is missing"),
        ("[endpoints.b]\nkind = 'dimse'\nhost = 'pacs'", "endpoints.b.called_aet: is missing"),
        ("[endpoints.b]\nkind = 'dimse'\nhost = 'pacs'\ncalled_aet = 'SEVENTEEN LETTERS'", "takes an AE title"),
        (
            f"[endpoints.b]\nkind = 'dimse'\nhost = 'pacs'\ncalled_aet = 'A'\ntls = {{ cert = '{__file__}' }}",
            "endpoints.b.tls.key: is missing",
        ),
        ("[endpoints.b]\nurl = 'https://x.org'\ntls = { }", 'endpoints.b.tls: is not used by kind "dicomweb"'),
        ("[endpoints.b]\nurl = 'https://x.org'\nport = 104", 'endpoints.b.port: is not used by kind "dicomweb"'),
        ("[endpoints.b]\nkind = 'folder'\nurl = 'https://x.org'", 'endpoints.b.url: is not used by kind "folder"'),
        ("[endpoints.b]\nkind = 'folder'", "endpoints.b.path: is missing"),
        ("[endpoints.b]\nkind = 'folder'\npath = '/var/relaypacs/spool/in'", "endpoints.b.path: is in one place with"),
        ("[endpoints.b]\nkind = 'folder'\npath = '/var'", "endpoints.b.path: is in one place with spool.url"),
        (
            "[endpoints.b]\nkind = 'folder'\npath = '/in'\nlayout = '{PatientID}.dcm'",
            "endpoints.b.layout: must hold {SOPInstanceUID}",
        ),
        ("[endpoints.b]\npath = '/in'\nurl = 'https://x.org'", 'endpoints.b.path: is not used by kind "dicomweb"'),
        ("[endpoints.b]\nmode = 'early'\nurl = 'https://x.org'", 'endpoints.b.mode: takes one of "complete", "stream"'),
        ("[endpoints.b]\nidentity = 'no'\nurl = 'https://x.org'", "endpoints.b.identity: takes one of"),
        ("[endpoints.b]\nauth = 'basic'\nurl = 'https://x.org'", "endpoints.b.auth: must be a table"),
        ("[endpoints.b]\nurl = 'https://x.org'\nauth = { kind = 'oauth2' }", "endpoints.b.auth.client_id: is missing"),
        ("[endpoints.b]\nurl = 'https://x.org'\nauth = { kind = 'mtls' }", "endpoints.b.auth.cert: is missing"),
        (
            "[endpoints.b]\nurl = 'https://x.org'\n[endpoints.b.auth]\nkind = 'oauth2'\nclient_id = 'c'\nclient_secret = 's'\ntoken_url = 'http://x.org/t'",
            "endpoints.b.auth.token_url: must begin with https://",
        ),
        (
            f"[endpoints.b]\nurl = 'http://127.0.0.1'\nauth = {{ kind = 'mtls', cert = '{__file__}', key = '{__file__}' }}",
            "endpoints.b.url: must begin with https://",
        ),
        (
            "[endpoints.b]\nurl = 'https://x.org'\nauth = { kind = 'basic', username = 'u', password = 'p', scope = 's' }",
            "endpoints.b.auth.scope: is not used by kind",
        ),
        (
            "[endpoints.b]\nurl = 'https://x.org'\nauth = { kind = 'basic', username = 'u' }",
            "endpoints.b.auth.password: is missing",
        ),
        ("[endpoints.b]\nurl = 'https://x.org'\nauth = { kind = 'bearer' }", "endpoints.b.auth.token: is missing"),
        (
            "[endpoints.b]\nurl = 'https://x.org'\nauth = { username = 'u', password = 'p' }",
            "endpoints.b.auth.password: is not used by kind",
        ),
        (
            "[endpoints.b]\nurl = 'https://x.org'\nauth = { kind = 'basic', user = 'u' }",
            "endpoints.b.auth.user: unknown key; did you mean endpoints.b.auth.username?",
        ),
    ],
)
def test_a_refusal_names_the_key_and_what_to_do(read, before, says):
    assert says in refusal(read, f"{before}\n{MINIMAL}")


ROUTED = f"{MINIMAL}\n[endpoints.b]\nurl = 'https://x.org'\n"


def test_routes_are_read_in_their_order_and_all_they_lead_to_is_required_unless_said(read):
    config = read(
        ROUTED
        + """
        [[routes]]
        when = { modality = ["CT", "MR"], account = "ed", declared = { priority = "stat" }, min_size = "1MiB" }
        to = ["main", "b"]
        required = ["b"]
        [[routes]]
        to = "main"
        fallback = ["b"]
        """
    )
    one, two = config.routes
    assert (one.to, one.required, one.fallback) == (("main", "b"), ("b",), ())
    assert (one.when.modality, one.when.account, one.when.min_size_bytes) == (("CT", "MR"), ("ed",), 1 << 20)
    assert dict(one.when.declared) == {"priority": "stat"}
    assert (two.to, two.required, two.fallback) == (("main",), ("main",), ("b",))
    assert read(ROUTED).routes == ()


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ("to = ['c']", "routes.1.to: there is no endpoint c: use main, b"),
        ("to = []", "routes.1.to: names no endpoint"),
        ("when = {}", "routes.1.to: is missing"),
        ("to = ['b', 'b']", "routes.1.to: names one twice"),
        ("to = ['b']\nrequired = ['main']", "routes.1.required: names an endpoint that isn't in `to`"),
        ("to = ['b']\nfallback = ['b']", "routes.1.fallback: names an endpoint that gets it anyway"),
        ("to = ['b']\nwhen = { modalty = ['CT'] }", "did you mean routes.1.when.modality?"),
        ("to = ['b']\nwhen = { modality = [1] }", "routes.1.when.modality: takes a text or a list of texts"),
        ("to = ['b']\nwhen = { min_size = 5, max_size = 4 }", "routes.1.when.max_size: is less than min_size"),
        ("to = ['b']\nwhen = 'CT'", "routes.1.when: must be a table"),
    ],
)
def test_a_route_that_leads_nowhere_or_says_two_things_is_refused(read, route, says):
    assert says in refusal(read, f"{ROUTED}[[routes]]\n{route}\n")


def test_a_pacs_can_be_asked_to_commit_and_a_folder_can_not(read):
    assert read(f"{MINIMAL}commitment = false\n").endpoints["main"].commitment is False
    assert read(f"{MINIMAL}commitment = true\n").endpoints["main"].commitment is True
    with pytest.raises(ConfigError, match=r'endpoints\.inbox\.commitment: is not used by kind "folder"'):
        read(f"{MINIMAL}[endpoints.inbox]\nkind = 'folder'\npath = '/srv'\ncommitment = true\n")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('active = "k1"', 'active = "k2"', "spool.keys.active: names none of the keys here: use one of k1"),
        ('active = "k1"', "", "spool.keys.active: is missing"),
        (f'k1 = "{KEY}"', "", "spool.keys: holds no key"),
        (KEY, KEY[:-8], "spool.keys.k1: must be 32 bytes in base64"),
        (KEY, "not base64 at all!", "spool.keys.k1: must be 32 bytes in base64"),
        (KEY, "ключ", "spool.keys.k1: must be 32 bytes in base64"),
        (TOKEN_SECRET, "x" * 15, "tokens.secret: must have at least 16 bytes"),
        ("[tokens]", "[tokens]\nqr_ttl = '2h'\nqr_max_ttl = '1h'", "tokens.qr_ttl: is longer than tokens.qr_max_ttl"),
        ('[endpoints.main]\nurl = "http://127.0.0.1:8042/dicom-web/"', "", "endpoints: there is none"),
        ("[endpoints.main]", "[endpoints.a]\nurl='http://a'\ndefault=true\n[endpoints.main]\ndefault=true", "is the default already"),
    ],
)  # fmt: skip
def test_what_has_to_be_there_is_asked_for(read, old, new, says):
    assert old in MINIMAL
    assert says in refusal(read, MINIMAL.replace(old, new))


def test_loopback_a_certificate_or_a_proxy_is_enough(read, tmp_path):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("-")
    for host in ("localhost", "::1", "127.8.8.8"):
        assert read(MINIMAL, RELAYPACS__SERVER__HOST=host)
    tls = read(f"[server]\nhost = '0.0.0.0'\ntls_cert = 'cert.pem'\ntls_key = 'key.pem'\n{MINIMAL}")
    assert tls.server.public_url == "https://localhost:8080"
    assert read(f"[server]\nhost = '0.0.0.0'\ntrusted_proxies = ['10.0.0.5']\n{MINIMAL}")
    assert "server.tls_key: is missing" in refusal(read, f"[server]\ntls_cert = 'cert.pem'\n{MINIMAL}")


# --- what follows from other values ---------------------------------------------------------------------------------


def test_the_public_address_is_made_where_none_is_given(read):
    assert (
        read(RELAYPACS__SERVER__PUBLIC_URL="https://relay.example.org/").server.public_url
        == "https://relay.example.org"
    )
    assert read(RELAYPACS__SERVER__HOST="::1").server.public_url == "http://[::1]:8080"
    any_port = read(RELAYPACS__SERVER__PORT="0").server
    assert any_port.public_url == ""
    assert any_port.public_url_for(41234) == "http://127.0.0.1:41234"


def test_a_smaller_limit_carries_the_defaults_below_it_along(read):
    config = read(RELAYPACS__UPLOADS__MAX_UPLOAD_SIZE="1MiB", RELAYPACS__TOKENS__QR_MAX_TTL="1m")
    assert config.uploads.max_file_size_bytes == 1024**2
    assert config.tokens.qr_ttl_s == 60


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/relay/r.db", "/var/relay/r.db"),
        ("sqlite:////var/relay/r.db", "/var/relay/r.db"),
        ("sqlite:///var/with%20space/r.db", "/var/with space/r.db"),
    ],
)
def test_three_slashes_and_four_mean_the_same_absolute_path(read, url, path):
    assert read(RELAYPACS__DATABASE__URL=url).database.path == Path(path)


# --- the file itself ------------------------------------------------------------------------------------------------


def test_the_file_is_the_flags_then_the_environments_then_the_default():
    environ = {"RELAYPACS_CONFIG": "/etc/relaypacs.toml"}
    assert find_config_path("mine.toml", environ) == Path("mine.toml")
    assert find_config_path(None, environ) == Path("/etc/relaypacs.toml")
    assert find_config_path(None, {}) == Path(DEFAULT_PATH) == Path("config/relaypacs.toml")


def test_a_file_that_isnt_there_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match=r"relaypacs\.example\.toml"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path, {})


def test_a_file_that_is_no_toml_says_where(read, tmp_path):
    assert "line 2" in refusal(read, "[server]\nport 8080\n")
    (tmp_path / "latin.toml").write_bytes(b'[app]\nnotice = "\xe9"\n')
    with pytest.raises(ConfigError, match="is no TOML"):
        load(tmp_path / "latin.toml", {})


def test_what_is_in_effect_is_a_configuration_again(read):
    config = read(
        "[server]\ncors_origins = ['https://a.example.org']\ntrusted_proxies = ['10.0.0.5']\ndrain_seconds = 1.5\n"
        "[app]\nnotice = 'a \"quoted\" \\\\ word, äöü'\n" + MINIMAL
    )
    shown = effective(config)
    again = shown.replace('k1 = "***"', f'k1 = "{KEY}"').replace('secret = "***"', f'secret = "{TOKEN_SECRET}"')
    assert read(again) == config


# --- an OpenID Connect issuer ----------------------------------------------------------------------------------------

_OIDC = (
    MINIMAL
    + """
[auth.oidc]
issuer = "https://login.example.org"
audience = "https://relay.example.org"
roles = { "radiology" = "uploader", "it" = "admin" }
"""
)


def test_an_oidc_issuer_is_off_unless_it_is_named(read):
    assert not read().oidc.enabled
    oidc = read(_OIDC).oidc
    assert oidc.enabled
    assert (oidc.roles_claim, oidc.jwks_cache_s, dict(oidc.roles)) == (
        "roles", 600.0, {"radiology": "uploader", "it": "admin"},
    )  # fmt: skip
    assert 'roles = { "radiology" = "uploader", "it" = "admin" }' in effective(read(_OIDC))


def test_the_environment_reaches_the_oidc_table(read):
    config = read(_OIDC, RELAYPACS__AUTH__OIDC__AUDIENCE="other")
    assert config.oidc.audience == "other"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("https://login", "http://login", "auth.oidc.issuer: must begin with https://"),
        ("audience =", "audence =", "auth.oidc.audence: unknown key; did you mean auth.oidc.audience?"),
        ('audience = "https://relay.example.org"', "", "auth.oidc.audience: is missing"),
        ('"it" = "admin"', '"it" = "root"', "auth.oidc.roles: takes"),
        ('"it" = "admin"', '"it" = 1', "auth.oidc.roles: takes"),
        ('issuer = "https://login.example.org"', "", "auth.oidc.issuer: is missing"),
        ("[auth.oidc]", "[auth.saml]", "auth.saml: unknown key; did you mean auth.oidc?"),
    ],
)
def test_an_oidc_table_that_would_let_in_the_wrong_ones_is_refused(read, old, new, says):
    with pytest.raises(ConfigError) as refused:
        read(_OIDC.replace(old, new))
    assert refused.value.detail.startswith(says)


# --- who is told ----------------------------------------------------------------------------------------------------

WEBHOOK = '[[webhooks]]\nurl = "https://ris.example.org/relay"\nsecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"\n'


def test_webhooks_mail_and_alerts_are_read_with_their_defaults(read):
    mail = '[mail]\nsmtp = "smtps://relay@mail.example.org"\nfrom = "relay@example.org"\npassword = "hush"\n'
    config = read(f'{MINIMAL}mail = ["r@example.org"]\n{WEBHOOK}{WEBHOOK.replace("/relay", "/other")}{mail}')
    first, second = config.webhooks
    assert (first.url, second.url) == ("https://ris.example.org/relay", "https://ris.example.org/other")
    assert len(first.events) == 5
    assert (first.patient_data, config.alerts.stat_after_s) == (False, 900.0)
    assert config.endpoints["main"].mail == ("r@example.org",)
    shown = effective(config)
    assert shown.count("[[webhooks]]") == 2
    assert "hush" not in shown
    assert "whsec" not in shown


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('[[webhooks]]\nsecret = "x"', "webhooks.1.url: is missing"),
        ('[[webhooks]]\nurl = "https://x.org"', "webhooks.1.secret: is missing"),
        (WEBHOOK.replace("https", "http"), "webhooks.1.url: plain HTTP off loopback is refused"),
        (WEBHOOK + WEBHOOK, "webhooks.2.url: is the one of another"),
        (WEBHOOK + 'events = ["upload.lost"]', "webhooks.1.events: takes a list of some of"),
        (WEBHOOK + 'event = ["upload.held"]', "webhooks.1.event: unknown key; did you mean webhooks.1.events?"),
        (
            WEBHOOK.replace("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "short"),
            "webhooks.1.secret: must have at least 16",
        ),
        ('[webhooks]\nurl = "https://x.org"', "webhooks: must be tables, each written [[webhooks]]"),
        ('[mail]\nsmtp = "smtps://mail.example.org"', "mail.from: is missing"),
        ('[mail]\nsmtp = "https://mail.example.org"', "mail.smtp: takes smtps://"),
        ('[mail]\nsmtp = "smtps://u:hush@mail.example.org"', "mail.smtp: takes no password in the address"),
        ('[mail]\nsmtp = "smtps://u@h"\nfrom = "a@b"', "mail.password: is missing"),
        ('[mail]\nsmtp = "smtps://h"\nfrom = "a@b"\npassword = "p"', "mail.password: is of nobody"),
        ('[endpoints.b]\nurl = "https://x.org"\nmail = ["a@b"]', "endpoints.b.mail: needs a mail server"),
        ('[endpoints.b]\nurl = "https://x.org"\nmail = ["a, b@c"]', "endpoints.b.mail: takes a list of mail addresses"),
        ('[endpoints.b]\nurl = "https://x.org"\nnotes = "webhook"', "endpoints.b.notes: nobody would hear of them"),
    ],
)
def test_a_receiver_that_can_not_be_told_is_refused(read, more, says):
    assert says in refusal(read, f"{MINIMAL}\n{more}\n")


def test_notes_may_go_out_by_a_webhook_that_has_patient_data(read):
    toml = f'{MINIMAL}notes = "webhook"\n{WEBHOOK}patient_data = true\n'
    assert read(toml).endpoints["main"].notes == "webhook"
    assert "nobody would hear" in refusal(read, f'{toml}events = ["upload.held"]\n')
