"""The Framer "starttls" against real servers (aiosmtpd, dovecot, stunnel) and, on a Listener, openssl s_client."""
import os
import subprocess

from netns import SERVER4, SERVER6
from peers import Authority, cat, cat_open, closing, require_programs, serve, socat, talking, wait_listening
from tap import Skip, check, check_equal, main, poll, test

PYTHON = "/usr/bin/python3"  # which sees the packages of the system

AIOSMTPD = """
import signal, ssl, sys
from aiosmtpd.controller import Controller
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(envelope.mail_from, envelope.rcpt_tos, session.ssl is not None, flush=True)
        return "250 taken"
context = None
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
controller = Controller(Handler(), hostname=sys.argv[1], port=int(sys.argv[2]), server_hostname="mail.test",
                        tls_context=context, require_starttls=context is not None)
controller.start()
signal.pause()
"""

LETTER = b"EHLO me.test\nMAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>\nDATA\nSubject: hello\n\nbody\n.\nQUIT\n"


def names(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} mail.test\n{SERVER6} mail.test\n")


def aiosmtpd(net, *tls):
    if subprocess.run([PYTHON, "-c", "import aiosmtpd"], capture_output=True, check=False).returncode:
        raise Skip("needs python3-aiosmtpd")
    process = net.server.spawn(PYTHON, "-c", AIOSMTPD, SERVER4, "25", *tls)
    wait_listening(net.server, process, 25)
    return process


def lines(protocol, *more):
    return ("--framer", f"starttls:protocol={protocol},name=me.test", "--framer", "delimiter:delimiter=crlf", *more)


def converse(net, arguments, commands, where):
    """Each command when the answer to the one before has come, told by its first words."""
    process = cat_open(net.client, *arguments, where)
    for command, answer in commands:
        process.write(command + b"\n")
        poll(lambda: answer in process.out or not process.running(), 30, f"{answer} to {command}")
        check(answer in process.out, f"{answer} to {command}: {process.out!r}, {process.err!r}")
    process.close_stdin()
    return process


SMTP = ((b"EHLO me.test", b"250 HELP"), (b"MAIL FROM:<a@b.test>", b"250 OK"), (b"RCPT TO:<c@d.test>", b"250 OK\n250 OK"),
        (b"DATA", b"354 "), (b"Subject: hello\n\nbody\n.", b"250 taken"), (b"QUIT", b"221 "))


# ------------------------------------------------------------------------------------------------------ servers

# proves API-132
@test("aiosmtpd: a letter goes over TLS; a certificate of somebody else's is refused")
def smtp_server(net):
    names(net)
    authority = Authority(net)
    server = aiosmtpd(net, *authority.issue("mail.test"))
    converse(net, lines("smtp", "--cafile", authority.certificate), SMTP, "mail.test:25")
    poll(lambda: b"a@b.test ['c@d.test'] True" in server.out, 30, "the letter, over TLS")
    answer = cat(net.client, *lines("smtp"), "mail.test:25", stdin=LETTER)
    check_equal(answer.status, 1, "exit status without the authority")
    check(b"certificate" in answer.err, f"its words: {answer.err!r}")


@test("aiosmtpd without TLS: never in clear where security is required; in clear where it is opportunistic or disabled")
def smtp_without(net):
    names(net)
    server = aiosmtpd(net)
    answer = cat(net.client, *lines("smtp"), "mail.test:25", stdin=LETTER)
    check_equal(answer.status, 1, "exit status")
    check(b"starttls: the server does not offer STARTTLS" in answer.err, f"its words: {answer.err!r}")
    check_equal(server.out, b"", "no letter")
    for mode in ("opportunistic", "disabled"):
        converse(net, lines("smtp", "--security", mode), SMTP, "mail.test:25")
    poll(lambda: server.out.count(b"False") == 2, 30, "two letters in clear")


def dovecot(net, tls):
    require_programs("dovecot")
    folder = net.folder / "dovecot"
    for name in ("run", "state", "mail"):
        (folder / name).mkdir(parents=True)
    path = folder / "dovecot.conf"
    path.write_text(f"""
        protocols = imap pop3
        listen = {SERVER4}
        base_dir = {folder}/run
        state_dir = {folder}/state
        log_path = /dev/stderr
        ssl = required
        ssl_cert = <{tls[0]}
        ssl_key = <{tls[1]}
        default_login_user = nobody
        default_internal_user = nobody
        default_internal_group = nogroup
        first_valid_uid = 0
        mail_location = maildir:{folder}/mail/%u
        passdb {{
          driver = static
          args = password=right
        }}
        userdb {{
          driver = static
          args = uid=65534 gid=65534 home={folder}/mail
        }}
        service anvil {{
          chroot =
        }}
        service imap-login {{
          chroot =
          inet_listener imaps {{
            port = 0
          }}
        }}
        service pop3-login {{
          chroot =
          inet_listener pop3s {{
            port = 0
          }}
        }}
        """)
    os.chmod(net.folder, 0o755)
    os.chmod(folder / "mail", 0o777)
    process = net.server.spawn("dovecot", "-F", "-c", path)
    wait_listening(net.server, process, 143)
    wait_listening(net.server, process, 110)
    return process


# proves API-132
@test("dovecot: IMAP and POP3 log in over TLS")
def mailbox(net):
    names(net)
    authority = Authority(net)
    dovecot(net, authority.issue("mail.test"))
    trust = ("--cafile", authority.certificate)
    converse(net, lines("imap", *trust), ((b"x1 CAPABILITY", b"x1 OK"), (b"x2 LOGIN anna right", b"x2 OK"),
                                          (b"x3 LOGOUT", b"x3 OK")), "mail.test:143")
    converse(net, lines("pop3", *trust), ((b"USER anna", b"+OK"), (b"PASS right", b"Logged in"), (b"QUIT", b"out")),
             "mail.test:110")
    process = converse(net, lines("imap", "--security", "disabled"), ((b"x1 LOGIN anna right", b"x1 NO"),),
                       "mail.test:143")
    check(b"PRIVACYREQUIRED" in process.out, f"in clear it is not let in: {process.out!r}")


@test("stunnel: SSLRequest of PostgreSQL leads to TLS, and to what stands behind")
def database(net):
    require_programs("stunnel4")
    names(net)
    authority = Authority(net)
    certificate, key = authority.issue("mail.test")
    socat(net.server, 5431, "tcp", f"TCP4-LISTEN:5431,bind={SERVER4},fork,reuseaddr", "EXEC:cat")
    path = net.folder / "stunnel.conf"
    path.write_text(f"foreground = yes\npid =\n[db]\nprotocol = pgsql\naccept = {SERVER4}:5432\n"
                    f"connect = {SERVER4}:5431\ncert = {certificate}\nkey = {key}\n")
    process = net.server.spawn("stunnel4", path)
    wait_listening(net.server, process, 5432)
    answer = cat(net.client, "--cafile", authority.certificate, *lines("postgresql"), "--count", 1, "mail.test:5432",
                 stdin=b"a startup packet\n")
    check_equal((answer.status, answer.out), (0, b"a startup packet\n"), f"it comes back: {answer.err!r}")


@test("servers that inject, refuse, fall silent or make no sense fail with the cause")
def bad_servers(net):
    rows = ((25, b"220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n", b"came together with the word"),
            (26, b"554 go away\r\n", b'the server greets with "554 go away"'),
            (27, b"220 x\r\n250-x\r\n250 STARTTLS\r\n454 later\r\n", b'the server refuses STARTTLS: "454 later"'),
            (28, b"\x16\x03\x01\x02\x00", b"did not"),
            (29, b"SSH-2.0-OpenSSH_9.2\r\n", b"which is no answer here"))
    for port, data, why in rows:
        talking(net.server, SERVER4, port, data)
        answer = cat(net.client, *lines("smtp", "--timeout", "2"), f"{SERVER4}:{port}", stdin=LETTER)
        check_equal(answer.status, 1, f"exit status for {data!r}")
        if port != 28:
            check(why in answer.err, f"the cause for {data!r}: {answer.err!r}")
        check_equal(answer.out, b"", "nothing is shown")
    closing(net.server, SERVER4, 30, first=b"220 x\r\n")
    answer = cat(net.client, *lines("smtp", "--timeout", "2"), f"{SERVER4}:30", stdin=LETTER)
    check_equal(answer.status, 1, "exit status for a server that goes")


# ------------------------------------------------------------------------------------------------------ clients

# proves API-132
@test("openssl s_client: each protocol reaches the TLS of a Listener")
def clients(net):
    names(net)
    authority = Authority(net)
    certificate, key = authority.issue("mail.test")
    for number, (protocol, theirs) in enumerate((("smtp", "smtp"), ("imap", "imap"), ("pop3", "pop3"),
                                                 ("postgresql", "postgres"))):
        where = f"{SERVER4}:{2000 + number}"
        server = serve(net.server, "--cert", certificate, "--key", key, "--framer",
                       f"starttls:protocol={protocol},name=mail.test", where)
        process = net.client.spawn("openssl", "s_client", "-starttls", theirs, "-connect", where, "-CAfile",
                                   authority.certificate, "-verify_return_error", "-servername", "mail.test", "-quiet",
                                   stdin=subprocess.PIPE)
        process.write(b"hello\n")
        poll(lambda: b"hello\n" in process.out or not process.running(), 30, f"the echo over {protocol}")
        check(b"hello\n" in process.out, f"{protocol}: {process.out!r} {process.err!r}")
        process.end()
        server.end()


@test("a client that speaks in clear is not let in, and hurts nobody")
def clear_client(net):
    authority = Authority(net)
    certificate, key = authority.issue("mail.test")
    serve(net.server, "--cert", certificate, "--key", key, "--framer", "starttls:protocol=smtp", f"{SERVER4}:2525")
    require_programs("socat")
    answer = net.client.run("socat", "-t", "1", "-", f"TCP4:{SERVER4}:2525", stdin=b"MAIL FROM:<a@b>\r\nQUIT\r\n")
    check_equal(answer.out, b"220 localhost ESMTP\r\n530 STARTTLS first\r\n221 localhost good-bye\r\n", "its answers")
    answer = net.client.run("socat", "-t", "1", "-", f"TCP4:{SERVER4}:2525", stdin=b"STARTTLS\r\nMAIL FROM:<a@b>\r\n")
    check(b"530" not in answer.out and b"250" not in answer.out, f"what was put behind is not read: {answer.out!r}")
    net.client.hosts(f"{SERVER4} mail.test\n")
    answer = cat(net.client, "--cafile", authority.certificate, *lines("smtp"), "--count", 1, "mail.test:2525",
                 stdin=b"hello\n")
    check_equal((answer.status, answer.out), (0, b"hello\n"), f"the next client: {answer.err!r}")


if __name__ == "__main__":
    main()
