"""The guarded client against a real server on this machine: what is forbidden never reaches it, what is allowed still works."""

import gzip
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.core import aio
from genai_factory.core.addresses import RANGES, ForbiddenError, forbidden, parse_url
from genai_factory.core.base import FactoryError, TimeLimitError, UnavailableError, UsageError
from genai_factory.core.fetch import CHARSETS, FetchLimits, Policy, afetch, decode_text, fetch, guard
from tests.certificates import make_certificate

PUBLIC = "93.184.215.14"


class Site(BaseHTTPRequestHandler):
    "Answers as the query asks: /?status=302&to=URL, /?type=T, /?body=N, /?gzip=N"
    def log_message(self, *_): pass

    def do_GET(self):
        asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        self.server.seen.append((self.path, dict(self.headers.items()), self.rfile.read(int(self.headers.get("Content-Length", 0)))))
        body = asked.get("body", "hello").encode() if not asked.get("body", "x").isdigit() else b"a" * int(asked["body"])
        self.send_response(int(asked.get("status", 200)))
        if "to" in asked: self.send_header("Location", asked["to"])
        if "gzip" in asked: body = gzip.compress(bytes(int(asked["gzip"])))
        if "gzip" in asked or "packed" in asked: self.send_header("Content-Encoding", asked.get("packed", "gzip"))
        if "cut" in asked: body = body[:-10]
        if asked.get("type") != "none": self.send_header("Content-Type", asked.get("type", "text/plain"))
        self.send_header("Set-Cookie", "session=secret")
        self.end_headers()
        try: self.wfile.write(body)
        except OSError: pass

    do_POST = do_GET


class Counting(ThreadingHTTPServer):
    "Counts connections, not only requests"
    daemon_threads = True
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Site)
        self.connections, self.seen, self.port = 0, [], self.server_address[1]
        self.url, self.place = f"http://127.0.0.1:{self.port}", f"127.0.0.1:{self.port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_request(self):
        self.connections += 1
        return super().get_request()


@pytest.fixture(scope="module")
def servers():
    "The site that the policy allows, and the secret one that it does not"
    made = Counting(), Counting()
    yield made
    for server in made: server.shutdown(); server.server_close()


@pytest.fixture
def site(servers):
    servers[0].connections, servers[0].seen = 0, []
    return servers[0]


@pytest.fixture
def secret(servers):
    "A server that must see nothing; that it would is tested in test_the_counter_counts"
    servers[1].connections = 0
    yield servers[1]
    time.sleep(0.002)
    assert servers[1].connections == 0, "a forbidden request reached the server"


def names(**table):
    "A resolver that knows these names and notes what it was asked"
    async def resolve(host, port):
        resolve.asked.append(host)
        if host not in table: raise socket.gaierror("unknown name")
        found = table[host]
        return found.pop(0) if isinstance(found[0], list) else found
    resolve.asked = []
    return resolve


def liar(**table): return names(**{key.replace("_", "."): value for key, value in table.items()})


def test_the_counter_counts(servers):
    server = servers[1]
    server.connections = 0
    assert fetch(server.url, policy=Policy(allow=(server.place,))).status == 200
    assert server.connections == 1


# Each with the rule that must catch it. {p} is the port of a live server which is among the allowed ports, so that the port is not what saves us.
FORBIDDEN = [
    # loopback, in every spelling that some client accepts
    ("http://127.0.0.1:{p}/", "loopback"), ("http://127.0.0.2:{p}/", "loopback"), ("http://127.255.255.254:{p}/", "loopback"),
    ("http://localhost:{p}/", "internal name"), ("http://LOCALHOST:{p}/", "internal name"), ("http://foo.localhost:{p}/", "internal name"),
    ("http://localhost.localdomain:{p}/", "internal name"), ("http://ip6-localhost:{p}/", "internal name"), ("http://localhost.:{p}/", "host"),
    ("http://2130706433:{p}/", "number"), ("http://0x7f000001:{p}/", "number"), ("http://0X7F000001:{p}/", "number"), ("http://017700000001:{p}/", "number"),
    ("http://0177.0.0.1:{p}/", "number"), ("http://0x7f.0.0.1:{p}/", "number"), ("http://0x7f.0x0.0x0.0x1:{p}/", "number"), ("http://127.1:{p}/", "number"),
    ("http://127.0.1:{p}/", "number"), ("http://127.000.000.001:{p}/", "number"), ("http://127.0.0.01:{p}/", "number"), ("http://0:{p}/", "number"),
    ("http://00000000:{p}/", "number"), ("http://127.0.0.1.:{p}/", "number"), ("http://4294967296:{p}/", "number"), ("http://127.0.0.256:{p}/", "number"),
    ("http://127.0.0.1.5:{p}/", "number"), ("http://6425673729:{p}/", "number"), ("http://0x:{p}/", "number"), ("http://a.example.0x7f:{p}/", "number"),
    ("http://１２７.0.0.1:{p}/", "look-alike"), ("http://①②⑦.0.0.1:{p}/", "look-alike"), ("http://127。0。0。1:{p}/", "host"),
    ("http://127．0．0．1:{p}/", "look-alike"), ("http://127｡0｡0｡1:{p}/", "look-alike"), ("http://ⓛocalhost:{p}/", "look-alike"), ("http://ｌocalhost:{p}/", "look-alike"),
    ("http://loc\u00adalhost:{p}/", "characters"), ("http://loc\u200balhost:{p}/", "characters"), ("http://٣.0.0.1:{p}/", "host"), ("http://lo℀lhost:{p}/", "look-alike"),
    ("http://127%2e0%2e0%2e1:{p}/", "host"), ("http://%31%32%37.0.0.1:{p}/", "number"), ("http://%6cocalhost:{p}/", "host"), ("http://localhost%00.example.com:{p}/", "host"),
    ("http://[::1]:{p}/", "loopback"), ("http://[0:0:0:0:0:0:0:1]:{p}/", "loopback"), ("http://[0000::0001]:{p}/", "loopback"), ("http://[::]:{p}/", "unspecified"),
    ("http://[::ffff:127.0.0.1]:{p}/", "embedded"), ("http://[::ffff:7f00:1]:{p}/", "embedded"), ("http://[::FFFF:7F00:1]:{p}/", "embedded"),
    ("http://[::127.0.0.1]:{p}/", "embedded"), ("http://[::ffff:0:127.0.0.1]:{p}/", "embedded"), ("http://[64:ff9b::127.0.0.1]:{p}/", "embedded"),
    ("http://[64:ff9b:1::7f00:1]:{p}/", "embedded"), ("http://[2002:7f00:1::]:{p}/", "embedded"), ("http://[2001:0:4136:e378:8000:63bf:80ff:fffe]:{p}/", "embedded"),
    ("http://[2600::5efe:127.0.0.1]:{p}/", "embedded"), ("http://[2600::200:5efe:7f00:1]:{p}/", "embedded"), ("http://[::ffff:8.8.8.8]:{p}/", "embedded"),
    ("http://[::1%25lo]:{p}/", "host"), ("http://[::1%lo]:{p}/", "host"), ("http://[fe80::1%25eth0]:{p}/", "host"), ("http://::1:{p}/", "host"),
    ("http://[::1:{p}/", "host"), ("http://[v1.::1]:{p}/", "host"), ("http://[127.0.0.1]:{p}/", "host"), ("http://[::1].example.com:{p}/", "host"),
    # private, link-local, metadata, shared, multicast, reserved
    ("http://0.0.0.0:{p}/", "unspecified"), ("http://0.1.2.3/", "reserved"), ("http://10.0.0.1/", "private"), ("http://172.16.0.1/", "private"), ("http://172.31.255.254/", "private"),
    ("http://192.168.1.1/", "private"), ("http://169.254.169.254/latest/meta-data/", "metadata"), ("http://169.254.170.2/v2/credentials", "metadata"),
    ("http://169.254.1.1/", "link-local"), ("http://168.63.129.16/", "metadata"), ("http://100.100.100.200/", "metadata"), ("http://192.0.0.192/", "metadata"),
    ("http://100.64.0.1/", "shared"), ("http://100.127.255.254/", "shared"), ("http://255.255.255.255/", "broadcast"), ("http://224.0.0.1/", "multicast"),
    ("http://239.255.255.250/", "multicast"), ("http://240.0.0.1/", "reserved"), ("http://192.0.2.1/", "reserved"), ("http://198.18.0.1/", "reserved"),
    ("http://203.0.113.9/", "reserved"), ("http://192.88.99.1/", "reserved"), ("http://2852039166/", "number"), ("http://0xA9FEA9FE/", "number"), ("http://0251.0376.0251.0376/", "number"),
    ("http://[fd00:ec2::254]/latest/meta-data/", "metadata"), ("http://[fd20:ce::254]/", "metadata"), ("http://[fc00::1]/", "private"), ("http://[fdff::1]/", "private"),
    ("http://[fe80::1]/", "link-local"), ("http://[fec0::1]/", "private"), ("http://[ff02::1]/", "multicast"), ("http://[ff0e::1]/", "multicast"),
    ("http://[2001:db8::1]/", "reserved"), ("http://[3fff::1]/", "reserved"), ("http://[100::1]/", "reserved"), ("http://[5f00::1]/", "reserved"), ("http://[4000::1]/", "reserved"),
    ("http://[::ffff:169.254.169.254]/", "embedded"), ("http://[64:ff9b::a9fe:a9fe]/", "embedded"), ("http://[2002:a9fe:a9fe::]/", "embedded"),
    ("http://metadata.google.internal/computeMetadata/v1/", "internal name"), ("http://METADATA.GOOGLE.INTERNAL/", "internal name"), ("http://metadata/", "name without a dot"),
    ("http://kubernetes/", "name without a dot"), ("http://kubernetes.default.svc.cluster.local/", "internal name"), ("http://router.lan/", "internal name"),
    ("http://nas.home.arpa/", "internal name"), ("http://printer.local/", "internal name"),
    # schemes
    ("file:///etc/passwd", "scheme"), ("file://localhost/etc/passwd", "scheme"), ("FILE:///etc/passwd", "scheme"), ("ftp://ftp.example.com/", "scheme"),
    ("gopher://127.0.0.1:{p}/_GET", "scheme"), ("dict://127.0.0.1:{p}/", "scheme"), ("data:text/html,hello", "scheme"), ("javascript:alert(1)", "scheme"),
    ("ldap://127.0.0.1:{p}/", "scheme"), ("ws://127.0.0.1:{p}/", "scheme"), ("unix:///var/run/docker.sock", "scheme"), ("http+unix://%2Fvar%2Frun%2Fdocker.sock/", "scheme"),
    ("jar:http://127.0.0.1:{p}!/", "scheme"), ("view-source:http://127.0.0.1:{p}/", "scheme"), ("blob:http://127.0.0.1:{p}/x", "scheme"),
    ("//127.0.0.1:{p}/", "scheme"), ("127.0.0.1:{p}", "scheme"), ("http:127.0.0.1:{p}/", "host"), ("http:/127.0.0.1:{p}/", "host"), ("http:///127.0.0.1:{p}/", "host"),
    ("http://", "host"), ("http:", "host"), ("https://?a=b", "host"), ("", "length"), ("http://a.example/" + "x" * 5000, "length"), ("/etc/passwd", "scheme"), (" http://127.0.0.1:{p}/", "characters"),
    # user names, ports, separators
    ("http://example.com@127.0.0.1:{p}/", "userinfo"), ("http://user:password@example.com/", "userinfo"), ("http://@127.0.0.1:{p}/", "userinfo"),
    ("http://127.0.0.1:{p}@example.com/", "userinfo"), ("http://example.com:80:{p}/", "host"), ("http://127.0.0.1:{p}:80/", "host"), ("http://127.0.0.1:/", "port"),
    ("http://example.com:/", "port"), ("http://example.com:0/", "port"), ("http://example.com:080/", "port"), ("http://example.com:+80/", "port"), ("http://example.com:-1/", "port"),
    ("http://example.com:65536/", "port"), ("http://example.com:８０/", "port"), ("http://example.com:0x50/", "port"), ("http://example.com:80a/", "port"),
    ("http://example.com:22/", "port"), ("http://example.com:25/", "port"), ("http://example.com:6379/", "port"), ("https://example.com:8443/", "port"),
    ("http://example.com\\@127.0.0.1:{p}/", "characters"), ("http://127.0.0.1:{p}\\@example.com/", "characters"), ("http:\\\\127.0.0.1:{p}\\", "characters"),
    ("http://127.0.0.1:{p}/\r\nHost: evil", "characters"), ("http://example.com/\n", "characters"), ("http://exa\tmple.com/", "characters"), ("http://example.com/\x00", "characters"),
    ("http://example.com /", "characters"), ("http://example.com/a b", "characters"), ("http://exam\u2028ple.com/", "characters"), ("http://example.com/\ud800", "characters"),
    ("http://exa_mple.com/", "host"), ("http://-example.com/", "host"), ("http://example..com/", "host"), ("http://.example.com/", "host"), ("http://exa*mple.com/", "host"),
    ("http://" + "a" * 64 + ".com/", "host"), ("http://" + "a." * 127 + "com/", "host"), ("http://example.com,127.0.0.1:{p}/", "number"), ("http://127.0.0.1,example.com:{p}/", "host"), ("http://exam;ple.com/", "host"),
    ("http://\u0430pple\u0661.com/", "host"), ("http://{{host}}/", "host"), ("http://[example.com]/", "host"), ("http://[]:{p}/", "host"),
]


def test_there_are_enough_of_them(): assert len({url for url, _ in FORBIDDEN}) == len(FORBIDDEN) > 160


@pytest.mark.parametrize(("form", "rule"), FORBIDDEN)
def test_forbidden_urls(form, rule, secret):
    url = form.replace("{p}", str(secret.port))
    with pytest.raises(ForbiddenError) as caught: fetch(url, policy=Policy(ports=(80, 443, secret.port), resolve=liar(example_com=["127.0.0.1"])))
    assert (caught.value.rule, caught.value.hop) == (rule, 0), str(caught.value)
    assert f"rule '{rule}'" in str(caught.value) and "password" not in str(caught.value).split("was refused")[0] and str(caught.value).isprintable()


@pytest.mark.parametrize("wrong", [None, 5, b"http://127.0.0.1/"])
def test_what_is_no_text_is_no_url(wrong):
    with pytest.raises(ForbiddenError, match="length"): fetch(wrong)


BAD_ANSWERS = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00:ec2::254", "::ffff:127.0.0.1", "fe80::1%eth0", "0.0.0.0", "224.0.0.251", "not an address"]


@pytest.mark.parametrize("answer", BAD_ANSWERS)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_every_answer_of_a_lookup_is_checked(answer, order, secret):
    answers = [[answer], [PUBLIC, answer], [answer, PUBLIC]][order]
    with pytest.raises(ForbiddenError) as caught: fetch(f"http://shop.example:{secret.port}/", policy=Policy(ports=(secret.port,), resolve=names(**{"shop.example": answers})))
    assert "shop.example" in str(caught.value)


def test_rebinding_sees_one_lookup_and_no_connection(secret, network_attempts):
    resolve = names(**{"rebind.example": [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]})
    with pytest.raises(UnavailableError): fetch(f"http://rebind.example:{secret.port}/", policy=Policy(ports=(secret.port,), resolve=resolve))
    assert resolve.asked == ["rebind.example"]
    assert network_attempts == [f"connect to {PUBLIC}"]     # the checked address and nothing else
    network_attempts.clear()


def test_rebinding_behind_a_redirect(site, secret, network_attempts):
    "The second visit to a name is a new hop with a new lookup, which is checked again"
    resolve = names(**{"rebind.example": [["127.0.0.1"], ["10.0.0.1"]]})
    hop = f"http://rebind.example:{site.port}/?status=302%26to=/again"
    policy = Policy(allow=(site.place,), ports=(site.port, secret.port), resolve=resolve)
    with pytest.raises(ForbiddenError) as caught: fetch(f"{site.url}/?status=302&to={hop}", policy=policy)
    assert (caught.value.rule, caught.value.hop, site.connections) == ("loopback", 1, 1)


ISLAND = """
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from genai_factory.core.addresses import ForbiddenError
from genai_factory.core.fetch import Policy, fetch
seen, asked = [], []
class Site(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        seen.append(self.server.server_address[0])
        self.send_response(200); self.send_header("Content-Type", "text/plain"); self.end_headers(); self.wfile.write(self.headers["Host"].encode())
for address in ("93.184.215.14", "127.0.0.1"): threading.Thread(target=ThreadingHTTPServer((address, 80), Site).serve_forever, daemon=True).start()
async def rebind(host, port):
    asked.append(host)
    return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]
policy = Policy(resolve=rebind)
assert fetch("http://shop.example/", policy=policy).text == "shop.example" and asked == ["shop.example"]
try: fetch("http://shop.example/", policy=policy)
except ForbiddenError as error: assert error.rule == "loopback"
else: sys.exit("the second answer was believed")
assert seen == ["93.184.215.14"], seen
"""


def test_a_public_address_is_reached_and_the_next_lie_is_not(tmp_path):
    "A network of its own, in which this machine plays a public server: the default policy, real sockets, port 80"
    unshare = shutil.which("unshare")
    alone = [unshare or "unshare", "-n", "sh", "-c", "ip link set lo up && ip addr add 93.184.215.14/32 dev lo && exec \"$0\" \"$@\""]
    if not unshare or subprocess.run([*alone, "true"], capture_output=True).returncode: pytest.skip("this machine lends no network namespaces")
    done = subprocess.run([*alone, sys.executable, "-c", ISLAND], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr


def test_passwords_are_not_repeated():
    for url in ("http://anna:secret@host.example/", "http://anna:se@secret@host.example/", "ftp://anna:secret@host.example/", "http://anna:secret@[::1/"):
        with pytest.raises(ForbiddenError) as caught: fetch(url)
        assert "secret" not in str(caught.value)


INWARD = ["http://127.0.0.1:{p}/", "http://localhost:{p}/", "http://2130706433:{p}/", "http://[::1]:{p}/", "http://[::ffff:127.0.0.1]:{p}/", "//127.0.0.1:{p}/", "//localhost:{p}/x",
          "http://inward.example:{p}/", "http://a@127.0.0.1:{p}/", "file:///etc/passwd", "gopher://127.0.0.1:{p}/", "http://169.254.169.254/", "http://127.0.0.1:{p}\t/",
          "javascript:alert(1)", "http://[::1", "http:\\\\127.0.0.1:{p}\\", "\\\\127.0.0.1:{p}\\", "/\t/127.0.0.1:{p}/", "http://metadata.google.internal/"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", INWARD)
def test_redirects_inward(status, place, site, secret):
    to = quote(place.replace("{p}", str(secret.port)), safe="")
    policy = Policy(allow=(site.place,), ports=(80, 443, secret.port), resolve=names(**{"inward.example": ["127.0.0.1"]}))
    with pytest.raises(ForbiddenError) as caught: fetch(f"{site.url}/?status={status}&to={to}", policy=policy)
    assert site.connections == 1 and caught.value.hop in (0, 1)


def test_a_redirect_with_odd_characters_is_refused_as_such(site):
    "Even where it would lead to an allowed place: the standard library's joining drops tabs in silence"
    for onward in ("/%09page", "/page%5C", "/%C2%ADpage"):
        with pytest.raises(ForbiddenError) as caught: fetch(f"{site.url}/?status=302&to={onward}", policy=Policy(allow=(site.place,)))
        assert (caught.value.rule, caught.value.hop) == ("characters", 1)


def test_a_port_beyond_the_last_is_no_port():
    with pytest.raises(ForbiddenError, match="at most 65535"): parse_url("http://a.example:65536/")
    assert parse_url("http://a.example:65535/").port == 65535


def test_an_address_with_a_zone_is_no_public_server(): assert forbidden("2606:4700::1111") == "" and forbidden("2606:4700::1111%eth0") == "zone"


def test_too_many_redirects(site):
    with pytest.raises(ForbiddenError) as caught: fetch(f"{site.url}/?status=302&to=?status=302%26to=/", policy=Policy(allow=(site.place,)), limits=FetchLimits(redirects=0))
    assert caught.value.rule == "redirects"
    site.connections = 0
    loop = "/?status=302&to=/%3Fstatus%3D302%26to%3D/"
    with pytest.raises(ForbiddenError, match="more than 1 times"): fetch(site.url + loop, policy=Policy(allow=(site.place,)), limits=FetchLimits(redirects=1))
    assert site.connections == 2


def test_headers_stop_at_the_first_change_of_origin_and_cookies_are_never_kept(servers, site):
    other = servers[1]
    policy = Policy(allow=(site.place, other.place))
    fetch(f"{site.url}/?status=302&to=/second", policy=policy, headers={"Authorization": "Bearer k"})
    assert [row[1].get("Authorization") for row in site.seen] == ["Bearer k", "Bearer k"]
    fetch(f"{site.url}/?status=302&to={other.url}/%3Fstatus%3D302%26to%3D{site.url}/home", policy=policy, headers={"Authorization": "Bearer k", "X-Subscription-Token": "k"})
    assert "Authorization" not in other.seen[-1][1] and "X-Subscription-Token" not in other.seen[-1][1] and site.seen[-1][0] == "/home"
    assert "Authorization" not in site.seen[-1][1]                                        # and do not come back
    assert not any("Cookie" in row[1] for row in [*site.seen, *other.seen])


def test_the_environment_has_no_say(site, monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"): monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login anna password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch(site.url, policy=Policy(allow=(site.place,))).text == "hello"
    assert "Authorization" not in site.seen[-1][1]


def test_allowed_by_name_keeps_the_host_header_and_looks_up_once(site):
    resolve = names(**{"searx.internal": ["127.0.0.1"]})
    answer = fetch(f"http://searx.internal:{site.port}/?body=found", policy=Policy(allow=(f"searx.internal:{site.port}",), resolve=resolve))
    assert answer.text == "found" and resolve.asked == ["searx.internal"] and site.seen[-1][1]["Host"] == f"searx.internal:{site.port}"


def test_the_allow_list_is_exact(site, secret):
    policy = Policy(allow=(f"127.0.0.1:{site.port}", f"searx.internal:{secret.port}"), ports=(secret.port, site.port))
    for url in (f"http://127.0.0.1:{secret.port}/", f"http://127.0.0.2:{site.port}/", f"http://x.searx.internal:{secret.port}/", f"http://searx.internal:{site.port}/"):
        with pytest.raises(ForbiddenError): fetch(url, policy=policy)


def test_the_next_address_is_tried(site):
    resolve = names(**{"two.internal": ["127.0.0.9", "127.0.0.1"]})      # nothing listens on the first
    assert fetch(f"http://two.internal:{site.port}/", policy=Policy(allow=(f"two.internal:{site.port}",), resolve=resolve)).status == 200


def test_tls_is_checked_against_the_name(tmp_path, servers):
    certificate, key = make_certificate(tmp_path, "pinned.example")
    server, asked = ThreadingHTTPServer(("127.0.0.1", 0), Site), []
    server.seen = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _, name, __: asked.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    def ask(host, authorities=str(certificate)):
        return fetch(f"https://{host}:{port}/", policy=Policy(allow=(f"{host}:{port}",), authorities=authorities, resolve=names(**{host: ["127.0.0.1"]})))
    assert ask("pinned.example").text == "hello" and asked == ["pinned.example"]
    assert server.seen[-1][1]["Host"] == f"pinned.example:{port}"
    for host, authorities in (("other.example", str(certificate)), ("pinned.example", None)):   # another name; nobody vouches
        with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"): ask(host, authorities)
    with pytest.raises(UsageError, match="not a PEM file"): ask("pinned.example", str(key))
    server.shutdown(); server.server_close()


def mine(server): return Policy(allow=(server.place,))


def test_size_as_received(site):
    assert len(fetch(f"{site.url}/?body=1000", policy=mine(site), limits=FetchLimits(bytes=1000)).body) == 1000
    with pytest.raises(ForbiddenError) as caught: fetch(f"{site.url}/?body=1001", policy=mine(site), limits=FetchLimits(bytes=1000))
    assert caught.value.rule == "size"


def test_size_as_unpacked(site):
    assert fetch(f"{site.url}/?gzip=100000", policy=mine(site), limits=FetchLimits(bytes=100_000)).body == bytes(100_000)
    with pytest.raises(ForbiddenError, match="unpacks to more than"): fetch(f"{site.url}/?gzip=40000000", policy=mine(site), limits=FetchLimits(bytes=100_000))


@pytest.mark.parametrize("packing", ["br", "zstd", "deflate", "gzip,gzip", "compress"])
def test_other_packings_are_refused(site, packing):
    with pytest.raises(ForbiddenError) as caught: fetch(f"{site.url}/?packed={packing}", policy=mine(site))
    assert caught.value.rule == "encoding"


def test_damaged_gzip(site):
    for query in ("packed=gzip", "gzip=1000&cut=1"):
        with pytest.raises(ForbiddenError) as caught: fetch(f"{site.url}/?{query}", policy=mine(site))
        assert caught.value.rule == "encoding"


def test_content_types(site):
    for kind in ("image/png", "application/pdf", "application/octet-stream", "none", "text/html2"):
        with pytest.raises(ForbiddenError) as caught: fetch(f"{site.url}/?type={kind}", policy=mine(site))
        assert caught.value.rule == "content type"
    assert fetch(f"{site.url}/?type=TEXT/HTML;charset=latin-1&body=%E4", policy=mine(site)).content_type == "text/html"


def test_errors_are_answers(site):
    answer = fetch(f"{site.url}/?status=404&type=image/png", policy=mine(site))
    assert (answer.status, answer.body) == (404, b"")
    assert fetch(f"{site.url}/?status=500&body=oops", policy=mine(site)).text == "oops"
    assert fetch(f"{site.url}/?status=304", policy=mine(site)).status == 304


def test_posting_is_not_redirected(site):
    fetch(site.url, policy=mine(site), payload={"query": "ä"})
    assert json.loads(site.seen[-1][2]) == {"query": "ä"}
    with pytest.raises(ForbiddenError, match="carries data"): fetch(f"{site.url}/?status=307&to=/", policy=mine(site), payload={})
    assert len(site.seen) == 2


@pytest.mark.parametrize(("name", "value"), [("X-A", "b\r\nHost: evil"), ("X-A", "b\n"), ("X-A", "b\x00"), ("X-A", "ä"), ("X-A", ""), ("X A", "b"), ("X-A\r\nB", "c"), ("Host", "evil"),
                                             ("Cookie", "a=b"), ("transfer-encoding", "chunked"), ("Content-Length", "5"), ("X-A", "b\u2028c")])
def test_header_injection(site, name, value):
    with pytest.raises(UsageError): fetch(site.url, policy=mine(site), headers={name: value})
    assert site.connections == 0


@pytest.fixture
def raw():
    "A server that sends what it is told, piece by piece"
    made = []
    def serve(*pieces, pause=0.0, close=True):
        listener = socket.create_server(("127.0.0.1", 0))
        made.append(listener)
        def talk():
            try: talker, _ = listener.accept()
            except OSError: return
            made.append(talker)
            try:
                talker.recv(65536)
                for piece in pieces: talker.sendall(piece); time.sleep(pause)
            except OSError: pass
            if close: talker.close()
        threading.Thread(target=talk, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"
    yield serve
    for one in made: one.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize("pieces", [(), (HEAD + b"Content-Length: 99\r\n\r\nab",), (HEAD + b"\r\n", *[b"x"] * 200), tuple(bytes([b]) for b in HEAD * 9)])
def test_the_time_limit_spans_everything(raw, pieces):
    "Silence, a stalled body, a body in drops, a header in drops"
    place, begun = raw(*pieces, pause=0.05, close=False), time.monotonic()
    with pytest.raises(TimeLimitError) as caught: fetch(f"http://{place}/", policy=Policy(allow=(place,)), limits=FetchLimits(seconds=0.4))
    assert caught.value.phase == "total" and time.monotonic() - begun < 5


def test_a_slow_resolver_is_within_the_limit():
    import asyncio
    async def slow(host, port): await asyncio.sleep(60)
    with pytest.raises(TimeLimitError): fetch("http://shop.example/", policy=Policy(resolve=slow), limits=FetchLimits(seconds=0.1))


@pytest.mark.parametrize("pieces", [(b"nonsense\r\n\r\n",), (b"",), (HEAD + b"Content-Length: 99\r\n\r\nab",), (b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 300_000 + b"\r\n\r\n",),
                                    (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",), (b"HTTP/1.1 99999 OK\r\n\r\n",), (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",)])
def test_broken_servers(raw, pieces):
    place = raw(*pieces)
    with pytest.raises(UnavailableError, match=place): fetch(f"http://{place}/", policy=Policy(allow=(place,)))


def test_nobody_there_and_unknown_names(network_attempts):
    with socket.create_server(("127.0.0.1", 0)) as listener: place = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UnavailableError, match="ConnectError"): fetch(f"http://{place}/", policy=Policy(allow=(place,)))
    with pytest.raises(UnavailableError, match="No address is known for nowhere.example"): fetch("http://nowhere.example/", policy=Policy(resolve=names()))
    with pytest.raises(UnavailableError, match="No address"): fetch("http://empty.example/", policy=Policy(resolve=names(**{"empty.example": [[]]})))


def test_before_hop_sees_each_target_after_the_guard(site):
    seen = []
    async def before(target): seen.append(target.path)
    fetch(f"{site.url}/?status=302&to=/next", policy=mine(site), before_hop=before)
    assert seen == ["/?status=302&to=/next", "/next"]
    with pytest.raises(ForbiddenError): fetch("http://127.0.0.1/", before_hop=before)
    assert len(seen) == 2


def test_many_at_once_in_one_loop(site):
    import asyncio
    async def all_of_them(): return await asyncio.gather(*[afetch(f"{site.url}/?body=n{n}", policy=mine(site)) for n in range(20)])
    assert [a.text for a in aio.run(all_of_them())] == [f"n{n}" for n in range(20)]


# Properties

def networks(version): return [network for _, network in RANGES if network.version == version]


def inside(version): return st.sampled_from(networks(version)).flatmap(
    lambda net: st.integers(0, net.num_addresses - 1).map(lambda n: ipaddress.ip_address(int(net.network_address) + n) if version == 4 else ipaddress.IPv6Address(int(net.network_address) + n)))


def pieces_of(number: int, parts: int) -> list[int]:
    "The numbers of a.b.c.d, a.b.CD, a.BCD or ABCD"
    head = [number >> 24 & 255, number >> 16 & 255, number >> 8 & 255][:parts - 1]
    return [*head, number & (1 << 8 * (5 - parts)) - 1]


WRITE = {"decimal": str, "hex": hex, "HEX": lambda n: hex(n).upper().replace("X", "x"), "octal": lambda n: f"0{n:o}", "padded": lambda n: f"{n:012d}"}
EMBED = {"mapped": lambda n: (0xFFFF << 32) + n, "compatible": lambda n: n, "translated": lambda n: (0xFFFF << 48) + n, "nat64": lambda n: (0x64FF9B << 96) + n,
         "local nat64": lambda n: (0x64FF9B0001 << 80) + n, "6to4": lambda n: (0x2002 << 112) + (n << 80), "teredo": lambda n: (0x2001 << 112) + (n ^ 0xFFFFFFFF),
         "isatap": lambda n: (0x2600 << 112) + (0x5EFE << 32) + n}


@st.composite
def spellings(draw):
    "A host that leads to a forbidden IPv4 address for some client"
    number = int(draw(inside(4)))
    if draw(st.booleans()):
        known = ipaddress.IPv6Address(draw(st.sampled_from(list(EMBED.values())))(number))
        return f"[{draw(st.sampled_from([known.compressed, known.exploded, known.compressed.upper()]))}]"
    text = ".".join(WRITE[draw(st.sampled_from(list(WRITE)))](n) for n in pieces_of(number, draw(st.integers(1, 4))))
    change = draw(st.sampled_from(["", "wide", "dots", "percent", "dot"]))
    if change == "wide": text = "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text)
    if change == "dots": text = text.replace(".", draw(st.sampled_from("。．｡"))) if "." in text else text
    if change == "percent": text = "".join(f"%{ord(c):02x}" for c in text)
    return text + ("." if change == "dot" else "")


async def honest(host, port):
    "What the system's resolver makes of numbers: it takes all those forms"
    try: return [socket.inet_ntoa(socket.inet_aton(host))]
    except OSError: return [host]


@settings(max_examples=400, deadline=None)
@given(host=spellings(), scheme=st.sampled_from(["http", "https", "HTTP"]))
def test_a_forbidden_address_is_refused_in_any_spelling(host, scheme):
    with pytest.raises(ForbiddenError): aio.run(guard(parse_url(f"{scheme}://{host}/"), Policy(resolve=honest)))


@settings(max_examples=300, deadline=None)
@given(address=st.one_of(inside(6), inside(4), st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address), st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)))
def test_the_ranges_miss_nothing_that_the_standard_library_knows(address):
    "is_global and its like are no guard alone; but where one of them says no, we must not say yes"
    known_bad = (address.is_private or address.is_loopback or address.is_link_local or address.is_multicast or address.is_reserved or address.is_unspecified
                 or not address.is_global or getattr(address, "is_site_local", False))
    if known_bad: assert forbidden(str(address))
    for written in {str(address), address.exploded}: assert forbidden(written) == forbidden(str(address))


@settings(max_examples=300, deadline=None)
@given(number=st.integers(0, 2**32 - 1))
def test_public_ipv4_stays_reachable(number):
    address = ipaddress.IPv4Address(number)
    ours = any(address in network for network in networks(4))
    assert bool(forbidden(str(address))) == ours
    if not ours: assert aio.run(guard(parse_url(f"http://{address}/"), Policy())) == [str(address)]


@settings(max_examples=300, deadline=None)
@given(url=st.text(max_size=60) | st.text(alphabet="htps:/\\@[]%.#?0x7f1a-。１ \t", max_size=40).map("http://".__add__))
def test_any_text_is_read_or_refused(url):
    "And what is read says the same when it is read again"
    try: target = parse_url(url)
    except ForbiddenError: return
    assert parse_url(target.url) == target
    assert urlsplit(target.url).hostname == target.host and (urlsplit(target.url).port or {"http": 80, "https": 443}[target.scheme]) == target.port


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), charset=st.text(max_size=20) | st.sampled_from(["utf-16", "punycode", "idna", "utf_7", "zip", "cp949", "windows-1251", "iso-2022-jp", "unicode_escape"]))
def test_decoding_never_fails(data, charset): assert isinstance(decode_text(data, charset), str)


def test_codecs_that_are_no_character_sets_are_not_used():
    for name in ("punycode", "idna", "unicode_escape", "utf-7", "rot13", "undefined"): assert decode_text(rb"a-b \u0041 +AEE-", name) == r"a-b \u0041 +AEE-"


def test_every_character_set_that_is_honoured_exists():
    import codecs
    for name in ("utf-8", "utf8", "utf-16", "windows-1252", "cp1250", "windows-874", "iso-8859-15", "iso8859-1", "koi8-r", "gb2312", "gbk", "gb18030", "big5", "euc-jp", "euc-kr",
                 "shift_jis", "iso-2022-jp", "tis-620", "us-ascii", "latin1", "macintosh", "windows-949"):
        assert CHARSETS.fullmatch(name.replace("_", "-")), name
        assert decode_text("aé가"[:1].encode(), name if not name.startswith("utf-16") else "utf-8") == "a"
        codecs.lookup("mac-roman" if name == "macintosh" else name.replace("windows-", "cp"))


def test_policy_errors():
    for wrong in ("127.0.0.1:80", ["searx.internal"], ["http://a:1"], ["a:80/x"], ["*:80"], ["a b:80"], ["2130706433:80"]):
        with pytest.raises(UsageError, match="allow"): Policy(allow=wrong)


def test_errors_are_factory_errors(): assert issubclass(ForbiddenError, FactoryError)


@pytest.mark.parametrize("body, kind", [
    ("<meta charset=windows-1251><p>Привет".encode("cp1251"), "text/html"), ("<p>Привет".encode("utf-16"), "text/html"),
    (b"\xef\xbb\xbf" + "Привет".encode(), "text/plain; charset=utf8"), ("<p>Привет".encode("koi8-r"), "text/html; charset=koi8-r"),
])
def test_a_page_is_read_in_the_character_set_that_it_states(body, kind):
    from genai_factory.core.fetch import Fetched
    text = Fetched("http://example.com", 200, {"content-type": kind}, body, kind.partition(";")[0]).text
    assert text.endswith("Привет") and "\ufeff" not in text
