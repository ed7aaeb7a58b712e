"""The mail tools against a real SMTP server on this machine, and mails that no standard would have."""

import contextlib
import email
import email.policy
import re
import socket
import ssl
import threading
import time
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.core import aio
from genai_factory.core.base import InputError, ToolCall, UsageError
from genai_factory.tools.email import Account, address, compose, email_tool, listed, preview
from genai_factory.tools.mailbox import mail_text, parse_email, safe_name
from genai_factory.tools.toolset import Toolset
from tests.certificates import make_certificate

ACCOUNT = Account("desk@bank.example", frozenset({"bank.example", "anna@home.example"}))


class Sink:
    "Keeps what arrives; refuses recipients at refused.example"
    def __init__(self): self.mails, self.logins = [], []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"): return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content, server.transport.get_extra_info("ssl_object") is not None))
        return "250 kept"

    def check(self, server, session, envelope, mechanism, data):
        from aiosmtpd.smtp import AuthResult
        self.logins.append((data.login.decode(), data.password.decode(), session.ssl is not None))
        return AuthResult(success=data.password == b"right", handled=False)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one: return one.getsockname()[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory): return make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def serve(certificate):
    "Starts a sink: starttls, tls or plain"
    controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed: pip install aiosmtpd")
    running = []
    def start(security, login=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        sink, port = Sink(), free_port()
        options = {"starttls": {"tls_context": context, "require_starttls": True}, "tls": {"ssl_context": context}, "plain": {}}[security]
        if login: options |= {"authenticator": sink.check, "auth_required": True, "auth_require_tls": security == "starttls"}
        made = controller.Controller(sink, hostname="127.0.0.1", port=port, server_hostname="sink.example", **options)
        made.start()
        running.append(made)
        return sink, {"host": "127.0.0.1", "port": port, "security": security, "login": login, "authorities": str(certificate[0]), "seconds": 5}
    yield start
    for one in running: one.stop()


@pytest.fixture(scope="module")
def starttls(serve): return serve("starttls", login=True)


@pytest.fixture
def sink(starttls, monkeypatch):
    monkeypatch.setenv("SMTP_USER", "desk"); monkeypatch.setenv("SMTP_PASSWORD", "right")
    starttls[0].mails.clear(); starttls[0].logins.clear()
    return starttls[0]


@pytest.fixture
def kit(sink, starttls, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "plan.csv").write_bytes(b"month,rate\n1,100\n")
    return Toolset(email_tool("desk@bank.example", ["bank.example", "anna@home.example"], files=folder, **starttls[1]))


GOOD = {"to": ["anna@home.example"], "subject": "Early repayment", "body": "It costs 1 %.\n.\n..two dots\nRegards"}


def headers(raw): return [(name.lower(), value) for name, value in email.message_from_bytes(raw, policy=email.policy.default).items()]


def words(message): return message.get_body().get_content().replace("\r\n", "\n").rstrip("\n")


def test_the_sink_shows_the_message(kit, sink):
    result = kit.call("send_email", **GOOD, cc=["team@bank.example"], files=["plan.csv"])
    assert result.status == "ok" and "anna@home.example, team@bank.example" in result.message.content
    [(sender, people, raw, encrypted)] = sink.mails
    assert (sender, people, encrypted) == ("desk@bank.example", ["anna@home.example", "team@bank.example"], True)
    assert sink.logins == [("desk", "right", True)]
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["from"] == "desk@bank.example" and message["to"] == "anna@home.example" and message["cc"] == "team@bank.example" and message["bcc"] is None
    assert message["subject"] == "Early repayment" and message["date"] and message["message-id"].endswith("@bank.example>")
    assert words(message) == GOOD["body"]
    [part] = message.iter_attachments()
    assert (part.get_filename(), part.get_content_type(), part.get_payload(decode=True)) == ("plan.csv", "text/csv", b"month,rate\n1,100\n")


@pytest.mark.parametrize("security", ["tls", "plain"])
def test_the_other_ways(serve, security):
    sink, options = serve(security)
    assert Toolset(email_tool("desk@bank.example", ["bank.example"], **options)).call("send_email", to=["a@bank.example"], subject="Hello", body="x").status == "ok"
    assert sink.mails[0][3] is (security == "tls")


def test_other_scripts_arrive(kit, sink):
    subject, body = "Gebühren für die Rückzahlung – 早期返済 👩‍💻 " + "lang " * 20, "Grüße\u2028aus 東京\n" * 50
    assert kit.call("send_email", to=["anna@home.example"], subject=subject.strip(), body=body).status == "ok"
    message = email.message_from_bytes(sink.mails[0][2], policy=email.policy.default)
    assert message["subject"] == subject.strip() and words(message) == body.rstrip("\n")
    assert all(len(line) <= 998 for line in sink.mails[0][2].split(b"\r\n"))


BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00", "\r\n ", "\r\n\t", "\n\n", "\r\n\r\n"]
SUBJECTS = ([f"Fees{b}Bcc: eve@evil.example" for b in BREAKS] + [f"{b}Bcc: eve@evil.example" for b in ("\r\n", "\n", "\u2028")]
            + ["Fees\r\n\r\n<html>", "Fees\nTo: eve@evil.example", "Fees\r\nContent-Type: text/html", "Fees\r\n.\r\nMAIL FROM:<eve@evil.example>", "\u202eseeF", "Fees\ufeff", "Fees\ud800",
               "Fees\x1b[31m", "Fees\x7f", "", "   ", "x" * 201])
RECIPIENTS = ["anna@home.example\r\nBcc: eve@evil.example", "anna@home.example\nBcc:eve@evil.example", "anna@home.example, eve@evil.example", "anna@home.example;eve@evil.example",
              "anna@home.example eve@evil.example", "Anna <anna@home.example>", "<anna@home.example>", "anna@home.example (eve@evil.example)", '"eve@evil.example" <anna@home.example>',
              "eve%evil.example@bank.example", "evil.example!eve@bank.example", "@evil.example:anna@bank.example", "eve@evil.example\x00@bank.example", "anna@home.example\x00",
              "anna@bank.example>\r\nRCPT TO:<eve@evil.example", "anna@bank.example> SIZE=1", "anna@bank.example\u2028", "anna@bank。example", "anna@ｂank.example", "аnna@bank.example",
              "=?utf-8?q?eve=40evil.example?=@bank.example", "\"anna\r\n\"@bank.example", "anna@[127.0.0.1]", "anna@localhost", "anna@", "@bank.example", "", "anna", " anna@bank.example",
              "anna@bank.example ", "a..b@bank.example", ".a@bank.example", "anna@bank..example", "anna@-bank.example", "anna@bank.example.", "undisclosed:anna@bank.example;",
              "|cat@bank.example", "-oQ/tmp@bank.example\n", "a" * 65 + "@bank.example", "anna@" + "b." * 130 + "example"]


def hostile():
    "Each with the argument that it replaces"
    for n, text in enumerate(SUBJECTS): yield pytest.param({"subject": text}, id=f"subject-{n}")
    for n, text in enumerate(RECIPIENTS):
        yield pytest.param({"to": [text]}, id=f"to-{n}")
        yield pytest.param({"cc": [text]}, id=f"cc-{n}")
    for n, text in enumerate(["plan.csv\r\nX: y", "plan.csv\x00", "../plan.csv", "/etc/passwd", "", ".", "absent.csv"]): yield pytest.param({"files": [text]}, id=f"files-{n}")
    for n, text in enumerate(["a\x00b", "a\x0bb", "\ud800", "x" * 100_001]): yield pytest.param({"body": text}, id=f"body-{n}")
    yield pytest.param({"to": []}, id="nobody")
    yield pytest.param({"to": [f"a{n}@bank.example" for n in range(11)]}, id="too many")
    yield pytest.param({"bcc": ["eve@evil.example"]}, id="bcc")


@pytest.mark.parametrize("change", list(hostile()))
def test_injection_changes_no_header(kit, sink, change):
    for name in ("draft_email", "send_email"):
        result = kit.call(name, **{**GOOD, **change})
        assert result.status == "error", result
    assert not sink.mails and not sink.logins


@pytest.mark.parametrize("text", RECIPIENTS)
def test_what_is_no_plain_address_is_none(text):
    with pytest.raises(UsageError, match="no plain address"): address(text)


SENT = [("It costs\r\n.\r\nMAIL FROM:<eve@evil.example>\r\nRCPT TO:<eve@evil.example>\r\nDATA\r\nhi\r\n.\r\n", "text"), ("a\n.\nb\r.\rc\r\n.\nd\n.\r\ne", "text"), ("Bcc: eve@evil.example\n\nx", "text"),
        ("\r\nBcc: eve@evil.example\r\n\r\nx", "text"), ("--===============\nContent-Type: text/html\n\n<b>", "text"), ("From eve@evil.example\n", "text"), ("x" * 5000, "text"), ("", "text"),
        ("=?utf-8?q?Fees=0D=0ABcc:_eve=40evil.example?=", "subject"), ("=?utf-8?b?RmVlcw0KQmNjOiBldmVAZXZpbC5leGFtcGxl?=", "subject"), ("Bcc: eve@evil.example", "subject"),
        ("Fees%0d%0aBcc: eve@evil.example", "subject"), ("Fees\\r\\nBcc: eve@evil.example", "subject"), ("<script>alert(1)</script>", "subject"), ("x " * 99, "subject"),
        ("嘊嘍Bcc: eve@evil.example", "subject"), ("é" * 150, "subject")]


@pytest.mark.parametrize(("text", "place"), SENT)
def test_odd_words_stay_words(kit, sink, text, place):
    "What is allowed to be said arrives as one mail, with the headers that were meant and the recipients that were named"
    result = kit.call("send_email", **{**GOOD, "body" if place == "text" else "subject": text})
    if result.status == "error":                 # an encoded word in a subject may be refused: it would be read as something else
        assert place == "subject" and "=?" in text and not sink.mails
        return
    [(_, people, raw, _)] = sink.mails
    assert people == ["anna@home.example"]
    assert sorted(name for name, _ in headers(raw)) == ["content-transfer-encoding", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"]
    message = email.message_from_bytes(raw, policy=email.policy.default)
    if place == "text": assert words(message) == re.sub(r"\r\n?", "\n", text).rstrip("\n") and message["subject"] == GOOD["subject"]
    else: assert message["subject"] == text.strip()


@pytest.mark.parametrize("stranger", ["eve@evil.example", "anna@evil.home.example", "anna@sub.bank.example", "anna@xbank.example", "anna@bank.example.evil.example", "bob@home.example", "anna@home.examples"])
def test_recipients_outside_the_list(kit, sink, stranger):
    for change in ({"to": [stranger]}, {"to": ["a@bank.example", stranger]}, {"cc": [stranger]}):
        result = kit.call("send_email", **{**GOOD, **change})
        assert result.status == "error" and f"recipient {2 if stranger not in change.get('to', [])[:1] else 1} of" in result.error and "not on the list" in result.error
    assert not sink.mails


def test_nobody_is_listed_by_default():
    [draft] = email_tool("desk@bank.example")
    assert "not on the list" in Toolset([draft]).call("draft_email", to=["a@bank.example"], subject="s", body="b").error


def test_draft_shows_what_send_sends(kit, sink):
    draft = kit.call("draft_email", **GOOD, cc=["team@bank.example"], files=["plan.csv"]).message.content
    assert not sink.mails
    kit.call("send_email", **GOOD, cc=["team@bank.example"], files=["plan.csv"])
    assert draft == preview(email.message_from_bytes(sink.mails[0][2], policy=email.policy.SMTP)).replace("\r\n", "\n")
    assert "Attached: plan.csv (17 bytes)" in draft and "Cc: team@bank.example" in draft and GOOD["body"] in draft


def test_sending_waits_for_a_person(kit, sink):
    import json
    call = ToolCall("1", "send_email", json.dumps(GOOD))
    assert aio.run(kit.acall(call)).status == "needs_approval" and aio.run(kit.acall(call, approved=False)).status == "denied" and not sink.mails
    assert aio.run(kit.acall(call, approved=True)).status == "ok" and len(sink.mails) == 1
    risks = {tool.name: (tool.risk, tool.approval) for tool in kit}
    assert risks == {"draft_email": ("reads", None), "send_email": ("acts", True)}


def test_the_same_key_sends_once(kit, sink):
    first, second = kit.call("send_email", **GOOD, key="k"), kit.call("send_email", **GOOD, key="k")
    assert first.status == second.status == "ok" and "not sent a second time" in second.message.content and len(sink.mails) == 1
    assert "was used" in kit.call("send_email", **{**GOOD, "body": "another"}, key="k").error
    assert kit.call("send_email", **GOOD, key="k2").status == "ok" and len(sink.mails) == 2
    ids = {dict(headers(raw))["message-id"] for _, _, raw, _ in sink.mails}
    assert len(ids) == 2


def test_without_a_key_the_same_words_are_sent_once(kit, sink):
    for _ in range(3): kit.call("send_email", **GOOD)
    kit.call("send_email", **{**GOOD, "body": "other"})
    assert len(sink.mails) == 2


def test_many_at_once_with_one_key(kit, sink):
    threads = [threading.Thread(target=kit.call, args=("send_email",), kwargs={**GOOD, "key": "k"}) for _ in range(8)]
    for one in threads: one.start()
    for one in threads: one.join()
    assert len(sink.mails) == 1


def test_the_ledger_outlives_the_process(sink, starttls, tmp_path):
    def fresh(): return Toolset(email_tool("desk@bank.example", ["home.example"], ledger=tmp_path / "mails.db", **starttls[1]))
    assert fresh().call("send_email", **GOOD).status == "ok"
    assert "not sent a second time" in fresh().call("send_email", **GOOD).message.content and len(sink.mails) == 1
    import sqlite3
    sqlite3.connect(tmp_path / "mails.db").execute("PRAGMA user_version = 9")
    with pytest.raises(UsageError, match="newer version"): fresh()
    with pytest.raises(UsageError, match="cannot be opened"): email_tool("a@bank.example", host="127.0.0.1", ledger=tmp_path / "absent" / "x.db")


def test_credentials_come_from_the_environment(kit, sink, monkeypatch):
    for variable in ("SMTP_USER", "SMTP_PASSWORD"):
        with monkeypatch.context() as patch:
            patch.delenv(variable)
            assert f"set the environment variable {variable}" in kit.call("send_email", **GOOD).error
    monkeypatch.setenv("SMTP_PASSWORD", "wrong-secret")
    refused = kit.call("send_email", **GOOD)
    assert "SMTPAuthenticationError" in refused.error and "Nothing was sent" in refused.error and "wrong-secret" not in refused.error
    monkeypatch.setenv("SMTP_PASSWORD", "right")
    assert kit.call("send_email", **GOOD).status == "ok"        # nothing was sent before, so the same mail may go now


def test_a_refused_recipient(serve):
    sink, options = serve("plain")
    kit = Toolset(email_tool("desk@bank.example", ["bank.example"], **options))
    result = kit.call("send_email", to=["refused@bank.example"], subject="s", body="b")
    assert "refused the mail" in result.error and not sink.mails
    both = kit.call("send_email", to=["refused@bank.example", "a@bank.example"], subject="s", body="b")
    assert "Sent to a@bank.example." in both.message.content and "refused refused@bank.example" in both.message.content and sink.mails[0][1] == ["a@bank.example"]


def test_the_certificate_is_checked(sink, starttls):
    for change in ({"authorities": None}, {"host": "localhost"}):
        result = Toolset(email_tool("desk@bank.example", ["home.example"], **{**starttls[1], **change})).call("send_email", **GOOD)
        assert "CERTIFICATE_VERIFY_FAILED" in result.error and "Nothing was sent" in result.error
    assert not sink.mails and not sink.logins


def test_no_starttls_no_mail(serve, sink):
    plain, options = serve("plain")
    result = Toolset(email_tool("desk@bank.example", ["home.example"], **{**options, "security": "starttls"})).call("send_email", **GOOD)
    assert "SMTPNotSupportedError" in result.error and not plain.mails


def test_plain_is_for_this_machine_only():
    for host in ("mail.bank.example", "10.0.0.5", "127.0.0.1.evil.example", "2130706433"):
        with pytest.raises(UsageError, match="this machine only"): email_tool("desk@bank.example", host=host, security="plain")
    with pytest.raises(UsageError, match="starttls, tls or plain"): email_tool("desk@bank.example", host="mail.bank.example", security="none")


def talk(*lines, pause=0.0):
    "An SMTP server that says these lines, one after each command"
    listener = socket.create_server(("127.0.0.1", 0))
    def run():
        try:
            speaker, _ = listener.accept()
            for line in lines:
                speaker.sendall(line)
                time.sleep(pause)
                if not speaker.recv(65536): break
            time.sleep(pause)
            speaker.close()
        except OSError: pass
        listener.close()
    threading.Thread(target=run, daemon=True).start()
    return {"host": "127.0.0.1", "port": listener.getsockname()[1], "security": "plain", "login": False, "seconds": 0.5}


OK = b"250 ok\r\n"


@pytest.mark.parametrize(("lines", "says", "again"), [
    ((), "Nothing was sent", True), ((b"nonsense\r\n",), "Nothing was sent", True), ((b"554 go away\r\n",), "Nothing was sent", True),
    ((b"220 hi\r\n", OK, b"550 not you\r\n", OK, OK), "Nothing was sent", True), ((b"220 hi\r\n", OK, OK, OK, b"354 go\r\n", b"552 too big\r\n", OK, OK), "Nothing was sent", True),
    ((b"220 hi\r\n", OK, OK, OK, b"354 go\r\n"), "is unknown", False), ((b"220 hi\r\n", OK, OK), "is unknown", False),
])
def test_servers_that_break_off(lines, says, again):
    options = talk(*lines)
    kit = Toolset(email_tool("desk@bank.example", ["home.example"], **options))
    assert says in kit.call("send_email", **GOOD).error
    second = kit.call("send_email", **GOOD).error          # the server is gone: either it is tried again, or refused because nobody knows
    assert ("was not reached" in second) if again else ("whether it arrived is unknown" in second)


def test_a_silent_server_is_left():
    begun = time.monotonic()
    result = Toolset(email_tool("desk@bank.example", ["home.example"], **talk(b"", pause=3))).call("send_email", **GOOD)
    assert result.status in ("error", "timeout") and time.monotonic() - begun < 10


def test_attachments_are_bounded_and_stay_in_their_folder(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "big.bin").write_bytes(bytes(700))
    (folder / "sub").mkdir()
    kit = Toolset(email_tool("desk@bank.example", ["home.example"], files=folder, size=1000))
    for name in ("link.txt", "../secret.txt", str(tmp_path / "secret.txt"), "sub", "sub/../../secret.txt"):
        assert "There is no file" in kit.call("draft_email", **GOOD, files=[name]).error, name
    assert kit.call("draft_email", **GOOD, files=["big.bin"]).status == "ok"
    assert "larger than 1000 bytes" in kit.call("draft_email", **GOOD, files=["big.bin", "big.bin"]).error
    assert "switched off" in Toolset(email_tool("desk@bank.example", ["home.example"])).call("draft_email", **GOOD, files=["big.bin"]).error


def test_mistakes_of_the_operator():
    with pytest.raises(UsageError, match="plain address"): email_tool("Desk <desk@bank.example>")
    with pytest.raises(UsageError, match="list of addresses"): email_tool("desk@bank.example", "bank.example")
    with pytest.raises(UsageError, match="plain address"): email_tool("desk@bank.example", ["*"])
    assert [t.name for t in email_tool("desk@bank.example", host="mail.bank.example")] == ["draft_email", "send_email"]


TEXTS = st.text(max_size=80) | st.text(alphabet="ab @<>,;:\r\n\t\"\\=?%.é\u2028\x85", max_size=40)


@settings(max_examples=200, deadline=None)
@given(subject=TEXTS, body=TEXTS, to=st.lists(TEXTS | st.just("a@bank.example"), min_size=1, max_size=3))
def test_any_words_give_the_meant_headers_or_an_error(subject, body, to):
    try: message, people = compose(ACCOUNT, to, subject, body, [], [])
    except UsageError: return
    read = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    assert people == list(dict.fromkeys(address(a) for a in to)) and all(listed(a, ACCOUNT.allowed) for a in people)
    assert len(read.keys()) == 8 and read["bcc"] is None and str(read["subject"]) == subject.strip()


@settings(max_examples=200, deadline=None)
@given(subject=st.text(alphabet=st.characters(whitelist_categories=("L", "N", "P", "S"), max_codepoint=0x2FFF) | st.just(" "), min_size=1, max_size=200))
def test_ordinary_subjects_pass(subject):
    "In any script; what looks like an encoded word, and blanks in a row, are the exceptions"
    if "=?" in subject or not subject.strip(): return
    compose(ACCOUNT, ["a@bank.example"], subject, "x", [], [])


# Reading

def build(**parts):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = parts.get("sender", "eve@evil.example"), "desk@bank.example", parts.get("subject", "Fees")
    message.set_content(parts.get("text", "Hello"))
    return message


def test_a_whole_mail():
    inner = build(subject="Inside", text="inner words")
    outer = build(text="plain words")
    outer.add_alternative("<p>html words</p>", subtype="html")
    outer.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="../../Gebühren\u202efdp.pdf")
    outer.add_attachment("a,b\n", subtype="csv", filename="data.csv")
    outer.add_attachment(inner)
    mail = parse_email(outer.as_bytes())
    assert (mail.headers["From"], mail.headers["Subject"], mail.text) == ("eve@evil.example", "Fees", "plain words")
    assert [(a.name, a.content_type, a.data) for a in mail.attachments] == [("Gebührenfdp.pdf", "application/pdf", b"%PDF"), ("data.csv", "text/csv", b"a,b\n")]
    assert [m.text for m in mail.mails] == ["inner words"]
    text = mail_text(mail)
    assert "Attachment: data.csv (text/csv, 4 bytes)" in text and "--- attached mail ---" in text and "html words" not in text


@pytest.mark.parametrize(("head", "body", "words"), [
    (b"Content-Type: text/plain; charset=iso-8859-15", "Grüße €".encode("iso-8859-15"), "Grüße €"), (b"Content-Type: text/plain; charset=no-such-set", "Grüße".encode(), "Grüße"),
    (b"Content-Type: text/plain; charset=punycode", b"abc-def", "abc-def"), (b"Content-Type: text/plain; charset=koi8-r", "привет".encode("koi8-r"), "привет"),
    (b"Content-Type: text/plain; charset=\"iso-2022-jp\"", "東京".encode("iso-2022-jp"), "東京"), (b"Content-Transfer-Encoding: base64\nContent-Type: text/plain", b"SGVsbG8", "Hello"),
    (b"Content-Transfer-Encoding: base64\nContent-Type: text/plain", b"!!!not base64", "not base64"), (b"Content-Transfer-Encoding: x-odd", b"as it stands", "as it stands"),
    (b"Content-Type: text/html; charset=windows-1251", "<p>привет<script>x</script>".encode("cp1251"), "привет"), (b"Content-Type: nonsense", b"words", "words"),
    (b"Content-Type: text/plain; charset*=utf-8''utf-8", b"words", "words"), (b"Content-Type: text/plain", b"a\x00b\x1b[31m\xe2\x80\xaec", "ab[31mc"),
    (b"Content-Type: multipart/mixed; boundary=x", b"--x\n\nfirst\n--x\nContent-Type: text/plain\n\nsecond\n", "second"), (b"Content-Type: multipart/mixed", b"no boundary", ""),
])
def test_odd_mails_are_read(head, body, words):
    assert words in parse_email(b"Subject: s\n" + head + b"\n\n" + body).text


@pytest.mark.parametrize(("raw", "read"), [
    (b"=?utf-8?q?Geb=C3=BChren?=", "Gebühren"), (b"=?x-unknown?b?SGk=?=", "Hi"), (b"=?utf-8?b?SGk", "=?utf-8?b?SGk"), (b"=?utf-8?b?a?=", None), ("Gebühren".encode(), None), (b"a\r\n\tb", "a  b"),
    (b"=?utf-8?q?a=0D=0ABcc:_eve?=", "a  Bcc: eve"), (b"=?utf-8?q?=E2=80=AEx?=", "x"),
])
def test_odd_headers(raw, read):
    shown = parse_email(b"Subject: " + raw + b"\nFrom: a@b.example\n\nx").headers["Subject"]
    assert shown.isprintable() and (read is None or shown.replace("   ", "  ") == read)


def test_bounds_of_reading():
    with pytest.raises(InputError, match="at most 100"): parse_email(b"x" * 101, size=100)
    deep = build(text="deepest")
    for _ in range(6):
        outer = build(text="shell")
        outer.add_attachment(deep)
        deep = outer
    text = mail_text(parse_email(deep.as_bytes()))
    assert text.count("--- attached mail ---") == 3 and "Left out: a mail inside" in text and "deepest" not in text
    wide = build()
    for n in range(300): wide.add_attachment(b"x", maintype="application", subtype="x", filename=f"{n}.x")
    mail = parse_email(wide.as_bytes())
    assert len(mail.attachments) < 200 and mail.left_out


def test_nesting_beyond_reason():
    raw = b"Subject: s\n" + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3000)) + b"\nend"
    try: parse_email(raw)
    except InputError: pass


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=300) | st.lists(st.sampled_from([
    b"Subject: =?utf-8?q?", b"=FF?=", b"Content-Type: ", b"multipart/mixed; boundary=x", b"text/html", b"message/rfc822", b"; name*0*=", b"charset*1=", b"utf-8''%ff", b"\n", b"\n\n", b"--x", b"--x--",
    b"Content-Transfer-Encoding: base64", b"From: ", b"a@b, <", b"\"", b"Content-Disposition: attachment; filename=", b"\xff", b"(" * 40]), max_size=25).map(b"".join))
def test_any_bytes_are_a_mail(raw):
    assert isinstance(mail_text(parse_email(raw)), str)


@settings(max_examples=300, deadline=None)
@given(raw=TEXTS | st.sampled_from(["CON", "con.txt", "a/b\\c", "...", "nul", "LPT1.tar.gz", "x" * 300, "x" * 300 + ".pdf", "x." + "y" * 300, "../" * 50]))
def test_names_are_safe(raw):
    name = safe_name(raw, 7)
    assert 0 < len(name) <= 100 and name.isprintable() and not set(name) & set('/\\<>:"|?*') and not name.startswith(".") and name not in (".", "..")
    assert name.split(".")[0].lower() not in ("con", "nul", "lpt1", "aux", "prn", "com1")


def test_the_tool_reads_one_folder(tmp_path):
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "one.eml").write_bytes(build(text="read me").as_bytes())
    (folder / "other.txt").write_text("x"); (tmp_path / "secret.eml").write_text("Subject: secret\n\nx")
    (folder / "link.eml").symlink_to(tmp_path / "secret.eml")
    (folder / "big.eml").write_bytes(b"Subject: x\n\n" + b"x" * 6_000_000)
    kit = Toolset(email_tool("desk@bank.example", mails=folder))
    good = kit.call("read_email", path="one.eml")
    assert good.status == "ok" and "read me" in good.message.content[0].value and (good.message.content[0].origin, good.message.content[0].trusted) == ("mail", False)
    for path in ("../secret.eml", str(tmp_path / "secret.eml"), "link.eml", "other.txt", "", ".", "absent.eml", "one.eml\x00", "a\nb"):
        assert "There is no mail" in kit.call("read_email", path=path).error
    assert "at most 5000000" in kit.call("read_email", path="big.eml").error



ENDLESS = [b"Content-Type: text/plain" + b";" * 400_000 + b"\n\nx", b"Subject: " + b"=?utf-8?q?a?= " * 40_000 + b"\n\nx", b"Content-Type: text/plain; " + b"a=b; " * 100_000 + b"\n\nx",
           b"Content-Disposition: attachment; filename*0=" + b"a; filename*1=" * 60_000 + b"\n\nx", b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: multipart/x; boundary=b\n\n" * 5000]


@pytest.mark.parametrize("data", ENDLESS, ids=range(len(ENDLESS)))
def test_headers_made_to_be_parsed_for_ever(data):
    started = time.process_time()
    with contextlib.suppress(InputError): parse_email(data)
    assert time.process_time() - started < 3


def test_html_in_a_mail_is_bounded_in_number_and_time(monkeypatch):
    from genai_factory.tools import mailbox
    from genai_factory.tools.pages import read_html
    monkeypatch.setattr(mailbox, "read_html", lambda page, seconds: read_html(page, 1))
    endless = parse_email(b"Content-Type: text/html\n\n" + b"<a b='" * 150_000)
    assert endless.text == "" and endless.left_out == ["an HTML text that cannot be parsed in time"]
    many = parse_email(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: text/html\n\n<p>word</p>\n" * 6 + b"--b--\n")
    assert many.text.count("word") == 4 and many.left_out == ["a further HTML text"] * 2
